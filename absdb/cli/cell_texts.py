"""Columns of any Arrow type as columns of text, computed a column at a time.

    plain      as people read it: 2026-01-01 12:30:00Z, 1.5, 00ff; lists, structs and maps as JSON
    as_json    as one JSON value each: "2026-01-01T12:30:00.000000Z", 1.5, "00ff", [1, 2], {"a": 1}, null

The conventions are those of text.py, which does the same for single values. Sums of integers, which are decimals
without digits behind the point, are numbers in JSON; a value of type JSON is itself. Called by row_formats.py and
table_text.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.cli.text import jsonable

TEXT = pa.large_string()
_SUM = pa.decimal128(38, 0)
_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain(column: pa.Array) -> pa.Array:
    """large_string of the same length; NULL stays NULL."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _uuids(column.storage) if kind == pa.uuid() else plain(column.storage)
    if pt.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pt.is_timestamp(kind):
        return _times(column, " ")
    if pt.is_time(kind):
        return _no_empty_fraction(column.cast(TEXT))
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind):
        return _hex(column.cast(pa.large_binary()))
    if pt.is_duration(kind):
        return _each(column, str)
    if pt.is_interval(kind):
        return _each(column, _interval)
    if pt.is_nested(kind):
        texts = as_json(column)
        return pc.if_else(column.is_valid(), texts, pa.scalar(None, TEXT)) if column.null_count else texts
    return column.cast(TEXT)


def as_json(column: pa.Array) -> pa.Array:
    """large_string of the same length without NULLs: they are `null`."""
    return pc.fill_null(_json(column), "null")


def one_line(texts: pa.Array) -> pa.Array:
    """Texts that a terminal shows in one line and takes no orders from: line ends as ↵, other controls as ·."""
    for found, shown in (("\r?\n|\u2028|\u2029", "↵"), ("\t", " "), ("[\x01-\x1f\x7f\u0080-\u009f]", "·")):
        texts = pc.replace_substring_regex(texts, found, shown)
    return pc.replace_substring(texts, "\0", "·")


def _json(column: pa.Array) -> pa.Array:
    """The same with NULLs as they are, or as `null`."""
    kind = column.type
    if kind == pa.json_():
        # A line end in valid JSON is a blank between values, and JSON lines cannot have any.
        return pc.replace_substring_regex(column.storage.cast(TEXT), "[\r\n]", " ")
    if isinstance(kind, pa.BaseExtensionType):
        return quoted(plain(column))
    if pt.is_dictionary(kind):
        return _json(column.dictionary_decode())
    if pt.is_boolean(kind) or pt.is_integer(kind) or kind == _SUM:
        return column.cast(TEXT)
    if pt.is_floating(kind):
        return _json_floats(column.cast(TEXT))
    if pt.is_timestamp(kind):
        return quoted(_times(column, "T"))
    if pt.is_duration(kind):
        seconds = pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), _units(kind))
        return _json_floats(seconds.cast(TEXT))
    if pt.is_map(kind):
        return _maps(column)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return _enclosed("[", _joined(column, as_json(column.flatten())), "]")
    if pt.is_struct(kind):
        return _structs(column)
    if pt.is_union(kind):
        return _each(column, lambda value: json.dumps(jsonable(value), ensure_ascii=False))
    return quoted(plain(column))


def quoted(texts: pa.Array) -> pa.Array:
    """Texts as JSON strings."""
    texts = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, "[\x01-\x1f]")).as_py() or _has_nul(texts):
        for code in range(32):
            char = chr(code)
            texts = pc.replace_substring(texts, char, _CONTROLS.get(char, f"\\u{code:04x}"))
    return _enclosed('"', texts, '"')


def _has_nul(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(texts, "\0")).as_py())


def _json_floats(texts: pa.Array) -> pa.Array:
    """Numbers as JSON has them: 3.0; what JSON has not as text."""
    texts = pc.replace_substring_regex(texts, r"^(-?\d+)$", r"\1.0")
    return pc.replace_substring_regex(texts, "^(-?[a-z]+)$", r'"\1"')


