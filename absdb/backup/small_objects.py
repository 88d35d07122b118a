"""Reading small objects of a store: no more than is expected of them, and JSON that is what it should be.

Whoever can write to a bucket decides how long its objects are. So nothing is read into memory that may have any length.

Called by what reads claims, notes, lists, histories and segments.
"""

from __future__ import annotations

import json
from typing import Any

from absdb.errors import CorruptionError
from absdb.objectstore.base import ObjectStore

SMALL_BYTES_MAX = 16 << 20


def read_small(store: ObjectStore, name: str, *, at_most: int = SMALL_BYTES_MAX) -> bytes:
    """All of an object; NotFoundError if it is not there, CorruptionError if it has more than `at_most` bytes."""
    data = bytearray()
    for chunk in store.read(name):
        data += chunk
        if len(data) > at_most:
            raise CorruptionError(
                f"{store.url}/{name} has more than {at_most} bytes, which is more than was ever written there",
                hint="somebody else has written it; remove it",
                path=f"{store.url}/{name}",
            )
    return bytes(data)


def read_json(store: ObjectStore, name: str) -> dict[str, Any]:
    """The JSON object that a small object holds; CorruptionError if it holds anything else."""
    where = f"{store.url}/{name}"
    try:
        found = json.loads(read_small(store, name))
    except (ValueError, RecursionError) as error:
        raise CorruptionError(f"{where} is not JSON: {error}", path=where) from error
    if not isinstance(found, dict):
        raise CorruptionError(f"{where} holds no JSON object", path=where)
    return found
