"""A quick chart of a result as SVG: bars over categories, a line over numbers and times. No library, no network.

+---------------------+
| 40 |      *         |    at most POINTS_MAX points are drawn; more are said to be left out
|  0 |__*_______*___  |
|      a    b    c    |
+---------------------+
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.panels.model.rows import is_number

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 10, 40
BARS_MAX = 40
_HATCH = (
    '<defs><pattern id="absdb-hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="3" height="6" style="fill:rgb(213,94,0)"/></pattern></defs>'
)
POINTS_MAX = 1_000
LABELS_MAX = 16
LABEL_CHARACTERS_MAX = 14


@dataclass(frozen=True, slots=True)
class Axes:
    """Which columns a result can be drawn over: any that is not nested, and any number as height."""

    over: list[str]
    heights: list[str]


def axes_of(schema: pa.Schema) -> Axes:
    """What can be chosen."""
    flat = [one.name for one in schema if not pa.types.is_nested(one.type)]
    return Axes(flat, [one.name for one in schema if is_number(one.type)])


def chart(table: pa.Table, over: str, height: str) -> str:
    """The SVG of one column over another, in the order of the rows.

    InvalidInputError if a column is not there, the height is no number, or there is nothing to draw.
    """
    for name in (over, height):
        if name not in table.column_names:
            raise InvalidInputError(f"there is no column {name!r} to draw")
    if not is_number(table.schema.field(height).type):
        raise InvalidInputError(
            f"{height!r} is {table.schema.field(height).type}, not a number", hint="draw a number as height"
        )
    line = is_number(table.schema.field(over).type) or pa.types.is_temporal(table.schema.field(over).type)
    most = POINTS_MAX if line else BARS_MAX
    shown = table.slice(0, most)
    pairs = [
        (label, float(value))
        for label, value in zip(shown[over].to_pylist(), shown[height].to_pylist(), strict=True)
        if value is not None and math.isfinite(float(value)) and (label is not None or not line)
    ]
    if not pairs:
        raise InvalidInputError(f"{height!r} has no values to draw")
    left_out = table.num_rows - shown.num_rows
    body = _line(pairs) if line else _bars(pairs)
    note = f"the first {shown.num_rows:,} of {table.num_rows:,} rows" if left_out else ""
    title = f"{height} over {over}"
    return (
        f'<svg class="absdb-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'style="max-width:{WIDTH}px;width:100%"><title>{escape(title)}</title>{body}</svg>'
        f'<div class="absdb-muted">{escape(title)}{f" · {note}" if note else ""}</div>'
    )


def paired_bars(pairs: Sequence[tuple[str, int, int]], title: str) -> str:
    """The SVG of two numbers for each label, before and after side by side: hatched before, plain after."""
    if not pairs:
        raise InvalidInputError("there is nothing to draw")
    scale = _Scale([value for _, *both in pairs for value in both], zero=True)
    step = (WIDTH - LEFT - RIGHT) / len(pairs)
    parts = [_HATCH, scale.drawn()]
    every = math.ceil(len(pairs) / LABELS_MAX)
    for at, (label, old, new) in enumerate(pairs):
        x = LEFT + at * step
        for place, (value, kind) in enumerate(((old, "from"), (new, "to"))):
            parts.append(
                f'<rect class="absdb-{kind}" x="{x + step * (0.1 + 0.4 * place):.1f}" y="{scale.y(value):.1f}" '
                f'width="{step * 0.38:.1f}" height="{scale.y(0) - scale.y(value):.1f}">'
                f"<title>{escape(label)}, {kind}: {_number(value)}</title></rect>"
            )
        if at % every == 0:
            parts.append(_label(x + step / 2, label))
    return (
        f'<svg class="absdb-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'style="max-width:{WIDTH}px;width:100%"><title>{escape(title)}</title>{"".join(parts)}</svg>'
        f'<div class="absdb-muted">{escape(title)}: hatched is from, plain is to</div>'
    )


def _bars(pairs: Sequence[tuple[Any, float]]) -> str:
    scale = _Scale([value for _, value in pairs], zero=True)
    step = (WIDTH - LEFT - RIGHT) / len(pairs)
    parts = [scale.drawn()]
    every = math.ceil(len(pairs) / LABELS_MAX)
    for at, (label, value) in enumerate(pairs):
        x = LEFT + at * step
        top, foot = sorted((scale.y(value), scale.y(0)))
        text = "NULL" if label is None else str(label)
        parts.append(
            f'<rect x="{x + step * 0.1:.1f}" y="{top:.1f}" width="{step * 0.8:.1f}" height="{foot - top:.1f}">'
            f"<title>{escape(text)}: {_number(value)}</title></rect>"
        )
        if at % every == 0:
            parts.append(_label(x + step / 2, text))
    return "".join(parts)


def _line(pairs: Sequence[tuple[Any, float]]) -> str:
    scale = _Scale([value for _, value in pairs], zero=False)
    places = [_place(label) for label, _ in pairs]
    low, high = min(places), max(places)
    span = (high - low) or 1.0
    xs = [LEFT + (place - low) / span * (WIDTH - LEFT - RIGHT) for place in places]
    points = " ".join(f"{x:.1f},{scale.y(value):.1f}" for x, (_, value) in zip(xs, pairs, strict=True))
    first, last = places.index(low), places.index(high)
    ends = _label(LEFT, str(pairs[first][0]), "start") + _label(WIDTH - RIGHT, str(pairs[last][0]), "end")
    return f'{scale.drawn()}<polyline points="{points}"/>{ends}'


class _Scale:
    """The vertical axis: from values to places, with a few round numbers."""

    def __init__(self, values: Sequence[float], *, zero: bool) -> None:
        low, high = min(values), max(values)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            low, high = low - 1, high + 1
        self.step = _round_step((high - low) / 4)
        self.low = math.floor(low / self.step) * self.step
        self.high = math.ceil(high / self.step) * self.step

    def y(self, value: float) -> float:
        """Where a value is, from above."""
        return TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def drawn(self) -> str:
        """The lines of the round numbers."""
        count = round((self.high - self.low) / self.step)
        ticks = [self.low + at * self.step for at in range(count + 1)]
        return "".join(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(tick):.1f}" y2="{self.y(tick):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{self.y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
            for tick in ticks
        )


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def _place(value: Any) -> float:
    if hasattr(value, "timestamp"):
        return float(value.timestamp())
    if hasattr(value, "toordinal"):
        return float(value.toordinal())
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    if hasattr(value, "hour"):
        return float(value.hour * 3600 + value.minute * 60 + value.second)
    return float(value)


def _label(x: float, text: str, anchor: str = "middle") -> str:
    cut = text if len(text) <= LABEL_CHARACTERS_MAX else text[: LABEL_CHARACTERS_MAX - 1] + "…"
    if anchor != "middle":
        cut = text[:26]
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}">{escape(cut)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.4g}"
