"""MERGE DATABASE: what another database, or a state of it, has beyond the merge base comes into one.

    MERGE DATABASE source [AS OF LSN '…' | TIMESTAMP '…' | SNAPSHOT 'x'] INTO target [DRY RUN] [SQUASH]
        [ON CONFLICT FAIL | STRICT | OURS | THEIRS] [RESOLVE WITH (query)] [MESSAGE 'text'] [AUTHOR 'name']

Gives a row for each table and operation: table_name, operation (added, modified, removed, schema, …), row_count;
with DRY RUN also operation conflict, violation and failed check. The query of RESOLVE WITH gives what absdb_conflicts
lists, with `resolution` filled in. Called by dispatch.py.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.sql.checks import checks_for
from absdb.sql.define.database_target import read_as_of, read_database, refuse_in_transaction
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.versioning.merge import Merged, merge
from absdb.versioning.merge_states import CHOICES, Rules
from absdb.versioning.resolutions import Resolutions

if TYPE_CHECKING:
    from absdb.sql.session import Call

SUMMARY = pa.schema([("table_name", pa.string()), ("operation", pa.string()), ("row_count", pa.int64())])


def execute(call: Call) -> Result:
    """Merge, or tell what a merge would do."""
    refuse_in_transaction(call, "MERGE DATABASE")
    cursor = TokenCursor(call.statement)
    cursor.expect("MERGE", "DATABASE")
    source = read_as_of(call, cursor, read_database(call, cursor))
    cursor.expect("INTO")
    target = read_database(call, cursor)
    dry_run, squash = cursor.accept("DRY", "RUN"), cursor.accept("SQUASH")
    choice = cursor.expect_one(tuple(map(str.upper, CHOICES))) if cursor.accept("ON", "CONFLICT") else "FAIL"
    resolutions = _resolutions(call, cursor.brackets()) if cursor.accept("RESOLVE", "WITH") else None
    message = cursor.string() if cursor.accept("MESSAGE") else ""
    author = cursor.string() if cursor.accept("AUTHOR") else None
    cursor.end()
    engine = call.session.engine
    found = merge(
        engine,
        target,
        source,
        rules=Rules(choice.lower(), Resolutions(resolutions)),
        dry_run=dry_run,
        squash=squash,
        message=message,
        author=author,
        checks=checks_for(engine),
    )
    return Result(table=_told(found), statement="MERGE DATABASE")


def _resolutions(call: Call, query: str) -> dict[str, list[Any]]:
    """What a query gives, with keys and values read as the JSON in which absdb_conflicts shows them."""
    columns = call.session.sql(query).to_arrow().to_pydict()
    for name in ("key", "resolved_value"):
        if name in columns:
            columns[name] = [_from_json(value) for value in columns[name]]
    return columns


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"{value!r} is not JSON, as keys and values of conflicts are", hint="write texts as '\"text\"'"
        ) from error


def _told(found: Merged) -> pa.Table:
    rows = list(found.summary)
    conflicts = Counter(found.conflicts.columns["table_name"])
    rows += [(table, "conflict", count) for table, count in sorted(conflicts.items())]
    violations = Counter(str(error.facts.get("table") or "") for error in found.violations)
    rows += [(table, "violation", count) for table, count in sorted(violations.items())]
    if found.failed_checks is not None:
        rows += [("", f"failed check {name}", 1) for name in found.failed_checks.facts["checks"]]
    columns = zip(*rows, strict=True) if rows else [()] * len(SUMMARY)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SUMMARY, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SUMMARY)
