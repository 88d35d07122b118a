"""Segment files: how they come, what is refused, what is removed, and the one that is made ahead."""

from __future__ import annotations

import threading

import pytest

from absdb.errors import CorruptLogError, EnginePoisonedError, StorageError
from absdb.io.memory import MemoryFile
from absdb.wal.format import SegmentHeader, decode_segment_header
from absdb.wal.segments import SegmentAhead, SegmentFiles, list_segments
from tests.wal.disk import SectorDisk
from tests.wal.logs import INSTANCE, LOG, SEGMENT, append, bodies, body, path, write_batches, writer


@pytest.fixture
def disk() -> SectorDisk:
    return SectorDisk()


@pytest.fixture
def segments(disk: SectorDisk) -> SegmentFiles:
    return SegmentFiles(disk, "wal", LOG)


def test_a_segment_is_whole_and_durable_before_it_has_its_name(
    disk: SectorDisk, segments: SegmentFiles
) -> None:
    segments.create(3, epoch=2).close()
    verbs = [verb for verb, _ in disk.calls]
    assert verbs == ["create", "pwrite", "sync", "rename", "sync_directory"]
    data = disk.power_lost(lambda: False).files()[path(3)]
    assert len(data) == SEGMENT
    assert decode_segment_header(data, path="x") == SegmentHeader(INSTANCE, 1, 2, SEGMENT, 3 * SEGMENT)
    assert not any(data[64:])


@pytest.mark.parametrize("verb", ["pwrite", "sync"])
def test_a_segment_that_cannot_be_made_leaves_nothing(
    disk: SectorDisk, segments: SegmentFiles, verb: str
) -> None:
    disk.fail = lambda called, where: called == verb
    with pytest.raises(StorageError):
        segments.create(0, epoch=1)
    assert disk.files() == {}
    disk.fail = lambda called, where: False
    segments.create(0, epoch=1).close()


def test_only_the_segments_of_a_timeline_are_listed(disk: SectorDisk, segments: SegmentFiles) -> None:
    for number in (2, 0, 1):
        segments.create(number, epoch=1).close()
    disk.put("wal/0000000200000000" + "00000007", b"")
    disk.put("wal/readme", b"")
    assert segments.numbers() == [0, 1, 2]
    assert [tuple(name) for name in list_segments(disk, "wal")] == [(1, 0), (1, 1), (1, 2), (2, 7)]


def test_segments_below_an_lsn_are_removed_oldest_first(disk: SectorDisk, segments: SegmentFiles) -> None:
    for number in range(5):
        segments.create(number, epoch=1).close()
    disk.calls.clear()
    assert segments.remove_below(2 * SEGMENT + 8) == [path(0)[4:], path(1)[4:]]
    assert disk.calls == [("unlink", path(0)), ("unlink", path(1)), ("sync_directory", "wal")]
    assert segments.remove_below(2 * SEGMENT + 8) == []
    assert segments.remove_below(100 * SEGMENT) == [path(2)[4:], path(3)[4:]]
    assert segments.numbers() == [4]


def test_a_temporary_file_is_removed_when_a_writer_opens(disk: SectorDisk) -> None:
    disk.put(path(4) + ".tmp", b"half")
    writer(disk).close()
    assert list(disk.files()) == [path(0)]


@pytest.mark.parametrize("size", [0, 63])
def test_a_segment_without_a_header_is_refused(disk: SectorDisk, segments: SegmentFiles, size: int) -> None:
    disk.put(path(0), bytes(size))
    with pytest.raises(CorruptLogError, match=f"{size} bytes, expected a segment header"):
        segments.open(0)


def test_a_segment_in_the_wrong_place_or_too_long_is_refused(
    disk: SectorDisk, segments: SegmentFiles
) -> None:
    segments.create(0, epoch=1).close()
    data = disk.files()[path(0)]
    disk.put(path(1), data)
    with pytest.raises(CorruptLogError, match="start LSN 0, expected 4096"):
        segments.open(1)
    disk.put(path(0), data + b"x")
    with pytest.raises(CorruptLogError, match="4097 bytes long"):
        segments.open(0)


# -- the segment made ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "absdb-wal-ahead"]


def test_the_next_segment_is_made_when_the_current_one_is_half_full(disk: SectorDisk) -> None:
    log = writer(disk, prepare_ahead=True)
    write_batches(log, [[body(SEGMENT // 2 - 300)]])
    assert list(disk.files()) == [path(0)]
    write_batches(log, [[body(300)]])
    log.close()
    assert list(disk.files()) == [path(0), path(1)]
    assert threads() == []


def test_a_roll_takes_the_segment_made_ahead(disk: SectorDisk) -> None:
    log = writer(disk, prepare_ahead=True)
    many = [[body(1000, number)] for number in range(40)]
    write_batches(log, many)
    log.close()
    created = [where for verb, where in disk.calls if verb == "create"]
    assert len(created) == len(set(created)) == len(disk.files())
    assert bodies(disk) == [one for [one] in many]


def test_a_segment_left_over_from_an_earlier_run_is_used(disk: SectorDisk) -> None:
    log = writer(disk, prepare_ahead=True)
    write_batches(log, [[body(3000)]])
    log.close()
    disk.calls.clear()
    log = writer(disk, position=log.written_lsn, prepare_ahead=True, epoch=2)
    write_batches(log, [[body(1100)]])
    log.close()
    assert "create" not in {verb for verb, _ in disk.calls}
    assert bodies(disk) == [body(3000), body(1100)]


def test_a_failure_ahead_is_met_again_by_the_roll(disk: SectorDisk) -> None:
    """The thread's failure is nobody's; the roll tries itself, and succeeds or raises."""
    log = writer(disk, prepare_ahead=True)
    disk.fail = lambda verb, where: where.endswith(".tmp") and verb == "sync"
    write_batches(log, [[body(3000)]])
    append(log, body(2000))
    with pytest.raises(StorageError):
        log.flush()
    assert not log.poisoned
    disk.fail = lambda verb, where: False
    write_batches(log, [[body(2000, 1)]])
    assert bodies(disk) == [body(3000), body(2000, 1)]
    log.close()


def test_a_name_that_may_not_last_is_not_forgotten(disk: SectorDisk) -> None:
    log = writer(disk, prepare_ahead=True)
    disk.fail = lambda verb, where: verb == "sync_directory"
    write_batches(log, [[body(3000)]])
    assert log._ahead is not None
    assert log._ahead._thread is not None
    log._ahead._thread.join()
    disk.fail = lambda verb, where: False
    append(log, body(2000))
    with pytest.raises(EnginePoisonedError, match="could not be put in place"):
        log.flush()
    log.close()


def test_a_roll_waits_for_the_segment_being_made(disk: SectorDisk, segments: SegmentFiles) -> None:
    started, go_on = threading.Event(), threading.Event()

    class Slow(SegmentFiles):
        def create(self, segment: int, epoch: int) -> MemoryFile:  # type: ignore[override]
            started.set()
            go_on.wait()
            return super().create(segment, epoch)  # type: ignore[return-value]

    ahead = SegmentAhead(Slow(disk, "wal", LOG), 1)
    ahead.want(1)
    started.wait()
    threading.Timer(0.01, go_on.set).start()
    assert ahead.take(2) is None
    file = ahead.take(1)
    assert file is not None
    file.close()
    assert ahead.take(1) is None
    ahead.close()
