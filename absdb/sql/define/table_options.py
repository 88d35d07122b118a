"""`WITH (compression = 'zstd')` behind CREATE TABLE."""

from __future__ import annotations

import difflib

from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind

_COMPRESSIONS = {"NONE": None, "LZ4": "lz4", "ZSTD": "zstd"}
_OPTIONS = ("compression",)


def read_table_options(cursor: TokenCursor) -> str | None:
    """The compression of the table's pages, None if it is not said."""
    return read_options(cursor) if cursor.accept("WITH") else None


def read_options(cursor: TokenCursor) -> str | None:
    """The same without WITH."""
    compression: str | None = None
    cursor.expect("(")
    while True:
        at = cursor.token.start
        option = cursor.name("the name of an option")
        if option.casefold() not in _OPTIONS:
            near = difflib.get_close_matches(option.casefold(), _OPTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"options: {', '.join(_OPTIONS)}"
            raise error_at(cursor.text, at, f"there is no table option {option!r}", hint=hint)
        cursor.expect("=")
        at = cursor.token.start
        value = (
            cursor.string() if cursor.token.kind is Kind.STRING else cursor.name("'lz4', 'zstd' or 'none'")
        )
        if value.upper() not in _COMPRESSIONS:
            raise error_at(
                cursor.text,
                at,
                f"page compression {value!r} is not known",
                hint="use 'none', 'lz4' or 'zstd'",
            )
        compression = _COMPRESSIONS[value.upper()]
        if not cursor.accept(","):
            break
    cursor.expect(")")
    return compression
