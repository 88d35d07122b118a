"""Which columns of a state are read in code (pages/coded.py), and the coding itself, by several threads at once.

    read for the first time                            none: coding takes what two or three reads gain by it
    fewer than ROWS_MIN rows                           none: it would gain less than it takes to decide
    more than recent reads leave of `cache_bytes`      none: they would only take each other's room
    text, more than CODES_MAX values in all pages      not that one, and pages remember what they found
    decimals of up to 18 digits, other text            coded

Called by sql/duck/scan.py.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.types as pt

from absdb.engine.reader import TableReader
from absdb.pages.coded import CODES_MAX, coded_type
from absdb.pages.projection import OutputColumn
from absdb.pages.section import Page

ROWS_MIN = 16_384
PARALLEL_ROWS_MIN = 131_072


def coded_columns(reader: TableReader, columns: Sequence[str] | None) -> dict[str, pa.DataType]:
    """The types in which to read columns of a table that it shows as pages hold them, by name.

    When a column is read for the second time, it takes what coding takes; after that some microseconds.
    """
    chosen: dict[str, pa.DataType] = {}
    others: list[tuple[OutputColumn, OutputColumn]] = []
    for column in reader.projection(columns).columns:
        kind = coded_type(column.physical) if column.logical == column.physical else None
        if kind is None:
            continue
        coded = column.as_coded(kind)
        if reader.keeps(coded):
            chosen[column.name] = kind
        else:
            others.append((column, coded))
    if others:
        chosen.update((column.name, column.logical) for column in _coded_now(reader, others))
    return chosen


def _coded_now(
    reader: TableReader, columns: Sequence[tuple[OutputColumn, OutputColumn]]
) -> list[OutputColumn]:
    """Of columns as they are and coded, the coded ones that are worth it, which pages keep from now on."""
    pages = [page for section in reader.sections for page in section.pages]
    if sum(page.rows for page in pages) < ROWS_MIN:
        return []
    room: int | None = None
    found: list[OutputColumn] = []
    for column in sorted((coded for _, coded in columns), key=_width):
        if _was_read(column, pages) and not (_is_text(column) and _is_varied(column, pages)):
            needed = _width(column) * sum(page.rows for page in _uncoded(pages, [column]))
            if needed:
                if room is None:
                    room = reader.layers.folded.room([reader.state_of(plain) for plain, _ in columns])
                if needed > room:
                    continue
                room -= needed
            found.append(column)
    _code(_uncoded(pages, found), found)
    return [column for column in found if not _is_text(column) or _has_few_values(column, pages)]


def _was_read(column: OutputColumn, pages: Sequence[Page]) -> bool:
    """Whether any of the pages was read for the column before; from now on, one was."""
    read = ("read", column.source)
    if any(page.has_converted(column.code_name) or page.has_converted(read) for page in pages):
        return True
    max(pages, key=lambda page: page.rows).converted(read, lambda: None)
    return False


def _is_text(column: OutputColumn) -> bool:
    return bool(pt.is_dictionary(column.logical))


def _width(column: OutputColumn) -> int:
    """Bytes of a row in code."""
    return 1 if _is_text(column) else int(column.logical.byte_width)


def _is_varied(column: OutputColumn, pages: Sequence[Page]) -> bool:
    """Whether a look at a few pages, or what is known of any, tells that the text has too many values."""
    if any(page.has_converted(_varied(column)) for page in pages):
        return True
    if all(column.coded_of(pages[at]) is not None for at in {0, len(pages) // 2, len(pages) - 1}):
        return False
    pages[0].converted(_varied(column), lambda: None)
    return True


def _varied(column: OutputColumn) -> Hashable:
    """Under what a page keeps that the column cannot be coded."""
    return "varied", column.source


def _has_few_values(column: OutputColumn, pages: Sequence[Page]) -> bool:
    """Whether any rows of the pages, put together, can be coded."""
    values: set[str | None] = set()
    for page in pages:
        coded = column.coded_of(page)
        if coded is not None:
            values.update(coded.dictionary.to_pylist())
        if coded is None or len(values) > CODES_MAX:
            pages[0].converted(_varied(column), lambda: None)
            return False
    return True


def _uncoded(pages: Sequence[Page], columns: Sequence[OutputColumn]) -> list[Page]:
    """The pages that do not keep all of the columns in code."""
    return [page for page in pages if not all(page.has_converted(column.code_name) for column in columns)]


def _code(pages: Sequence[Page], columns: Sequence[OutputColumn]) -> None:
    """Have pages code the columns. Arrow, NumPy and reads from the disk let go of the interpreter meanwhile."""

    def code(page: Page) -> None:
        for column in columns:
            column.coded_of(page)

    if sum(page.rows for page in pages) < PARALLEL_ROWS_MIN:
        for page in pages:
            code(page)
        return
    pool = ThreadPoolExecutor(os.cpu_count(), "absdb coding")
    try:
        for _ in pool.map(code, pages):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
