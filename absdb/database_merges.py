"""DatabaseMerges: what a database takes over from others, and takes back. Forwards to versioning/."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.database import DatabaseCatalog
from absdb.database_tables import DatabaseTables
from absdb.engine.frames import listing
from absdb.engine.transaction import Transaction
from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from absdb.merge_result import MergeResult
from absdb.progress import Progress
from absdb.versioning import data_checks, merge, rebase, revert
from absdb.versioning.as_of import Point
from absdb.versioning.merge import Checks, Merged, Terms
from absdb.versioning.merge_states import Rules
from absdb.versioning.resolutions import Resolutions
from absdb.versioning.scope import point_of

if TYPE_CHECKING:
    import pandas as pd

    from absdb.rehearsal_result import Rehearsal

OnConflict = str | Mapping[str, str]


class DatabaseMerges(DatabaseTables):
    """The verbs of a database that bring changes from elsewhere, or take them back."""

    __slots__ = ()

    def merge(
        self,
        source: DatabaseMerges,
        *,
        on_conflict: OnConflict = "fail",
        resolutions: Any = None,
        dry_run: bool = False,
        squash: bool = False,
        message: str = "",
        author: str | None = None,
    ) -> MergeResult:
        """Bring what `source`, a database or a state of one, has and this one has not: definitions, rows, cells.

        Where nothing happened here since they parted, it is a fast-forward that costs one sync; `squash` makes one
        commit of it all the same. Cells that only one side changed merge; what both changed differently is a
        conflict. `on_conflict` says for all tables, or as a dict by table, what then: "fail" raises
        MergeConflictError, whose frame `conflicts` can be filled in and passed as `resolutions`; "ours" and
        "theirs" take that side; "strict" fails also where both changed a row in different columns.

        The result has `summary()`, `lsn` and `undo()`. MergeConstraintError if it would break constraints,
        DataCheckError if a data check does not hold. `dry_run` writes nothing, so that it works for readers too: the
        result then has all that would be in the way, `conflicts` and `violations` as frames. The cost follows what
        changed since the merge base.

            main.merge(staging, message="cleaned countries")
        """
        rules = Rules(on_conflict, Resolutions(resolutions))
        found = merge.merge(
            self._scope.engine,
            self._scope.current(),
            self._point_of(source),
            rules=rules,
            dry_run=dry_run,
            squash=squash,
            message=message,
            author=author,
            checks=self._checks(),
        )
        return self._result(found, dry_run=dry_run)

    def revert(
        self,
        *,
        lsn: int | str,
        on_conflict: OnConflict = "fail",
        resolutions: Any = None,
        dry_run: bool = False,
        message: str = "",
        author: str | None = None,
    ) -> MergeResult:
        """Take back what one commit changed and keep what came later, as a new commit.

        MergeConflictError if later commits changed the same cells. Reverting a merge also forgets it: merging
        again brings it back. NotFoundError if the state of now does not rest on that commit.
        """
        terms = self._terms(on_conflict, resolutions, dry_run, message, author)
        found = revert.revert(self._scope.engine, self._scope.current(), Lsn.parse(lsn), terms)
        return self._result(found, dry_run=dry_run)

    def cherry_pick(
        self,
        source: DatabaseMerges,
        *,
        lsn: int | str,
        on_conflict: OnConflict = "fail",
        resolutions: Any = None,
        dry_run: bool = False,
        message: str = "",
        author: str | None = None,
    ) -> MergeResult:
        """Take over what one commit of another database changed, with its message and author unless others are given.

        NotFoundError if `source` does not rest on a commit of that LSN; conflicts as in merge().
        """
        terms = self._terms(on_conflict, resolutions, dry_run, message, author)
        point, engine = self._point_of(source), self._scope.engine
        found = revert.cherry_pick(engine, self._scope.current(), point, Lsn.parse(lsn), terms)
        return self._result(found, dry_run=dry_run)

    def rebase(
        self,
        onto: DatabaseMerges | None = None,
        *,
        on_conflict: OnConflict = "fail",
        resolutions: Any = None,
        author: str | None = None,
    ) -> pd.DataFrame:
        """Replay the commits of this branch on the head of what it was made from, or of `onto`, one by one.

        Returns a frame with a row a commit: old_lsn, new_lsn, author, message. MergeConflictError, with the `lsn`
        of the commit that does not fit, leaves the branch as it was; fill in its conflicts and call again with them
        as `resolutions`. Old states stay in the history: restore() goes back to them.
        """
        engine, info = self._scope.engine, self._scope.current()
        target = rebase.parent_of(engine, info) if onto is None else self._point_of(onto)
        rules = Rules(on_conflict, Resolutions(resolutions))
        return listing(rebase.rebase(engine, info, target, rules=rules, author=author))

    def rehearse(
        self,
        statements: str | os.PathLike[str] | Sequence[str],
        checks: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        lsn: int | str | None = None,
        time: str | dt.datetime | None = None,
        snapshot: str | None = None,
        progress: Progress = None,
    ) -> Rehearsal:
        """Try a migration on a branch: a text of statements, a list of them, or the path of an .sql file.

        Tells how long each statement took and what it changed, what became of definitions and rows, whether the
        data checks of the database and `checks` (name → query) hold, and replays what was committed here meanwhile.
        With a point (`lsn=`, `time=`, `snapshot=`) it starts from there, and replays what came after it. Nothing
        here changes before `apply()`.
        """
        from absdb.rehearsal.rehearse import rehearse
        from absdb.rehearsal_result import Rehearsal

        start = point_of(self._scope, lsn=lsn, time=time, snapshot=snapshot)
        info = self._scope.current()
        done = rehearse(
            self._scope.engine, info, start, statements, checks=checks, name=name, progress=progress
        )
        return Rehearsal(done, lambda merged: self._result(merged, dry_run=False))

    # -- what every merge into this database must hold

    def add_check(self, name: str, query: str, *, comment: str = "", replace: bool = False) -> None:
        """Store a query that must hold for the result of every merge: it gives the one value true, or no rows.

        A merge that drops or replaces it must hold it too, if it can still be run on the result. A revert need not.

        main.add_check("totals are positive", "SELECT * FROM orders WHERE total <= 0")
        """
        from absdb.sql.checks import check_query

        check_query(self._scope, query)
        self._scope.write(lambda tx: data_checks.add_check(tx, name, query, comment=comment, replace=replace))

    def drop_check(self, name: str) -> None:
        """Forget a data check; NotFoundError if there is none of that name."""
        self._scope.write(lambda tx: data_checks.drop_check(tx, name))

    def checks(self) -> pd.DataFrame:
        """One row a data check: name, query, comment."""
        return listing(data_checks.listed(self._scope.catalog()))

    def run_checks(self) -> pd.DataFrame:
        """Run the data checks on this state: name, passed, offending_rows, error."""
        import pandas as pd

        from absdb.sql.checks import run_checks

        found = run_checks(self._scope)
        rows = [(one.name, one.passed, 0 if one.passed else one.rows.num_rows, one.error) for one in found]
        return pd.DataFrame(rows, columns=["name", "passed", "offending_rows", "error"])

    def _checks(self) -> Checks:
        engine = self._scope.engine

        def run(result: Transaction | Point, before: DatabaseCatalog | None) -> None:
            after = (
                result.catalog
                if isinstance(result, Transaction)
                else engine.history.catalog_at(result.lineage)
            )
            if data_checks.are_any(after, before):
                from absdb.sql.checks import checks_for

                checks_for(engine)(result, before)

        return run

    def _terms(
        self, on_conflict: OnConflict, resolutions: Any, dry_run: bool, message: str, author: str | None
    ) -> Terms:
        return Terms(Rules(on_conflict, Resolutions(resolutions)), dry_run, message, author, self._checks())

    def _point_of(self, source: Any) -> Point:
        if not isinstance(source, DatabaseMerges) or source._scope.engine is not self._scope.engine:
            raise InvalidInputError(
                f"{source!r} is not a database of this instance", hint='pass one, such as shop["staging"]'
            )
        return source._scope.point()

    def _result(self, found: Merged, *, dry_run: bool) -> MergeResult:
        def undo(lsn: Lsn, on_conflict: OnConflict, resolutions: Any) -> MergeResult:
            return self.revert(lsn=lsn, on_conflict=on_conflict, resolutions=resolutions)

        return MergeResult(found, dry_run=dry_run, undo=undo)
