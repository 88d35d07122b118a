"""Types that differ from SQLAlchemy's own, and from the names of types to SQLAlchemy's, for reflection.

    DECIMAL(12,2)      Numeric(12, 2)           TIMESTAMP WITH TIME ZONE    TIMESTAMP(timezone=True)
    INTEGER[]          ARRAY(INTEGER)           HUGEINT, UINTEGER, …        OtherInteger("HUGEINT")
    JSON               JSON                     STRUCT(…), MAP(…), ENUM(…)  OtherType("STRUCT(…)")

Called by dialect.py and reflection.py.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
from sqlalchemy import types
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.sqltypes import _AbstractInterval
from sqlalchemy.sql.type_api import NativeForEmulated


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


class AbsdbNumeric(types.Numeric[Any]):
    """A decimal number, also where an expression gives a double: a quotient or an average of decimals does."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """A Decimal as it comes, of a double the digits that it is written with."""
        if not self.asdecimal:
            return super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]  # as it is declared

        def process(value: Any) -> Any:
            return Decimal(repr(value)) if isinstance(value, float) else value

        return process


class AbsdbInterval(NativeForEmulated, _AbstractInterval):
    """INTERVAL as a timedelta; a month, which other programs may have written, has 30 days."""

    __visit_name__ = "INTERVAL"
    native = True

    @classmethod
    def adapt_emulated_to_native(cls, impl: Any, **kw: Any) -> AbsdbInterval:
        """For `Interval`, whose precisions are microseconds here."""
        return cls()

    @property
    def _type_affinity(self) -> type[types.Interval]:
        return types.Interval

    @property
    def python_type(self) -> type[dt.timedelta]:
        """What values are."""
        return dt.timedelta

    def as_generic(self, allow_nulltype: bool = False) -> types.Interval:
        """The type of every database."""
        return types.Interval(native=True)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """A timedelta from months, days and nanoseconds."""

        def process(value: Any) -> Any:
            if not isinstance(value, pa.MonthDayNano):
                return value
            days = value.days + 30 * value.months
            return dt.timedelta(days, microseconds=value.nanoseconds // 1_000)

        return process

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """As SQL writes it."""

        def process(value: dt.timedelta) -> str:
            return f"INTERVAL '{value // dt.timedelta(microseconds=1)} microseconds'"

        return process


_PLAIN: dict[str, type[types.TypeEngine[Any]]] = {
    "BIGINT": types.BIGINT,
    "BLOB": types.BLOB,
    "BOOLEAN": types.BOOLEAN,
    "DATE": types.DATE,
    "DOUBLE": types.DOUBLE,
    "FLOAT": types.REAL,
    "INTEGER": types.INTEGER,
    "INTERVAL": AbsdbInterval,
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
