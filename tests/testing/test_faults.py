"""File systems that go wrong do so when told to, and leave what they are said to leave."""

from __future__ import annotations

import errno
import itertools
import threading
import time

import pytest

from absdb.errors import StorageError
from absdb.io.base import read_file, write_atomic
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import (
    Fault,
    FaultyFileSystem,
    PowerLoss,
    RecordingFileSystem,
    SlowSync,
    crash_states,
)


def faulty(*plan: Fault) -> FaultyFileSystem:
    """A faulty file system around memory, with a file `a` that was there before."""
    inner = MemoryFileSystem()
    write_atomic(inner, "a", b"0123456789")
    return FaultyFileSystem(inner, plan)


class TestPlans:
    def test_the_nth_call_fails_once(self):
        fs = faulty(Fault("size", call=2, error=errno.EACCES))
        assert fs.size("a") == 10
        with pytest.raises(StorageError, match="cannot size a in :memory:") as caught:
            fs.size("a")
        assert caught.value.errno == errno.EACCES
        assert fs.size("a") == 10
        assert [(op, path) for op, path, _ in fs.fired] == [("size", "a")]

    def test_or_from_then_on(self):
        fs = faulty(Fault("list", call=2, forever=True))
        fs.list("")
        for _ in range(3):
            with pytest.raises(StorageError):
                fs.list("")
        assert fs.size("a") == 10

    def test_any_call_counts_but_close(self):
        fs = faulty(Fault(call=3))
        file = fs.open("a")
        file.close()
        file.close()
        fs.exists("a")
        with pytest.raises(StorageError):
            fs.free_bytes()
        assert fs.calls == {"open": 1, "close": 2, "exists": 1, "free_bytes": 1, "*": 3}

    def test_paths_are_counted_apart(self):
        fs = faulty(Fault("create", call=2, path="wal/*"))
        fs.make_directory("wal")
        for path in ("b", "wal/1", "c"):
            fs.create(path).close()
        with pytest.raises(StorageError):
            fs.create("wal/2")

    def test_several_faults(self):
        fs = faulty(
            Fault("size", call=1), Fault("size", call=2, error=errno.EDQUOT), Fault(call=4, error=errno.EINTR)
        )
        codes = []
        for _ in range(6):
            try:
                fs.size("a")
                codes.append(0)
            except StorageError as error:
                codes.append(error.errno)
        assert codes == [errno.EIO, errno.EDQUOT, 0, errno.EINTR, 0, 0]

    @pytest.mark.parametrize(
        "op", ["create", "rename", "unlink", "make_directory", "sync_directory", "lock", "map"]
    )
    def test_a_failed_call_does_nothing(self, op):
        fs = faulty(Fault(op, error=errno.EROFS))
        calls = {
            "create": lambda: fs.create("b"),
            "rename": lambda: fs.rename("a", "b"),
            "unlink": lambda: fs.unlink("a"),
            "make_directory": lambda: fs.make_directory("b"),
            "sync_directory": lambda: fs.sync_directory(""),
            "lock": lambda: fs.lock("lock", {}),
            "map": lambda: fs.map("a"),
        }
        with pytest.raises(StorageError):
            calls[op]()
        assert fs.list("") == ["a"]
        assert fs.lock_owner("lock") is None

    def test_a_close_may_fail_and_closes_all_the_same(self):
        inner = MemoryFileSystem()
        fs = FaultyFileSystem(inner, [Fault("close")])
        file = fs.create("a")
        with pytest.raises(StorageError):
            file.close()
        assert repr(file.inner) == "<MemoryFile 'a' (closed)>"

    def test_every_call_of_a_workload_fails_in_turn(self):
        """The loop that tests of recovery use: until no fault fires any more."""
        outcomes = []
        for call in itertools.count(1):
            fs = faulty(Fault(call=call))
            try:
                write_atomic(fs, "a", b"new")
            except StorageError:
                assert read_file(fs.inner, "a") in (b"0123456789", b"new")
                outcomes.append(fs.fired[0][0])
            if not fs.fired:
                break
        assert outcomes == ["exists", "create", "pwrite", "sync", "rename", "sync_directory"]


class TestContents:
    def test_a_write_may_be_cut_short(self):
        fs = faulty(Fault("pwrite", call=2, error=errno.ENOSPC, written=4))
        file = fs.create("b")
        file.pwrite(0, [b"good"])
        with pytest.raises(StorageError, match="No space left"):
            file.pwrite(4, [b"ab", b"cdef"])
        assert file.pread(0, 100) == b"goodabcd"

    def test_bits_flip_on_reading(self):
        fs = faulty(Fault(call=2, flip=8), Fault("map", flip=0), Fault("pread", call=3, flip=83))
        file = fs.open("a")
        assert file.pread(0, 10) == b"0123456789"
        assert file.pread(0, 10) == b"0023456789"
        assert file.pread(0, 10) == b"8123456789"
        assert file.pread(0, 10) == b"0123456789"
        assert fs.map("a").to_pybytes() == b"1123456789"
        assert fs.map("a").to_pybytes() == b"0123456789"
        assert read_file(fs.inner, "a") == b"0123456789"

    def test_nothing_to_flip(self):
        fs = faulty(Fault("pread", flip=5))
        assert fs.open("a").pread(100, 5) == b""


class TestPower:
    def test_after_a_power_loss_nothing_works(self):
        fs = faulty()
        file = fs.open("a", write=True)
        lock = fs.lock("lock", {})
        fs.crash()
        for call in (
            lambda: fs.exists("a"),
            lambda: file.pread(0, 1),
            lambda: file.pwrite(0, [b"x"]),
            file.sync,
        ):
            with pytest.raises(PowerLoss):
                call()
        file.close()
        lock.release()

    def test_it_strikes_at_a_call(self):
        recorder = RecordingFileSystem()
        fs = FaultyFileSystem(recorder, [Fault("rename", crash=True)])
        with pytest.raises(PowerLoss, match=r"rename control\.tmp"):
            write_atomic(fs, "control", b"new")
        with pytest.raises(PowerLoss):
            fs.list("")
        states = list(crash_states(recorder.log, limit=None))
        assert {tuple(state.list("")) for state in states} == {(), ("control.tmp",)}

    def test_it_is_no_exception_that_code_under_test_would_catch(self):
        assert not issubclass(PowerLoss, Exception)

    def test_what_a_failed_sync_left_out_no_later_sync_brings(self):
        recorder = RecordingFileSystem()
        fs = FaultyFileSystem(recorder, [Fault("sync", call=2)])
        file = fs.create("a")
        file.pwrite(0, [b"first"])
        file.sync()
        fs.sync_directory("")
        file.pwrite(0, [b"wrong"])
        with pytest.raises(StorageError):
            file.sync()
        file.sync()
        found = {read_file(state, "a") for state in crash_states(recorder.log, first=len(recorder.log))}
        assert found == {b"first", b"wrong"}
        file.pwrite(0, [b"right"])
        file.sync()
        found = {read_file(state, "a") for state in crash_states(recorder.log, first=len(recorder.log))}
        assert found == {b"right"}


def test_slow_syncs_take_their_time():
    fs = SlowSync(MemoryFileSystem(), 0.02)
    file = fs.create("a")
    start = time.monotonic()
    threads = [threading.Thread(target=lambda: file.sync(data_only=True)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fs.sync_directory("")
    assert time.monotonic() - start >= 0.02
    assert fs.syncs == 4
