"""Output: the one place that prints. Each command says once what it has to say; text and JSON come from that.

    facts     what is known of one thing            an object, or a line for each fact
    listing   things of one kind                    an array of objects, or a table
    rows      rows of a user's table                the same; NULL is shown, numbers are left as they are
    done      what was done                         an object, or one sentence

`show` prints one of them, `show_all` several as one JSON object. Data goes to stdout, notes and errors to
stderr. On a terminal tables are rich's and cut to its width; elsewhere they are plain, whole, and aligned
by blanks. `quiet` leaves out notes and sentences, never data.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from absdb.branch_colours import DOT, branch_colour
from absdb.cli.text import cut, jsonable, readable, shown
from absdb.marks import mark_of

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
GAP = 2
KEPT_WHOLE = ("name", "lsn", "time", "created_at", "created_lsn")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one thing: names and values."""

    values: Row

    def data(self) -> Any:
        return dict(self.values)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, as a sentence and as facts."""

    text: str
    values: Row = field(default_factory=dict)

    def data(self) -> Any:
        return dict(self.values)


@dataclass(frozen=True, slots=True)
class Listing:
    """Things of one kind. `empty` is said to people if there are none; `short` makes of an item what they see."""

    items: Sequence[Row]
    empty: str = "there are none"
    short: Callable[[Row], Row] = dict

    def data(self) -> Any:
        return [dict(item) for item in self.items]

    def seen(self) -> list[Row]:
        """The items as people see them."""
        return [self.short(item) for item in self.items]

    def cell(self, value: Any, name: str) -> str:
        """One value as people read it."""
        return readable(value, name)

    def numeric(self, name: str) -> bool:
        """Whether a column holds numbers, which stand to the right."""
        values = [item[name] for item in self.seen() if item[name] is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


@dataclass(frozen=True, slots=True)
class Rows(Listing):
    """Rows of a user's table. Columns in `key` are shown also where not all fit."""

    empty: str = "no rows"
    key: Sequence[str] = ()

    def cell(self, value: Any, name: str) -> str:
        return "NULL" if value is None else shown(value)


Part = Facts | Done | Listing


class Output:
    """Where a command prints. `as_json` for programs; `quiet` for scripts that want data only."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def show(self, part: Part) -> None:
        """Print one thing."""
        if self.as_json:
            self._json(part.data())
        else:
            self._text(part)

    def show_all(self, parts: Mapping[str, Part]) -> None:
        """Print several things; in JSON they are the members of one object."""
        if self.as_json:
            self._json({name: part.data() for name, part in parts.items()})
            return
        for number, part in enumerate(parts.values()):
            if number:
                click.echo()
            self._text(part)

    def note(self, text: str) -> None:
        """Tell people something that is no data, on stderr."""
        if not (self.quiet or self.as_json):
            click.echo(text, err=True)

    def line(self, text: str = "", *, bold: bool = False) -> None:
        """A line of text that JSON has in another form."""
        if not (self.quiet or self.as_json):
            click.echo(click.style(text, bold=True) if bold and colours(sys.stdout) else text)

    @property
    def bars(self) -> bool:
        """Whether to show progress: to somebody who sits at a terminal."""
        return sys.stderr.isatty() and not (self.quiet or self.as_json)

    def _json(self, data: Any) -> None:
        click.echo(json.dumps(jsonable(data), indent=2, ensure_ascii=False, allow_nan=False))

    def _text(self, part: Part) -> None:
        match part:
            case Done():
                self.line(part.text)
            case Facts():
                self._facts(part)
            case Listing() if part.items:
                self._table(part)
            case Listing():
                self.line(part.empty)

    def _facts(self, facts: Facts) -> None:
        names = [name.replace("_", " ") for name in facts.values]
        width = max(map(len, names), default=0)
        for label, (name, value) in zip(names, facts.values.items(), strict=True):
            click.echo(f"{label:{width}}{' ' * GAP}{readable(value, name)}".rstrip())

    def _table(self, listing: Listing) -> None:
        items = listing.seen()
        names = list(items[0])
        cells = [[listing.cell(item[name], name) for name in names] for item in items]
        if sys.stdout.isatty():
            rich_table(listing, names, cells)
        else:
            plain_table(listing, names, cells)


def plain_table(listing: Listing, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A table for files, pipes and logs: nothing is cut, columns are aligned by blanks."""
    widths = [max(len(name), *(len(row[at]) for row in cells)) for at, name in enumerate(names)]
    aligns = [">" if listing.numeric(name) else "<" for name in names]
    for row in ([*names], *cells):
        texts = (f"{text:{align}{width}}" for text, align, width in zip(row, aligns, widths, strict=True))
        click.echo((" " * GAP).join(texts).rstrip())


def rich_table(listing: Listing, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A table for a terminal: empty columns, and columns of rows that do not fit, are left out."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, no_color=None if colours(sys.stdout) else True)
    cells = [[cut(text) for text in row] for row in cells]
    filled = [at for at in range(len(names)) if any(row[at] for row in cells)]
    fitting = filled
    if isinstance(listing, Rows):
        fitting = _fitting(names, cells, console.width, [names.index(name) for name in listing.key])
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
    )
    for at in fitting:
        numeric = listing.numeric(names[at])
        table.add_column(
            names[at] if isinstance(listing, Rows) else names[at].replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or names[at] in KEPT_WHOLE,
        )
    for row in cells:
        table.add_row(*(Text.assemble(*_marked(listing, names, at, row[at])) for at in fitting))
    console.print(table)
    if len(fitting) < len(names) and isinstance(listing, Rows):
        left = [name for at, name in enumerate(names) if at not in fitting]
        console.print(Text(f"not shown: {', '.join(left)}", style="dim"))


def _marked(listing: Listing, names: Sequence[str], at: int, text: str) -> list[tuple[str, str]]:
    """(part, style) of a cell at a terminal: operations have their sign and colour, branches theirs."""
    name = names[at]
    if text == "NULL":
        return [(text, "dim")]
    if isinstance(listing, Rows) or not text:
        return [(text, "")]
    mark = mark_of(text) if name == "operation" else None
    if mark is not None:
        return [(f"{mark.sign} {text}", mark.terminal)]
    if name in ("created_from", "database") or (name == "name" and "created_from" in names):
        return [(f"{DOT} ", f"color({branch_colour(text).terminal})"), (text, "")]
    return [(text, "")]


def colours(stream: Any) -> bool:
    """Whether text on this stream may have colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def items(table: pa.Table) -> list[dict[str, Any]]:
    """An Arrow table's rows as dicts; what Python has no value for is shown as Arrow does."""
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow.types as pt

    if pt.is_timestamp(column.type) and column.type.unit == "ns":  # Python has no nanoseconds
        return [None if not scalar.is_valid else str(scalar) for scalar in column]
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [None if not scalar.is_valid else str(scalar) for scalar in column]


def _fitting(
    names: Sequence[str], cells: Sequence[Sequence[str]], width: int, first: Sequence[int]
) -> list[int]:
    """The columns that fit side by side: those in `first`, then from the left; at least one."""
    found: list[int] = []
    for at in [*first, *(at for at in range(len(names)) if at not in first)]:
        width -= max(len(names[at]), *(len(row[at]) for row in cells)) + GAP
        if found and width < 0:
            break
        found.append(at)
    return sorted(found)
