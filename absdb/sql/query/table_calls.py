"""Calls that stand for a table: listings of ours with arguments, and texts that are queries themselves.

    FROM absdb_diff('staging', 'main', 'orders')     FROM "absdb_diff" AS …         rows made now, registered
    FROM query('FROM orders')                        FROM (FROM "orders") AS query  the query of the text

Called by rewrite.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.errors import AbsdbError
from absdb.sql.listings import listings
from absdb.sql.query.functions import arguments
from absdb.sql.query.own_files import query_of
from absdb.sql.text.edits import Edit
from absdb.sql.text.parsed import Query
from absdb.sql.text.source import error_at
from absdb.sql.text.syntax import Call
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.query.rewrite import Rewriter

QUERY_DIFF = "absdb_query_diff"
_QUERIES = ("query", "query_table", QUERY_DIFF)


def edits(rewriter: Rewriter, query: Query) -> list[Edit]:
    """What takes the place of each such call; their arguments must not depend on rows."""
    found = []
    for call in query.syntax.table_calls:
        if len(call.path) == 1 and call.path[0].casefold() in _QUERIES:
            found.append(_queried(rewriter, query, call))
            continue
        made = listings.function(call.path)
        if made is None:
            continue
        start, stop, given = arguments(rewriter, query, call)
        try:
            rows = made(rewriter.moment, **given)
        except TypeError as error:
            raise error_at(query.text, start, f"{call.path[-1]}: {error}") from error
        except AbsdbError as error:
            raise error_at(query.text, start, error.message, hint=error.hint) from error
        name = rewriter.register(call.path[-1], rows)
        alias = "" if call.alias else f" AS {quoted(call.path[-1])}"
        found.append(Edit(start, stop, name + alias))
    return found


def _queried(rewriter: Rewriter, query: Query, call: Call) -> Edit:
    """`query('…')`, `query_table(…)`, `absdb_query_diff(…)`: the query that the text stands for."""
    start, stop, given = arguments(rewriter, query, call)
    name = call.path[0].casefold()
    try:
        if name == QUERY_DIFF:
            from absdb.sql.compare.called import called_text

            text = f"({called_text(rewriter, given)})"
        else:
            text = rewriter.nested_text(query_of(name, given))
    except AbsdbError as error:
        said = error.message.split("\n")[0]
        raise error_at(query.text, start, f"in {call.path[0]}(): {said}", hint=error.hint) from error
    return Edit(start, stop, text if call.alias else f"{text} AS {quoted(call.path[0])}")
