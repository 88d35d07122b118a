"""Database: what a user holds of one database, in its newest state or as it was.

Forwards to versioning/ for what happens to the database as a whole. Tables come from DatabaseTables, what is about
single commits from DatabaseCommits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.branch_colours import branch_html
from absdb.database_commits import DatabaseCommits
from absdb.database_merges import DatabaseMerges
from absdb.diff import Diff
from absdb.engine.engine import Engine
from absdb.engine.frames import listing
from absdb.engine.origin import options, origin, query_facts
from absdb.engine.told import told
from absdb.errors import InvalidInputError
from absdb.frame_origin import Provenance
from absdb.ids import Lsn
from absdb.reprs import Html, counted, grid, html, next_step, page, plain
from absdb.row_diff import ContentDiff, RowDiff
from absdb.transaction import TransactionHandle
from absdb.versioning import branch, restore, snapshot
from absdb.versioning import diff as states
from absdb.versioning.divergence import diverged_pages
from absdb.versioning.listing import snapshots
from absdb.versioning.log import log
from absdb.versioning.point_named import PointName, point_named
from absdb.versioning.retention import retain, retention_of
from absdb.versioning.scope import HeadScope, PastScope, Scope, point_of, point_to_restore

if TYPE_CHECKING:
    import pandas as pd

    from absdb.sql.compare.query_diff import QuerySource
    from absdb.sql.query.result import Result
    from absdb.sql.session import Session

Moment = str | dt.datetime


class Database(DatabaseCommits, DatabaseMerges):
    """A database or branch: `shop["main"]`, `main.branch("staging")`, `main.at(snapshot="before")`.

    Points in the past are named the same way everywhere: `lsn=` (an LSN or its text), `time=` (an aware
    datetime, or text; naive means UTC) or `snapshot=` (a name). They mean the last commit at or before
    them. NotFoundError for a snapshot that is not there, InvalidInputError for a point in the future,
    HistoryExpiredError for one before what is kept.
    """

    __slots__ = ()

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)

    # -- what it is

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._scope.info().name

    @property
    def lsn(self) -> Lsn:
        """The LSN this object shows: of the newest durable commit of the instance, or the point in the past."""
        return self._scope.point().lsn

    @property
    def lineage(self) -> tuple[tuple[int, Lsn], ...]:
        """Of what history the state consists, for the curious: (era, LSN reached in it), oldest first."""
        return tuple((int(era), Lsn(lsn)) for era, lsn in self._scope.point().lineage)

    @property
    def read_only(self) -> bool:
        """Whether this is a state of the past, or the instance is open for reading only."""
        return self._engine.read_only or not self._scope.writable

    @property
    def protected(self) -> bool:
        """Whether it accepts merges only."""
        return self._scope.info().protected

    @property
    def diverged_pages(self) -> int:
        """The pages of a branch that it does not share with what it was made from; 0 for one that is no branch."""
        return diverged_pages(self._engine, self._scope.info())

    # -- SQL

    def sql(self, text: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Result:
        """Run SQL, DuckDB's dialect, on this database; the Result of the last statement.

        Tables of other databases are `staging.orders`, earlier states `orders AT (SNAPSHOT => 'before')`, and
        frames of the calling scope go by their variables' names. `parameters` are bound to `?` or `$name`.
        Each statement that changes something is a commit of its own, unless the text says BEGIN and COMMIT.
        QueryError points at the place in the text. StateError if the text says BEGIN and leaves the transaction
        open: it is rolled back.

            main.sql("SELECT status, count(*) FROM orders WHERE total > ? GROUP BY ALL", [100]).to_pandas()
        """
        from absdb.sql.query.frames import frames_of_caller
        from absdb.sql.session import run_alone

        return run_alone(self._scope, text, parameters, frames=frames_of_caller())

    def session(self) -> Session:
        """Open a session: statements with a current database and a transaction that lasts over several calls.

        with main.session() as session:
            session.sql("BEGIN")
            session.sql("UPDATE orders SET total = 0 WHERE id = ?", [7])
            session.sql("COMMIT")
        """
        from absdb.sql.session import Session

        return Session(self._scope)

    def duckdb(self, tables: Sequence[str] | None = None) -> Any:
        """A DuckDB connection of its own with tables and views of this state, to be read; close it.

        For tools that speak DuckDB. Later changes do not show, and what is made there stays there. Files and extensions
        are out of reach. `tables` names those to show, if not all.

            connection = main.at(snapshot="before").duckdb()
            ibis.duckdb.from_connection(connection).table("orders").count().execute()
        """
        from absdb.sql.session import Session

        with Session(self._scope) as session:
            return session.duckdb(tables)

    # -- transactions

    def transaction(
        self, *, message: str = "", author: str | None = None, serializable: bool = False
    ) -> TransactionHandle:
        """Begin a transaction on the newest state; use it with `with`.

        `serializable`: its commit is refused, with a ReadConflictError, if what it has read was changed meanwhile.

        with main.transaction(message="price fix") as tx:
            tx["orders"].update({"id": 1, "total": 9.5})
            tx["log"].insert({"what": "price fix"})
        """
        tx = self._scope.begin(message=message, author=author)
        if serializable:
            tx.record_reads()
        return TransactionHandle(tx)

    # -- branches and points in time

    def branch(
        self,
        name: str,
        *,
        lsn: int | str | None = None,
        time: Moment | None = None,
        snapshot: str | None = None,
        protected: bool = False,
        retain: str | dt.timedelta | None = None,
        comment: str = "",
    ) -> Database:
        """Make a database that starts as this one is, or was at a point, and goes its own way from there.

        Costs one sync of the disk, whatever the size: everything is shared until one of both writes. `retain`
        ("7 days", a timedelta) says how long it should live. AlreadyExistsError if the name is taken.

            staging = main.branch("staging", time="2026-04-04 02:00Z")
        """
        point = point_of(self._scope, lsn=lsn, time=time, snapshot=snapshot)
        made = branch.create_branch(
            self._engine, name, point, protected=protected, retain=retention_of(retain), comment=comment
        )
        return Database(HeadScope(self._engine, made))

    def at(
        self,
        point: PointName | None = None,
        /,
        *,
        lsn: int | str | None = None,
        time: Moment | None = None,
        snapshot: str | None = None,
    ) -> Database:
        """The database as it was at a point, to be read: tables, diff, branch, log. Costs nothing per row.

        A `point` given by itself is what a person types: a snapshot's name if there is such a snapshot, an LSN if it
        looks like one, else a time.

            main.at(time="2026-04-04 14:05Z")["orders"].count()
            main.at("before-migration")["orders"].count()
        """
        if point is None:
            found = point_of(self._scope, lsn=lsn, time=time, snapshot=snapshot)
        elif lsn is None and time is None and snapshot is None:
            found = point_named(self._engine, self._scope.info(), point)
        else:
            raise InvalidInputError(
                "at() names two points", hint="pass either the point by itself, or lsn=, time= or snapshot="
            )
        return Database(PastScope(self._engine, found))

    def restore(
        self,
        *,
        lsn: int | str | None = None,
        time: Moment | None = None,
        snapshot: str | None = None,
        tables: Sequence[str] | None = None,
        author: str | None = None,
        message: str = "",
    ) -> Lsn:
        """Make the database what it was at a point, or only some tables of it; returns the LSN of this commit.

        Costs one sync, whatever the size. What is undone stays in the history, so that a restore is undone by
        another one: `restore(lsn=…)` to before it. StateError for a protected database.
        """
        point = point_to_restore(self._scope, lsn=lsn, time=time, snapshot=snapshot)
        return restore.restore(self._engine, point, tables=tables, author=author, message=message)

    def snapshot(
        self,
        name: str,
        *,
        lsn: int | str | None = None,
        time: Moment | None = None,
        comment: str = "",
    ) -> Lsn:
        """Name the state of now, or of a point, and keep it until the name is dropped; returns its LSN.

        AlreadyExistsError if this database has a snapshot of that name.
        """
        made = snapshot.create_snapshot(
            self._engine, name, point_of(self._scope, lsn=lsn, time=time), comment=comment
        )
        return Lsn(made.lsn)

    def drop_snapshot(self, name: str) -> None:
        """Forget a snapshot; what only it kept is removed with the next checkpoints."""
        snapshot.drop_snapshot(self._engine, self.name, name)

    def snapshots(self) -> pd.DataFrame:
        """One row a snapshot of this database, oldest first: name, database, lsn, created_at, comment."""
        return listing(snapshots(self._engine, self._scope.info().id))

    # -- what happened

    def log(self, *, limit: int | None = None, only_here: bool = False) -> pd.DataFrame:
        """What was committed, newest first, and what happened to the database as a whole.

        Columns: lsn (text), time, author, message, kind, tables (names of those whose rows or definition
        changed), rows_inserted, rows_updated, rows_deleted, undone, database (the one that committed it; None if
        it was dropped since), from_database and from_lsn (of a merge, the newest commit that it brought in; of a
        branch, a restore and the like, the commit that it starts or goes on from). Commits that a restore has
        undone are True there: `restore(lsn=…)` with the LSN of one goes back to it. A branch's log goes on into
        that of what it was made from.

        `only_here` leaves the commits that no other database holds: what would be lost with this one.
        """
        return listing(log(self._engine, self._scope.point(), limit=limit, only_here=only_here))

    def diff(self, other: Database) -> Diff:
        """What this database has that `other` has not. The cost follows the change, not the size.

        staging.diff(main).summary()
        main.diff(main.at(snapshot="before"))["orders"].to_pandas()
        """
        source, target = self._same_instance(other)._scope.point(), self._scope.point()
        return Diff(states.Diff(self._engine, source=source, target=target), fixed=self._fixed_sides(other))

    def _fixed_sides(self, other: Database) -> list[str]:
        """The sides of a diff that are points and not the heads of their databases."""
        sides = {"from": other, "to": self}
        return [name for name, side in sides.items() if isinstance(side._scope, PastScope)]

    def query_diff(
        self,
        query: str,
        other: str | Database,
        *,
        key: str | Sequence[str] | None = None,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
    ) -> RowDiff | ContentDiff:
        """What a query gives here that `other` does not: another query here, or the same one on another database.

        Rows are told apart by the `key` columns, which must be unique in both results (NULL is a value like any
        other), and compared in the columns that both have. Without a key they are compared by content, with how often
        each side has a row. `parameters` are bound in both queries. Both run anew whenever rows are asked for, on
        the states of now. QueryError for a query that is wrong, NotFoundError for a key that is not there,
        InvalidInputError for columns that cannot be compared.

            staging.query_diff("SELECT status, sum(total) AS total FROM orders GROUP BY 1", main, key="status")
        """
        from absdb.sql.compare.query_diff import QuerySource

        texts = (query, other) if isinstance(other, str) else (query, query)
        there = self if isinstance(other, str) else self._same_instance(other)
        scopes = [PastScope(self._engine, side._scope.point()) for side in (self, there)]
        names = [key] if isinstance(key, str) else key or []
        source = QuerySource(scopes[0], scopes[1], texts, names, parameters)
        made = self._origin_of(source, query, other if isinstance(other, str) else None, there)
        if not names:
            return ContentDiff(source.name, source.rows, self._engine.evaluator, made)
        return RowDiff(source, self._engine.evaluator, made)

    def _origin_of(self, source: QuerySource, query: str, other: str | None, there: Database) -> Provenance:
        """What frames of the rows in which two queries differ remember."""
        facts = query_facts(query, source.values)
        asked = options({"other": other, "key": list(source.shape.key), "fixed": self._fixed_sides(there)})
        facts |= {"options": asked["options"], "lost": (*facts["lost"], *asked["lost"])}
        here, base = source.points
        return origin(
            self._engine,
            here.database.name,
            here.lsn,
            "query diff",
            against=base.database.name,
            against_lsn=base.lsn,
            **facts,
        )

    def _same_instance(self, other: Database) -> Database:
        """The other database, which must be of this instance."""
        if not isinstance(other, Database) or other._engine is not self._engine:
            raise InvalidInputError(
                f"{other!r} is not a database of this instance", hint='pass one, such as shop["main"]'
            )
        return other

    # -- the database as a whole

    def protect(self) -> None:
        """Accept merges only from now on: no direct commits, no restore, no drop."""
        branch.alter_database(self._engine, self._scope.current(), protected=True)

    def unprotect(self) -> None:
        """Accept direct commits again."""
        branch.alter_database(self._engine, self._scope.current(), protected=False)

    def retain(self, span: str | dt.timedelta | None) -> None:
        """Let the database live for so long after it was made ("7 days", a timedelta), or for good (None).

        The first upkeep after that drops it, unless it is protected.
        """
        retain(self._engine, self._scope.current(), retention_of(span))

    def rename(self, name: str) -> None:
        """Give the database another name; objects that stand for it follow."""
        branch.alter_database(self._engine, self._scope.current(), name=name)

    def drop(self) -> None:
        """Remove the database and its snapshots. Branches made from it stay whole.

        StateError if it is protected, or the only one.
        """
        branch.drop_database(self._engine, self._scope.current())

    # -- what Python and notebooks ask

    def __repr__(self) -> str:
        return plain("Database", self._described)

    def _described(self) -> str:
        tables = counted(len(self._scope.catalog().tables), "table")
        return f"{self._scope.describe()}, {tables}{', read-only' if self.read_only else ''}"

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _shown(self) -> str:
        found = sorted(self._scope.catalog().tables.values(), key=lambda table: table.full_name)
        rows = [[t.full_name, len(t.columns), ", ".join(t.key_names) or None, t.comment] for t in found]
        names = ["table", "columns", "key", "comment"]
        if not any(table.comment for table in found):
            names, rows = names[:-1], [row[:-1] for row in rows]
        facts = [
            f"@ {told(self._engine, self.lsn)}",
            counted(len(found), "table"),
            *(["read-only"] if self.read_only else []),
        ]
        parts = [grid(names, rows)]
        if not (found or self.read_only):
            parts.append(next_step("There are no tables yet.", 'create_table("name", frame, key="id")'))
        return page("Database", Html(branch_html(self.name)), facts, *parts)

    @property
    def _engine(self) -> Engine:
        return self._scope.engine
