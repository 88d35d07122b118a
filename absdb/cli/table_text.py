"""Rows as text: a table that fits the terminal, the same for pipes and files, and rows turned on their side.

    at a terminal     cells are cut to fit; if they still do not, a few rows turn on their side, and of many rows
                      the columns that fit are shown and the others named
    elsewhere         nothing is cut, columns are aligned by blanks

NULL is told from the text NULL by its colour, and in the table of a pipe by nothing. Called by row_formats.py.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.cli.cell_texts import TEXT, one_line, plain
from absdb.cli.output import colours
from absdb.reprs import counted

GAP = "  "
CELL_WIDTH_MIN = 10
CELL_WIDTH_MAX = 60
SIDEWAYS_ROWS_MAX = 5
NULL = "NULL"


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a table is shown: how many characters a line has, and whether it has colours."""

    width: int
    colour: bool

    def style(self, text: str, **style: bool) -> str:
        """The text in bold or dim, if there are colours."""
        return click.style(text, **style) if self.colour and text else text


def screen_of(stream: Any) -> Screen | None:
    """The terminal behind a stream, None if there is none."""
    if not stream.isatty():
        return None
    said = os.environ.get("COLUMNS", "")
    columns = int(said) if said.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    return Screen(columns or 80, colours(stream))


def lines_at_terminal(table: pa.Table, screen: Screen, *, head: bool = True) -> list[str]:
    """A table of some rows, at most a thousand or so, in lines that are no longer than the screen."""
    columns = [_cells(column) for column in table.columns]
    names = [_shown_name(name) for name in table.column_names]
    widths = [
        max(width(name), *(width(NULL if cell is None else cell) for cell in cells)) if cells else width(name)
        for name, cells in zip(names, columns, strict=True)
    ]
    rights = [is_number(field.type) for field in table.schema]
    fitted = fit(widths, rights, screen.width)
    if fitted is None and 0 < table.num_rows <= SIDEWAYS_ROWS_MAX:
        return sideways(table, screen)
    kept = list(range(len(widths))) if fitted is not None else _first_that_fit(widths, screen.width)
    fitted = fitted or [min(each, max(CELL_WIDTH_MIN, screen.width)) for each in widths]
    found: list[str] = []
    if head:
        heads = [_padded(names[at], fitted[at], rights[at]) for at in kept]
        found.append(GAP.join(screen.style(text, bold=True) for text in heads).rstrip())
        found.append(
            screen.style("─" * (sum(fitted[at] for at in kept) + len(GAP) * (len(kept) - 1)), dim=True)
        )
    for row in zip(*(columns[at] for at in kept), strict=True):
        cells = [
            screen.style(_padded(NULL, fitted[at], rights[at]), dim=True)
            if cell is None
            else _padded(cell, fitted[at], rights[at])
            for at, cell in zip(kept, row, strict=True)
        ]
        found.append(GAP.join(cells).rstrip())
    left = [names[at] for at in range(len(names)) if at not in kept]
    if left and head:
        text = f"… {counted(len(left), 'more column')}: {', '.join(left)}"
        found.append(screen.style(cut(text, screen.width), dim=True))
    return found


