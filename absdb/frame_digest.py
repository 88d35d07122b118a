"""digest: a short text that is the same for frames with the same rows, whatever holds them and in whatever order.

The algorithm is part of the promise; what changes it changes VERSION. All arithmetic is modulo 2**64.

    mix(x)      the finaliser of splitmix64
    fold(a, b)  mix(a * G + b), from the left, beginning with 0; G is 0x9E3779B97F4A7C15
    spread(xs)  the sum of mix(x + (i + 1) * G) over a sequence, i counting from 0

    integers, booleans   fold of the value in two's complement
    floats               fold of the bits as float64; one NaN, and -0.0 is 0.0
    decimals             fold of the four words, lowest first, of the value times 10**38
    dates                fold of the days since 1970; times: of the nanoseconds since midnight
    intervals            fold of the two words of Arrow's months, days and nanoseconds
    timestamps           fold of seconds since 1970 and nanoseconds in the second, and so for durations
    text, bytes          fold(spread of the words of 8 bytes, little-endian, zeros behind the last one; bytes)
    lists, maps          fold(spread of the elements; how many); structs: fold of the fields
    NULL                 fold of 0xA5A5A5A5A5A5A5A5 and 1
    a row                fold of its cells

The digest is the beginning of the SHA-256 of a JSON text: version, names and types of the columns in their order,
number of rows, sum of the hashes of rows, sum of mix(hash + 1). It finds accidents; no adversary is meant to fail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from absdb.errors import InvalidInputError
from absdb.pages.types import from_frame

VERSION = 1
HEX_DIGITS = 16
ROWS_AT_ONCE = 65_536
BYTES_AT_ONCE = 1 << 26
Words = np.ndarray[Any, np.dtype[np.uint64]]
_G = np.uint64(0x9E3779B97F4A7C15)
_NULL_WORDS = (0xA5A5A5A5A5A5A5A5, 1)
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_WIDE = pa.decimal256(76, 38)


def digest(frame: Any) -> str:
    """16 hex digits that are the same for all frames with the same columns and rows.

    `frame` is what `insert` takes: a pandas or polars frame, an Arrow table or stream, a Table, Result or diff of
    absdb, a list of dicts. Order of rows, chunks, and dictionaries do not count, nor do widths of text, units of time,
    precision and scale of decimals, and the name of a time zone. How often a row comes counts, and so do names, types
    and order of columns; a column without any value has no type, as pandas would not keep it. NULL is not NaN, all NaN
    are one, 0.0 is -0.0; in a pandas frame NaN is NULL, as everywhere in absdb. Types inside lists and structs count
    as far as the frame knows them.

    Stable over versions of absdb, pyarrow and pandas, and over platforms. A stream is read once. Costs some 10 to 30
    ns a number and 80 a short text, and memory for 65,536 rows. InvalidInputError for what is no frame, and for a type
    that tables cannot have.

        before = absdb.digest(main["orders"])
        main.restore(snapshot="good")
        assert absdb.digest(main["orders"]) == before
    """
    rows = from_frame(frame)
    schema = rows.schema
    seen = [False] * len(schema)
    count, sums = 0, np.zeros(2, np.uint64)
    for window in _windows(rows):
        columns = [_array(column) for column in window.columns]
        seen = [known or len(a) > a.null_count for known, a in zip(seen, columns, strict=True)]
        hashes = _fold(window.num_rows, *map(_cells, columns))
        count += window.num_rows
        sums += np.array([hashes.sum(), _mix(hashes + np.uint64(1)).sum()], np.uint64)
    types = [_type(field.type) if known else "null" for field, known in zip(schema, seen, strict=True)]
    said = [VERSION, list(zip(schema.names, types, strict=True)), count, *sums.tolist()]
    text = json.dumps(said, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HEX_DIGITS]


def _windows(rows: pa.Table | pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows as tables of bounded size."""
    tables = [rows] if isinstance(rows, pa.Table) else (pa.Table.from_batches([batch]) for batch in rows)
    for table in tables:
        size = max(1, table.nbytes // max(1, table.num_rows))
        step = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // size))
        for start in range(0, table.num_rows, step):
            yield table.slice(start, step)


def _array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    if pt.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _mix(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _fold(count: int, *parts: Words) -> Words:
    found = np.zeros(count, np.uint64)
    for part in parts:
        found = _mix(found * _G + part)
    return found


def _spread(
    words: Words, position: Words, ends: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]
) -> Words:
    """The spread of each of the sequences that end at `ends` in `words`."""
    sums = np.zeros(len(words) + 1, np.uint64)
    np.cumsum(_mix(words + (position + np.uint64(1)) * _G), out=sums[1:])
    return sums[ends] - sums[ends - lengths]


def _positions(counts: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """0, 1, 2, … within each of some sequences that lie side by side."""
    return np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)


def _cells(array: pa.Array) -> Words:
    """The hash of each value."""
    if pt.is_dictionary(array.type):
        known = np.append(_cells(array.dictionary), _null_hash())
        return known[array.indices.cast(pa.int64()).fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
    if isinstance(array, pa.ExtensionArray):
        return _cells(array.storage)
    found = _values(array)
    if array.null_count:
        found = np.where(array.is_null().to_numpy(zero_copy_only=False), _null_hash(), found)
    return found


def _null_hash() -> Any:
    return _fold(1, *(np.array([word], np.uint64) for word in _NULL_WORDS))[0]


def _values(array: pa.Array) -> Words:
    """The hash of each value; anything where there is none."""
    kind, count = array.type, len(array)
    if pt.is_null(kind) or not count:
        return np.zeros(count, np.uint64)
    if pt.is_struct(kind):
        return _fold(count, *map(_cells, array.flatten()))
    if _is_list(kind):
        return _of_lists(array)
    if _is_text(kind) or _is_bytes(kind):
        return _of_bytes(array.cast(pa.large_string() if _is_text(kind) else pa.large_binary()))
    return _fold(count, *_words(array))


def _words(array: pa.Array) -> list[Words]:
    """The words that a value of fixed size consists of."""
    kind = array.type
    if pt.is_boolean(kind) or pt.is_integer(kind):
        wide = pa.uint64() if kind == pa.uint64() else pa.int64()
        return [_numbers(array.cast(pa.uint8()) if pt.is_boolean(kind) else array, wide)]
    if pt.is_floating(kind):
        floats = array.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        floats[np.isnan(floats)] = np.nan
        return [floats.view(np.uint64)]
    if pt.is_decimal(kind):
        return _of_decimals(array)
    if pt.is_date(kind):
        return [_numbers(array.cast(pa.date32()).view(pa.int32()), pa.int64())]
    if pt.is_time(kind):
        return [_numbers(array.cast(pa.time64("ns")).view(pa.int64()), pa.int64())]
    if pt.is_timestamp(kind) or pt.is_duration(kind):
        ticks = _numbers(array.view(pa.int64()), pa.int64()).view(np.int64)
        per_second = _PER_SECOND[kind.unit]
        seconds, rest = np.divmod(ticks, per_second)
        return [seconds.view(np.uint64), (rest * (1_000_000_000 // per_second)).view(np.uint64)]
    if pt.is_interval(kind):
        pairs = np.frombuffer(array.buffers()[1], "<u8").reshape(-1, 2)
        return [pairs[array.offset : array.offset + len(array), at].astype(np.uint64) for at in range(2)]
    raise InvalidInputError(
        f"a column of type {kind} has no digest", hint="cast it to a type that tables have"
    )


def _numbers(array: pa.Array, wide: pa.DataType) -> Words:
    found: Words = array.cast(wide).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    return found


def _of_decimals(array: pa.Array) -> list[Words]:
    try:
        wide = array.cast(_WIDE)
    except pa.ArrowInvalid as error:
        raise InvalidInputError(
            f"a column of type {array.type} has no digest: it has values with more than 38 digits",
            hint="cast it to a type that tables have",
        ) from error
    words = np.frombuffer(wide.buffers()[1], "<u8").reshape(-1, 4)[wide.offset : wide.offset + len(wide)]
    return [words[:, at].astype(np.uint64) for at in range(4)]


def _of_bytes(array: pa.Array) -> Words:
    """Texts and bytes, with 64-bit offsets."""
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    lengths = np.diff(bounds)
    held = b"" if data is None else memoryview(data)[bounds[0] : bounds[-1]]
    padded = np.concatenate([np.frombuffer(held, np.uint8), np.zeros(8, np.uint8)])
    counts = (lengths + 7) // 8
    ends = np.cumsum(counts)
    position = _positions(counts, ends)
    at = np.repeat(bounds[:-1] - bounds[0], counts) + 8 * position
    shifted = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))  # the 8 bytes from each byte on
    left = np.minimum(np.repeat(lengths, counts) - 8 * position, 8)
    words = shifted[at].astype(np.uint64) & _MASKS[left]
    spread = _spread(words, position.astype(np.uint64), ends, counts)
    return _fold(len(array), spread, lengths.astype(np.uint64))


def _of_lists(array: pa.Array) -> Words:
    """Lists and maps of any layout."""
    whole = array.cast(pa.large_list(_element(array.type)))
    bounds = whole.offsets.to_numpy()
    lengths = np.diff(bounds)
    elements = _cells(whole.values.slice(bounds[0], bounds[-1] - bounds[0]))
    ends = bounds[1:] - bounds[0]
    position = _positions(lengths, ends).astype(np.uint64)
    return _fold(len(array), _spread(elements, position, ends, lengths), lengths.astype(np.uint64))


def _element(kind: pa.DataType) -> pa.DataType:
    """What a list consists of; a map is a list of pairs."""
    return (
        pa.struct([("key", kind.key_type), ("value", kind.item_type)]) if pt.is_map(kind) else kind.value_type
    )


def _is_list(kind: pa.DataType) -> bool:
    views = pt.is_list_view(kind) or pt.is_large_list_view(kind)
    return (
        pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind) or pt.is_map(kind) or views
    )


def _is_text(kind: pa.DataType) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind):
        return True
    return bool(pt.is_fixed_size_binary(kind))


def _type(kind: pa.DataType) -> Any:
    """What of a type counts, as JSON knows it."""
    if pt.is_dictionary(kind):
        return _type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _type(kind.storage_type)
    if _is_list(kind):
        return ["list", _type(_element(kind))]
    if pt.is_struct(kind):
        return [
            "struct",
            [[kind.field(at).name, _type(kind.field(at).type)] for at in range(kind.num_fields)],
        ]
    if pt.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp with zone"
    if pt.is_floating(kind):
        return f"float{kind.bit_width}"
    named = ((_is_text, "string"), (_is_bytes, "binary"), *_NAMED)
    return next((name for test, name in named if test(kind)), str(kind))


_NAMED: tuple[tuple[Any, str], ...] = (
    (pt.is_date, "date"),
    (pt.is_time, "time"),
    (pt.is_duration, "duration"),
    (pt.is_interval, "interval"),
    (pt.is_decimal, "decimal"),
)
