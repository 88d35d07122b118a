"""A table out of whatever describes one: a frame with its rows, a schema, definitions of columns, or some of each.

The definition comes from the frame or schema first; `columns` then changes single columns or adds more.
Columns that hold nothing but NULL are declared as text, since a column of type null could never take a
value. The rows of a frame are loaded in the same transaction. Called by tables' and databases' create_table
and by imports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from absdb.catalog.schema import DEFAULT_NAMESPACE, TableSchema
from absdb.engine import ddl, intake
from absdb.engine.constraint_definition import ConstraintDefinition, add_constraint
from absdb.engine.definition import ColumnDefinition, definitions_of
from absdb.engine.type_text import as_type
from absdb.errors import InvalidInputError
from absdb.pages.types import declared_type, from_frame
from absdb.paths import normal_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

T = TypeVar("T")
ColumnChanges = Mapping[str, Any] | Iterable[ColumnDefinition]
IF_EXISTS = ("fail", "skip", "replace")


def create_table(
    tx: Transaction,
    name: str,
    source: Any = None,
    *,
    key: str | Sequence[str] | None = None,
    columns: ColumnChanges = (),
    constraints: Iterable[ConstraintDefinition] = (),
    comment: str = "",
    compression: str | None = None,
    if_exists: str = "fail",
    progress: intake.Progress | None = None,
) -> TableSchema:
    """Make a table and load the rows of `source` if it has any; `if_exists` is fail, skip or replace."""
    if if_exists not in IF_EXISTS:
        raise InvalidInputError(f"if_exists is {if_exists!r}", hint=f"it is one of {', '.join(IF_EXISTS)}")
    namespace, plain = split_name(name)
    there = tx.catalog.tables_by_name.get((namespace, plain))
    if there is not None and if_exists == "skip":
        return there
    if there is not None and if_exists == "replace":
        ddl.drop_table(tx, there)
    changes = _changes(columns)
    definitions, rows = _described(source, {c.name: c.type for c in changes if intake.needs_type(c.type)})
    if isinstance(rows, pa.RecordBatchReader):
        tx.repeatable = tx.repeatable and not isinstance(source, pa.RecordBatchReader)
    made = ddl.create_table(
        tx,
        plain,
        _merged(definitions, changes),
        key=_key_names(plain, key),
        namespace=namespace,
        comment=comment,
        compression=compression,
    )
    for constraint in _listed("constraints", constraints):
        made = add_constraint(tx, made, constraint)
    if rows is not None:
        intake.insert(tx, made, rows, progress)
    return made


def _key_names(table: str, key: str | Sequence[str] | None) -> tuple[str, ...]:
    if key is not None and not isinstance(key, Iterable):
        raise InvalidInputError(
            f"table {table!r}: {key!r} is not a key", hint="pass the name of a column, or a list of names"
        )
    return (key,) if isinstance(key, str) else tuple(key or ())


def _listed(what: str, kinds: Iterable[T]) -> list[T]:
    """What should be a list, as one; InvalidInputError for a single thing."""
    if isinstance(kinds, str) or not isinstance(kinds, Iterable):
        raise InvalidInputError(f"{what} must be a list, not {kinds!r}", hint=f"write {what}=[…]")
    return list(kinds)


def split_name(name: str) -> tuple[str, str]:
    """(schema, table) of `sales.orders`; a plain name is one of the default schema."""
    if not isinstance(name, str):
        raise InvalidInputError(f"the name of a table must be text, not {type(name).__name__}")
    namespace, dot, plain = name.partition(".")
    return (namespace, plain) if dot else (DEFAULT_NAMESPACE, name)


def _described(source: Any, types: Mapping[str, pa.DataType]) -> tuple[list[ColumnDefinition], Any]:
    """The columns that `source` describes, and its rows if it has any."""
    if source is None:
        return [], None
    if isinstance(source, pa.Schema):
        return definitions_of(source), None
    if isinstance(source, ColumnDefinition):
        return [source], None
    if isinstance(source, Mapping) and source and all(_is_type(kind) for kind in source.values()):
        return [ColumnDefinition(str(name), as_type(kind)) for name, kind in source.items()], None
    if isinstance(source, list | tuple) and source and isinstance(source[0], ColumnDefinition):
        return list(source), None
    pandas = type(source).__module__.partition(".")[0] == "pandas"
    plain = _blanked(source, types) if types else source
    frame = from_frame(plain)
    fields = [field.with_type(_declared(field.type, pandas)) for field in frame.schema]
    # Dicts, and Python objects of the types named, are made into values of the column's type as inserts do it.
    whole = list(source) if isinstance(source, list | tuple) else frame if plain is source else source
    return definitions_of(pa.schema(fields)), whole


def _blanked(source: Any, types: Mapping[str, pa.DataType]) -> Any:
    """Python's own rows and columns with NULLs where pyarrow could not tell what the values are; all else as it is."""
    if isinstance(source, Mapping):
        hidden = {name: [None] * len(values) for name, values in source.items() if name in types}
        return {**source, **hidden}
    if isinstance(source, list | tuple):
        return [{name: None if name in types else row[name] for name in row} for row in source]
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "assign"):
        return source.assign(**{name: None for name in types if name in source.columns})
    return source


def _is_type(kind: Any) -> bool:
    return isinstance(kind, str | pa.DataType | type)


def _declared(kind: pa.DataType, pandas: bool) -> pa.DataType:
    """What a frame's column is declared as. pandas knows one kind of text, which may come as large_string."""
    if pa.types.is_null(kind) or (pandas and pa.types.is_large_string(kind)):
        return pa.string()
    return declared_type(kind)


def _changes(columns: ColumnChanges) -> list[ColumnDefinition]:
    """What `columns` says, as definitions."""
    if not isinstance(columns, Mapping):
        found = _listed("columns", columns)
        for definition in found:
            if not isinstance(definition, ColumnDefinition):
                raise InvalidInputError(
                    f"columns holds {definition!r}, which is not a column",
                    hint='pass a dict of names and types, or absdb.Column("total", "decimal(12, 2)")',
                )
        return found
    return [
        dataclasses.replace(kind, name=name)
        if isinstance(kind, ColumnDefinition)
        else ColumnDefinition(name, as_type(kind))
        for name, kind in columns.items()
    ]


def _merged(definitions: list[ColumnDefinition], changes: list[ColumnDefinition]) -> list[ColumnDefinition]:
    """The definitions with those of the same name replaced, and new ones behind."""
    changed = {normal_name(change.name): change for change in changes}
    kept = [changed.pop(normal_name(definition.name), definition) for definition in definitions]
    return [*kept, *changed.values()]
