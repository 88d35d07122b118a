"""Single values between Python, as a user passes or gets them, and the physical form rows are kept in.

Physical Python values: int for every integer and temporal type (in the unit of the column, see `temporal`),
float, bool, str, bytes, Decimal with the digits of the column's scale, None; for lists, structs, maps,
intervals and the like, what pyarrow's `as_py` gives for the physical array.

A value fits or is refused, with the column, the value and the expected type in the message: nothing is
rounded or cut off, except that floats in a narrower column become the nearest one it can hold. True is not
an integer and 1.0 is not one either; an integer is a float or a decimal if it can be held exactly. numpy
scalars count as what they hold; None, NaT and pandas' NA are null, NaN is a float. All of this holds inside
nested values too; a struct may lack fields, which are NULL then, and has no others.

Called for every row of a small commit and for every row handed out, so converters are made once per column
and take well under a microsecond for the common types. `rows_to_batch` is the way from such rows to a page.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from absdb.errors import SchemaMismatchError
from absdb.pages.temporal import Converters, Misfit, dates, durations, missing, times, timestamps
from absdb.pages.types import describe_type, physical_type, to_logical

Convert = Callable[[Any], Any]

_SHOWN_MAX = 60
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
_NARROW_FLOATS = {16: struct.Struct("<e"), 32: struct.Struct("<f")}


@dataclass(frozen=True, slots=True)
class Converter:
    """The two directions for one column. Only `to_physical` checks; it raises SchemaMismatchError."""

    to_physical: Convert
    to_python: Convert

    @classmethod
    def of(cls, logical: pa.DataType, column: str = "") -> Converter:
        """Make it once per column and keep it. `column` is the name that messages show."""
        return cls(*_converters(logical, _misfit_of(column, logical)))


def rows_to_batch(
    rows: Sequence[Sequence[Any]], columns: Sequence[tuple[str, pa.DataType]]
) -> pa.RecordBatch:
    """Rows of physical values as a record batch of physical columns, given as (name, physical type)."""
    names = [name for name, _ in columns]
    types = [type_ for _, type_ in columns]
    by_column = zip(*rows, strict=True) if rows else ((),) * len(columns)
    arrays = [_column(values, type_) for values, type_ in zip(by_column, types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _column(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    if pt.is_temporal(type_) and not pt.is_interval(type_):
        # pyarrow takes plain integers nearly twice as fast as it takes them for timestamps.
        return pa.array(values, pa.int32() if type_.bit_width == 32 else pa.int64()).view(type_)
    return pa.array(values, type_)


# ---------------------------------------------------------------- which converters


def _converters(logical: pa.DataType, misfit: Misfit) -> Converters:
    if isinstance(logical, pa.BaseExtensionType):
        return _extensions(logical, misfit)
    if pt.is_dictionary(logical) or pt.is_run_end_encoded(logical):
        return _converters(logical.value_type, misfit)
    for applies, make in _MAKERS:
        if applies(logical):
            return make(logical, misfit)
    return _anything(logical, misfit)


def _same(value: Any) -> Any:
    return value


def _misfit_of(column: str, logical: pa.DataType) -> Misfit:
    expected = describe_type(logical)

    def misfit(value: Any, reason: str = "") -> SchemaMismatchError:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 1] + "…"
        because = f": {reason}" if reason else ""
        return SchemaMismatchError(
            f"column {column!r}: {shown} ({type(value).__name__}) does not fit {expected}{because}",
            column=column,
            expected=expected,
        )

    return misfit


def _unwrapped(value: Any) -> Any:
    """A numpy scalar as the Python value it holds, any null as None, all else as it is."""
    if value is None or missing(value):
        return None
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        return value.item()
    return value


# ---------------------------------------------------------------- numbers


def _integers(type_: pa.DataType, misfit: Misfit) -> Converters:
    signed = pt.is_signed_integer(type_)
    low = -(1 << (type_.bit_width - 1)) if signed else 0
    high = (1 << (type_.bit_width - signed)) - 1

    def to_physical(value: Any) -> int | None:
        if type(value) is int:
            if low <= value <= high:
                return value
            raise misfit(value, f"expected {low} to {high}")
        if value is None:
            return None
        plain = _unwrapped(value)
        if plain is None:
            return None
        if isinstance(plain, bool) or not isinstance(plain, int):
            raise misfit(value)
        return to_physical(int(plain))

    return to_physical, _same


def _booleans(type_: pa.DataType, misfit: Misfit) -> Converters:
    def to_physical(value: Any) -> bool | None:
        if value is True or value is False or value is None:
            return value
        plain = _unwrapped(value)
        if plain is not None and not isinstance(plain, bool):
            raise misfit(value)
        return plain

    return to_physical, _same


def _floats(type_: pa.DataType, misfit: Misfit) -> Converters:
    narrow = _NARROW_FLOATS.get(type_.bit_width)

    def nearest(value: float, given: Any) -> float:
        if narrow is None:
            return value
        try:
            return float(narrow.unpack(narrow.pack(value))[0])
        except OverflowError as problem:
            raise misfit(given, "out of range") from problem

    def to_physical(value: Any) -> float | None:
        if type(value) is float:
            return value if narrow is None else nearest(value, value)
        plain = _unwrapped(value)
        if plain is None:
            return None
        if isinstance(plain, float):
            return nearest(float(plain), value)
        if isinstance(plain, bool) or not isinstance(plain, int):
            raise misfit(value)
        try:
            held = nearest(float(plain), value)
        except OverflowError as problem:
            raise misfit(value, "out of range") from problem
        if held != plain:
            raise misfit(value, "it cannot be held exactly")
        return held

    return to_physical, _same


def _decimals(type_: pa.DataType, misfit: Misfit) -> Converters:
    places = Decimal((0, (1,), -type_.scale))
    zero = Decimal((0, (0,), -type_.scale))
    limit = Decimal((0, (1,), type_.precision - type_.scale))

    def to_physical(value: Any) -> Decimal | None:
        if not isinstance(value, Decimal):
            plain = _unwrapped(value)
            if plain is None:
                return None
            if isinstance(plain, bool) or not isinstance(plain, int):
                raise misfit(value)
            if not -limit < plain < limit:
                raise misfit(value, "it has too many digits")
            value = Decimal(plain)
        if not value.is_finite():
            raise misfit(value, "it is not a number")
        try:
            exact = value.quantize(places, context=_EXACT)
        except (Inexact, InvalidOperation) as problem:
            too_fine = -limit < value < limit
            reason = (
                f"it has more than {type_.scale} decimal places" if too_fine else "it has too many digits"
            )
            raise misfit(value, reason) from problem
        if not -limit < exact < limit:
            raise misfit(value, "it has too many digits")
        return exact or zero  # not -0

    return to_physical, _same


# ---------------------------------------------------------------- text and bytes


def _texts(type_: pa.DataType, misfit: Misfit) -> Converters:
    def to_physical(value: Any) -> str | None:
        if value is None:
            return None
        if type(value) is not str:
            plain = _unwrapped(value)
            if plain is None:
                return None
            if not isinstance(plain, str):
                raise misfit(value)
            value = str.__str__(plain)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as problem:
                raise misfit(value, "it holds a surrogate, which is not a character") from problem
        return value

    return to_physical, _same


def _binaries(type_: pa.DataType, misfit: Misfit) -> Converters:
    width = type_.byte_width if pt.is_fixed_size_binary(type_) else None

    def to_physical(value: Any) -> bytes | None:
        if type(value) is not bytes:
            plain = _unwrapped(value)
            if plain is None:
                return None
            if not isinstance(plain, bytes | bytearray | memoryview):
                raise misfit(value)
            value = bytes(plain)
        if width is not None and len(value) != width:
            raise misfit(value, f"expected {width} bytes, found {len(value)}")
        return value

    return to_physical, _same


# ---------------------------------------------------------------- all other types


def _nulls(type_: pa.DataType, misfit: Misfit) -> Converters:
    def to_physical(value: Any) -> None:
        if value is not None and not missing(value):
            raise misfit(value)

    return to_physical, _same


def _extensions(logical: pa.DataType, misfit: Misfit) -> Converters:
    if logical.extension_name == "arrow.uuid":
        return _uuids(logical, misfit)
    if logical.extension_name == "arrow.bool8":
        as_bool, _ = _booleans(logical, misfit)
        return (
            lambda v: None if as_bool(v) is None else int(as_bool(v)),
            lambda v: None if v is None else v != 0,
        )
    to_storage, from_storage = _converters(logical.storage_type, misfit)
    if logical.extension_name == "arrow.json":
        return to_storage, from_storage
    physical = physical_type(logical)
    return to_storage, lambda value: to_logical(pa.array([value], physical), logical)[0].as_py()


def _uuids(logical: pa.DataType, misfit: Misfit) -> Converters:
    def to_physical(value: Any) -> bytes | None:
        if isinstance(value, uuid.UUID):
            return value.bytes
        if value is None or missing(value):
            return None
        if isinstance(value, bytes) and len(value) == 16:
            return value
        raise misfit(value, "expected a uuid.UUID or 16 bytes")

    return to_physical, lambda value: None if value is None else uuid.UUID(bytes=value)


def _anything(logical: pa.DataType, misfit: Misfit) -> Converters:
    """Nested types and intervals, by way of pyarrow."""
    physical = physical_type(logical)
    stored = _within(logical, misfit)

    def to_physical(value: Any) -> Any:
        if value is None or missing(value):
            return None
        try:
            return pa.array([stored(value)], physical)[0].as_py()
        except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError) as problem:
            if isinstance(problem, SchemaMismatchError):
                raise
            raise misfit(value, str(problem).partition("\n")[0]) from problem

    def to_python(value: Any) -> Any:
        return None if value is None else to_logical(pa.array([value], physical), logical)[0].as_py()

    return to_physical, _same if logical.equals(physical) else to_python


def _within(type_: pa.DataType, misfit: Misfit) -> Convert:
    """A function that checks a value at every depth, and puts there what the physical type stores."""
    if pt.is_interval(type_):
        return _same
    if isinstance(type_, pa.BaseExtensionType) or not pt.is_nested(type_):
        expected = f"expected {describe_type(type_)} inside"
        return _converters(type_, lambda value, reason="": misfit(value, reason or expected))[0]
    if pt.is_dictionary(type_) or pt.is_run_end_encoded(type_):
        return _within(type_.value_type, misfit)
    if pt.is_struct(type_):
        return _structs(type_, misfit)
    if pt.is_map(type_):
        key, item = _within(type_.key_type, misfit), _within(type_.item_type, misfit)
        return lambda value: None if _null(value) else [(key(k), item(v)) for k, v in _pairs(value)]
    part = _within(type_.value_type, misfit)

    def elements(value: Any) -> list[Any] | None:
        if _null(value):
            return None
        if isinstance(value, str | bytes | bytearray | memoryview | Mapping):
            raise misfit(value, "expected a list")
        return [part(element) for element in value]

    return elements


def _structs(type_: pa.DataType, misfit: Misfit) -> Convert:
    fields = [type_.field(i) for i in range(type_.num_fields)]
    parts = {field.name: _within(field.type, misfit) for field in fields}

    def to_physical(value: Any) -> dict[str, Any] | None:
        if _null(value):
            return None
        if not isinstance(value, Mapping):
            raise misfit(value, "expected a dict of its fields")
        if unknown := [name for name in value if name not in parts]:
            raise misfit(value, f"it has no field {unknown[0]!r}")
        return {name: part(value.get(name)) for name, part in parts.items()}

    return to_physical


def _null(value: Any) -> bool:
    return value is None or missing(value)


def _pairs(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else value


def _is_text(type_: pa.DataType) -> bool:
    return pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_)


def _is_binary(type_: pa.DataType) -> bool:
    return (
        pt.is_binary(type_)
        or pt.is_large_binary(type_)
        or pt.is_binary_view(type_)
        or (pt.is_fixed_size_binary(type_) and not pt.is_decimal(type_))
    )


_MAKERS: list[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, Misfit], Converters]]] = [
    (pt.is_integer, _integers),
    (_is_text, _texts),
    (pt.is_floating, _floats),
    (pt.is_boolean, _booleans),
    (pt.is_timestamp, timestamps),
    (pt.is_date, dates),
    (pt.is_decimal, _decimals),
    (_is_binary, _binaries),
    (pt.is_time, times),
    (pt.is_duration, durations),
    (pt.is_null, _nulls),
]
