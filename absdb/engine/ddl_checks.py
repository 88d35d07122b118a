"""What the verbs of ddl check before they change anything: names, expressions, and what depends on a column."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from absdb.catalog.schema import Check, Column, TableSchema, Unique
from absdb.engine.expressions import columns_read
from absdb.errors import AlreadyExistsError, ConstraintError, InvalidInputError, NotFoundError
from absdb.ids import ColumnId

if TYPE_CHECKING:
    from absdb.catalog.database import DatabaseCatalog
    from absdb.engine.transaction import Transaction

P = ParamSpec("P")
R = TypeVar("R")


def atomic(
    verb: Callable[Concatenate[Transaction, P], R],
) -> Callable[Concatenate[Transaction, P], R]:
    """A verb that leaves the transaction as it was if it raises."""

    @wraps(verb)
    def whole(tx: Transaction, /, *args: P.args, **details: P.kwargs) -> R:
        with tx.atomic():
            return verb(tx, *args, **details)

    return whole


def put(tx: Transaction, schema: TableSchema) -> TableSchema:
    """Let the transaction see a table defined so."""
    tx.change_schema({("table", schema.id): schema})
    return schema


def with_column(schema: TableSchema, column_id: ColumnId, column: Column) -> TableSchema:
    """The table with another column in the place of one."""
    columns = tuple(column if c.id == column_id else c for c in schema.columns)
    return dataclasses.replace(schema, columns=columns)


def check_free(tx: Transaction, namespace: str, name: str) -> None:
    """AlreadyExistsError if there is a table of that name."""
    found = tx.catalog.tables_by_name.get((namespace, name))
    if found is not None:
        raise AlreadyExistsError(
            f"there is a table {found.full_name!r} already",
            hint="drop or rename it first",
            table=found.full_name,
        )


def check_namespace(tx: Transaction, namespace: str) -> None:
    """NotFoundError if there is no such schema."""
    if namespace not in tx.catalog.namespaces:
        raise NotFoundError(
            f"there is no schema {namespace!r}", hint=f"schemas: {', '.join(tx.catalog.namespaces)}"
        )


def check_expressions(tx: Transaction, schema: TableSchema) -> None:
    """Expressions may read only columns that exist; generated ones none that is generated, defaults none at all."""
    for column in schema.columns:
        if column.generated is not None:
            for read in columns_read(tx.engine.evaluator, schema, [column.generated]):
                if read.generated is not None:
                    raise InvalidInputError(
                        f"column {column.name!r} of table {schema.full_name!r} is generated from {read.name!r}, "
                        f"which is generated itself",
                        hint=f"write {read.name!r} out: {read.generated}",
                        table=schema.full_name,
                        column=column.name,
                    )
        elif column.default is not None and column.default.kind == "expression":
            names = tx.engine.evaluator.columns_of(column.default.value)
            if names:
                raise InvalidInputError(
                    f"the default of column {column.name!r} of table {schema.full_name!r} reads {names[0]!r}, "
                    f"but a default reads no columns",
                    hint="make it a generated column",
                    table=schema.full_name,
                    column=column.name,
                )
    checks = [c.expression for c in schema.constraints if isinstance(c, Check)]
    columns_read(tx.engine.evaluator, schema, checks)


def readers_of(tx: Transaction, schema: TableSchema, column: Column) -> Iterator[tuple[str, str]]:
    """(what it is, its text) of each CHECK and generated column that reads a column."""
    texts = [(f"constraint {c.name!r}", c.expression) for c in schema.constraints if isinstance(c, Check)]
    texts += [(f"column {c.name!r}", c.generated) for c in schema.columns if c.generated is not None]
    for owner, text in texts:
        if any(read.id == column.id for read in columns_read(tx.engine.evaluator, schema, [text])):
            yield owner, text


def check_unread(tx: Transaction, schema: TableSchema, column: Column, what: str) -> None:
    """ConstraintError if a CHECK or a generated column reads the column."""
    for owner, text in readers_of(tx, schema, column):
        raise ConstraintError(
            f"column {column.name!r} cannot be {what}: {owner} of table {schema.full_name!r} reads it ({text})",
            hint="drop that first",
            table=schema.full_name,
            constraint=owner,
            keys=[],
        )


def check_unconstrained(
    tx: Transaction, schema: TableSchema, column: Column, what: str, *, unique: bool = True
) -> None:
    """ConstraintError if a foreign key from or to the column, or (if `unique`) a UNIQUE over it, stands."""
    for constraint in schema.constraints:
        if isinstance(constraint, Check) or (isinstance(constraint, Unique) and not unique):
            continue
        if column.id in constraint.columns:
            raise _constrained(column, what, schema, constraint)
    for child, reference in tx.catalog.referencing.get(schema.id, ()):
        if column.id in reference.references:
            raise _constrained(column, what, child, reference)


def _constrained(column: Column, what: str, table: TableSchema, constraint: Any) -> ConstraintError:
    return ConstraintError(
        f"column {column.name!r} cannot be {what}: "
        f"constraint {constraint.name!r} of table {table.full_name!r} needs it",
        hint="drop the constraint first",
        table=table.full_name,
        constraint=constraint.name,
        keys=[],
    )


def has_rows(tx: Transaction, schema: TableSchema) -> bool:
    """Whether a table has a row."""
    return next(iter(tx.reader(schema).scan()), None) is not None


def sequences_of(schema: TableSchema) -> list[int]:
    """The sequences that a table's columns take values from."""
    return [c.default.value for c in schema.columns if c.default is not None and c.default.kind == "sequence"]


def is_own_sequence(catalog: DatabaseCatalog, sequence: int) -> bool:
    """Whether a sequence belongs to an identity column: it is in no schema, and goes with its column."""
    found = catalog.entities.get(("sequence", sequence))
    return found is not None and "namespace" not in found


def own_sequences(catalog: DatabaseCatalog, schema: TableSchema) -> list[int]:
    """The sequences of a table's identity columns."""
    return [sequence for sequence in sequences_of(schema) if is_own_sequence(catalog, sequence)]
