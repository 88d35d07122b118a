"""How a session shows itself, in a log and in a notebook. Called by session.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from absdb.branch_colours import branch_html
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine.told import told
from absdb.reprs import Html, html, page, plain

if TYPE_CHECKING:
    from absdb.sql.session import Session


class ShownSession:
    """The half of a session that shows it."""

    def __repr__(self) -> str:
        session = cast("Session", self)
        if session.closed:
            return "<Session, closed>"
        return plain("Session", lambda: f"on {session.scope.describe()}, {', '.join(_facts(session))}")

    def _repr_html_(self) -> str | None:
        session = cast("Session", self)
        return page("Session", "", ["closed"]) if session.closed else html(lambda: _shown(session))


def _shown(session: Session) -> str:
    lsn = told(session.engine, session.scope.point().lsn)
    return page("Session", Html(branch_html(session.database)), [f"@ {lsn}", *_facts(session)])


def _facts(session: Session) -> list[str]:
    namespace = [] if session.namespace == DEFAULT_NAMESPACE else [f"schema {session.namespace}"]
    return [*namespace, "in a transaction" if session.in_transaction else "no transaction open"]
