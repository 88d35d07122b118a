"""PEP 249 for absdb: connections, cursors and exceptions that programs made for any database know.

    from absdb import dbapi

    with dbapi.connect("shop", database="staging") as connection:      # commits at the end, and closes
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, total FROM orders WHERE total > ?", [100])
            cursor.fetchall()
            cursor.executemany("INSERT INTO orders VALUES (?, ?)", rows)

Transactions begin by themselves and end with commit() or rollback(); `autocommit=True` does without. Rows also come as
Arrow and pandas: `fetch_arrow_table`, `fetch_record_batch`, `fetch_df`. Threads may share the module, not a connection.
"""

from __future__ import annotations

from absdb.dbapi.connection import Connection, connect
from absdb.dbapi.cursor import Cursor
from absdb.dbapi.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from absdb.dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
    TypeObject,
)

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "TypeObject",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]
