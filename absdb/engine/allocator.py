"""Numbers handed out so that branches never collide: ids of things, hidden row ids, values of sequences.

Ids of databases, eras, tables and columns come from one counter. Row ids and sequence values are counted per
*space* (`row:<table>`, `seq:<sequence>`); each database takes blocks of a space, and a block taken is in the log
before any commit that uses it. No restore rewinds any of this. A database that took the last block of a space
goes on where it stopped, so a database without branches counts 1, 2, 3.

What was used of a block is in the commits and the manifest; after a crash counting goes on behind the last value
that a durable commit used.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absdb.ids import DatabaseId
from absdb.wal.format import RecordKind

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


DRAWN_AHEAD = 32
TIMELINE_IDS = 1 << 20
IDS_MAX = (1 << 32) - 1


class Allocator:
    """All counters of an instance."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._next_id = 1
        self._tops: dict[str, int] = {}
        self._blocks: dict[tuple[str, DatabaseId], list[int]] = {}
        self._drawn: dict[tuple[str, DatabaseId], int] = {}
        """Below which numbers the log after the last checkpoint takes all for drawn."""
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

    def reserve_for(self, timeline: int) -> None:
        """Ids go on where no earlier timeline has any, up to timeline 4,094; from then on where they stopped."""
        first = timeline * TIMELINE_IDS
        if first + TIMELINE_IDS <= IDS_MAX:
            self.seen(first - 1)

    def take(self, engine: Engine, space: str, database: DatabaseId, count: int) -> int:
        """The first of `count` adjacent new numbers, counted from 1."""
        with self._mutex:
            first = self._from_block(space, database, count)
        if first is not None:
            return first
        with engine.exclusive():
            with self._mutex:
                first = self._from_block(space, database, count)
            if first is None:
                self._take_block(engine, space, database, self._tops.get(space, 1), count)
                with self._mutex:
                    first = self._from_block(space, database, count)
            assert first is not None
            return first

    def draw(self, engine: Engine, space: str, database: DatabaseId, count: int) -> int:
        """The first of `count` adjacent new numbers that no commit will speak of; none of them comes twice.

        The log says beforehand how far they may go: at most `DRAWN_AHEAD` are lost in a crash.
        """
        following = self.take(engine, space, database, count) + count
        key = (space, database)
        with self._mutex:
            logged = self._drawn.get(key, 0)
        if logged < following:
            with engine.exclusive():
                with self._mutex:
                    block, logged = self._blocks[key], self._drawn.get(key, 0)
                    upto = min(max(block[0], following) + DRAWN_AHEAD, block[1])
                if logged < following:
                    body = {"space": space, "database": database, "used": upto}
                    engine.write(RecordKind.ALLOCATE, database, body, _nothing)
                    with self._mutex:
                        self._drawn[key] = upto
        return following - count

    def next_number(self, space: str, database: DatabaseId) -> int:
        """What `take` would give for one number; nothing is handed out."""
        with self._mutex:
            block = self._blocks.get((space, database))
            return block[0] if block is not None and block[0] < block[1] else self._tops.get(space, 1)

    def advance(self, engine: Engine, space: str, database: DatabaseId, beyond: int) -> int:
        """Hand out no number up to `beyond` in this database any more: a user wrote the value himself.

        Returns what a commit has to say about it in `used`, 0 for nothing: a block of its own says enough.
        """
        with self._mutex:
            held = self._blocks.get((space, database))
            if held is not None and beyond < held[1]:
                held[0] = max(held[0], beyond + 1)
                return beyond + 1
            if beyond < self._tops.get(space, 1):
                return 0  # a number of another database's block, or one handed out before
        with engine.exclusive():
            if beyond >= self._tops.get(space, 1):
                self._take_block(engine, space, database, beyond + 1, 1)
        return 0

    def _take_block(self, engine: Engine, space: str, database: DatabaseId, lo: int, count: int) -> None:
        """Log a new block of at least `count` numbers from `lo` on; inside `exclusive`.

        It is durable at once: a batch that is dropped for want of room must not take a block with it that
        commits use by then.
        """
        body = {"space": space, "database": database, "lo": lo, "hi": lo + max(self._block, count)}
        engine.append(RecordKind.ALLOCATE, database, body)
        engine.flush()
        self.apply(body)

    def _from_block(self, space: str, database: DatabaseId, count: int) -> int | None:
        block = self._blocks.get((space, database))
        if block is None or block[0] + count > block[1]:
            return None
        block[0] += count
        return block[0] - count

    def apply(self, body: Mapping[str, Any]) -> None:
        """A block was taken: `{space, database, lo, hi}`; it joins the database's last one if it meets it.

        Or `{space, database, used}`: numbers below `used` may have been drawn.
        A block that is known already, from a checkpoint taken just after it was logged, stays as it is.
        """
        key = (body["space"], DatabaseId(body["database"]))
        if "used" in body:
            self.apply_used(key[1], {key[0]: body["used"]})
            return
        with self._mutex:
            self._tops[body["space"]] = max(self._tops.get(body["space"], 1), body["hi"])
            held = self._blocks.get(key)
            if held is None or held[1] < body["lo"]:
                self._blocks[key] = [body["lo"], body["hi"]]
            elif held[1] < body["hi"]:
                held[1] = body["hi"]

    def apply_used(self, database: DatabaseId, used: Mapping[str, int]) -> None:
        """A commit used numbers below `next`: `{space: next}`."""
        with self._mutex:
            for space, following in used.items():
                block = self._blocks.get((space, database))
                if block is not None and block[0] < following <= block[1]:
                    block[0] = following

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps. Numbers drawn from then on are logged anew, behind it."""
        with self._mutex:
            self._drawn.clear()
            return {
                "next_id": self._next_id,
                "tops": dict(self._tops),
                "blocks": [[space, db, *block] for (space, db), block in self._blocks.items()],
            }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], block: int) -> Allocator:
        allocator = cls(block)
        allocator._next_id = data["next_id"]
        allocator._tops = dict(data["tops"])
        allocator._blocks = {(space, DatabaseId(db)): [lo, hi] for space, db, lo, hi in data["blocks"]}
        return allocator


def _nothing(engine: Engine, at: object, body: Mapping[str, Any]) -> None:
    """What a record of drawn numbers changes in memory, where they are counted already."""
