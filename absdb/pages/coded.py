"""Columns as a query engine reads them fastest: short codes instead of repeated text, decimals without idle bytes.

    the page holds                       a query reads
    text of few different values         a dictionary: the values once, in order, an 8-bit code a row
    decimal128 of 5 to 9 digits          decimal32
    decimal128 of 10 to 18 digits        decimal64
    anything else                        what the page holds

An Arrow column has one type, so either all pages of a state have few values in a text column, the same ones at most
CODES_MAX in number, or none is coded. Coding costs about 20 ns a value of text and 5 ns a decimal, once a page; it is
kept with the page (`Page.converted`), so that a new state of a table costs what it changed.

Called by projection.py; engine/coding.py decides for which columns.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

CODES_MAX = 255
"""One less than codes there are: pyarrow joins two dictionaries of 8-bit codes up to that."""
SAMPLE_ROWS = 1024


def coded_type(physical: pa.DataType) -> pa.DataType | None:
    """What a column of pages may be read as instead; None if it is read as it is."""
    if pt.is_string(physical) or pt.is_large_string(physical):
        return pa.dictionary(pa.uint8(), physical)
    if not pt.is_decimal128(physical) or physical.scale < 0 or not 5 <= physical.precision <= 18:
        return None
    narrow = pa.decimal32 if physical.precision <= 9 else pa.decimal64
    return narrow(physical.precision, physical.scale)


def coded(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """The array in a type that `coded_type` gives; None for text of more than CODES_MAX different values."""
    if pt.is_decimal(target):
        return _narrowed(array, target)
    if len(array) > 2 * SAMPLE_ROWS and len(array.slice(0, SAMPLE_ROWS).unique()) > CODES_MAX:
        return None
    encoded = array.dictionary_encode()
    count = len(encoded.dictionary)
    if count > CODES_MAX:
        return None
    # In order, so that pages with the same values have the same codes.
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    code = np.empty(count, np.uint8)
    code[order] = np.arange(count, dtype=np.uint8)
    codes = pa.array(code).take(encoded.indices)
    return pa.DictionaryArray.from_arrays(codes, encoded.dictionary.take(pa.array(order)))


def _narrowed(array: pa.Array, target: pa.DataType) -> pa.Array:
    """The low words of decimals that fit in them: a tenth of what a cast takes, which checks each."""
    if not len(array):
        return pa.nulls(0, target)
    validity, values = array.buffers()
    # A bitmap starts at a whole byte, and the values with it.
    lead = array.offset % 8
    words = np.frombuffer(values, np.int64)[2 * (array.offset - lead) : 2 * (array.offset + len(array)) : 2]
    data = pa.py_buffer(words.astype(np.int32 if pt.is_decimal32(target) else np.int64))
    nulls = array.null_count
    bits = validity.slice(array.offset // 8) if nulls else None
    return pa.Array.from_buffers(target, len(array), [bits, data], null_count=nulls, offset=lead)
