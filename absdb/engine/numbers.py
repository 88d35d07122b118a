"""Numbers that a commit hands out: values of sequences and identity columns, hidden row ids.

Each is handed out once, whether the commit comes to be or not. What was used of a block is written beside the
rows. Part of a transaction (transaction.py) and of a small commit (small_commit.py); the blocks are allocator.py's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import TableSchema
from absdb.errors import ConstraintError
from absdb.ids import DatabaseId

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class Numbers:
    """What hands out numbers for rows of one database, and notes them in `used`."""

    __slots__ = ()
    engine: Engine
    database: DatabaseId
    used: dict[str, int]
    scratch: bool = False
    """Whether it is never committed: then numbers are what they would be, and none is handed out."""
    _catalog: DatabaseCatalog

    def next_values(self, sequence: int, count: int) -> Sequence[int]:
        """The next `count` values of a sequence; handed out once, whether this commits or not."""
        definition = self._catalog.entities[("sequence", sequence)]
        first = self._take(f"seq:{sequence}", count)
        step = definition["increment"]
        start = definition["start"] + (first - 1) * step
        _check_bounds(definition, start + (count - 1) * step)
        return range(start, start + count * step, step)

    def next_row_ids(self, schema: TableSchema, count: int) -> int:
        """The first of `count` adjacent row ids for a table without a key."""
        return self._take(f"row:{schema.id}", count)

    def skip_values(self, sequence: int, low: int, high: int) -> None:
        """Hand out no value up to `high` (down to `low`, if it counts down) any more: rows have them."""
        definition = self._catalog.entities[("sequence", sequence)]
        step = definition["increment"]
        number = ((high if step > 0 else low) - definition["start"]) // step + 1
        if number > 0:
            space = f"seq:{sequence}"
            if self.scratch:
                self._use(space, number + 1)
                return
            following = self.engine.allocator.advance(self.engine, space, self.database, number)
            self._use(space, following)

    def _take(self, space: str, count: int) -> int:
        if count == 0:
            return 1
        allocator = self.engine.allocator
        if self.scratch:
            first = max(allocator.next_number(space, self.database), self.used.get(space, 0))
        else:
            first = allocator.take(self.engine, space, self.database, count)
        self._use(space, first + count)
        return first

    def _use(self, space: str, following: int) -> None:
        if following > self.used.get(space, 0):
            self.used[space] = following


def _check_bounds(sequence: Mapping[str, Any], last: int) -> None:
    """ConstraintError if a sequence does not reach as far."""
    low, high = sequence.get("minimum"), sequence.get("maximum")
    if (low is not None and last < low) or (high is not None and last > high):
        raise ConstraintError(
            f"sequence {sequence['name']!r} has come to its end: {last} is not within {low} and {high}",
            hint="make another one with wider bounds",
            table="",
            constraint="sequence",
            keys=[],
        )
