"""Column types the model knows, values for them by chance, and what becomes of values when a type changes.

Few values and short texts, so that keys meet and rows change; among them those that are easily got wrong:
empty and equal-but-for-a-zero-byte texts, letters beyond ASCII, negative and wide integers, NULL.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from absdb.testing.model import as_type

NULL_SHARE = 0.12
_TEXTS = ("", "a", "a\0", "a\0b", "aa", "ab", "b", "Z", "é", "日本", "\U0001f600", "zz")
_DAY = dt.date(2024, 2, 28)
_MOMENT = dt.datetime(2024, 2, 28, 23, 59, 58)


class ColumnKind(NamedTuple):
    """A type and a maker of values of it, never None."""

    type: pa.DataType
    value: Callable[[random.Random], Any]


def _integer(chance: random.Random) -> int:
    return chance.choice((-(2**31), 2**31 - 1, 0)) if chance.random() < 0.03 else chance.randint(-30, 30)


def _wide(chance: random.Random) -> int:
    return chance.choice((2**40, -(2**50))) if chance.random() < 0.03 else chance.randint(-30, 30)


def _moment(chance: random.Random) -> dt.datetime:
    return _MOMENT + dt.timedelta(seconds=chance.randint(0, 40))


KINDS: dict[str, ColumnKind] = {
    "int32": ColumnKind(pa.int32(), _integer),
    "int64": ColumnKind(pa.int64(), _wide),
    "uint64": ColumnKind(pa.uint64(), lambda c: c.choice((0, 2**63, 2**64 - 1, c.randint(1, 30)))),
    "float32": ColumnKind(pa.float32(), lambda c: c.randint(1, 40) / 4),
    "float64": ColumnKind(pa.float64(), lambda c: c.randint(1, 40) / 4),
    "string": ColumnKind(pa.string(), lambda c: c.choice(_TEXTS)),
    "text": ColumnKind(pa.large_string(), lambda c: c.choice(_TEXTS)),
    "bool": ColumnKind(pa.bool_(), lambda c: c.random() < 0.5),
    "moment": ColumnKind(pa.timestamp("us", tz="UTC"), lambda c: _moment(c).replace(tzinfo=dt.UTC)),
    "local": ColumnKind(pa.timestamp("us"), _moment),
    "second": ColumnKind(pa.timestamp("s"), _moment),
    "date": ColumnKind(pa.date32(), lambda c: _DAY + dt.timedelta(days=c.randint(0, 30))),
    "decimal": ColumnKind(pa.decimal128(10, 2), lambda c: Decimal(c.randint(-400, 400)) / 4),
    "precise": ColumnKind(pa.decimal128(14, 4), lambda c: Decimal(c.randint(-400, 400)) / 16),
    "binary": ColumnKind(pa.binary(), lambda c: c.choice(_TEXTS).encode()),
    "label": ColumnKind(pa.dictionary(pa.int32(), pa.string()), lambda c: c.choice(_TEXTS)),
    "list": ColumnKind(pa.list_(pa.int32()), lambda c: [c.randint(0, 3) for _ in range(c.randint(0, 3))]),
    "struct": ColumnKind(
        pa.struct([("a", pa.int32()), ("b", pa.string())]),
        lambda c: {"a": c.choice((None, 1, 2)), "b": c.choice(_TEXTS)},
    ),
}

KEYS: tuple[tuple[str, ...], ...] = (
    ("int64",),
    ("string",),
    ("int32", "string"),
    (),
    ("int64",),
    ("moment",),
    ("uint64",),
    ("text", "date", "bool"),
    ("decimal",),
    ("binary",),
)
"""Key types of new tables; () is a table without a key."""


class Misfit(Exception):
    """A value that does not fit the new type."""


def _narrow(value: int) -> int:
    if not -(2**31) <= value < 2**31:
        raise Misfit
    return value


def _parsed(value: str) -> int:
    if not re.fullmatch(r"-?[0-9]+", value) or not -(2**63) <= int(value) < 2**63:
        raise Misfit
    return int(value)


def _whole(value: float) -> int:
    if value != int(value):
        raise Misfit
    return int(value)


def _same(value: Any) -> Any:
    return value


# (old, new) → what becomes of a value, and whether it is a lossless widening, which rewrites nothing.
CASTS: dict[tuple[str, str], tuple[Callable[[Any], Any], bool]] = {
    ("int32", "int64"): (_same, True),
    ("int64", "int32"): (_narrow, False),
    ("int32", "float64"): (float, True),
    ("int32", "string"): (str, False),
    ("int64", "string"): (str, False),
    ("string", "int64"): (_parsed, False),
    ("float32", "float64"): (_same, True),
    ("float64", "int64"): (_whole, False),
    ("string", "text"): (_same, True),
    ("string", "label"): (_same, True),
    ("label", "string"): (_same, True),
    ("string", "binary"): (str.encode, False),
    ("date", "local"): (lambda value: as_type(value, pa.timestamp("us")), True),
    ("second", "local"): (_same, True),
    ("decimal", "precise"): (_same, True),
    ("bool", "int32"): (int, False),
}


def kind_of(type_: pa.DataType) -> str:
    """The name of a type in KINDS."""
    return next(name for name, kind in KINDS.items() if kind.type == type_)


def value_of(type_: pa.DataType, chance: random.Random, *, nullable: bool) -> Any:
    """A value for a column."""
    if nullable and chance.random() < NULL_SHARE:
        return None
    return KINDS[kind_of(type_)].value(chance)
