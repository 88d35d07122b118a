"""Brings listings into the order of names as bytes, where a store goes by UTF-16, and sees that they are in it.

The two orders differ only between names with a character from U+E000 on: UTF-16 has those above U+FFFF before the
others. Whatever lies between two names that change places has such a character as well, so it is enough to sort each
run of them. Used by azure.py and gcs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from absdb.errors import StorageError
from absdb.objectstore.base import ObjectInfo

_FIRST_THAT_MOVES = "\ue000"


def in_byte_order(objects: Iterable[ObjectInfo], url: str) -> Iterator[ObjectInfo]:
    """The same objects in order; a run of names that may move is held in memory. StorageError without order."""
    last = ""
    for found in _runs_sorted(objects):
        if found.name <= last:
            raise StorageError(f"{url} lists {found.name!r} after {last!r}, which is not in order")
        last = found.name
        yield found


def _runs_sorted(objects: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    run: list[ObjectInfo] = []
    for found in objects:
        if max(found.name) >= _FIRST_THAT_MOVES:
            run.append(found)
            continue
        yield from sorted(run)
        run.clear()
        yield found
    yield from sorted(run)
