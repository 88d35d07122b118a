"""Checkpoint: everything up to one LSN goes into page files and a manifest; recovery starts there.

    in commit order     seal the buffers, note the LSN, copy what exists
    beside commits      write runs that are in memory to page files, the index runs that are lacking, the commit
                        log's new chunk, the manifest
    in commit order     log it, sync
    then                replace `control`, remove log segments and manifests that nothing needs

A crash anywhere leaves the old checkpoint or the new one in force; files written for one that did not come into
force are garbage. Covers in the manifest:

    {"tables": {table id: {"images": [[lineage, sections]], "reverses": [[earlier, later, sections]],
                           "eras": {era: {"runs": [run, …], "spec": [key columns, definition]}}}},
     "expired": [[era, table id, [[lo, hi], …]], …], "indexes": …}              see index_registry
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.control import Control, write_control
from absdb.catalog.history import History, lineage_from_json
from absdb.catalog.manifest import Manifest, write_manifest
from absdb.catalog.schema import TableSchema
from absdb.engine.allocator import Allocator
from absdb.engine.cover import EraCover
from absdb.engine.covers import Covers, Image, Reverse
from absdb.engine.garbage import retire
from absdb.engine.index_upkeep import live_catalogs, store_all_indexes, store_indexes
from absdb.errors import CorruptionError
from absdb.ids import EraId, Lsn, TableId
from absdb.pages.key import KeySpec
from absdb.pages.run import Run, merge_runs, store_run
from absdb.pages.section import Section
from absdb.pages.store import sections_from_json, sections_to_json
from absdb.settings import Settings
from absdb.wal.format import RecordKind

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


def checkpoint(engine: Engine) -> Lsn:
    """Take a checkpoint now; returns its LSN. One at a time; commits go on beside most of it."""
    with engine.maintenance:
        engine.check_writable()
        name, lsn = store_state(engine)
        with engine.exclusive():
            engine.append(RecordKind.CHECKPOINT, 0, {"lsn": lsn, "manifest": name})
            engine.flush()
            idle = engine.wal.written_lsn - engine.published if engine.published == lsn else 0
            engine.publish(engine.wal.written_lsn)
            durable = engine.wal.durable_lsn
        _put_in_force(engine, name, lsn, durable)
        engine.idle_bytes = idle
        return Lsn(lsn)


def store_state(engine: Engine, instance: Mapping[str, Any] | None = None) -> tuple[str, int]:
    """Put all that is published into page files and a new manifest; its name and LSN. Nothing names it yet.

    `instance` is what the manifest's part of that name holds.
    """
    with engine.exclusive():
        lsn = engine.published
        freeze(engine)
        exists = engine.history.to_json()
        allocator = engine.allocator.to_json()
        time_us = engine.next_time()
        txid = engine.next_txid()
    store_tails(engine)
    store_all_indexes(engine)
    chunks, _ = engine.log.flush(engine.fs, upto=lsn)
    covers, files = write_covers(engine.covers, lsn)
    files.update({chunk.name: chunk.size for chunk in chunks})
    parts = manifest_of(
        history=exists,
        allocator=allocator,
        covers=covers,
        chunks=[chunk.to_json() for chunk in chunks],
        files=files,
        lsn=lsn,
        time_us=time_us,
        settings=engine.settings,
    )
    parts["checkpoint"]["txid"] = txid
    parts["instance"] = dict(instance or {})
    return write_manifest(engine.fs, Manifest(parts)), lsn


def freeze(engine: Engine) -> None:
    """Seal what is buffered, so that `store_tails` writes it. Inside `exclusive`."""
    for cover in engine.covers.eras.values():
        cover.seal()
        cover.frozen_upto = cover.hi


def store_tails(engine: Engine) -> None:
    """Write the runs in memory that `freeze` has sealed to page files."""
    catalogs = live_catalogs(engine)
    for cover in list(engine.covers.eras.values()):
        memory = [run for run in cover.view[0] if not run.is_stored and run.hi <= cover.frozen_upto]
        for group in _adjacent(cover, memory):
            token = engine.bulk.begin_file()
            try:
                run = _store(engine, cover, group)
                store_indexes(engine, catalogs, cover.table, [run.newest, run.superseded])
                cover.replace(group, [run])
            finally:
                engine.bulk.end_file(token)


def _adjacent(cover: EraCover, memory: Sequence[Run]) -> list[list[Run]]:
    """Runs in memory, in groups without a stored one in between."""
    wanted, groups = {id(run) for run in memory}, list[list[Run]]()
    before = False
    for run in cover.view[0]:
        now = id(run) in wanted
        if now and before:
            groups[-1].append(run)
        elif now:
            groups.append([run])
        before = now
    return groups


def _store(engine: Engine, cover: EraCover, group: Sequence[Run]) -> Run:
    schema = cover.schema
    assert schema is not None
    run = group[0] if len(group) == 1 else merge_runs(cover.spec, list(group), schema.fills)
    return store_run(
        engine.pages, run, compression=schema.compression, rows_per_page=engine.settings.page_rows
    )


def _put_in_force(engine: Engine, name: str, lsn: int, durable: int) -> None:
    old = engine.control
    control = Control(
        instance_id=old.instance_id,
        timeline=old.timeline,
        epoch=old.epoch,
        checkpoint_lsn=lsn,
        manifest=name,
        durable_lsn=durable,
        segment_bytes=old.segment_bytes,
        created_us=old.created_us,
    )
    # Only what is durable may decide what is garbage.
    write_control(engine.fs, control)
    engine.control = control
    retire(engine)


def manifest_of(
    *,
    history: History | Mapping[str, Any],
    allocator: Allocator | Mapping[str, Any],
    covers: Mapping[str, Any],
    chunks: list[Any],
    files: Mapping[str, int],
    lsn: int,
    time_us: int,
    settings: Settings,
) -> dict[str, Any]:
    """The parts of a manifest."""
    exists = history.to_json() if isinstance(history, History) else history
    return {
        "instance": {},
        "checkpoint": {"lsn": lsn, "time_us": time_us, "wal_position": lsn},
        "allocator": allocator.to_json() if isinstance(allocator, Allocator) else dict(allocator),
        **exists,
        "covers": dict(covers),
        "commit_log": chunks,
        "files": dict(files),
        "settings": {"wal_segment_size": settings.wal_segment_size},
    }


def write_covers(covers: Covers, lsn: int) -> tuple[dict[str, Any], dict[str, int]]:
    """All covers as of `lsn` as JSON, and the page files they need. Everything up to `lsn` is stored by now."""
    tables: dict[str, Any] = {}
    files: dict[str, int] = {}

    def of(table: TableId) -> dict[str, Any]:
        return tables.setdefault(str(table), {"images": [], "reverses": [], "eras": {}})

    def sections(*found: Section) -> dict[str, Any]:
        for section in found:
            files.update({page.origin[0].name: page.origin[0].size for page in section.pages if page.origin})
        return sections_to_json(found)

    images, reverses = covers.snapshot()
    for table, items in images.items():
        if items:
            of(table)["images"] = [[image.lineage, sections(image.section)] for image in items]
    for table, steps in reverses.items():
        if steps:
            of(table)["reverses"] = [[step.earlier, step.later, sections(step.section)] for step in steps]
    for (era, table), cover in list(covers.eras.items()):
        if cover.schema is None:
            continue  # just made, for a commit that is on its way
        runs = [run for run in cover.view[0] if run.hi <= lsn]
        for run in runs:
            sections(run.newest, run.superseded)
        spec = [list(cover.spec.columns), cover.schema.to_json()]
        of(table)["eras"][str(era)] = {"runs": [run.to_json() for run in runs], "spec": spec}
    expired = [[era, table, list(gone)] for (era, table), gone in covers.expired.items()]
    indexes = covers.indexes.to_json(files)
    for _, _, _, stored in indexes:
        files.update({file["name"]: file["size"] for file in stored["files"]})
    return {"tables": tables, "expired": expired, "indexes": indexes}, files


def read_covers(engine: Engine, data: Mapping[str, Any]) -> None:
    """Fill an engine's covers from a manifest. Page files are read on first touch."""
    covers = engine.covers
    for era_id, table_id, gone in data.get("expired", []):
        covers.expired[EraId(era_id), TableId(table_id)] = tuple((lo, hi) for lo, hi in gone)
    covers.indexes.read_json(engine.pages, data.get("indexes", []))
    for name, item in data.get("tables", {}).items():
        table = TableId(int(name))
        spec: KeySpec | None = None
        for era, found in item["eras"].items():
            schema = TableSchema.from_json(found["spec"][1]) if found["spec"][1] else None
            if schema is None:
                raise CorruptionError(f"the manifest has runs of table {table} without its definition")
            spec = schema.key_spec
            cover = EraCover(table, EraId(int(era)), spec)
            cover.schema = schema
            runs = tuple(Run.from_json(engine.pages, spec, run) for run in found["runs"])
            cover.view = (runs, None)
            cover.hi = runs[-1].hi if runs else 0
            covers.eras[EraId(int(era)), table] = cover
        if spec is None:
            raise CorruptionError(f"the manifest has an image of table {table} without any era")
        covers.images[table] = tuple(
            Image(table, lineage_from_json(lineage), sections_from_json(engine.pages, spec, section)[0])
            for lineage, section in item["images"]
        )
        covers.reverses[table] = tuple(
            Reverse(
                table,
                lineage_from_json(earlier),
                lineage_from_json(later),
                sections_from_json(engine.pages, spec, section)[0],
            )
            for earlier, later, section in item["reverses"]
        )
