"""Repair: afterwards the log ends in zeros, nothing acknowledged is lost, a crash in it does no harm."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import CorruptLogError, EnginePoisonedError, StorageError
from absdb.io.memory import MemoryFileSystem
from absdb.paths import parse_wal_segment_name, torn_tail_name
from absdb.wal.repair import recover_tail
from absdb.wal.tail import LogEnd, find_end
from tests.wal.disk import Crash, SectorDisk
from tests.wal.logs import INSTANCE, SEGMENT, WHOSE, append, bodies, body, path, write_batches, writer

LAST = (700, 1500, 3000, 2500)


def recover(disk: Any, **options: int) -> LogEnd:
    found: dict[str, Any] = {"from_lsn": 0, **WHOSE, **options}
    return recover_tail(disk, "wal", **found)


def look(disk: Any, **options: int) -> LogEnd:
    found: dict[str, Any] = {"from_lsn": 0, **WHOSE, **options}
    return find_end(disk, "wal", **found)


def crash_at_sync(verb: str, where: str) -> bool:
    if verb == "sync" and not where.endswith(".tmp"):
        raise Crash
    return False


def before_sync() -> tuple[SectorDisk, int]:
    """A disk where a batch over three segments is written but not synced, and the LSN acknowledged before."""
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[body(900, 1)], [body(600, 2), body(100, 3)]])
    end = log.durable_lsn
    for length in LAST:
        append(log, body(length, length))
    disk.fail = crash_at_sync
    with pytest.raises(Crash):
        log.flush()
    return disk, end


def torn(seed: int = 0, *, chance: float = 0.5) -> tuple[SectorDisk, int]:
    """That disk after a power cut."""
    disk, end = before_sync()
    choice = random.Random(seed)
    return disk.power_lost(lambda: choice.random() < chance), end


def check_ready(disk: SectorDisk, lsn: int) -> None:
    """Every segment is whole, and holds nothing but zeros from an LSN on, durably."""
    for files in (disk.files(), disk.power_lost(lambda: False).files()):
        for name, data in files.items():
            parsed = parse_wal_segment_name(name.removeprefix("wal/"))
            if parsed is not None and (parsed.segment + 1) * SEGMENT > lsn:
                assert len(data) == SEGMENT
                assert not any(data[max(64, lsn - parsed.segment * SEGMENT) :])


def side_files(disk: SectorDisk) -> dict[str, bytes]:
    return {name: data for name, data in disk.files().items() if ".torn" in name}


def test_a_clean_end_is_left_as_it_is() -> None:
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[body(900)], [body(5000)]])
    log.close()
    files = disk.files()
    end = recover(disk, durable_lsn=log.durable_lsn)
    assert end == LogEnd(log.durable_lsn, 2, 1, None)
    assert disk.files() == files
    assert "pwrite" not in {verb for verb, _ in disk.calls[-3:]}


def test_an_empty_directory_is_ready_for_a_first_writer() -> None:
    disk = SectorDisk()
    assert recover(disk) == LogEnd(0, 0, 0, None)
    assert disk.files() == {}


@pytest.mark.parametrize("seed", range(40))
def test_a_torn_tail_is_kept_aside_and_wiped(seed: int) -> None:
    disk, acknowledged = torn(seed)
    doubtful = disk.files()
    end = recover(disk)
    assert end.lsn >= acknowledged
    check_ready(disk, end.lsn)
    whole = [body(900, 1), body(600, 2), body(100, 3), *(body(n, n) for n in LAST)]
    assert bodies(disk, end_lsn=end.lsn) == whole[: end.records]
    if end.torn is not None:
        assert end.torn.lsn == end.lsn
        segment, offset = divmod(end.lsn, SEGMENT)
        assert end.torn.side_file == "wal/" + torn_tail_name(1, segment, end.lsn)
        stream = b"".join(doubtful[path(number)] for number in range(segment, 3))
        kept = side_files(disk.power_lost(lambda: False))
        assert kept == {end.torn.side_file: stream[offset : offset + end.torn.bytes]}
        for number in range(segment, 3):
            behind = max(64, end.lsn + end.torn.bytes - number * SEGMENT)
            assert not any(doubtful[path(number)][behind:])
    settled = disk.files()
    again = recover(disk)
    assert (again.lsn, again.records, again.torn) == (end.lsn, end.records, None)
    assert disk.files() == settled


@pytest.mark.parametrize("seed", range(6))
def test_writing_goes_on_after_a_repair(seed: int) -> None:
    disk, _ = torn(seed)
    end = recover(disk)
    log = writer(disk, position=end.lsn, epoch=2)
    write_batches(log, [[body(2500, 9)], [body(2500, 10)], [body(2500, 11)]])
    log.close()
    assert bodies(disk)[end.records :] == [body(2500, 9), body(2500, 10), body(2500, 11)]
    assert look(disk, durable_lsn=log.durable_lsn).torn is None


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_anywhere_in_a_repair_leaves_a_torn_tail_again(seed: int) -> None:
    whole, acknowledged = torn(seed)
    reference, _ = torn(seed)
    expected = recover(reference)
    kept = list(side_files(reference).values())
    assert expected.torn is not None
    for call in range(200):
        disk = SectorDisk()
        for name, data in whole.files().items():
            disk.put(name, data)
        disk.crash_at = call
        try:
            recover(disk)
        except Crash:
            pass
        else:
            assert call > 5
            return
        for attempt in range(8):
            choice = random.Random(call * 100 + attempt)
            names_kept = choice.randrange(4)
            after = disk.power_lost(lambda choice=choice: choice.random() < 0.5, names_kept=names_kept)
            end = recover(after)
            assert (end.lsn, end.records) == (expected.lsn, expected.records)
            assert end.lsn >= acknowledged
            check_ready(after, end.lsn)
            assert kept[0] in side_files(after).values()
    raise AssertionError("the repair never came to its end")


def test_a_second_torn_tail_at_the_same_place_does_not_overwrite_the_first() -> None:
    disk, _ = torn(1, chance=0.0)
    end = recover(disk)
    for seed in (1, 2, 3):
        raw = disk.nodes[path(end.lsn // SEGMENT)].data
        raw[end.lsn % SEGMENT : end.lsn % SEGMENT + 100] = body(100, seed)
        assert recover(disk).torn is not None
    assert [data for _, data in sorted(side_files(disk).items())] == [body(100, seed) for seed in (1, 2, 3)]


def test_damage_leaves_every_file_as_it_is() -> None:
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[body(900)], [body(900)], [body(900)]])
    disk.nodes[path(0)].data[500] ^= 1
    disk.put(path(1) + ".tmp", b"half made")
    files, calls = disk.files(), len(disk.calls)
    with pytest.raises(CorruptLogError):
        recover(disk)
    assert disk.files() == files
    assert len(disk.calls) == calls


@pytest.mark.parametrize("size", [0, 30, 64, 65, 1000, SEGMENT - 1])
def test_a_short_newest_segment_is_made_whole(size: int) -> None:
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[body(SEGMENT - 64 - 64 - 8)]])
    assert log.durable_lsn == SEGMENT - 8
    log._segments.create(1, 1).close()
    disk.put(path(1), disk.files()[path(1)][:size])
    end = recover(disk)
    assert (end.lsn, end.torn) == (SEGMENT - 8, None)
    assert end.removed == ((path(1),) if size < 64 else ())
    check_ready(disk, end.lsn)
    again = writer(disk, position=end.lsn, epoch=2)
    write_batches(again, [[body(3000)]])
    assert bodies(disk)[1:] == [body(3000)]


@pytest.mark.parametrize("size", [300, 1000, 2000, SEGMENT - 8])
def test_a_segment_cut_short_with_records_in_it_is_damage(size: int) -> None:
    """It had its whole size before the first of them, and what is missing may have been acknowledged."""
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[body(100)], [body(3000)]])
    disk.put(path(0), disk.files()[path(0)][:size])
    files = disk.files()
    with pytest.raises(CorruptLogError, match="was cut to"):
        recover(disk)
    assert disk.files() == files


def test_unfinished_segments_are_removed_from_the_newest_down() -> None:
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[b"x"]])
    for number in (1, 2, 3):
        disk.put(path(number), bytes(SEGMENT))
    assert recover(disk).removed == (path(3), path(2), path(1))
    unlinked = [where for verb, where in disk.calls if verb == "unlink"]
    assert unlinked == [path(3), path(2), path(1)]


def test_what_was_read_is_durable_after_a_sync_that_failed() -> None:
    """The system keeps the bytes of a failed sync in memory, never writes them, and later syncs succeed."""
    disk = SectorDisk()
    log = writer(disk)
    write_batches(log, [[body(900, 1)]])
    append(log, body(5000, 2))
    disk.fail = lambda verb, where: verb == "sync" and where == path(0)
    with pytest.raises(EnginePoisonedError):
        log.flush()
    disk = disk.process_killed()
    end = recover(disk)
    assert end.records == 2
    after = disk.power_lost(lambda: False)
    assert bodies(after) == [body(900, 1), body(5000, 2)]
    assert look(after, durable_lsn=end.lsn).lsn == end.lsn


def test_what_a_killed_process_left_unsynced_is_durable_after_the_repair() -> None:
    disk, _ = before_sync()
    disk = disk.process_killed()
    end = recover(disk)
    assert end.records == 3 + len(LAST)
    assert look(disk.power_lost(lambda: False)).records == end.records


def test_a_full_disk_cuts_nothing_off_until_there_is_room() -> None:
    torn_disk, _ = torn(3)
    fs = MemoryFileSystem()
    fs.make_directory("wal")
    for name, data in torn_disk.files().items():
        file = fs.create(name)
        file.pwrite(0, [data])
    before = {name: bytes(node.data) for name, node in fs.nodes.items()}
    fs.capacity = sum(len(data) for data in before.values()) + 10
    with pytest.raises(StorageError, match="could not be kept aside"):
        recover(fs)
    assert {name: bytes(node.data) for name, node in fs.nodes.items()} == before
    fs.capacity = None
    assert recover(fs).torn is not None


def test_a_repair_on_a_failing_disk_raises_and_is_done_next_time() -> None:
    for verb in ("pwrite", "sync", "rename", "sync_directory"):
        disk, _ = torn(3)
        expected = look(disk)
        disk.fail = lambda called, where, verb=verb: called == verb
        with pytest.raises(StorageError):
            recover(disk)
        disk.fail = lambda called, where: False
        end = recover(disk)
        assert (end.lsn, end.records) == (expected.lsn, expected.records)


def test_nothing_of_another_timeline_is_touched() -> None:
    disk, _ = torn(3)
    other = writer(disk, timeline=2, position=SEGMENT)
    write_batches(other, [[b"theirs"]])
    name = "wal/0000000200000000" + "00000001"
    before = disk.files()[name]
    recover(disk)
    assert disk.files()[name] == before
    theirs = recover_tail(
        disk, "wal", from_lsn=SEGMENT, instance_id=INSTANCE, timeline=2, segment_bytes=SEGMENT
    )
    assert theirs.records == 1


@given(st.data())
def test_any_crash_keeps_a_prefix_with_every_acknowledged_record(data: st.DataObject) -> None:
    """Several lives of a log: each writes batches until the power is cut; the next repairs, maybe twice."""
    disk, history, acknowledged, epoch = SectorDisk(), [], 0, 1
    choice = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(data.draw(st.integers(1, 4))):
        mode = data.draw(st.sampled_from(["fsync", "fsync", "nosync"]))
        lengths = st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=4), min_size=1, max_size=5)
        try:
            disk.crash_at = None
            end = look(disk, durable_lsn=0)
            disk.crash_at = len(disk.calls) + data.draw(st.integers(0, 25))
            log = writer(disk, position=end.lsn, epoch=epoch, sync_mode=mode)
            for batch in data.draw(lengths):
                for length in batch:
                    history.append(append(log, body(length, choice.randrange(255))))
                log.flush()
                if mode == "nosync" and choice.random() < 0.2:
                    log.sync()
                acknowledged = log.durable_lsn
            disk.crash_at = None
            log.close()
        except Crash:
            pass
        for crash_at in (data.draw(st.integers(0, 12)), None):
            disk = disk.power_lost(lambda: choice.random() < 0.5, names_kept=choice.randrange(4))
            disk.crash_at = crash_at
            try:
                end = recover(disk, durable_lsn=acknowledged)
            except Crash:
                continue
        assert end.lsn >= acknowledged
        check_ready(disk, end.lsn)
        history = [record for record in history if record.end_lsn <= end.lsn]
        assert bodies(disk, end_lsn=end.lsn) == [record.body for record in history]
        acknowledged = end.lsn
        epoch += 1
