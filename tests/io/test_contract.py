"""What every FileSystem promises, tried on all of them: the local disk, memory, and the testing ones.

Whoever writes another FileSystem adds it to `MAKERS` and is held to the same.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import AbsdbError, InvalidInputError, LockedError, StateError, StorageError
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import FaultyFileSystem, RecordingFileSystem, SlowSync

_numbers = itertools.count()


def _local(directory: Path) -> FileSystem:
    fs = LocalFileSystem(directory / f"root{next(_numbers)}")
    fs.make_directory("")
    return fs


MAKERS: dict[str, Callable[[Path], FileSystem]] = {
    "local": _local,
    "memory": lambda directory: MemoryFileSystem(),
    "recording": lambda directory: RecordingFileSystem(),
    "faulty": lambda directory: FaultyFileSystem(MemoryFileSystem()),
    "faulty local": lambda directory: FaultyFileSystem(_local(directory)),
    "slow": lambda directory: SlowSync(MemoryFileSystem(), 0.0),
}


@pytest.fixture(params=MAKERS)
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    """An empty file system of each kind."""
    return MAKERS[request.param](tmp_path)


def put(fs: FileSystem, path: str, data: bytes = b"") -> None:
    """A file with these bytes."""
    file = fs.create(path)
    file.pwrite(0, [data])
    file.close()


def refusal(code: int, call: Callable[..., object], *args: object) -> StorageError:
    """The StorageError that a call raises, with this errno and a path."""
    with pytest.raises(StorageError) as caught:
        call(*args)
    assert caught.value.errno == code
    assert errno.errorcode[code] in str(caught.value)
    assert isinstance(caught.value, OSError)
    return caught.value


def test_is_a_file_system(fs):
    assert isinstance(fs, FileSystem)
    assert isinstance(fs.root, str)


class TestContents:
    def test_chunks_of_every_kind_are_written_in_a_row(self, fs):
        file = fs.create("a")
        numbers = np.arange(3, dtype=np.int32)
        chunks = [b"one", bytearray(b"two"), b"", memoryview(b"three"), pa.py_buffer(b"four"), numbers.data]
        assert file.pwrite(5, chunks) == 3 + 3 + 5 + 4 + 12
        assert file.pread(0, 100) == bytes(5) + b"onetwothreefour" + numbers.tobytes()
        assert file.size() == fs.size("a") == 32
        file.close()

    def test_more_chunks_than_one_call_to_the_system_takes(self, fs):
        file = fs.create("a")
        chunks = [bytes([number % 251]) * (number % 7) for number in range(5000)]
        assert file.pwrite(0, chunks) == len(b"".join(chunks))
        assert file.pread(0, 10**6) == b"".join(chunks)
        file.close()

    def test_nothing_to_write(self, fs):
        file = fs.create("a")
        assert file.pwrite(0, []) == 0
        assert file.pwrite(100, [b"", bytearray()]) == 0
        assert file.size() == 0
        file.close()

    def test_reads_end_with_the_file(self, fs):
        put(fs, "a", b"0123456789")
        file = fs.open("a")
        assert file.pread(4, 3) == b"456"
        assert file.pread(8, 100) == b"89"
        assert file.pread(10, 1) == b""
        assert file.pread(1000, 1) == b""
        assert file.pread(3, 0) == b""
        file.close()

    def test_writing_beyond_the_end_leaves_zeros(self, fs):
        file = fs.create("a")
        file.pwrite(6000, [b"x"])
        assert file.pread(0, 6001) == bytes(6000) + b"x"
        file.close()

    def test_overwriting_keeps_the_rest(self, fs):
        put(fs, "a", b"0123456789")
        file = fs.open("a", write=True)
        file.pwrite(2, [b"AB", b"CD"])
        assert file.pread(0, 10) == b"01ABCD6789"
        file.close()

    def test_truncate_cuts_and_extends_with_zeros(self, fs):
        put(fs, "a", b"0123456789")
        file = fs.open("a", write=True)
        file.truncate(3)
        assert file.pread(0, 10) == b"012"
        file.truncate(6)
        assert file.pread(0, 10) == b"012\0\0\0"
        refusal(errno.EINVAL, file.truncate, -1)
        file.close()

    def test_sync_of_either_kind(self, fs):
        file = fs.create("a")
        file.pwrite(0, [b"x"])
        file.sync()
        file.sync(data_only=True)
        file.close()

    def test_two_handles_see_one_file(self, fs):
        first = fs.create("a")
        second = fs.open("a", write=True)
        first.pwrite(0, [b"abc"])
        second.pwrite(3, [b"def"])
        assert first.pread(0, 10) == second.pread(0, 10) == b"abcdef"
        assert first.path == second.path == "a"
        first.close()
        assert second.pread(0, 10) == b"abcdef"
        second.close()

    def test_a_handle_for_reading_does_not_write(self, fs):
        put(fs, "a", b"abc")
        file = fs.open("a")
        refusal(errno.EBADF, file.pwrite, 0, [b"x"])
        with pytest.raises(StorageError):
            file.truncate(0)
        assert file.pread(0, 10) == b"abc"
        file.close()

    def test_a_closed_file_says_so(self, fs):
        file = fs.create("a")
        file.close()
        file.close()
        calls = [lambda: file.pread(0, 1), lambda: file.pwrite(0, [b"x"]), file.sync, file.size]
        for call in [*calls, lambda: file.truncate(0)]:
            with pytest.raises(StateError, match="closed"):
                call()
        assert "a" in repr(file)

    def test_many_threads_read_while_one_writes(self, fs):
        file = fs.create("a")
        file.pwrite(0, [bytes([number]) * 1000 for number in range(50)])
        wrong: list[object] = []

        def read(start: int) -> None:
            for step in range(200):
                number = (start + step) % 50
                if file.pread(number * 1000, 1000) != bytes([number]) * 1000:
                    wrong.append(number)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for number in range(50, 80):
            file.pwrite(number * 1000, [bytes([number]) * 1000])
        for thread in threads:
            thread.join()
        assert wrong == []
        file.close()


class TestMaps:
    def test_a_map_is_the_file(self, fs):
        put(fs, "a", b"0123456789" * 1000)
        buffer = fs.map("a")
        assert isinstance(buffer, pa.Buffer)
        assert buffer.to_pybytes() == b"0123456789" * 1000
        assert not buffer.is_mutable
        assert memoryview(buffer).readonly

    def test_an_empty_file_is_an_empty_buffer(self, fs):
        put(fs, "a")
        assert fs.map("a").size == 0

    def test_a_map_outlives_the_file(self, fs):
        put(fs, "a", b"x" * 10_000)
        buffer = fs.map("a")
        fs.unlink("a")
        put(fs, "a", b"y" * 20_000)
        assert buffer.to_pybytes() == b"x" * 10_000

    def test_a_map_can_be_written_to_another_file(self, fs):
        put(fs, "a", b"x" * 10_000)
        put(fs, "b", fs.map("a"))
        assert read_file(fs, "b") == b"x" * 10_000

    def test_shared_maps_see_each_other(self, fs):
        writer = fs.map_shared("watermark", 4096, write=True)
        reader = fs.map_shared("watermark", 4096, write=False)
        assert bytes(reader) == bytes(4096)
        writer[8:16] = (77).to_bytes(8, "little")
        assert reader[8] == 77
        assert reader.readonly
        assert len(writer) == len(reader) == 4096
        assert fs.size("watermark") == 4096

    def test_a_shared_map_keeps_what_was_there(self, fs):
        put(fs, "watermark", b"abc")
        assert bytes(fs.map_shared("watermark", 8, write=True)) == b"abc" + bytes(5)
        assert bytes(fs.map_shared("watermark", 4, write=False)) == b"abc\0"

    def test_a_shared_map_to_read_needs_a_file_of_that_length(self, fs):
        with pytest.raises(StorageError) as caught:
            fs.map_shared("watermark", 4096, write=False)
        assert caught.value.errno == errno.ENOENT
        put(fs, "watermark", b"short")
        with pytest.raises(StorageError) as caught:
            fs.map_shared("watermark", 4096, write=False)
        assert caught.value.errno == errno.ENODATA


class TestNames:
    def test_create_refuses_a_taken_name(self, fs):
        put(fs, "a", b"old")
        refusal(errno.EEXIST, fs.create, "a")
        assert read_file(fs, "a") == b"old"

    def test_what_is_not_there(self, fs):
        for call in (fs.open, fs.map, fs.size, fs.unlink):
            error = refusal(errno.ENOENT, call, "nothing")
            assert error.path == "nothing"
            assert fs.root in str(error)
        refusal(errno.ENOENT, fs.create, "nowhere/a")
        refusal(errno.ENOENT, fs.rename, "nothing", "b")
        refusal(errno.ENOENT, fs.sync_directory, "nowhere")
        assert not fs.exists("nothing")
        assert not fs.exists("nowhere/a")
        assert fs.list("nowhere") == []

    def test_a_directory_is_not_a_file(self, fs):
        fs.make_directory("wal")
        put(fs, "a")
        refusal(errno.EISDIR, fs.open, "wal")
        refusal(errno.ENOTDIR, fs.list, "a")
        refusal(errno.ENOTDIR, fs.open, "a/b")
        refusal(errno.EEXIST, fs.make_directory, "a")
        with pytest.raises(StorageError):
            fs.unlink("wal")
        with pytest.raises(StorageError):
            fs.rename("a", "wal")

    def test_directories(self, fs):
        fs.make_directory("one/two/three")
        fs.make_directory("one/two")
        fs.make_directory("one/two/three")
        assert fs.list("") == ["one"]
        assert fs.list("one") == ["two"]
        assert fs.list("one/two/three") == []
        assert fs.exists("one/two")
        assert fs.exists("")
        put(fs, "one/b")
        put(fs, "one/a")
        put(fs, "onetoo")
        assert fs.list("one") == ["a", "b", "two"]
        for directory in ("", "one", "one/two/three"):
            fs.sync_directory(directory)

    def test_rename_replaces(self, fs):
        fs.make_directory("pages")
        put(fs, "a", b"new")
        put(fs, "b", b"old")
        old = fs.open("b")
        fs.rename("a", "b")
        assert fs.list("") == ["b", "pages"]
        assert read_file(fs, "b") == b"new"
        assert old.pread(0, 10) == b"old"
        old.close()
        fs.rename("b", "pages/c")
        assert fs.list("pages") == ["c"]
        assert not fs.exists("b")

    def test_an_open_file_outlives_its_name(self, fs):
        file = fs.create("a")
        fs.unlink("a")
        file.pwrite(0, [b"still"])
        file.sync()
        assert file.pread(0, 10) == b"still"
        file.close()
        assert not fs.exists("a")

    def test_write_atomic(self, fs):
        write_atomic(fs, "control", b"first")
        put(fs, "control.tmp", b"left over by a crash, and longer than what comes")
        write_atomic(fs, "control", b"second")
        assert read_file(fs, "control") == b"second"
        assert fs.list("") == ["control"]

    @pytest.mark.parametrize(
        "path",
        ["/etc/passwd", "..", "../a", "a/../../b", "a/..", "./a", "a//b", "a/", "a\\..\\b", "a\0b", "C:/a"],
    )
    def test_paths_stay_inside(self, fs, path):
        calls: list[Callable[[], object]] = [
            lambda: fs.create(path),
            lambda: fs.open(path),
            lambda: fs.map(path),
            lambda: fs.map_shared(path, 8, write=True),
            lambda: fs.exists(path),
            lambda: fs.size(path),
            lambda: fs.list(path),
            lambda: fs.make_directory(path),
            lambda: fs.rename("x", path),
            lambda: fs.unlink(path),
            lambda: fs.sync_directory(path),
            lambda: fs.lock(path, {}),
            lambda: fs.lock_owner(path),
        ]
        put(fs, "x")
        for call in calls:
            with pytest.raises(InvalidInputError, match="not a path inside"):
                call()
        assert fs.list("") == ["x"]

    def test_free_bytes(self, fs):
        assert fs.free_bytes() > 0


class TestLock:
    def test_second_lock_names_the_holder(self, fs):
        lock = fs.lock("lock", {"since": "2026-01-01 00:00:00Z", "version": "1.2"})
        with pytest.raises(LockedError) as caught:
            fs.lock("lock", {})
        error = caught.value
        assert error.pid == os.getpid()
        assert error.host
        assert error.since == "2026-01-01 00:00:00Z"
        assert error.version == "1.2"
        assert f"pid {os.getpid()}" in str(error)
        assert "since 2026-01-01 00:00:00Z" in str(error)
        assert "this process" in str(error)
        owner = fs.lock_owner("lock")
        assert owner is not None
        assert (owner["pid"], owner["since"]) == (os.getpid(), "2026-01-01 00:00:00Z")
        lock.release()

    def test_released_is_free(self, fs):
        assert fs.lock_owner("lock") is None
        lock = fs.lock("lock", {})
        lock.release()
        assert fs.lock_owner("lock") is None
        again = fs.lock("lock", {"pid": 1, "host": "elsewhere"})
        lock.release()  # of a lock that is no longer ours: harmless
        assert fs.lock_owner("lock") == {"pid": 1, "host": "elsewhere"}
        again.release()
        again.release()

    def test_old_content_is_no_lock(self, fs):
        put(fs, "lock", b'{"pid": 1, "host": "gone"}')
        assert fs.lock_owner("lock") is None
        fs.lock("lock", {}).release()


@pytest.mark.parametrize("kind", ["local", "recording"])
@given(data=st.data())
def test_a_file_behaves_like_a_bytearray(kind, data, tmp_path_factory):
    """Any writes and truncations, against the obvious model."""
    fs = MAKERS[kind](tmp_path_factory.mktemp("model"))
    with closing(fs.create("a")) as file:
        model = bytearray()
        sizes = st.integers(0, 5000)
        for _ in range(data.draw(st.integers(1, 12))):
            if data.draw(st.booleans()):
                offset = data.draw(sizes)
                chunks = data.draw(st.lists(st.binary(max_size=600), max_size=5))
                joined = b"".join(chunks)
                assert file.pwrite(offset, chunks) == len(joined)
                if joined:
                    model.extend(bytes(max(0, offset - len(model))))
                    model[offset : offset + len(joined)] = joined
            else:
                size = data.draw(sizes)
                file.truncate(size)
                del model[size:]
                model.extend(bytes(size - len(model)))
            assert file.size() == len(model)
            start, length = data.draw(sizes), data.draw(sizes)
            assert file.pread(start, length) == model[start : start + length]
    assert fs.map("a").to_pybytes() == model


def test_every_refusal_is_ours(fs):
    """Nothing but errors of this package comes out, whatever the call."""
    calls: list[Callable[[], object]] = [
        lambda: fs.open("no"),
        lambda: fs.create("no/no"),
        lambda: fs.map("no"),
        lambda: fs.rename("no", "a"),
        lambda: fs.lock("no/lock", {}),
        lambda: fs.map_shared("no/map", 8, write=True),
        lambda: fs.make_directory("no\0"),
    ]
    for call in calls:
        with pytest.raises(AbsdbError):
            call()
