"""Values as text: for JSON, which programs read and which stays as it is, and for people.

JSON     LSNs as text, times ISO 8601 in UTC with microseconds, decimals and UUIDs as text, bytes in hex,
         durations in seconds; a NaN or an infinity, which JSON has not, as text
people   times to the second where there is no fraction, yes and no, sizes with units, numbers with commas
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from absdb.clock import EPOCH, MICROSECOND, format_time
from absdb.ids import Lsn
from absdb.sizes import size

CELL_CHARACTERS_MAX = 60


def jsonable(value: Any) -> Any:
    """The value as JSON has it."""
    match value:
        case None | bool() | str():
            return value
        case Lsn():
            return str(value)
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case dt.datetime():
            return _iso(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case Mapping():
            return {str(name): jsonable(each) for name, each in value.items()}
        case list() | tuple():
            return [jsonable(each) for each in value]
    return str(value)


def readable(value: Any, name: str = "") -> str:
    """A figure of a listing as people read it; `name` tells bytes and milliseconds from other numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Lsn):
        return str(value)
    if isinstance(value, int) and ("bytes" in name.split("_") or name == "size"):
        return size(value)
    if isinstance(value, int | float) and name.split("_")[-1] == "ms":
        return milliseconds(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return shown(value)


def shown(value: Any) -> str:
    """A value of a row as people read it, in one line."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.10g}"
        case dt.datetime():
            return _moment(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case list() | tuple():
            return ", ".join(shown(each) for each in value)
    return " ".join(str(value).split("\n"))


def milliseconds(value: float) -> str:
    """`0.42 ms`, `17 ms`, `1,204 ms`."""
    return f"{value:,.2f} ms" if value < 10 else f"{value:,.0f} ms"


def cut(text: str) -> str:
    """The text, or its beginning if it is too long for a cell."""
    return text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


def _iso(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        return moment.isoformat()
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        return moment.isoformat(sep=" ")
    return format_time((moment - EPOCH) // MICROSECOND)
