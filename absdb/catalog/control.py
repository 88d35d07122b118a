"""`control`: the instance's anchor. It names the manifest recovery starts from; all else follows from that.

An envelope (magic ABSDBCTL) of exactly 512 bytes, one sector, so that not even a disk can tear it; it is
replaced atomically all the same. Its body:

    offset  bytes  field           meaning
         0     16  instance_id     random, made once; also in every segment header
        16      8  timeline        grows after a recovery to a point in the past and after a promotion
        24      8  epoch           fences off a former primary
        32      8  checkpoint_lsn  everything at or below is in the manifest; replay starts here
        40      8  durable_lsn     the log was known to be synced up to here: a bad record below is corruption
        48      8  segment_bytes   size of a WAL segment, fixed at creation
        56      8  created_us      when the instance was made, µs since 1970 UTC (signed)
        64      2  name length     0..255
        66      …  manifest        file name in manifests/, UTF-8; then zeros

Little-endian. Written by the engine at creation, after each checkpoint and at promotion; read at open.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from absdb.catalog.envelope import HEADER_BYTES, damaged, pack, unpack
from absdb.errors import InvalidInputError
from absdb.ids import LSN_MAX
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.paths import CONTROL, NAME_MAX

MAGIC = b"ABSDBCTL"
FORMAT = 1
CONTROL_BYTES = 512
_FIXED = struct.Struct("<16sQQQQQqH")
_BODY_BYTES = CONTROL_BYTES - HEADER_BYTES
assert _FIXED.size + NAME_MAX <= _BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The contents of `control`. Raises InvalidInputError for numbers or names that do not fit the format."""

    instance_id: bytes
    timeline: int
    epoch: int
    checkpoint_lsn: int
    manifest: str
    durable_lsn: int
    segment_bytes: int
    created_us: int

    def __post_init__(self) -> None:
        if len(self.instance_id) != 16:
            raise InvalidInputError(f"an instance id has 16 bytes, not {len(self.instance_id)}")
        for field in ("timeline", "epoch", "checkpoint_lsn", "durable_lsn", "segment_bytes"):
            value = getattr(self, field)
            if not 0 <= value <= LSN_MAX:
                raise InvalidInputError(f"control: {field} is {value}, outside of 0..{LSN_MAX}")
        if not -LSN_MAX <= self.created_us <= LSN_MAX:
            raise InvalidInputError(f"control: created_us is {self.created_us}, which is no time")
        if len(self.manifest.encode()) > NAME_MAX or "/" in self.manifest or "\0" in self.manifest:
            raise InvalidInputError(f"control: {self.manifest!r} is not the name of a file in manifests/")

    def to_bytes(self) -> bytes:
        """Exactly 512 bytes."""
        name = self.manifest.encode()
        fixed = _FIXED.pack(
            self.instance_id,
            self.timeline,
            self.epoch,
            self.checkpoint_lsn,
            self.durable_lsn,
            self.segment_bytes,
            self.created_us,
            len(name),
        )
        return pack(MAGIC, FORMAT, (fixed + name).ljust(_BODY_BYTES, b"\0"))

    @classmethod
    def from_bytes(cls, data: bytes, path: str = CONTROL) -> Control:
        """Raises CorruptionError, or FormatVersionError for a newer format."""
        if len(data) != CONTROL_BYTES:
            raise damaged(path, min(len(data), CONTROL_BYTES), "bytes in the file", CONTROL_BYTES, len(data))
        body = unpack(data, MAGIC, FORMAT, path)
        instance_id, timeline, epoch, checkpoint, durable, segment, created, length = _FIXED.unpack_from(body)
        end = _FIXED.size + length
        if length > NAME_MAX or any(body[end:]):
            raise damaged(path, HEADER_BYTES + min(end, _BODY_BYTES), "padding", "zeros", "other bytes")
        try:
            return cls(
                instance_id=instance_id,
                timeline=timeline,
                epoch=epoch,
                checkpoint_lsn=checkpoint,
                manifest=body[_FIXED.size : end].decode(),
                durable_lsn=durable,
                segment_bytes=segment,
                created_us=created,
            )
        except (InvalidInputError, UnicodeDecodeError) as error:
            raise damaged(path, HEADER_BYTES, "the body", "values in range", str(error)) from error


def read_control(fs: FileSystem) -> Control:
    """The control file; StorageError (ENOENT) if there is none, CorruptionError if it is damaged."""
    size = fs.size(CONTROL)
    if size != CONTROL_BYTES:
        raise damaged(CONTROL, min(size, CONTROL_BYTES), "bytes in the file", CONTROL_BYTES, size)
    return Control.from_bytes(read_file(fs, CONTROL))


def write_control(fs: FileSystem, control: Control) -> None:
    """Replace the control file: a crash leaves the old or the new one, whole; durable on return.

    When this fails, which of the two is there is unknown until the next `read_control`: delete nothing that
    either of them needs.
    """
    write_atomic(fs, CONTROL, control.to_bytes())
