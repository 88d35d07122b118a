"""A recovered instance beside the one it is a copy of: every table of every database, by digests of its rows.

Compared is what both had at the LSN of the recovery, so that the source may have gone on since. A lineage names that
state in the source; it is not there if the source has taken another way. Called by drill.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from absdb.backup.drill_report import ComparedTable
from absdb.backup.known import is_known
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage, format_lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import HistoryExpiredError
from absdb.frame_digest import digest
from absdb.ids import Lsn


def differing_databases(source: Engine, recovered: Engine, lsn: int, *, whole: bool) -> Iterator[str]:
    """What is the matter with databases: one is missing, if the backup is `whole`, or stands at another state."""
    found = {info.id: (info, lineage) for info, lineage in recovered.heads()}
    there = dict(source.history.databases)
    if whole:
        missing = [
            info.name for number, info in there.items() if info.created_lsn <= lsn and number not in found
        ]
        yield from (f"database {name!r} of the source is not in the backup" for name in missing)
    for number, (info, lineage) in found.items():
        if number not in there:
            continue  # dropped since
        expected = source.history.lineage_of(there[number], lsn, source.log.last_at_or_below)
        if expected != lineage:
            yield (
                f"database {info.name!r} comes back as {format_lineage(lineage)}, and was "
                f"{format_lineage(expected)} in the source at LSN {Lsn(lsn)}"
            )
        elif lineage and not is_known(source, recovered, lineage):
            yield f"database {info.name!r} has commits or definitions that the source does not have there"


def compared_tables(source: Engine, recovered: Engine) -> Iterator[ComparedTable]:
    """Each table of each recovered database that the source still has. Costs reading every row on both sides."""
    for info, lineage in recovered.heads():
        if info.id in source.history.databases and is_known(source, recovered, lineage):
            for schema in recovered.history.catalog_at(lineage).tables.values():
                yield _compared(source, recovered, info, lineage, schema)


def _compared(
    source: Engine, recovered: Engine, info: DatabaseInfo, lineage: Lineage, schema: TableSchema
) -> ComparedTable:
    rows, found = _digest(recovered, lineage, schema)
    try:
        source_rows, expected = _digest(source, lineage, schema)
    except HistoryExpiredError:
        return ComparedTable(
            database=info.name,
            table=schema.full_name,
            outcome="expired",
            rows=rows,
            source_rows=None,
            digest=found,
            source_digest=None,
        )
    return ComparedTable(
        database=info.name,
        table=schema.full_name,
        outcome="same" if (rows, found) == (source_rows, expected) else "differs",
        rows=rows,
        source_rows=source_rows,
        digest=found,
        source_digest=expected,
    )


def _digest(engine: Engine, lineage: Lineage, schema: TableSchema) -> tuple[int, str]:
    """Rows and digest of a table at a state."""
    reader = TableReader(schema, engine.covers.resolve(engine.history, schema, lineage))
    rows = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in reader.scan():
            rows += batch.num_rows
            yield batch

    found = digest(pa.RecordBatchReader.from_batches(schema.arrow_schema, batches()))
    return rows, found
