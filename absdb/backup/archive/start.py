"""Starting the archiver of an instance as its settings say, when it is opened for writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.backup.archive.archiver import Archiver
from absdb.backup.codec.codec import Codec
from absdb.backup.codec.key import find_key
from absdb.errors import InvalidInputError
from absdb.objectstore.base import ObjectStore
from absdb.objectstore.location import check_outside

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


def start_archiver(engine: Engine, *, ship_at_close: bool = True) -> Archiver | None:
    """Archive the log from now on, if `wal_archive_enabled`; None if not, or the engine only reads.

    InvalidInputError for a target that cannot be one and a key that cannot be read; a target out of reach is none: then
    log waits. When the engine closes, what is left is sent if that takes no longer than archiver.CLOSE_S;
    `ship_at_close=False` leaves it for the next start.
    """
    settings = engine.settings
    if engine.read_only or not settings.wal_archive_enabled:
        return None
    if not settings.wal_archive_target:
        raise InvalidInputError(
            "wal_archive_enabled is set and wal_archive_target is not: there is nowhere to archive the log to",
            hint="name a directory or a URL such as s3://bucket/archive",
        )
    codec = Codec(settings.wal_archive_compress, find_key(settings.backup_key_file))
    clock, target = engine.clock, settings.wal_archive_target
    check_outside(target, engine.fs.root, "an archive")

    def open_archive() -> ObjectStore:
        from absdb.objectstore.locate import open_store

        return open_store(target, clock=clock)

    archiver = Archiver(engine, open_archive, codec, ship_at_close=ship_at_close)
    engine.archive_status = archiver.status
    engine.closing.append(archiver.close)
    return archiver


def keep_archive(engine: Engine) -> None:
    """`start_archiver` for an engine that has just been opened, and is let go of again if that is refused."""
    try:
        start_archiver(engine)
    except BaseException:
        engine.abandon()
        raise