def sideways(table: pa.Table, screen: Screen, first: int = 1) -> list[str]:
    """Each row as a block of `name  value` lines under its number."""
    names = [_shown_name(name) for name in table.column_names]
    room = min(max(map(width, names), default=0), max(CELL_WIDTH_MIN, screen.width // 3))
    columns = [_cells(column) for column in table.columns]
    found = []
    for number, row in enumerate(zip(*columns, strict=True), start=first):
        title = f"─ row {number:,} "
        found.append(screen.style(title + "─" * max(0, min(screen.width, 60) - width(title)), dim=True))
        for name, cell in zip(names, row, strict=True):
            label = screen.style(_padded(name, room, False), bold=True)
            left = max(CELL_WIDTH_MIN, screen.width - room - len(GAP))
            value = screen.style(NULL, dim=True) if cell is None else cut(cell, left)
            found.append(f"{label}{GAP}{value}".rstrip())
    return found


def lines_whole(table: pa.Table, widths: list[int], *, head: bool) -> bytes:
    """Any number of rows for a pipe or a file, as UTF-8 lines. `widths` are at least as before, and kept."""
    texts = [
        pc.fill_null(one_line(pa.chunked_array([plain(chunk) for chunk in column.chunks], TEXT)), NULL)
        for column in table.columns
    ]
    names = [_shown_name(name) for name in table.column_names]
    widths[:] = [
        max(known, len(name), pc.max(pc.utf8_length(column)).as_py() or 0)
        for known, name, column in zip(widths or [0] * len(names), names, texts, strict=True)
    ]
    rights = [is_number(field.type) for field in table.schema]
    top = GAP.join(f"{n:{'>' if r else '<'}{w}}" for n, r, w in zip(names, rights, widths, strict=True))
    start = f"{top.rstrip()}\n".encode() if head else b""
    if not table.num_rows:
        return start
    padded = [
        pc.utf8_lpad(column, size) if right else pc.utf8_rpad(column, size)
        for column, right, size in zip(texts, rights, widths, strict=True)
    ]
    rows = pc.binary_join_element_wise(*padded, pa.scalar(GAP, TEXT)) if len(padded) > 1 else padded[0]
    return start + joined_lines(pc.utf8_rtrim(rows, " "))


def joined_lines(rows: pa.ChunkedArray, between: str = "\n", end: str = "\n") -> bytes:
    """Texts, none of which is NULL, one after another."""
    chunk = rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows
    if isinstance(chunk, pa.ChunkedArray):
        chunk = pa.concat_arrays(chunk.chunks)
    whole = pa.LargeListArray.from_arrays(pa.array([0, len(chunk)], pa.int64()), chunk)
    joined: bytes = pc.binary_join(whole, pa.scalar(between, TEXT))[0].as_buffer().to_pybytes()
    return joined + end.encode()


# -- what fits


def fit(widths: Sequence[int], rights: Sequence[bool], room: int) -> list[int] | None:
    """Widths that fit side by side, the widest texts cut first; None if they cannot.

    Numbers are never cut, for their beginning alone is another number.
    """
    found = [each if right else min(each, CELL_WIDTH_MAX) for each, right in zip(widths, rights, strict=True)]
    room -= len(GAP) * (len(found) - 1)
    if sum(widths) <= room:
        return list(widths)
    least = [each if right else min(each, CELL_WIDTH_MIN) for each, right in zip(found, rights, strict=True)]
    if sum(least) > room:
        return None
    while sum(found) > room:
        open_to = [at for at, each in enumerate(found) if each > least[at]]
        widest = max(open_to, key=lambda at: found[at])
        second = max((found[at] for at in open_to if found[at] < found[widest]), default=0)
        found[widest] = max(least[widest], second, found[widest] - (sum(found) - room))
        if found[widest] == second and sum(found) > room:
            found[widest] = max(least[widest], second - 1)
    return found


def _first_that_fit(widths: Sequence[int], room: int) -> list[int]:
    """The columns from the left that fit, at least one."""
    found: list[int] = []
    for at, each in enumerate(widths):
        room -= min(each, CELL_WIDTH_MAX) + len(GAP)
        if found and room + len(GAP) < 0:
            break
        found.append(at)
    return found


def width(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian characters two, those put on others none."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cut(text: str, room: int) -> str:
    """The text, or its beginning and … if it is wider than `room`."""
    if width(text) <= room:
        return text
    taken = 0
    for at, char in enumerate(text):
        taken += _char_width(char)
        if taken > room - 1:
            return text[:at] + "…"
    return text


def _padded(text: str, room: int, right: bool) -> str:
    text = cut(text, room)
    blanks = " " * (room - width(text))
    return blanks + text if right else text + blanks


def _cells(column: pa.ChunkedArray) -> list[str | None]:
    found: list[str | None] = []
    for chunk in column.chunks:
        found.extend(one_line(plain(chunk)).to_pylist())
    return found


def _shown_name(name: str) -> str:
    return str(one_line(pa.array([name], TEXT))[0].as_py())


def is_number(kind: pa.DataType) -> bool:
    """Whether values of a type stand to the right."""
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))
