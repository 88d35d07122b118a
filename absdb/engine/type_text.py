"""Column types as text: what `describe_type` writes is read here, and what people write by hand.

    int64   decimal(12, 2)   timestamp[us, UTC]   list[float32]   struct[lat: float64, lon: float64]
    map[string, int64]   dictionary[string]   binary[16]   uuid   json

Brackets may be round or square, case does not matter, and a few names of Python and SQL are known (`str`,
`text`, `bigint`). A struct's field whose name is not a plain word is quoted. Called wherever a user names a
type.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.errors import InvalidInputError

_PLAIN: dict[str, pa.DataType] = {
    **{str(kind): kind for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{str(kind): kind for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    "bool": pa.bool_(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "duration": pa.duration("us"),
    "interval": pa.month_day_nano_interval(),
    "uuid": pa.uuid(),
    "json": pa.json_(),
    "null": pa.null(),
}
_ALIASES = {
    "int": "int64",
    "bigint": "int64",
    "smallint": "int16",
    "tinyint": "int8",
    "float": "float64",
    "double": "float64",
    "real": "float32",
    "boolean": "bool",
    "str": "string",
    "text": "string",
    "varchar": "string",
    "bytes": "binary",
    "blob": "binary",
    "date": "date32",
    "datetime": "timestamp",
    "timestamptz": "timestamp[us, UTC]",
}
_OF_PYTHON: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    dt.date: pa.date32(),
    dt.datetime: pa.timestamp("us"),
    dt.time: pa.time64("us"),
    dt.timedelta: pa.duration("us"),
    uuid.UUID: pa.uuid(),
}
_COMPOSED = (
    "decimal(precision, scale)",
    "timestamp[unit, zone]",
    "time[unit]",
    "duration[unit]",
    "binary[bytes]",
    "list[type]",
    "struct[name: type, …]",
    "map[type, type]",
    "dictionary[type]",
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[+-]?\d+")
_UNIT = re.compile(r"ns|us|ms|s")
_ZONE = re.compile(r"[A-Za-z0-9_+\-/:]+")
_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^":,\[\]()]+?)(?=\s*:)')
_CLOSING = {"[": "]", "(": ")"}


def as_type(kind: Any) -> pa.DataType:
    """An Arrow type from one, from text, or from one of Python's own types. InvalidInputError lists all."""
    if isinstance(kind, pa.DataType):
        return kind
    if isinstance(kind, str):
        return parse_type(kind)
    if isinstance(kind, type) and kind in _OF_PYTHON:
        return _OF_PYTHON[kind]
    raise InvalidInputError(
        f"{kind!r} is not a column type",
        hint='pass a pyarrow type, or text such as "int64" or "decimal(12, 2)"',
    )


def parse_type(text: str) -> pa.DataType:
    """The type that a text names; InvalidInputError says where it stops making sense, and what is known."""
    parser = _Parser(text)
    try:
        found = parser.type()
        parser.end()
    except pa.ArrowException as problem:
        raise InvalidInputError(f"{text!r} is not a column type: {problem}") from problem
    except ValueError as problem:
        raise problem if isinstance(problem, InvalidInputError) else parser.wrong(str(problem)) from problem
    return found


class _Parser:
    """Reads one type from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def type(self) -> pa.DataType:
        name = self._token(_WORD, "a type").lower()
        name = _ALIASES.get(name, name)
        if name == "timestamp[us, UTC]":
            return pa.timestamp("us", "UTC")
        opening = self._peek()
        if opening not in _CLOSING:
            if name in _PLAIN:
                return _PLAIN[name]
            if name in _MAKERS:
                raise self.wrong(f"{name} needs square brackets behind it")
            raise self._unknown(name)
        make = _MAKERS.get(name)
        if make is None:
            raise (
                self._unknown(name) if name not in _PLAIN else self.wrong(f"{name} takes nothing in brackets")
            )
        self.at += 1
        found = make(self)
        self._expect(_CLOSING[opening])
        return found

    def end(self) -> None:
        if self._peek():
            raise self.wrong("nothing more was expected")

    def decimal(self) -> pa.DataType:
        precision = self.number()
        scale = self.number() if self.comma() else 0
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)

    def timestamp(self) -> pa.DataType:
        unit = self._token(_UNIT, "a unit: s, ms, us or ns")
        if not self.comma():
            return pa.timestamp(unit)
        self._skip("tz=")
        return pa.timestamp(unit, self._token(_ZONE, "a time zone"))

    def time(self) -> pa.DataType:
        unit = self._token(_UNIT, "a unit: s, ms, us or ns")
        return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)

    def duration(self) -> pa.DataType:
        return pa.duration(self._token(_UNIT, "a unit: s, ms, us or ns"))

    def list(self) -> pa.DataType:
        item = self.type()
        return pa.list_(item, self.size()) if self.comma() else pa.list_(item)

    def struct(self) -> pa.DataType:
        fields = []
        while self._peek() not in ("]", ")", ""):
            match = _FIELD.match(self.text, self.at)
            if match is None:
                raise self.wrong("expected a field as name: type")
            self.at = match.end()
            name = match[1].replace('""', '"') if match[1] is not None else match[2]
            self._expect(":")
            fields.append(pa.field(name, self.type()))
            if not self.comma():
                break
        return pa.struct(fields)

    def map(self) -> pa.DataType:
        key = self.type()
        self._expect(",")
        return pa.map_(key, self.type())

    def size(self) -> int:
        number = self.number()
        if number < 1:
            raise self.wrong(f"{number} is no size")
        return number

    def number(self) -> int:
        return int(self._token(_NUMBER, "a number"))

    def comma(self) -> bool:
        if self._peek() != ",":
            return False
        self.at += 1
        self._peek()
        return True

    def wrong(self, what: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self.text!r} is not a column type: {what} at position {self.at + 1}",
            hint=f"types are {', '.join(sorted(_PLAIN))}, {', '.join(_COMPOSED)}",
        )

    def _unknown(self, name: str) -> InvalidInputError:
        near = difflib.get_close_matches(name, [*_PLAIN, *_ALIASES, *_MAKERS], n=1)
        return InvalidInputError(
            f"{self.text!r} is not a column type: there is no type {name!r}",
            hint=(f"did you mean {near[0]!r}? " if near else "")
            + f"types are {', '.join(sorted(_PLAIN))}, {', '.join(_COMPOSED)}",
        )

    def _peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def _skip(self, word: str) -> None:
        if self.text.startswith(word, self.at):
            self.at += len(word)

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self.wrong(f"expected {character!r}")
        self.at += 1

    def _token(self, pattern: re.Pattern[str], what: str) -> str:
        self._peek()
        match = pattern.match(self.text, self.at)
        if match is None:
            raise self.wrong(f"expected {what}")
        self.at = match.end()
        return match[0]


_MAKERS: dict[str, Callable[[_Parser], pa.DataType]] = {
    "decimal": _Parser.decimal,
    "numeric": _Parser.decimal,
    "timestamp": _Parser.timestamp,
    "time": _Parser.time,
    "time32": _Parser.time,
    "time64": _Parser.time,
    "duration": _Parser.duration,
    "binary": lambda parser: pa.binary(parser.size()),
    "list": _Parser.list,
    "large_list": lambda parser: pa.large_list(parser.type()),
    "struct": _Parser.struct,
    "map": _Parser.map,
    "dictionary": lambda parser: pa.dictionary(pa.int32(), parser.type()),
    "run_end_encoded": lambda parser: pa.run_end_encoded(pa.int32(), parser.type()),
}
