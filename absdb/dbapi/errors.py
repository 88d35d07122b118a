"""The exceptions of PEP 249, which are absdb's own at the same time.

    Error                       absdb.AbsdbError
    ├── InterfaceError          the driver was used in a wrong way: a closed connection or cursor
    └── DatabaseError
        ├── DataError           a value does not fit: SchemaMismatchError, a division or cast in a query
        ├── OperationalError    ConflictError, StateError, LockedError, StorageError, HistoryExpiredError
        ├── IntegrityError      ConstraintError
        ├── InternalError       CorruptionError, EnginePoisonedError
        ├── ProgrammingError    QueryError, NotFoundError, AlreadyExistsError, InvalidInputError
        └── NotSupportedError   what DuckDB does not do

What a driver raises is of both classes: a misspelt table is caught by `except dbapi.ProgrammingError` and by
`except absdb.QueryError`, with message, hint and facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from absdb.errors import (
    AbsdbError,
    AlreadyExistsError,
    ConflictError,
    ConstraintError,
    CorruptionError,
    EnginePoisonedError,
    HistoryExpiredError,
    InvalidInputError,
    NotFoundError,
    QueryError,
    SchemaMismatchError,
    StateError,
    StorageError,
)


class Warning(Exception):
    """Part of PEP 249; nothing raises it."""


class Error(AbsdbError):
    """Every error of the driver."""


class InterfaceError(Error):
    """The driver was used in a wrong way."""


class DatabaseError(Error):
    """The database refused."""


class DataError(DatabaseError):
    """A value is out of range, of a wrong type or form."""


class OperationalError(DatabaseError):
    """Circumstances that the program did not make: a conflict, a lock, a disk, the wrong moment."""


class IntegrityError(DatabaseError):
    """Rows break a constraint."""


class InternalError(DatabaseError):
    """What is stored is damaged, or in doubt."""


class ProgrammingError(DatabaseError):
    """The statement or its parameters are wrong."""


class NotSupportedError(DatabaseError):
    """There is no such thing here."""


_CLASSES: tuple[tuple[type[AbsdbError], type[DatabaseError]], ...] = (
    (ConstraintError, IntegrityError),
    (SchemaMismatchError, DataError),
    (HistoryExpiredError, OperationalError),
    (NotFoundError, ProgrammingError),
    (AlreadyExistsError, ProgrammingError),
    (InvalidInputError, ProgrammingError),
    (ConflictError, OperationalError),
    (StateError, OperationalError),
    (StorageError, OperationalError),
    (CorruptionError, InternalError),
    (EnginePoisonedError, InternalError),
)
_OF_DUCKDB: dict[str, type[DatabaseError]] = {
    "Conversion": DataError,
    "Out of Range": DataError,
    "Mismatch Type": DataError,
    "Invalid Input": DataError,
    "Constraint": IntegrityError,
    "Out of Memory": OperationalError,
    "INTERRUPT": OperationalError,
    "IO": OperationalError,
    "Permission": OperationalError,
    "INTERNAL": InternalError,
    "Not implemented": NotSupportedError,
}


@contextmanager
def translated() -> Iterator[None]:
    """Let errors of absdb come out as the driver's."""
    try:
        yield
    except Error:
        raise
    except AbsdbError as error:
        raise of_driver(error) from error


def of_driver(error: AbsdbError) -> Error:
    """The same error, of both classes."""
    if isinstance(error, QueryError):
        kind = _OF_DUCKDB.get(str(error.facts.get("duckdb_kind")), ProgrammingError)
    else:
        kind = next((kind for own, kind in _CLASSES if isinstance(error, own)), DatabaseError)
    return _made(kind, type(error), error.message, error.hint, error.facts)


@cache
def _both(kind: Any, own: Any) -> Any:
    """A class that is caught as either; it goes to other processes by what it is made of."""

    def reduce(self: AbsdbError) -> tuple[Any, ...]:
        return _made, (kind, own, self.message, self.hint, self.facts)

    return type(kind.__name__, (kind, own), {"__module__": kind.__module__, "__reduce__": reduce})


def _made(kind: Any, own: Any, message: str, hint: str, facts: dict[str, Any]) -> Error:
    made: Error = _both(kind, own)(message, hint=hint, **facts)
    return made
