"""The backups of a repository as rows for a grid: what each is, as of when, how large, and what it builds on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from absdb.errors import InvalidInputError
from absdb.panels.model.moments import relative
from absdb.panels.model.rows import GridColumn, GridRow, RowSource
from absdb.sizes import size


@dataclass(frozen=True)
class BackupRows:
    """Backups for a grid; `backups` are rows of `list_backups`."""

    backups: Sequence[dict[str, Any]]
    now: dt.datetime

    @property
    def columns(self) -> Sequence[GridColumn]:
        columns = [
            GridColumn("label"),
            GridColumn("kind"),
            GridColumn("as of"),
            GridColumn("time", "UTC"),
            GridColumn("LSN", numeric=True),
            GridColumn("size", "as restored", numeric=True),
            GridColumn("stored", "by this one", numeric=True),
            GridColumn("builds on"),
            GridColumn("comment"),
        ]
        return columns if self._commented else columns[:-1]

    @property
    def _commented(self) -> bool:
        return any(one["comment"] for one in self.backups)

    @property
    def count(self) -> int | None:
        return len(self.backups)

    def page(self, offset: int, count: int) -> list[GridRow]:
        return [GridRow(self._cells(one)) for one in self.backups[offset : offset + count]]

    def sorted_by(self, column: str, *, descending: bool) -> RowSource:
        keys = {
            "label": "label",
            "kind": "kind",
            "as of": "end_time",
            "time": "end_time",
            "LSN": "end_time",
            "size": "size",
            "stored": "stored_bytes",
            "builds on": "base",
            "comment": "comment",
        }
        if column not in keys:
            raise InvalidInputError(f"there is no column {column!r} to sort by")
        name = keys[column]
        known = [one for one in self.backups if one[name] is not None]
        order = sorted(known, key=lambda one: one[name], reverse=descending)
        return replace(self, backups=[*order, *(one for one in self.backups if one[name] is None)])

    def _cells(self, one: dict[str, Any]) -> list[Any]:
        time: dt.datetime | None = one["end_time"]
        facts = [
            one["kind"] or "",
            "" if one["state"] == "complete" else one["state"],
            "pinned" if one["pinned"] else "",
            "encrypted" if one["encrypted"] else "",
        ]
        cells = [
            one["label"],
            ", ".join(fact for fact in facts if fact),
            "" if time is None else relative(time, self.now),
            "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}",
            one["end_lsn"] or "",
            "" if one["size"] is None else size(one["size"]),
            "" if one["stored_bytes"] is None else size(one["stored_bytes"]),
            one["base"] or "",
            one["comment"] or "",
        ]
        return cells if self._commented else cells[:-1]
