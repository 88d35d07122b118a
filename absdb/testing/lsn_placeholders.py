"""LSNs shown as `LSN 1`, `LSN 2`, …, so that a tutorial prints the same on every run.

    lsns = LsnPlaceholders()
    lsns(main)                       # <Database main @ LSN 1, 2 tables>
    lsns(main.log()[["lsn", "message"]])

An LSN is a position in bytes, and moves when a format or a library writes one byte more. Only what is shown is
replaced: the values stay as they are, and so does everything that is not handed through here.
"""

from __future__ import annotations

import re
import sys
from typing import Any

_LSN = re.compile(r"(?<![\w/.])\d{1,13}/\d{2,8}(?![\w/])")


class LsnPlaceholders:
    """Replaces LSNs in what it is called with, the same one by the same placeholder, numbered as they first appear."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        """A text or a frame with placeholders; anything else as an object that shows itself with them.

        In a frame, columns of LSNs are replaced and no others. Any other text may hold some, and whatever looks like
        one is taken for one, such as `12/2013`.
        """
        if isinstance(value, str):
            return self._replaced(value)
        pandas = sys.modules.get("pandas")
        if pandas is not None and isinstance(value, pandas.DataFrame):
            return value.assign(**{name: self._column(value[name]) for name in self._of_lsns(value)})
        return Shown(value, self)

    def _replaced(self, text: str) -> str:
        return _LSN.sub(lambda found: self._placeholder(found[0]), text)

    def _of_lsns(self, frame: Any) -> list[str]:
        """The columns that hold LSNs and nothing else, as those of absdb do; NULLs may be among them."""
        texts = [name for name in frame.columns if isinstance(name, str) and frame[name].dtype.kind == "O"]
        return [name for name in texts if frame[name].dropna().astype(str).str.fullmatch(_LSN).all()]

    def _column(self, column: Any) -> Any:
        """A column of LSNs, replaced."""
        named = {lsn: self._placeholder(lsn) for lsn in column.dropna().unique()}
        return column.replace(named)

    def _placeholder(self, lsn: str) -> str:
        return self._known.setdefault(lsn, f"LSN {len(self._known) + 1}")


class Shown:
    """What a value shows of itself, with placeholders: as a text, plain, and as HTML where it has any."""

    __slots__ = ("_html", "_plain", "_text")

    def __init__(self, value: Any, replace: LsnPlaceholders) -> None:
        self._plain = replace(repr(value))
        self._text = replace(str(value))
        html = getattr(value, "_repr_html_", lambda: None)()
        self._html = html if html is None else replace(html)

    def __repr__(self) -> str:
        return str(self._plain)

    def __str__(self) -> str:
        return str(self._text)

    def _repr_html_(self) -> str | None:
        return None if self._html is None else str(self._html)
