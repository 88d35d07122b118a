"""The colour of each branch, the same wherever it is shown: in notebooks, panels and at the terminal.

It follows from the name alone. The palette is Okabe and Ito's, with an olive of Tol's: told apart with any colour
vision, readable on light and on dark. Names are always shown beside it, since two may share one.
"""

from __future__ import annotations

import zlib
from html import escape
from typing import NamedTuple


class BranchColour(NamedTuple):
    """A colour as CSS has it, and the nearest of a terminal's 256."""

    css: str
    terminal: int


FIRST = "main"
_FIRST_COLOUR = BranchColour("#0072B2", 25)
PALETTE = (
    _FIRST_COLOUR,
    BranchColour("#D55E00", 166),
    BranchColour("#009E73", 36),
    BranchColour("#CC79A7", 175),
    BranchColour("#56B4E9", 74),
    BranchColour("#E69F00", 214),
    BranchColour("#999933", 143),
)
DOT = "●"


def branch_colour(name: str) -> BranchColour:
    """The colour of the branch of that name; no other has that of `main`."""
    if name == FIRST:
        return _FIRST_COLOUR
    return PALETTE[1 + zlib.crc32(name.encode()) % (len(PALETTE) - 1)]


def branch_html(name: str) -> str:
    """The escaped name behind a dot of its colour, as HTML."""
    return f'<span style="color:{branch_colour(name).css}">{DOT}</span> {escape(name)}'
