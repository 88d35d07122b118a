"""A drill: whether a backup really comes back. It is restored elsewhere, recovered, checked, and compared.

    restore   its files, into a directory for temporary files
    recover   the log that came with it, and that of the archive, to the end; a timeline of its own
    check     every byte and every row, as `absdb check` does
    compare   each table with the source at that LSN, by digests of the rows, if the source is at hand

A step that fails is reported, not raised, and those that need it are left out. The source is only read; nothing is
written to the archive. Called by the facade.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from absdb.backup.codec.key import Key
from absdb.backup.compare_source import compared_tables, differing_databases
from absdb.backup.drill_report import DrillReport, Step
from absdb.backup.meter import Report
from absdb.backup.recovery.restore import restore
from absdb.backup.repository import open_backup
from absdb.engine.check import check
from absdb.engine.engine import Engine
from absdb.engine.location import file_system
from absdb.engine.recovery import open_engine
from absdb.errors import AbsdbError
from absdb.ids import Lsn
from absdb.io.local import LocalFileSystem
from absdb.io.scratch import kept_directory, temporary_directory
from absdb.progress import reporting
from absdb.reprs import counted
from absdb.sql.duck.expressions import SqlEvaluator

FINDINGS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What is drilled. `source` is the instance to compare with, `left_out` says why there is none."""

    url: str
    label: str | None = None
    source: Engine | None = None
    left_out: str = "no source was named"
    archive_url: str | None = None
    """Where the log was archived; None: where the backup says."""
    key: Key | None = None
    jobs: int | None = None
    progress: Report = None
    store_options: Mapping[str, Any] | None = None


def drill(what: Drill, *, keep: bool = False) -> DrillReport:
    """Restore a backup, the newest without a label, and see whether all of it is there. See the module for the steps.

    With `keep` the recovered instance stays, at the report's `path`. Costs fetching the backup and room for it among
    the temporary files ($TMPDIR), and reading every row twice, and once more in the source.
    """
    report = DrillReport(url=what.url, label=what.label or "")
    with _place(keep) as path:
        _Running(what, report, path).run()
        report.path = path if keep else None
    return report


@contextmanager
def source_at(path: str | os.PathLike[str]) -> Iterator[tuple[Engine | None, str]]:
    """The instance in a directory, open for reading, and "": or None, and why it is not at hand."""
    try:
        engine = open_engine(file_system(path), evaluator=SqlEvaluator(), read_only=True, create=False)
    except AbsdbError as error:
        yield None, error.message
        return
    try:
        yield engine, ""
    finally:
        engine.close()


def _place(keep: bool) -> AbstractContextManager[str]:
    return nullcontext(kept_directory("drill")) if keep else temporary_directory()


@dataclass(frozen=True, slots=True)
class _Done:
    """What a step comes to."""

    outcome: str
    detail: str
    bytes: int | None = None


class _Running:
    """A drill on its way. Each step fills in the report."""

    def __init__(self, what: Drill, report: DrillReport, path: str) -> None:
        self.what = what
        self.report = report
        self.path = path
        self.kind = ""
        self.lsn = 0

    def run(self) -> None:
        if not self._bring_back():
            return
        engine: Engine | None = None
        try:
            engine = open_engine(LocalFileSystem(self.path), create=False, evaluator=SqlEvaluator())
            recovered = engine
            self._step("check", lambda: self._check(recovered))
            self._step("compare", lambda: self._compare(recovered))
        except AbsdbError as error:
            self._report("open", _Done("failed", error.message), 0.0)
        finally:
            if engine is not None:
                engine.close()

    def _bring_back(self) -> bool:
        """Restore and recover; whether both were done."""
        what, began = self.what, time.perf_counter()
        try:
            found = restore(
                what.url,
                self.path,
                label=what.label,
                archive_url=what.archive_url,
                key=what.key,
                jobs=what.jobs,
                progress=what.progress,
                store_options=what.store_options,
            )
            repository, _ = open_backup(what.url, what.label, key=what.key, options=what.store_options)
            with repository:
                self.kind = repository.header(found.label).kind
        except AbsdbError as error:
            self._report("restore", _Done("failed", error.message), time.perf_counter() - began)
            return False
        recovered = found.recovered
        assert recovered is not None  # that is what the action "promote" is
        files = f"{self.kind} backup {found.label}, {counted(found.files, 'file')}"
        self._report("restore", _Done("ok", files, found.size), found.seconds - recovered.seconds)
        way = "with the archive" if found.archive else "with its own log"
        log = f"to LSN {recovered.lsn}, {counted(recovered.records, 'record')}, {way}"
        self._report("recover", _Done("ok", log, recovered.log_bytes), recovered.seconds)
        report = self.report
        report.label, report.lsn = found.label, str(recovered.lsn)
        report.time = recovered.time.isoformat().replace("+00:00", "Z")
        self.lsn = int(recovered.lsn)
        return True

    def _step(self, name: str, work: Callable[[], _Done]) -> None:
        began = time.perf_counter()
        try:
            done = work()
        except AbsdbError as error:
            done = _Done("failed", error.message)
        self._report(name, done, time.perf_counter() - began)

    def _report(self, name: str, done: _Done, seconds: float) -> None:
        self.report.steps.append(
            Step(step=name, outcome=done.outcome, seconds=seconds, bytes=done.bytes, detail=done.detail)
        )

    def _check(self, engine: Engine) -> _Done:
        with reporting(self.what.progress is True, "check", unit="files") as told:
            progress = None if told is None else lambda done, _: told(done)
            found = [dataclasses.asdict(finding) for finding in check(engine, progress=progress)]
        errors = [finding for finding in found if finding["severity"] == "error"]
        self.report.findings = [*errors, *(f for f in found if f["severity"] != "error")][:FINDINGS_MAX]
        names = engine.pages.names()
        size = sum(engine.fs.size(engine.pages.path(name)) for name in names)
        if errors:
            return _Done(
                "failed", f"{counted(len(errors), 'error')}: {errors[0]['where']}: {errors[0]['problem']}"
            )
        return _Done("ok", f"{counted(len(names), 'page file')}, every byte and every row", size)

    def _compare(self, engine: Engine) -> _Done:
        source, report, lsn = self.what.source, self.report, self.lsn
        if source is None:
            return _Done("left out", self.what.left_out)
        if source.control.instance_id != engine.control.instance_id:
            return _Done("left out", f"{source.fs.root} is another instance")
        report.source = source.fs.root
        if lsn > source.published:
            return _Done("differs", f"the source ends before that LSN, at {Lsn(source.published)}")
        problems = list(differing_databases(source, engine, lsn, whole=self.kind != "database"))
        report.tables = list(compared_tables(source, engine))
        problems += [
            f"{t.database}.{t.table} has other rows" for t in report.tables if t.outcome == "differs"
        ]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            return _Done("differs", f"{problems[0]}{more}")
        return _Done("ok", _equal(report))


def _equal(report: DrillReport) -> str:
    same = [table for table in report.tables if table.outcome == "same"]
    rows = sum(table.rows or 0 for table in same)
    said = f"{counted(len(same), 'table')} with {counted(rows, 'row')} equal to the source"
    expired = len(report.tables) - len(same)
    return f"{said}; of {counted(expired, 'table')} it has let go of that state" if expired else said
