"""What a query refers to, read by DuckDB's parser once per text. Called by rewrite.py and by_key.py."""

from __future__ import annotations

from absdb.sql.duck.connection import Backend
from absdb.sql.text.parsed import Query
from absdb.sql.text.source import error_at
from absdb.sql.text.syntax import UNKNOWN, NotASelect


def read_query(backend: Backend, text: str) -> Query:
    """The query in a text. QueryError if it is none, or if DuckDB cannot read it."""
    return backend.kept.get(Query, text, lambda: _read(backend, text))


def _read(backend: Backend, text: str) -> Query:
    try:
        with backend.registered({}) as connection:
            return Query.read(connection, text)
    except NotASelect as error:
        message = "a query is expected here" if str(error).startswith("Only SELECT") else str(error)
        raise error_at(text, 0 if error.at == UNKNOWN else error.at, message, parser=True) from error
