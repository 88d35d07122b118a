"""Text that rows are grouped by, together with other columns: DuckDB is told its values before it reads a row.

    FROM orders      FROM (SELECT "id", list_extract(['US', 'DE'], ~"country") AS "country" FROM "main.orders by value")

Of rows in Arrow, DuckDB knows nothing before it has read them. Of an element of a list of constants it knows the
longest and the least text it may be, so that it groups by small integers as it does in tables of its own; it would
hash and compare the strings of each row otherwise, which is what most of TPC-H query 1 took. For one column alone a
dictionary is faster, and so it is for a WHERE clause; what text is longer than LENGTH_MAX bytes gains nothing.

Called by rewrite.py.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.types as pt

from absdb.sql.text.tokens import literal, quoted

LENGTH_MAX = 15
"""What fits in DuckDB's largest integer, with its length."""
VALUES_MAX = 128
"""Codes up to here are the same numbers with a sign."""


def by_value(rows: pa.Table, names: Collection[str]) -> tuple[pa.Table, str]:
    """(the table with plain codes in columns of those names, casefolded, what to SELECT of it; "" if all as it is)."""
    items = [quoted(name) for name in rows.column_names]
    table = rows
    for at, field in enumerate(rows.schema):
        if field.name.casefold() not in names or not pt.is_dictionary(field.type):
            continue
        values = _values(rows.column(at))
        if values is None:
            continue
        codes = pa.chunked_array([chunk.indices.view(pa.int8()) for chunk in rows.column(at).chunks])
        table = table.set_column(at, field.with_type(codes.type), codes)
        # The complement of a code is the place counted from the end, for less than adding 1 takes.
        listed = ", ".join(map(literal, reversed(values)))
        items[at] = f"list_extract([{listed}], ~{items[at]}) AS {items[at]}"
    return table, "" if table is rows else ", ".join(items)


def _values(column: pa.ChunkedArray) -> list[str] | None:
    """The values by code, if they are the same in all chunks, and DuckDB gains by knowing them."""
    if not column.num_chunks:
        return None
    first = column.chunk(0).dictionary
    if not 0 < len(first) <= VALUES_MAX or not all(chunk.dictionary.equals(first) for chunk in column.chunks):
        return None
    values: list[str] = first.to_pylist()
    return values if all(len(text.encode()) <= LENGTH_MAX and "\0" not in text for text in values) else None
