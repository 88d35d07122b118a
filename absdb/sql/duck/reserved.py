"""Words that DuckDB's grammar keeps for itself: as names they are written in quotes, everywhere.

A new thing of such a name, without quotes, is refused where it is made, since no query could name it so. Called by
the statements that create.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, Token

if TYPE_CHECKING:
    from absdb.sql.duck.connection import Backend
    from absdb.sql.text.cursor import TokenCursor

_words: set[str] = set()


def reserved_words(backend: Backend) -> set[str]:
    """All of them, in capitals."""
    if not _words:
        with backend.registered({}) as connection:
            found = connection.execute(
                "SELECT upper(keyword_name) FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
            )
            _words.update(word for (word,) in found.fetchall())
    return _words


def refuse_reserved(backend: Backend, cursor: TokenCursor, token: Token) -> None:
    """QueryError if a name is a reserved word that is not in quotes."""
    if token.kind is Kind.WORD and token.upper in reserved_words(backend):
        raise error_at(
            cursor.text,
            token.start,
            f"{token.value} is a word of SQL and cannot be a name by itself",
            hint=f'take another name, or write "{token.value}", here and wherever it is used',
        )
