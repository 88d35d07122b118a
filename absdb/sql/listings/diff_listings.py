"""Table functions about what changed: differences of two states, and the versions of one row.

    absdb_branch_diff(to, from [, points])      table_name, operation, row_count
    absdb_diff(to, from, table [, points])      diff_type, key, from_x, to_x, changed; streamed
    absdb_schema_diff(to, from [, points])      table_name, kind, item, change, from_value, to_value
    absdb_history(table, key)                   lsn, time, author, message, operation, then the columns

`absdb_diff('staging', 'main', …)` is what staging has that main has not: `staging.diff(main)`. Points are named
`to_lsn`, `to_time`, `to_snapshot` for the first database and `from_lsn`, … for the second. What one commit changed:
`absdb_diff_summary('main', commit => '0/900')`, `absdb_diff('main', 'orders', commit => '0/900')`. Called by
listings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.engine.get import key_of
from absdb.errors import InvalidInputError, NotFoundError
from absdb.sql.duck.scan import readable
from absdb.sql.query.names import Moment, NamedTable, alike, suggestion
from absdb.sql.query.points import point_of
from absdb.versioning.commit_diff import commit_diff
from absdb.versioning.diff import Diff
from absdb.versioning.diff_rows import diff_rows, rows_schema
from absdb.versioning.listing import schema_changes
from absdb.versioning.row_history import row_history
from absdb.versioning.table_diff import TableDiff


class DiffStream:
    """The rows of a table's diff, computed anew at every scan, with memory bounded."""

    def __init__(self, diff: TableDiff) -> None:
        self._diff = diff
        self._schema = readable(rows_schema(diff).empty_table()).schema

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        rows = diff_rows(self._diff)
        if rows.schema != self._schema:
            plain = (batch for part in rows for batch in readable(pa.table(part)).to_batches())
            rows = pa.RecordBatchReader.from_batches(self._schema, plain)
        return rows.__arrow_c_stream__(requested_schema)


def _diff(moment: Moment, to: Any = None, from_: Any = None, commit: Any = None, **points: Any) -> Diff:
    """The difference; a database left out is an error, so that nobody compares what was not meant."""
    if commit is not None:
        if from_ is not None or points:
            raise InvalidInputError("a commit has a state before it and one after, and no other points")
        return commit_diff(moment.engine, point_of(moment, to), commit)
    if to is None or from_ is None:
        raise InvalidInputError(
            "two databases are compared", hint="such as 'staging', 'main': what staging has that main has not"
        )
    sides = []
    for prefix, name in (("to_", to), ("from_", from_)):
        named = {key: value for key, value in points.items() if key.startswith(prefix)}
        sides.append(point_of(moment, name, prefix, **named))
    return Diff(moment.engine, target=sides[0], source=sides[1])


def _summary(moment: Moment, **arguments: Any) -> pa.Table:
    return _diff(moment, **arguments).summary()


def _schema(moment: Moment, **arguments: Any) -> pa.Table:
    return schema_changes(_diff(moment, **arguments).schema())


def _rows(moment: Moment, table: Any = None, **arguments: Any) -> DiffStream:
    if arguments.get("commit") is not None and table is None:
        table = arguments.pop("from_", None)
    diff = _diff(moment, **arguments)
    if not isinstance(table, str):
        raise InvalidInputError("the third argument names a table", hint="such as 'orders'")
    names = diff.common_names()
    name = alike({each: each for each in names}, table)
    if name is None:
        hint = suggestion(table, names, "there are")
        raise NotFoundError(f"there is no table {table!r} on both sides", hint=hint, table=table)
    return DiffStream(diff.table(name))


def history(moment: Moment, table: Any = None, key: Any = None) -> pa.Table:
    """Every version one row has had in the current database, oldest first; `table` may be qualified."""
    if not isinstance(table, str) or key is None:
        raise InvalidInputError("a table and a key are needed", hint="such as absdb_history('orders', 101)")
    path = tuple(table.split("."))
    found = moment.find(path)
    if not isinstance(found, NamedTable):
        raise moment.missing(path)
    point = point_of(moment, found.view.info.name)
    given = tuple(key.values()) if isinstance(key, dict) else tuple(key) if isinstance(key, list) else key
    return row_history(moment.engine, found.schema, point.lineage, key_of(found.schema, given))


_POINTS = (
    "commit",
    *(f"{side}_{unit}" for side in ("to", "from") for unit in ("lsn", "time", "snapshot")),
)
DIFFS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "absdb_branch_diff": (_summary, ("to", "from_", *_POINTS)),
    "absdb_diff_summary": (_summary, ("to", "from_", *_POINTS)),
    "absdb_schema_diff": (_schema, ("to", "from_", *_POINTS)),
    "absdb_diff": (_rows, ("to", "from_", "table", *_POINTS)),
}
