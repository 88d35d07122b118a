"""Queries: SELECT and everything that gives rows the same way.

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.query.by_key import rows_by_key
from absdb.sql.query.result import Result
from absdb.sql.query.run import Running

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """The rows, streamed; by key without DuckDB where it would give the same."""
    found = rows_by_key(call)
    if found is not None:
        return Result(found, statement="SELECT")
    prepared = call.prepare(call.text)
    running = Running(call.session.backend, prepared, call.values)
    return Result(running, statement="SELECT", held=prepared.held)
