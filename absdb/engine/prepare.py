"""From what a user passes to page batches: names matched, types fitted, defaults filled, NOT NULL and CHECK held.

    conform    columns by name, brought to the types that pages hold
    complete   a page batch of them: every stored column by column id, `_key` where the key needs it

Rows keep their order. Columns left out get, in this order: the row's present value (where the verb keeps it),
the default, the next value of a sequence, NULL; generated columns are computed last. Called by engine/writes.py,
engine/load.py and engine/rewrite.py; few rows passed as dicts go through engine/small.py instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.schema import Check, Column, TableSchema
from absdb.engine.expressions import columns_read
from absdb.engine.fitting import MisfitError, cast, fit, from_text
from absdb.engine.refusals import key_missing, key_null, shown_keys
from absdb.errors import ConstraintError, QueryError, SchemaMismatchError
from absdb.pages.key import Keys
from absdb.pages.types import describe_type, physical_type, to_logical, to_physical

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

SHOWN = 5
Report = Callable[[ConstraintError], None]
"""Told of rows that break a constraint, so that all of them can be listed."""
_ALONE = "rows given"
"""The column of an expression that reads none: it says how many rows there are."""


@dataclass(slots=True)
class Given:
    """Rows as pages hold them, of some columns by their page names. There may be rows without any column."""

    rows: int
    columns: dict[str, pa.Array]

    def take(self, order: np.ndarray[Any, Any]) -> Given:
        """The rows at some positions."""
        at = pa.array(order)
        return Given(len(order), {name: array.take(at) for name, array in self.columns.items()})


@dataclass(slots=True)
class Present:
    """Of each row given whether there is one with its key, and of those the columns left out, in order."""

    alive: np.ndarray[Any, Any]
    columns: dict[str, pa.Array]


def conform(schema: TableSchema, given: pa.Table) -> Given:
    """The columns given as pages hold them; SchemaMismatchError if they do not fit the table."""
    check_names(schema, given.column_names)
    columns = {}
    for column in schema.columns:
        if column.name in given.column_names:
            if column.generated is not None:
                raise SchemaMismatchError(
                    f"column {column.name!r} of table {schema.full_name!r} is generated and cannot be written",
                    hint=f"leave it out; it is {column.generated}",
                    table=schema.full_name,
                    column=column.name,
                )
            columns[column.page_name] = _fitted(schema, column, given.column(column.name))
    return Given(given.num_rows, columns)


def check_names(schema: TableSchema, names: Sequence[str]) -> None:
    """SchemaMismatchError for a name the table has not, or one given twice."""
    for name in names:
        if name not in schema.by_name:
            near = difflib.get_close_matches(str(name), schema.by_name, n=1)
            raise SchemaMismatchError(
                f"table {schema.full_name!r} has no column {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(schema.by_name)}",
                table=schema.full_name,
                column=name,
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise SchemaMismatchError(
            f"table {schema.full_name!r}: column {twice!r} is given twice",
            hint="rename or drop one of them",
            table=schema.full_name,
            column=twice,
        )


def _fitted(schema: TableSchema, column: Column, values: pa.ChunkedArray) -> pa.Array:
    """A column given, as pages hold it, in one piece."""
    wanted = physical_type(column.type)
    try:
        chunks = (to_physical(chunk, values.type) for chunk in values.chunks)
        pieces = [fit(from_text(chunk, column.type), wanted) for chunk in chunks]
    except MisfitError as problem:
        raise SchemaMismatchError(
            f"column {column.name!r} of table {schema.full_name!r} is {describe_type(column.type)}, "
            f"and the {describe_type(values.type)} values given do not fit: {problem}",
            hint="cast the column before writing it",
            table=schema.full_name,
            column=column.name,
        ) from problem
    if len(pieces) == 1:
        return pieces[0]
    return pa.concat_arrays(pieces) if pieces else pa.array([], wanted)


def keys_of(schema: TableSchema, given: Given) -> Keys:
    """The encoded keys of rows; an error if a key column is missing or NULL."""
    missing = [c.name for c in schema.key_columns if c.page_name not in given.columns]
    if missing:
        raise key_missing(schema, missing)
    arrays = [given.columns[column.page_name] for column in schema.key_columns]
    for column, array in zip(schema.key_columns, arrays, strict=True):
        if array.null_count:
            raise key_null(schema, column.name, array.null_count)
    return schema.key_spec.encode(arrays)


def complete(
    tx: Transaction,
    schema: TableSchema,
    given: Given,
    *,
    present: Present | None = None,
    row_ids: pa.Array | None = None,
    report: Report | None = None,
) -> pa.RecordBatch:
    """A page batch from conformed columns; `present` fills those left out where the row exists.

    `row_ids` are the hidden keys of rows that have some; others get new ones. ConstraintError for rows that break
    NOT NULL or CHECK, unless there is somebody to `report` all of them to.
    """
    values = fill(tx, schema, given, present)
    check_values(tx, schema, values, given.rows, report)
    if schema.hidden_key is not None:
        values[schema.hidden_key.page_name] = (
            row_ids if row_ids is not None else _row_ids(tx, schema, given.rows)
        )
    names = [column.page_name for column in schema.stored]
    return schema.key_spec.with_key(pa.record_batch([values[name] for name in names], names=names))


def fill(
    tx: Transaction, schema: TableSchema, given: Given, present: Present | None = None
) -> dict[str, pa.Array]:
    """Every visible column by its page name, not checked yet."""
    values: dict[str, pa.Array] = {}
    for column in schema.columns:
        array = given.columns.get(column.page_name)
        if array is not None:
            _skip_values(tx, column, array)
            values[column.page_name] = array
        elif column.generated is None:
            values[column.page_name] = _left_out(tx, schema, column, given.rows, present)
    _generate(tx, schema, values, given.rows)
    return values


def _skip_values(tx: Transaction, column: Column, values: pa.Array) -> None:
    """Values of an identity column that the user chose are not handed out again."""
    default = column.default
    if default is None or default.kind != "sequence" or values.null_count == len(values):
        return
    bounds = pc.min_max(values)
    tx.skip_values(default.value, bounds["min"].as_py(), bounds["max"].as_py())


def _left_out(
    tx: Transaction, schema: TableSchema, column: Column, rows: int, present: Present | None
) -> pa.Array:
    """What a column that is not given holds."""
    if present is None:
        return default_values(tx, schema, column, rows)
    old = present.columns[column.page_name]
    if len(old) == rows:
        return old
    new = default_values(tx, schema, column, rows - len(old))
    at = np.empty(rows, np.int64)
    at[present.alive] = np.arange(len(old))
    at[~present.alive] = np.arange(len(old), rows)
    return pa.concat_arrays([old, new]).take(pa.array(at))


def default_values(tx: Transaction, schema: TableSchema, column: Column, rows: int) -> pa.Array:
    """The default of a column for each of `rows` new rows, as pages hold it."""
    default, physical = column.default, physical_type(column.type)
    if default is None:
        return pa.nulls(rows, physical)
    if default.kind == "value":
        return pa.repeat(physical_scalar(default.value, physical), rows)
    if default.kind == "sequence":
        numbers = tx.next_values(default.value, rows)
        try:
            return pa.array(np.array(numbers, np.int64)).cast(physical)
        except (OverflowError, pa.ArrowInvalid) as problem:
            raise _exhausted(schema, column, numbers[-1]) from problem
    return _evaluate(tx, schema, [default.value], [column.type], {}, rows)[0]


def physical_scalar(value: Any, physical: pa.DataType) -> pa.Scalar:
    """A physical Python value as a scalar."""
    if pa.types.is_temporal(physical) and not pa.types.is_interval(physical):
        ints = pa.int32() if physical.bit_width == 32 else pa.int64()
        return pa.array([value], ints).view(physical)[0]
    return pa.array([value], physical)[0]


def _exhausted(schema: TableSchema, column: Column, value: int) -> ConstraintError:
    return ConstraintError(
        f"table {schema.full_name!r}: the next value of identity column {column.name!r} is {value}, "
        f"which {describe_type(column.type)} cannot hold",
        hint="change the column to a wider type",
        table=schema.full_name,
        constraint="identity",
        keys=[],
    )


def _generate(tx: Transaction, schema: TableSchema, values: dict[str, pa.Array], rows: int) -> None:
    generated = [(c, c.generated) for c in schema.columns if c.generated is not None]
    if not generated:
        return
    texts, types = [text for _, text in generated], [c.type for c, _ in generated]
    found = _evaluate(tx, schema, texts, types, values, rows)
    values.update({column.page_name: array for (column, _), array in zip(generated, found, strict=True)})


def _evaluate(
    tx: Transaction,
    schema: TableSchema,
    expressions: list[str],
    types: list[pa.DataType],
    values: dict[str, pa.Array],
    rows: int,
) -> list[pa.Array]:
    """Expressions over the rows, as values of physical types."""
    found = tx.engine.evaluator.evaluate(expressions, logical_rows(tx, schema, expressions, values, rows))
    arrays = []
    for expression, kind, array in zip(expressions, types, found, strict=True):
        try:
            stored = from_text(to_physical(array, array.type), kind)
            arrays.append(cast(stored, physical_type(kind)))
        except MisfitError as problem:
            raise QueryError(
                f"table {schema.full_name!r}: {expression} does not give {describe_type(kind)}: {problem}",
                hint="cast inside the expression, such as round(…) or CAST(… AS …)",
                table=schema.full_name,
            ) from problem
    return arrays


def logical_rows(
    tx: Transaction, schema: TableSchema, expressions: Iterable[str], values: dict[str, pa.Array], rows: int
) -> pa.Table:
    """The columns that expressions read, as users see them; SQL need not know the types of the others."""
    columns = columns_read(tx.engine.evaluator, schema, expressions)
    if not columns:
        return pa.table({_ALONE: np.arange(rows)})
    return pa.table({c.name: to_logical(values[c.page_name], c.type) for c in columns})


def check_values(
    tx: Transaction,
    schema: TableSchema,
    values: dict[str, pa.Array],
    rows: int,
    report: Report | None = None,
) -> None:
    """NOT NULL and CHECK; ConstraintError shows the keys of the first rows that break one, or of all to `report`."""
    for column in schema.columns:
        array = values[column.page_name]
        if array.null_count and (not column.nullable or column.id in schema.key):
            bad = array.is_null().to_numpy(zero_copy_only=False)
            _broken(schema, values, bad, "NOT NULL", f"column {column.name!r} must not be NULL", report)
    checks = [c for c in schema.constraints if isinstance(c, Check)]
    if checks and rows:
        texts = [c.expression for c in checks]
        found = tx.engine.evaluator.evaluate(texts, logical_rows(tx, schema, texts, values, rows))
        for check, array in zip(checks, found, strict=True):
            good = pc.fill_null(_as_bool(schema, check, array), True).to_numpy(zero_copy_only=False)
            if not good.all():
                _broken(
                    schema, values, ~good, check.name, f"CHECK ({check.expression}) does not hold", report
                )


def _as_bool(schema: TableSchema, check: Check, array: pa.Array) -> pa.Array:
    try:
        return pc.cast(array, pa.bool_())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise QueryError(
            f"table {schema.full_name!r}: CHECK ({check.expression}) is neither true nor false but {array.type}",
            hint="a check is a condition, such as price > 0",
        ) from problem


def _broken(
    schema: TableSchema,
    values: dict[str, pa.Array],
    bad: np.ndarray[Any, Any],
    constraint: str,
    what: str,
    report: Report | None,
) -> None:
    at = np.flatnonzero(bad)
    listed = at if report is not None else at[:SHOWN]
    first = pa.array(listed)
    named = [c for c in schema.key_columns if c.page_name in values and schema.hidden_key is None]
    if named:
        parts = [to_logical(values[c.page_name].take(first), c.type).to_pylist() for c in named]
        keys = list(zip(*parts, strict=True))
    else:
        keys = [(int(i),) for i in listed]
    shown = shown_keys(keys[:SHOWN], len(at))
    error = ConstraintError(
        f"table {schema.full_name!r}: {what} in rows {'with key' if named else 'number'} {shown}",
        hint="nothing was changed",
        table=schema.full_name,
        constraint=constraint,
        keys=keys,
    )
    if report is None:
        raise error
    report(error)


def _row_ids(tx: Transaction, schema: TableSchema, rows: int) -> pa.Array:
    first = tx.next_row_ids(schema, rows)
    return pa.array(np.arange(first, first + rows, dtype=np.int64))
