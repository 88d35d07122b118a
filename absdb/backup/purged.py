"""What a purge has removed and kept, and why: a value that shows itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.engine.frames import listing
from absdb.reprs import counted, grid, page
from absdb.sizes import size

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("kind", pa.string()),
        ("finished_at", pa.timestamp("us", "UTC")),
        ("stored_bytes", pa.int64()),
        ("removed", pa.bool_()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one backup, and why. `kind` is leftover for what is none; `stored_bytes` is what lies there."""

    label: str
    kind: str
    finished_at: dt.datetime | None
    stored_bytes: int
    removed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge has removed and kept; with `dry_run`, what it would."""

    url: str
    dry_run: bool
    fates: tuple[Fate, ...]
    abandoned_uploads: int

    @property
    def removed(self) -> list[str]:
        """Labels of what went."""
        return [fate.label for fate in self.fates if fate.removed]

    def __repr__(self) -> str:
        return f"<Purged {self.url}, {', '.join(self._facts())}>"

    def _repr_html_(self) -> str:
        rows = [[fate.label, fate.kind, fate.removed, fate.reason] for fate in self.fates]
        return page("Purged", self.url, self._facts(), grid(["label", "kind", "removed", "reason"], rows))

    def _facts(self) -> list[str]:
        gone = [fate for fate in self.fates if fate.removed]
        verb = "would go" if self.dry_run else "removed"
        return [
            f"{counted(len(gone), 'backup')} {verb}, {size(sum(fate.stored_bytes for fate in gone))}",
            f"{len(self.fates) - len(gone)} kept",
        ]

    def to_pandas(self) -> pd.DataFrame:
        """One row a backup: label, kind, finished_at, stored_bytes, removed, reason."""
        return listing(self.table())

    def table(self) -> pa.Table:
        """One row a backup: label, kind, finished_at, stored_bytes, removed, reason."""
        rows = [{name: getattr(fate, name) for name in SCHEMA.names} for fate in self.fates]
        return pa.Table.from_pylist(rows, schema=SCHEMA)
