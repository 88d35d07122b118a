"""Values of results as Python has them, also those that Python's own types cannot hold.

    a date or time outside the years 1 to 9999      text, such as '290000-01-01' or 'infinity'
    a row whose fields have no names of their own   a tuple

Called by result.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

_INFINITE = {
    2**31 - 1: "infinity",
    -(2**31 - 1): "-infinity",
    2**63 - 1: "infinity",
    -(2**63 - 1): "-infinity",
}


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """One Python value a row."""
    try:
        found: list[Any] = column.to_pylist()
        return found
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    kind = scalar.type
    if pt.is_struct(kind):
        names = [field.name for field in kind]
        values = [_value(scalar[at]) for at in range(len(names))]
        return dict(zip(names, values, strict=True)) if len(set(names)) == len(names) else tuple(values)
    if pt.is_map(kind):
        return [(_value(entry[0]), _value(entry[1])) for entry in scalar.values]
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return [_value(each) for each in scalar.values]
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return _moment(scalar)


def _moment(scalar: pa.Scalar) -> str:
    """A date or timestamp that Python has no value for."""
    days = pt.is_date(scalar.type)
    number = int(scalar.value)
    if number in _INFINITE:
        return _INFINITE[number]
    text = str(np.array(number, f"datetime64[{'D' if days else scalar.type.unit}]")).replace("T", " ")
    year, rest = text.rsplit("-", 2)[0], text.split("-", 2 if text.startswith("-") else 1)[-1]
    return f"{1 - int(year):04d}-{rest} (BC)" if int(year) < 1 else text
