"""Instance and connect: one data directory with its databases, opened for writing or for reading.

Forwards to engine/ for what concerns the instance as a whole; databases are Database objects. An instance is
open in one process for writing and in any number for reading.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from absdb.backup.codec.compression import AS_SET
from absdb.backup.codec.key import find_key
from absdb.branch_colours import branch_html
from absdb.clock import Clock, peek_us, to_datetime
from absdb.database import Database
from absdb.engine import statistics
from absdb.engine.check import check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import maintain
from absdb.engine.engine import Engine
from absdb.engine.frames import listing
from absdb.engine.listing import findings, settings
from absdb.engine.recovery import refresh
from absdb.engine.restore_point import create_restore_point
from absdb.engine.told import told
from absdb.errors import StateError
from absdb.ids import Lsn
from absdb.instance_opening import open_at, open_engines, open_path
from absdb.reprs import Html, counted, grid, next_step, page
from absdb.versioning import branch
from absdb.versioning.listing import branches, databases, pins, snapshots
from absdb.versioning.log import instance_log
from absdb.versioning.scope import HeadScope

if TYPE_CHECKING:
    import pandas as pd

    from absdb.backup.info import BackupInfo
    from absdb.backup.meter import Report as BackupReport
    from absdb.backup.recovery.recover import AtTarget
    from absdb.backup.recovery.report import Recovered


def connect(
    path: str | os.PathLike[str],
    *,
    read_only: bool = False,
    create: bool = True,
    clock: Clock | None = None,
    author: str | None = None,
    **settings: Any,
) -> Instance:
    """Open the instance in the directory `path`, making it if there is none; ":memory:" for one without files.

    One process at a time has an instance open for writing; LockedError says who. With `read_only` it is
    opened beside a writer and shows what was durable then; `refresh()` follows. `create=False` raises
    NotFoundError rather than making a new one. `clock` is for tests and tutorials (`absdb.ManualClock`).
    `author` signs commits that name no other. Other arguments are settings, which come before environment
    and absdb.conf; `instance.settings()` lists them.

    A directory that was restored and waits for its recovery is recovered first; `instance.recovery` tells of it.

        with absdb.connect("shop") as shop:
            shop["main"].create_table("orders", frame, key="id")
    """
    opened = open_path(path, {**settings, "author": author}, clock, read_only=read_only, create=create)
    return Instance(*opened)


def open_instances() -> list[Instance]:
    """The instances that `connect` has opened in this process and nobody has closed, oldest first."""
    return [Instance(engine) for engine in open_engines()]


class Instance:
    """An open instance. Use it with `with`, or call `close()`: that takes a checkpoint and lets go of the lock.

    What was committed is durable in any case; a process that ends without closing loses nothing.
    """

    __slots__ = ("_engine", "_paused", "_recovery")

    def __init__(
        self, engine: Engine, recovery: Recovered | None = None, paused: AtTarget | None = None
    ) -> None:
        self._engine = engine
        self._recovery = recovery
        self._paused = paused

    # -- what it is

    @property
    def path(self) -> str:
        """The directory, absolute; ":memory:" for an instance without files."""
        return self._engine.fs.root

    @property
    def id(self) -> str:
        """What tells it from all other instances, wherever it lies: 32 hex digits, made once."""
        return self._engine.control.instance_id.hex()

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only."""
        return self._engine.read_only

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._engine.closed

    @property
    def lsn(self) -> Lsn:
        """The LSN up to which everything is durable and visible."""
        return Lsn(self._engine.published)

    @property
    def timeline(self) -> int:
        """Which timeline its log is on: 1, and a new one after each recovery."""
        return self._engine.control.timeline

    @property
    def now(self) -> dt.datetime:
        """The time by the instance's clock, aware, in UTC."""
        return to_datetime(peek_us(self._engine.clock))

    # -- databases

    def __getitem__(self, name: str) -> Database:
        """The database or branch of that name; NotFoundError suggests the nearest one."""
        self._engine.check_open()
        return Database(HeadScope(self._engine, self._engine.history.database(name)))

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def _ipython_key_completions_(self) -> list[str]:
        return self._names()

    def databases(self) -> pd.DataFrame:
        """One row a database: name, tables, lsn (of its last commit), created_at, created_from, protected, comment."""
        return listing(databases(self._open()))

    def branches(self) -> pd.DataFrame:
        """One row a database, as a branch: where it comes from, and how far it has gone its own way.

        Columns: name, created_at, created_from, created_lsn, diverged_pages (those it does not share with its
        source), protected, expires_at, comment.
        """
        return listing(branches(self._open()))

    def snapshots(self) -> pd.DataFrame:
        """One row a snapshot of any database, oldest first: name, database, lsn, created_at, comment."""
        return listing(snapshots(self._open()))

    def log(self, *, limit: int | None = None) -> pd.DataFrame:
        """What was committed in any database, each commit once, newest first: the columns of `Database.log`.

        `undone` are commits that the newest state of their database does not hold. Of a database that was dropped
        those are listed that another one went on from, as that one's. Costs what is asked for with `limit`.
        """
        return listing(instance_log(self._open(), limit=limit))

    def create_database(self, name: str) -> Database:
        """Make an empty database. AlreadyExistsError if the name is taken."""
        return Database(HeadScope(self._engine, branch.create_database(self._engine, name)))

    def restore_branch(
        self,
        url: str | os.PathLike[str],
        label: str | None = None,
        *,
        database: str | None = None,
        name: str | None = None,
        key_file: str = "",
        jobs: int | None = None,
        progress: bool | Callable[[Any], None] | None = None,
        **store_options: Any,
    ) -> Database:
        """Make a database of a backup a branch of this instance: what was there then, beside what is here now.

        `url` is where backups lie, or names one as URL#label, or it is the directory of an instance, such as a
        recovered one. Without `label` it is the newest, without `database` `main`, without `name` it keeps its own.

        Of a backup of this instance it is a branch of that point of its history, also where the history has expired, so
        that diffs and merges know what was changed since. A database of another instance comes in as a new one. The
        key in `key_file` or ABSDB_BACKUP_KEY decrypts; `store_options` are those of the store. Costs fetching what the
        database needs, and writing what is not here any more. AlreadyExistsError for a name that is taken.

            lost = shop.restore_branch("/backups/shop", name="lost")
            shop["main"].diff(lost).summary()
        """
        from absdb.backup.restore_branch import restore_branch

        made = restore_branch(
            self._open(),
            url,
            label,
            database=database,
            name=name,
            key=find_key(key_file),
            jobs=jobs,
            progress=progress,
            store_options=store_options,
        )
        return Database(HeadScope(self._engine, made))

    def drop_database(self, name: str) -> None:
        """Remove a database or branch and its snapshots; branches made from it stay whole.

        StateError if it is protected, or the only one.
        """
        branch.drop_database(self._engine, self._open().history.database(name))

    # -- keeping it in order

    def checkpoint(self) -> Lsn:
        """Put everything into page files now, so that recovery starts here; returns the LSN.

        Happens by itself in time (`checkpoint_interval`, `checkpoint_wal_volume`), and when closing.
        """
        return checkpoint(self._engine)

    def create_restore_point(self, name: str) -> Lsn:
        """Name this place in the log, for a recovery to stop at (`target_name`); returns its LSN. Costs one sync.

        It shows in `log()`, keeps nothing, and may be given again: a recovery stops at the first one of the name
        after its backup.
        """
        self._engine.check_open()
        return create_restore_point(self._engine, name)

    def maintain(self) -> int:
        """Merge runs, fold changes into images, let expired history go; returns how many pieces were replaced.

        Happens by itself after checkpoints. No state changes; reads become quicker.
        """
        return maintain(self._open())

    def check(self, *, progress: Callable[[int, int], None] | None = None) -> pd.DataFrame:
        """Read everything and list what does not fit: severity, where, problem. No row means that all is well.

        `progress` is told (files done, files in all).
        """
        return listing(findings(check(self._open(), progress=progress)))

    def refresh(self) -> Lsn:
        """Bring an instance opened with `read_only` up to what is durable now; returns the LSN it shows.

        States and streams that are open go on showing what they showed. Costs the log written since.
        """
        self._engine.check_open()
        return Lsn(refresh(self._engine))

    # -- backups

    def backup(
        self,
        url: str | os.PathLike[str],
        *,
        label: str | None = None,
        incremental_from: str | None = None,
        from_url: str | None = None,
        database: str | None = None,
        compress: str | None = AS_SET,
        key_file: str = "",
        jobs: int | None = None,
        progress: BackupReport = None,
        comment: str = "",
        pin: bool = False,
        **store_options: Any,
    ) -> BackupInfo:
        """Back up what is committed now to a repository: a directory, or an s3://, gcs:// or azure:// URL.

        Commits go on meanwhile. `label` names the backup (its kind and the time if not given); `incremental_from` is
        the label of an earlier one, of which only what it lacks is stored, wherever it lies: here, at `from_url`, or
        where this instance remembers it. `database` backs up that one alone. `compress` is none, lz4 or zstd, and as
        the setting backup_compress says if not given. The key in `key_file`, the setting backup_key_file or
        ABSDB_BACKUP_KEY encrypts, if there is one. `jobs` files and parts are worked on at a time; `progress` is True
        for a bar, or a function that is told a `Progress`. `pin` keeps it from being purged.

        Interrupted, the same call goes on with it. AlreadyExistsError for a label that is taken, InvalidInputError for
        a place inside of the instance, CorruptionError for damage: no backup then. Costs reading what the base lacks.

            shop.backup("/backup/shop", label="base")
            shop.backup("/backup/shop", incremental_from="base")
        """
        from absdb.backup.create import create_backup

        return create_backup(
            self._open(),
            url,
            label=label,
            incremental_from=incremental_from,
            base_url=from_url,
            database=database,
            compress=compress,
            key=find_key(key_file) if key_file else None,
            jobs=jobs,
            progress=progress,
            comment=comment,
            pin=pin,
            store_options=store_options,
        )

    def promote(self) -> Recovered:
        """End the recovery that has paused here: the instance goes on from its target, and can be written.

        Databases and tables that were taken from it before raise StateError; take them anew. StateError if no
        recovery has paused.
        """
        self._engine.check_open()
        paused, self._paused = self._paused, None
        if paused is None:
            raise StateError("no recovery of this instance has paused", hint="it can be written as it is")
        fs = self._engine.fs
        self._recovery = paused.end()
        self._engine = open_at(fs, paused.arguments, paused.clock)
        return self._recovery

    @property
    def recovery(self) -> Recovered | None:
        """What was recovered when the instance was opened, or has paused; None if nothing had to be."""
        return self._recovery

    # -- looking into it

    def wal_stats(self) -> pd.DataFrame:
        """One row about the log: current_lsn, last_checkpoint_lsn, wal_bytes_written, avg_records_per_fsync, …"""
        return listing(statistics.wal_stats(self._open()))

    def stats(self) -> pd.DataFrame:
        """One row about what is there: databases, tables, commits, page files and bytes, rows in memory, …"""
        return listing(statistics.stats(self._open()))

    def settings(self) -> pd.DataFrame:
        """One row a setting: name, value, origin (argument, environment, absdb.conf, default), default, meaning."""
        return listing(settings(self._open().settings))

    def pins(self) -> pd.DataFrame:
        """One row a state that is kept readable, and who wants it: kind, name, lsn."""
        return listing(pins(self._open()))

    # -- the end

    def close(self) -> None:
        """Take a checkpoint, reread the log, let go of files and lock. Closing twice is harmless.

        Databases and tables of this instance raise StateError from then on.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        self._engine.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<Instance {self.path}, closed>"
        facts = f"{counted(len(self._names()), 'database')}{', read-only' if self.read_only else ''}"
        return f"<Instance {self.path} @ {self.lsn}, {facts}>"

    def _repr_html_(self) -> str:
        if self.closed:
            return page("Instance", self.path, ["closed"])
        found = databases(self._engine).to_pylist()
        facts = [f"@ {told(self._engine, self.lsn)}", *(["read-only"] if self.read_only else [])]
        rows = [
            [
                Html(branch_html(row["name"])),
                row["tables"],
                told(self._engine, Lsn.parse(row["lsn"])),
                None if row["created_from"] is None else Html(branch_html(row["created_from"])),
            ]
            for row in found
        ]
        parts = [grid(["database", "tables", "last commit", "made from"], rows)]
        if not (self.read_only or any(row["tables"] for row in found)):
            code = f'instance["{found[0]["name"]}"].create_table("name", frame, key="id")'
            parts.append(next_step("There are no tables yet.", code))
        return page("Instance", self.path, facts, *parts)

    def _open(self) -> Engine:
        self._engine.check_open()
        return self._engine

    def _names(self) -> list[str]:
        return [info.name for info in list(self._open().history.databases.values())]
