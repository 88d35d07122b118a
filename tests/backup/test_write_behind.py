"""Writing in a thread of its own: in order, all of it, and errors reach who hands the pieces over."""

from __future__ import annotations

import time

import pytest

from absdb.backup import write_behind
from absdb.backup.write_behind import WriteBehind, synced_now_and_then
from absdb.io.memory import MemoryFileSystem


def write_all(write, pieces):
    with WriteBehind(write) as behind:
        for piece in pieces:
            behind.put(piece)


def test_everything_is_written_in_order_by_the_end():
    written = []

    def slowly(piece):
        time.sleep(0.001)
        written.append(piece)

    write_all(slowly, [bytes([number]) for number in range(50)])
    assert written == [bytes([number]) for number in range(50)]


def test_error_of_a_write_is_raised_and_nothing_is_written_after_it():
    written = []

    def fail(piece):
        if piece == b"3":
            raise OSError("full")
        written.append(piece)

    with pytest.raises(OSError, match="full"):
        write_all(fail, [str(number).encode() for number in range(9)])
    assert written == [b"0", b"1", b"2"]


def test_error_of_the_caller_is_the_one_that_is_raised():
    def fail(_):
        raise OSError("full")

    def pieces():
        yield b"x"
        raise KeyError

    with pytest.raises(KeyError):
        write_all(fail, pieces())


def test_file_is_synced_every_now_and_then(monkeypatch):
    monkeypatch.setattr(write_behind, "SYNC_BYTES", 10)
    file, synced = MemoryFileSystem().create("x"), []
    monkeypatch.setattr(type(file), "sync", lambda self, data_only=False: synced.append(data_only))
    write = synced_now_and_then(file, lambda _: None)
    for _ in range(7):
        write(bytes(4))
    assert synced == [True, True]
