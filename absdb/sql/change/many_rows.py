"""One statement for many rows of parameters, as a whole or not at all.

    INSERT INTO t (a, b) VALUES (?, lower(?))     INSERT INTO t (a, b) SELECT p1, lower(p2) FROM "absdb parameters"

An INSERT of one row of VALUES becomes one of a query over the parameters, which are brought to Arrow a column at a
time. Every other statement, and parameters that have no one type, are run row by row in one transaction. Called by
the drivers for executemany().
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.errors import InvalidInputError, QueryError
from absdb.sql.change.insert import plan_of
from absdb.sql.change.insert_plan import InsertPlan
from absdb.sql.dispatch import verb_of
from absdb.sql.duck.duck_errors import placed_back
from absdb.sql.query.result import Result
from absdb.sql.text.assembly import Assembled, Piece, Span
from absdb.sql.text.parameters import Values, bind
from absdb.sql.text.parsed import Statement
from absdb.sql.text.tokens import Kind, quoted, statements_of

if TYPE_CHECKING:
    from absdb.sql.session import Session

_PARAMETERS = "absdb parameters"
TOGETHER_MIN = 4
"""From how many rows on it pays to bring them to Arrow."""
_CHANGING = ("INSERT", "UPDATE", "DELETE", "MERGE")


def execute_many(session: Session, text: str, rows: Sequence[Values]) -> int:
    """Run the statement once for each row of parameters; how many rows of tables that changed.

    InvalidInputError for a statement that changes no rows, or gives some back. If one row fails, nothing is changed.
    """
    session.check_open()
    with session.stop.heeded():
        return _execute_many(session, text, rows)


def _execute_many(session: Session, text: str, rows: Sequence[Values]) -> int:
    statements = statements_of(text)
    if len(statements) != 1:
        raise InvalidInputError(f"many rows go with one statement, and the text has {len(statements)}")
    written = statements[0]
    statement = session.backend.kept.get(Statement, written, lambda: Statement.read(written))
    if verb_of(statement) not in _CHANGING:
        raise InvalidInputError(
            f"{verb_of(statement)} changes no rows, so it cannot be run for many",
            hint="execute() runs a statement once",
        )
    if not rows:
        return 0
    if verb_of(statement) == "INSERT" and len(rows) >= TOGETHER_MIN:
        plan = plan_of(session.backend.kept.get, statement)
        together = _together(statement, plan)
        columns = None if together is None else _columns(statement.parameters, rows)
        if together is not None and columns is not None:
            return _insert(session, statement, together, columns)
    return _one_by_one(session, written, rows)


def _together(statement: Statement, plan: InsertPlan) -> Assembled | None:
    """The INSERT as one of a query over the parameters; None if there is no such thing."""
    if plan.rows is None or len(plan.rows) != 1 or plan.returning is not None:
        return None
    if plan.conflict is not None and (plan.conflict.assignments or plan.conflict.replace):
        return None  # a later row may change what an earlier one has written
    cells = plan.rows[0]
    given = [at for at, cell in enumerate(cells) if cell.kind != "default"]
    if not given or (len(given) < len(cells) and plan.columns is None):
        return None
    if plan.columns is not None and len(plan.columns) != len(cells):
        return None
    pieces: list[Piece] = [Span(0, plan.target.stop)]
    if plan.columns is not None:
        pieces.append(f" ({', '.join(quoted(plan.columns[at][0]) for at in given)})")
    pieces.append(" SELECT ")
    for number, at in enumerate(given):
        pieces += [", " if number else "", *_expression(statement, cells[at].span), f' AS "c{number}"']
    pieces.append(f' FROM "{_PARAMETERS}"')
    if plan.conflict is not None and plan.conflict.at > plan.target.stop:
        pieces += [" ", Span(plan.conflict.at, statement.tokens[-2].stop)]
    return Assembled(statement.text, pieces)


def _expression(statement: Statement, span: Span) -> list[Piece]:
    """A value of the row, with columns in the place of parameters."""
    pieces: list[Piece] = []
    start = span.start
    for token in statement.tokens:
        if token.kind is Kind.PARAMETER and span.start <= token.start < span.stop:
            pieces += [Span(start, token.start), f'"{_PARAMETERS}".{quoted(token.value)}']
            start = token.stop
    return [piece for piece in (*pieces, Span(start, span.stop)) if piece != Span(start, start)]


def _columns(names: Sequence[str], rows: Sequence[Values]) -> pa.Table | None:
    """The parameters as a table with a column for each; None if one of them has no one scalar type.

    InvalidInputError for a row with too few or too many.
    """
    if not names:
        return None
    first = bind(names, rows[0])
    if isinstance(rows[0], Mapping):
        if any(not isinstance(row, Mapping) or row.keys() != rows[0].keys() for row in rows):
            return None
        values = {key.removeprefix("$"): [row[key] for row in rows] for key in rows[0]}  # type: ignore[index,call-overload]  # every row is a mapping
    else:
        try:
            values = dict(zip(first, map(list, zip(*rows, strict=True)), strict=True))
        except (TypeError, ValueError):
            return None  # row by row, the one that does not fit is found
    arrays = {}
    for name in names:
        array = _array(values[name])
        if array is None:
            return None
        arrays[name] = array
    return pa.table(arrays)


def _array(values: list[Any]) -> pa.Array | None:
    """The values in the type that DuckDB would give each of them; None if they are of several, or nested."""
    kinds = {kind for kind in set(map(type, values)) if kind.__name__ not in ("NoneType", "NaTType")}
    if len(kinds) > 1:
        return None
    if kinds and next(iter(kinds)).__name__ == "UUID":
        values = [None if value is None else str(value) for value in values]
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None  # a value that Arrow does not know, or of no common type: one by one DuckDB may take it
    return None if pa.types.is_nested(array.type) else array


def _insert(session: Session, statement: Statement, together: Assembled, parameters: pa.Table) -> int:
    try:
        frames = {_PARAMETERS: parameters}.get
        with session.sql(together.text, frames=frames) as result:
            return result.rowcount
    except QueryError as error:
        raise placed_back(error, together.text, [statement.named, together]) from error


def _one_by_one(session: Session, text: str, rows: Sequence[Values]) -> int:
    transaction = session.transaction
    if transaction is not None:
        with transaction.tx.atomic():
            return _each(session, text, rows)
    if not session.scope.writable:
        return _each(session, text, rows)  # the first one says why not
    session.begin()
    try:
        count = _each(session, text, rows)
    except BaseException:
        session.rollback()
        raise
    session.commit()
    return count


def _each(session: Session, text: str, rows: Sequence[Values]) -> int:
    count = 0
    for row in rows:
        with session.sql(text, row) as result:
            _refuse_rows(result)
            count += result.rowcount
    return count


def _refuse_rows(result: Result) -> None:
    if not result.is_count:
        raise InvalidInputError(
            "the statement gives rows back, which many rows of parameters have no place for",
            hint="leave out RETURNING, or run it row by row with execute()",
        )
