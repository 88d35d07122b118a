"""Tables: columns with ids that survive renames, keys, constraints, and how all of it is written as JSON.

A page stores columns under their ids (`c7`), so renaming and reordering touch no data. A column has two
defaults: `default`, for rows written from now on, and `initial_default`, which never changes and is what rows
older than the column read as. A dropped or replaced column moves to `retired`: older states still read it.

A change of type that is not a lossless widening makes a new column that `replaces` the old one. A table
without a key has a hidden int64 column as its key (`hidden_key`), never shown.

Descriptors are immutable; engine/ makes changed copies with `dataclasses.replace`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from absdb.catalog.values import value_from_json, value_to_json
from absdb.errors import CorruptionError, NotFoundError
from absdb.ids import ColumnId, TableId
from absdb.pages.key import KeySpec
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.types import decode_type, encode_type, physical_type
from absdb.paths import normal_name

DEFAULT_NAMESPACE = "main"


@dataclass(frozen=True, slots=True)
class Default:
    """What a column gets when a row leaves it out: a value, an SQL expression, or the next id of a sequence."""

    kind: str  # "value" | "expression" | "sequence"
    value: Any  # physical value | SQL text | sequence id

    def to_json(self, column: pa.DataType) -> list[Any]:
        """`column` is the physical type of its column."""
        return [self.kind, value_to_json(self.value, column if self.kind == "value" else None)]

    @classmethod
    def from_json(cls, data: list[Any]) -> Default:
        return cls(data[0], value_from_json(data[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. `initial_default` is a physical value; `generated` an SQL expression over the row's other columns."""

    id: ColumnId
    name: str
    type: pa.DataType
    nullable: bool = True
    default: Default | None = None
    initial_default: Any = None
    generated: str | None = None
    replaces: ColumnId | None = None
    comment: str = ""
    aliases: tuple[ColumnId, ...] = ()
    """What the same column is called on branches that had added it by themselves before they were merged."""

    @property
    def page_name(self) -> str:
        """The column's name inside pages."""
        return f"c{self.id}"

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"id": self.id, "name": self.name, "type": encode_type(self.type)}
        if not self.nullable:
            data["nullable"] = False
        if self.default is not None:
            data["default"] = self.default.to_json(physical_type(self.type))
        if self.initial_default is not None:
            data["initial_default"] = value_to_json(self.initial_default, physical_type(self.type))
        for name in ("generated", "replaces", "comment"):
            if getattr(self, name):
                data[name] = getattr(self, name)
        if self.aliases:
            data["aliases"] = list(self.aliases)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Column:
        default = data.get("default")
        return cls(
            id=ColumnId(data["id"]),
            name=data["name"],
            type=decode_type(data["type"]),
            nullable=data.get("nullable", True),
            default=None if default is None else Default.from_json(default),
            initial_default=value_from_json(data.get("initial_default")),
            generated=data.get("generated"),
            replaces=data.get("replaces"),
            comment=data.get("comment", ""),
            aliases=tuple(ColumnId(other) for other in data.get("aliases", ())),
        )


