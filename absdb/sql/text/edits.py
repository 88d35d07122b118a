"""Replacing parts of an SQL text, and finding one's way back to the original for error messages.

Called by everything that hands a changed text to DuckDB.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`text[start:stop]` becomes `new`."""

    start: int
    stop: int
    new: str


def outermost(edits: Iterable[Edit]) -> list[Edit]:
    """The edits without those of text that another one replaces anyway."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.stop)):
        if not kept or edit.start >= kept[-1].stop or edit.stop > kept[-1].stop:
            kept.append(edit)
    return kept


class Edited:
    """A text after its edits, which must not overlap. Offsets count characters."""

    def __init__(self, original: str, edits: Iterable[Edit]) -> None:
        self.original = original
        self._edits = sorted(edits, key=lambda edit: (edit.start, edit.stop))
        parts: list[str] = []
        self._starts: list[int] = []  # of each replacement in the new text
        at = length = 0
        for edit in self._edits:
            assert edit.start >= at, "edits overlap"
            parts += (original[at : edit.start], edit.new)
            length += edit.start - at
            self._starts.append(length)
            length += len(edit.new)
            at = edit.stop
        parts.append(original[at:])
        self.text = "".join(parts)

    def original_offset(self, offset: int) -> int:
        """Where a character of the new text comes from; inside a replacement, where the replaced text began."""
        number = bisect_right(self._starts, offset) - 1
        if number < 0:
            return min(offset, len(self.original))
        edit = self._edits[number]
        beyond = offset - self._starts[number] - len(edit.new)
        return edit.start if beyond < 0 else min(edit.stop + beyond, len(self.original))


def char_offset(text: str, byte_offset: int) -> int:
    """The character at a byte of the UTF-8 form."""
    return byte_offset if text.isascii() else len(text.encode()[:byte_offset].decode(errors="ignore"))
