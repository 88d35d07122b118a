"""Every exception absdb raises on purpose, grouped by what a caller can do about it.

    AbsdbError
    ├── NotFoundError (LookupError)        the name, key, LSN or file is not there
    │   └── HistoryExpiredError            it was there; its history has been dropped
    ├── AlreadyExistsError                 the name is taken
    ├── InvalidInputError (ValueError)     what was passed in cannot be accepted; nothing changed
    │   ├── SchemaMismatchError            columns or types do not fit the table
    │   └── ConstraintError                rows break a constraint of the table
    │       ├── MergeConstraintError       ... the result of a merge would
    │       └── DataCheckError             ... a named data check of the database does not hold
    ├── ConflictError                      somebody else was first; run the transaction again
    │   ├── WriteConflictError             two transactions wrote the same key
    │   ├── ReadConflictError              what a serializable transaction read was changed meanwhile
    │   └── MergeConflictError             both sides of a merge changed the same thing differently
    ├── StateError                         right call, wrong moment: closed, read-only, protected
    │   └── LockedError                    another process holds the instance
    ├── QueryError                         an SQL text or an expression cannot be run
    │   └── UnknownNameError (NotFoundError)   ... it names something that is not there
    ├── StorageError (OSError)             the disk refused: full, unreadable, not permitted
    ├── CorruptionError                    bytes are not what was written
    │   ├── CorruptLogError                ... in the write-ahead log
    │   └── FormatVersionError             ... they were written by a newer absdb
    └── EnginePoisonedError                a sync failed; reopen the instance to find out what is durable

A message says what, where, what was expected and what was found; `hint` says what to do. Both are in
`str(error)`. Extra facts are attributes, so that programs need not parse text.
"""

from __future__ import annotations

from html import escape
from typing import Any


class AbsdbError(Exception):
    """The root: every error absdb raises on purpose. `hint` is advice to the reader, "" if there is none."""

    def __init__(self, message: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def _repr_html_(self) -> str:
        hint = f"<div>hint: {escape(self.hint)}</div>" if self.hint else ""
        return f"<div><b>{type(self).__name__}</b>: {escape(self.message)}{hint}{self._details()}</div>"

    def _details(self) -> str:
        """More of it as HTML."""
        return ""

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.facts)


def _rebuild(kind: type[AbsdbError], message: str, hint: str, facts: dict[str, Any]) -> AbsdbError:
    """Make an error again on the other side of a process boundary."""
    return kind(message, hint=hint, **facts)


class NotFoundError(AbsdbError, LookupError):
    """The named thing is not there."""


class HistoryExpiredError(NotFoundError):
    """The point in the past was there once; retention has dropped what it needs."""


class AlreadyExistsError(AbsdbError):
    """The name is taken."""


class InvalidInputError(AbsdbError, ValueError):
    """What was passed in cannot be accepted; nothing was changed."""


class SchemaMismatchError(InvalidInputError):
    """Columns or types do not fit the table."""


class ConstraintError(InvalidInputError):
    """Rows break a constraint: `table`, `constraint`, `keys` (the first few that do)."""


class MergeConstraintError(ConstraintError):
    """The result of a merge would break constraints: `violations`, a frame with a row for each."""

    @property
    def violations(self) -> Any:
        """A pandas frame: table_name, constraint_name, key, message; a row for each row that breaks something."""
        return self.facts["violation_data"].frame()

    def _details(self) -> str:
        return str(self.violations._repr_html_()) if "violation_data" in self.facts else ""


class DataCheckError(ConstraintError):
    """A named data check does not hold: `checks`, the names of those that failed; `rows`, a frame for each."""

    @property
    def rows(self) -> Any:
        """Name of each check that failed → a pandas frame of the first rows that offend."""
        return {name: found.to_pandas() for name, found in self.facts["rows"].items()}


class ConflictError(AbsdbError):
    """Somebody else was first; running the transaction again may succeed."""


class WriteConflictError(ConflictError):
    """Two transactions wrote the same row; the later one lost: `table`, `keys`."""


class ReadConflictError(ConflictError):
    """What a serializable transaction had read was changed before it committed: `table`."""


class MergeConflictError(ConflictError):
    """Both sides of a merge changed the same things differently: `conflicts`, a frame to edit and hand back."""

    @property
    def conflicts(self) -> Any:
        """A pandas frame, a row for each conflict, to fill in and pass as resolutions=.

        table_name, kind (cell, row, add/add, delete/modify, schema), key (a tuple for several columns), column_name,
        base_value, our_value, their_value; and to fill in resolution: ours, theirs, base, or value with resolved_value.
        """
        return self.facts["conflict_data"].frame()

    def _details(self) -> str:
        return str(self.conflicts._repr_html_()) if "conflict_data" in self.facts else ""


class StateError(AbsdbError):
    """The right call at the wrong moment: a closed handle, a read-only or protected database."""


class LockedError(StateError):
    """Another process holds the instance: `pid`, `host`."""


class QueryError(AbsdbError):
    """An SQL text or an expression cannot be run."""


class UnknownNameError(QueryError, NotFoundError):
    """An SQL text names a table, column, database, snapshot, … that is not there."""


class StorageError(AbsdbError, OSError):
    """The disk refused: full, unreadable, not permitted. `path`, `errno`."""

    def __init__(self, message: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(message, hint=hint, **facts)
        # OSError has slots of these names, which would hide the facts.
        self.errno = facts.get("errno")
        self.strerror = facts.get("strerror")


class CorruptionError(AbsdbError):
    """Bytes are not what was written: `path`, `offset`."""


class CorruptLogError(CorruptionError):
    """The write-ahead log is damaged at `lsn`, with `bytes_after` bytes of log in doubt."""


class FormatVersionError(CorruptionError):
    """The file was written in a format this absdb does not know: `path`, `found`, `known`."""


class EnginePoisonedError(AbsdbError):
    """A sync failed, so what is on disk is unknown; nothing more is written until the instance is reopened."""
