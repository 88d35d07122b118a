"""What is said about rows that break UNIQUE or FOREIGN KEY."""

from __future__ import annotations

from collections.abc import Sequence

from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.engine.refusals import shown_keys
from absdb.engine.rows import logical_key
from absdb.engine.values import Columns
from absdb.errors import ConstraintError
from absdb.pages.key import Key

SHOWN = 5


def two_have(schema: TableSchema, constraint: Unique, keys: Sequence[Key], count: int = 0) -> ConstraintError:
    """Two rows of one change have the same value."""
    return _error(
        schema, constraint, f"two rows have the same {_names(schema, constraint.columns)}", keys, count
    )


def another_has(
    schema: TableSchema, constraint: Unique, keys: Sequence[Key], count: int = 0
) -> ConstraintError:
    """A row that is there has the value of a new one."""
    return _error(
        schema, constraint, f"another row has the same {_names(schema, constraint.columns)}", keys, count
    )


def nothing_there(
    schema: TableSchema, constraint: ForeignKey, parent: TableSchema, keys: Sequence[Key], count: int = 0
) -> ConstraintError:
    """What a row refers to is not there."""
    what = f"table {parent.full_name!r} has no row for {_names(schema, constraint.columns)}"
    return _error(schema, constraint, what, keys, count)


def referred_to(
    parent: TableSchema, constraint: ForeignKey, child: TableSchema, keys: Sequence[Key], count: int = 0
) -> ConstraintError:
    """What rows refer to would go."""
    what = f"rows of table {child.full_name!r} refer to its {_names(parent, constraint.references)}"
    return _error(parent, constraint, what, keys, count)


def _names(schema: TableSchema, columns: Columns) -> str:
    return ", ".join(schema.by_id[column].name for column in columns)


def _error(
    schema: TableSchema, constraint: Unique | ForeignKey, what: str, keys: Sequence[Key], count: int
) -> ConstraintError:
    listed = [logical_key(schema, key) for key in keys]
    shown = listed[:SHOWN]
    where = (
        "" if schema.hidden_key is not None else f", row with key {shown_keys(shown, max(count, len(keys)))}"
    )
    return ConstraintError(
        f"table {schema.full_name!r}, constraint {constraint.name!r}: {what}{where}",
        hint="nothing was changed",
        table=schema.full_name,
        constraint=constraint.name,
        keys=[] if schema.hidden_key is not None else listed,
    )
