"""ON CONFLICT, OR REPLACE and OR IGNORE: what happens to rows whose key, or whose UNIQUE values, are there already.

    rows given ── completed with defaults ──▶ of equal ones the first ──▶ new: inserted
                                                                     └─▶ there: left alone, or updated

As in DuckDB, a row that another row of the same statement has come before is left out. Behind SET, a column is that of
the row that is there, and `excluded.x` that of the row given. Called by insert.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.schema import Column, TableSchema, Unique
from absdb.engine import row_changes
from absdb.sql.change.assignments import assigned_columns
from absdb.sql.change.defaults import with_columns
from absdb.sql.change.target import TargetRef, column_of, table_of, writable_columns
from absdb.sql.change.target_table import target_table
from absdb.sql.change.update import apply_update, changed_columns
from absdb.sql.duck.scan import readable
from absdb.sql.text.assembly import Assembled, Piece
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import literal, quoted

if TYPE_CHECKING:
    from absdb.sql.change.insert_plan import Conflict
    from absdb.sql.query.names import NamedTable
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope

_GIVEN = "@given"
_NUMBER = "@number"
Mask = np.ndarray[Any, Any]


@dataclass(slots=True)
class _Insert:
    """One statement at work."""

    call: Call
    scope: TransactionScope
    named: NamedTable
    target: TargetRef
    conflict: Conflict

    @property
    def schema(self) -> TableSchema:
        return self.named.schema


def insert_or(
    call: Call,
    scope: TransactionScope,
    target: TargetRef,
    conflict: Conflict,
    given: pa.Table,
    columns: Sequence[Column],
) -> pa.Table:
    """Insert rows, or do what the statement says about those that are there; the rows written, as they are now.

    `columns` are those the statement gives values, DEFAULT among them.
    """
    named = table_of(call, target, scope)
    work, schema = _Insert(call, scope, named, target, conflict), named.schema
    deciding = _deciding(work)
    _check_excluded(work)
    rows = row_changes.filled(scope.tx, schema, given)
    there = [_there(work, rows, each) for each in deciding]
    known = np.logical_or.reduce(there)
    first = _first_of_equal(rows, deciding, ~known)
    new = rows.select([column.name for column in writable_columns(schema)]).filter(pa.array(first))
    inserted = row_changes.insert(scope.tx, schema, new)
    if not conflict.assignments and not conflict.replace:
        return inserted
    again = np.flatnonzero(
        _first_of_equal(rows, deciding, known)
    )  # if there are none, errors show all the same
    values: dict[str, Piece | None] = {
        column.name: each.value
        for column, each in zip(
            assigned_columns(call, schema, conflict.assignments), conflict.assignments, strict=True
        )
    }
    if conflict.replace:
        kept = {column.id for column in deciding[0]}
        values = {c.name: f'"excluded".{quoted(c.name)}' for c in columns if c.id not in kept}
    updated = _update(work, rows.take(pa.array(again)), deciding[0], values)
    return pa.concat_tables([inserted, updated])


def _check_excluded(work: _Insert) -> None:
    """QueryError for `excluded.x` if the table has no column x."""
    tokens = [token for token in work.call.statement.tokens if token.start >= work.conflict.at]
    for token, point, column in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.upper == "EXCLUDED" and point.upper == "." and column.is_name:
            column_of(work.call, work.schema, column.value, column.start)


def _deciding(work: _Insert) -> list[list[Column]]:
    """The keys and UNIQUE constraints whose conflicts the statement is about, each as its columns."""
    call, schema, conflict = work.call, work.schema, work.conflict
    known = [] if schema.hidden_key is not None else [list(schema.key_columns)]
    known += [
        [schema.by_id[c] for c in each.columns] for each in schema.constraints if isinstance(each, Unique)
    ]
    shown = ", ".join(f"({', '.join(column.name for column in each)})" for each in known)
    hint = f"rows are told apart by {shown}" if known else "it has neither a key nor UNIQUE columns"
    if conflict.columns:
        asked = {column_of(call, schema, name, at).id for name, at in conflict.columns}
        found = [each for each in known if {column.id for column in each} == asked]
        if not found:
            message = "these columns are neither the key nor UNIQUE"
            raise error_at(call.text, conflict.columns[0][1], message, hint=hint)
        return found[:1]
    updates = bool(conflict.assignments) or conflict.replace
    if not known or (updates and len(known) > 1):
        message = (
            f"table {schema.full_name!r} has {len(known) or 'no'} constraints that rows can conflict with"
        )
        hint = f"name one behind ON CONFLICT: {hint}" if known else hint
        raise error_at(call.text, conflict.at, message, hint=hint)
    return known


def _is_key(schema: TableSchema, columns: Sequence[Column]) -> bool:
    return schema.hidden_key is None and [column.id for column in columns] == list(schema.key)


def _there(work: _Insert, rows: pa.Table, columns: Sequence[Column]) -> Mask:
    """For each row given, whether the table has one with equal values in some columns; NULL equals nothing."""
    schema, reader = work.schema, work.scope.reader(work.schema)
    if _is_key(schema, columns):
        return row_changes.alive(reader, rows)
    target = target_table(work.call, work.scope, work.named, work.target)
    numbered = readable(rows.select([c.name for c in columns])).append_column(
        _NUMBER, pa.array(np.arange(rows.num_rows))
    )
    equal = " AND ".join(
        f'{quoted(target.label)}.{quoted(c.name)} = "{_GIVEN}".{quoted(c.name)}' for c in columns
    )
    pieces = [f'SELECT "{_NUMBER}" FROM ', *target.pieces, f' JOIN "{_GIVEN}" ON {equal}']
    text = Assembled(work.call.text, pieces)
    found = work.call.table(
        text.text, scope=work.scope, given={**target.given, _GIVEN: numbered}, edits=[text]
    )
    mask = np.zeros(rows.num_rows, bool)
    mask[found.column(0).to_numpy()] = True
    return mask


def _first_of_equal(rows: pa.Table, deciding: Sequence[Sequence[Column]], among: Mask) -> Mask:
    """Those rows `among` some that no other one, taken before, equals in the columns of a constraint.

    A row is taken if it is the first of its equals in every constraint; those it excludes go, and so on with the rest.
    """
    left, taken = among.copy(), np.zeros(len(among), bool)
    numbers = [_equal_numbers(rows, columns) for columns in deciding]
    while left.any():
        at = np.flatnonzero(left)
        fine = np.ones(len(at), bool)
        for groups in numbers:
            fine &= _first(groups[at])
        taken[at[fine]] = True
        gone = np.zeros(len(at), bool)
        for groups in numbers:
            gone |= (groups[at] >= 0) & np.isin(groups[at], groups[at[fine]])
        left[at[gone | fine]] = False
    return taken


def _first(groups: Mask) -> Mask:
    """Which members of groups are the first of theirs; those without a group (-1) always."""
    _, first = np.unique(groups, return_index=True)
    found = groups < 0
    found[first] = True
    return found


def _equal_numbers(rows: pa.Table, columns: Sequence[Column]) -> Mask:
    """A number per row that only rows with equal values share; -1 where a value is NULL."""
    names = [column.name for column in columns]
    arrays = {column.name: row_changes.physical(rows.column(column.name), column) for column in columns}
    numbered = pa.table({**arrays, _NUMBER: np.arange(rows.num_rows)})
    groups = numbered.group_by(names, use_threads=False).aggregate([(_NUMBER, "list")])
    lists = groups.column(f"{_NUMBER}_list").combine_chunks()
    members = lists.flatten().to_numpy()
    found = np.empty(rows.num_rows, np.int64)
    found[members] = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    for name in names:
        found[arrays[name].is_null().to_numpy(zero_copy_only=False)] = -1
    return found


def _update(
    work: _Insert, rows: pa.Table, columns: Sequence[Column], values: dict[str, Piece | None]
) -> pa.Table:
    """Update the rows that are there with the values of a SET list; they come back as they are now."""
    call, scope, schema = work.call, work.scope, work.schema
    present = None
    if _is_key(schema, columns):
        present = row_changes.rows_with_keys(scope.reader(schema), rows, None)
    table = target_table(call, scope, work.named, work.target, present)
    rekeyed = any(schema.by_name[name].id in schema.key for name in values)
    fields = ", ".join(f"{literal(name)}: {quoted(name)}" for name in rows.column_names)
    equal = " AND ".join(
        f'{quoted(table.label)}.{quoted(c.name)} = "excluded".{quoted(c.name)}' for c in columns
    )
    pieces: list[Piece] = ["SELECT ", *changed_columns(call, schema, table, values, rekeyed), "\nFROM "]
    pieces += [*table.pieces, f' JOIN (SELECT {{{fields}}} AS "excluded" FROM "{_GIVEN}") AS "@e" ON {equal}']
    if work.conflict.condition:
        pieces += ["\nWHERE ", work.conflict.condition]
    text = Assembled(call.text, pieces)
    found = call.table(text.text, scope=scope, given={**table.given, _GIVEN: readable(rows)}, edits=[text])
    defaults = [schema.by_name[name] for name, value in values.items() if value is None]
    return apply_update(scope, schema, with_columns(scope.tx, schema, found, defaults))
