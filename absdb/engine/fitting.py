"""Arrow values of one type as values of another: what a column takes from a frame whose types are not its own.

    text, bytes     text of any width to text, bytes to bytes; text is read as a number, date or time
    numbers         to any number that holds them: nothing is cut off or rounded. A float is a decimal if that decimal
                    reads back as the same float; floats and decimals become the nearest narrower float
    dates, times    to any unit that holds them, to dates only at midnight; a zone is never dropped
    nested          child by child; a struct may lack fields, which are NULL then, and have no others
    NULLs           of any type

A value that does not fit refuses the column. Works on physical arrays (see pages/types.py). Called by
engine/prepare.py for rows given, and by engine/retype.py for a column whose type changes, where more may pass.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.pages.compare import equal_rows
from absdb.pages.types import describe_type


def from_text(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Text that stands for values of a logical type which its physical type cannot read: that of UUIDs."""
    text = pt.is_string(values.type) or pt.is_large_string(values.type)
    if not text or not isinstance(wanted, pa.UuidType):
        return values
    digits = pc.replace_substring(values, "-", "")
    fine = pc.match_substring_regex(digits, "^[0-9A-Fa-f]{32}$")
    if not pc.all(fine).as_py() and pc.any(pc.invert(fine)).as_py():
        shown = values[
            int(np.flatnonzero(~pc.fill_null(fine, True).to_numpy(zero_copy_only=False))[0])
        ].as_py()
        raise MisfitError(f"{shown!r} is no UUID")
    data = bytes.fromhex("".join(pc.fill_null(digits, "0" * 32).to_pylist()))
    mask = (
        pa.array(~values.is_null().to_numpy(zero_copy_only=False)).buffers()[1] if values.null_count else None
    )
    return pa.Array.from_buffers(pa.binary(16), len(values), [mask, pa.py_buffer(data)])


class MisfitError(ValueError):
    """Values that do not fit; says why."""


