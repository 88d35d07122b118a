"""Pages and sections: sorted rows in memory or in a file, seen the same way.

A `Page` is one record batch of physical columns (named by column id) sorted by key, with what a search needs
to know before the batch is touched: rows, first and last key, number of tombstones. Besides the columns of
the table a batch may carry

    _key   binary             the memcomparable key, when the key is not one column that is searched natively
    _op    int8               0 upsert, 1 delete; absent means that all rows are upserts
    _lsn   int64 (or run-end  the LSN that wrote the row; absent means `Page.lsn` for all rows
           encoded int64)

A `Section` is an immutable sequence of pages in key order. In a section of newest versions keys are strictly
increasing; in one of superseded versions rows are sorted by key, then LSN, and a key may cross from one page
into the next.

A page of a file loads its batch on first use. Batches mapped from a file cost next to nothing and stay; what
had to be decoded into memory of its own (decompressed batches, cast keys, expanded LSNs, coded columns) is entered
in the store's `DecodedCache`, which takes the oldest unused ones away again when they outgrow their bound.
Everything here may be used from many threads; a race at worst decodes something twice.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.errors import StateError
from absdb.pages.decoded import DecodedCache, owned_bytes
from absdb.pages.finder import BinaryFinder
from absdb.pages.key import KEY_COLUMN, KeyKind, Keys, KeySpec, from_list, search_one
from absdb.pages.key import Key as Key
from absdb.pages.key import at as key_at
from absdb.pages.scattered import buffers_of

if TYPE_CHECKING:
    from absdb.pages.format import PageFile

KEY, OP, LSN = KEY_COLUMN, "_op", "_lsn"
UPSERT, DELETE = 0, 1

Origin = tuple["PageFile", int]

_UNKNOWN: Any = object()


class Page:
    """One sorted record batch, in memory or in a page file. Its contents never change."""

    __slots__ = (
        "__weakref__", "_batch", "_buffers", "_cache", "_converted", "_keys", "_load", "_lsns", "_ops", "_view",
        "deletes", "first", "last", "lsn", "origin", "rows", "spec", "used",
    )  # fmt: skip

    rows: int
    first: Any
    """The smallest key, an int or bytes; `last` is the greatest."""
    last: Any
    lsn: int | None
    """The LSN of every row; None when the batch has `_lsn`, or when it is not known yet (`with_lsn`)."""
    deletes: int
    spec: KeySpec
    origin: Origin | None
    """(page file, index in it), None for a page in memory. Two pages of one origin hold the same rows."""

    def __init__(
        self,
        spec: KeySpec,
        rows: int,
        first: Key,
        last: Key,
        *,
        lsn: int | None = None,
        deletes: int = 0,
        origin: Origin | None = None,
        load: Callable[[], pa.RecordBatch] | None = None,
        cache: DecodedCache | None = None,
    ) -> None:
        """A page that `load` fetches on demand; with a `cache`, what it decodes counts there."""
        self.spec = spec
        self.rows = rows
        self.first = first
        self.last = last
        self.lsn = lsn
        self.deletes = deletes
        self.origin = origin
        self.used = False
        self._load = load
        self._cache = cache
        self._batch: Any = None
        self._keys: Keys | None = None
        self._view: Any = None
        self._lsns: np.ndarray[Any, Any] | None = None
        self._ops: np.ndarray[Any, Any] | None = None
        self._converted: dict[Hashable, pa.Array | None] = {}
        self._buffers: tuple[Any, np.ndarray[Any, Any]] | None = None

    @classmethod
    def of(cls, batch: pa.RecordBatch, spec: KeySpec, lsn: int | None = None) -> Page:
        """A page in memory over a batch of one row or more, sorted by key, with `_key` if the spec has it."""
        keys = spec.keys_of(batch)
        page = cls(spec, batch.num_rows, key_at(keys, 0), key_at(keys, batch.num_rows - 1), lsn=lsn)
        page._batch = batch
        page._keys = keys
        ops = page._read_ops()
        page.deletes = 0 if ops is None else int(np.count_nonzero(ops))
        return page

    def batch(self) -> pa.RecordBatch:
        """All columns of the page. CorruptionError if the file does not hold what was written."""
        self.used = True
        batch = self._batch
        if batch is None:
            assert self._load is not None
            batch = self._batch = self._load()
            self._count("_batch", owned_bytes(batch))
        return batch

    def buffers(self, batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
        """Where the buffers of `batch`, which is what `batch()` gave, lie in memory, as scattered.py has it."""
        noted = self._buffers
        if noted is None or noted[0]() is not batch:
            noted = self._buffers = (weakref.ref(batch), buffers_of(batch))
        return noted[1]

    def keys(self) -> Keys:
        """The keys of all rows, in order: an int64 or uint64 ndarray or a binary Arrow array."""
        self.used = True
        keys = self._keys
        if keys is None:
            keys = self.spec.keys_of(self.batch())
            self._count("_keys", 0 if _keys_are_views(self.spec) else keys.nbytes)
            self._keys = keys
        return keys

    def lsns(self) -> np.ndarray[Any, Any]:
        """The LSN that wrote each row, int64, read-only. StateError if a bulk page has no LSN bound yet."""
        if self.lsn is not None:
            return np.broadcast_to(np.int64(self.lsn), self.rows)
        self.used = True
        lsns = self._lsns
        if lsns is None:
            batch = self.batch()
            at = batch.schema.get_field_index(LSN)
            if at < 0:
                raise StateError("the rows of this page have no LSN yet", hint="bind it with with_lsn()")
            lsns = decode_lsns(batch.column(at))
            self._count("_lsns", lsns.nbytes)
            self._lsns = lsns
        return lsns

    def ops(self) -> np.ndarray[Any, Any] | None:
        """`_op` of each row (UPSERT or DELETE, int8); None when the page has no tombstone."""
        if not self.deletes:
            return None
        ops = self._ops
        if ops is None:
            ops = self._ops = self._read_ops()
        return ops

    def converted(self, of: Hashable, make: Callable[[], pa.Array | None]) -> pa.Array | None:
        """What `make` gives, kept under `of` while there is room; None, which takes none, for good.

        For columns whose conversion costs too much to do it again for each state that has the page.
        """
        self.used = True
        made = self._converted.get(of, _UNKNOWN)
        if made is _UNKNOWN:
            made = self._converted[of] = make()
            self._count(of, 0 if made is None else made.nbytes)
        return made

    def has_converted(self, of: Hashable) -> bool:
        """Whether `converted` would answer at once."""
        return of in self._converted

    def find(self, key: Key) -> int:
        """The first row with this key, -1 if there is none."""
        self.used = True
        keys = self._keys
        if keys is None:
            keys = self.keys()
        view = self._view
        if isinstance(key, int):
            if view is None:
                view = self._view = memoryview(keys)
            row = bisect_left(view, key)
            return row if row < self.rows and view[row] == key else -1
        if view is None:
            view = self._view = BinaryFinder(keys)
        return int(view.find(key))

    def position(self, key: Key) -> int:
        """The number of rows whose key is smaller."""
        if key <= self.first:
            return 0
        return self.rows if key > self.last else search_one(self.keys(), key, "left")

    def with_lsn(self, lsn: int) -> Page:
        """The same page with the LSN of all its rows bound; for a page written before its commit had one."""
        page = Page(
            self.spec, self.rows, self.first, self.last,
            lsn=lsn, deletes=self.deletes, origin=self.origin, load=self._load, cache=self._cache,
        )  # fmt: skip
        if self._load is None:
            page._batch, page._keys = self._batch, self._keys
        return page

    def drop(self, slot: Hashable) -> None:
        """Let go of something that can be decoded again; called by the cache."""
        if not isinstance(slot, str):
            self._converted.pop(slot, None)
            return
        setattr(self, slot, None)
        if slot == "_batch":
            # Views of the batch would keep its memory alive.
            self._ops = None
        if slot in ("_batch", "_keys"):
            self._keys = self._view = None

    def _read_ops(self) -> np.ndarray[Any, Any] | None:
        batch = self.batch()
        at = batch.schema.get_field_index(OP)
        return None if at < 0 else batch.column(at).to_numpy(zero_copy_only=True)

    def _count(self, slot: Hashable, nbytes: int) -> None:
        if self._cache is not None and nbytes:
            self._cache.admit(self, slot, nbytes)

    def __repr__(self) -> str:
        where = f"{self.origin[0].name}#{self.origin[1]}" if self.origin else "memory"
        return f"<Page {where}, {self.rows} rows, {self.first!r} to {self.last!r}>"


class Section:
    """Pages in key order. Cheap to make; never changes."""

    __slots__ = (
        "__weakref__", "_dense", "_first_keys", "_firsts", "_last_keys", "_lasts", "deletes", "pages", "rows",
    )  # fmt: skip

    EMPTY: ClassVar[Section]

    def __init__(self, pages: Iterable[Page] = ()) -> None:
        self.pages = tuple(pages)
        self.rows = sum(page.rows for page in self.pages)
        self.deletes = sum(page.deletes for page in self.pages)
        self._firsts: list[Any] = [page.first for page in self.pages]
        self._lasts: list[Any] = [page.last for page in self.pages]
        self._first_keys: Keys | None = None
        self._last_keys: Keys | None = None
        self._dense: np.ndarray[Any, Any] | None = None

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch], spec: KeySpec, lsn: int | None = None) -> Section:
        """A section in memory; empty batches are left out."""
        return cls(Page.of(batch, spec, lsn) for batch in batches if batch.num_rows)

    @property
    def has_deletes(self) -> bool:
        return self.deletes > 0

    @property
    def firsts(self) -> Keys:
        """The first key of each page, as Keys."""
        if self._first_keys is None:
            self._first_keys = self._as_keys(self._firsts)
        return self._first_keys

    @property
    def lasts(self) -> Keys:
        """The last key of each page, as Keys."""
        if self._last_keys is None:
            self._last_keys = self._as_keys(self._lasts)
        return self._last_keys

    @property
    def dense(self) -> np.ndarray[Any, Any]:
        """Of each page whether it has a row for every integer from its first key to its last, and no tombstone.

        For a section of newest versions, in which no key comes twice. Reads no page.
        """
        if self._dense is None:
            self._dense = np.array([_is_dense(page) for page in self.pages], np.bool_)
        return self._dense

    def page_for(self, key: Key) -> int:
        """The first page that ends at or after the key, where it starts if it is there; else len(pages)."""
        return bisect_left(self._lasts, key)

    def find(self, key: Key) -> tuple[Page, int] | None:
        """The page and row of the first row with this key."""
        number = bisect_left(self._lasts, key)
        if number == len(self.pages):
            return None
        page = self.pages[number]
        if key < page.first:
            return None
        row = page.find(key)
        return None if row < 0 else (page, row)

    def slice_keys(self, lo: Key | None, hi: Key | None) -> list[tuple[Page, int, int]]:
        """(page, start, stop) for the rows with lo <= key < hi; None is open. Loads two pages at most."""
        begin = 0 if lo is None else bisect_left(self._lasts, lo)
        end = len(self.pages) if hi is None else bisect_left(self._firsts, hi)
        parts = []
        for page in self.pages[begin:end]:
            start = 0 if lo is None else page.position(lo)
            stop = page.rows if hi is None else page.position(hi)
            if start < stop:
                parts.append((page, start, stop))
        return parts

    def rows_of(self, key: Key) -> list[tuple[Page, int]]:
        """Every row with this key, in order; they may lie in several pages."""
        found: list[tuple[Page, int]] = []
        for page in self.pages[bisect_left(self._lasts, key) : bisect_right(self._firsts, key)]:
            row = page.find(key)
            stop = page.rows if key == page.last else -1
            if row >= 0 and stop < 0:
                stop = search_one(page.keys(), key, "right")
            found.extend((page, at) for at in range(row, stop) if row >= 0)
        return found

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches of all pages, one at a time."""
        for page in self.pages:
            yield page.batch()

    def table(self) -> pa.Table:
        """All pages as one table; the section must have a page, and all its pages one schema."""
        return pa.Table.from_batches(self.batches())

    def with_lsn(self, lsn: int) -> Section:
        """The same section with the LSN of all its rows bound."""
        return Section(page.with_lsn(lsn) for page in self.pages)

    def _as_keys(self, fences: list[Any]) -> Keys:
        return from_list(self.pages[0].spec, fences) if self.pages else np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.pages)

    def __repr__(self) -> str:
        return f"<Section of {len(self.pages)} pages, {self.rows} rows, {self.deletes} tombstones>"


Section.EMPTY = Section()


def _is_dense(page: Page) -> bool:
    return isinstance(page.first, int) and not page.deletes and page.last - page.first == page.rows - 1


def decode_lsns(column: pa.Array) -> np.ndarray[Any, Any]:
    """An `_lsn` column, plain or run-end encoded, as int64."""
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    return column.to_numpy(zero_copy_only=True)


def _keys_are_views(spec: KeySpec) -> bool:
    """Whether `keys_of` gives the memory of the batch itself rather than a cast copy of a column."""
    match spec.kind:
        case KeyKind.INTEGER:
            return bool(spec.types[0].bit_width == 64)
        case KeyKind.BYTES:
            return spec.types[0] in (pa.binary(), pa.string())
        case KeyKind.ENCODED:
            return True
