"""The writer: what it puts where, in which order it syncs, and what it does when the disk refuses."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import (
    CorruptLogError,
    EnginePoisonedError,
    InvalidInputError,
    StateError,
    StorageError,
)
from absdb.io.failure import storage_error
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.wal.format import BODY_BYTES_MAX, RecordKind, encode_record
from absdb.wal.repair import recover_tail
from tests.wal.disk import SectorDisk
from tests.wal.logs import (
    INSTANCE,
    LOG,
    SEGMENT,
    WHOSE,
    append,
    bodies,
    body,
    path,
    records,
    write_batches,
    writer,
)


@pytest.fixture
def disk() -> SectorDisk:
    return SectorDisk()


def test_records_come_back_as_they_were_appended(disk: SectorDisk) -> None:
    log = writer(disk)
    lsn, end = log.append(RecordKind.SNAPSHOT, 9, 2**64 - 1, -5, b"hello")
    assert log.position == end
    assert log.flush() == end == log.durable_lsn == log.written_lsn
    [record] = records(disk)
    assert (record.lsn, record.end_lsn, record.kind, record.body) == (lsn, end, RecordKind.SNAPSHOT, b"hello")
    assert (record.database_id, record.txid, record.time_us) == (9, 2**64 - 1, -5)
    assert (record.epoch, record.timeline, record.durable_lsn) == (1, 1, 0)
    log.close()


def test_the_writers_bytes_are_those_of_the_reference_encoder(disk: SectorDisk) -> None:
    log = writer(disk, epoch=3)
    written = [append(log, body(length, length), number=length) for length in range(20)]
    log.flush()
    expected = b"".join(
        encode_record(
            LOG,
            kind=RecordKind.COMMIT,
            lsn=record.lsn,
            durable_lsn=0,
            database_id=7,
            txid=number,
            time_us=1_000 + number,
            epoch=3,
            body=record.body,
        )
        for number, record in enumerate(written)
    )
    assert disk.files()[path(0)][64 : 64 + len(expected)] == expected
    assert not any(disk.files()[path(0)][64 + len(expected) :])


@given(st.lists(st.lists(st.integers(0, 9000), min_size=1, max_size=5), max_size=6))
def test_records_flow_through_tiny_segments(batches: list[list[int]]) -> None:
    disk = SectorDisk()
    log = writer(disk)
    written = write_batches(log, [[body(n, n) for n in batch] for batch in batches])
    flat = [record for batch in written for record in batch]
    found = records(disk)
    assert [(r.lsn, r.end_lsn, r.durable_lsn, r.body) for r in found] == [
        (r.lsn, r.end_lsn, r.durable_lsn, r.body) for r in flat
    ]
    assert log.verify(0) == len(flat)
    assert log.statistics.records_written == len(flat)
    assert all(len(data) == SEGMENT for data in disk.files().values())
    log.close()
    again = writer(disk, position=log.written_lsn, epoch=2)
    write_batches(again, [[b"more"]])
    assert bodies(disk) == [*(r.body for r in flat), b"more"]


def test_a_record_that_ends_with_its_segment_leaves_the_next_for_later(disk: SectorDisk) -> None:
    log = writer(disk)
    filling = SEGMENT - 64 - 64
    assert append(log, body(filling)).end_lsn == SEGMENT
    log.flush()
    assert list(disk.files()) == [path(0)]
    following = append(log, b"next")
    log.flush()
    assert following.lsn == SEGMENT + 64
    assert following.durable_lsn == SEGMENT
    assert bodies(disk) == [body(filling), b"next"]
    log.close()


def test_one_flush_writes_once_and_syncs_once(disk: SectorDisk) -> None:
    log = writer(disk)
    for _ in range(10):
        append(log, b"x")
    disk.calls.clear()
    log.flush()
    assert disk.calls == [("pwrite", path(0)), ("sync", path(0))]
    assert log.flush() == log.durable_lsn
    assert len(disk.calls) == 2
    assert (log.statistics.batches, log.statistics.syncs, log.statistics.records_written) == (1, 1, 10)
    assert log.statistics.bytes_written == 10 * 72


def test_a_batch_over_two_segments_syncs_the_older_first(disk: SectorDisk) -> None:
    log = writer(disk)
    append(log, body(SEGMENT))
    disk.calls.clear()
    log.flush()
    new = path(1) + ".tmp"
    assert disk.calls == [
        ("create", new),
        ("pwrite", new),
        ("sync", new),
        ("rename", new),
        ("sync_directory", "wal"),
        ("pwrite", path(0)),
        ("pwrite", path(1)),
        ("sync", path(0)),
        ("sync", path(1)),
    ]


def test_every_record_of_a_batch_says_where_its_batch_began(disk: SectorDisk) -> None:
    log = writer(disk)
    [first, second] = write_batches(log, [[b"a", b"b"], [b"c", b"d"]])
    assert {record.durable_lsn for record in first} == {0}
    assert {record.durable_lsn for record in second} == {first[-1].end_lsn}


def test_discarded_records_leave_no_trace(disk: SectorDisk) -> None:
    log = writer(disk)
    kept = append(log, b"kept")
    log.flush()
    append(log, body(3 * SEGMENT))
    assert log.position > SEGMENT
    log.discard_buffered()
    assert log.position == kept.end_lsn
    assert append(log, b"other").lsn == kept.end_lsn
    log.flush()
    assert bodies(disk) == [b"kept", b"other"]
    assert list(disk.files()) == [path(0)]


def test_nosync_writes_without_sync_until_asked(disk: SectorDisk) -> None:
    log = writer(disk, sync_mode="nosync")
    disk.calls.clear()
    write_batches(log, [[b"a"], [b"b"]])
    assert [verb for verb, _ in disk.calls] == ["pwrite", "pwrite"]
    assert (log.durable_lsn, log.written_lsn) == (0, log.position)
    assert log.sync() == log.written_lsn == log.durable_lsn
    assert disk.calls[-1] == ("sync", path(0))
    third = append(log, b"c")
    assert third.durable_lsn == third.lsn


def test_nosync_syncs_all_segments_it_has_touched_in_order(disk: SectorDisk) -> None:
    log = writer(disk, sync_mode="nosync")
    write_batches(log, [[body(3000)], [body(3000)], [body(3000)]])
    disk.calls.clear()
    log.sync()
    assert disk.calls == [("sync", path(0)), ("sync", path(1)), ("sync", path(2))]


@pytest.mark.parametrize("verb", ["pwrite", "sync"])
def test_a_failed_write_or_sync_poisons_the_writer(disk: SectorDisk, verb: str) -> None:
    log = writer(disk)
    write_batches(log, [[b"durable"]])
    durable = log.durable_lsn
    append(log, b"lost")
    disk.fail = lambda called, where: called == verb
    with pytest.raises(EnginePoisonedError, match="open it again") as caught:
        log.flush()
    assert isinstance(caught.value.__cause__, StorageError)
    disk.fail = lambda called, where: False
    calls = len(disk.calls)
    for attempt in (log.flush, log.sync, lambda: append(log, b"x")):
        with pytest.raises(EnginePoisonedError, match="takes no more writes"):
            attempt()
    assert len(disk.calls) == calls
    assert log.poisoned
    assert log.durable_lsn == durable
    log.close()


def test_a_sync_that_fails_once_on_a_real_disk_poisons_too(tmp_path: Path) -> None:
    class FailsOnce(LocalFileSystem):
        __slots__ = ("left",)

        def open(self, where: str, *, write: bool = False):  # type: ignore[no-untyped-def]
            file = super().open(where, write=write)
            real = file

            class Wrapped:
                path = real.path
                pread, pwrite, size = real.pread, real.pwrite, real.size
                truncate, close = real.truncate, real.close

                def sync(wrapped, *, data_only: bool = False) -> None:
                    self.left -= 1
                    if self.left == 0:
                        raise storage_error("sync", where, self.root, errno.EIO)
                    real.sync(data_only=data_only)

            return Wrapped()

    fs = FailsOnce(tmp_path)
    fs.left = 2
    fs.make_directory("wal")
    log = writer(fs)
    write_batches(log, [[b"first"]])
    append(log, b"second")
    with pytest.raises(EnginePoisonedError):
        log.flush()
    with pytest.raises(EnginePoisonedError):
        append(log, b"third")
    log.close()
    end = recover_tail(LocalFileSystem(tmp_path), "wal", from_lsn=0, **WHOSE)
    assert end.records in (1, 2)


def test_a_disk_full_for_a_new_segment_drops_the_batch_and_nothing_else() -> None:
    fs = MemoryFileSystem(capacity=SEGMENT + 100)
    fs.make_directory("wal")
    log = writer(fs)
    write_batches(log, [[b"a"]])
    end = log.durable_lsn
    append(log, body(SEGMENT))
    with pytest.raises(StorageError) as caught:
        log.flush()
    assert caught.value.errno == errno.ENOSPC
    assert not log.poisoned
    assert log.position == end
    assert fs.list("wal") == [path(0).removeprefix("wal/")]
    write_batches(log, [[b"b"]])
    fs.capacity = None
    write_batches(log, [[body(SEGMENT)]])
    assert bodies(fs) == [b"a", b"b", body(SEGMENT)]


def test_a_new_segment_whose_name_may_not_last_poisons(disk: SectorDisk) -> None:
    log = writer(disk)
    append(log, body(SEGMENT))
    disk.fail = lambda verb, where: verb == "sync_directory"
    with pytest.raises(EnginePoisonedError, match="could not be put in place"):
        log.flush()
    assert log.poisoned


def test_a_body_beyond_the_limit_is_refused(disk: SectorDisk) -> None:
    log = writer(disk)
    with pytest.raises(InvalidInputError, match="too long"):
        append(log, bytes(BODY_BYTES_MAX + 1))
    assert append(log, b"x").lsn == 64


def test_a_closed_writer_takes_nothing(disk: SectorDisk) -> None:
    log = writer(disk)
    log.close()
    log.close()
    with pytest.raises(StateError, match="closed"):
        append(log, b"x")
    with pytest.raises(StateError, match="closed"):
        log.flush()


def test_an_unknown_sync_mode_is_refused(disk: SectorDisk) -> None:
    with pytest.raises(InvalidInputError, match="sync mode"):
        writer(disk, sync_mode="perhaps")


def test_a_writer_may_begin_in_the_middle_of_a_segment(disk: SectorDisk) -> None:
    """A new timeline begins where the recovery of an old one ended."""
    position = 5 * SEGMENT + 1000
    log = writer(disk, position=position, timeline=2)
    assert append(log, b"x").lsn == position
    log.flush()
    whose = {**WHOSE, "timeline": 2}
    assert recover_tail(disk, "wal", from_lsn=position, **whose).records == 1


def test_the_segment_of_another_instance_is_refused(disk: SectorDisk) -> None:
    writer(disk).close()
    with pytest.raises(CorruptLogError, match="instance"):
        writer(disk, instance_id=INSTANCE[::-1])


@pytest.mark.parametrize("offset", [64, 64 + 63, 64 + 64, 64 + 64 + 99, SEGMENT + 70])
def test_verify_finds_a_flipped_byte(disk: SectorDisk, offset: int) -> None:
    log = writer(disk)
    write_batches(log, [[body(101)], [body(SEGMENT)]])
    assert log.verify(0) == 2
    disk.nodes[path(offset // SEGMENT)].data[offset % SEGMENT] ^= 4
    with pytest.raises(CorruptLogError, match="known to reach"):
        log.verify(0)
    assert not log.poisoned


def test_verify_looks_at_what_is_written_not_at_what_is_buffered(disk: SectorDisk) -> None:
    log = writer(disk)
    write_batches(log, [[b"a"]])
    append(log, b"b")
    assert log.verify(0) == 1
