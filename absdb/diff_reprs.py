"""How rows that differ show themselves in a notebook: a sign and a colour for each, and the old value before the new.

    +  added       what the row is
    ~  modified    the old value struck through, the new, in the cells that changed
    -  removed     what the row was

marks.py has the colours. HTML in the data is escaped. What is left out is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa

from absdb.marks import MARKS, mark_of
from absdb.marks import SIGNS as SIGNS
from absdb.reprs import (
    CELL_CHARACTERS_MAX,
    CELL_STYLE,
    COLUMNS_SHOWN,
    MUTED,
    Html,
    cell,
    counted,
    grid,
    rows_of,
    side,
)

_COLOURS = {mark.sign: mark.css for mark in MARKS.values()}
SUMMARY_NAMES = ("table", "operation", "rows", "cells")
CONTEXT = 20
"""How many characters of what is equal are shown before the first difference of long texts."""


@dataclass(frozen=True, slots=True)
class Change:
    """A cell that differs."""

    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class MarkedRow:
    """A row that differs: its sign, and its cells, of which a Change is one that does."""

    sign: str
    cells: list[Any]


def marked_rows(rows: pa.Table, compared: Sequence[str]) -> tuple[list[str], list[MarkedRow]]:
    """(columns, rows) of the first few rows of a diff; `compared` are those whose two sides stand before `changed`."""
    first = rows.num_columns - 1 - 2 * len(compared)
    found = []
    for values in rows_of(rows):
        kind, changed = values[0], set(values[-1] or ())
        cells = values[1:first]
        for at, name in enumerate(compared):
            old, new = values[first + 2 * at : first + 2 * at + 2]
            cells.append(Change(old, new) if name in changed else old if kind == "removed" else new)
        found.append(MarkedRow(SIGNS[kind], cells))
    return [*rows.column_names[1:first], *compared], found


def marked_counts(rows: pa.Table) -> tuple[list[str], list[MarkedRow]]:
    """The same of distinct rows, whose last columns say how often each side has them."""
    found = [MarkedRow(SIGNS[kind], [*cells, Change(old, new)]) for kind, *cells, old, new in rows_of(rows)]
    return [*rows.column_names[1:-2], "count"], found


def diff_grid(names: Sequence[str], rows: Sequence[MarkedRow], *, keys: int, total: int) -> str:
    """The rows as an HTML table, which says how many of `total` are left out.

    Of many columns the first `keys` are shown, then those that changed.
    """
    if not rows:
        return ""
    kept = _columns(names, rows, keys)
    sides = {at: side(list(_sides(rows, at))) for at in kept}
    head = "".join(
        f'<th style="{CELL_STYLE};text-align:{sides.get(at, "left")};{MUTED};font-weight:normal">{escape(name)}</th>'
        for at, name in ((-1, ""), *((at, names[at]) for at in kept))
    )
    body = "".join(_row(row, sides) for row in rows)
    notes = [f"{total - len(rows):,} more"] if total > len(rows) else []
    notes += [counted(len(names) - len(kept), "more column")] if len(kept) < len(names) else []
    more = f'<div style="{MUTED}">… and {", ".join(notes)}</div>' if notes else ""
    table = f'<table style="border-collapse:collapse;margin:4px 0"><thead><tr>{head}</tr></thead>'
    return f"{table}<tbody>{body}</tbody></table>{more}"


def summary_grid(rows: Sequence[Sequence[Any]], names: Sequence[str] = SUMMARY_NAMES) -> str:
    """A summary of changes as an HTML table, its operations (the second column) marked."""
    return grid(names, [[row[0], operation_html(row[1]), *row[2:]] for row in rows])


def operation_html(operation: str) -> Html:
    """An operation as summaries name it, with its sign and colour."""
    mark = mark_of(operation)
    if mark is None:
        return Html(escape(operation))
    return Html(
        f'<span style="background:{mark.css};padding:0 4px"><b>{mark.sign}</b> {escape(operation)}</span>'
    )


def _columns(names: Sequence[str], rows: Sequence[MarkedRow], keys: int) -> list[int]:
    """The columns to show, in their order."""
    changed = [at for at in range(len(names)) if any(isinstance(row.cells[at], Change) for row in rows)]
    wanted = dict.fromkeys([*range(min(keys, len(names))), *changed, *range(len(names))])
    return sorted(list(wanted)[:COLUMNS_SHOWN])


def _sides(rows: Sequence[MarkedRow], at: int) -> Iterator[Any]:
    """All that is shown in a column."""
    for value in (row.cells[at] for row in rows):
        if isinstance(value, Change):
            yield value.old
            yield value.new
        else:
            yield value


def _row(row: MarkedRow, sides: Mapping[int, str]) -> str:
    colour = f"background:{_COLOURS[row.sign]}"
    whole = row.sign != SIGNS["modified"]
    cells = [f'<td style="{CELL_STYLE};text-align:center;{colour}"><b>{row.sign}</b></td>']
    for at, side_of in sides.items():
        value = row.cells[at]
        changed = isinstance(value, Change)
        text = _change(value) if changed else cell(value)
        cells.append(
            f'<td style="{CELL_STYLE};text-align:{side_of}{f";{colour}" if whole or changed else ""}">{text}</td>'
        )
    return f"<tr>{''.join(cells)}</tr>"


def _change(change: Change) -> str:
    old, new = brought_together(change.old, change.new)
    return f'<del style="opacity:.75">{cell(old)}</del> <b>{cell(new)}</b>'


def brought_together(old: Any, new: Any) -> tuple[Any, Any]:
    """Two values, long texts from shortly before the place where they begin to differ."""
    if not (isinstance(old, str) and isinstance(new, str)):
        return old, new
    if max(len(old), len(new)) <= CELL_CHARACTERS_MAX:
        return old, new
    same = next(
        (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    start = same - CONTEXT
    return (old, new) if start <= 1 else (f"…{old[start:]}", f"…{new[start:]}")
