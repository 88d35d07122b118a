"""Every version one row has had along a database's history, with the commit that wrote it.

The runs of the lineage know all versions still kept; where the oldest ones have expired, the history begins with
the version the oldest kept image or reverse run holds. One key lookup a run; history is never replayed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.lineage import Lineage, remainder
from absdb.catalog.schema import TableSchema
from absdb.engine.cover import EraCover, Hit, hit_of
from absdb.engine.engine import Engine
from absdb.engine.reader import physical_row
from absdb.ids import Lsn
from absdb.pages.section import DELETE, Key
from absdb.pages.types import physical_type, to_logical

DETAILS = pa.schema(
    [
        ("lsn", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("author", pa.string()),
        ("message", pa.string()),
        ("operation", pa.string()),
    ]
)


class _Version(NamedTuple):
    lsn: int
    deleted: bool
    hit: Hit


def row_history(engine: Engine, schema: TableSchema, lineage: Lineage, key: Key) -> pa.Table:
    """Versions of one row, oldest first: lsn, time, author, message, operation, then the table's columns.

    operation is insert, update or delete; the columns of a deletion are null. Columns that came later read as
    their initial default.
    """
    own = engine.history.table_lineage(lineage, schema.id)
    versions = _versions(engine, schema, own, key)
    commits = _commits(engine, own)
    rows: list[list[Any]] = []
    alive = False
    for version in versions:
        entry = commits.get(version.lsn)
        operation = "delete" if version.deleted else "update" if alive else "insert"
        if version.deleted and not alive:
            continue
        alive = not version.deleted
        rows.append([version, entry, operation])
    return _table(schema, rows)


def _versions(engine: Engine, schema: TableSchema, lineage: Lineage, key: Key) -> list[_Version]:
    found: dict[int, _Version] = {}
    for era, after, upto in remainder(lineage, ()):
        cover = engine.covers.eras.get((era, schema.id))
        if cover is not None:
            for version in _in_cover(cover, key, after, upto):
                found.setdefault(version.lsn, version)
    start, fixed = engine.covers.start(engine.history, schema, lineage)
    if start and any((era, schema.id) in engine.covers.expired for era, _ in lineage):
        # The newest layer decides: what an older one has may be of a later state, which a reverse run leads back from.
        places = (section.find(key) for section in reversed(fixed))
        place = next((place for place in places if place is not None), None)
        if place is not None:
            hit = hit_of(*place)
            found.setdefault(hit.lsn, _Version(hit.lsn, hit.deleted, hit))
    return [found[lsn] for lsn in sorted(found)]


def _in_cover(cover: EraCover, key: Key, after: int, upto: int) -> list[_Version]:
    runs, buffer = cover.view
    found = []
    for run in runs:
        if run.hi > after and run.lo < upto:
            for lsn, op, page, row in run.versions(key):
                if after < lsn <= upto:
                    found.append(_Version(lsn, op == DELETE, hit_of(page, row)))
    if buffer is not None:
        at = buffer.newest.get(key, -1)
        while at >= 0:
            lsn = buffer.lsns[at]
            if after < lsn <= upto:
                deleted = buffer.ops[at] == DELETE
                hit = Hit(deleted, lsn, None, at, buffer.rows[at], buffer.schema)
                found.append(_Version(lsn, deleted, hit))
            at = buffer.previous[at]
    return found


def _commits(engine: Engine, lineage: Lineage) -> dict[int, CommitEntry]:
    spans = [(era, after, upto) for era, after, upto in remainder(lineage, ())]
    return {entry.lsn: entry for entry in engine.log.entries(spans)}


def _table(schema: TableSchema, rows: list[list[Any]]) -> pa.Table:
    stored = [
        (None,) * len(schema.stored) if version.deleted else physical_row(schema, version.hit)
        for version, _, _ in rows
    ]
    entries = [entry for _, entry, _ in rows]
    details = [
        [str(Lsn(version.lsn)) for version, _, _ in rows],
        [None if e is None else e.time_us for e in entries],
        [None if e is None else e.author for e in entries],
        [None if e is None else e.message for e in entries],
        [operation for _, _, operation in rows],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(details, DETAILS, strict=True)]
    fields = list(DETAILS)
    for at, column in enumerate(schema.columns):
        kind = physical_type(column.type)
        values = pa.array([row[at] for row in stored], kind)
        arrays.append(to_logical(values, column.type))
        fields.append(pa.field(column.name, column.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
