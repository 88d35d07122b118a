"""What there is in an instance, as Arrow tables: databases, branches, snapshots, and who keeps history alive.

For metadata calls, system tables and panels. LSNs are text, as everywhere a user sees them; times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage, position
from absdb.engine.engine import Engine
from absdb.engine.listing import field, listed
from absdb.engine.pins import all_pins
from absdb.ids import DatabaseId, Lsn
from absdb.versioning.divergence import diverged_pages
from absdb.versioning.schema_diff import SchemaChange

TIME = pa.timestamp("us", tz="UTC")
DATABASES = pa.schema(
    [
        field("name", pa.string()),
        field("tables", pa.int64()),
        field("lsn", pa.string()),
        field("created_at", TIME),
        field("created_from", pa.string(), nullable=True),
        field("protected", pa.bool_()),
        field("comment", pa.string()),
    ]
)
BRANCHES = pa.schema(
    [
        field("name", pa.string()),
        field("created_at", TIME),
        field("created_from", pa.string(), nullable=True),
        field("created_lsn", pa.string(), nullable=True),
        field("diverged_pages", pa.int64()),
        field("protected", pa.bool_()),
        field("expires_at", TIME, nullable=True),
        field("comment", pa.string()),
    ]
)
SNAPSHOTS = pa.schema(
    [
        field("name", pa.string()),
        field("database", pa.string()),
        field("lsn", pa.string()),
        field("created_at", TIME),
        field("comment", pa.string()),
    ]
)
PINS = pa.schema([field("kind", pa.string()), field("name", pa.string()), field("lsn", pa.string())])


def databases(engine: Engine) -> pa.Table:
    """Every database, in the order of creation. `lsn` is that of its last commit."""
    rows = []
    for info, lineage in _in_order(engine):
        tables = engine.history.catalog_at(lineage).tables
        lsn = str(Lsn(position(lineage)))
        rows.append(
            (info.name, len(tables), lsn, info.created_us, info.created_from, info.protected, info.comment)
        )
    return listed(DATABASES, rows)


def branches(engine: Engine) -> pa.Table:
    """Every database as a branch: what it was made from, and how far it has gone its own way.

    `created_lsn` is the LSN it starts from in its source, `diverged_pages` the pages it does not share with
    it, `expires_at` when it need not be kept any longer; all three are NULL or 0 for one that is no branch.
    """
    rows = []
    for info, _ in _in_order(engine):
        source_lsn = None if info.source_lsn is None else str(Lsn(info.source_lsn))
        expires = None if info.retain_us is None else info.created_us + info.retain_us
        pages = diverged_pages(engine, info)
        rows.append(
            (
                info.name,
                info.created_us,
                info.created_from,
                source_lsn,
                pages,
                info.protected,
                expires,
                info.comment,
            )
        )
    return listed(BRANCHES, rows)


def snapshots(engine: Engine, database: DatabaseId | None = None) -> pa.Table:
    """The snapshots of one database, or of all, in the order they were made."""
    found = [s for s in list(engine.history.snapshots.values()) if database in (None, s.database)]
    names = {info.id: info.name for info in list(engine.history.databases.values())}
    found.sort(key=lambda snapshot: (snapshot.created_us, snapshot.name))
    return listed(
        SNAPSHOTS,
        (
            (s.name, names[s.database], str(Lsn(s.lsn)), s.created_us, s.comment)
            for s in found
            if s.database in names
        ),
    )


def pins(engine: Engine) -> pa.Table:
    """Every state that is kept readable, and who wants it: head, branch, snapshot, transaction, reader."""
    return listed(PINS, ((p.kind, p.name, str(Lsn(position(p.lineage)))) for p in all_pins(engine)))


def _in_order(engine: Engine) -> list[tuple[DatabaseInfo, Lineage]]:
    return sorted(engine.heads(), key=lambda head: (head[0].created_us, head[0].id))


CHANGES = pa.schema([field(name, pa.string()) for name in SchemaChange._fields])


def schema_changes(found: Iterable[SchemaChange]) -> pa.Table:
    """table_name, kind, item, change, from_value, to_value of every difference between two schemas."""
    return listed(CHANGES, found)
