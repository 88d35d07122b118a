"""Verifying backups: everything is read again, hashed, decrypted, decompressed, and compared with what it should be.

manifest      its checksum, and that every line of it makes sense; the key, where it is encrypted
begin.json    that it is what the backup was begun with
objects       size and SHA-256 as stored, CRC-32C as it was in the instance; of page files also each page's
contents      `control` names the manifest, the manifest of the instance names nothing that the backup does not have
chains        files that lie in other backups are read there

Nothing is written, and nothing that was found earlier is believed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.backup.claim import read_begin
from absdb.backup.codec.key import Key
from absdb.backup.codec.pipeline import pool, workers
from absdb.backup.create import results
from absdb.backup.fetching import Fetching, fetch_bytes, fetch_file, object_name
from absdb.backup.manifest import BackupManifest, StoredFile
from absdb.backup.meter import Meter, Report, metered
from absdb.backup.repository import Options, Repository, open_backup, split_label
from absdb.backup.source import page_files
from absdb.backup.span_check import SpanCheck
from absdb.catalog.control import Control
from absdb.catalog.manifest import Manifest
from absdb.clock import Clock
from absdb.engine.frames import listing
from absdb.errors import AbsdbError, NotFoundError, StateError
from absdb.object_names import BACKUP_BEGIN, BACKUP_MANIFEST
from absdb.paths import CONTROL, MANIFESTS_DIR, PAGES_DIR
from absdb.reprs import counted, grid, page
from absdb.sizes import size

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema([(name, pa.string()) for name in ("label", "severity", "where", "problem")])


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `severity` is error or remark."""

    label: str
    severity: str
    where: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found; `well` if there is no error among it."""

    url: str
    backups: int
    files: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    def table(self) -> pa.Table:
        """The findings: label, severity, where, problem."""
        rows = [{name: getattr(finding, name) for name in SCHEMA.names} for finding in self.findings]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def to_pandas(self) -> pd.DataFrame:
        """The findings as a frame; no row means that all is well."""
        return listing(self.table())

    def __bool__(self) -> bool:
        return self.well

    def __repr__(self) -> str:
        return f"<Verified {self.url}, {', '.join(self._facts())}>"

    def _repr_html_(self) -> str:
        rows = [
            [finding.label, finding.severity, finding.where, finding.problem] for finding in self.findings
        ]
        return page("Verified", self.url, self._facts(), grid(SCHEMA.names, rows))

    def _facts(self) -> list[str]:
        errors = sum(finding.severity == "error" for finding in self.findings)
        read = f"{counted(self.backups, 'backup')}, {counted(self.files, 'file')}, {size(self.bytes)}"
        return [read, counted(errors, "error") if errors else "all is well"]


def verify(
    url: str | os.PathLike[str],
    label: str | None = None,
    *,
    key: Key | None = None,
    jobs: int | None = None,
    progress: Report = None,
    options: Options = None,
    clock: Clock | None = None,
) -> Verified:
    """Verify one backup and all that it builds on, or every backup of a repository.

    NotFoundError if there is no backup; everything else that is wrong is among the findings. Costs reading all of it.
    """
    base, label = split_label(url, label)
    threads = workers(jobs)
    if label is None:
        with Repository(base, options=options, clock=clock) as repository:
            if repository.store.exists(BACKUP_MANIFEST):
                repository, label = open_backup(base, key=key, options=options, clock=clock)
                repository.close()
                base = repository.given
    with Repository(base, key=key, options=options, clock=clock) as repository:
        labels = repository.labels() if label is None else [label]
        verifying = _Verifying(repository, labels)
        if not verifying.manifests and all(found.severity != "error" for found in verifying.findings):
            begun = "; what was begun there was not finished" if verifying.findings else ""
            raise NotFoundError(f"there is no backup in {repository.url}{begun}")
        return verifying.run(threads, progress)


class _Verifying:
    """One verification: objects that several backups name are read once."""

    def __init__(self, repository: Repository, labels: list[str]) -> None:
        self._repository = repository
        self.findings: list[Finding] = []
        self.manifests: dict[str, BackupManifest] = {}
        for label in labels:
            self._read(label)

    def run(self, jobs: int, report: Report) -> Verified:
        """Read everything."""
        with pool(jobs, "absdb-verify-part") as parts, pool(max(2, jobs), "absdb-verify-file") as threads:
            fetching = Fetching(self._repository.key, parts, jobs + 1)
            work = self._work(fetching, threads)
            total = sum(file.raw_bytes for _, _, file, _ in work)
            with metered(report, "verify", total, len(work)) as meter:

                def one(item: tuple[str, BackupManifest, StoredFile, SpanCheck | None]) -> None:
                    self._verify(fetching, meter, *item)

                results([threads.submit(one, item) for item in work], meter)
        self.findings.sort(key=lambda finding: (finding.label, finding.where, finding.problem))
        return Verified(self._repository.url, len(self.manifests), len(work), total, tuple(self.findings))

    def _read(self, label: str) -> None:
        store = self._repository.store
        try:
            manifest = self._repository.manifest(label)
        except NotFoundError as error:
            if store.exists(f"{label}/{BACKUP_BEGIN}"):
                problem = "it was begun and not finished; it is no backup"
                self._found(label, label, problem, severity="remark")
            elif not any(store.list(f"{label}/")):  # else it is a directory of somebody else
                self._found(label, label, error.message)
            return
        except AbsdbError as error:
            self._found(label, f"{label}/{BACKUP_MANIFEST}", error.message)
            return
        self.manifests[label] = manifest
        try:
            _, sha = read_begin(store, label)
            if sha != manifest.backup.begin_sha256:
                self._found(label, f"{label}/{BACKUP_BEGIN}", "it is not what the backup was begun with")
        except AbsdbError as error:
            self._found(label, f"{label}/{BACKUP_BEGIN}", error.message)

    def _work(
        self, fetching: Fetching, threads: ThreadPoolExecutor
    ) -> list[tuple[str, BackupManifest, StoredFile, SpanCheck | None]]:
        """(label, manifest, file, its description) of every object, each once, the largest first."""
        work, seen = list[Any](), set[Any]()
        checks = dict(
            zip(
                self.manifests,
                threads.map(lambda manifest: self._contents(fetching, manifest), self.manifests.values()),
                strict=True,
            )
        )
        for label, manifest in self.manifests.items():
            for file in manifest.files:
                origin = manifest.origins[file.origin]
                identity = (origin.url, object_name(origin, file), file.sha256, file.crc, file.raw_bytes)
                if identity not in seen:
                    seen.add(identity)
                    work.append((label, manifest, file, checks[label].get(file.path)))
        return sorted(work, key=lambda item: -item[2].raw_bytes)

    def _contents(self, fetching: Fetching, manifest: BackupManifest) -> dict[str, SpanCheck]:
        """What the files of a backup must be by the instance's own manifest; says what does not fit."""
        label = manifest.backup.label
        try:
            return dict(self._described(fetching, manifest))
        except AbsdbError as error:
            self._found(label, label, error.message)
        except KeyError as error:
            self._found(label, label, f"the file {error.args[0]} is not in it")
        return {}

    def _described(self, fetching: Fetching, manifest: BackupManifest) -> Iterator[tuple[str, SpanCheck]]:
        files = {file.path: file for file in manifest.files}
        control = Control.from_bytes(self._bytes(fetching, manifest, files[CONTROL]))
        path = f"{MANIFESTS_DIR}/{control.manifest}"
        inner = Manifest.from_bytes(self._bytes(fetching, manifest, files[path]), path)
        backup = manifest.backup
        if (control.checkpoint_lsn, control.durable_lsn) != (backup.checkpoint_lsn, backup.end_lsn):
            raise StateError(f"{CONTROL} is that of another checkpoint or end than the backup's")
        for name, length in inner.files.items():
            if files[f"{PAGES_DIR}/{name}"].raw_bytes != length:
                raise StateError(f"{PAGES_DIR}/{name} is not as long as the instance's manifest says")
        for described in page_files(inner, []):
            check = described.check()
            if check is not None:
                yield described.path, check

    def _bytes(self, fetching: Fetching, manifest: BackupManifest, file: StoredFile) -> bytes:
        origin = manifest.origins[file.origin]
        return fetch_bytes(fetching, self._repository.store_of(origin), origin, file)

    def _verify(
        self, fetching: Fetching, meter: Meter, label: str, manifest: BackupManifest, file: StoredFile,
        check: SpanCheck | None,
    ) -> None:  # fmt: skip
        origin = manifest.origins[file.origin]
        take = check.feed if check is not None else _ignore
        try:
            fetch_file(fetching, self._repository.store_of(origin), origin, file, take, meter.add)
            if check is not None:
                check.finish()
        except AbsdbError as error:
            self._found(label, object_name(origin, file), error.message)
        meter.add(0, files=1)

    def _found(self, label: str, where: str, problem: str, *, severity: str = "error") -> None:
        self.findings.append(Finding(label, severity, where, problem))


def _ignore(_: Any) -> None:
    """What nobody compares."""
