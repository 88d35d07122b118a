"""Schema changes inside a transaction: tables, columns, constraints, schemas, sequences.

Each takes a transaction and changes its catalog; only changing a column's type to one that is not a lossless
widening touches rows (it writes every row once, with a new column that replaces the old one). Adding, dropping,
renaming and reordering columns cost the same at any size. Names and definitions are checked here, before
anything is changed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.schema import (
    DEFAULT_NAMESPACE,
    Check,
    Column,
    Constraint,
    Default,
    ForeignKey,
    TableSchema,
    Unique,
)
from absdb.engine.definition import ColumnDefinition, default_of, fresh_column, key_columns_of
from absdb.errors import AlreadyExistsError, ConstraintError, InvalidInputError, NotFoundError, StateError
from absdb.ids import ColumnId, TableId
from absdb.pages.format import COMPRESSIONS
from absdb.pages.types import can_widen, describe_type, physical_type, to_logical, to_physical
from absdb.paths import check_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


def create_table(
    tx: Transaction,
    name: str,
    columns: Sequence[ColumnDefinition],
    *,
    key: Sequence[str] = (),
    namespace: str = DEFAULT_NAMESPACE,
    comment: str = "",
    compression: str | None = None,
) -> TableSchema:
    """A new, empty table; without a key its rows have a hidden one. Constraints are added with `add_constraint`."""
    name = check_name("table", name)
    _check_namespace(tx, namespace)
    _check_free(tx, namespace, name)
    if compression not in COMPRESSIONS:
        raise InvalidInputError(
            f"table {name!r}: page compression {compression!r} is not known", hint="use None, 'lz4' or 'zstd'"
        )
    if not columns:
        raise InvalidInputError(f"table {name!r} needs at least one column")
    made = tuple(fresh_column(tx, definition) for definition in columns)
    twice = [column for column, count in Counter(c.name for c in made).items() if count > 1]
    if twice:
        raise InvalidInputError(f"table {name!r} has the column {twice[0]!r} twice")
    hidden = None
    if not key:
        hidden = Column(id=ColumnId(tx.engine.allocator.new_id()), name="", type=pa.int64(), nullable=False)
    schema = TableSchema(
        id=TableId(tx.engine.allocator.new_id()),
        namespace=namespace,
        name=name,
        columns=made,
        key=(hidden.id,) if hidden is not None else key_columns_of(name, made, key),
        hidden_key=hidden,
        comment=comment,
        compression=compression if compression is not None else tx.engine.settings.page_compression,
    )
    _ = schema.key_spec  # refuses key types without an order
    _check_expressions(tx, schema)
    _put(tx, schema)
    return schema


def drop_table(tx: Transaction, schema: TableSchema) -> None:
    """Remove a table; `undrop_table` brings it back for as long as history is kept."""
    for other, constraint in tx.catalog.referencing.get(schema.id, ()):
        if other.id != schema.id:
            raise ConstraintError(
                f"table {schema.full_name!r} is referenced by {constraint.name!r} of table {other.full_name!r}",
                hint=f"drop that constraint first: alter {other.full_name}",
                table=schema.full_name,
                constraint=constraint.name,
                keys=[],
            )
    tx.change_schema({("table", schema.id): None})
    tx.writes.pop(schema.id, None)


def undrop_table(tx: Transaction, name: str, namespace: str = DEFAULT_NAMESPACE) -> TableSchema:
    """Bring back the table of that name that was dropped last, with its rows; NotFoundError if there is none."""
    _check_free(tx, namespace, name)
    history = tx.engine.history
    for era_id, reached in reversed(tx.lineage):
        for lsn, catalog in reversed(list(history.catalog_versions(era_id))):
            found = catalog.tables_by_name.get((namespace, name))
            if lsn <= reached and found is not None and found.id not in tx.catalog.tables:
                _put(tx, found)
                return found
    raise NotFoundError(
        f"no table {name!r} was dropped here within the kept history",
        hint="at(…) shows what was there at a time",
    )


def rename_table(
    tx: Transaction, schema: TableSchema, name: str, namespace: str | None = None
) -> TableSchema:
    """Give a table another name, or move it to another schema."""
    name = check_name("table", name)
    namespace = schema.namespace if namespace is None else namespace
    _check_namespace(tx, namespace)
    _check_free(tx, namespace, name)
    return _put(tx, dataclasses.replace(schema, name=name, namespace=namespace))


def add_column(
    tx: Transaction, schema: TableSchema, definition: ColumnDefinition, *, position: int | None = None
) -> TableSchema:
    """A new column, last unless `position` says otherwise. Rows that are there read as its default.

    A default that is an expression or a sequence is computed now for the rows that are there.
    """
    if definition.name in schema.by_name:
        raise AlreadyExistsError(f"table {schema.full_name!r} has a column {definition.name!r} already")
    column = fresh_column(tx, definition)
    constant = column.default is not None and column.default.kind == "value"
    initial = column.default.value if constant and column.default is not None else None
    computed = column.generated is not None or (column.default is not None and not constant)
    if not column.nullable and initial is None and not computed and _has_rows(tx, schema):
        raise ConstraintError(
            f"column {column.name!r} is NOT NULL and has no default, but table {schema.full_name!r} has rows",
            hint="give it a default",
            table=schema.full_name,
            constraint="NOT NULL",
            keys=[],
        )
    column = dataclasses.replace(column, initial_default=initial)
    at = len(schema.columns) if position is None else position
    changed = dataclasses.replace(schema, columns=(*schema.columns[:at], column, *schema.columns[at:]))
    _check_expressions(tx, changed)
    with tx.atomic():
        _put(tx, changed)
        if computed:
            rewrite(tx, schema, changed, [])
    return changed


def drop_column(tx: Transaction, schema: TableSchema, name: str) -> TableSchema:
    """Remove a column; older states still have it. Refused for key columns and those a constraint needs."""
    column = schema.column(name)
    if column.id in schema.key:
        raise InvalidInputError(f"column {name!r} belongs to the key of table {schema.full_name!r}")
    if len(schema.columns) == 1:
        raise InvalidInputError(f"column {name!r} is the only one of table {schema.full_name!r}")
    _check_unused(tx, schema, column)
    columns = tuple(c for c in schema.columns if c.id != column.id)
    return _put(tx, dataclasses.replace(schema, columns=columns, retired=(*schema.retired, column)))


def rename_column(tx: Transaction, schema: TableSchema, old: str, new: str) -> TableSchema:
    """Give a column another name. Refused while an expression of the table names it."""
    column = schema.column(old)
    new = check_name("column", new)
    if new in schema.by_name:
        raise AlreadyExistsError(f"table {schema.full_name!r} has a column {new!r} already")
    _check_not_in_expression(tx, schema, column, "renamed")
    return _put(tx, _with_column(schema, column.id, dataclasses.replace(column, name=new)))


def reorder_columns(tx: Transaction, schema: TableSchema, names: Sequence[str]) -> TableSchema:
    """Put the columns in another order; `names` lists the ones to come first, the others follow as they are."""
    if len(set(names)) < len(names):
        raise InvalidInputError("a column is named twice in the new order")
    first = [schema.column(name) for name in names]
    rest = [column for column in schema.columns if column not in first]
    return _put(tx, dataclasses.replace(schema, columns=(*first, *rest)))


def retype_column(
    tx: Transaction, schema: TableSchema, name: str, kind: pa.DataType, *, using: str | None = None
) -> TableSchema:
    """Change a column's type. A lossless widening costs nothing; anything else rewrites the table's rows.

    Values are cast, or computed by the SQL expression `using`; ConstraintError if some do not fit, and nothing
    changes.
    """
    column = schema.column(name)
    if using is None and (
        physical_type(kind) == physical_type(column.type)
        or can_widen(physical_type(column.type), physical_type(kind))
    ):
        if column.id in schema.key and physical_type(kind) != physical_type(column.type):
            _refuse_key(schema, name)
        initial = column.initial_default
        widened = dataclasses.replace(
            column,
            type=kind,
            default=_recast_default(column, kind),
            initial_default=None if initial is None else _recast(column, initial, kind).value,
        )
        return _put(tx, _with_column(schema, column.id, widened))
    if column.id in schema.key:
        _refuse_key(schema, name)
    _check_unused(tx, schema, column, expressions=False)
    default = _recast_default(column, kind)
    replacement = dataclasses.replace(
        column,
        id=ColumnId(tx.engine.allocator.new_id()),
        type=kind,
        default=default,
        initial_default=None,
        replaces=column.id,
    )
    columns = tuple(replacement if c.id == column.id else c for c in schema.columns)
    changed = dataclasses.replace(schema, columns=columns, retired=(*schema.retired, column))
    with tx.atomic():
        _put(tx, changed)
        rewrite(tx, schema, changed, [(column, replacement, using)])
    return changed


def _refuse_key(schema: TableSchema, name: str) -> None:
    raise InvalidInputError(
        f"column {name!r} belongs to the key of table {schema.full_name!r}; its type cannot change",
        hint="create a table with the new key and copy the rows",
    )


def _recast_default(column: Column, kind: pa.DataType) -> Default | None:
    default = column.default
    if default is None or default.kind != "value":
        return default
    return _recast(column, default.value, kind)


def _recast(column: Column, physical: Any, kind: pa.DataType) -> Default:
    """A default's physical value as one of another type."""
    try:
        value = pc.cast(pa.array([physical], physical_type(column.type)), physical_type(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInputError(
            f"the default of column {column.name!r} is no {describe_type(kind)}: {error}",
            hint="drop the default first",
        ) from error
    return default_of(value, kind)


def alter_column(
    tx: Transaction,
    schema: TableSchema,
    name: str,
    *,
    nullable: bool | None = None,
    default: Any = ...,
    comment: str | None = None,
) -> TableSchema:
    """Change what holds for new rows: NOT NULL (checked on the rows there are), default (None drops it), comment."""
    column = schema.column(name)
    if nullable is False and column.nullable and _has_nulls(tx, schema, name):
        raise ConstraintError(
            f"column {name!r} of table {schema.full_name!r} has NULLs",
            hint="fill them first",
            table=schema.full_name,
            constraint="NOT NULL",
            keys=[],
        )
    if nullable is True and column.id in schema.key:
        raise InvalidInputError(f"column {name!r} belongs to the key of table {schema.full_name!r}")
    changes: dict[str, Any] = {}
    if nullable is not None:
        changes["nullable"] = nullable
    if default is not ...:
        changes["default"] = default
    if comment is not None:
        changes["comment"] = comment
    return _put(tx, _with_column(schema, column.id, dataclasses.replace(column, **changes)))


def add_constraint(tx: Transaction, schema: TableSchema, constraint: Constraint) -> TableSchema:
    """Add UNIQUE, CHECK or FOREIGN KEY; the rows there are must hold it."""
    constraint = dataclasses.replace(constraint, name=check_name("constraint", constraint.name))
    if any(other.name == constraint.name for other in schema.constraints):
        raise AlreadyExistsError(f"table {schema.full_name!r} has a constraint {constraint.name!r} already")
    if isinstance(constraint, ForeignKey):
        check_foreign_key(tx, schema, constraint)
    changed = dataclasses.replace(schema, constraints=(*schema.constraints, constraint))
    _check_expressions(tx, changed)
    with tx.atomic():
        _put(tx, changed)
        tx.engine.constraints.check_all(tx, changed, constraint)
    return changed


def check_foreign_key(tx: Transaction, schema: TableSchema, constraint: ForeignKey) -> None:
    """The referenced columns must be the other table's key or UNIQUE there, of the same types."""
    target = schema if constraint.table == schema.id else tx.catalog.tables[constraint.table]
    uniques = [set(target.key), *(set(c.columns) for c in target.constraints if isinstance(c, Unique))]
    if set(constraint.references) not in uniques:
        names = ", ".join(target.by_id[c].name for c in constraint.references)
        raise InvalidInputError(
            f"a foreign key needs a key or UNIQUE columns to refer to; ({names}) of {target.full_name!r} are neither"
        )
    for own, other in zip(constraint.columns, constraint.references, strict=True):
        ours, theirs = schema.by_id[own], target.by_id[other]
        if physical_type(ours.type) != physical_type(theirs.type):
            raise InvalidInputError(
                f"column {ours.name!r} is {describe_type(ours.type)}, the referenced {theirs.name!r} is "
                f"{describe_type(theirs.type)}"
            )


def drop_constraint(tx: Transaction, schema: TableSchema, name: str) -> TableSchema:
    """Remove a constraint by name."""
    kept = tuple(c for c in schema.constraints if c.name != name)
    if len(kept) == len(schema.constraints):
        names = ", ".join(c.name for c in schema.constraints) or "none"
        raise NotFoundError(f"table {schema.full_name!r} has no constraint {name!r}", hint=f"it has: {names}")
    return _put(tx, dataclasses.replace(schema, constraints=kept))


def create_namespace(tx: Transaction, name: str) -> None:
    """A new SQL schema."""
    name = check_name("schema", name)
    if name in tx.catalog.namespaces:
        raise AlreadyExistsError(f"there is a schema {name!r} already")
    tx.change_schema({("namespace", name): {"name": name}})


def drop_namespace(tx: Transaction, name: str) -> None:
    """Remove an empty SQL schema."""
    if name == DEFAULT_NAMESPACE:
        raise InvalidInputError(f"the schema {name!r} cannot be dropped")
    if name not in tx.catalog.namespaces:
        raise NotFoundError(
            f"there is no schema {name!r}", hint=f"schemas: {', '.join(tx.catalog.namespaces)}"
        )
    inside = [t.full_name for t in tx.catalog.tables.values() if t.namespace == name]
    if inside:
        raise StateError(
            f"schema {name!r} is not empty: it has {', '.join(inside[:5])}", hint="drop its tables first"
        )
    tx.change_schema({("namespace", name): None})


def create_sequence(tx: Transaction, name: str, *, start: int = 1, increment: int = 1) -> int:
    """A new sequence; returns its id. Branches take values from blocks of their own."""
    name = check_name("sequence", name)
    if increment == 0:
        raise InvalidInputError("a sequence cannot have the increment 0")
    if any(kind == "sequence" and value["name"] == name for (kind, _), value in tx.catalog.entities.items()):
        raise AlreadyExistsError(f"there is a sequence {name!r} already")
    sequence = tx.engine.allocator.new_id()
    tx.change_schema(
        {("sequence", sequence): {"id": sequence, "name": name, "start": start, "increment": increment}}
    )
    return sequence


def rewrite(
    tx: Transaction,
    before: TableSchema,
    after: TableSchema,
    replaced: Sequence[tuple[Column, Column, str | None]],
) -> None:
    """Write every row under `after`; replaced columns are cast or computed from the rows under `before`."""
    from absdb.engine.prepare import complete, conform

    reader = tx.reader(before)
    batches = []
    for batch in reader.scan():
        rows = pa.Table.from_batches([batch])
        for old, new, using in replaced:
            rows = _replace_column(tx, before, rows, old, new, using)
        keep = [c.name for c in after.columns if c.name in rows.column_names and c.generated is None]
        batches.append(complete(tx, after, conform(after, rows.select(keep))))
    if before.hidden_key is not None:
        batches = _with_row_ids(after, batches, reader)
    for batch in batches:
        tx.write_batch(after, batch)


def _with_row_ids(after: TableSchema, batches: list[pa.RecordBatch], reader: Any) -> list[pa.RecordBatch]:
    """The rewritten rows under the row ids they had."""
    assert after.hidden_key is not None
    name = after.hidden_key.page_name
    kept = []
    for batch, old in zip(batches, reader.physical(), strict=True):
        at = batch.schema.get_field_index(name)
        kept.append(batch.set_column(at, batch.schema.field(at), old.column(name)))
    return kept


def _replace_column(
    tx: Transaction, schema: TableSchema, rows: pa.Table, old: Column, new: Column, using: str | None
) -> pa.Table:
    try:
        if using is not None:
            array = tx.engine.evaluator.evaluate([using], rows)[0]
        else:
            column = rows.column(old.name).combine_chunks()
            chunk = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            array = to_physical(chunk, old.type)
        values = to_logical(pc.cast(array, physical_type(new.type)), new.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConstraintError(
            f"table {schema.full_name!r}: column {old.name!r} cannot become {describe_type(new.type)}: {error}",
            hint='give an SQL expression with using=, such as using="try_cast(x AS INTEGER)"',
            table=schema.full_name,
            constraint="type",
            keys=[],
        ) from error
    return rows.set_column(rows.column_names.index(old.name), pa.field(new.name, new.type), values)


def _put(tx: Transaction, schema: TableSchema) -> TableSchema:
    tx.change_schema({("table", schema.id): schema})
    return schema


def _with_column(schema: TableSchema, column_id: ColumnId, column: Column) -> TableSchema:
    columns = tuple(column if c.id == column_id else c for c in schema.columns)
    return dataclasses.replace(schema, columns=columns)


def _check_free(tx: Transaction, namespace: str, name: str) -> None:
    if (namespace, name) in tx.catalog.tables_by_name:
        raise AlreadyExistsError(
            f"there is a table {name!r} already", hint="drop or rename it first", table=name
        )


def _check_namespace(tx: Transaction, namespace: str) -> None:
    if namespace not in tx.catalog.namespaces:
        raise NotFoundError(
            f"there is no schema {namespace!r}", hint=f"schemas: {', '.join(tx.catalog.namespaces)}"
        )


def _has_rows(tx: Transaction, schema: TableSchema) -> bool:
    return next(iter(tx.reader(schema).scan()), None) is not None


def _has_nulls(tx: Transaction, schema: TableSchema, name: str) -> bool:
    return any(batch.column(0).null_count for batch in tx.reader(schema).scan([name]))


def _check_unused(tx: Transaction, schema: TableSchema, column: Column, *, expressions: bool = True) -> None:
    for table in (schema, *(t for t, _ in tx.catalog.referencing.get(schema.id, ()))):
        for constraint in table.constraints:
            used: tuple[ColumnId, ...] = ()
            if isinstance(constraint, Unique | ForeignKey):
                used = constraint.columns if table.id == schema.id else ()
            if isinstance(constraint, ForeignKey) and constraint.table == schema.id:
                used = (*used, *constraint.references)
            if column.id in used:
                raise ConstraintError(
                    f"column {column.name!r} is used by constraint {constraint.name!r} of {table.full_name!r}",
                    hint="drop the constraint first",
                    table=table.full_name,
                    constraint=constraint.name,
                    keys=[],
                )
    if expressions:
        _check_not_in_expression(tx, schema, column, "dropped")


def _check_not_in_expression(tx: Transaction, schema: TableSchema, column: Column, what: str) -> None:
    texts = [(f"constraint {c.name!r}", c.expression) for c in schema.constraints if isinstance(c, Check)]
    texts += [(f"column {c.name!r}", c.generated) for c in schema.columns if c.generated is not None]
    for owner, text in texts:
        if column.name in tx.engine.evaluator.columns_of(text):
            raise ConstraintError(
                f"column {column.name!r} cannot be {what}: {owner} of table {schema.full_name!r} reads it ({text})",
                hint="drop that first",
                table=schema.full_name,
                constraint=owner,
                keys=[],
            )


def _check_expressions(tx: Transaction, schema: TableSchema) -> None:
    """Expressions may read only columns that exist; generated ones only columns that are not generated."""
    plain = {c.name for c in schema.columns if c.generated is None}
    texts = [(c.name, c.generated, plain) for c in schema.columns if c.generated is not None]
    texts += [(c.name, c.expression, set(schema.by_name)) for c in schema.constraints if isinstance(c, Check)]
    for owner, text, known in texts:
        strange = [name for name in tx.engine.evaluator.columns_of(text) if name not in known]
        if strange:
            raise InvalidInputError(
                f"{owner!r} of table {schema.full_name!r} reads {strange[0]!r}, which is not a plain column of it",
                hint=f"its columns are {', '.join(schema.by_name)}",
            )
