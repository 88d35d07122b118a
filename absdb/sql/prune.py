"""Rows of a table that a query's WHERE clause leaves over, by key, found before DuckDB sees the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from absdb.engine.reader import TableReader
from absdb.sql.names import NamedTable
from absdb.sql.syntax import TableRef


def selected(
    reader: TableReader,
    ref: TableRef,
    named: Mapping[int, NamedTable],
    values: Mapping[str, Any],
    columns: Sequence[str] | None,
) -> pa.Table | None:
    """A part of the table that has every row the query can use; None if that may be all of it."""
    return None
