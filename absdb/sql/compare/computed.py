"""Queries that are not a user's: over streams of ours, run by DuckDB, which spills what does not fit in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from absdb.engine.engine import Engine
from absdb.sql.duck.connection import backend_of
from absdb.sql.query.prepared import Prepared
from absdb.sql.query.result import Result
from absdb.sql.query.run import Running


def computed(engine: Engine, text: str, objects: Mapping[str, Any], held: Sequence[Any] = ()) -> Result:
    """The rows of a query in which the names in `objects` are tables."""
    prepared = Prepared(text, [], dict(objects), [], list(held))
    return Result(Running(backend_of(engine), prepared, {}), held=[*held, objects])
