"""How a caller describes a column to be made, and how that becomes a Column with an id.

Called by engine/ddl.py; users of the package write ColumnDefinition (as `absdb.Column`) or give a frame or an
Arrow schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.schema import Column, Default
from absdb.engine.type_text import as_type
from absdb.errors import InvalidInputError, NotFoundError
from absdb.ids import ColumnId
from absdb.pages.types import describe_type, is_orderable, physical_type, to_physical
from absdb.pages.values import Converter
from absdb.paths import check_name, check_text, normal_name
from absdb.reprs import Shown

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

NO_DEFAULT: Any = type("NoDefault", (), {"__repr__": lambda self: "NO_DEFAULT"})()


@dataclass(frozen=True, slots=True)
class ColumnDefinition(Shown):
    """A column to be made: a name and a type (an Arrow type, or its name as text), and what else should hold.

    `default` is a Python value; `default_sql` an SQL expression evaluated per row; `generated` an SQL
    expression over the row's other columns, stored; `identity` hands out 1, 2, 3, … (per branch from blocks
    of its own); `sequence` is the id of a sequence that has a name and may serve several columns.
    InvalidInputError for a type that is not known.
    """

    name: str
    type: pa.DataType
    _: KW_ONLY
    nullable: bool = True
    default: Any = NO_DEFAULT
    default_sql: str | None = None
    generated: str | None = None
    identity: bool = False
    sequence: int | None = None
    comment: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", as_type(self.type))
        check_text("comment", self.comment)


def fresh_column(tx: Transaction, definition: ColumnDefinition) -> Column:
    """A Column with a new id; a sequence of its own if it is an identity."""
    name = check_name("column", definition.name)
    physical_type(definition.type)  # refuses types that no column can have
    given = [definition.default is not NO_DEFAULT, definition.default_sql is not None]
    given += [definition.generated is not None, definition.identity, definition.sequence is not None]
    if sum(given) > 1:
        raise InvalidInputError(
            f"column {name!r}: only one of default, default_sql, generated, identity and sequence can hold"
        )
    default: Default | None = None
    if definition.default is not NO_DEFAULT and definition.default is not None:
        value = Converter.of(definition.type, name).to_physical(definition.default)
        default = Default("value", value)
    elif definition.default_sql is not None:
        default = Default("expression", definition.default_sql)
    elif definition.identity or definition.sequence is not None:
        own = definition.sequence if definition.sequence is not None else _identity(tx, definition)
        default = Default("sequence", own)
    return Column(
        id=ColumnId(tx.engine.allocator.new_id()),
        name=name,
        type=definition.type,
        nullable=definition.nullable,
        default=default,
        generated=definition.generated,
        comment=definition.comment,
    )


def _identity(tx: Transaction, definition: ColumnDefinition) -> int:
    if not pa.types.is_integer(definition.type):
        raise InvalidInputError(
            f"column {definition.name!r} cannot be an identity: "
            f"it is {describe_type(definition.type)}, not an integer"
        )
    sequence = tx.engine.allocator.new_id()
    entity = {"id": sequence, "name": f"{definition.name}_{sequence}", "start": 1, "increment": 1}
    tx.change_schema({("sequence", sequence): entity})
    return sequence


def default_of(values: pa.Array, kind: pa.DataType) -> Default:
    """The default whose value is the only one of an array of physical values."""
    scalar = to_physical(values, physical_type(kind))[0]
    temporal = pa.types.is_temporal(scalar.type) and not pa.types.is_interval(scalar.type)
    return Default("value", scalar.value if temporal else scalar.as_py())


def key_columns_of(table: str, columns: Sequence[Column], names: Sequence[str]) -> tuple[ColumnId, ...]:
    """The ids of the key columns named."""
    by_name = {column.name: column for column in columns}
    names = [normal_name(name) for name in names]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"table {table!r}: a column is named twice in the key: {', '.join(names)}")
    for name in names:
        if name not in by_name:
            raise NotFoundError(
                f"table {table!r}: the key names {name!r}, which is not one of its columns",
                hint=f"its columns are {', '.join(by_name)}",
            )
        _check_may_be_key(table, by_name[name])
    return tuple(by_name[name].id for name in names)


def _check_may_be_key(table: str, column: Column) -> None:
    if not is_orderable(physical_type(column.type)):
        raise InvalidInputError(
            f"table {table!r}: column {column.name!r} is {describe_type(column.type)} and cannot be part of the key: "
            "its values have no order",
            hint="a key has columns of numbers, text, bytes, dates or times",
            column=column.name,
        )
    if column.generated is not None:
        raise InvalidInputError(
            f"table {table!r}: column {column.name!r} is generated and cannot be part of the key",
            hint="rows are found by their key before generated columns are computed",
            column=column.name,
        )


def definitions_of(schema: pa.Schema) -> list[ColumnDefinition]:
    """Columns as an Arrow schema describes them."""
    return [ColumnDefinition(name=f.name, type=f.type, nullable=f.nullable) for f in schema]
