"""Numbers handed out so that branches never collide: ids of things, hidden row ids, values of sequences.

Ids of databases, eras, tables and columns come from one counter. Row ids and sequence values are counted per
*space* (`row:<table>`, `seq:<sequence>`); each database takes blocks of a space, and a block taken is in the log
before any commit that uses it. No restore rewinds any of this. A database that took the last block of a space
goes on where it stopped, so a database without branches counts 1, 2, 3.

What was used of a block is in the commits and the manifest; after a crash counting goes on behind the last value
that a durable commit used.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absdb.ids import DatabaseId
from absdb.wal.format import RecordKind

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class Allocator:
    """All counters of an instance."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._next_id = 1
        self._tops: dict[str, int] = {}
        self._blocks: dict[tuple[str, DatabaseId], list[int]] = {}
        self._mutex = threading.Lock()

    def new_id(self) -> int:
        """An id nobody has; durable with the record that uses it."""
        with self._mutex:
            self._next_id += 1
            return self._next_id - 1

    def seen(self, used: int) -> None:
        """An id that a record of the log uses."""
        with self._mutex:
            self._next_id = max(self._next_id, used + 1)

    def take(self, engine: Engine, space: str, database: DatabaseId, count: int) -> int:
        """The first of `count` adjacent new numbers, counted from 1."""
        with self._mutex:
            first = self._from_block(space, database, count)
        if first is not None:
            return first
        with engine.exclusive():
            with self._mutex:
                first = self._from_block(space, database, count)
                if first is not None:
                    return first
                lo = self._tops.get(space, 1)
            size = max(self._block, count)
            body = {"space": space, "database": database, "lo": lo, "hi": lo + size}
            engine.append(RecordKind.ALLOCATE, database, body)
            self.apply(body)
            with self._mutex:
                first = self._from_block(space, database, count)
                assert first is not None
                return first

    def _from_block(self, space: str, database: DatabaseId, count: int) -> int | None:
        block = self._blocks.get((space, database))
        if block is None or block[0] + count > block[1]:
            return None
        block[0] += count
        return block[0] - count

    def apply(self, body: Mapping[str, Any]) -> None:
        """A block was taken: `{space, database, lo, hi}`; it joins the database's last one if it meets it."""
        key = (body["space"], DatabaseId(body["database"]))
        with self._mutex:
            self._tops[body["space"]] = max(self._tops.get(body["space"], 1), body["hi"])
            held = self._blocks.get(key)
            joined = held is not None and held[1] == body["lo"]
            self._blocks[key] = [held[0] if joined and held is not None else body["lo"], body["hi"]]

    def apply_used(self, database: DatabaseId, used: Mapping[str, int]) -> None:
        """A commit used numbers below `next`: `{space: next}`."""
        with self._mutex:
            for space, following in used.items():
                block = self._blocks.get((space, database))
                if block is not None and block[0] < following <= block[1]:
                    block[0] = following

    def advance(self, engine: Engine, space: str, database: DatabaseId, beyond: int) -> None:
        """Make sure that no number up to `beyond` is handed out: values a user wrote himself."""
        with self._mutex:
            block = self._blocks.get((space, database))
            inside = block is not None and beyond < block[1]
            if block is not None and inside:
                block[0] = max(block[0], beyond + 1)
        if not inside and beyond >= self._tops.get(space, 1):
            with engine.exclusive():
                lo = max(self._tops.get(space, 1), beyond + 1)
                body = {"space": space, "database": database, "lo": lo, "hi": lo + self._block}
                engine.append(RecordKind.ALLOCATE, database, body)
                self.apply(body)

    def to_json(self) -> dict[str, Any]:
        with self._mutex:
            return json.loads(
                json.dumps(
                    {
                        "next_id": self._next_id,
                        "tops": self._tops,
                        "blocks": [[space, db, *block] for (space, db), block in self._blocks.items()],
                    }
                )
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any], block: int) -> Allocator:
        allocator = cls(block)
        allocator._next_id = data["next_id"]
        allocator._tops = dict(data["tops"])
        allocator._blocks = {(space, DatabaseId(db)): [lo, hi] for space, db, lo, hi in data["blocks"]}
        return allocator
