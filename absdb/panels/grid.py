"""Grid: rows in the browser, a page at a time, however many there are.

    kernel → browser   columns, count, offset, rows of the page, selected, sort, note
    browser → kernel   {"type": "page", "offset"} | {"type": "sort", "column", "descending"}
                       {"type": "select", "row", "column"} | {"type": "edit", "row", "column", "text"}

What comes from the browser is checked like any input. Pages are read in the thread of the workbench.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import traitlets

from absdb.diff_reprs import Change
from absdb.errors import InvalidInputError
from absdb.panels.model.rows import GridRow, RowSource
from absdb.panels.model.work import Work
from absdb.panels.theme import STATIC

PAGE_ROWS = 50


class Grid(anywidget.AnyWidget):
    """A grid over a RowSource. `on_select(row, column)` and `on_edit(row, column, text)` are called in the thread
    of the kernel; errors of reading go to `failed`."""

    _esm = STATIC / "grid.js"
    columns: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    rows: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    offset = traitlets.Int(0).tag(sync=True)
    page_rows = traitlets.Int(PAGE_ROWS).tag(sync=True)
    selected = traitlets.Int(-1).tag(sync=True)
    sortable = traitlets.Bool(False).tag(sync=True)
    sort: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    empty = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("rows").tag(sync=True)

    def __init__(
        self,
        work: Work,
        failed: Callable[[BaseException], None],
        *,
        label: str,
        empty: str,
        page_rows: int = PAGE_ROWS,
        on_select: Callable[[int, str], None] | None = None,
        on_edit: Callable[[int, str, str], None] | None = None,
    ) -> None:
        super().__init__(label=label, empty=empty, page_rows=page_rows)
        self._work = work
        self._failed = failed
        self._on_select = on_select
        self._on_edit = on_edit
        self._source: RowSource | None = None
        self._shown: RowSource | None = None
        self.on_msg(self._said)

    @property
    def source(self) -> RowSource | None:
        """What is shown, in its own order."""
        return self._source

    @property
    def shown(self) -> RowSource | None:
        """What is shown, in the order it is shown in."""
        return self._shown

    def show(self, source: RowSource | None, *, note: str = "", keep: bool = False) -> None:
        """Show other rows, from the first on; with `keep` in the same order, from the same row on if there is one."""
        self._source = self._shown = source
        offset = self.offset if keep and source is not None and self.offset < (source.count or 0) else 0
        names = [] if source is None else [column.name for column in source.columns]
        with self.hold_sync():
            self.sortable = hasattr(source, "sorted_by")
            if (
                keep
                and source is not None
                and hasattr(source, "sorted_by")
                and self.sort.get("column") in names
            ):
                self._shown = source.sorted_by(self.sort["column"], descending=self.sort["descending"])
            else:
                self.sort = {}
            self.note = note
            if not keep:
                self.selected = -1
            self._load(offset)

    def _load(self, offset: int) -> None:
        source = self._shown
        rows = [] if source is None else source.page(offset, self.page_rows)
        with self.hold_sync():
            self.columns = [] if source is None else [_column(one) for one in source.columns]
            self.count = 0 if source is None else -1 if source.count is None else source.count
            self.offset = offset
            self.rows = [_sent(row) for row in rows]

    def page(self, offset: int) -> None:
        """Show the page from a row on."""
        key = f"grid {id(self)}"
        self._work.start(
            "reading rows", lambda job: self._load(max(0, offset)), _nothing, self._failed, key=key
        )

    def order_by(self, column: str, *, descending: bool = False) -> None:
        """Show the rows in the order of a column."""

        def sort(job: Any) -> None:
            if self._source is None or not hasattr(self._source, "sorted_by"):
                raise InvalidInputError("these rows cannot be sorted")
            self._shown = self._source.sorted_by(column, descending=descending)
            with self.hold_sync():
                self.sort = {"column": column, "descending": descending}
                self.selected = -1
                self._load(0)

        self._work.start(f"sorting by {column}", sort, _nothing, self._failed, key=f"grid {id(self)}")

    def _said(self, _: Any, message: Any, __: Any) -> None:
        match message:
            case {"type": "page", "offset": int(offset)}:
                self.page(offset)
            case {"type": "sort", "column": str(column), "descending": bool(descending)}:
                self.order_by(column, descending=descending)
            case {"type": "select", "row": int(row), "column": str(column)} if 0 <= row < self._rows_known():
                self.selected = row
                if self._on_select is not None:
                    self._on_select(row, column)
            case {"type": "edit", "row": int(row), "column": str(column), "text": str(text)} if (
                self._on_edit is not None and 0 <= row < self._rows_known() and self._editable(column)
            ):
                self._on_edit(row, column, text)

    def _rows_known(self) -> int:
        return self.count if self.count >= 0 else self.offset + len(self.rows)

    def _editable(self, column: str) -> bool:
        return any(one["name"] == column and one["editable"] for one in self.columns)


def _column(one: Any) -> dict[str, Any]:
    return {"name": one.name, "type": one.type, "numeric": one.numeric, "editable": one.editable}


def _sent(row: GridRow) -> dict[str, Any]:
    cells: Sequence[Any] = row.cells
    sent = [{"old": cell.old, "new": cell.new} if isinstance(cell, Change) else cell for cell in cells]
    return {"sign": row.sign, "cells": sent}


def _nothing(_: None) -> None:
    """Reading a page ends with the page shown."""
