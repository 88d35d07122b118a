"""The commit log of one database, newest first, as a table people can read.

A branch's log goes on into the history of what it was branched from; restores and branchings show as entries of
their own kind. Costs what is asked for with `limit`, not the whole history.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pyarrow as pa

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.lineage import remainder
from absdb.engine.engine import Engine
from absdb.ids import EraId, Lsn
from absdb.versioning.as_of import Point

LOG_SCHEMA = pa.schema(
    [
        ("lsn", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("author", pa.string()),
        ("message", pa.string()),
        ("kind", pa.string()),
        ("tables", pa.list_(pa.string())),
        ("rows_inserted", pa.int64()),
        ("rows_updated", pa.int64()),
        ("rows_deleted", pa.int64()),
    ]
)
NO_ERA = EraId(0)


def log(engine: Engine, point: Point, *, limit: int | None = None) -> pa.Table:
    """Commits that led to `point`, and what happened to the database as a whole: LOG_SCHEMA, newest first."""
    spans = [(era, after, upto) for era, after, upto in remainder(point.lineage, ())]
    spans.append((NO_ERA, -1, point.lsn))
    found = (entry for entry in engine.log.entries(spans) if _concerns(entry, point))
    rows = [_row(engine, entry) for entry in islice(found, limit)]
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * len(LOG_SCHEMA)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, LOG_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LOG_SCHEMA)


def _concerns(entry: CommitEntry, point: Point) -> bool:
    return entry.era != NO_ERA or entry.database_id == point.database.id


def _row(engine: Engine, entry: CommitEntry) -> tuple[object, ...]:
    names = []
    if entry.tables:
        era = engine.history.eras.get(EraId(entry.era))
        lineage = () if era is None else (*era.base, (era.id, entry.lsn))
        tables = engine.history.catalog_at(lineage).tables if lineage else {}
        names = [tables[t].full_name if t in tables else f"table {t}" for t, *_ in entry.tables]  # type: ignore[index]  # a table id from the log
    sums = [sum(counts[at] for counts in entry.tables) for at in (1, 2, 3)]
    kind = "schema" if entry.schema_changed and entry.kind == "commit" and not any(sums) else entry.kind
    return (
        str(Lsn(entry.lsn)),
        entry.time_us,
        entry.author or None,
        entry.message or None,
        kind,
        names,
        *sums,
    )
