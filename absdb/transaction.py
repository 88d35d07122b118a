"""TransactionHandle: several changes that become one commit, or none of them.

Forwards to engine/transaction.py; its tables and definitions are DatabaseTables over a TransactionScope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from absdb.branch_colours import branch_html
from absdb.database_tables import DatabaseTables
from absdb.engine.told import told
from absdb.engine.transaction import Transaction
from absdb.ids import Lsn
from absdb.paths import check_text
from absdb.reprs import Html, counted, html, page, plain
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.query.result import Result


class TransactionHandle(DatabaseTables):
    """An open transaction: `with main.transaction(message="…") as tx: tx["orders"].upsert(…)`.

    It sees the state at its beginning and its own writes. Leaving the block commits; an error rolls back
    and goes on. The commit raises WriteConflictError if another one has written the same rows meanwhile, and, if
    it is serializable, ReadConflictError if what it has read was changed: nothing was changed then, and running
    the block again may succeed. A call that breaks a constraint raises ConstraintError and leaves the rest as it was;
    only a FOREIGN KEY is looked at when it commits, so that rows may come before those they refer to. For one thread;
    many may be open side by side.
    """

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        super().__init__(TransactionScope(tx))
        self._tx = tx

    @property
    def lsn(self) -> Lsn | None:
        """The LSN of the commit; None before it, and if nothing was changed."""
        return self._tx.lsn

    @property
    def is_open(self) -> bool:
        """Whether it has been neither committed nor rolled back."""
        return self._tx.open

    @property
    def message(self) -> str:
        """What the commit will say, or says; may be set while it is open."""
        return self._tx.message

    @message.setter
    def message(self, text: str) -> None:
        self._tx.message = check_text("message", text)

    def sql(self, text: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Result:
        """Run SQL in the transaction, as `Database.sql` does: it sees what was written, and happens with it."""
        from absdb.sql.query.frames import frames_of_caller
        from absdb.sql.session import Session

        return Session(self._scope).sql(text, parameters, frames=frames_of_caller())

    def savepoint(self, name: str) -> None:
        """Remember this point, for `rollback_to`. A name used before is shadowed until released."""
        self._tx.savepoint(name)

    def rollback_to(self, name: str) -> None:
        """Undo everything since the savepoint, which stays. NotFoundError if there is none of that name."""
        self._tx.rollback_to(name)

    def release(self, name: str) -> None:
        """Forget a savepoint and those made after it; what was written stays."""
        self._tx.release(name)

    def commit(self) -> Lsn | None:
        """Make it durable now; returns the commit's LSN, None if nothing was changed.

        ConflictError or ConstraintError leave the database as it was, and end the transaction.
        """
        return self._tx.commit()

    def rollback(self) -> None:
        """Forget everything that was written; harmless if the transaction has ended."""
        self._tx.rollback()

    def __enter__(self) -> Self:
        self._tx.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tx.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        if not self._tx.open or self._tx.engine.closed:
            return f"<Transaction {'committed @ ' + str(self._tx.lsn) if self._tx.lsn else 'ended'}>"
        return plain("Transaction", lambda: f"on {self._scope.describe()}, {self._changed()}")

    def _changed(self) -> str:
        return f"{counted(len(self._tx.writes), 'table')} written"

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _shown(self) -> str:
        tx = self._tx
        if not tx.open or tx.engine.closed:
            return page("Transaction", "", [f"committed @ {tx.lsn}" if tx.lsn else "ended"])
        begun = f"begun @ {told(tx.engine, tx.snapshot_lsn)}"
        return page("Transaction", Html(branch_html(self._scope.info().name)), [begun, self._changed()])
