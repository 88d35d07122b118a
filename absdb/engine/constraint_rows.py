"""UNIQUE and FOREIGN KEY on the change of a few rows: plain tuples, no Arrow.

What did not change is not looked at: a row that keeps its value cannot break anything that the rows beside it
do not break themselves. Called by engine/constraints.py; constraint_pages.py does the same for many rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.engine.changeset import RowChange, TableChange
from absdb.engine.comparable import fits, types_of
from absdb.engine.constraint_errors import another_has, nothing_there, referred_to, two_have
from absdb.engine.outcome import Outcome
from absdb.engine.values import Columns, Value, value_of
from absdb.pages.key import Key


def check_rows(outcome: Outcome, change: TableChange, *, references: bool = True) -> None:
    """ConstraintError if the change of a table breaks something; without `references` UNIQUE only."""
    schema = change.schema
    for constraint in schema.constraints:
        if isinstance(constraint, Unique):
            _unique(outcome, change, constraint)
        elif isinstance(constraint, ForeignKey) and references:
            _references_exist(outcome, change, constraint)
    for child, foreign in outcome.catalog.referencing.get(schema.id, ()) if references else ():
        _nothing_refers(outcome, change, child, foreign)


def _unique(outcome: Outcome, change: TableChange, constraint: Unique) -> None:
    schema, columns = change.schema, constraint.columns
    assert change.rows is not None
    value_in = value_of(schema, columns)
    holders: dict[Value, Key] = {}
    for item in change.rows:
        value = None if item.row is None else value_in(item.row)
        if value is not None and holders.setdefault(value, item.key) != item.key:
            raise two_have(schema, constraint, [holders[value], item.key])
    own = {item.key for item in change.rows}
    for key, value in _written(change.rows, schema, columns):
        for holder in outcome.holders(schema, columns, value):
            if holder not in own:
                raise another_has(schema, constraint, [key])


def _references_exist(outcome: Outcome, change: TableChange, constraint: ForeignKey) -> None:
    assert change.rows is not None
    parent = outcome.catalog.tables[constraint.table]
    held = types_of(parent, constraint.references)
    for key, value in _written(change.rows, change.schema, constraint.columns):
        if not (fits(value, held) and _exists(outcome, parent, constraint.references, value)):
            raise nothing_there(change.schema, constraint, parent, [key])


def _exists(outcome: Outcome, table: TableSchema, columns: Columns, value: Value) -> bool:
    if columns == table.key:
        return outcome.reader(table).exists(table.key_spec.encode_one(value))
    return next(outcome.holders(table, columns, value), None) is not None


def _nothing_refers(
    outcome: Outcome, change: TableChange, child: TableSchema, constraint: ForeignKey
) -> None:
    parent, columns = change.schema, constraint.references
    assert change.rows is not None
    value_in, held = value_of(parent, columns), types_of(child, constraint.columns)
    for item in change.rows:
        value = None if item.before is None else value_in(item.before)
        if value is None or (item.row is not None and value_in(item.row) == value):
            continue
        if not fits(value, held) or _exists(outcome, parent, columns, value):
            continue
        for _ in outcome.holders(child, constraint.columns, value):
            raise referred_to(parent, constraint, child, [item.key])


def _written(rows: list[RowChange], schema: TableSchema, columns: Columns) -> Iterator[tuple[Key, Value]]:
    """(key, value) of the rows that have got another value, without those that have a NULL in it."""
    value_in = value_of(schema, columns)
    for item in rows:
        value = None if item.row is None else value_in(item.row)
        if value is not None and (item.before is None or value_in(item.before) != value):
            yield item.key, value
