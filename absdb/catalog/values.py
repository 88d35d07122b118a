"""Single column values (defaults, initial defaults) as JSON, exactly: what JSON lacks is tagged.

    null, true, 12, "x", 1.5        themselves
    {"f": "nan"}                    a float JSON cannot write: nan, inf, -inf
    {"b": "AAE="}                   bytes, base64
    {"d": "1.20"}                   a Decimal
    {"a": "…"}                      any other value: a one-row Arrow IPC stream, base64

Values are *physical* (temporal types are integers in the column's unit). Used by schema.py only.
"""

from __future__ import annotations

import base64
import decimal
import math
from typing import Any

import pyarrow as pa

from absdb.errors import CorruptionError


def value_to_json(value: Any, kind: pa.DataType | None = None) -> Any:
    """A JSON-able form that `value_from_json` turns back into an equal value.

    `kind` is its physical type, which pyarrow needs to know for some nested values, such as those of a map.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"f": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, decimal.Decimal):
        return {"d": str(value)}
    batch = pa.record_batch({"v": pa.array([value], kind)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return {"a": base64.b64encode(sink.getvalue()).decode()}


def value_from_json(data: Any) -> Any:
    """The value `value_to_json` was given; CorruptionError for a tag it never writes."""
    if not isinstance(data, dict):
        return data
    match data:
        case {"f": text}:
            return float(text)
        case {"b": text}:
            return base64.b64decode(text)
        case {"d": text}:
            return decimal.Decimal(text)
        case {"a": text}:
            return pa.ipc.open_stream(base64.b64decode(text)).read_all().column(0)[0].as_py()
    raise CorruptionError(f"a stored default has the unknown form {sorted(data)}")
