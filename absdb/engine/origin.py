"""What frames remember of the engine they were read from: which instance, database and LSN, and what was asked for.

Called by whatever hands out rows as frames; frame_origin.py says what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from absdb.engine.engine import Engine
from absdb.engine.told import time_told
from absdb.frame_origin import QUERY_MAX, Provenance, kept_values
from absdb.ids import Lsn


def origin(engine: Engine, database: str, lsn: int, kind: str, **facts: Any) -> Provenance:
    """The provenance of rows read at an LSN; `facts` are further fields of it. Costs some µs."""
    return Provenance(
        instance=engine.fs.root,
        instance_id=engine.control.instance_id.hex(),
        database=database,
        lsn=Lsn(lsn),
        time_us=time_told(engine, lsn),
        kind=kind,
        **facts,
    )


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """`options` of what was asked for beside the table, but for None and []; those that are not kept are `lost`."""
    found, lost = {}, []
    for name, value in given.items():
        if value is None or value == []:
            continue
        try:
            found[name] = kept_values(value)
        except ValueError:
            lost.append(name)
    return {"options": found or None, "lost": tuple(lost)}


def query_facts(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`query` and `parameters`; what is too long or no plain value is `lost`."""
    lost, kept = [], None
    if len(text) > QUERY_MAX:
        text = f"{text[: QUERY_MAX - 1]}…"
        lost.append("query")
    if parameters:
        try:
            kept = kept_values(parameters)["dict"]
        except ValueError:
            lost.append("parameters")
    return {"query": text, "parameters": kept, "lost": tuple(lost)}
