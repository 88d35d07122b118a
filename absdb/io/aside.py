"""Directories for files in work: made when they are asked for, removed with all that is in them.

What a process that was killed has left is removed by the next one that asks at the same place. So a place belongs to
one process at a time, and to nothing else: it lies in an instance, whose writer it belongs to. Called by backup/.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from absdb.io.failure import from_os_error

_IN_USE: set[str] = set()
_MUTEX = threading.Lock()


@contextmanager
def aside(place: str) -> Iterator[str]:
    """The path of a new empty directory below `place`, which is made if need be and goes if it is empty then.

    StorageError if it cannot be made. What cannot be removed in the end is left to the next one who asks.
    """
    path = os.path.join(place, f"{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with _MUTEX:
            _remove_left(place)
            os.makedirs(path)
            _IN_USE.add(path)
    except OSError as error:
        raise from_os_error("make", os.path.basename(path), place, error) from error
    try:
        yield path
    finally:
        with _MUTEX:
            _IN_USE.discard(path)
            shutil.rmtree(path, ignore_errors=True)
            if os.path.isdir(place) and not os.listdir(place):
                os.rmdir(place)


def _remove_left(place: str) -> None:
    for name in os.listdir(place) if os.path.isdir(place) else ():
        path = os.path.join(place, name)
        if path not in _IN_USE:
            shutil.rmtree(path, ignore_errors=True)
