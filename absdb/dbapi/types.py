"""Type objects and constructors of PEP 249.

A column's type code is its Arrow type, which equals the type object it belongs to: `code == NUMBER`. Called by
connection.py for nothing; programs compare with these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt


class TypeObject:
    """A kind of column: equal to every Arrow type of that kind, and to itself."""

    def __init__(self, name: str, *tests: Callable[[pa.DataType], bool]) -> None:
        self._name = name
        self._tests = tests

    def __eq__(self, other: object) -> bool:
        if isinstance(other, pa.DataType):
            return any(test(_stored(other)) for test in self._tests)
        return self is other

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary, or of JSON."""
    if pt.is_dictionary(kind):
        return _stored(kind.value_type)
    if isinstance(kind, pa.JsonType):
        return kind.storage_type
    return kind


STRING = TypeObject("STRING", pt.is_string, pt.is_large_string, pt.is_string_view)
BINARY = TypeObject("BINARY", pt.is_binary, pt.is_large_binary, pt.is_fixed_size_binary, pt.is_binary_view)
NUMBER = TypeObject("NUMBER", pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_boolean)
DATETIME = TypeObject("DATETIME", pt.is_date, pt.is_time, pt.is_timestamp)
ROWID = TypeObject("ROWID")
"""Nothing equals it: rows have keys."""

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:
    """The day of a number of seconds since 1970, in local time."""
    return dt.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> dt.time:
    """The time of day of a number of seconds since 1970, in local time."""
    return dt.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> dt.datetime:
    """The local date and time of a number of seconds since 1970."""
    return dt.datetime.fromtimestamp(ticks)
