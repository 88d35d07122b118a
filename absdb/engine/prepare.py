"""From what a user passes to page batches: names matched, types cast, defaults filled, NOT NULL and CHECK held.

A batch comes out with every stored column of the table, by column id and physical type, and `_key` where the
key needs it; rows keep their order. Columns left out get, in this order: the row's present value (where the verb
keeps it), the default, the next value of a sequence, NULL; generated columns are computed last. Called by
engine/writes.py; few rows passed as dicts go through engine/small.py instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.schema import Check, Column, TableSchema
from absdb.errors import ConstraintError, QueryError, SchemaMismatchError
from absdb.pages.types import describe_type, physical_type, to_logical, to_physical

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

SHOWN = 5


def conform(schema: TableSchema, given: pa.Table) -> pa.Table:
    """The columns given, in the table's order and with its logical types; SchemaMismatchError if they do not fit."""
    check_names(schema, given.column_names)
    arrays, names = [], []
    for column in schema.columns:
        if column.name in given.column_names:
            if column.generated is not None:
                raise SchemaMismatchError(
                    f"column {column.name!r} of table {schema.full_name!r} is generated and cannot be written",
                    hint=f"leave it out; it is {column.generated}",
                )
            arrays.append(_cast(schema, column, given.column(column.name)))
            names.append(column.name)
    return pa.table(arrays, names=names) if arrays else pa.table({})


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
        raise SchemaMismatchError(f"column {twice!r} is given twice")


def _cast(schema: TableSchema, column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    if values.type == column.type:
        return values
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), column.type)])
    try:
        storage = values
        if isinstance(values.type, pa.ExtensionType):
            storage = pa.chunked_array([c.storage for c in values.chunks], values.type.storage_type)
        physical = physical_type(column.type)
        if pa.types.is_timestamp(storage.type) and pa.types.is_timestamp(physical):
            _check_zones(storage.type, physical)
        plain = storage if storage.type == physical else pc.cast(_decoded(storage), physical, safe=True)
        return pa.chunked_array([to_logical(chunk, column.type) for chunk in plain.chunks], column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError) as error:
        raise SchemaMismatchError(
            f"column {column.name!r} of table {schema.full_name!r} is {describe_type(column.type)}, "
            f"and the {describe_type(values.type)} values given do not fit: {str(error).splitlines()[0]}",
            hint="cast the column before writing it",
            table=schema.full_name,
            column=column.name,
        ) from error


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _check_zones(given: pa.DataType, wanted: pa.DataType) -> None:
    if given.tz is not None and wanted.tz is None:
        raise ValueError("they have a time zone, the column has none")


def complete(
    tx: Transaction, schema: TableSchema, given: pa.Table, *, present: pa.RecordBatch | None = None
) -> pa.RecordBatch:
    """A page batch from conformed columns. `present` has the rows' present values (null where the row is new):
    they fill the columns left out where the row exists, which its `_alive` column tells."""
    rows = given.num_rows
    values: dict[str, pa.Array] = {}
    for column in schema.columns:
        if column.name in given.column_names:
            values[column.name] = _one_chunk(given.column(column.name), column.type)
        elif column.generated is None:
            filled = _default(tx, schema, column, rows)
            values[column.name] = _keep(present, column, filled)
    _generate(tx, schema, values, rows)
    check_values(tx, schema, values, rows)
    arrays, names = [], []
    for column in schema.columns:
        arrays.append(to_physical(values[column.name], column.type))
        names.append(column.page_name)
    if schema.hidden_key is not None:
        arrays.append(_row_ids(tx, schema, rows))
        names.append(schema.hidden_key.page_name)
    return schema.key_spec.with_key(pa.record_batch(arrays, names=names))


def _one_chunk(values: pa.ChunkedArray, logical: pa.DataType) -> pa.Array:
    if values.num_chunks == 1:
        return values.chunk(0)
    return pa.array([], logical) if values.num_chunks == 0 else pa.concat_arrays(values.chunks)


