"""Queries: SELECT and everything that gives rows the same way.

Called by dispatch.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine.origin import origin, query_facts
from absdb.frame_origin import Provenance
from absdb.sql.query.by_key import rows_by_key
from absdb.sql.query.names import Moment
from absdb.sql.query.result import Result
from absdb.sql.query.run import Running

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """The rows, streamed; by key without DuckDB where it would give the same."""
    moment = call.moment()
    found = rows_by_key(call, moment)
    if found is not None:
        return Result(found, statement="SELECT", origin=_origin(call, moment))
    rewriter = call.rewriter()
    moment = rewriter.moment
    prepared = rewriter.prepare(call.text, [call.statement.named])
    running = Running(call.session.backend, prepared, call.values)
    made = _origin(call, moment, prepared.frames_read)
    return Result(running, statement="SELECT", held=prepared.held, origin=made)


def _origin(call: Call, moment: Moment, frames: Sequence[str] = ()) -> Provenance | None:
    """What frames of the rows remember; nothing where whoever asks must not know of the instance's directory."""
    session = call.session
    if session.strangers:
        return None
    facts = query_facts(call.statement.written, call.values)
    facts["lost"] += tuple(f"frame {name}" for name in dict.fromkeys(frames))
    if session.variables or session.duckdb_settings:
        facts["lost"] += ("variables and settings of the session",)
    if session.namespace != DEFAULT_NAMESPACE:
        facts["schema"] = session.namespace
    name, uncommitted = moment.current.info.name, session.has_written
    return origin(moment.engine, name, moment.lsn, "query", uncommitted=uncommitted, **facts)
