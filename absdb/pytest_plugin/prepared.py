"""Data that is prepared once in a test run, by the first of its processes that wants it.

    <area>/<key>             what was prepared: a closed instance that nobody opens any more
    <area>/<key>.lock        held while it is being prepared
    <area>/<key>.N.part      one that is not finished, or could not be

Under pytest-xdist all workers of a run share an area. Each works on a copy, since only one process at a time has an
instance open for writing; page files never change, so that they are links in it rather than copies.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable
from pathlib import PurePath
from types import FunctionType

from absdb.errors import LockedError, StorageError
from absdb.io.base import FileSystem, Lock
from absdb.io.copies import copy_directory
from absdb.io.local import LocalFileSystem
from absdb.paths import LOCK, PAGES_DIR, READERS_DIR

PAUSE_SECONDS = 0.05
_PLAIN = (str, bytes, int, float, bool, type(None), PurePath)


def prepared(area: str, key: str, make: Callable[[str], object]) -> str:
    """The path of what `make` made, given a path where nothing is; made now if no process of the run has done so yet.

    Waits while another process prepares the same. What `make` raises goes through, and the next one tries again.
    """
    fs = LocalFileSystem(area)
    fs.make_directory("")
    if not fs.exists(key):
        lock = _waited_for(fs, f"{key}.lock")
        try:
            if not fs.exists(key):
                part = next(name for n in itertools.count() if not fs.exists(name := f"{key}.{n}.part"))
                make(f"{area}/{part}")
                fs.rename(part, key)
        finally:
            lock.release()
    return f"{area}/{key}"


def _waited_for(fs: FileSystem, path: str) -> Lock:
    """The lock, as soon as its holder lets go of it, or ends."""
    while True:
        try:
            return fs.lock(path, {})
        except LockedError:
            time.sleep(PAUSE_SECONDS)


def take_instance(source: str, target: str) -> None:
    """Copy an instance of the user's, held meanwhile so that nobody writes to it.

    LockedError, with who it is, if a process has it open for writing.
    """
    fs = LocalFileSystem(source)
    try:
        lock: Lock | None = fs.lock(LOCK, {"for": "a copy for tests"})
    except LockedError as error:
        error.hint = "close it there; tests work on a copy, which is made while nobody writes"
        raise
    except StorageError:
        if fs.lock_owner(LOCK) is not None:
            raise
        lock = None  # a directory that we may not write to
    try:
        copy_instance(source, target)
    finally:
        if lock is not None:
            lock.release()


def copy_instance(source: str, target: str) -> None:
    """Copy an instance that nobody writes to. It takes no room but for the log, if both lie on one disk."""
    copy_directory(source, target, shared=(PAGES_DIR,), left_out=(LOCK, READERS_DIR))


def key_of(name: str, make: Callable[..., object]) -> str | None:
    """What a function that prepares data is known by in all processes of a run; None if that cannot be told.

    Functions from one place in the source differ by what they enclose, and are told apart if that is plain values.
    """
    if not isinstance(make, FunctionType):
        return None
    code = make.__code__
    values = [cell.cell_contents for cell in make.__closure__ or ()]
    values += [*(make.__defaults__ or ()), *(make.__kwdefaults__ or {}).values()]
    if not all(isinstance(value, _PLAIN) for value in values):
        return None
    return digest_of(name, code.co_filename, code.co_firstlineno, code.co_qualname, values)


def digest_of(*parts: object) -> str:
    """A short name for what is known by these values."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
