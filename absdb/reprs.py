"""How things show themselves in a notebook: small, escaped HTML in the colours of the theme, without side effects.

    head   what it is and the few facts that matter, as in the plain repr
    grid   a listing under it, cut after a few rows

JupyterLab's CSS variables carry the theme, with fall-backs for other front ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import Any

import pyarrow as pa

from absdb.errors import AbsdbError

ROWS_SHOWN = 10
COLUMNS_SHOWN = 20
CELL_CHARACTERS_MAX = 60
TEXT_CELL_MAX = 40
TEXT_WIDTH = 110
MUTED = "color:var(--jp-content-font-color2,#666)"
_HEAD = "color:var(--jp-content-font-color1,inherit)"
CELL_STYLE = (
    "padding:2px 16px 2px 0;white-space:nowrap;border:0;border-bottom:1px solid var(--jp-border-color2,#ddd)"
)


@dataclass(frozen=True, slots=True)
class Html:
    """Text of a cell or fact that is HTML already, with everything in it escaped."""

    text: str


def escaped(value: str | Html) -> str:
    """A text as HTML."""
    return value.text if isinstance(value, Html) else escape(value)


def next_step(text: str, code: str) -> str:
    """What is said where there is nothing yet: that, and what to do about it."""
    return f'<div style="{MUTED}">{escape(text)} <code>{escape(code)}</code></div>'


class Shown:
    """What makes a dataclass show its fields in a notebook, but for those that say nothing."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        named = ((each.name, getattr(self, each.name), each.default) for each in fields(self))  # type: ignore[arg-type]
        facts = [
            f"{name} {_fact(value)}" for name, value, default in named if value not in (None, (), default)
        ]
        return page(type(self).__name__, "", facts)


def _fact(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def html(make: Callable[[], str]) -> str | None:
    """What `make` makes; None, for which front ends show the plain repr, if what is shown is closed or gone."""
    try:
        return make()
    except AbsdbError:
        return None


def plain(kind: str, make: Callable[[], str]) -> str:
    """`<kind …>`, as `make` goes on; what is closed or gone says so, for a plain repr never fails."""
    try:
        return f"<{kind} {make()}>"
    except AbsdbError as error:
        return f"<{kind}: {error.message}>"


def page(kind: str, name: str | Html, facts: Iterable[str | Html], *parts: str) -> str:
    """A block of HTML: kind, name and facts in one line, then the parts."""
    line = " · ".join(map(escaped, facts))
    head = (
        f'<div style="{_HEAD}"><span style="{MUTED}">{escape(kind)}</span> '
        f'<b>{escaped(name)}</b> <span style="{MUTED}">{line}</span></div>'
    )
    return f'<div class="absdb-repr">{head}{"".join(parts)}</div>'


def grid(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    types: Sequence[str] = (),
    total: int | None = None,
) -> str:
    """A small table of cells, numbers to the right; says how many columns, and rows of `total`, are left out.

    `types` are those of the columns, shown under their names also if there is no row.
    """
    if not rows and not types:
        return ""
    beyond = len(names) - COLUMNS_SHOWN
    names, types = names[:COLUMNS_SHOWN], types[:COLUMNS_SHOWN]
    shown = [row[:COLUMNS_SHOWN] for row in rows[:ROWS_SHOWN]]
    cells = [f"{CELL_STYLE};text-align:{side([row[at] for row in shown])}" for at in range(len(names))]
    heads = [escape(name) for name in names]
    if types:
        heads = [
            f'<span style="{_HEAD}">{head}</span><br>{escape(type)}'
            for head, type in zip(heads, types, strict=True)
        ]
    head = "".join(
        f'<th style="{style};{MUTED};font-weight:normal">{text}</th>'
        for style, text in zip(cells, heads, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{cell(value)}</td>' for style, value in zip(cells, row, strict=True))
        + "</tr>"
        for row in shown
    )
    left = (len(rows) if total is None else total) - len(shown)
    notes = [f"{left:,} more"] if left > 0 else []
    notes += [counted(beyond, "more column")] if beyond > 0 else []
    more = f'<div style="{MUTED}">… and {", ".join(notes)}</div>' if notes else ""
    table = f'<table style="border-collapse:collapse;margin:4px 0"><thead><tr>{head}</tr></thead>'
    return f"{table}<tbody>{body}</tbody></table>{more}"


def text_grid(names: Sequence[str], rows: Sequence[Sequence[Any]], *, width: int = TEXT_WIDTH) -> str:
    """A small table as lines of text, numbers to the right; columns that do not fit into `width` are left out."""
    columns: list[list[str]] = []
    used = 0
    for at, name in enumerate(names):
        values = [row[at] for row in rows]
        shown = [_line(name), *(_line("NULL" if value is None else value) for value in values)]
        size = max(map(len, shown))
        used += size + 2
        if columns and used > width:
            columns.append(["…"] * len(shown))
            break
        right = side(values) == "right"
        columns.append([text.rjust(size) if right else text.ljust(size) for text in shown])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _line(value: Any) -> str:
    """A value in one line, cut where it is long."""
    text = " ".join(str(value).split()) if isinstance(value, str) else str(value)
    return text if len(text) <= TEXT_CELL_MAX else text[: TEXT_CELL_MAX - 1] + "…"


def rows_of(table: pa.Table) -> list[list[Any]]:
    """The rows of a few-row Arrow table as Python values; what Python has no value for is shown as Arrow does."""
    return [list(row) for row in zip(*(_values(column) for column in table.columns), strict=True)]


def side(values: Sequence[Any]) -> str:
    """To which side the values of a column stand: numbers to the right."""
    numbers = [
        isinstance(value, (int, float)) and not isinstance(value, bool)
        for value in values
        if value is not None
    ]
    return "right" if numbers and all(numbers) else "left"


def cell(value: Any) -> str:
    """One escaped cell; NULL is muted, long text is cut, floats have no digits that only rounding made."""
    if value is None:
        return f'<span style="{MUTED}">NULL</span>'
    if isinstance(value, Html):
        return value.text
    if isinstance(value, float):
        value = float(f"{value:.15g}")  # 10.35702, not 10.357019999999999
    text = value if isinstance(value, str) else str(value)
    return escape(text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…")


def counted(number: int, noun: str) -> str:
    """`1 table`, `12 tables`, `1,200 rows`, `3 branches`, `2 keys`."""
    ends_in_ies = noun.endswith("y") and noun[-2] not in "aeiou"
    plural = f"{noun[:-1]}ies" if ends_in_ies else f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [None if not scalar.is_valid else str(scalar) for scalar in column]