def _default(tx: Transaction, schema: TableSchema, column: Column, rows: int) -> pa.Array:
    default = column.default
    if default is None:
        return pa.nulls(rows, column.type)
    if default.kind == "value":
        constant = pa.array([default.value], physical_type(column.type))
        return to_logical(pa.repeat(constant[0], rows), column.type)
    if default.kind == "sequence":
        numbers = np.array(tx.next_values(default.value, rows), np.int64)
        return to_logical(pa.array(numbers).cast(physical_type(column.type)), column.type)
    return _evaluate(tx, schema, [default.value], pa.table({"_row": np.arange(rows)}), [column.type])[0]


def _keep(present: pa.RecordBatch | None, column: Column, filled: pa.Array) -> pa.Array:
    if present is None:
        return filled
    old = present.column(column.page_name)
    physical = pc.if_else(present.column("_alive"), old, to_physical(filled, column.type))
    return to_logical(physical, column.type)


def _generate(tx: Transaction, schema: TableSchema, values: dict[str, pa.Array], rows: int) -> None:
    generated = [c for c in schema.columns if c.generated is not None]
    if not generated:
        return
    table = pa.table({"_row": np.arange(rows), **values})
    found = _evaluate(tx, schema, [str(c.generated) for c in generated], table, [c.type for c in generated])
    values.update({column.name: array for column, array in zip(generated, found, strict=True)})


def _evaluate(
    tx: Transaction, schema: TableSchema, expressions: list[str], rows: pa.Table, types: list[pa.DataType]
) -> list[pa.Array]:
    found = tx.engine.evaluator.evaluate(expressions, rows)
    arrays = []
    for expression, kind, array in zip(expressions, types, found, strict=True):
        try:
            arrays.append(to_logical(pc.cast(array, physical_type(kind)), kind))
        except pa.ArrowInvalid as error:
            raise QueryError(
                f"table {schema.full_name!r}: {expression} does not give {describe_type(kind)}: {error}"
            ) from error
    return arrays


def check_values(tx: Transaction, schema: TableSchema, values: dict[str, pa.Array], rows: int) -> None:
    """NOT NULL and CHECK; ConstraintError shows the keys of the first rows that break one."""
    for column in schema.columns:
        required = not column.nullable or column.id in schema.key
        if required and values[column.name].null_count:
            bad = pc.is_null(values[column.name]).to_numpy(zero_copy_only=False)
            _broken(schema, values, bad, "NOT NULL", f"column {column.name!r} must not be NULL")
    checks = [c for c in schema.constraints if isinstance(c, Check)]
    if checks and rows:
        found = tx.engine.evaluator.evaluate([c.expression for c in checks], pa.table(values))
        for check, array in zip(checks, found, strict=True):
            good = pc.fill_null(pc.cast(array, pa.bool_()), True).to_numpy(zero_copy_only=False)
            if not good.all():
                _broken(schema, values, ~good, check.name, f"CHECK ({check.expression}) does not hold")


def _broken(
    schema: TableSchema, values: dict[str, pa.Array], bad: np.ndarray, constraint: str, what: str
) -> None:
    at = np.flatnonzero(bad)
    names = [name for name in schema.key_names if name in values]
    if names:
        keys = [tuple(values[name][int(i)].as_py() for name in names) for i in at[:SHOWN]]
        shown = ", ".join(str(key[0] if len(key) == 1 else key) for key in keys)
        where = f"rows with key {shown}"
    else:
        keys = [(int(i),) for i in at[:SHOWN]]
        where = f"rows number {', '.join(str(i) for i in at[:SHOWN])}"
    more = f" and {len(at) - len(keys)} more" if len(at) > len(keys) else ""
    raise ConstraintError(
        f"table {schema.full_name!r}: {what} in {where}{more}",
        hint="nothing was changed",
        table=schema.full_name,
        constraint=constraint,
        keys=keys,
    )


def _row_ids(tx: Transaction, schema: TableSchema, rows: int) -> pa.Array:
    first = tx.next_row_ids(schema, rows)
    return pa.array(np.arange(first, first + rows, dtype=np.int64))
