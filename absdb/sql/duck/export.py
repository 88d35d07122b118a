"""What DuckDB exports as something else, as what it is: UUIDs, JSON and UHUGEINT in columns of their own.

DuckDB has a switch for this, which holds for all connections at once and turns 128-bit integers into bytes; so
it is done here. Inside lists and structs they stay text. Called by run.py for every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NIBBLES = np.zeros(256, np.uint8)
for _digit in "0123456789abcdef":
    _NIBBLES[ord(_digit)] = _NIBBLES[ord(_digit.upper())] = int(_digit, 16)
_DIGITS = np.array([at for at in range(36) if at not in (8, 13, 18, 23)])
"""Where the digits are in the text form, between the dashes."""


class Export:
    """How the columns of one result are made from what DuckDB exports. `kinds` are DuckDB's types."""

    def __init__(self, schema: pa.Schema, kinds: Sequence[str]) -> None:
        self._made: dict[int, Callable[[pa.Array], pa.Array]] = {
            at: _MAKERS[kind] for at, kind in enumerate(kinds) if kind in _MAKERS
        }
        fields = list(schema)
        for at, kind in enumerate(kinds):
            if kind in _MAKERS:
                fields[at] = fields[at].with_type(_TYPES[kind])
        self.schema = pa.schema(fields) if self._made else schema

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch with the columns as they are meant."""
        if not self._made:
            return batch
        columns = [
            self._made[at](column) if at in self._made else column for at, column in enumerate(batch.columns)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def table(self, table: pa.Table) -> pa.Table:
        """All rows the same way."""
        if not self._made:
            return table
        return pa.Table.from_batches(map(self.batch, table.to_batches()), schema=self.schema)


def _uuids(texts: pa.Array) -> pa.Array:
    """Texts of 36 characters as arrow.uuid."""
    filled = texts.fill_null("0" * 36).cast(pa.binary())
    start = np.frombuffer(filled.buffers()[1], np.int32)[filled.offset]
    characters = np.frombuffer(filled.buffers()[2], np.uint8)[start : start + 36 * len(filled)]
    nibbles = _NIBBLES[characters.reshape(-1, 36)[:, _DIGITS]]
    values = (nibbles[:, 0::2] << 4 | nibbles[:, 1::2]).tobytes()
    valid = pa.array(texts.is_valid()).buffers()[1] if texts.null_count else None
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(texts), [valid, pa.py_buffer(values)])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _json(texts: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.json_(), texts)


def _unsigned(numbers: pa.Array) -> pa.Array:
    """128-bit numbers without a sign, of which those above 2**127 come as negative ones."""
    wide = numbers.cast(_UNSIGNED)
    wrong = pc.less(wide, pa.scalar(0, _UNSIGNED))
    if not pc.any(wrong).as_py():
        return wide
    values = [None if value is None else int(value) % 2**128 for value in numbers.to_pylist()]
    return pa.array(values, _UNSIGNED)


_UNSIGNED = pa.decimal256(39, 0)
_TYPES = {"UUID": pa.uuid(), "JSON": pa.json_(), "UHUGEINT": _UNSIGNED}
_MAKERS: dict[str, Callable[[pa.Array], pa.Array]] = {"UUID": _uuids, "JSON": _json, "UHUGEINT": _unsigned}
