"""`%%absdb`, `%%sql` and `%sql`: SQL run on the current database, another one, or a state of the past.

A query gives a pandas frame (`--arrow`, `--polars`), which the cell shows as pandas does; other statements show what
their Result says. Frames of the notebook are tables, and its variables parameters. Called by commands.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from IPython.core.interactiveshell import InteractiveShell

from absdb.errors import InvalidInputError, QueryError, StateError
from absdb.magics.attached import Attached, Attachments
from absdb.magics.options import Binding, Given, binding, leading, valued
from absdb.magics.variables import bound, in_quotes
from absdb.sql.duck.duck_errors import placed_back
from absdb.sql.query.frames import frames_in
from absdb.sql.query.result import Result
from absdb.sql.session import Session
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.tokens import Kind, statements_of, tokenize
from absdb.versioning.point_named import point_named
from absdb.versioning.scope import HeadScope, PastScope, Scope

FORMS = ("pandas", "arrow", "polars")
OPTIONS = {"database": True, "at": True, **dict.fromkeys(FORMS, False)}


def run(
    shell: InteractiveShell, attachments: Attachments, line: str, cell: str | None, local: Mapping[str, Any]
) -> Any:
    """Run the SQL of a line, or of a line and the cell below it; the value of the last statement.

    None if it was bound to a name. QueryError points at the place in the cell.
    """
    asked = request(line, cell)
    form = _form(asked.given)
    variables = {**shell.user_ns, **local}
    with _session(attachments.current(), valued(asked.given, variables)) as session:
        value = _value(session, asked.text, asked.start, variables, form)
    if asked.name is None:
        return value
    shell.push({asked.name.name: value})
    return value if asked.name.shown else None


class Request(NamedTuple):
    """What a magic is asked for: `text[start:]` is the SQL."""

    given: Given
    name: Binding | None
    text: str
    start: int


def request(line: str, cell: str | None) -> Request:
    """Take a line and the cell below it apart. Options stand before the SQL, and on both sides of `name <<`."""
    given, rest = leading(line, OPTIONS)
    name = binding(rest) if cell is not None else None
    if name is not None:
        more, rest = leading(rest[name.stop :], OPTIONS)
        given |= more
    text = rest if cell is None else f"{rest}\n{cell}" if rest.strip() else cell
    if name is not None:
        return Request(given, name, text, 0)
    name = binding(text)
    return Request(given, name, text, name.stop if name else 0)


@contextmanager
def _session(attached: Attached, given: Mapping[str, Any]) -> Iterator[Session]:
    """Where the statements run: the session of the instance, or one for this cell alone."""
    instance = attached.instance
    if instance.read_only and not instance.closed:
        instance.refresh()
    if not given.get("database") and not given.get("at"):
        yield attached.session
        return
    with Session(scope_named(attached, given)) as session:
        yield session
        if session.in_transaction:
            raise StateError(
                "the cell begins a transaction and does not end it, so it was rolled back",
                hint="add COMMIT; without --database and --at a transaction lasts over cells",
            )


def scope_named(attached: Attached, given: Mapping[str, Any]) -> Scope:
    """The state that --database (or else the current one) and --at name."""
    engine = attached.engine
    engine.check_open()
    name = given.get("database")
    info = engine.history.database(name) if name else attached.session.scope.info()
    at = given.get("at")
    return PastScope(engine, point_named(engine, info, at)) if at else HeadScope(engine, info)


def _form(given: Given) -> str:
    forms = [form for form in FORMS if form in given]
    if len(forms) > 1:
        raise InvalidInputError(f"--{forms[0]} and --{forms[1]} are two forms of one result", hint="give one")
    return forms[0] if forms else FORMS[0]


def _value(session: Session, text: str, start: int, variables: Mapping[str, Any], form: str) -> Any:
    """What the last statement of a text gives, read whole."""
    named = Edited(text, [Edit(0, start, "")])
    try:
        edited, values = bound(named.text, variables)
        statements = list(_placed(edited.text))
    except QueryError as error:
        raise placed_back(error, named.text, [named]) from error
    for each in in_quotes(named.text, variables):
        print(f"{{{{{each}}}}} stands in a text here; outside of quotes it is the variable", file=sys.stderr)
    frames = frames_in(variables)
    for cut in statements:
        try:
            result = session.sql(cut.text, _used(cut.text, values), frames=frames)
            if cut is statements[-1]:
                return shaped(result, form)
            result.close()
        except QueryError as error:
            raise placed_back(error, cut.text, [named, edited, cut]) from error
    raise InvalidInputError("there is no statement in the cell", hint="such as SELECT 1")


def _placed(text: str) -> Iterator[Edited]:
    """The statements of a text, each as what is left of it, so that places lead back."""
    at = 0
    for statement in statements_of(text):
        start = text.index(statement, at)
        at = start + len(statement)
        yield Edited(text, [Edit(0, start, ""), Edit(at, len(text), "")])


def _used(statement: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values that a statement has parameters for."""
    names = {token.value for token in tokenize(statement) if token.kind is Kind.PARAMETER}
    return {name: values[name] for name in names} or None


def shaped(result: Result, form: str) -> Any:
    """The rows of a query in a form; the Result itself of a statement that has none."""
    if result.is_count or not result.columns:
        return result
    match form:
        case "arrow":
            return result.to_arrow()
        case "polars":
            try:
                return result.to_polars()
            except ImportError:
                raise InvalidInputError(
                    "polars is not installed", hint="pip install polars, or leave --polars out"
                ) from None
    return result.to_pandas()
