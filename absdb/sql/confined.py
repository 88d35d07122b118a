"""What a session refuses that may change one database only: other databases, and statements about databases as such.

A rehearsal runs its statements so: whatever a migration says, nothing but the branch it is tried on changes. Called by
session.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.errors import StateError
from absdb.sql.dispatch import verb_of
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at

if TYPE_CHECKING:
    from absdb.catalog.history import DatabaseInfo
    from absdb.sql.session import Session

_WHOLE = {"USE": (), "RESTORE": (), "MERGE": ("DATABASE",)}
_ABOUT = ("DATABASE", "SNAPSHOT")


def refuse_other(session: Session, info: DatabaseInfo) -> None:
    """StateError if another database is about to be written than the transaction, or the session, is for."""
    open_now = session.transaction
    if open_now is not None and info.id != open_now.database:
        raise StateError(
            f"the open transaction is one of database {open_now.info().name!r}, not of {info.name!r}",
            hint="a commit belongs to one database: COMMIT first, then USE the other one",
        )
    if session.confined and info.id != session.scope.database:
        raise StateError(
            f"the session may change database {session.database!r} only, not {info.name!r}",
            hint="leave out the name of the database",
        )


def refuse_leaving(session: Session, statement: Statement) -> None:
    """QueryError for a statement that makes, moves or leaves a database, if the session is confined."""
    if not session.confined:
        return
    verb = verb_of(statement)
    words = [token.upper for token in statement.tokens[1:4]]
    if verb in ("CREATE", "ALTER", "DROP"):
        leaves = any(
            word in _ABOUT for word in words[: words.index("REPLACE") + 2 if "REPLACE" in words else 1]
        )
    else:
        leaves = verb in _WHOLE and (not _WHOLE[verb] or words[0] in _WHOLE[verb])
    if leaves:
        raise error_at(
            statement.text,
            statement.tokens[0].start,
            "this session changes rows and definitions of one database, and no databases",
            hint="run the statement outside",
        )
