"""Folding: the newest state of one database as a fresh instance that holds nothing else.

Page files are shared between branches, so that a copy of those that one database needs would hold rows of others,
and values changed or deleted since. A fold reads the state row by row and writes it anew:

    pages/       an image of each table, in key order, with the columns that the table has now
    wal/         the segment that the log goes on in, without a record
    manifest     the database, the eras that its lineage names, its catalog, its last commit, its numbers
    control      last: without it there is no instance

The image is registered under the lineage that it equals, and rows keep the LSN that wrote them, so that an instance
whose history has that lineage can take the state back (branch.py). States before it have expired. The ids of tables,
columns and eras are those of the source, and counting goes on above every number that was handed out there.

Called by backups of a single database.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.commitlog import CommitLog
from absdb.catalog.control import write_control
from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.history import DatabaseInfo, Era, History
from absdb.catalog.lineage import Lineage, position
from absdb.catalog.manifest import ChunkRef, Manifest, write_manifest
from absdb.engine.checkpoint import manifest_of, write_covers
from absdb.engine.cover import EraCover
from absdb.engine.covers import Covers, Image
from absdb.engine.creation import check_vacant
from absdb.engine.engine import Engine
from absdb.engine.log_end import log_of
from absdb.engine.reader import TableReader
from absdb.errors import StateError
from absdb.ids import EraId, Lsn
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.pages.fold import fold_pages
from absdb.pages.section import Section
from absdb.pages.store import PageStore
from absdb.paths import CONF, CONTROL, DIRECTORIES, PAGES_DIR, WAL_DIR, timeline_history_name
from absdb.progress import Report
from absdb.settings import render_default
from absdb.versioning.as_of import Point
from absdb.wal.format import LogIdentity
from absdb.wal.segments import SegmentFiles


@dataclass(frozen=True, slots=True)
class FoldedDatabase:
    """What a fold has written."""

    name: str
    lsn: Lsn
    """The LSN at which the database was read; the folded instance goes on from there."""
    lineage: Lineage
    tables: int
    rows: int
    bytes: int
    """Size of its page files."""


def fold_database(
    engine: Engine, database: DatabaseInfo, target: FileSystem, *, progress: Report | None = None
) -> FoldedDatabase:
    """Write the newest state of a database into the empty `target` as an instance of its own.

    Costs reading and writing every row once, in bounded memory; others commit meanwhile. `progress` is told rows so
    far. StateError if `target` is not empty. A failure leaves no `control` there, so that it is no instance.
    """
    _prepare(target)
    lsn, lineage = engine.head(database.id)
    state = Point(database, Lsn(lsn), lineage)
    engine.pins.enter(state, "reader")
    try:
        return _Fold(engine, state, target, progress).run()
    finally:
        engine.pins.leave(state)


def _prepare(target: FileSystem) -> None:
    if target.exists(CONTROL):
        raise StateError(f"{target.root} holds an instance already", hint="choose an empty directory")
    check_vacant(target)
    for directory in DIRECTORIES:
        target.make_directory(directory)
    write_atomic(target, CONF, render_default().encode())


class _Fold:
    """One database on its way into an instance of its own."""

    def __init__(self, engine: Engine, state: Point, target: FileSystem, progress: Report | None) -> None:
        self.engine = engine
        self.state = state
        self.target = target
        self.progress = progress
        self.catalog = engine.history.catalog_at(state.lineage)
        self.numbers = engine.allocator.to_json()  # after the state was read: all that it uses is counted

    def run(self) -> FoldedDatabase:
        covers = self._covers()
        entry = self._last_commit()
        parts = self._parts(covers, entry)
        self._put_in_force(write_manifest(self.target, Manifest(parts)))
        return FoldedDatabase(
            self.state.database.name,
            self.state.lsn,
            self.state.lineage,
            len(self.catalog.tables),
            sum(image.section.rows for images in covers.images.values() for image in images),
            sum(parts["files"].values()),
        )

    def _parts(self, covers: Covers, entry: CommitEntry | None) -> dict[str, Any]:
        """The manifest."""
        described, files = write_covers(covers, self.state.lsn)
        chunks = self._commit_log(entry)
        files.update({chunk.name: chunk.size for chunk in chunks})
        time_us, txid = self.engine.last_seen
        parts = manifest_of(
            history=self._history(entry),
            allocator=_numbers_of(self.numbers, self.state.database, self.catalog),
            covers=described,
            chunks=[chunk.to_json() for chunk in chunks],
            files=files,
            lsn=self.state.lsn,
            time_us=time_us,
            settings=self.engine.settings,
        )
        parts["checkpoint"]["txid"] = txid
        return parts

    def _put_in_force(self, manifest: str) -> None:
        """A segment that the log goes on in, and `control`."""
        source, lsn = self.engine.control, self.state.lsn
        segments = SegmentFiles(self.target, WAL_DIR, LogIdentity(**log_of(source)))
        segments.create(lsn // source.segment_bytes, source.epoch).close()
        history = f"{WAL_DIR}/{timeline_history_name(source.timeline)}"
        if self.engine.fs.exists(history):
            write_atomic(self.target, history, read_file(self.engine.fs, history))
        control = dataclasses.replace(source, checkpoint_lsn=lsn, durable_lsn=lsn, manifest=manifest)
        write_control(self.target, control)

    def _covers(self) -> Covers:
        """An image of each table, under its lineage; the history before it has expired."""
        history, covers, done = self.engine.history, Covers(), 0
        store = PageStore(self.target, PAGES_DIR)
        for schema in self.catalog.tables.values():
            layers = self.engine.covers.resolve(history, schema, self.state.lineage)
            reader = TableReader(schema, layers)
            section = write_image(store, reader, page_rows=self.engine.settings.page_rows)
            own = history.table_lineage(self.state.lineage, schema.id)
            covers.add_image(Image(schema.id, own, section), None)
            for era, lsn in own:
                covers.expired[era, schema.id] = ((0, lsn),)
                cover = covers.eras[era, schema.id] = EraCover(schema.id, era, schema.key_spec)
                cover.schema = schema
            done += section.rows
            if self.progress is not None:
                self.progress(done)
        return covers

    def _last_commit(self) -> CommitEntry | None:
        """The commit that the lineage ends with; None for a database without any."""
        if not self.state.lineage:
            return None
        era, lsn = self.state.lineage[-1]
        return next(self.engine.log.entries([(era, lsn - 1, lsn)]), None)

    def _commit_log(self, entry: CommitEntry | None) -> list[ChunkRef]:
        log = CommitLog()
        if entry is not None:
            log.append(entry)
        return log.flush(self.target)[0]

    def _history(self, entry: CommitEntry | None) -> History:
        """The database alone, with the eras that its lineage rests on, and its catalog from their first on."""
        source, state = self.engine.history, self.state
        current = source.current_era(state.database.id)
        folded = History()
        for era in eras_under(source, (*state.lineage, (current.id, 0))):
            folded.put_era(era)
        first = state.lineage[0][0] if state.lineage else current.id
        if self.catalog.entities:
            folded.put_catalog(first, 0, self.catalog)
        info = dataclasses.replace(
            state.database,
            eras=(current.id,),
            created_us=state.database.created_us if entry is None else entry.time_us,
            created_lsn=position(state.lineage),
            created_from=None,
            source=None,
            source_lsn=None,
            retain_us=None,
        )
        folded.put_database(info)
        return folded


def write_image(store: PageStore, reader: TableReader, *, page_rows: int) -> Section:
    """The rows of a state in a new page file of `store`, durable, with the LSNs that wrote them; bounded memory."""
    schema = reader.schema
    columns = {name: schema.fills[name] for name in (column.page_name for column in schema.stored)}
    folded = fold_pages(schema.key_spec, reader.sections, columns, rows_per_page=page_rows)
    batches: Iterator[pa.RecordBatch] = (batch for batch, _ in folded)
    first = next(batches, None)
    if first is None:
        return Section.EMPTY
    file = store.write(
        chain([first], batches),
        first.schema,
        schema.key_spec,
        compression=schema.compression,
        rows_per_page=page_rows,
    )
    return store.section(file, schema.key_spec)


def eras_under(history: History, lineage: Lineage) -> list[Era]:
    """The eras that a lineage names, and those that their tables were put back to; each after those it starts from."""
    todo, found = [era for era, _ in lineage], dict[EraId, Era]()
    while todo:
        era = history.eras.get(todo.pop())
        if era is not None and era.id not in found:
            found[era.id] = era
            todo += [e for base in (era.base, *era.table_bases.values()) for e, _ in base]
    return sorted(found.values(), key=lambda era: (era.start_lsn, era.id))


def _numbers_of(
    numbers: Mapping[str, Any], database: DatabaseInfo, catalog: DatabaseCatalog
) -> dict[str, Any]:
    """What an allocator keeps, for the tables and sequences of one database."""
    spaces = {f"row:{table}" for table in catalog.tables}
    spaces |= {f"seq:{number}" for kind, number in catalog.entities if kind == "sequence"}
    return {
        "next_id": numbers["next_id"],
        "tops": {space: top for space, top in numbers["tops"].items() if space in spaces},
        "blocks": [b for b in numbers["blocks"] if b[0] in spaces and b[1] == database.id],
    }
