"""The local disk where it differs from an ideal one: signals, short writes, limits, refusals and links."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from absdb.errors import StorageError
from absdb.io import local_file
from absdb.io.base import read_file
from absdb.io.failure import from_os_error, readable_size, storage_error
from absdb.io.local import LocalFileSystem

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fs(tmp_path: Path) -> LocalFileSystem:
    """An empty directory."""
    return LocalFileSystem(tmp_path)


class TestWriting:
    def test_goes_on_after_short_writes_and_signals(self, fs, monkeypatch):
        """The system takes three bytes at a time, and is interrupted every other time."""
        calls = []
        whole, pieces = os.pwrite, os.pwritev

        def interrupted() -> None:
            calls.append(1)
            if len(calls) % 2:
                raise InterruptedError(errno.EINTR, "Interrupted system call")

        def pwrite(fd, data, offset):
            interrupted()
            return whole(fd, memoryview(data)[:3], offset)

        def pwritev(fd, buffers, offset):
            interrupted()
            return pieces(fd, [b"".join(buffers)[:3]], offset)

        file = fs.create("a")
        monkeypatch.setattr(os, "pwrite", pwrite)
        monkeypatch.setattr(os, "pwritev", pwritev)
        assert file.pwrite(1, [b"ab", b"", b"cdefg", b"h", b"ijklmnop"]) == 16
        monkeypatch.undo()
        assert file.pread(0, 100) == b"\0abcdefghijklmnop"
        assert len(calls) == 2 * 6
        file.close()

    def test_a_system_that_takes_nothing_is_an_error(self, fs, monkeypatch):
        file = fs.create("a")
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: 0)
        with pytest.raises(StorageError) as caught:
            file.pwrite(0, [b"x"])
        assert caught.value.errno == errno.EIO
        file.close()

    def test_without_pwritev(self, fs, monkeypatch):
        monkeypatch.delattr(os, "pwritev")
        file = fs.create("a")
        assert file.pwrite(0, [b"one", b"two"]) == 6
        assert file.pread(0, 10) == b"onetwo"
        file.close()

    def test_goes_on_after_short_reads(self, fs, monkeypatch):
        file = fs.create("a")
        file.pwrite(0, [b"0123456789"])
        whole = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, length, offset: whole(fd, min(length, 3), offset))
        assert file.pread(1, 8) == b"12345678"
        assert file.pread(1, 100) == b"123456789"
        file.close()

    def test_real_signals(self, fs):
        """Timers fire all the time while a large file is written."""
        previous = signal.signal(signal.SIGALRM, lambda number, frame: None)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            file = fs.create("a")
            chunks = [bytes([number % 256]) * 10_000 for number in range(2000)]
            assert file.pwrite(0, chunks) == 20_000_000
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert file.pread(0, 20_000_000) == b"".join(chunks)
        file.close()


class TestSyncing:
    def test_data_only_uses_fdatasync(self, fs, monkeypatch):
        done = []
        monkeypatch.setattr(os, "fsync", lambda fd: done.append("fsync"))
        monkeypatch.setattr(os, "fdatasync", lambda fd: done.append("fdatasync"), raising=False)
        monkeypatch.setattr(local_file, "_FULL_SYNC", None)
        file = fs.create("a")
        file.sync(data_only=True)
        file.sync()
        fs.sync_directory("")
        assert done == ["fdatasync", "fsync", "fsync"]
        file.close()

    @pytest.mark.parametrize(
        ("code", "expected"),
        [(None, ["full"]), (errno.ENOTSUP, ["full", "fsync"]), (errno.EINVAL, ["full", "fsync"])],
    )
    def test_the_drive_is_told_where_the_system_can(self, fs, monkeypatch, code, expected):
        """As on macOS; a file system without the call falls back to fsync."""
        done = []

        def call(fd, command):
            done.append("full")
            assert command == 51
            if code is not None:
                raise OSError(code, os.strerror(code))

        monkeypatch.setattr(local_file, "_FULL_SYNC", 51)
        monkeypatch.setattr(fcntl, "fcntl", call)
        monkeypatch.setattr(os, "fsync", lambda fd: done.append("fsync"))
        file = fs.create("a")
        file.sync(data_only=True)
        assert done == expected
        file.close()

    def test_a_device_fault_does_not_fall_back(self, fs, monkeypatch):
        def call(fd, command):
            raise OSError(errno.EIO, "fault")

        monkeypatch.setattr(local_file, "_FULL_SYNC", 51)
        monkeypatch.setattr(fcntl, "fcntl", call)
        file = fs.create("a")
        with pytest.raises(StorageError, match=r"cannot sync a in .*EIO"):
            file.sync()
        file.close()

    def test_a_failed_sync_is_not_tried_again(self, fs, monkeypatch):
        calls = []

        def fsync(fd):
            calls.append(fd)
            raise OSError(errno.EIO, "fault")

        monkeypatch.setattr(local_file, "_FULL_SYNC", None)
        monkeypatch.setattr(os, "fsync", fsync)
        file = fs.create("a")
        with pytest.raises(StorageError) as caught:
            file.sync()
        assert caught.value.errno == errno.EIO
        assert "do not trust that disk" in caught.value.hint
        assert len(calls) == 1
        file.close()

    def test_directories_that_cannot_be_synced(self, fs, monkeypatch):
        """EINVAL means that there is no such thing here; anything else is an error."""
        codes = iter([errno.EINVAL, errno.EIO])

        def fsync(fd):
            raise OSError(next(codes), "no")

        monkeypatch.setattr(local_file, "_FULL_SYNC", None)
        monkeypatch.setattr(os, "fsync", fsync)
        fs.sync_directory("")
        with pytest.raises(StorageError):
            fs.sync_directory("")

    def test_new_directories_are_synced_from_the_top(self, tmp_path, monkeypatch):
        synced = []
        monkeypatch.setattr("absdb.io.local.sync_directory", lambda full: synced.append(Path(full)))
        fs = LocalFileSystem(tmp_path / "x" / "y")
        fs.make_directory("")
        assert synced == [tmp_path, tmp_path / "x"]
        synced.clear()
        fs.make_directory("a/b")
        assert synced == [tmp_path / "x" / "y", tmp_path / "x" / "y" / "a"]
        synced.clear()
        fs.make_directory("a/b")  # somebody made it, and may have crashed before it was durable
        assert synced == [tmp_path / "x" / "y" / "a"]


class TestFiles:
    def test_the_root_may_come_later(self, tmp_path):
        fs = LocalFileSystem(tmp_path / "later")
        assert fs.list("") == []
        assert not fs.exists("")
        fs.make_directory("")
        assert fs.exists("")

    def test_the_root_is_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        fs = LocalFileSystem("here")
        fs.make_directory("")
        monkeypatch.chdir("/")
        fs.create("a").close()
        assert (tmp_path / "here" / "a").exists()

    def test_new_names_do_not_follow_links(self, fs, tmp_path, tmp_path_factory):
        outside = tmp_path_factory.mktemp("outside") / "target"
        (tmp_path / "link").symlink_to(outside)
        with pytest.raises(StorageError) as caught:
            fs.create("link")
        assert caught.value.errno == errno.EEXIST
        with pytest.raises(StorageError):
            fs.map_shared("link", 8, write=True)
        with pytest.raises(StorageError):
            fs.lock("link", {})
        assert not outside.exists()

    def test_a_directory_may_be_a_link(self, fs, tmp_path, tmp_path_factory):
        """As when the log lies on a disk of its own."""
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        (tmp_path / "wal").symlink_to(elsewhere)
        fs.make_directory("wal")
        fs.create("wal/a").close()
        assert (elsewhere / "a").exists()

    def test_maps_hold_no_descriptors(self, fs):
        """Thousands of page files may be mapped at a time."""
        buffers = []
        with at_most_open_files(more=50):
            for number in range(2000):
                file = fs.create(f"p{number}")
                file.pwrite(0, [bytes([number % 256]) * 100])
                file.close()
                buffers.append(fs.map(f"p{number}"))
        assert all(buffer.to_pybytes() == bytes([n % 256]) * 100 for n, buffer in enumerate(buffers))

    def test_a_file_nobody_closed_is_reported(self, fs):
        def forget() -> None:
            fs.create("forgotten")
            gc.collect()

        before = os.listdir("/dev/fd")
        with pytest.warns(ResourceWarning, match="forgotten"):
            forget()
        assert os.listdir("/dev/fd") == before

    def test_a_child_process_gets_no_descriptor(self, fs):
        file = fs.create("a")
        lock = fs.lock("lock", {})
        listing = "import os, sys; print(*[os.path.realpath(f'/dev/fd/{n}') for n in os.listdir('/dev/fd')])"
        shown = subprocess.run(
            [sys.executable, "-c", listing], capture_output=True, text=True, close_fds=False
        )
        assert fs.root not in shown.stdout
        file.close()
        lock.release()

    def test_other_kinds_of_file_are_refused(self, fs, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        opener = threading.Thread(target=lambda: os.close(os.open(tmp_path / "pipe", os.O_RDWR)))
        opener.start()
        with pytest.raises(StorageError, match="not a regular file"):
            fs.open("pipe", write=True)
        opener.join()


class TestRefusals:
    def test_permission(self):
        """Tried as a user without rights; root may do anything."""
        with tempfile.TemporaryDirectory() as reachable:
            os.chmod(reachable, 0o755)
            hidden = Path(reachable) / "hidden"
            hidden.mkdir(mode=0o700)
            shown = run(
                f"""
                import os
                if os.geteuid() == 0:
                    os.setuid(65534)
                else:
                    os.chmod({str(hidden)!r}, 0)
                report(lambda: LocalFileSystem({str(hidden)!r}).create("a"))
                report(lambda: LocalFileSystem({str(hidden)!r}).exists("a"))
                """
            )
            hidden.chmod(0o700)
        for error in shown:
            assert error["errno"] == errno.EACCES
            assert "this process runs as user" in error["hint"]
            assert "with mode 0" in error["hint"]

    def test_too_many_open_files(self, fs):
        files = []

        def open_more() -> None:
            for number in range(100_000):
                files.append(fs.create(f"f{number}"))

        with at_most_open_files(more=50) as limit, pytest.raises(StorageError) as caught:
            open_more()
        for file in files:
            file.close()
        assert len(files) >= 50
        assert caught.value.errno == errno.EMFILE
        assert f"limit of {limit} open files" in caught.value.hint
        assert "ulimit -n" in caught.value.hint

    def test_a_full_disk(self, tmp_path):
        """A real one of 64 KiB where the system lets us make it, else a limit on the size of files."""
        place = str(tmp_path)
        if may_mount():
            setup = (
                f"subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', {place!r}], check=True)"
            )
            around, code = ["unshare", "-Urm"], errno.ENOSPC
        else:
            setup = "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))"
            around, code = [], errno.EFBIG
        shown = run(
            f"""
            import resource, subprocess
            {setup}
            fs = LocalFileSystem({place!r})
            fs.make_directory("wal")
            file = fs.create("wal/a")
            report(lambda: file.pwrite(0, [b"x" * 40_000, b"y" * 40_000]))
            print(json.dumps({{"size": file.size(), "start": file.pread(0, 3).decode()}}))
            file.truncate(100)             # what was refused is given back
            file.pwrite(100, [b"z" * 1000])
            file.sync()
            print(json.dumps({{"size": file.size()}}))
            """,
            around=around,
        )
        error, after, later = shown
        assert error["errno"] == code
        assert error["path"] == "wal/a"
        assert error["hint"]
        if code == errno.ENOSPC:
            assert "are free on that disk" in error["hint"]
        assert after["start"] == "xxx"
        assert after["size"] <= 65536
        assert later == {"size": 1100}

    def test_a_limit_on_the_size_of_files(self, tmp_path):
        shown = run(
            f"""
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
            file = LocalFileSystem({str(tmp_path)!r}).create("a")
            report(lambda: file.pwrite(0, [b"x" * 20_000]))
            report(lambda: file.truncate(20_000))
            """
        )
        assert [error["errno"] for error in shown] == [errno.EFBIG, errno.EFBIG]
        assert "ulimit -f" in shown[0]["hint"]

    @pytest.mark.parametrize(
        "code", [errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENFILE, errno.ENOLCK, errno.ESTALE]
    )
    def test_every_refusal_of_note_comes_with_advice(self, tmp_path, code):
        error = from_os_error("write", "wal/a", str(tmp_path), OSError(code, "x"))
        assert error.errno == code
        assert error.strerror == os.strerror(code)
        assert (error.path, error.root, error.doing) == ("wal/a", str(tmp_path), "write")
        words = f"{os.strerror(code)} ({errno.errorcode[code]})"
        assert str(error).startswith(f"cannot write wal/a in {tmp_path}: {words}")
        assert "\n  hint: " in str(error)

    def test_advice_does_not_need_the_place(self):
        for code in (errno.ENOSPC, errno.EACCES, errno.EMFILE):
            assert storage_error("write", "a", ":memory:", code).hint
        assert storage_error("write", "a", ":memory:", 99999).errno == 99999

    def test_sizes_for_people(self):
        shown = [readable_size(size) for size in (0, 1023, 1024, 1536, 5 * 1024**2, 3 * 1024**3, 2 * 1024**4)]
        assert shown == ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 GiB", "2.0 TiB"]


def test_reads_what_another_process_wrote(fs, tmp_path):
    run(
        f"""
        fs = LocalFileSystem({str(tmp_path)!r})
        file = fs.create("a")
        file.pwrite(0, [b"from afar"])
        file.close()
        view = fs.map_shared("watermark", 64, write=True)
        view[0] = 9
        """
    )
    assert read_file(fs, "a") == b"from afar"
    assert fs.map_shared("watermark", 64, write=False)[0] == 9


@contextmanager
def at_most_open_files(*, more: int) -> Iterator[int]:
    """Let this process open so many files more than it has; gives the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(map(int, os.listdir("/dev/fd"))) + more
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def may_mount() -> bool:
    """Whether this user may make a file system in a namespace of its own."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    tried = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True)
    return tried.returncode == 0


def run(code: str, *, around: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Run code in a process of its own; gives the JSON objects it prints, such as `report(call)` does."""
    frame = f"""
        import json, sys
        sys.path.insert(0, {str(ROOT)!r})
        from absdb.errors import StorageError
        from absdb.io.local import LocalFileSystem
        def report(call):
            try:
                print(json.dumps({{"result": repr(call())}}))
            except StorageError as error:
                print(json.dumps({{"errno": error.errno, "hint": error.hint, "path": error.path}}))
    """
    program = textwrap.dedent(frame) + textwrap.dedent(code)
    command = [*around, sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
