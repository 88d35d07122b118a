"""What the Backups page does: lists, makes, verifies and pins backups, recovers, and brings things back as branches.

Everything here may read a store, so it is called in the thread of the workbench only. What is long tells its job how
far it is, and stops when that is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from absdb.backup.codec.key import Key, find_key
from absdb.backup.info import BackupInfo
from absdb.backup.listing import list_backups
from absdb.backup.meter import Progress
from absdb.backup.pins import pin_label, unpin_label
from absdb.backup.recovery.restore import restore
from absdb.backup.recovery.restored import Restored
from absdb.backup.verify import Verified, verify
from absdb.clock import SystemClock
from absdb.errors import InvalidInputError, NotFoundError
from absdb.instance import Instance
from absdb.objectstore.locate import open_store
from absdb.panels.model.recoverable import Recoverable
from absdb.panels.model.recovery_reading import RecoveryReader
from absdb.panels.model.recovery_target import Choice
from absdb.panels.model.work import Job

FULL, INCREMENTAL, DATABASE = "full", "incremental", "one database"
KINDS = (FULL, INCREMENTAL, DATABASE)
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The backup that was described. Without `label` it is called by its kind and the time."""

    kind: str
    label: str = ""
    base: str = ""
    database: str = ""
    comment: str = ""
    pin: bool = False

    def arguments(self) -> dict[str, Any]:
        """The same as arguments of `Instance.backup`. InvalidInputError for an incremental one without a base."""
        found: dict[str, Any] = {
            "label": self.label.strip() or None,
            "comment": self.comment,
            "pin": self.pin,
        }
        if self.kind == INCREMENTAL:
            if not self.base:
                raise InvalidInputError(
                    "an incremental backup needs one to build on", hint="make a full one first"
                )
            found["incremental_from"] = self.base
        if self.kind == DATABASE:
            found["database"] = self.database
        return found


@dataclass(frozen=True)
class Seen:
    """What a look at a repository has found: `backups` are rows of `list_backups`, oldest first."""

    url: str
    backups: Sequence[dict[str, Any]] = ()
    recoverable: Recoverable | None = None
    problem: str = ""
    databases: Sequence[str] = ()

    @property
    def labels(self) -> list[str]:
        """The labels of the backups that are whole, newest first: what can be restored."""
        return [row["label"] for row in reversed(self.backups) if row["state"] == "complete"]

    @property
    def bases(self) -> list[str]:
        """Those that another one can build on."""
        kinds = {row["label"]: row["kind"] for row in self.backups}
        return [label for label in self.labels if kinds[label] != "database"]

    @property
    def all_databases(self) -> list[str]:
        """Those that the instance has, and those that backups have besides."""
        bases = [] if self.recoverable is None else self.recoverable.bases
        stored = (name for base in reversed(bases) for name in base.info.databases)
        return list(dict.fromkeys([*self.databases, *stored]))

    def databases_of(self, label: str) -> list[str]:
        """The databases that a backup has, as far as that is known."""
        bases = () if self.recoverable is None else self.recoverable.bases
        stored = next((list(base.info.databases) for base in bases if base.label == label), [])
        return stored or self.all_databases


@dataclass
class Backups:
    """The backups of one instance in the repository at `url`."""

    instance: Instance
    url: str = ""
    _reader: RecoveryReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = RecoveryReader(self.instance)
        self.url = self.url or self.setting("backup_target")

    def setting(self, name: str) -> str:
        """The value of a setting as text, "" for none."""
        rows = self.instance.settings()
        value = rows.loc[rows["name"] == name, "value"].iloc[0]
        return "" if value is None else str(value)

    @property
    def archiving(self) -> bool:
        """Whether the log goes into an archive."""
        return self.setting("wal_archive_enabled").casefold() == "true"

    @property
    def key(self) -> Key | None:
        """What backups are encrypted with."""
        return find_key(self.setting("backup_key_file"))

    def look(self) -> Seen:
        """What there is now. A repository that cannot be read is what `problem` tells of."""
        databases = list(self.instance)
        if not self.url:
            return Seen("", databases=databases)
        try:
            rows = list_backups(self.url, key=self.key).to_pylist()
        except NotFoundError as error:
            return Seen(self.url, problem=error.message, databases=databases)
        archive = self.setting("wal_archive_target")
        found = self._reader.read(self.url, rows, archive, self.key)
        return Seen(self.url, rows, found, databases=databases)

    # -- doing

    def make(self, job: Job, wanted: Wanted) -> BackupInfo:
        """Back up now. Whatever `Instance.backup` raises."""
        return self.instance.backup(self._url(), progress=_telling(job), **wanted.arguments())

    def verify(self, job: Job, label: str | None) -> Verified:
        """Read a backup again, or all of them, and compare every byte."""
        return verify(self._url(), label, key=self.key, progress=_telling(job))

    def pin(self, label: str, *, pinned: bool) -> None:
        """Keep a backup whatever its age, or no longer."""
        store = open_store(self._url())
        try:
            if pinned:
                pin_label(store, label, SystemClock())
            else:
                unpin_label(store, label)
        finally:
            store.close()

    def recover(self, job: Job, choice: Choice, path: str, archive_url: str) -> Restored:
        """Recover into a new directory. Whatever `absdb.restore` raises; nothing is touched if that cannot be."""
        if not path.strip():
            raise InvalidInputError(
                "no directory is named to recover into", hint="name one that does not exist"
            )
        return restore(
            self._url(),
            path.strip(),
            label=choice.label,
            archive_url=archive_url,
            key=self.key,
            progress=_telling(job),
            **choice.target.arguments(),
        )

    def branch_of_backup(self, job: Job, label: str, database: str, name: str) -> str:
        """Make a database of a backup a branch here; its name."""
        return self._branch(job, self._url(), label, database, name)

    def branch_of_directory(self, job: Job, path: str, database: str, name: str) -> str:
        """Make a database of a recovered directory one of this instance; its name."""
        return self._branch(job, path, None, database, name)

    def _branch(self, job: Job, url: str, label: str | None, database: str, name: str) -> str:
        if not name.strip():
            raise InvalidInputError("the branch has no name", hint="type one, such as before_the_delete")
        made = self.instance.restore_branch(
            url, label, database=database or None, name=name.strip(), progress=_telling(job)
        )
        return made.name

    def _url(self) -> str:
        if not self.url:
            raise InvalidInputError(
                "there is no repository for backups",
                hint="type where it is to be: a directory, or s3://bucket/backups",
            )
        return self.url


def directory_beside(path: str) -> str:
    """A directory beside an instance that does not exist yet; "" for one in memory."""
    if path == ":memory:":
        return ""
    place = Path(path)
    names = (f"{place.name}-recovered{f'-{number}' if number > 1 else ''}" for number in range(1, 1000))
    return str(next(place.with_name(name) for name in names if not place.with_name(name).exists()))


def _telling(job: Job) -> Callable[..., None]:
    """What tells a job of bytes: both the meter of transfers, and the replay of log, which counts them alone."""

    def told(progress: Progress | int) -> None:
        if isinstance(progress, int):
            job.unit = "MB"
            job.report(progress // MEGABYTE)
            return
        left = "" if progress.left_s is None else f", {progress.left_s:,.0f} s left"
        job.unit = f"MB, {progress.bytes_per_s / MEGABYTE:,.0f} MB/s{left}"
        job.report(progress.done_bytes // MEGABYTE, max(1, progress.total_bytes // MEGABYTE))

    return told
