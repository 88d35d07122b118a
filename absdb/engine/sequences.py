"""Values of named sequences, handed out at once and outside any commit.

A value is given once, whether the transaction around it commits or not, and never again after a crash or a
restore. So that not every value costs a sync, the log says `DRAWN_AHEAD` values in advance how far a database has
drawn; a crash loses what is left of those, as with any sequence. Called by databases and transactions that users
hold; rows' own numbers (identities, hidden row ids) go through Transaction.next_values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    space, dot, plain = name.partition(".")
    found = find_sequence(catalog, plain, space) if dot else find_sequence(catalog, name)
    return drawn(engine, database, found, count)


def drawn(engine: Engine, database: DatabaseId, definition: Mapping[str, Any], count: int) -> range:
    """The next `count` values of a sequence that is known; StateError if it has not so many."""
    engine.check_writable()
    step, start = definition["increment"], definition["start"]
    first = engine.allocator.draw(engine, f"seq:{definition['id']}", database, count)
    values = range(start + (first - 1) * step, start + (first - 1 + count) * step, step)
    low, high = definition.get("minimum", -INT64_MAX), definition.get("maximum", INT64_MAX)
    if not low <= values[-1] <= high:
        raise StateError(
            f"sequence {definition['name']!r} has no more values: the next would be {values[-1]}",
            hint="make another sequence",
        )
    return values
