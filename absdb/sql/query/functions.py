"""Functions of ours in queries: what they stand for is put in their place before DuckDB sees the text.

    absdb_current_lsn()          the LSN the statement sees, as text
    absdb_last_checkpoint_lsn()  that of the last checkpoint
    current_database()           the session's database
    current_schema()             its schema
    getvariable('name')          what SET VARIABLE has set
    absdb_create_restore_point('name')   see restore_points.py
    nextval('s'), currval('s')   see sequence_values.py

Macros see macros.py. Called by rewrite.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absdb.ids import Lsn
from absdb.sql.query import macros, restore_points, sequence_values
from absdb.sql.query.evaluate import evaluate
from absdb.sql.text.calls import arguments_of
from absdb.sql.text.edits import Edit
from absdb.sql.text.parsed import Query
from absdb.sql.text.source import error_at
from absdb.sql.text.syntax import Call
from absdb.sql.text.tokens import literal, quoted

if TYPE_CHECKING:
    from absdb.sql.query.names import Moment
    from absdb.sql.query.rewrite import Rewriter

_CONSTANTS: dict[str, Callable[[Moment], str]] = {
    "absdb_current_lsn": lambda moment: literal(str(Lsn(moment.lsn))),
    "absdb_last_checkpoint_lsn": lambda moment: literal(str(Lsn(moment.engine.control.checkpoint_lsn))),
    "current_database": lambda moment: literal(moment.current.info.name),
    "current_schema": lambda moment: literal(moment.namespace),
}


def edits(rewriter: Rewriter, query: Query) -> list[Edit]:
    """The replacements of all calls of ours."""
    found = []
    for call in query.syntax.calls:
        name = call.path[-1].casefold()
        if name in sequence_values.NAMES and len(call.path) == 1:
            found += _on_sequence(rewriter, query, call)
            continue
        if name == restore_points.NAME and len(call.path) == 1:
            found += restore_points.edits(rewriter, query, call)
            continue
        if name != "getvariable" and name not in _CONSTANTS:
            found += macros.edits(rewriter, query, call, table=False)
            continue
        start, stop, given = arguments_of(query, call)
        if name == "getvariable":
            value = _variable(rewriter, query, call)
        elif given:
            raise error_at(query.text, start, f"{call.path[-1]}() takes no arguments")
        else:
            value = _CONSTANTS[name](rewriter.moment)
        alias = f" AS {quoted(query.text[start:stop].casefold())}" if call.names_column else ""
        found.append(Edit(start, stop, value + alias))
    for call in query.syntax.table_calls:
        found += macros.edits(rewriter, query, call, table=True)
    return found


def is_ours(name: str) -> bool:
    """Whether a function of this name is one of absdb, so that no macro can have it."""
    name = name.casefold()
    return name in (*_CONSTANTS, "getvariable") or name in sequence_values.NAMES or name.startswith("absdb_")


def _on_sequence(rewriter: Rewriter, query: Query, call: Call) -> list[Edit]:
    start, stop, spans = arguments_of(query, call)
    _, first, last = spans[0] if spans else ("", start, stop)
    return sequence_values.edits(rewriter, query, call, first, last)


def _variable(rewriter: Rewriter, query: Query, call: Call) -> str:
    """The value of a variable, which is NULL if nobody has set it."""
    _, _, values = arguments(rewriter, query, call)
    name = str(values.get("arg0", "")).casefold()
    kept = rewriter.variables.get(name)
    if kept is None:
        return "NULL"
    return f"(SELECT value FROM {rewriter.register(f'variable {name}', kept)})"


def arguments(rewriter: Rewriter, query: Query, call: Call) -> tuple[int, int, dict[str, Any]]:
    """(start, stop, values by name or `argN`) of a call whose arguments do not depend on rows."""
    start, stop, spans = arguments_of(query, call)
    values = {}
    for number, (name, first, last) in enumerate(spans):
        values[name or f"arg{number}"] = evaluate(rewriter, query.text, first, last)
    return start, stop, values
