"""Where the log of an instance ends: for a writer that goes on there, and for a reader beside one or alone.

What is known from elsewhere to have been synced, from `control` and the watermark, must be in the log. Called by
engine/recovery.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absdb.catalog.control import Control
from absdb.clock import format_time
from absdb.engine.watermark import Mark, read_watermark
from absdb.errors import CorruptLogError, StateError
from absdb.ids import Lsn
from absdb.io.base import FileSystem
from absdb.paths import LOCK, WAL_DIR, WATERMARK
from absdb.wal.repair import recover_tail
from absdb.wal.tail import LogEnd, find_end

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

TRIES_MAX = 100


def log_of(control: Control) -> dict[str, Any]:
    """Which log it is, as the functions of wal/ want to know it."""
    return {
        "instance_id": control.instance_id,
        "timeline": control.timeline,
        "segment_bytes": control.segment_bytes,
    }


def repaired_end(fs: FileSystem, control: Control) -> LogEnd:
    """The end of the log, ready to be written on. For the writer, before it appends.

    CorruptLogError if the log is damaged, or lacks something that was durable.
    """
    mark = read_watermark(fs)
    try:
        return recover_tail(
            fs,
            WAL_DIR,
            from_lsn=control.checkpoint_lsn,
            durable_lsn=_durable_lsn(control, mark),
            **log_of(control),
        )
    except CorruptLogError as error:
        _explain(error, fs, control, mark)
        raise


def readable_end(engine: Engine) -> int:
    """How far a reader may go: what a live writer has published, else the last whole record."""
    fs, control = engine.fs, engine.control
    for _ in range(TRIES_MAX):
        owner, mark = fs.lock_owner(LOCK), read_watermark(fs)
        # One who has the lock and has not put its own time into the watermark does not append yet.
        if owner and mark is not None and owner.get("since") == format_time(mark.since_us):
            return max(control.checkpoint_lsn, mark.published)
        try:
            end = find_end(
                fs,
                WAL_DIR,
                from_lsn=control.checkpoint_lsn,
                durable_lsn=_durable_lsn(control, mark),
                **log_of(control),
            )
        except CorruptLogError as error:
            if read_watermark(fs) == mark:
                _explain(error, fs, control, mark)
                raise
            continue
        if read_watermark(fs) == mark:
            return end.lsn
        # A writer has begun: what we have found at the end may be on its way to the disk still.
    raise StateError(f"{fs.root}: the instance is opened and closed faster than this reader can follow")


def _durable_lsn(control: Control, mark: Mark | None) -> int:
    """An LSN up to which the log is known to have been synced."""
    if mark is None or (mark.instance_id, mark.timeline) != (control.instance_id, control.timeline):
        return control.durable_lsn
    return max(control.durable_lsn, mark.durable)


def _explain(error: CorruptLogError, fs: FileSystem, control: Control, mark: Mark | None) -> None:
    """Say what else may be the matter if only the watermark speaks against the log's end."""
    if _durable_lsn(control, mark) == control.durable_lsn:
        return
    end = find_end(
        fs, WAL_DIR, from_lsn=control.checkpoint_lsn, durable_lsn=control.durable_lsn, **log_of(control)
    )  # or the error that the log has by itself
    error.hint = (
        f"bring the newest files of {WAL_DIR}/ back, or restore the newest backup. If this directory was copied while "
        f"the instance was written, or its log was put back on purpose, remove the file {WATERMARK!r}: the instance "
        f"then opens as of LSN {Lsn(end.lsn)}, without what was committed after it"
    )
