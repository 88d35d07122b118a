"""Garbage collection: removing what no retained state needs, after a checkpoint is in force.

A page file goes when neither the manifest in force, nor an older manifest that a reader in another process holds
a lease on, nor a commit under way names it, and no page of it is in anybody's hands in this process: covers,
transactions and readers, however old. A stored index run stays for as long as its page file does. Log segments
go when they end below the checkpoint and below what backups and the archive hold; what the log from there on names
stays with it. Nothing is removed before the new `control` is durable; a file that reappears after a crash is found
again the next time.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from absdb.catalog.manifest import list_manifests, read_manifest, remove_manifest
from absdb.engine.leases import leased
from absdb.errors import StorageError
from absdb.paths import PAGES_DIR, WAL_DIR, SegmentName, parse_page_file_name, wal_segment_name
from absdb.wal.segments import list_segments

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


def retire(engine: Engine) -> list[str]:
    """Remove manifests, page files and log segments that nothing needs any more; returns their names.

    Nothing at all once a write has failed: what the log on disk names is unknown then.
    """
    if engine.poisoned:
        return []
    held = leased(engine.fs, engine.clock)
    floor = _log_floor(engine, held.wal_lsn)
    kept = {engine.control.manifest, *held.manifests}
    removed = []
    for name in list_manifests(engine.fs):
        if name not in kept:
            remove_manifest(engine.fs, name)
            removed.append(name)
    if floor >= _log_start(engine):
        removed += _remove_page_files(engine, kept, held.files, floor)
        removed += _remove_segments(engine, floor)
        engine.logged_files.forget_below(floor)
    return removed


def _log_floor(engine: Engine, leased_lsn: int | None) -> int:
    """From where on the log must stay: the checkpoint, or what is held below it."""
    wanted = (engine.control.checkpoint_lsn, engine.logged_files.holds.floor(), leased_lsn)
    return min(lsn for lsn in wanted if lsn is not None)


def _log_start(engine: Engine) -> int:
    """Where the log that is there begins. Who holds more than there is keeps all there is, and what it names."""
    numbers = [name.segment for name in _segments(engine)]
    return min(numbers, default=0) * engine.control.segment_bytes


def needed_files(engine: Engine, manifests: Iterable[str]) -> set[str]:
    """Names of the files in pages/ that the manifests, commits since, or anybody who reads refer to."""
    needed = engine.bulk.in_flight() | engine.pages.in_use() | engine.log.in_use()
    needed |= engine.covers.indexes.names()
    for name in manifests:
        try:
            needed.update(read_manifest(engine.fs, name).files)
        except StorageError as error:
            # A lease on a manifest that is gone protects nothing; one that cannot be read now may name any file.
            if error.errno != errno.ENOENT or name == engine.control.manifest:
                raise
    return needed


def _remove_page_files(
    engine: Engine, manifests: Iterable[str], leased_files: set[str], floor: int
) -> list[str]:
    # In this order: a file that is listed is in the making still, or somebody has said by then what needs it.
    listed = engine.fs.list(PAGES_DIR)
    protected = engine.bulk.protected_from()
    needed = needed_files(engine, manifests) | leased_files | engine.logged_files.since(engine, floor)
    removed = []
    for name in listed:
        parsed = parse_page_file_name(name)
        making = protected is not None and parsed is not None and parsed.number >= protected
        if name not in needed and not making:
            engine.pages.delete(name)
            removed.append(name)
    return removed


def _remove_segments(engine: Engine, floor: int) -> list[str]:
    """Segments that end at or below `floor`; the one it lies in stays."""
    first = floor // engine.control.segment_bytes
    removed = []
    for name in _segments(engine):
        if name.segment < first:
            removed.append(wal_segment_name(*name))
            engine.fs.unlink(f"{WAL_DIR}/{removed[-1]}")
    return removed


def _segments(engine: Engine) -> list[SegmentName]:
    """The segments of this timeline that are there, ascending."""
    return [name for name in list_segments(engine.fs, WAL_DIR) if name.timeline == engine.control.timeline]
