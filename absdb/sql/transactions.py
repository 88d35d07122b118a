"""BEGIN, COMMIT, ROLLBACK and savepoints.

    BEGIN [TRANSACTION | WORK] [ISOLATION LEVEL …] [READ ONLY | READ WRITE]      also START TRANSACTION
    COMMIT [MESSAGE 'why'] [AUTHOR 'who']                                        also END
    ROLLBACK                                                                     also ABORT
    SAVEPOINT s; ROLLBACK TO [SAVEPOINT] s; RELEASE [SAVEPOINT] s

Every level up to REPEATABLE READ is snapshot isolation: a transaction sees the state at its beginning and its own
writes. SERIALIZABLE prevents write skew too: its commit is refused if what it read has changed meanwhile. A
statement that fails leaves the transaction as it was before that statement, and open.

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor

if TYPE_CHECKING:
    from absdb.sql.session import Call, Session

_NOISE = ("TRANSACTION", "WORK")


def execute(call: Call) -> Result:
    """The Result of one of these statements, without rows."""
    cursor = TokenCursor(call.statement)
    return _STATEMENTS[cursor.expect_one(list(_STATEMENTS))](call.session, cursor)


def _begin(session: Session, cursor: TokenCursor) -> Result:
    if cursor.tokens[0].upper == "START":
        cursor.expect("TRANSACTION")
    else:
        cursor.accept_one(_NOISE)
    serializable, read_only = modes(cursor)
    cursor.end()
    session.begin(serializable=serializable, read_only=read_only)
    return Result(statement="BEGIN")


def modes(cursor: TokenCursor) -> tuple[bool, bool]:
    """(serializable, read only) of what is written behind BEGIN, as far as it goes."""
    serializable = read_only = False
    while not cursor.done:
        if cursor.accept("ISOLATION", "LEVEL"):
            level = cursor.expect_one(("SERIALIZABLE", "REPEATABLE", "SNAPSHOT", "READ"))
            serializable = level == "SERIALIZABLE"
            if level == "REPEATABLE":
                cursor.expect("READ")
            elif level == "READ":
                cursor.expect_one(("COMMITTED", "UNCOMMITTED"))
        elif cursor.accept("READ"):
            read_only = cursor.expect_one(("ONLY", "WRITE")) == "ONLY"
        elif not (cursor.accept("DEFERRABLE") or cursor.accept("NOT", "DEFERRABLE")):
            cursor.refuse("ISOLATION LEVEL", "READ ONLY", "READ WRITE", "the end of the statement")
        cursor.accept(",")
    return serializable, read_only


def _commit(session: Session, cursor: TokenCursor) -> Result:
    cursor.accept_one(_NOISE)
    message = author = None
    while not cursor.done:
        if cursor.expect_one(("MESSAGE", "AUTHOR")) == "MESSAGE":
            message = cursor.string()
        else:
            author = cursor.string()
    session.commit(message=message, author=author)
    return Result(statement="COMMIT")


def _rollback(session: Session, cursor: TokenCursor) -> Result:
    cursor.accept_one(_NOISE)
    if cursor.accept("TO"):
        cursor.accept("SAVEPOINT")
        name = cursor.name("the name of a savepoint")
        cursor.end()
        session.savepoints("ROLLBACK TO").rollback_to(session.savepoint_name(name))
        return Result(statement="ROLLBACK TO")
    cursor.end()
    session.rollback()
    return Result(statement="ROLLBACK")


def _savepoint(session: Session, cursor: TokenCursor) -> Result:
    name = cursor.name("the name of a savepoint")
    cursor.end()
    session.savepoints("SAVEPOINT").savepoint(name)
    return Result(statement="SAVEPOINT")


def _release(session: Session, cursor: TokenCursor) -> Result:
    cursor.accept("SAVEPOINT")
    name = cursor.name("the name of a savepoint")
    cursor.end()
    session.savepoints("RELEASE").release(session.savepoint_name(name))
    return Result(statement="RELEASE")


_STATEMENTS = {
    "BEGIN": _begin,
    "START": _begin,
    "COMMIT": _commit,
    "END": _commit,
    "ROLLBACK": _rollback,
    "ABORT": _rollback,
    "SAVEPOINT": _savepoint,
    "RELEASE": _release,
}
