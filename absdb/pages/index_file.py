"""Stored index runs: the index run of a page file, in page files of its own.

    each batch of the index run (as a rule one)    a page file (pages/format) without compression
    its columns                                    _value, _row, sorted by them (pages/index)
    its fences                                     first and last `_value` of each page

Pages are long, so that a probe of many values opens a handful of them, and are checked when first opened, as any
page. What vouches for the bytes are descriptors, in JSON, for manifests; no file is written for no entries:

    {"value": "int64" or "uint64" or "binary", "files": [PageFile, ...]}

An index run holds nothing that its page file does not hold, so one that is missing or damaged is made anew. Called
by engine/indexes to answer, by engine/index_upkeep to write, by engine/check_indexes to compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from absdb.pages.format import PageFile
from absdb.pages.index import PART_ROWS, VALUE, Entries, probe_parts
from absdb.pages.key import Key, Keys, KeySpec, search
from absdb.pages.key import slice as slice_keys
from absdb.pages.section import Section
from absdb.pages.store import PageStore

INDEX_PAGE_ROWS = 1 << 20
_FORMS = {str(form): form for form in (pa.int64(), pa.uint64(), pa.binary())}


class Opened(NamedTuple):
    """A page that has been checked, and which of the values may be in it: those from `start` up to `stop`."""

    batch: pa.RecordBatch
    start: int
    stop: int


class StoredIndex:
    """The index run of one page file, in page files. Safe for many threads."""

    def __init__(self, store: PageStore, form: str, files: Sequence[PageFile]) -> None:
        """`form` is the type of `_value` as text."""
        self.form = form
        self.files = tuple(files)
        self.damaged = False
        """Set by whoever found that it is not what was written; it is asked no more then."""
        self._store = store
        self._spec = KeySpec.of([VALUE], [_FORMS[form]])
        self._sections: tuple[Section, ...] | None = None

    @property
    def names(self) -> list[str]:
        """Names of its files."""
        return [file.name for file in self.files]

    def sections(self) -> tuple[Section, ...]:
        """The pages of each file; nothing is read yet."""
        if self._sections is None:
            self._sections = tuple(self._store.section(file, self._spec) for file in self.files)
        return self._sections

    def open(self, values: Keys) -> list[Opened]:
        """The pages in which some of the sorted `values` may be, for `probe_opened`.

        CorruptionError if one of them is not what was written.
        """
        found = []
        for section in self.sections():
            starts = search(values, section.firsts, "left")
            stops = search(values, section.lasts, "right")
            for number in np.flatnonzero(starts < stops).tolist():
                batch = section.pages[number].batch()
                found.append(Opened(batch, int(starts[number]), int(stops[number])))
        return found

    def open_one(self, value: Key) -> list[pa.RecordBatch]:
        """The pages in which a value may be, as an index run. CorruptionError as with `open`."""
        return [
            page.batch()
            for section in self.sections()
            for page in _pages_from(section, value)
            if page.first <= value
        ]

    def to_json(self) -> dict[str, Any]:
        return {"value": self.form, "files": [file.to_json() for file in self.files]}

    @classmethod
    def from_json(cls, store: PageStore, data: dict[str, Any]) -> StoredIndex:
        """Nothing is read from the files yet."""
        return cls(store, data["value"], [PageFile.from_json(each) for each in data["files"]])


def write_index(store: PageStore, index: Sequence[pa.RecordBatch]) -> StoredIndex:
    """An index run in files, durable on return."""
    form = index[0].schema.field(VALUE).type
    spec = KeySpec.of([VALUE], [form])
    files = [
        store.write([batch], batch.schema, spec, rows_per_page=INDEX_PAGE_ROWS, strict=False)
        for batch in index
        if batch.num_rows
    ]
    return StoredIndex(store, str(form), files)


def probe_opened(opened: Sequence[Opened], values: Keys, rows_max: int = PART_ROWS) -> Iterator[Entries]:
    """What `probe_parts` gives, of the pages that `StoredIndex.open` has found for the same values."""
    for batch, start, stop in opened:
        for positions, rows in probe_parts([batch], slice_keys(values, start, stop), rows_max):
            yield positions + start, rows


def agrees(stored: StoredIndex, index: Sequence[pa.RecordBatch]) -> bool:
    """Whether a stored index run holds what `index` does. Reads all of it; CorruptionError if it cannot be."""
    made = [batch for batch in index if batch.num_rows]
    if [batch.num_rows for batch in made] != [section.rows for section in stored.sections()]:
        return False
    for batch, section in zip(made, stored.sections(), strict=True):
        start = 0
        for page in section.pages:
            if not page.batch().equals(batch.slice(start, page.rows)):
                return False
            start += page.rows
    return True


def _pages_from(section: Section, value: Key) -> Iterator[Any]:
    """The pages from the first that ends at or after the value on, while they begin at or before it."""
    for page in section.pages[section.page_for(value) :]:
        if page.first > value:
            return
        yield page
