"""absdb: a durable, embedded database for notebooks that branches, diffs and travels in time.

    import absdb

    shop = absdb.connect("shop")                       # an instance: a directory, or ":memory:"
    main = shop["main"]                                # a database
    main.create_table("orders", frame, key="id")
    staging = main.branch("staging")
    staging["orders"].update({"id": 1, "status": "paid"})
    staging.diff(main).summary()

Importing it is light: the engine is loaded by the first `connect`, pandas and DuckDB when they are needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from absdb.clock import ManualClock, SystemClock
from absdb.errors import (
    AbsdbError,
    AlreadyExistsError,
    ConflictError,
    ConstraintError,
    CorruptionError,
    CorruptLogError,
    DataCheckError,
    EnginePoisonedError,
    FormatVersionError,
    HistoryExpiredError,
    InvalidInputError,
    LockedError,
    MergeConflictError,
    MergeConstraintError,
    NotFoundError,
    QueryError,
    ReadConflictError,
    SchemaMismatchError,
    StateError,
    StorageError,
    UnknownNameError,
    WriteConflictError,
)
from absdb.ids import Lsn

if TYPE_CHECKING:
    from absdb.bisection import Bisection
    from absdb.database import Database
    from absdb.diff import Diff, TableDiff
    from absdb.engine.constraint_definition import Check, ForeignKey, Unique
    from absdb.engine.definition import ColumnDefinition as Column
    from absdb.frame_digest import digest
    from absdb.frame_origin import Provenance, provenance
    from absdb.frame_refresh import refresh
    from absdb.instance import Instance, connect, open_instances
    from absdb.merge_result import MergeResult
    from absdb.panels import workbench
    from absdb.restoring import promote, restore
    from absdb.stored_backups import backups, drill, purge_backups, verify
    from absdb.table import Table
    from absdb.transaction import TransactionHandle
    from absdb.versioning.policies import register as register_merge_policy

__version__ = "0.1.0"

_LAZY: dict[str, tuple[str, str]] = {
    "Bisection": ("absdb.bisection", "Bisection"),
    "Check": ("absdb.engine.constraint_definition", "Check"),
    "Column": ("absdb.engine.definition", "ColumnDefinition"),
    "Database": ("absdb.database", "Database"),
    "Diff": ("absdb.diff", "Diff"),
    "ForeignKey": ("absdb.engine.constraint_definition", "ForeignKey"),
    "Instance": ("absdb.instance", "Instance"),
    "Provenance": ("absdb.frame_origin", "Provenance"),
    "Table": ("absdb.table", "Table"),
    "TableDiff": ("absdb.diff", "TableDiff"),
    "TransactionHandle": ("absdb.transaction", "TransactionHandle"),
    "Unique": ("absdb.engine.constraint_definition", "Unique"),
    "backups": ("absdb.stored_backups", "backups"),
    "purge_backups": ("absdb.stored_backups", "purge_backups"),
    "verify": ("absdb.stored_backups", "verify"),
    "MergeResult": ("absdb.merge_result", "MergeResult"),
    "connect": ("absdb.instance", "connect"),
    "digest": ("absdb.frame_digest", "digest"),
    "drill": ("absdb.stored_backups", "drill"),
    "open_instances": ("absdb.instance", "open_instances"),
    "promote": ("absdb.restoring", "promote"),
    "provenance": ("absdb.frame_origin", "provenance"),
    "refresh": ("absdb.frame_refresh", "refresh"),
    "restore": ("absdb.restoring", "restore"),
    "panels": ("absdb.panels", ""),
    "workbench": ("absdb.panels", "workbench"),
    "register_merge_policy": ("absdb.versioning.policies", "register"),
}

__all__ = [
    "AbsdbError",
    "AlreadyExistsError",
    "Bisection",
    "Check",
    "Column",
    "ConflictError",
    "ConstraintError",
    "CorruptLogError",
    "CorruptionError",
    "DataCheckError",
    "Database",
    "Diff",
    "EnginePoisonedError",
    "ForeignKey",
    "FormatVersionError",
    "HistoryExpiredError",
    "Instance",
    "InvalidInputError",
    "LockedError",
    "Lsn",
    "ManualClock",
    "MergeConflictError",
    "MergeConstraintError",
    "MergeResult",
    "NotFoundError",
    "Provenance",
    "QueryError",
    "ReadConflictError",
    "SchemaMismatchError",
    "StateError",
    "StorageError",
    "SystemClock",
    "Table",
    "TableDiff",
    "TransactionHandle",
    "Unique",
    "UnknownNameError",
    "WriteConflictError",
    "__version__",
    "backups",
    "connect",
    "digest",
    "drill",
    "open_instances",
    "panels",
    "promote",
    "provenance",
    "purge_backups",
    "refresh",
    "register_merge_policy",
    "restore",
    "verify",
    "workbench",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'absdb' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    found = importlib.import_module(module)
    value = globals()[name] = getattr(found, attribute) if attribute else found
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext absdb`: the magics `%absdb`, `%%sql`, `%%branch` and `%undo` in this shell; `%%absdb?` tells more."""
    from absdb.magics.extension import load

    return load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext absdb`: take the magics back, and close the instances that they have opened."""
    from absdb.magics.extension import unload

    return unload(ipython)