@dataclass(frozen=True, slots=True)
class Unique:
    """No two rows have equal values in `columns`; a NULL in any of them exempts the row."""

    name: str
    columns: tuple[ColumnId, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """The SQL `expression` is not false for any row."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """The values of `columns` exist in `references` of `table`; a NULL in any of them exempts the row."""

    name: str
    columns: tuple[ColumnId, ...]
    table: TableId
    references: tuple[ColumnId, ...]


Constraint = Unique | Check | ForeignKey
_KINDS: dict[str, type[Any]] = {"unique": Unique, "check": Check, "foreign_key": ForeignKey}


def constraint_to_json(constraint: Constraint) -> dict[str, Any]:
    kind = next(name for name, cls in _KINDS.items() if isinstance(constraint, cls))
    return {"kind": kind, **dataclasses.asdict(constraint)}


def constraint_from_json(data: Mapping[str, Any]) -> Constraint:
    cls = _KINDS.get(data["kind"])
    if cls is None:
        raise CorruptionError(f"unknown kind of constraint {data['kind']!r}")
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items() if name != "kind"}
    made: Constraint = cls(**values)
    return made


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """What one table is at one point of a history: names, columns in order, key, constraints.

    Derived things (key spec, projections, Arrow schema) are computed once per descriptor.
    """

    id: TableId
    namespace: str = DEFAULT_NAMESPACE
    name: str
    columns: tuple[Column, ...]
    key: tuple[ColumnId, ...]
    hidden_key: Column | None = None
    retired: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    comment: str = ""
    compression: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def full_name(self) -> str:
        """`orders`, or `sales.orders` outside the default schema."""
        return self.name if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}.{self.name}"

    @cached_property
    def stored(self) -> tuple[Column, ...]:
        """The columns a new row fills: the visible ones, and the hidden key last if there is one."""
        return self.columns if self.hidden_key is None else (*self.columns, self.hidden_key)

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def by_id(self) -> dict[ColumnId, Column]:
        """Every column a state of this table may need, retired ones too."""
        return {column.id: column for column in (*self.retired, *self.stored)}

    def column(self, name: str) -> Column:
        """The visible column of that name; NotFoundError says which there are."""
        found = self.by_name.get(normal_name(name))
        if found is None:
            raise NotFoundError(
                f"table {self.full_name!r} has no column {name!r}",
                hint=f"its columns are {', '.join(self.by_name) or 'none'}",
                table=self.full_name,
                column=name,
            )
        return found

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        return tuple(self.by_id[column_id] for column_id in self.key)

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """Names of the visible key columns; empty for a table without a key."""
        return () if self.hidden_key is not None else tuple(column.name for column in self.key_columns)

    @cached_property
    def key_spec(self) -> KeySpec:
        return KeySpec.of(
            tuple(column.page_name for column in self.key_columns),
            tuple(physical_type(column.type) for column in self.key_columns),
        )

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The visible columns with their logical types."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    @cached_property
    def page_schema(self) -> pa.Schema:
        """The columns of a page of new rows, by id and physical type, without `_key`, `_op` and `_lsn`."""
        return pa.schema([pa.field(c.page_name, physical_type(c.type)) for c in self.stored])

    @cached_property
    def projection(self) -> Projection:
        """Pages to what a user sees."""
        return self.project(tuple(column.name for column in self.columns))

    @cached_property
    def physical_projection(self) -> Projection:
        """Pages to the stored columns of this schema, physical types, page names."""
        return Projection(
            tuple(
                OutputColumn(
                    c.page_name, c.page_name, physical_type(c.type), physical_type(c.type), c.initial_default
                )
                for c in self.stored
            )
        )

    @cached_property
    def key_projection(self) -> Projection:
        """Pages to their key columns, physical types, page names."""
        kinds = [(c.page_name, physical_type(c.type)) for c in self.key_columns]
        return Projection(tuple(OutputColumn(name, name, kind, kind, None) for name, kind in kinds))

    def page_projection(self, columns: tuple[ColumnId, ...]) -> Projection:
        """Pages to some stored columns by id, physical types, page names."""
        found = [self.by_id[column] for column in columns]
        return Projection(
            tuple(
                OutputColumn(
                    c.page_name, c.page_name, physical_type(c.type), physical_type(c.type), c.initial_default
                )
                for c in found
            )
        )

    def project(self, names: tuple[str, ...]) -> Projection:
        """Pages to some of the visible columns, in the order given."""
        return Projection(
            tuple(
                OutputColumn(c.name, c.page_name, c.type, physical_type(c.type), c.initial_default)
                for c in map(self.column, names)
            )
        )

    @cached_property
    def fills(self) -> dict[str, tuple[pa.DataType, Any]]:
        """Page column name → (physical type, initial default), retired columns too: what merging pages needs."""
        return {c.page_name: (physical_type(c.type), c.initial_default) for c in self.by_id.values()}

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "namespace": self.namespace,
            "name": self.name,
            "columns": [c.to_json() for c in self.columns],
            "key": list(self.key),
            "hidden_key": None if self.hidden_key is None else self.hidden_key.to_json(),
            "retired": [c.to_json() for c in self.retired],
            "constraints": [constraint_to_json(c) for c in self.constraints],
            "comment": self.comment,
            "compression": self.compression,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableSchema:
        hidden = data.get("hidden_key")
        return cls(
            id=TableId(data["id"]),
            namespace=data["namespace"],
            name=data["name"],
            columns=tuple(Column.from_json(c) for c in data["columns"]),
            key=tuple(ColumnId(c) for c in data["key"]),
            hidden_key=None if hidden is None else Column.from_json(hidden),
            retired=tuple(Column.from_json(c) for c in data.get("retired", [])),
            constraints=tuple(constraint_from_json(c) for c in data.get("constraints", [])),
            comment=data.get("comment", ""),
            compression=data.get("compression"),
            options=data.get("options", {}),
        )
