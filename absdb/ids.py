"""Positions and names of things: LSNs, and the integer ids of databases, eras, tables and columns.

An LSN is a byte position in the endless log. Its text is `segment/offset` in decimal with a fixed divisor of
16 MiB, so that text and number round-trip without knowing an instance's real segment size:

    Lsn(1048576)   <->  "0/1048576"
    Lsn(16777216)  <->  "1/0"

The difference of two LSNs is a number of bytes. Ids of databases, eras, tables and columns come from one
instance-wide counter that nothing rewinds; branches share the ids of what they share.
"""

from __future__ import annotations

import re
from typing import NewType, Self

from absdb.errors import InvalidInputError

LSN_TEXT_DIVISOR = 16 * 1024 * 1024
LSN_MAX = 2**63 - 1
_TEXT = re.compile(r"\s*(?:(\d{1,13})/)?(\d{1,19})\s*")

DatabaseId = NewType("DatabaseId", int)
EraId = NewType("EraId", int)
TableId = NewType("TableId", int)
ColumnId = NewType("ColumnId", int)


class Lsn(int):
    """A byte position in the log. Text form `segment/offset`; arithmetic gives plain ints (bytes)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read `0/1048576`, `1048576` or an int; InvalidInputError for anything else."""
        if isinstance(text, int) and not isinstance(text, bool):
            value = int(text)
        else:
            match = _TEXT.fullmatch(text) if isinstance(text, str) else None
            if match is None:
                raise InvalidInputError(
                    f"{text!r} is not an LSN", hint="an LSN is segment/offset in decimal, such as 0/1048576"
                )
            segment, offset = match.groups()
            if segment is not None and int(offset) >= LSN_TEXT_DIVISOR:
                raise InvalidInputError(
                    f"{text!r} is not an LSN: its offset is not below {LSN_TEXT_DIVISOR}",
                    hint="write the number of bytes without a slash, or take the LSN from log()",
                )
            value = int(segment or 0) * LSN_TEXT_DIVISOR + int(offset)
        if not 0 <= value <= LSN_MAX:
            raise InvalidInputError(f"{text!r} is not an LSN: it must lie in 0..{LSN_MAX}")
        return cls(value)

    def __str__(self) -> str:
        segment, offset = divmod(int(self), LSN_TEXT_DIVISOR)
        return f"{segment}/{offset}"

    def __repr__(self) -> str:
        return f"Lsn('{self}')"

    def _repr_html_(self) -> str:
        return f"<code>{self}</code>"

    def __format__(self, spec: str) -> str:
        """As text, unless the spec asks for a number: `,` or one of the letters d, n, x, …"""
        numeric = spec[-1:] in tuple("bcdnoxXeEfFgG%") or "," in spec
        return format(int(self), spec) if numeric else format(str(self), spec)
