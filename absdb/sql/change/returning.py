"""What a statement that changes rows gives back: RETURNING's expressions over the rows, or their number.

Called by insert.py, update.py, delete.py and merge_into.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.sql.change.target import TargetRef
from absdb.sql.duck.scan import readable
from absdb.sql.query.prepared import StandIn
from absdb.sql.query.result import Result
from absdb.sql.text.assembly import Assembled, Span
from absdb.sql.text.tokens import literal, quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.sql.text.cursor import TokenCursor
    from absdb.versioning.scope import Scope

_CHANGED = "@changed"
_ROWS = "@rows"


def read_returning(cursor: TokenCursor) -> Span | None:
    """`RETURNING …` to the end of the statement, where it must end."""
    if not cursor.accept("RETURNING"):
        cursor.end()
        return None
    if cursor.done:
        cursor.refuse("an expression")
    return Span(cursor.token.start, cursor.tokens[-2].stop)


def counted(rows: int, statement: str) -> Result:
    """The number of rows changed, as DuckDB gives it."""
    table = pa.table({"Count": pa.array([rows], pa.int64())})
    return Result(table=table, rowcount=rows, statement=statement, is_count=True)


def returned(
    call: Call, scope: Scope, listed: Span, target: TargetRef, rows: pa.Table, statement: str
) -> Result:
    """RETURNING's expressions over the rows that were changed."""
    named = f" AS {quoted(target.alias)}" if target.alias else ""
    text = Assembled(call.text, ["SELECT ", listed, f'\nFROM "{_CHANGED}"{named}'])
    given = {_CHANGED: StandIn(readable(rows), target.path)}
    found = call.table(text.text, scope=scope, given=given, edits=[text])
    return Result(table=found, rowcount=rows.num_rows, statement=statement)


def returned_by_action(
    call: Call,
    scope: Scope,
    listed: Span,
    target: TargetRef,
    changed: Sequence[tuple[str, pa.Table]],
    statement: str,
) -> Result:
    """The same for rows that have been changed in several ways; `merge_action` says how, and `*` leaves it out."""
    named = f" AS {quoted(target.alias)}" if target.alias else ""
    tables = []
    for action, rows in changed:
        how = f'(SELECT {literal(action)} AS merge_action) AS "@action"'
        before = f'SELECT "{_ROWS}".* FROM {how}, LATERAL (SELECT '
        text = Assembled(call.text, [before, listed, f'\nFROM "{_CHANGED}"{named}) AS "{_ROWS}"'])
        given = {_CHANGED: StandIn(readable(rows), target.path)}
        tables.append(call.table(text.text, scope=scope, given=given, edits=[text]))
    total = sum(rows.num_rows for _, rows in changed)
    return Result(table=pa.concat_tables(tables), rowcount=total, statement=statement)
