"""`absdb check`: reads everything there is and yields what does not fit, changing nothing.

control, manifest      readable, and agreeing with one another
log                    every record from the checkpoint on
page files             every byte, by size and CRC-32C; page order, fences and row counts
commit log             every chunk's bytes, and that its LSNs and times rise
covers                 keys strictly increasing in a section of newest versions; LSNs inside the run's interval
index runs             that they say what the files they belong to say; also their bytes
states                 the head of every database, table by table: keys increasing, rows as counted, NOT NULL
names                  page files that nothing needs are reported as a remark, not as a fault
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from absdb.catalog.control import read_control
from absdb.catalog.manifest import read_manifest
from absdb.engine.check_indexes import index_faults
from absdb.engine.garbage import needed_files
from absdb.engine.reader import TableReader
from absdb.errors import AbsdbError
from absdb.ids import Lsn
from absdb.pages.format import PageFile
from absdb.pages.key import is_increasing
from absdb.pages.run import Run
from absdb.pages.section import Section
from absdb.paths import CONTROL, PAGES_DIR

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit. `severity` is error or remark; `where` names a file, table or LSN."""

    severity: str
    where: str
    problem: str


def check(engine: Engine, *, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield every inconsistency; nothing at all means that all is well. `progress(done, total)` counts files."""
    yield from _control(engine)
    yield from _log(engine)
    files = _files(engine)
    for number, file in enumerate(files.values(), start=1):
        for problem in engine.pages.verify(file):
            yield Finding("error", f"{PAGES_DIR}/{file.name}", problem.message)
        if progress is not None:
            progress(number, len(files))
    for damage in engine.log.verify():
        yield Finding("error", damage.facts.get("path", PAGES_DIR), damage.message)
    yield from _covers(engine)
    for name, fault in index_faults(engine):
        yield Finding("error", f"{PAGES_DIR}/{name}", fault)
    yield from _states(engine)
    if not engine.read_only:
        yield from _strays(engine)


def _strays(engine: Engine) -> Iterator[Finding]:
    try:
        needed = needed_files(engine, [engine.control.manifest])
    except AbsdbError:
        return  # the manifest cannot say what it needs; `_control` has reported it
    for name in engine.fs.list(PAGES_DIR):
        if name not in needed:
            yield Finding("remark", f"{PAGES_DIR}/{name}", "nothing needs this file; a checkpoint removes it")


def _control(engine: Engine) -> Iterator[Finding]:
    try:
        control = read_control(engine.fs)
        manifest = read_manifest(engine.fs, control.manifest)
        if manifest.lsn != control.checkpoint_lsn:
            yield Finding(
                "error", CONTROL, f"says checkpoint {control.checkpoint_lsn}, its manifest {manifest.lsn}"
            )
        for name, size in manifest.files.items():
            path = f"{PAGES_DIR}/{name}"
            if not engine.fs.exists(path):
                yield Finding("error", path, "the manifest needs this file, and it is missing")
            elif engine.fs.size(path) != size:
                yield Finding("error", path, f"has {engine.fs.size(path)} bytes, the manifest says {size}")
    except AbsdbError as error:
        yield Finding("error", CONTROL, error.message)


def _log(engine: Engine) -> Iterator[Finding]:
    if engine.read_only:
        return
    try:
        with engine.maintenance:  # what is written does not change, and no checkpoint removes it
            engine.wal.verify(engine.control.checkpoint_lsn)
    except AbsdbError as error:
        yield Finding("error", "wal", error.message)


def _sections(engine: Engine) -> Iterator[tuple[str, Section, Run | None, bool]]:
    """(where, section, its run, whether keys are strictly increasing) of every cover."""
    for (era, table), cover in list(engine.covers.eras.items()):
        for run in cover.view[0]:
            where = f"table {table}, era {era}, run ({Lsn(run.lo)}, {Lsn(run.hi)}]"
            yield where, run.newest, run, True
            yield where, run.superseded, run, False
    images, reverses = engine.covers.snapshot()
    for table, found in images.items():
        for image in found:
            yield f"table {table}, image at {image.lineage}", image.section, None, True
    for table, steps in reverses.items():
        for step in steps:
            yield f"table {table}, reverse run to {step.earlier}", step.section, None, True


def _files(engine: Engine) -> dict[str, PageFile]:
    return {
        page.origin[0].name: page.origin[0]
        for _, section, _, _ in _sections(engine)
        for page in section.pages
        if page.origin is not None
    }


def _covers(engine: Engine) -> Iterator[Finding]:
    for where, section, run, strict in _sections(engine):
        try:
            yield from _section(where, section, run, strict=strict)
        except AbsdbError as error:
            yield Finding("error", where, error.message)


def _section(where: str, section: Section, run: Run | None, *, strict: bool) -> Iterator[Finding]:
    last = None
    for number, page in enumerate(section.pages):
        keys = page.keys()
        if not is_increasing(keys, strict=strict):
            yield Finding("error", where, f"keys of page {number} are not in order")
        if last is not None and (page.first < last or (strict and page.first == last)):
            yield Finding("error", where, f"page {number} begins below the end of the page before")
        last = page.last
        if page.batch().num_rows != page.rows:
            yield Finding(
                "error", where, f"page {number} has {page.batch().num_rows} rows, expected {page.rows}"
            )
        if run is not None:
            lsns = np.asarray(page.lsns())
            if len(lsns) and not (run.lo <= int(lsns.min()) and int(lsns.max()) <= run.hi):
                yield Finding("error", where, f"page {number} has rows of LSNs outside of the run")


def _states(engine: Engine) -> Iterator[Finding]:
    try:
        heads = engine.heads()
    except AbsdbError as error:
        yield Finding("error", "databases", f"their heads cannot be found: {error.message}")
        return
    for info, lineage in heads:
        for schema in engine.history.catalog_at(lineage).tables.values():
            where = f"database {info.name!r}, table {schema.full_name!r}"
            try:
                reader = TableReader(schema, engine.covers.resolve(engine.history, schema, lineage))
                rows = 0
                for batch in reader.physical():
                    rows += batch.num_rows
                    for column in schema.columns:
                        if not column.nullable and batch.column(column.page_name).null_count:
                            yield Finding("error", where, f"column {column.name!r} is NOT NULL and has NULLs")
                if rows != reader.count():
                    yield Finding("error", where, f"{rows} rows are read, {reader.count()} counted")
            except AbsdbError as error:
                yield Finding("error", where, error.message)
