"""How what differs is marked, wherever it is shown: a sign, and a colour that says the same.

    +  added       blue
    ~  modified    yellow; the old value struck through before the new one
    -  removed     vermilion

The colours are told apart with any colour vision (Okabe and Ito). HTML has them half transparent on the theme's own,
the terminal has those of its theme. They never stand without the sign.
"""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """The sign of a kind of difference, its background as CSS, and its colour at the terminal."""

    sign: str
    css: str
    terminal: str


MARKS = {
    "added": Mark("+", "rgba(0,114,178,.18)", "blue"),
    "modified": Mark("~", "rgba(240,228,66,.35)", "yellow"),
    "removed": Mark("\N{MINUS SIGN}", "rgba(213,94,0,.18)", "red"),
}
SIGNS = {kind: mark.sign for kind, mark in MARKS.items()}


def mark_of(operation: str) -> Mark | None:
    """The mark of an operation as summaries name it (`added`, `table removed`, `schema`); None if it has none."""
    if operation == "schema":
        return MARKS["modified"]
    return MARKS.get(operation.rpartition(" ")[2])


def signed(operation: str) -> str:
    """`+ added`, `- table removed`, `~ schema`: an operation with its sign, as text."""
    mark = mark_of(operation)
    return operation if mark is None else f"{mark.sign} {operation}"
