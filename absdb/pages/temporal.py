"""Dates, times, timestamps and durations between Python and the integers pages hold.

Physical values count the units of the column from 1970-01-01, from midnight, or from zero. A naive datetime
in a column with a time zone means UTC; one with a zone does not fit a column without. A value finer than the
unit of the column does not fit either: nothing is cut off. pandas is needed only for what Python has no type
for, nanoseconds that are not whole microseconds.

Each function here makes the two converters of one column, for `values.Converter`, which see; `misfit(value,
reason)` makes the error to raise.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.errors import InvalidInputError, SchemaMismatchError

Misfit = Callable[..., SchemaMismatchError]
Converters = tuple[Callable[[Any], Any], Callable[[Any], Any]]

_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000
_INT64_MAX = (1 << 63) - 1
_PER_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def missing(value: Any) -> bool:
    """Whether this is one of pandas' or numpy's ways to say null."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return type(value).__name__ in ("NaTType", "NAType") and type(value).__module__.startswith("pandas.")


def timestamps(type_: pa.DataType, misfit: Misfit) -> Converters:
    zoned = type_.tz is not None
    scale = _scaler(type_.unit, misfit)

    def to_physical(value: Any) -> int | None:
        if type(value) is not dt.datetime:
            return None if value is None else rarer(value)
        if value.tzinfo is None:
            since = value - _EPOCH
        elif zoned:
            since = value - _EPOCH_UTC
        else:
            raise misfit(value, "it has a time zone, the column has none")
        return scale(((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000, value)

    def rarer(value: Any) -> int | None:
        if missing(value):
            return None
        if isinstance(value, np.datetime64):
            return _from_numpy(value, np.dtype(f"datetime64[{type_.unit}]"), misfit)
        if not isinstance(value, dt.date):
            raise misfit(value)
        if not isinstance(value, dt.datetime):
            return to_physical(dt.datetime(value.year, value.month, value.day))
        if value.tzinfo is not None and not zoned:
            raise misfit(value, "it has a time zone, the column has none")
        extra = getattr(value, "nanosecond", 0)  # a pandas Timestamp
        plain = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
        since = plain - (_EPOCH if plain.tzinfo is None else _EPOCH_UTC)
        return scale(_nanoseconds(since) + extra, value)

    return to_physical, _datetimes(type_)


def _datetimes(type_: pa.DataType) -> Callable[[Any], Any]:
    """From integers to datetimes, in the zone of the column if it has one."""
    zone = pa.lib.string_to_tzinfo(type_.tz) if type_.tz is not None else None
    is_utc = type_.tz == "UTC"
    epoch = _EPOCH.replace(tzinfo=zone) if is_utc or zone is None else _EPOCH_UTC
    per_unit_ns = _PER_UNIT_NS[type_.unit]

    def to_python(value: int | None) -> Any:
        if value is None:
            return None
        microseconds, nanoseconds = divmod(value * per_unit_ns, 1_000)
        if nanoseconds:
            return pa.scalar(value, type_).as_py()
        try:
            moment = epoch + dt.timedelta(microseconds=microseconds)
            return moment if is_utc or zone is None else moment.astimezone(zone)
        except OverflowError as problem:
            raise _unshowable(value, type_) from problem

    return to_python


def dates(type_: pa.DataType, misfit: Misfit) -> Converters:
    unit = _DAY_MS if type_.bit_width == 64 else 1

    def to_physical(value: Any) -> int | None:
        if type(value) is dt.date:
            return (value.toordinal() - _EPOCH_DAY) * unit
        if value is None or missing(value):
            return None
        if isinstance(value, np.datetime64):
            days = _from_numpy(value, np.dtype("datetime64[D]"), misfit)
            if not -(1 << 31) <= days < 1 << 31:
                raise misfit(value, "out of range")
            return days * unit
        if isinstance(value, dt.datetime) and (value.tzinfo is not None or value.time() != dt.time()):
            raise misfit(value, "it is more than a date")
        if not isinstance(value, dt.date):
            raise misfit(value)
        return (value.toordinal() - _EPOCH_DAY) * unit

    def to_python(value: int | None) -> dt.date | None:
        try:
            return None if value is None else dt.date.fromordinal(value // unit + _EPOCH_DAY)
        except (OverflowError, ValueError) as problem:
            raise _unshowable(value, type_) from problem

    return to_physical, to_python


def times(type_: pa.DataType, misfit: Misfit) -> Converters:
    scale = _scaler(type_.unit, misfit)
    per_unit_ns = _PER_UNIT_NS[type_.unit]

    def to_physical(value: Any) -> int | None:
        if not isinstance(value, dt.time):
            if value is None or missing(value):
                return None
            raise misfit(value)
        if value.tzinfo is not None:
            raise misfit(value, "it has a time zone")
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return scale((seconds * 1_000_000 + value.microsecond) * 1_000, value)

    def to_python(value: int | None) -> dt.time | None:
        if value is None:
            return None
        # Python's times end at microseconds; like pyarrow we show the rest as cut off.
        seconds, microseconds = divmod(value * per_unit_ns // 1_000, 1_000_000)
        minutes, seconds = divmod(seconds, 60)
        return dt.time(*divmod(minutes, 60), seconds, microseconds)

    return to_physical, to_python


def durations(type_: pa.DataType, misfit: Misfit) -> Converters:
    scale = _scaler(type_.unit, misfit)
    per_unit_ns = _PER_UNIT_NS[type_.unit]

    def to_physical(value: Any) -> int | None:
        if type(value) is not dt.timedelta:
            if value is None or missing(value):
                return None
            if isinstance(value, np.timedelta64):
                return _from_numpy(value, np.dtype(f"timedelta64[{type_.unit}]"), misfit)
            if not isinstance(value, dt.timedelta):
                raise misfit(value)
        return scale(
            _nanoseconds(value) + getattr(value, "nanoseconds", 0), value
        )  # pandas Timedelta has them

    def to_python(value: int | None) -> Any:
        if value is None:
            return None
        microseconds, nanoseconds = divmod(value * per_unit_ns, 1_000)
        if nanoseconds:
            return pa.scalar(value, type_).as_py()
        try:
            return dt.timedelta(microseconds=microseconds)
        except OverflowError as problem:
            raise _unshowable(value, type_) from problem

    return to_physical, to_python


def _nanoseconds(delta: dt.timedelta) -> int:
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def _scaler(unit: str, misfit: Misfit) -> Callable[[int, Any], int]:
    """From nanoseconds to the unit of the column, if that is exact and within 64 bits."""
    per_unit_ns = _PER_UNIT_NS[unit]

    def scale(nanoseconds: int, value: Any) -> int:
        units, rest = divmod(nanoseconds, per_unit_ns)
        if rest:
            raise misfit(value, f"it is finer than the column's unit, {unit}")
        if not -_INT64_MAX <= units <= _INT64_MAX:
            raise misfit(value, "out of range")
        return units

    return scale


def _from_numpy(value: Any, dtype: np.dtype[Any], misfit: Misfit) -> int:
    """A numpy datetime or timedelta in the unit of `dtype`."""
    if value.dtype.kind == "m" and np.datetime_data(value.dtype)[0] in ("Y", "M"):
        raise misfit(value, "months and years have no fixed length")
    try:
        converted = value.astype(dtype)
    except OverflowError as error:  # from numpy 2.5 on; older ones wrap around
        raise misfit(value, "out of range, or finer than the column's unit") from error
    units = int(converted.astype(np.int64))
    # numpy wraps around without a word, perhaps onto the same value on the way back.
    same_sign = (units < 0) == (int(value.astype(np.int64)) < 0)
    if converted.astype(value.dtype) != value or not same_sign:
        raise misfit(value, "out of range, or finer than the column's unit")
    return units


def _unshowable(value: Any, type_: pa.DataType) -> InvalidInputError:
    return InvalidInputError(
        f"{value} units of {type_} are outside of what Python's datetime can hold",
        hint="read the column as Arrow instead of as Python values",
    )
