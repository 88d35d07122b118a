"""Types as DuckDB writes them, and the Arrow types of the columns that hold them.

    DECIMAL(12,2)            decimal128(12, 2)          TIMESTAMPTZ     timestamp[us, UTC]
    STRUCT(a INTEGER)        struct<a: int32>           ENUM('a', 'b')  dictionary<string>
    HUGEINT                  decimal128(38, 0)          UUID, JSON      uuid, json; text inside lists and structs

DuckDB itself is asked what a text means, in both directions, and the answers are kept. Types whose values Arrow
cannot hold, or absdb cannot compare, are refused with what to take instead. Called by the statements that declare
columns, and by listings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from absdb.errors import QueryError
from absdb.pages.types import declared_type
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.duck.scan import readable_type
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching

if TYPE_CHECKING:
    from absdb.sql.duck.connection import Backend
    from absdb.sql.text.cursor import TokenCursor

_REFUSED = {
    "union": "use one column for each alternative",
    "variant": "use JSON",
    "geometry": "use BLOB, with well-known binary in it",
    "bit": "use VARCHAR or BLOB",
    "bignum": "use DECIMAL(38,0), or VARCHAR",
    "time with time zone": "use TIME, or TIMESTAMPTZ",
    "uhugeint": "use HUGEINT",
}
_EXTENSIONS = {"UUID": pa.uuid(), "JSON": pa.json_()}
_NO_TYPE = {'"NULL"': "INTEGER"}
"""The type of a column that is NULL in every row of a query, and what a table made of it has."""
_SECOND_WORD = {"DOUBLE": "PRECISION", "CHARACTER": "VARYING", "CHAR": "VARYING", "BIT": "VARYING"}
_HINTS = {
    "SERIAL": "write INTEGER GENERATED ALWAYS AS IDENTITY",
    "BIGSERIAL": "write BIGINT GENERATED ALWAYS AS IDENTITY",
    "NVARCHAR": "write VARCHAR",
    "NUMBER": "write DECIMAL(18,3)",
}


def read_type(cursor: TokenCursor) -> str:
    """The text of the type that comes next: `DOUBLE PRECISION`, `DECIMAL(12, 2)[]`, `STRUCT(a INTEGER)[3]`."""
    start = cursor.at
    word = cursor.token.upper
    cursor.path("a type")
    cursor.accept(_SECOND_WORD.get(word, "\0"))
    _skip_brackets(cursor, "(")
    if word in ("TIMESTAMP", "TIME"):
        for with_zone in ("WITH", "WITHOUT"):
            cursor.accept(with_zone, "TIME", "ZONE")
    if word == "INTERVAL":
        cursor.accept_one(("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"))
    while cursor.token.upper in ("[", "ARRAY"):
        cursor.accept("ARRAY")
        _skip_brackets(cursor, "[")
    return cursor.written(start, cursor.at)


def _skip_brackets(cursor: TokenCursor, opening: str) -> None:
    if cursor.token.upper == opening:
        cursor.at = matching(cursor.text, cursor.tokens, cursor.at) + 1


def type_at(backend: Backend, cursor: TokenCursor) -> tuple[pa.DataType, tuple[str, ...]]:
    """The type that comes next, and the values of an ENUM. QueryError points at one that is not known."""
    token = cursor.token
    text = read_type(cursor)
    try:
        return arrow_type(backend, text), enum_values(backend, text)
    except QueryError as error:
        hint = _HINTS.get(token.upper, error.hint)
        message = error.message.split("\n")[0].removeprefix("catalog Error: ")
        raise error_at(cursor.text, token.start, message, hint=hint) from error


def arrow_type(backend: Backend, text: str) -> pa.DataType:
    """The Arrow type of a column that is declared so. QueryError for what is no type, or none a column can have."""
    return _known(backend, text)[0]


def enum_values(backend: Backend, text: str) -> tuple[str, ...]:
    """The values of an ENUM type, none for any other."""
    return _known(backend, text)[1]


def _known(backend: Backend, text: str) -> tuple[pa.DataType, tuple[str, ...]]:
    return backend.kept.get(_Declared, text, lambda: _Declared(backend, text)).answer


class _Declared:
    """What DuckDB says about a type."""

    def __init__(self, backend: Backend, text: str) -> None:
        query = f"SELECT CAST(NULL AS {_NO_TYPE.get(text, text)}) AS x"
        with backend.registered({}) as connection:
            try:
                relation = connection.sql(query)
                kind = relation.types[0]
                _refuse(kind)
                found = relation.to_arrow_table().schema.field(0).type
            except QueryError:
                raise
            except Exception as error:
                raise query_error(error, query, []) from error
        values = dict(kind.children).get("values", ()) if kind.id == "enum" else ()
        self.answer = (_EXTENSIONS.get(str(kind), declared_type(_held(found))), tuple(values))


def _refuse(kind: Any) -> None:
    """QueryError for a type that no column can have, at any depth."""
    if kind.id in _REFUSED:
        raise QueryError(f"a column cannot be {kind!s}", hint=_REFUSED[kind.id])
    if kind.id in ("list", "array", "struct", "map"):
        for _, child in kind.children:
            if hasattr(child, "id"):
                _refuse(child)


def _held(kind: pa.DataType) -> pa.DataType:
    """The type with the time zone and the names that we use, at any depth."""
    if pt.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    if pt.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return pa.struct([pa.field(field.name, _held(field.type)) for field in fields])
    if pt.is_map(kind):
        return pa.map_(_held(kind.key_type), _held(kind.item_type))
    if pt.is_fixed_size_list(kind):
        return pa.list_(_held(kind.value_type), kind.list_size)
    return pa.list_(_held(kind.value_type)) if pt.is_list(kind) else kind


_names: dict[pa.DataType, str] = {}


def duckdb_type(backend: Backend, kind: pa.DataType) -> str:
    """How DuckDB calls the type of a column: what DESCRIBE shows."""
    kind = readable_type(kind)
    if pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        kind = kind.value_type  # an empty dictionary would be an ENUM without values
    known = _names.get(kind)
    if known is None:
        with backend.registered({"typed": pa.table({"x": pa.nulls(0, kind)})}) as connection:
            known = _names[kind] = str(connection.sql("FROM typed").types[0])
    return known
