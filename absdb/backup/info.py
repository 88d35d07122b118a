"""What people are shown of a backup: its facts, as a value that shows itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from absdb.backup.manifest import Backup
from absdb.clock import to_datetime
from absdb.ids import Lsn
from absdb.reprs import page
from absdb.sizes import size


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInfo:
    """One backup. Sizes in bytes: `size` is what a restore brings back, `stored_bytes` what the backup has added.

    `end_lsn` and `end_time` say as of when it is. `base` is the label of the backup that an incremental one builds on,
    with its URL in front if it lies elsewhere. `databases` is empty where names are encrypted.
    """

    label: str
    kind: str
    url: str
    end_lsn: Lsn
    end_time: dt.datetime
    finished_at: dt.datetime
    seconds: float
    base: str
    files: int
    size: int
    stored_files: int
    stored_bytes: int
    compression: str | None
    encrypted: bool
    pinned: bool
    databases: tuple[str, ...]
    comment: str
    checkpoint_lsn: Lsn
    timeline: int
    instance_id: str
    id: str
    key_id: str
    version: str

    def as_dict(self) -> dict[str, Any]:
        """Name → value of everything that is known."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"<BackupInfo {self.label}, {', '.join(self._facts())}>"

    def _repr_html_(self) -> str:
        return page("Backup", self.label, [*self._facts(), self.url])

    def _facts(self) -> list[str]:
        facts = [
            self.kind,
            f"@ {self.end_lsn}",
            f"{size(self.size)}, {size(self.stored_bytes)} stored",
        ]
        facts += [f"from {self.base}"] if self.base else []
        facts += ["encrypted"] if self.encrypted else []
        return facts + (["pinned"] if self.pinned else [])


def info_of(backup: Backup, url: str, *, pinned: bool = False) -> BackupInfo:
    """What is shown of a backup in the repository at `url`."""
    base = f"{backup.base_url}#{backup.base_label}" if backup.base_url else backup.base_label
    return BackupInfo(
        label=backup.label,
        kind=backup.kind,
        url=url,
        end_lsn=Lsn(backup.end_lsn),
        end_time=to_datetime(backup.end_us),
        finished_at=to_datetime(backup.finished_us),
        seconds=(backup.finished_us - backup.started_us) / 1e6,
        base=base,
        files=backup.files,
        size=backup.raw_bytes,
        stored_files=backup.stored_files,
        stored_bytes=backup.stored_bytes,
        compression=backup.compression,
        encrypted=backup.encrypted,
        pinned=pinned,
        databases=backup.databases,
        comment=backup.comment,
        checkpoint_lsn=Lsn(backup.checkpoint_lsn),
        timeline=backup.timeline,
        instance_id=backup.instance_id,
        id=backup.id,
        key_id=backup.key_id,
        version=backup.version,
    )
