"""The verdict on the end of a log: what a crash can leave is a torn tail, everything else is damage."""

from __future__ import annotations

import itertools

import pytest
from crc32c import crc32c

from absdb.errors import CorruptLogError, FormatVersionError, InvalidInputError
from absdb.wal.format import LogIdentity, RecordKind, SegmentHeader, encode_record, encode_segment_header
from absdb.wal.tail import LogEnd, find_end
from tests.wal.disk import SECTOR, SectorDisk
from tests.wal.logs import (
    INSTANCE,
    LOG,
    SEGMENT,
    WHOSE,
    Written,
    append,
    bodies,
    body,
    path,
    write_batches,
    writer,
)

Files = dict[str, bytearray]


class Scene:
    """A log of a few batches: the files before the last flush (`old`) and after it (`new`)."""

    def __init__(self, batches: list[list[bytes]], last: list[bytes], **options: object) -> None:
        self.disk = SectorDisk()
        log = writer(self.disk, **options)
        self.before = [record for batch in write_batches(log, batches) for record in batch]
        self.synced = log.durable_lsn
        for segment in range(4):  # made ahead of the batch, so that both pictures have the same files
            if not self.disk.exists(path(segment)):
                log._segments.create(segment, 1).close()
        self.old = {name: bytearray(data) for name, data in self.disk.files().items()}
        [self.last] = write_batches(log, [last])
        self.new = {name: bytearray(data) for name, data in self.disk.files().items()}
        self.records = [*self.before, *self.last]
        self.end = log.written_lsn
        log.close()

    def cut(self, lsn: int) -> Files:
        """The files with the last batch written up to an LSN."""
        files = {}
        for number in range(4):
            kept = min(max(lsn - number * SEGMENT, 0), SEGMENT)
            files[path(number)] = self.new[path(number)][:kept] + self.old[path(number)][kept:]
        return files

    def mixed(self, kept: dict[int, bool]) -> Files:
        """The files with sectors of the last batch old or new, by the LSN where they begin."""
        files = {name: bytearray(data) for name, data in self.old.items()}
        for lsn in (lsn for lsn, is_new in kept.items() if is_new):
            segment, offset = divmod(lsn, SEGMENT)
            files[path(segment)][offset : offset + SECTOR] = self.new[path(segment)][offset : offset + SECTOR]
        return files

    def whole(self, files: Files) -> list[Written]:
        """The records that stand as they were written, up to the first that does not."""
        return list(itertools.takewhile(lambda record: self.is_whole(files, record), self.records))

    def is_whole(self, files: Files, record: Written) -> bool:
        for segment in range(record.lsn // SEGMENT, (record.end_lsn - 1) // SEGMENT + 1):
            first = max(record.lsn - segment * SEGMENT, 64)
            end = min(record.end_lsn - segment * SEGMENT, SEGMENT)
            if files[path(segment)][first:end] != self.new[path(segment)][first:end]:
                return False
        return True


def disk_of(files: dict[str, bytearray] | dict[str, bytes]) -> SectorDisk:
    disk = SectorDisk()
    for name, data in files.items():
        disk.put(name, bytes(data))
    return disk


def end_of(files: dict[str, bytearray] | dict[str, bytes] | SectorDisk, **options: int) -> LogEnd:
    disk = files if isinstance(files, SectorDisk) else disk_of(files)
    before = disk.files()
    try:
        return find_end(disk, "wal", **{"from_lsn": 0, **WHOSE, **options})
    finally:
        assert disk.files() == before


def crossing() -> Scene:
    """Two synced batches, and a last one of three records that crosses into the second segment."""
    return Scene(
        [[body(500, 1), body(40, 2)], [body(1900, 3)]], [body(700, 4), body(1500, 5), b"", body(336, 6)]
    )


# -- clean ends


def test_a_directory_without_a_log_ends_where_it_was_asked_to_begin() -> None:
    assert end_of({}) == LogEnd(0, 0, 0, None)
    assert end_of({}, from_lsn=3 * SEGMENT) == LogEnd(3 * SEGMENT, 0, 0, None)


def test_a_log_that_was_closed_ends_cleanly() -> None:
    scene = crossing()
    assert end_of(scene.new) == LogEnd(scene.end, 7, 1, None)
    assert end_of(scene.new, from_lsn=scene.synced, durable_lsn=scene.end).records == 4
    assert end_of(scene.new, from_lsn=scene.end, durable_lsn=scene.end).records == 0


@pytest.mark.parametrize("next_is_there", [True, False])
def test_a_log_may_end_with_its_segment(next_is_there: bool) -> None:
    scene = Scene([[b"x"]], [body(SEGMENT - 64 - 72 - 64)])
    assert scene.end == SEGMENT
    files = {name: data for name, data in scene.new.items() if next_is_there or name == path(0)}
    assert end_of(files, durable_lsn=SEGMENT) == LogEnd(SEGMENT, 2, 1, None)
    assert end_of(files, from_lsn=SEGMENT).lsn == SEGMENT


# -- torn tails


def test_a_last_batch_cut_at_any_byte_is_a_torn_tail() -> None:
    scene = crossing()
    assert scene.last[0].lsn // SEGMENT != scene.end // SEGMENT
    for cut in range(scene.synced, scene.end + 1):
        files = scene.cut(cut)
        whole = scene.whole(files)
        end = end_of(files, durable_lsn=scene.synced)
        assert (end.records, end.lsn) == (len(whole), whole[-1].end_lsn)
        assert len(whole) >= len(scene.before)
        if end.torn is not None:
            assert end.torn.lsn == end.lsn
            assert end.torn.bytes <= cut - end.lsn


def test_any_subset_of_the_sectors_of_the_last_batch_is_a_torn_tail() -> None:
    scene = crossing()
    sectors = range(scene.synced - scene.synced % SECTOR, scene.end, SECTOR)
    assert 6 <= len(sectors) <= 10
    outcomes = set()
    for choice in itertools.product([False, True], repeat=len(sectors)):
        files = scene.mixed(dict(zip(sectors, choice, strict=True)))
        whole = scene.whole(files)
        end = end_of(files, durable_lsn=scene.synced)
        assert (end.records, end.lsn) == (len(whole), whole[-1].end_lsn)
        outcomes.add(len(whole))
    assert outcomes >= {len(scene.before), len(scene.records)}


def test_a_torn_tail_of_many_unsynced_batches_in_nosync_mode() -> None:
    disk = SectorDisk()
    log = writer(disk, sync_mode="nosync")
    write_batches(log, [[body(1000, number)] for number in range(12)])
    log.close()
    files = disk.files()
    assert len(files) > 2
    hole = bytearray(files[path(0)])
    hole[1024:1536] = bytes(512)
    end = end_of({**files, path(0): hole})
    assert (end.records, end.lsn) == (0, 0)
    assert end.torn is not None
    assert end.torn.bytes == log.written_lsn - 64


def test_an_empty_segment_behind_a_torn_one_is_no_damage() -> None:
    scene = Scene([[b"a"]], [body(200)])
    files = scene.cut(scene.synced + 100)
    assert path(3) in files
    end = end_of(files)
    assert (end.records, end.lsn) == (1, scene.synced)
    assert end.torn is not None
    assert end.torn.fault.startswith("body checksum")


def test_damage_to_the_very_last_batch_looks_like_tearing_unless_the_caller_knows_better() -> None:
    scene = crossing()
    scene.new[path(scene.last[0].lsn // SEGMENT)][scene.last[0].lsn % SEGMENT + 70] ^= 1
    end = end_of(scene.new)
    assert end.lsn == scene.synced
    assert end.torn is not None
    assert end.torn.bytes == scene.end - scene.synced
    with pytest.raises(CorruptLogError, match="durable up to LSN"):
        end_of(scene.new, durable_lsn=scene.end)


@pytest.mark.parametrize(
    ("log", "epoch", "shift"),
    [
        (LOG, 1, 0),
        (LogIdentity(INSTANCE[::-1], 1, SEGMENT), 2, 0),
        (LogIdentity(INSTANCE, 2, SEGMENT), 2, 0),
        (LOG, 2, 8),
        (LOG, 2, SEGMENT),
    ],
    ids=["older epoch", "other instance", "other timeline", "other place", "other segment"],
)
def test_stale_records_never_count(log: LogIdentity, epoch: int, shift: int) -> None:
    """Well-formed records from elsewhere, right at the end of the log, claiming to be synced."""
    disk = SectorDisk()
    current = writer(disk, epoch=2)
    write_batches(current, [[b"a"], [b"b"]])
    end, stale = current.written_lsn, bytearray()
    for number in range(3):
        lsn = end + shift + len(stale)
        stale += encode_record(
            log,
            kind=RecordKind.COMMIT,
            lsn=lsn,
            durable_lsn=lsn,
            database_id=7,
            txid=number,
            time_us=0,
            epoch=epoch,
            body=b"stale",
        )
    disk.nodes[path(0)].data[end : end + len(stale)] = stale
    found = end_of(disk)
    assert (found.lsn, found.records) == (end, 2)
    assert found.torn is not None


# -- damage


def test_any_bit_flipped_in_synced_bytes_with_synced_records_behind_is_damage() -> None:
    scene = crossing()
    for lsn in range(scene.synced):
        segment, offset = divmod(lsn, SEGMENT)
        files = {**scene.new, path(segment): bytearray(scene.new[path(segment)])}
        files[path(segment)][offset] ^= 1 << lsn % 8
        with pytest.raises(CorruptLogError) as caught:
            end_of(files)
        if lsn >= 64:
            assert caught.value.path == path(segment)
            assert caught.value.lsn <= lsn
            assert caught.value.bytes_after == scene.end - caught.value.lsn


def test_the_error_says_where_what_and_what_to_do() -> None:
    scene = Scene([[b"a"], [b"b"]], [b"8 bytes."])
    scene.new[path(0)][64 + 64] ^= 1
    with pytest.raises(CorruptLogError) as caught:
        end_of(scene.new)
    text = str(caught.value)
    assert text.startswith(f"{path(0)} at byte 64 (LSN 0/64): body checksum 0x")
    assert "was durable up to LSN 0/136 when the record at LSN 0/136 was written" in text
    assert "216 bytes of log are in doubt" in text
    assert "hint: " in text
    assert (caught.value.offset, caught.value.lsn, caught.value.bytes_after) == (64, 64, 216)


def test_a_header_that_survived_proves_what_was_durable_even_without_its_body() -> None:
    scene = Scene([[body(100)]], [body(2000)])
    header_only = scene.cut(scene.synced + 64)
    assert end_of(header_only).records == 1
    header_only[path(0)][100] ^= 1
    with pytest.raises(CorruptLogError, match="durable up to LSN"):
        end_of(header_only)


@pytest.mark.parametrize("left", [8, 16, 24, 56])
def test_a_header_cut_by_the_end_of_a_segment_proves_as_well(left: int) -> None:
    scene = Scene([[body(100)], [body(SEGMENT - 64 - 168 - 64 - left)]], [body(300)])
    assert scene.last[0].lsn == SEGMENT - left
    scene.new[path(0)][100] ^= 1
    with pytest.raises(CorruptLogError, match="durable up to LSN"):
        end_of(scene.new)
    only_last = {**scene.new, path(0): bytearray(scene.new[path(0)])}
    only_last[path(0)][64 : SEGMENT - left] = bytes(SEGMENT - left - 64)
    with pytest.raises(CorruptLogError, match=f"record at LSN 0/{SEGMENT - left} was written"):
        end_of(only_last)


@pytest.mark.parametrize("call", range(8))
def test_a_read_that_fails_is_never_the_end_of_the_log(call: int) -> None:
    disk = disk_of(crossing().new)
    reads = itertools.count()
    disk.fail = lambda verb, where: verb == "pread" and next(reads) == call
    with pytest.raises(CorruptLogError, match="cannot be read"):
        end_of(disk)


def test_a_file_that_cannot_be_opened_is_never_the_end_of_the_log() -> None:
    scene = crossing()
    disk = disk_of(scene.new)
    disk.fail = lambda verb, where: where == path(1)
    with pytest.raises(CorruptLogError, match=f"{path(1)} at byte"):
        end_of(disk)


def test_a_missing_segment_in_the_middle_is_damage() -> None:
    scene = Scene([[body(3 * SEGMENT)]], [b"x"])
    for missing in (0, 1, 2):
        files = {name: data for name, data in scene.new.items() if name != path(missing)}
        with pytest.raises(CorruptLogError, match=f"segment {path(missing)} is missing"):
            end_of(files)


def test_the_segment_to_begin_in_must_be_there() -> None:
    with pytest.raises(CorruptLogError, match="is missing"):
        end_of({}, from_lsn=SEGMENT + 800)


def test_a_short_segment_in_the_middle_is_damage() -> None:
    scene = Scene([[body(100)]], [b"x"])
    scene.new[path(1)] = scene.new[path(1)][:2000]
    with pytest.raises(CorruptLogError, match="2000 bytes of 4096, and it is not the newest"):
        end_of(scene.new)


def test_a_segment_longer_than_it_can_be_is_damage() -> None:
    scene = Scene([[body(100)]], [b"x"])
    scene.new[path(3)] += b"x"
    with pytest.raises(CorruptLogError, match="4097 bytes long"):
        end_of(scene.new)


def test_a_file_that_ends_before_the_start_is_damage() -> None:
    scene = Scene([[body(1000)]], [b"x"])
    files = {path(0): scene.new[path(0)][:700]}
    with pytest.raises(CorruptLogError, match="ends before it"):
        end_of(files, from_lsn=scene.synced)


@pytest.mark.parametrize("segment", [0, 1, 3])
def test_a_segment_of_another_log_is_damage(segment: int) -> None:
    scene = Scene([[body(SEGMENT)]], [b"x"])
    header = SegmentHeader(INSTANCE[::-1], 1, 1, SEGMENT, segment * SEGMENT)
    scene.new[path(segment)][:64] = encode_segment_header(header)
    with pytest.raises(CorruptLogError, match="instance"):
        end_of(scene.new)


def test_a_bad_segment_header_with_log_behind_it_is_damage() -> None:
    scene = Scene([[body(SEGMENT)]], [b"x"])
    scene.new[path(1)][20] ^= 1
    with pytest.raises(CorruptLogError, match="with log behind it"):
        end_of(scene.new)


def test_a_bad_segment_header_before_anything_was_written_behind_it_is_harmless() -> None:
    scene = Scene([[body(100)]], [b"x"])
    scene.new[path(3)][:64] = bytes(64)
    assert end_of(scene.new) == LogEnd(scene.end, 2, 1, None)


def test_a_newer_segment_format_is_not_guessed_at() -> None:
    scene = Scene([[body(100)]], [b"x"])
    raw = scene.new[path(3)]
    raw[8] = 2
    raw[60:64] = crc32c(bytes(raw[:60])).to_bytes(4, "little")
    with pytest.raises(FormatVersionError, match="log format 2"):
        end_of(scene.new)


@pytest.mark.parametrize("length", [0, 1, 2**16, 2**26, 2**26 + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("honest", [True, False], ids=["checksum made to fit", "checksum as it was"])
def test_a_random_length_field_is_never_believed(length: int, honest: bool) -> None:
    def damage(scene: Scene, record: Written) -> Files:
        raw = scene.new[path(0)]
        raw[record.lsn + 4 : record.lsn + 8] = length.to_bytes(4, "little")
        if honest:
            crc = crc32c(bytes(raw[record.lsn + 4 : record.lsn + 64]))
            raw[record.lsn : record.lsn + 4] = crc.to_bytes(4, "little")
        return scene.new

    scene = Scene([[body(100)]], [body(300)])
    end = end_of(damage(scene, scene.last[0]))
    assert (end.lsn, end.records) == (scene.synced, 1)
    assert end.torn is not None
    if honest and length > 4 * SEGMENT:
        assert "are left" in end.torn.fault or "which no writer writes" in end.torn.fault
    scene = Scene([[body(100)]], [body(300)])
    with pytest.raises(CorruptLogError):
        end_of(damage(scene, scene.before[0]))


def test_a_start_off_the_grid_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        end_of(crossing().new, from_lsn=67)


def test_positions_of_records_inside_bodies_do_not_matter() -> None:
    """A body that holds a copy of the log itself is nothing special: its records are not in their places."""
    scene = crossing()
    copy = bytes(scene.new[path(0)][64:2000])
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[copy], [copy[::-1]]])
    append(log, copy)
    log.flush()
    assert end_of(disk) == LogEnd(log.written_lsn, 3, 1, None)
    assert bodies(disk) == [copy, copy[::-1], copy]
