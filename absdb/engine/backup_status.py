"""How scheduled backups go, as their scheduler in this process says. Made by backup/schedule.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """Times are µs since 1970 UTC; the last backup is that of the instance in its repository, None before one looked.

    `failures` are those since the last backup that went well.
    """

    last_label: str | None = None
    last_us: int | None = None
    next_us: int | None = None
    failures: int = 0
    failure: str | None = None
    failed_us: int | None = None
