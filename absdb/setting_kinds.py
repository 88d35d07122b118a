"""How one setting's value is written, read and checked: sizes, durations, counts, flags, choices, text.

`Setting` describes one setting; `settings.py` holds the table of them. Problems are plain ValueErrors that
say what is wrong with a value; the caller adds where it stood.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

KIB, MIB, GIB, TIB = (1024**power for power in (1, 2, 3, 4))
DAY = 24 * 60 * 60

_SIZE_UNITS = {"": 1, "b": 1, "byte": 1, "bytes": 1} | {
    spelling: factor
    for letter, factor in (("k", KIB), ("m", MIB), ("g", GIB), ("t", TIB))
    for spelling in (f"{letter}b", f"{letter}ib")
}
_SECONDS = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(DAY),
    "w": Decimal(7 * DAY),
}
_WORDS = {"second": "s", "minute": "min", "hour": "h", "day": "d", "week": "w", "sec": "s", "min": "min"}
_DURATION_UNITS = (
    _SECONDS
    | {word: _SECONDS[unit] for word, unit in _WORDS.items()}
    | {f"{word}s": _SECONDS[unit] for word, unit in _WORDS.items()}
)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_FLAGS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


class Kind(Enum):
    """What a value is, and what to call it."""

    SIZE = "a size"
    DURATION = "a duration"
    COUNT = "a whole number"
    FLAG = "on or off"
    CHOICE = "one of"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. Limits are inclusive, in bytes or seconds; `choices` may hold None, written `none`."""

    name: str
    kind: Kind
    default: Any
    meaning: str
    minimum: int | None = None
    maximum: int | None = None
    multiple_of: int = 1
    choices: tuple[str | None, ...] = ()
    creation_only: bool = False

    def accept(self, value: Any) -> Any:
        """The value, from text as in the file or from Python; ValueError if it cannot be one."""
        if self.kind is Kind.TEXT and isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str):
            value = self._parse(value if self.kind is Kind.TEXT else value.strip())
        return self._check(value)

    def render(self, value: Any) -> str:
        """The value as the file has it."""
        if value is None:
            return "none"
        if self.kind is Kind.SIZE:
            return _render_size(value)
        if self.kind is Kind.DURATION:
            return _render_duration(value)
        if self.kind is Kind.FLAG:
            return "on" if value else "off"
        if self.kind is Kind.TEXT and (value != value.strip() or "#" in value or value[:1] in ("'", '"')):
            return f"'{value}'" if '"' in value else f'"{value}"'
        return str(value)

    def expected(self) -> str:
        """What a value looks like, as part of a sentence: `a size from 4 KiB to 1 GiB, such as 16 MiB`."""
        if self.kind is Kind.CHOICE:
            return f"one of {', '.join(self.render(choice) for choice in self.choices)}"
        if self.kind in (Kind.TEXT, Kind.FLAG):
            return self.kind.value
        limits = (
            f" from {self.render(self.minimum or 0)} to {self.render(self.maximum)}" if self.maximum else ""
        )
        step = f" in steps of {self.render(self.multiple_of)}" if self.multiple_of > 1 else ""
        return f"{self.kind.value}{limits}{step}, such as {self.render(self.default)}"

    def _parse(self, text: str) -> Any:
        """The value that a text stands for; limits are not looked at."""
        match self.kind:
            case Kind.TEXT:
                return text
            case Kind.CHOICE:
                return None if text.lower() == "none" else text.lower()
            case Kind.FLAG:
                if text.lower() not in _FLAGS:
                    raise ValueError("it is neither on nor off")
                return _FLAGS[text.lower()]
            case Kind.COUNT:
                if not re.fullmatch(r"[+-]?\d+(_\d+)*", text):
                    raise ValueError("it is not a whole number")
                return int(text)
            case Kind.SIZE:
                number, factor = _number(text, _SIZE_UNITS, "B, KiB, MiB, GiB, TiB")
                if number * factor != int(number * factor):
                    raise ValueError("it is not a whole number of bytes")
                return int(number * factor)
            case Kind.DURATION:
                if not text.strip("0"):
                    return 0.0 if text else _number(text, {}, "")
                number, seconds = _number(text, _DURATION_UNITS, "us, ms, s, min, h, d, w")
                return float(number * seconds)

    def _check(self, value: Any) -> Any:
        """The value, if it has the right type and lies within the limits."""
        if self.kind is Kind.CHOICE:
            if value not in self.choices:
                raise ValueError("it is not one of the choices")
            return value
        if self.kind is Kind.TEXT:
            if not isinstance(value, str) or any(ord(character) < 32 for character in value):
                raise ValueError("it is not one line of text")
            return value
        if self.kind is Kind.FLAG:
            if not isinstance(value, bool):
                raise ValueError("it is neither True nor False")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError("it is not a number")
        if self.kind is not Kind.DURATION and value != int(value):
            raise ValueError("it is not a whole number")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"it is below {self.render(self.minimum)}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"it is above {self.render(self.maximum)}")
        if self.multiple_of > 1 and value % self.multiple_of:
            raise ValueError(f"it is not a multiple of {self.render(self.multiple_of)}")
        return float(value) if self.kind is Kind.DURATION else int(value)


def _number(text: str, units: dict[str, Any], known: str) -> tuple[Decimal, Any]:
    """Number and factor of `16 MiB`."""
    match = _NUMBER.fullmatch(text.lower())
    if match is None:
        raise ValueError("it is not a number with a unit")
    number, unit = match.groups()
    if unit not in units:
        raise ValueError(
            f"{unit!r} is not a unit; {known} are" if unit else f"it has no unit; {known} are units"
        )
    return Decimal(number), units[unit]


def _render_size(value: int) -> str:
    """The largest unit that divides the size."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if value and value % factor == 0:
            return f"{value // factor} {unit}"
    return str(value)


def _render_duration(value: float) -> str:
    """The largest unit in which the duration is a whole number; microseconds are the finest."""
    micros = round(value * 1_000_000)
    if micros == 0:
        return "0"
    days, rest = divmod(micros, DAY * 1_000_000)
    if not rest:
        return "1 day" if days == 1 else f"{days} days"
    for unit in ("h", "min", "s", "ms"):
        size = int(_SECONDS[unit] * 1_000_000)
        if micros % size == 0:
            return f"{micros // size} {unit}"
    return f"{micros} us"
