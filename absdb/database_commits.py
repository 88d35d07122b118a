"""DatabaseCommits: single commits of a database, what they changed and which one broke something.

Forwards to versioning/commit_diff.py and versioning/bisect.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from absdb.bisection import Bisection
from absdb.clock import to_datetime
from absdb.database_tables import DatabaseTables
from absdb.diff import Diff
from absdb.errors import InvalidInputError
from absdb.progress import Progress, reporting
from absdb.versioning.as_of import Point
from absdb.versioning.bisect import bisect
from absdb.versioning.commit_diff import commit_diff, held_diff
from absdb.versioning.log import entry_at
from absdb.versioning.point_named import point_named
from absdb.versioning.scope import PastScope


class DatabaseCommits(DatabaseTables):
    """The verbs of a database that are about one commit."""

    __slots__ = ()

    def diff_of(self, lsn: int | str) -> Diff:
        """What one commit changed: the diff of the states before and after it.

        Any commit that `log()` lists will do, a restore too, and one that a restore has undone. The cost follows
        the change. NotFoundError if no commit ends at the LSN, HistoryExpiredError if its rows are no longer kept.

            main.diff_of("0/1048576")["orders"].to_pandas()
        """
        scope = self._scope
        return Diff(commit_diff(scope.engine, scope.point(), lsn))

    def bisect(
        self,
        test: Callable[[Any], Any] | str,
        *,
        good: DatabaseCommits | int | str | dt.datetime | None = None,
        bad: DatabaseCommits | int | str | dt.datetime | None = None,
        progress: Progress = None,
    ) -> Bisection:
        """Find the first commit after which `test` is no longer true.

        `test` is a function of a read-only Database that returns True or False, or an SQL query that gives one
        boolean (NULL is false). `good` and `bad` are an LSN, a time, a snapshot's name or a database at a point;
        without them they are the oldest commit since which history is kept, and the state of now. Commits that a
        restore has undone are left out. Each try halves what is left, so that a million commits take twenty.

        InvalidInputError if the test does not hold at good, holds at bad, or raises: a test that cannot be made at
        some point is reported, not counted as bad. HistoryExpiredError if the answer lies in history that is gone.
        `progress=True` shows a bar, a function is told the tests so far.

            broken = main.bisect(lambda db: db["orders"].count() > 0, good="before-migration")
            main.bisect("SELECT count(*) = count(DISTINCT email) FROM users", good="2026-04-04 14:00Z")
            broken.diff["orders"].to_pandas()
        """
        if not isinstance(test, str) and not callable(test):
            raise InvalidInputError(
                f"a test is a function of a database or an SQL query, not {type(test).__name__}",
                hint="such as 'SELECT count(*) > 0 FROM orders'",
            )
        scope = self._scope
        engine, present = scope.engine, scope.point()
        last = present if bad is None else self._named(bad)
        first = None if good is None else self._named(good)
        with reporting(progress, "bisect", unit="tests") as report:
            found = bisect(engine, first, last, lambda point: self._holds(test, point), report)
        entry = entry_at(engine, last, int(found.after.lsn))
        row = {} if entry is None else entry[1]
        time = None if not row else to_datetime(row["time"])
        return Bisection(
            lsn=found.after.lsn,
            time=time,
            author=row.get("author"),
            message=row.get("message"),
            tables=tuple(row.get("tables", ())),
            tests=found.tests,
            good_lsn=found.before.lsn,
            diff=Diff(held_diff(engine, found.before, found.after)),
        )

    def _named(self, name: DatabaseCommits | int | str | dt.datetime) -> Point:
        """The point that `good` or `bad` means."""
        scope = self._scope
        if not isinstance(name, DatabaseCommits):
            return point_named(scope.engine, scope.info(), name)
        if name._scope.engine is not scope.engine:
            raise InvalidInputError(
                f"{name!r} is not a database of this instance", hint="pass a state of one"
            )
        return name._scope.point()

    def _holds(self, test: Callable[[Any], Any] | str, point: Point) -> bool:
        """Whether the test is true at a point."""
        past: Any = type(self)(PastScope(self._scope.engine, point))
        answer = test(past) if not isinstance(test, str) else _only_value(past.sql(test).fetchmany(2))
        if answer is None and not isinstance(test, str):
            raise InvalidInputError("it returned None", hint="return True or False")
        return bool(answer)


def _only_value(rows: list[tuple[Any, ...]]) -> bool:
    """What an SQL test gives."""
    if len(rows) != 1 or len(rows[0]) != 1 or not isinstance(rows[0][0], bool | None):
        raise InvalidInputError(
            "the query does not give one row with one boolean", hint="such as SELECT count(*) > 0 FROM t"
        )
    return bool(rows[0][0])
