"""Reading the log forwards: from and to where, what is refused, and how much memory it takes."""

from __future__ import annotations

import tracemalloc

import pytest
from crc32c import crc32c

from absdb.errors import CorruptLogError, FormatVersionError, HistoryExpiredError, InvalidInputError
from absdb.io.memory import MemoryFileSystem
from absdb.wal.format import LogIdentity
from absdb.wal.reader import read_log
from absdb.wal.segments import SegmentFiles
from tests.wal.disk import SectorDisk
from tests.wal.logs import INSTANCE, LOG, SEGMENT, append, bodies, body, path, records, write_batches, writer


@pytest.fixture
def disk() -> SectorDisk:
    return SectorDisk()


def test_reading_begins_at_a_record_or_behind_one(disk: SectorDisk) -> None:
    log = writer(disk)
    written = [one for [one] in write_batches(log, [[body(n * 300, n)] for n in range(1, 12)])]
    expected = [record.body for record in written]
    for index, record in enumerate(written):
        assert bodies(disk, from_lsn=record.lsn) == expected[index:]
        assert bodies(disk, from_lsn=record.end_lsn) == expected[index + 1 :]


def test_reading_ends_at_the_lsn_given_beside_a_writer(disk: SectorDisk) -> None:
    log = writer(disk)
    [[first], [second]] = write_batches(log, [[body(2000)], [body(3000)]])
    assert bodies(disk, end_lsn=first.end_lsn) == [first.body]
    assert bodies(disk, end_lsn=0) == []
    assert bodies(disk, from_lsn=second.end_lsn, end_lsn=second.end_lsn) == []
    append(log, b"not written yet")
    assert bodies(disk, end_lsn=log.written_lsn) == [first.body, second.body]


def test_an_end_that_the_log_does_not_reach_is_damage(disk: SectorDisk) -> None:
    log = writer(disk)
    write_batches(log, [[b"a"]])
    with pytest.raises(CorruptLogError, match=r"zeros, expected a record; .*known to reach LSN 0/2000"):
        bodies(disk, end_lsn=2000)


def test_a_torn_tail_is_left_out_and_left_alone(disk: SectorDisk) -> None:
    log = writer(disk)
    write_batches(log, [[b"a"], [body(500)]])
    disk.nodes[path(0)].data[600] ^= 1
    before = disk.files()
    assert bodies(disk) == [b"a"]
    assert disk.files() == before


def test_damage_is_raised_after_the_records_before_it(disk: SectorDisk) -> None:
    log = writer(disk)
    write_batches(log, [[b"a"], [b"b"], [b"c"]])
    disk.nodes[path(0)].data[64 + 72 + 64] ^= 1
    reading = read_log(disk, "wal", from_lsn=0, instance_id=INSTANCE, timeline=1, segment_bytes=SEGMENT)
    assert next(reading).body == b"a"
    with pytest.raises(CorruptLogError, match="durable up to"):
        next(reading)


def test_history_that_was_removed_is_told_as_such(disk: SectorDisk) -> None:
    log = writer(disk)
    write_batches(log, [[body(3 * SEGMENT)], [b"x"]])
    SegmentFiles(disk, "wal", LOG).remove_below(2 * SEGMENT)
    with pytest.raises(HistoryExpiredError, match="begins at 0/8192") as caught:
        bodies(disk)
    assert caught.value.first_lsn == 2 * SEGMENT


@pytest.mark.parametrize(("offset", "value"), [(60, 7), (60, 0), (61, 1), (62, 1)])
def test_a_record_of_an_unknown_kind_is_an_error(disk: SectorDisk, offset: int, value: int) -> None:
    log = writer(disk)
    write_batches(log, [[b"a"], [b"b"]])
    raw = disk.nodes[path(0)].data
    raw[64 + offset] = value
    raw[64:68] = crc32c(bytes(raw[68:128])).to_bytes(4, "little")
    with pytest.raises(FormatVersionError, match="this absdb knows kinds 1 to 6 and no flags"):
        bodies(disk)


def test_epochs_grow_along_the_log(disk: SectorDisk) -> None:
    position = 0
    for epoch in (1, 4, 9):
        log = writer(disk, position=position, epoch=epoch)
        write_batches(log, [[body(1500)]])
        position = log.written_lsn
        log.close()
    assert [record.epoch for record in records(disk)] == [1, 4, 9]


def test_a_start_off_the_grid_is_refused(disk: SectorDisk) -> None:
    with pytest.raises(InvalidInputError, match="no log record can begin"):
        bodies(disk, from_lsn=3)


def test_a_reader_that_is_dropped_closes_its_files(disk: SectorDisk) -> None:
    log = writer(disk)
    write_batches(log, [[b"a"], [b"b"]])
    reading = read_log(disk, "wal", from_lsn=0, instance_id=INSTANCE, timeline=1, segment_bytes=SEGMENT)
    next(reading)
    reading.close()  # type: ignore[attr-defined]


def test_memory_is_a_window_and_a_record_however_long_the_log() -> None:
    fs = MemoryFileSystem()
    fs.make_directory("wal")
    log = writer(fs, segment_bytes=1 << 20)
    whose = LogIdentity(INSTANCE, 1, 1 << 20)
    large = bytes(3 << 20)
    for _ in range(4):
        write_batches(log, [[body(100)] * 50, [large]])
    tracemalloc.start()
    seen = 0
    for record in read_log(fs, "wal", from_lsn=0, instance_id=INSTANCE, timeline=1, segment_bytes=1 << 20):
        seen += len(record.body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whose.tag == LOG.tag
    assert seen == 4 * (len(large) + 5000)
    assert peak < 14 << 20
