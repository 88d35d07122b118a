"""Indexes over the layers of a table: from values of some columns to the keys of rows that had them.

    a page file         its stored index run (pages/index_file.py), written by index_upkeep.py
    a section of pages  without one, or with a damaged one: an index run (pages/index.py), made when first asked for
    an open buffer      a dictionary that grows with it, so that a one-row commit indexes one row

What they give are candidates, since a newer layer may have changed or removed the row, and since a layer that is
cut at an LSN is indexed whole, and so is a file of which an image has kept some pages: whoever asks looks the row up
before it believes them. Index runs in memory are kept up to a number of bytes; one over page files serves every
section that has the same pages.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.buffer import OpenBuffer
from absdb.engine.cover import EraCover
from absdb.engine.index_registry import IndexKey, IndexRegistry
from absdb.engine.reader import TableReader
from absdb.engine.rows import row_translator
from absdb.engine.values import Columns, Value, ValueOf, encode_value, value_of, value_spec
from absdb.errors import CorruptionError
from absdb.pages.index import IndexSpec, build_index, probe_each, probe_parts
from absdb.pages.index_file import StoredIndex, probe_opened
from absdb.pages.key import Key, Keys
from absdb.pages.projection import Projection
from absdb.pages.section import UPSERT, Page, Section

IndexRun = list[pa.RecordBatch]
T = TypeVar("T")
Part = tuple[str | None, Section | None]
"""Name of a page file, and the pages of it; no name if some are in memory, None for the section itself."""

LOG = logging.getLogger("absdb")


class _Name:
    """Stands for the rows of a section."""

    __slots__ = ("__weakref__",)


class Indexes:
    """The index runs of an instance: all stored ones, and the most recently used of others. Safe for many threads."""

    def __init__(self, stored: Callable[[], IndexRegistry], bytes_max: int) -> None:
        """`stored` gives the registry of stored index runs as it is now; `bytes_max` bounds those in memory."""
        self._stored = stored
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[tuple[_Name, Columns, str], tuple[IndexRun, int]] = OrderedDict()
        self._names: weakref.WeakKeyDictionary[Section, _Name] = weakref.WeakKeyDictionary()
        self._parts: weakref.WeakKeyDictionary[Section, tuple[Part, ...]] = weakref.WeakKeyDictionary()
        self._by_pages: weakref.WeakValueDictionary[Any, _Name] = weakref.WeakValueDictionary()
        self._gone: deque[_Name] = deque()
        self._mutex = threading.Lock()

    def candidates(
        self, reader: TableReader, columns: Columns, values: Keys, *, own: bool = True
    ) -> Iterator[tuple[np.ndarray[Any, Any], Keys]]:
        """(positions in `values`, row keys) of all candidates, in parts of bounded size; `values` are sorted.

        `own` tells whether the layers that a transaction has written count.
        """
        schema = reader.schema
        for layer in layers_of(reader, own=own):
            for section in _sections(layer):
                for file, pages in self._parts_of(section):
                    opened = self._look(schema, file, columns, StoredIndex.open, values)
                    if opened is None:
                        yield from probe_parts(self.run(schema, pages, columns), values)
                    else:
                        yield from probe_opened(opened, values)

    def candidates_of(self, reader: TableReader, columns: Columns, value: Value) -> Iterator[Key]:
        """Row keys of all candidates for one value, some of them more than once, as they are asked for."""
        schema = reader.schema
        encoded: Key | None = None
        for layer in layers_of(reader):
            if isinstance(layer, OpenBuffer):
                yield from _buffer_index(schema, layer, columns).find(value)
                continue
            encoded = encode_value(schema, columns, value) if encoded is None else encoded
            for file, pages in self._parts_of(layer):
                run = self._look(schema, file, columns, StoredIndex.open_one, encoded)
                yield from probe_each(self.run(schema, pages, columns) if run is None else run, encoded)

    def held(self, section: Section, key: IndexKey) -> IndexRun | None:
        """The index run of a section if it is in memory already."""
        with self._mutex:
            kept = self._kept.get((self._name(section), key.columns, key.types))
            return None if kept is None else kept[0]

    def run(self, schema: TableSchema, section: Section, columns: Columns) -> IndexRun:
        """The index run of exactly the rows of a section, in memory."""
        types = value_spec(schema, columns).types
        with self._mutex:
            key = (self._name(section), columns, types)
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept[0]
        run = build_run(schema, section, columns)
        size = sum(batch.nbytes for batch in run)
        with self._mutex:
            if key not in self._kept:
                self._kept[key] = run, size
                self._bytes += size
            self._forget_gone()
            while self._bytes > self._bytes_max and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return run

    def _look(
        self,
        schema: TableSchema,
        file: str | None,
        columns: Columns,
        ask: Callable[[StoredIndex, Any], T],
        sought: Any,
    ) -> T | None:
        """What the stored index run of a page file says; None if there is none, or none that is whole."""
        if file is None:
            return None
        stored = self._stored().sound(file, columns, value_spec(schema, columns).types)
        if stored is None:
            return None
        try:
            return ask(stored, sought)
        except CorruptionError as error:
            # It holds nothing that the page file does not hold; the next checkpoint writes it anew.
            stored.damaged = True
            LOG.warning("an index run of %s is damaged and not used any more: %s", file, error)
            return None

    def _parts_of(self, section: Section) -> Iterator[tuple[str | None, Section]]:
        """A section by the page files it lies in: (name, pages), the name None if some are in memory."""
        found = self._parts.get(section)
        if found is None:
            found = _parts(section)
            with self._mutex:
                self._parts[section] = found
        return ((name, section if pages is None else pages) for name, pages in found)

    def _name(self, section: Section) -> _Name:
        name = self._names.get(section)
        if name is None:
            origins = tuple((page.origin[0].name, page.origin[1]) for page in section.pages if page.origin)
            if len(origins) == len(section.pages):
                name = self._by_pages.setdefault(origins, _Name())
            else:
                name = _Name()
                # It may die at any moment, also in a thread that holds the lock.
                weakref.finalize(section, self._gone.append, name)
            self._names[section] = name
        return name

    def _forget_gone(self) -> None:
        """Let go of the index runs of sections in memory that are no more."""
        while self._gone:
            name = self._gone.popleft()
            for key in [key for key in self._kept if key[0] is name]:
                self._bytes -= self._kept.pop(key)[1]


def layers_of(reader: TableReader, *, own: bool = True) -> Iterator[Section | OpenBuffer]:
    """The layers of a table as they lie, uncut: together they hold every version that the state may need."""
    yield from (section for section in reader.layers.fixed if section.rows)
    for cover, after, upto in reader.layers.intervals:
        yield from _layers_of_cover(cover, after, upto)
    if own and reader.own is not None:
        yield from _layers_of_cover(reader.own, -1, reader.own_upto)


def _layers_of_cover(cover: EraCover, after: int, upto: int) -> Iterator[Section | OpenBuffer]:
    runs, buffer = cover.view
    for run in runs:
        if run.hi > after and run.lo < upto:
            yield run.newest
            if upto < run.hi and run.superseded.rows:
                yield run.superseded
    if buffer is not None and buffer.rows and buffer.lo < upto:
        yield buffer


def _sections(layer: Section | OpenBuffer) -> Sequence[Section]:
    if isinstance(layer, Section):
        return [layer]
    run = layer.run(layer.lsns[-1])
    return [] if run is None else [run.newest, run.superseded] if run.superseded.rows else [run.newest]


def _buffer_index(schema: TableSchema, buffer: OpenBuffer, columns: Columns) -> Any:
    if buffer.schema is schema:
        return buffer.index(columns, value_of(schema, columns))
    translate = row_translator(buffer.schema, schema)
    plain = value_of(schema, columns)
    translated: ValueOf = lambda row: plain(translate(row))  # noqa: E731  # a closure is all it is
    return buffer.index((columns, value_spec(schema, columns).types), translated)


def _parts(section: Section) -> tuple[Part, ...]:
    """The section is not among them: it could never go as long as it leads to itself."""
    files: dict[str, list[Page]] = {}
    for page in section.pages:
        if page.origin is None:
            return ((None, None),)
        files.setdefault(page.origin[0].name, []).append(page)
    if len(files) == 1:
        return ((next(iter(files)), None),)
    return tuple((name, Section(pages)) for name, pages in files.items())


def build_run(schema: TableSchema, section: Section, columns: Columns) -> IndexRun:
    """The index run of the rows of a section, which is read for it."""
    values = value_spec(schema, columns).spec
    projection = schema.page_projection((*columns, *(key for key in schema.key if key not in columns)))
    spec = IndexSpec(values, schema.key_spec)
    return build_index(spec, _upserts(schema, section, projection))


def _upserts(schema: TableSchema, section: Section, projection: Projection) -> Iterator[pa.RecordBatch]:
    for page in section.pages:
        # Projected first: a run-end encoded `_lsn` cannot be taken from.
        batch, ops = projection.apply(page.batch()), page.ops()
        if ops is not None:
            batch = batch.take(pa.array(np.flatnonzero(ops == UPSERT)))
        if batch.num_rows:
            yield schema.key_spec.with_key(batch)
