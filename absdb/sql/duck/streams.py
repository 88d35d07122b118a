"""Rows that are made anew at every scan, as DuckDB reads them: listings that are larger than memory.

Called by listings/ and compare/.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from absdb.sql.duck.scan import readable


class RowStream:
    """A table for DuckDB whose rows come from `make`, batch by batch, in types that it reads."""

    def __init__(self, schema: pa.Schema, make: Callable[[], pa.RecordBatchReader]) -> None:
        self._make = make
        self.schema = readable(schema.empty_table()).schema

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        rows = self._make()
        if rows.schema != self.schema:
            plain = (batch for part in rows for batch in readable(pa.table(part)).to_batches())
            rows = pa.RecordBatchReader.from_batches(self.schema, plain)
        return rows.__arrow_c_stream__(requested_schema)
