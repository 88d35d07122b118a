"""ON CONFLICT, OR REPLACE and OR IGNORE: what happens to rows whose key, or whose UNIQUE values, are there already.

Called by insert.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.sql.source import error_at

if TYPE_CHECKING:
    from absdb.sql.insert_plan import Conflict
    from absdb.sql.session import Call
    from absdb.sql.target import TargetRef
    from absdb.versioning.scope import TransactionScope


def insert_or(
    call: Call,
    scope: TransactionScope,
    schema: TableSchema,
    target: TargetRef,
    conflict: Conflict,
    given: pa.Table,
) -> pa.Table:
    """Insert rows, or do what the statement says about those that are there; the rows written, as they are now."""
    raise error_at(call.text, conflict.at, "ON CONFLICT is not there yet")