def fit(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Physical values as values of another physical type. MisfitError says what does not fit."""
    if values.type.equals(wanted):
        return values
    if values.null_count == len(values):
        return pa.nulls(len(values), wanted)
    reason = _refusal(values.type, wanted)
    if reason:
        raise MisfitError(reason)
    return cast(values, wanted)


def cast(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Any conversion that pyarrow knows and that loses nothing. MisfitError says what does not fit."""
    try:
        made = _cast(values, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, NotImplementedError) as problem:
        raise MisfitError(str(problem).splitlines()[0]) from problem
    _check_kept(values, made)
    _check_nulls(made, wanted)
    return made


def _cast(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pt.is_interval(values.type) and pt.is_duration(wanted):
        return _duration(values, wanted)
    if pt.is_integer(values.type) and pt.is_decimal(wanted):
        # Directly, pyarrow wants room for every number of the type, whatever the values are.
        wide = pa.decimal256(76, max(wanted.scale, 0))
        return values.cast(wide).cast(wanted)
    return values.cast(wanted, safe=True)


_PARTS = np.dtype([("months", np.int32), ("days", np.int32), ("nanoseconds", np.int64)])
_DAY_NS = 86_400 * 10**9


def _duration(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Intervals without months as durations: a day is 24 hours."""
    data = values.buffers()[1]
    parts = np.frombuffer(data, _PARTS)[values.offset : values.offset + len(values)]
    known = values.is_valid().to_numpy(zero_copy_only=False)
    days, rest = parts["days"].astype(np.int64), parts["nanoseconds"]
    if parts["months"][known].any():
        raise MisfitError("months have no fixed length")
    unit_ns = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[wanted.unit]
    if (rest[known] % unit_ns).any():
        raise MisfitError(f"some cannot be held as {describe_type(wanted)} without loss")
    day = _DAY_NS // unit_ns
    if (
        known.any()
        and (int(np.abs(days[known]).max()) + 1) * day + int(np.abs(rest[known] // unit_ns).max()) >= 2**63
    ):
        raise MisfitError(f"some are longer than {describe_type(wanted)} can hold")
    whole = np.where(known, days * day + rest // unit_ns, 0)
    return pa.array(whole, mask=~known).view(wanted)


def _refusal(given: pa.DataType, wanted: pa.DataType) -> str:
    """Why values of one type are never values of the other; "" if they may be."""
    if given.equals(wanted) or pt.is_null(given):
        return ""
    if pt.is_nested(given) or pt.is_nested(wanted):
        return _nested_refusal(given, wanted)
    if pt.is_timestamp(given) and (pt.is_timestamp(wanted) or pt.is_date(wanted)):
        aware = given.tz is not None and (pt.is_date(wanted) or wanted.tz is None)
        return "they have a time zone, the column has none" if aware else ""
    if pt.is_interval(given) and pt.is_duration(wanted):
        return ""
    if _family(given) == _family(wanted) or (_family(given) == "text" and _family(wanted) in _READABLE):
        return ""
    return f"{describe_type(given)} is never {describe_type(wanted)}"


_READABLE = {"number", "calendar", "time"}


def _family(kind: pa.DataType) -> str:
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return "number"
    if pt.is_string(kind) or pt.is_large_string(kind):
        return "text"
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind):
        return "bytes"
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return "calendar"
    return "time" if pt.is_time(kind) else "duration" if pt.is_duration(kind) else str(kind)


def _nested_refusal(given: pa.DataType, wanted: pa.DataType) -> str:
    if pt.is_struct(given) and pt.is_struct(wanted):
        ours = {wanted.field(i).name: wanted.field(i).type for i in range(wanted.num_fields)}
        for i in range(given.num_fields):
            field = given.field(i)
            if field.name not in ours:
                return f"a struct has the field {field.name!r}, which the column's has not"
            if reason := _refusal(field.type, ours[field.name]):
                return f"field {field.name!r}: {reason}"
        return ""
    if pt.is_map(given) and pt.is_map(wanted):
        return _refusal(given.key_type, wanted.key_type) or _refusal(given.item_type, wanted.item_type)
    if _is_list(given) and _is_list(wanted):
        return _refusal(given.value_type, wanted.value_type)
    return f"{describe_type(given)} is never {describe_type(wanted)}"


def _is_list(kind: pa.DataType) -> bool:
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def _check_kept(values: pa.Array, made: pa.Array) -> None:
    """MisfitError for what pyarrow rounds or cuts off even in a safe cast."""
    given = values.type
    if given.equals(made.type) or pt.is_interval(given):
        return
    if pt.is_struct(given):
        children = made.flatten()
        for i, child in enumerate(values.flatten()):
            _check_kept(child, children[made.type.get_field_index(given.field(i).name)])
    elif pt.is_map(given):
        _check_leaf(values.drop_null().keys, made.drop_null().keys)
        _check_kept(values.drop_null().items, made.drop_null().items)
    elif pt.is_nested(given):
        _check_kept(values.drop_null().flatten(), made.drop_null().flatten())
    else:
        _check_leaf(values, made)


def _check_leaf(values: pa.Array, made: pa.Array) -> None:
    if not _may_lose(values.type, made.type):
        return
    if pt.is_floating(made.type):
        given = values if pt.is_floating(values.type) else values.cast(pa.float64(), safe=False)
        lost = _infinite(made) & ~_infinite(given)
        if pt.is_integer(values.type) and not lost.any():
            lost = ~equal_rows(values, made.cast(pa.float64()).cast(values.type, safe=False))
    else:
        lost = ~equal_rows(values, made.cast(values.type, safe=False))
    if lost.any():
        shown = values[int(np.flatnonzero(lost)[0])].as_py()
        raise MisfitError(f"{shown!r} cannot be held as {describe_type(made.type)} without loss")


def _may_lose(given: pa.DataType, made: pa.DataType) -> bool:
    if pt.is_floating(made):
        narrower = not pt.is_floating(given) or made.bit_width < given.bit_width
        return narrower and not pt.is_string(given) and not pt.is_large_string(given)
    return bool(
        (pt.is_floating(given) and pt.is_decimal(made)) or (pt.is_timestamp(given) and pt.is_date(made))
    )


def _infinite(values: pa.Array) -> np.ndarray:
    wide = values.cast(pa.float64()) if pt.is_float16(values.type) else values
    return pc.fill_null(pc.is_inf(wide), False).to_numpy(zero_copy_only=False)


def _check_nulls(made: pa.Array, wanted: pa.DataType) -> None:
    """MisfitError for a NULL inside a nested value whose type has no NULLs there."""
    if pt.is_struct(wanted):
        for i in range(wanted.num_fields):
            field, child = wanted.field(i), made.field(i)
            inside = pc.and_(made.is_valid(), child.is_null()) if not field.nullable else None
            if inside is not None and pc.any(inside).as_py():
                raise MisfitError(f"field {field.name!r} must not be NULL")
            _check_nulls(child, field.type)
    elif pt.is_map(wanted):
        _check_items(made.items, wanted.item_field)
    elif pt.is_nested(wanted):
        _check_items(made.drop_null().flatten(), wanted.value_field)


def _check_items(items: pa.Array, field: pa.Field) -> None:
    if not field.nullable and items.null_count:
        raise MisfitError("an item must not be NULL")
    if pt.is_nested(field.type):
        _check_nulls(items, field.type)
