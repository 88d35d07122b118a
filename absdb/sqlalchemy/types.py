"""From the names of types to SQLAlchemy's, for reflection.

    DECIMAL(12,2)      Numeric(12, 2)           TIMESTAMP WITH TIME ZONE    TIMESTAMP(timezone=True)
    INTEGER[]          ARRAY(INTEGER)           HUGEINT, UINTEGER, …        OtherInteger("HUGEINT")
    JSON               JSON                     STRUCT(…), MAP(…), ENUM(…)  OtherType("STRUCT(…)")

Called by reflection.py.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import types


class OtherType(types.TypeEngine[Any]):
    """A type that SQLAlchemy has no word for; values are what the driver gives and takes."""

    __visit_name__ = "absdb_other"

    def __init__(self, text: str = "VARCHAR") -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class OtherInteger(OtherType, types.Integer):
    """An integer of a width that SQLAlchemy has no word for."""

    __visit_name__ = "absdb_other"


_PLAIN: dict[str, type[types.TypeEngine[Any]]] = {
    "BIGINT": types.BIGINT,
    "BLOB": types.BLOB,
    "BOOLEAN": types.BOOLEAN,
    "DATE": types.DATE,
    "DOUBLE": types.DOUBLE,
    "FLOAT": types.REAL,
    "INTEGER": types.INTEGER,
    "JSON": types.JSON,
    "SMALLINT": types.SMALLINT,
    "TIME": types.TIME,
    "TIMESTAMP": types.TIMESTAMP,
    "UUID": types.UUID,
    "VARCHAR": types.VARCHAR,
}
_INTEGERS = {"TINYINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_LIST = re.compile(r"(.+)\[\]", re.DOTALL)


def reflected_type(text: str) -> types.TypeEngine[Any]:
    """SQLAlchemy's type for a type as DuckDB writes it."""
    if text in _PLAIN:
        return _PLAIN[text]()
    if text in _INTEGERS:
        return OtherInteger(text)
    if text == "TIMESTAMP WITH TIME ZONE":
        return types.TIMESTAMP(timezone=True)
    if decimal := _DECIMAL.fullmatch(text):
        return types.NUMERIC(int(decimal[1]), int(decimal[2]))
    if (of_list := _LIST.fullmatch(text)) and not text.endswith("[][]"):
        return types.ARRAY(reflected_type(of_list[1]))
    return OtherType(text)
