"""The lock on an instance, between processes: held, probed, inherited, and left behind by the dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from absdb.errors import LockedError, StorageError
from absdb.io import lock as module
from absdb.io.local import LocalFileSystem

ROOT = Path(__file__).resolve().parents[2]
SINCE = "2026-04-04 14:05:00Z"


@pytest.fixture
def fs(tmp_path: Path) -> LocalFileSystem:
    """An empty directory."""
    return LocalFileSystem(tmp_path)


@contextmanager
def process(fs: LocalFileSystem, code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs code with `fs` and `say(text)`; it may wait with `input()`."""
    frame = f"""
        import os, sys
        sys.path.insert(0, {str(ROOT)!r})
        from absdb.errors import LockedError
        from absdb.io.local import LocalFileSystem
        fs = LocalFileSystem({fs.root!r})
        def say(text):
            print(text, flush=True)
    """
    program = textwrap.dedent(frame) + textwrap.dedent(code)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


@contextmanager
def holder(fs: LocalFileSystem) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is told something."""
    code = f"""
        lock = fs.lock("lock", {{"since": {SINCE!r}}})
        say("held")
        input()
        lock.release()
        say("released")
        input()
    """
    with process(fs, code) as other:
        assert heard(other) == "held"
        yield other


def heard(other: subprocess.Popen[str]) -> str:
    """The next line another process says."""
    assert other.stdout is not None
    return other.stdout.readline().strip()


def tell(other: subprocess.Popen[str]) -> None:
    """Let another process go on."""
    assert other.stdin is not None
    other.stdin.write("\n")
    other.stdin.flush()


def test_another_process_is_named(fs):
    with holder(fs) as other:
        with pytest.raises(LockedError) as caught:
            fs.lock("lock", {})
        error = caught.value
        assert (error.pid, error.host, error.since) == (other.pid, socket.gethostname(), SINCE)
        assert str(error).startswith(
            f"{fs.root} is locked by process {other.pid} on {socket.gethostname()} since {SINCE}"
        )
        assert "read-only" in error.hint
        owner = fs.lock_owner("lock")
        assert owner == {"pid": other.pid, "host": socket.gethostname(), "since": SINCE}
        tell(other)
        assert heard(other) == "released"
        assert fs.lock_owner("lock") is None
        fs.lock("lock", {}).release()


def test_a_killed_holder_holds_nothing(fs):
    with holder(fs) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert b"pid" in Path(fs.root, "lock").read_bytes()
        assert fs.lock_owner("lock") is None
        lock = fs.lock("lock", {})
        assert fs.lock_owner("lock") == lock.owner
        lock.release()
        assert Path(fs.root, "lock").read_bytes() == b""


def test_this_process_is_seen_by_another(fs):
    lock = fs.lock("lock", {"since": SINCE})
    with process(
        fs,
        """
        try:
            fs.lock("lock", {})
        except LockedError as error:
            say(f"{error.pid} {error.since}")
        say(fs.lock_owner("lock")["pid"])
        """,
    ) as other:
        assert heard(other) == f"{os.getpid()} {SINCE}"
        assert heard(other) == str(os.getpid())
    lock.release()


def test_a_second_connection_of_this_process_is_refused(fs):
    """By another file system on the same directory, reached by another path."""
    alias = Path(fs.root).with_name("alias")
    alias.symlink_to(fs.root)
    lock = fs.lock("lock", {})
    again = LocalFileSystem(alias)
    with pytest.raises(LockedError, match="this process"):
        again.lock("lock", {})
    assert again.lock_owner("lock") == lock.owner
    lock.release()
    again.lock("lock", {}).release()


def test_this_process_is_refused_where_locks_are_per_process(fs, monkeypatch):
    """As on some network file systems, where a process never stands in its own way."""
    monkeypatch.setattr(module.fcntl, "flock", lambda fd, how: None)
    lock = fs.lock("lock", {})
    with pytest.raises(LockedError, match="this process"):
        fs.lock("lock", {})
    lock.release()


def test_a_forked_child_neither_holds_nor_releases(fs):
    with process(
        fs,
        """
        lock = fs.lock("lock", {})
        child = os.fork()
        if child == 0:
            lock.release()                       # of what it does not hold: harmless
            try:
                fs.lock("lock", {})
            except LockedError as error:
                say(f"child refused by {error.pid}")
            sys.stdin.read()
            os._exit(0)
        sys.stdin.read()
        """,
    ) as other:
        assert heard(other) == f"child refused by {other.pid}"
        with pytest.raises(LockedError):
            fs.lock("lock", {})
        other.send_signal(signal.SIGKILL)
        other.wait()
        fs.lock("lock", {}).release()  # the child still lives, and keeps nothing alive


def test_probes_do_not_stand_in_the_way(fs):
    """While others look all the time who holds the lock, taking it works."""
    with process(
        fs,
        """
        say("looking")
        while True:
            fs.lock_owner("lock")
        """,
    ) as other:
        fs.lock("lock", {}).release()
        assert heard(other) == "looking"
        for _ in range(50):
            fs.lock("lock", {}).release()


def test_a_probe_gives_back_what_it_took(fs):
    fs.lock("lock", {}).release()
    assert fs.lock_owner("lock") is None
    with process(fs, "fs.lock('lock', {}); say('taken')") as other:
        assert heard(other) == "taken"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"7"])
def test_a_holder_that_has_not_said_who_it_is(fs, content):
    with holder(fs) as other:
        Path(fs.root, "lock").write_bytes(content)
        assert fs.lock_owner("lock") == {}
        with pytest.raises(LockedError, match="another process") as caught:
            fs.lock("lock", {})
        assert caught.value.pid is None
        assert other.poll() is None


def test_the_owner_may_hold_anything_json_knows_and_more(fs):
    lock = fs.lock("lock", {"since": SINCE, "path": Path("/x"), "message": "not mine", "hint": "nor this"})
    written = json.loads(Path(fs.root, "lock").read_bytes())
    assert written["path"] == "/x"
    with pytest.raises(LockedError) as caught:
        fs.lock("lock", {})
    assert "not mine" not in caught.value.message
    lock.release()


def test_one_of_many_threads_gets_it(fs):
    got, refused = [], []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        try:
            got.append(fs.lock("lock", {}))
        except LockedError as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    got[0].release()


def test_waiting_is_short(fs):
    with holder(fs):
        start = time.monotonic()
        with pytest.raises(LockedError):
            fs.lock("lock", {})
        assert time.monotonic() - start < 5


def test_a_file_system_that_does_not_lock(fs, monkeypatch):
    def flock(fd, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with pytest.raises(StorageError, match="cannot lock lock in"):
        fs.lock("lock", {})
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(StorageError):
        fs.lock("lock", {})
    assert len(os.listdir("/dev/fd")) == before


def test_lock_that_the_collector_gives_up_while_another_is_asked_for(tmp_path, monkeypatch):
    one, two = LocalFileSystem(tmp_path / "one"), LocalFileSystem(tmp_path / "two")
    for fs in (one, two):
        fs.make_directory("")
    forgotten, held = one.lock("lock", {}), two.lock("lock", {})
    real, refused = module.locked_error, []

    def and_collects(*args, **more):
        forgotten.release()  # as the finalizer of an engine does, at any allocation
        return real(*args, **more)

    monkeypatch.setattr(module, "locked_error", and_collects)

    def ask() -> None:
        try:
            two.lock("lock", {})
        except LockedError as error:
            refused.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(20)
    assert refused, "it waits for itself"
    monkeypatch.undo()
    one.lock("lock", {}).release()
    held.release()
