"""absdb_query_diff(to, from, query [, key …] [, points]): two results of a query compared, as text of a query.

    FROM absdb_query_diff('staging', 'main', 'SELECT status, sum(total) AS total FROM orders GROUP BY 1', 'status')

`from_query` names another query for the second side. Called by rewrite.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absdb.errors import InvalidInputError
from absdb.sql.compare.query_diff import Side, compared_text, shape_of
from absdb.sql.listings.diff_listings import POINTS, two_points
from absdb.sql.listings.listings import named_arguments
from absdb.sql.query.table_calls import QUERY_DIFF

if TYPE_CHECKING:
    from absdb.sql.query.rewrite import Rewriter

_PARAMETERS = ("to", "from_", "query", "from_query", *POINTS, "key")


def called_text(rewriter: Rewriter, arguments: Mapping[str, Any]) -> str:
    """The query that a call stands for. Errors as `two_points` and `shape_of` raise them."""
    given = dict(arguments)
    names = [name for name in given if name[:3] == "arg" and name[3:].isdecimal()]
    keys = [given.pop(name) for name in names[3:]]
    named = named_arguments(QUERY_DIFF, _PARAMETERS, given)
    if keys:
        named["key"] = keys
    here = named.get("query")
    there = named.get("from_query", here)
    if not (isinstance(here, str) and isinstance(there, str)):
        raise InvalidInputError(
            "the third argument is a query", hint="such as 'SELECT id, total FROM orders'"
        )
    moment = rewriter.moment
    points = {name: named[name] for name in POINTS if name in named}
    target, source = two_points(moment, named.get("to"), named.get("from_"), points)
    old, new = Side(moment.at(source), there), Side(moment.at(target), here)
    shape = shape_of(rewriter, old, new, _key(named.get("key", [])))
    return compared_text(rewriter, old, new, shape)


def _key(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else [each for part in given for each in _key_part(part)]
    if not all(isinstance(name, str) for name in names):
        raise InvalidInputError(
            "the key names columns of the query", hint="such as 'id', or ['year', 'month']"
        )
    return names


def _key_part(part: Any) -> list[Any]:
    return list(part) if isinstance(part, list | tuple) else [part]
