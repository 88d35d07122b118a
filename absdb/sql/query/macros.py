"""Macros in queries: those that a query calls are made for it in DuckDB, and gone after it.

    SELECT with_tax(total) FROM orders    CREATE TEMP MACRO with_tax(x) AS (x * 1.2)
    FROM staging.large(100)               CREATE TEMP MACRO "large"(n) AS TABLE SELECT … FROM "staging.main.orders" …

A macro is kept as text, and its names mean what they mean in its own database and schema, at the point at which it
is called. Called by functions.py and rewrite.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absdb.errors import AbsdbError, QueryError
from absdb.sql.query.names import NamedEntity, find_entity
from absdb.sql.text.calls import arguments_of
from absdb.sql.text.edits import Edit
from absdb.sql.text.parsed import Query
from absdb.sql.text.syntax import Call
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.query.rewrite import Rewriter

_SELECT, _END = "SELECT (", "\n)"


def overloads(entity: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The definitions of a macro, for different numbers of parameters: `table`, `parameters`, `body`."""
    return [entity, *entity.get("overloads", ())]


def edits(rewriter: Rewriter, query: Query, call: Call, table: bool) -> list[Edit]:
    """What a call needs, if it is one of a macro of ours."""
    found = find_entity(rewriter.moment, "macro", call.path)
    chained = found is None and len(call.path) == 2
    if chained:  # column.macro(), which DuckDB finds by its plain name
        found = find_entity(rewriter.moment, "macro", call.path[1:])
    if found is None or bool(found.entity["table"]) != table:
        return []
    name = name_of(rewriter, found)
    start, stop, _ = arguments_of(query, call)
    made = []
    if table and not call.alias:
        made.append(Edit(stop, stop, f" AS {quoted(call.path[-1])}"))
    if name.casefold() != call.path[-1].casefold() or not (chained or len(call.path) == 1):
        last = query.tokens[query.starts[start] + 2 * len(call.path) - 2]
        made.append(Edit(start, last.stop, quoted(name)))
    return made


def name_of(rewriter: Rewriter, found: NamedEntity) -> str:
    """The name under which DuckDB knows the macro in this query; it is made if it is not there yet."""
    key = (found.view.label, found.entity["id"])
    known = rewriter.macros.get(key)
    if known is not None:
        if not known:
            raise QueryError(f"macro {found.entity['name']!r} calls itself")
        return known
    rewriter.macros[key] = ""  # being made
    try:
        definitions = [_definition(rewriter, found, each) for each in overloads(found.entity)]
    except AbsdbError as error:
        if "macro" in error.facts:
            raise
        name = found.entity["name"]
        raise QueryError(f"in macro {name!r}: {error.message}", hint=error.hint, macro=name) from error
    taken = {name.casefold() for name in rewriter.macros.values()}
    name, number = found.entity["name"], 1
    while name.casefold() in taken:
        number += 1
        name = f"{found.entity['name']} ({number})"
    rewriter.macros[key] = name
    rewriter.setup.append(f"CREATE TEMP MACRO {quoted(name)}{', '.join(definitions)}")
    return name


def _definition(rewriter: Rewriter, found: NamedEntity, overload: Mapping[str, Any]) -> str:
    """`(parameters) AS body`, with the names in the body replaced."""
    with rewriter.inside(found.view, found.entity["namespace"]):
        if overload["table"]:
            body = f"TABLE {rewriter.query(overload['body']).text}"
        else:
            text = rewriter.query(f"{_SELECT}{overload['body']}{_END}").text
            body = f"({text[len(_SELECT) : -len(_END)]}\n)"
    return f"({overload['parameters']}) AS {body}"