def _times(column: pa.Array, between: str) -> pa.Array:
    """Points in time, those with a zone in UTC; JSON shows all six digits of these."""
    kind = column.type
    if kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    texts = column.cast(TEXT)
    texts = pc.replace_substring_regex(texts, r"^<value out of range: (-?)\d+>$", r"\1infinity")
    if kind.tz is None or between == " ":
        texts = _no_empty_fraction(texts)
    return texts if between == " " else pc.replace_substring(texts, " ", between)


def _no_empty_fraction(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")


def _units(kind: pa.DataType) -> float:
    return float({"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit])


def _hex(column: pa.Array) -> pa.Array:
    """Bytes as two digits each."""
    if not len(column):
        return pa.array([], TEXT)
    valid, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    digits = b"" if data is None else data.slice(int(ends[0]), int(ends[-1] - ends[0])).hex()
    found = pa.LargeStringArray.from_buffers(
        len(column), pa.py_buffer((ends - ends[0]) * 2), pa.py_buffer(digits)
    )
    found = pc.ascii_lower(found)
    return found if valid is None else pc.if_else(column.is_valid(), found, pa.scalar(None, TEXT))


def _uuids(column: pa.Array) -> pa.Array:
    digits = _hex(column.cast(pa.large_binary()))
    parts = [
        pc.utf8_slice_codeunits(digits, a, b) for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    ]
    return pc.binary_join_element_wise(*parts, pa.scalar("-", TEXT))


def _enclosed(opening: str, texts: pa.Array, closing: str) -> pa.Array:
    ends = pa.scalar(opening, TEXT), pa.scalar(closing, TEXT)
    return pc.binary_join_element_wise(ends[0], texts, ends[1], pa.scalar("", TEXT))


def _joined(column: pa.Array, texts: pa.Array) -> pa.Array:
    """The texts of the elements of each list, with commas between."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), texts)
    joined = pc.binary_join(lists, pa.scalar(", ", TEXT))
    return pc.if_else(column.is_valid(), joined, pa.scalar(None, TEXT))


def _structs(column: pa.Array) -> pa.Array:
    members = [
        pc.binary_join_element_wise(
            pa.scalar(f"{json.dumps(field.name, ensure_ascii=False)}: ", TEXT),
            as_json(values),
            pa.scalar("", TEXT),
        )
        for field, values in zip(column.type, column.flatten(), strict=True)
    ]
    joined = pc.binary_join_element_wise(*members, pa.scalar(", ", TEXT))
    return pc.if_else(column.is_valid(), _enclosed("{", joined, "}"), pa.scalar(None, TEXT))


def _maps(column: pa.Array) -> pa.Array:
    lists = column.cast(pa.list_(pa.struct([("k", column.type.key_type), ("v", column.type.item_type)])))
    keys, values = lists.flatten().flatten()
    pairs = pc.binary_join_element_wise(quoted(plain(keys)), as_json(values), pa.scalar(": ", TEXT))
    return _enclosed("{", _joined(lists, pairs), "}")


def _each(column: pa.Array, text: Callable[[Any], str]) -> pa.Array:
    """For the few types that Arrow has no text for, a value at a time."""
    return pa.array([None if value is None else text(value) for value in column.to_pylist()], TEXT)


def _interval(value: Any) -> str:
    """`1 year 2 months 3 days 04:05:06.5`."""
    months, days, nanoseconds = value
    parts = [(months // 12, "year"), (months % 12, "month"), (days, "day")] if months >= 0 else []
    parts = parts or [(months, "month"), (days, "day")]
    words = [f"{count} {noun}{'' if abs(count) == 1 else 's'}" for count, noun in parts if count]
    if nanoseconds or not words:
        sign, nanoseconds = "-" if nanoseconds < 0 else "", abs(nanoseconds)
        seconds, fraction = divmod(nanoseconds, 10**9)
        clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        words.append(clock + (f".{fraction:09}".rstrip("0") if fraction else ""))
    return " ".join(words)
