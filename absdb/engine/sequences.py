"""Values of named sequences, handed out at once and outside any commit.

A value is given once, whether the transaction around it commits or not, and never again after a crash or a
restore. So that not every value costs a sync, the log says `DRAWN_AHEAD` values in advance how far a database has
drawn; a crash loses what is left of those, as with any sequence. Called by databases and transactions that users
hold; rows' own numbers (identities, hidden row ids) go through Transaction.next_values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.database import DatabaseCatalog
from absdb.engine.ddl_namespaces import INT64_MAX, find_sequence
from absdb.errors import InvalidInputError, StateError
from absdb.ids import DatabaseId

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

COUNT_MAX = 2**32


def next_values(
    engine: Engine, database: DatabaseId, catalog: DatabaseCatalog, name: str, count: int
) -> range:
    """The next `count` values of a sequence of the catalog. StateError if it has no more 64-bit integers."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= COUNT_MAX:
        raise InvalidInputError(
            f"cannot take {count!r} values of sequence {name!r}",
            hint=f"pass a whole number, 1 to {COUNT_MAX}",
        )
    engine.check_writable()
    found = find_sequence(catalog, name)
    step, start = found["increment"], found["start"]
    first = engine.allocator.draw(engine, f"seq:{found['id']}", database, count)
    values = range(start + (first - 1) * step, start + (first - 1 + count) * step, step)
    if not -INT64_MAX <= values[-1] <= INT64_MAX:
        raise StateError(
            f"sequence {found['name']!r} has no more values: the next would be {values[-1]}",
            hint="make another sequence",
        )
    return values
