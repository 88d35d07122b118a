"""The dialect: what absdb can do, how SQLAlchemy connects to it, transactions and isolation.

A transaction begins with its first statement and is a snapshot; AUTOCOMMIT makes every statement a commit of its own.
SQLAlchemy finds it by the entry point `absdb` of the group `sqlalchemy.dialects`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any

from sqlalchemy import URL, pool, util
from sqlalchemy.dialects.sqlite.json import JSONIndexType, JSONPathType
from sqlalchemy.engine import Connection, default
from sqlalchemy.engine.interfaces import ConnectArgsType, DBAPIConnection, IsolationLevel
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql import sqltypes
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from absdb.paths import NAME_MAX
from absdb.sql.text.tokens import literal
from absdb.sqlalchemy.compilers import (
    AbsdbCompiler,
    AbsdbDDLCompiler,
    AbsdbIdentifierPreparer,
    AbsdbTypeCompiler,
)
from absdb.sqlalchemy.reflection import Reflection
from absdb.sqlalchemy.types import AbsdbInterval, AbsdbNumeric

_FLAGS = ("read_only", "autocommit", "create")
_LEVELS = ("AUTOCOMMIT", "READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SNAPSHOT", "SERIALIZABLE")
_in_memory = count(1)


class AbsdbExecutionContext(default.DefaultExecutionContext):
    """One statement being run."""

    def fire_sequence(self, seq: Any, type_: Any) -> int:
        """The next value of a sequence."""
        name = self.identifier_preparer.format_sequence(seq)
        value: int = self._execute_scalar(f"SELECT nextval({literal(name)})", type_)
        return value


class AbsdbDialect(Reflection, default.DefaultDialect):  # type: ignore[misc]  # answers are plain dicts
    """SQLAlchemy's view of absdb."""

    name = "absdb"
    driver = "absdb"
    default_paramstyle = "qmark"

    execution_ctx_cls = AbsdbExecutionContext
    statement_compiler = AbsdbCompiler
    ddl_compiler = AbsdbDDLCompiler
    type_compiler_cls = AbsdbTypeCompiler
    preparer = AbsdbIdentifierPreparer
    _backslash_escapes = False
    colspecs = {  # noqa: RUF012  # as SQLAlchemy declares it
        sqltypes.JSON.JSONIndexType: JSONIndexType,
        sqltypes.JSON.JSONPathType: JSONPathType,
        sqltypes.Interval: AbsdbInterval,
        sqltypes.Numeric: AbsdbNumeric,
        sqltypes.Float: sqltypes.Float,
    }
    """Keys and positions as JSON paths: `$."a"[1]`."""

    max_identifier_length = NAME_MAX

    supports_statement_cache = True
    supports_comments = True
    supports_default_values = True
    supports_default_metavalue = True
    supports_empty_insert = False
    supports_identity_columns = True
    supports_multivalues_insert = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_native_uuid = True
    supports_sequences = True
    sequences_optional = True
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = True
    returns_native_bytes = True
    postfetch_lastrowid = False
    insert_returning = True
    update_returning = True
    delete_returning = True
    tuple_in_values = True
    div_is_floordiv = False
    use_insertmanyvalues = True
    insertmanyvalues_implicit_sentinel = InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
    """Rows are numbered, and given back, in the order of VALUES."""

    # SQLAlchemy finds the arguments of create_engine() among those that can be given by position.
    def __init__(
        self,
        json_serializer: Callable[[Any], str] | None = None,
        json_deserializer: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._json_serializer = json_serializer
        self._json_deserializer = json_deserializer

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The driver."""
        from absdb import dbapi

        return dbapi

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """Connections are kept; those to an instance in memory share it."""
        return pool.QueuePool

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """The arguments of absdb.dbapi.connect."""
        if url.host or url.username or url.port:
            raise ArgumentError(
                f"{url} names a host or a user, which a local instance has not;"
                " write absdb:///directory, with four slashes for an absolute path"
            )
        path = url.database or ":memory:"
        if path == ":memory:":
            path = f":memory:sqlalchemy {next(_in_memory)}"
        given: dict[str, Any] = dict(url.query)
        for name in _FLAGS:
            if name in given:
                given[name] = util.asbool(given[name])
        return (path,), given

    # -- transactions

    def get_isolation_level_values(self, dbapi_conn: DBAPIConnection) -> list[IsolationLevel]:
        """All but AUTOCOMMIT and SERIALIZABLE are snapshot isolation."""
        levels: Any = list(_LEVELS)
        found: list[IsolationLevel] = levels
        return found

    def set_isolation_level(self, dbapi_connection: DBAPIConnection, level: IsolationLevel) -> None:
        """For the transactions to come."""
        ours: Any = dbapi_connection
        ours.autocommit = level == "AUTOCOMMIT"
        if level != "AUTOCOMMIT":
            ours.isolation_level = level

    def get_isolation_level(self, dbapi_connection: DBAPIConnection) -> IsolationLevel:
        """AUTOCOMMIT, SNAPSHOT or SERIALIZABLE."""
        ours: Any = dbapi_connection
        level: IsolationLevel = "AUTOCOMMIT" if ours.autocommit else ours.isolation_level
        return level

    def detect_autocommit_setting(self, dbapi_conn: DBAPIConnection) -> bool:
        """Whether every statement is a commit of its own."""
        ours: Any = dbapi_conn
        on: bool = ours.autocommit
        return on

    def get_default_isolation_level(self, dbapi_conn: DBAPIConnection) -> IsolationLevel:
        return self.get_isolation_level(dbapi_conn)

    def is_disconnect(self, e: Exception, connection: Any, cursor: Any) -> bool:
        """Whether the connection was closed by other means."""
        ours = getattr(connection, "dbapi_connection", connection)
        return ours is not None and bool(getattr(ours, "closed", False))

    # -- where it stands

    def _get_default_schema_name(self, connection: Connection) -> str:
        ours: Any = connection.connection.dbapi_connection
        schema: str = ours.schema
        return schema
