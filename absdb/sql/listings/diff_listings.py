"""Table functions about what changed: differences of two states, and the versions of one row.

    absdb_branch_diff(to, from [, points])      table_name, operation, row_count
    absdb_diff_summary(to, from [, points])     the same with cell_count
    absdb_diff(to, from, table [, options and points])
                                                diff_type, key, from_x, to_x, changed; streamed
    absdb_schema_diff(to, from [, points])      table_name, kind, item, change, from_value, to_value
    absdb_history(table, key)                   lsn, time, author, message, operation, then the columns

`absdb_diff('staging', 'main', …)` is what staging has that main has not: `staging.diff(main)`. Points are named
`to_lsn`, `to_time`, `to_snapshot` for the first database and `from_lsn`, … for the second. What one commit changed:
`absdb_diff_summary('main', commit => '0/900')`, `absdb_diff('main', 'orders', commit => '0/900')`. The options of
`absdb_diff` are those of `TableDiff.where`: `kinds`, `columns`, `ignore`, `tolerance`, `relative_tolerance`; WHERE and
LIMIT do the rest. `by_content` compares rows by content with counts. Called by listings.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from absdb.engine.get import key_of
from absdb.errors import InvalidInputError, NotFoundError
from absdb.sql.duck.streams import RowStream
from absdb.sql.query.names import Moment, NamedTable, alike
from absdb.sql.query.points import point_of
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.as_of import Point
from absdb.versioning.commit_diff import commit_diff
from absdb.versioning.diff import Diff
from absdb.versioning.diff_choice import check_columns, choice
from absdb.versioning.diff_source import TableSource, wanted_rows
from absdb.versioning.listing import schema_changes
from absdb.versioning.row_history import row_history


def _diff(moment: Moment, to: Any = None, from_: Any = None, commit: Any = None, **points: Any) -> Diff:
    if commit is not None:
        if from_ is not None or points:
            raise InvalidInputError("a commit has a state before it and one after, and no other points")
        return commit_diff(moment.engine, point_of(moment, to), commit)
    target, source = two_points(moment, to, from_, points)
    return Diff(moment.engine, target=target, source=source)


def two_points(moment: Moment, to: Any, from_: Any, points: Mapping[str, Any]) -> tuple[Point, Point]:
    """The points to compare; a database left out is an error, so that nobody compares what was not meant."""
    if to is None or from_ is None:
        raise InvalidInputError(
            "two databases are compared", hint="such as 'staging', 'main': what staging has that main has not"
        )
    sides = []
    for prefix, name in (("to_", to), ("from_", from_)):
        named = {key: value for key, value in points.items() if key.startswith(prefix)}
        sides.append(point_of(moment, name, prefix, **named))
    return sides[0], sides[1]


def _branch_diff(moment: Moment, **arguments: Any) -> pa.Table:
    return _diff(moment, **arguments).summary()


def _summary(moment: Moment, **arguments: Any) -> pa.Table:
    return _diff(moment, **arguments).summary(cells=True)


def _schema(moment: Moment, **arguments: Any) -> pa.Table:
    return schema_changes(_diff(moment, **arguments).schema())


def _rows(
    moment: Moment,
    table: Any = None,
    kinds: Any = None,
    columns: Any = None,
    ignore: Any = None,
    tolerance: Any = None,
    relative_tolerance: Any = None,
    by_content: Any = None,
    **arguments: Any,
) -> RowStream:
    if arguments.get("commit") is not None and table is None:
        table = arguments.pop("from_", None)
    diff = _diff(moment, **arguments)
    if not isinstance(table, str):
        raise InvalidInputError("the third argument names a table", hint="such as 'orders'")
    if by_content:
        return _content(diff, table, ignore, (kinds, columns, tolerance, relative_tolerance))
    names = diff.common_names()
    name = alike({each: each for each in names}, table)
    if name is None:
        hint = suggestion(table, names, "there are")
        raise NotFoundError(f"there is no table {table!r} on both sides", hint=hint, table=table)
    wanted = choice(
        kinds=kinds,
        columns=columns,
        ignore=ignore,
        tolerance=_number(tolerance),
        relative_tolerance=_number(relative_tolerance),
    )
    source = TableSource(diff.table(name))
    check_columns(wanted, source.compared(), name)
    evaluator = moment.engine.evaluator
    return RowStream(source.schema(wanted.ignore), lambda: wanted_rows(source, wanted, evaluator))


def _content(diff: Diff, table: str, ignore: Any, others: tuple[Any, ...]) -> RowStream:
    from absdb.sql.compare.content import content_of

    if any(option is not None for option in others):
        raise InvalidInputError("by content only ignore applies", hint="filter the rows with WHERE")
    name = alike({each: each for each in diff.target_names()}, table) or table
    found = content_of(diff, name, choice(ignore=ignore).ignore)
    return RowStream(found.schema(), found.rows)


def _number(value: Any) -> Any:
    """A number as Python has it: `0.5` in SQL is a decimal."""
    return float(value) if isinstance(value, Decimal) else value


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


POINTS = tuple(f"{side}_{unit}" for side in ("to", "from") for unit in ("lsn", "time", "snapshot"))
_STATES = ("commit", *POINTS)
_OPTIONS = ("kinds", "columns", "ignore", "tolerance", "relative_tolerance", "by_content")
DIFFS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "absdb_branch_diff": (_branch_diff, ("to", "from_", *_STATES)),
    "absdb_diff_summary": (_summary, ("to", "from_", *_STATES)),
    "absdb_schema_diff": (_schema, ("to", "from_", *_STATES)),
    "absdb_diff": (_rows, ("to", "from_", "table", *_OPTIONS, *_STATES)),
}
