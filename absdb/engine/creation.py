"""Making a new instance, and only where none is or was.

`control` is written last: a crash before that leaves a directory in which the next open begins again. Called by
engine/recovery.py under the instance's lock.
"""

from __future__ import annotations

from absdb.catalog.control import Control, write_control
from absdb.catalog.database import EMPTY_CATALOG
from absdb.catalog.history import DatabaseInfo, Era, History
from absdb.catalog.manifest import Manifest, write_manifest
from absdb.clock import Clock
from absdb.engine.allocator import Allocator
from absdb.engine.checkpoint import manifest_of
from absdb.errors import CorruptionError, StateError
from absdb.ids import DatabaseId, EraId
from absdb.io.base import FileSystem, write_atomic
from absdb.paths import (
    CONF,
    CONTROL,
    DIRECTORIES,
    LOCK,
    PAGES_DIR,
    RECOVERY_CONF,
    RESTORING,
    WAL_DIR,
    WATERMARK,
    is_temporary,
    parse_wal_segment_name,
)
from absdb.settings import Settings, render_default

FIRST_DATABASE = "main"


def check_restored(fs: FileSystem) -> None:
    """StateError where a backup was being restored and that was interrupted: what is there is not whole."""
    if fs.exists(RESTORING):
        raise StateError(
            f"a backup was being restored into {fs.root}, and that is not finished",
            hint="run the same restore again: it goes on where it was",
        )


def check_recovered(fs: FileSystem) -> None:
    """StateError where what was restored waits for its recovery."""
    if fs.exists(RECOVERY_CONF):
        raise StateError(
            f"{fs.root} waits for its recovery, as {RECOVERY_CONF} says",
            hint="`absdb promote DIR` recovers it and ends that; absdb.connect(path) does what the file says",
        )


def check_control_is_not_lost(fs: FileSystem) -> None:
    """Where there is a log or a page file, there was `control`: an instance is not made anew on top of it."""
    data = [f"{WAL_DIR}/{name}" for name in fs.list(WAL_DIR) if parse_wal_segment_name(name) is not None]
    data += [f"{PAGES_DIR}/{name}" for name in fs.list(PAGES_DIR)]
    if data and not fs.exists(CONTROL):  # asked again: another process may be making the instance
        raise CorruptionError(
            f"{CONTROL} is missing in {fs.root}, where the data of an instance is: {', '.join(data[:3])}",
            hint=f"restore {CONTROL} from a backup, and leave the other files as they are",
            path=CONTROL,
        )


def check_vacant(fs: FileSystem) -> None:
    """A new instance goes into an empty directory, or one where making an instance was interrupted."""
    known = {*DIRECTORIES, CONF, LOCK, WATERMARK}
    strange = [name for name in fs.list("") if name not in known and not is_temporary(name)]
    if strange:
        raise StateError(
            f"{fs.root} is not an absdb instance and not empty: it holds {', '.join(strange[:5])}",
            hint="choose a directory that is empty or does not exist yet",
        )


def create_instance(fs: FileSystem, settings: Settings, clock: Clock, instance_id: bytes) -> None:
    """Directories, absdb.conf, the first manifest with an empty database `main`, and `control` last."""
    for directory in DIRECTORIES:
        fs.make_directory(directory)
    if not fs.exists(CONF):
        write_atomic(fs, CONF, render_default().encode())
    now = clock.now_us()
    history, allocator = History(), Allocator(settings.sequence_block)
    database, era = DatabaseId(allocator.new_id()), EraId(allocator.new_id())
    history.put_era(Era(id=era, database=database, start_lsn=0, base=()))
    history.put_catalog(era, 0, EMPTY_CATALOG)
    history.put_database(
        DatabaseInfo(id=database, name=FIRST_DATABASE, eras=(era,), created_us=now, created_lsn=0)
    )
    parts = manifest_of(
        history=history,
        allocator=allocator,
        covers={},
        chunks=[],
        files={},
        lsn=0,
        time_us=now,
        settings=settings,
    )
    name = write_manifest(fs, Manifest(parts))
    write_control(
        fs,
        Control(
            instance_id=instance_id,
            timeline=1,
            epoch=1,
            checkpoint_lsn=0,
            manifest=name,
            durable_lsn=0,
            segment_bytes=settings.wal_segment_size,
            created_us=now,
        ),
    )
