"""`nextval('s')` and `currval('s')` in queries.

    nextval('s')     the next value of the sequence, for each row one; handed out once, whatever becomes of the
                     statement, and never again after a crash or a restore
    currval('s')     the last one that this session took with nextval

For a query that calls nextval DuckDB gets a temporary macro of that name, which calls a function of ours with
vectors of rows. Called by functions.py.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import pyarrow as pa

from absdb.engine.sequences import drawn
from absdb.errors import StateError, UnknownNameError
from absdb.sql.query.names import NamedEntity, find_entity
from absdb.sql.text.constants import constant_of
from absdb.sql.text.edits import Edit
from absdb.sql.text.parsed import Query
from absdb.sql.text.source import error_at
from absdb.sql.text.suggestion import suggestion
from absdb.sql.text.syntax import Call
from absdb.sql.text.tokens import literal, tokenize

if TYPE_CHECKING:
    from absdb.ids import DatabaseId
    from absdb.sql.query.rewrite import Rewriter

NAMES = ("nextval", "currval")
_FUNCTION = "absdb_nextval"
Drawn = dict[tuple[int, int], int]
"""(database, sequence) → the last value that a session took."""

_numbers = itertools.count(1)
_draws: WeakValueDictionary[int, Draws] = WeakValueDictionary()


class Draws:
    """The sequences that one statement takes values from, by the names that its text has for them."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.number = next(_numbers)
        self._engine = rewriter.moment.engine
        self._drawn = rewriter.drawn
        self._sequences: dict[str, tuple[DatabaseId, Any]] = {}
        _draws[self.number] = self

    def name(self, text: str, found: NamedEntity) -> str:
        """The name to write for a sequence: the one that is written, unless that means another one elsewhere."""
        wanted = (found.view.info.id, found.entity)
        name, number = text, 1
        while self._sequences.setdefault(name, wanted)[1] is not found.entity:
            number += 1
            name = f"{text} ({number})"
        return name

    def take(self, name: str, count: int) -> pa.Array:
        """The next values of a sequence."""
        database, definition = self._sequences[name]
        values = drawn(self._engine, database, definition, count)
        self._drawn[database, definition["id"]] = values[-1]
        return pa.array(values, pa.int64())


def edits(rewriter: Rewriter, query: Query, call: Call, start: int, stop: int) -> list[Edit]:
    """What a call of nextval or currval needs; `start` and `stop` are the place of its argument."""
    constant, text = constant_of(call.arguments[0]) if len(call.arguments) == 1 else (False, None)
    function = call.path[-1].casefold()
    if not constant or not isinstance(text, str):
        raise error_at(
            query.text, start, f"{function} takes the name of a sequence in quotes", hint="nextval('s')"
        )
    found = _sequence(rewriter, query, text, start)
    if function == "currval":
        value = rewriter.drawn.get((found.view.info.id, found.entity["id"]))
        if value is None:
            raise error_at(
                query.text,
                start,
                f"this session has not taken a value of {text!r} yet",
                hint="call nextval first",
            )
        rewriter.currents[text] = value
        return []
    rewriter.moment.engine.check_writable()
    if found.view.past is not None:
        raise StateError(
            f"this is database {found.view.info.name!r} as of {found.view.past}, whose sequences stand still",
            hint="take values in its newest state",
        )
    name = _draws_of(rewriter).name(text, found)
    return [] if name == text else [Edit(start, stop, literal(name))]


def _sequence(rewriter: Rewriter, query: Query, text: str, at: int) -> NamedEntity:
    path = tuple(token.value for token in tokenize(text) if token.is_name)
    found = find_entity(rewriter.moment, "sequence", path) if path else None
    if found is None:
        names = [each["name"] for each in rewriter.moment.current.catalog.named.get("sequence", {}).values()]
        hint = suggestion(path[-1] if path else text, names, "sequences")
        raise error_at(query.text, at, f"there is no sequence {text!r}", hint=hint, kind=UnknownNameError)
    return found


def _draws_of(rewriter: Rewriter) -> Draws:
    """Those of the statement; the first time, DuckDB is told of them."""
    if rewriter.draws is None:
        rewriter.draws = Draws(rewriter)
        rewriter.held.append(rewriter.draws)
        rewriter.backend.extend(_FUNCTION, _add_function)
        rewriter.setup.append(
            f"CREATE TEMP MACRO nextval(sequence) AS {_FUNCTION}({rewriter.draws.number}, sequence)"
        )
    return rewriter.draws


def currval_macro(currents: dict[str, int]) -> str:
    """The definition of currval for one statement."""
    cases = " ".join(f"WHEN {literal(name)} THEN {value}::BIGINT" for name, value in currents.items())
    return f"CREATE OR REPLACE TEMP MACRO currval(sequence) AS CASE sequence {cases} END"


def _add_function(connection: Any) -> None:
    def take(numbers: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.Array:
        return _draws[numbers[0].as_py()].take(names[0].as_py(), len(numbers))

    connection.create_function(
        _FUNCTION, take, ["BIGINT", "VARCHAR"], "BIGINT", type="arrow", side_effects=True
    )
