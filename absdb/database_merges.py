"""DatabaseMerges: what a database takes over from others, and takes back. Forwards to versioning/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absdb.database_tables import DatabaseTables
from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from absdb.merge_result import MergeResult
from absdb.versioning import merge, revert
from absdb.versioning.conflicts import Resolutions
from absdb.versioning.merge import Merged
from absdb.versioning.merge_states import Rules

if TYPE_CHECKING:
    from absdb.versioning.as_of import Point

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

        MergeConstraintError if the result would break constraints, DataCheckError if a data check does not hold.
        `dry_run` reports all of that and writes nothing. The cost follows what changed since the merge base.

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
        rules = Rules(on_conflict, Resolutions(resolutions))
        engine, info = self._scope.engine, self._scope.current()
        at = Lsn.parse(lsn)
        found = revert.revert(engine, info, at, rules=rules, dry_run=dry_run, message=message, author=author)
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
        rules = Rules(on_conflict, Resolutions(resolutions))
        found = revert.cherry_pick(
            self._scope.engine,
            self._scope.current(),
            self._point_of(source),
            Lsn.parse(lsn),
            rules=rules,
            dry_run=dry_run,
            message=message,
            author=author,
        )
        return self._result(found, dry_run=dry_run)

    def _point_of(self, source: Any) -> Point:
        if not isinstance(source, DatabaseMerges) or source._scope.engine is not self._scope.engine:
            raise InvalidInputError(
                f"{source!r} is not a database of this instance", hint='pass one, such as shop["staging"]'
            )
        return source._scope.point()

    def _result(self, found: Merged, *, dry_run: bool) -> MergeResult:
        return MergeResult(found, dry_run=dry_run, undo=lambda lsn: self.revert(lsn=lsn))
