"""Rows that differ as lines of text: a sign, the key, and of a cell that changed the old value and the new one.

    at a terminal     signs and cells in colours, old values struck through; columns that do not fit are named
    elsewhere         `old → new`, whole, aligned by blanks

Written batch by batch as rows come. Called by diff.py and the shell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.cli.cell_texts import TEXT, one_line, plain
from absdb.cli.row_formats import BLOCK_ROWS
from absdb.cli.table_text import GAP, NULL, Screen, cut, is_number, lines_whole, width
from absdb.io.row_files import Write
from absdb.marks import MARKS, SIGNS
from absdb.reprs import counted

ARROW = " → "
VALUE_WIDTH_MAX = 40
_COLOURS = {kind: mark.terminal for kind, mark in MARKS.items()}
Cell = tuple[str, str | None]
"""What a cell shows: the old value and the new one, or one value and None."""


class MarkedWriter:
    """Writes rows of a diff as they come; `compared` are the columns whose two sides stand before `changed`."""

    def __init__(self, write: Write, screen: Screen | None, compared: Sequence[str]) -> None:
        self._write = write
        self._screen = screen
        self._compared = compared
        self._widths: list[int] = []
        self._head = True

    def begin(self, schema: pa.Schema) -> None:
        pass

    def batch(self, batch: pa.RecordBatch) -> None:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            block = batch.slice(start, BLOCK_ROWS)
            if self._screen is None:
                self._write(lines_whole(marked_table(block, self._compared), self._widths, head=self._head))
            else:
                lines = marked_lines(block, self._compared, self._screen, head=self._head)
                self._write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
            self._head = False

    def end(self) -> None:
        pass


def marked_table(batch: pa.RecordBatch, compared: Sequence[str]) -> pa.Table:
    """The rows as a table of texts for a pipe: sign, key columns, compared columns."""
    kinds, first = batch.column(0), batch.num_columns - 1 - 2 * len(compared)
    signs = pc.replace_with_mask(kinds, pc.equal(kinds, "added"), pa.scalar(SIGNS["added"]))
    for kind in ("modified", "removed"):
        signs = pc.replace_with_mask(signs, pc.equal(kinds, kind), pa.scalar(SIGNS[kind]))
    columns, names = [signs, *batch.columns[1:first]], ["", *batch.schema.names[1:first]]
    for name, old, new, changed in _sides(batch, compared):
        both = pc.binary_join_element_wise(old, new, pa.scalar(ARROW, TEXT))
        one = pc.if_else(pc.equal(kinds, "removed"), old, new)
        columns.append(pc.if_else(changed, both, one))
        names.append(name)
    return pa.Table.from_arrays(columns, names=names)


def marked_lines(batch: pa.RecordBatch, compared: Sequence[str], screen: Screen, *, head: bool) -> list[str]:
    """The same for a terminal, at most a thousand rows or so."""
    kinds, first = batch.column(0).to_pylist(), batch.num_columns - 1 - 2 * len(compared)
    names = [*batch.schema.names[1:first], *compared]
    columns: list[list[Cell]] = [
        [(value, None) for value in _texts(column).to_pylist()] for column in batch.columns[1:first]
    ]
    touched = list(range(first - 1))
    for _, old, new, changed in _sides(batch, compared):
        sides = zip(kinds, old.to_pylist(), new.to_pylist(), changed.to_pylist(), strict=True)
        if any(changed.to_pylist()):
            touched.append(len(columns))
        columns.append(
            [(a, b) if both else (a if kind == "removed" else b, None) for kind, a, b, both in sides]
        )
    widths = [
        max(width(name), *(width(_shown(cell)) for cell in cells)) if cells else width(name)
        for name, cells in zip(names, columns, strict=True)
    ]
    types = [
        *batch.schema.types[1:first],
        *(batch.column(first + 2 * at).type for at in range(len(compared))),
    ]
    rights = list(map(is_number, types))
    kept = _fitting(widths, touched, screen.width - 1 - len(GAP))
    found = []
    if head:
        heads = (
            _beside(cut(names[at], widths[at]), widths[at] - width(names[at]), rights[at]) for at in kept
        )
        found.append(screen.style(GAP.join((" ", *heads)).rstrip(), bold=True))
    for at, kind in enumerate(kinds):
        cells = [
            _styled(columns[number][at], widths[number], kind, screen, right=rights[number])
            for number in kept
        ]
        sign = click.style(SIGNS[kind], fg=_COLOURS[kind], bold=True) if screen.colour else SIGNS[kind]
        found.append(GAP.join((sign, *cells)).rstrip())
    left = [names[at] for at in range(len(names)) if at not in kept]
    if left and head:
        text = f"… {counted(len(left), 'more column')}: {', '.join(left)}"
        found.append(screen.style(cut(text, screen.width), dim=True))
    return found


def _sides(
    batch: pa.RecordBatch, compared: Sequence[str]
) -> Iterator[tuple[str, pa.Array, pa.Array, pa.Array]]:
    """(name, texts of the old values, of the new ones, which changed) of each compared column."""
    first, changed = batch.num_columns - 1 - 2 * len(compared), batch.column(batch.num_columns - 1)
    parents, names = pc.list_parent_indices(changed), changed.flatten()
    rows = pa.array(np.arange(batch.num_rows), parents.type)
    for at, name in enumerate(compared):
        old, new = (_texts(batch.column(first + 2 * at + side)) for side in (0, 1))
        yield name, old, new, pc.is_in(rows, parents.filter(pc.equal(names, name)))


def _texts(column: pa.Array) -> pa.Array:
    return pc.fill_null(one_line(plain(column)), NULL)


def _shown(cell: Cell) -> str:
    old, new = cell
    return cut(old, VALUE_WIDTH_MAX) + ("" if new is None else f"{ARROW}{cut(new, VALUE_WIDTH_MAX)}")


def _beside(text: str, room: int, right: bool) -> str:
    """A text with so many blanks behind it, or before it if it stands to the right."""
    padding = " " * max(room, 0)
    return padding + text if right else text + padding


def _styled(cell: Cell, room: int, kind: str, screen: Screen, *, right: bool) -> str:
    """A cell padded to its room; a changed one with its old value struck through."""
    old, new = cell
    text = _shown(cell)
    room -= width(text)
    if not screen.colour:
        return _beside(text, room, right)
    if new is None:
        return _beside(text if kind == "modified" else click.style(text, fg=_COLOURS[kind]), room, right)
    before = click.style(cut(old, VALUE_WIDTH_MAX), strikethrough=True, dim=True)
    after = click.style(cut(new, VALUE_WIDTH_MAX), fg=_COLOURS[kind], bold=True)
    return _beside(f"{before}{ARROW}{after}", room, right)


def _fitting(widths: Sequence[int], first: Sequence[int], room: int) -> list[int]:
    """The columns that fit side by side: those in `first`, then from the left; at least one."""
    found: list[int] = []
    for at in dict.fromkeys([*first, *range(len(widths))]):
        room -= widths[at] + len(GAP)
        if found and room + len(GAP) < 0:
            break
        found.append(at)
    return sorted(found)
