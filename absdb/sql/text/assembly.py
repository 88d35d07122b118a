"""An SQL text put together from parts of a statement, and the way back to them for error messages.

    UPDATE t SET a = b + 1 WHERE c         SELECT CAST((b + 1) AS INTEGER) … FROM t WHERE c
                     -----       -                       -----                        -

The parts keep their spelling, so that DuckDB computes what the user wrote. Called by the statements that change
rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from absdb.sql.text.edits import Edited


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:stop]` of the statement."""

    start: int
    stop: int


Piece = str | Span


class Assembled(Edited):
    """A text made of parts of `original` and of words of our own. Offsets count characters."""

    def __init__(self, original: str, pieces: Iterable[Piece]) -> None:
        self.original = original
        self._pieces = [piece for piece in pieces if piece]
        self._begins: list[int] = []
        parts, length = [], 0
        for piece in self._pieces:
            part = piece if isinstance(piece, str) else original[piece.start : piece.stop]
            self._begins.append(length)
            parts.append(part)
            length += len(part)
        self.text = "".join(parts)

    def original_offset(self, offset: int) -> int:
        """Where a character comes from; for words of our own, where the part behind them begins."""
        number = max(0, bisect_right(self._begins, offset) - 1)
        for piece in self._pieces[number:]:
            if isinstance(piece, Span):
                inside = offset - self._begins[number] if piece is self._pieces[number] else 0
                return min(piece.start + inside, piece.stop)
        last = [piece.stop for piece in self._pieces if isinstance(piece, Span)]
        return last[-1] if last else 0
