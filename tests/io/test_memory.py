"""The disk in memory where it has more to it than the contract: its size, and memory under maps."""

from __future__ import annotations

import errno

import pytest

from absdb.errors import StorageError
from absdb.io.memory import MemoryFileSystem


def test_a_small_disk_takes_what_fits():
    fs = MemoryFileSystem(capacity=1000)
    file = fs.create("a")
    file.pwrite(0, [b"x" * 600])
    assert fs.free_bytes() == 400
    with pytest.raises(StorageError) as caught:
        file.pwrite(600, [b"y" * 300, b"z" * 300])
    assert caught.value.errno == errno.ENOSPC
    assert file.pread(0, 2000) == b"x" * 600 + b"y" * 300 + b"z" * 100
    assert fs.free_bytes() == 0
    file.pwrite(0, [b"w" * 1000])  # what is there already may be overwritten
    with pytest.raises(StorageError):
        file.pwrite(1000, [b"more"])
    other = fs.create("b")
    with pytest.raises(StorageError):
        other.pwrite(0, [b"more"])
    file.truncate(10)
    assert other.pwrite(0, [b"more"]) == 4
    fs.unlink("a")
    assert fs.free_bytes() == 996


def test_a_gap_takes_room_too():
    fs = MemoryFileSystem(capacity=100)
    file = fs.create("a")
    with pytest.raises(StorageError):
        file.pwrite(200, [b"x"])
    assert file.size() == 0


def test_maps_share_memory_until_the_file_changes_its_size():
    fs = MemoryFileSystem()
    file = fs.create("a")
    file.pwrite(0, [b"0123456789"])
    first = fs.map("a")
    file.pwrite(0, [b"AB"])
    assert first.to_pybytes() == b"AB23456789"
    file.pwrite(10, [b"more"])
    file.pwrite(0, [b"xy"])
    assert first.to_pybytes() == b"AB23456789"
    assert fs.map("a").to_pybytes() == b"xy23456789more"
    file.truncate(1)
    assert first.to_pybytes() == b"AB23456789"
    assert fs.map("a").to_pybytes() == b"x"


def test_a_map_may_be_appended_to_its_own_file():
    fs = MemoryFileSystem()
    file = fs.create("a")
    file.pwrite(0, [b"abc"])
    file.pwrite(3, [fs.map("a"), fs.map("a")])
    assert file.pread(0, 100) == b"abcabcabc"


def test_it_says_what_it_is():
    fs = MemoryFileSystem()
    file = fs.create("a")
    assert repr(fs) == "<MemoryFileSystem ':memory:': 1 files>"
    assert repr(file) == "<MemoryFile 'a'>"
    file.close()
    assert repr(file) == "<MemoryFile 'a' (closed)>"


def test_negative_positions_are_refused():
    file = MemoryFileSystem().create("a")
    for call in (lambda: file.pread(-1, 1), lambda: file.pread(0, -1), lambda: file.pwrite(-1, [b"x"])):
        with pytest.raises(StorageError) as caught:
            call()
        assert caught.value.errno == errno.EINVAL
