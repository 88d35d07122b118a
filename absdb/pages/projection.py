"""From the columns pages hold to the columns a reader asked for.

Pages name their columns by id and were written under the schema of their time; a `Projection` says what a
reader wants to see, and each page is brought to it:

    the page has                         the reader gets
    the column, same type                the same buffers, nothing copied
    the column, a narrower type          a lossless cast
    the column, to be coded              what the page keeps of it (coded.py)
    no such column (added since)         the column's initial default in every row
    columns nobody asked for             nothing

and then the physical arrays as the logical types of the table (types.py). The extra columns `_lsn` (int64)
and `_key` can be passed through behind the others.

Whole pages are projected before they are sliced, because a slice costs less than a projection; rows picked
one by one are gathered first, because a conversion costs what it converts. A projection is immutable and may
be used from many threads; what it caches can be made again.

Called by lookup.py and fold.py; made by catalog/ from a table's schema.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from absdb.errors import InvalidInputError, StateError
from absdb.pages import scattered
from absdb.pages.coded import coded
from absdb.pages.section import KEY, LSN, Page, decode_lsns
from absdb.pages.types import to_logical

Ints = np.ndarray[Any, np.dtype[Any]]
CONSTANT_ROWS_MAX = 65_536
PIECES_A_PAGE = 2
"""Rows are sorted by page, and back, only if they change from page to page more often than so."""
_EXTRA_TYPES = {LSN: pa.int64(), KEY: pa.binary()}


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """One column of the output: its name there, the page column it comes from, both its types."""

    name: str
    source: str
    logical: pa.DataType
    physical: pa.DataType
    initial: Any = None
    """What rows of pages without the column read as: a physical Python value."""
    coded: bool = False
    """Whether `logical` is what coded.py makes of `physical`, which pages keep."""
    _constant: list[pa.Array] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def plain(cls, source: str, physical: pa.DataType, initial: Any = None) -> OutputColumn:
        """A page column as pages hold it, under its own name."""
        return cls(source, source, physical, physical, initial)

    def physical_of(self, batch: pa.RecordBatch) -> pa.Array:
        """The physical column of a page's batch, or of rows of it."""
        at = batch.schema.get_field_index(self.source)
        if at < 0:
            return self.constant(batch.num_rows)
        column = batch.column(at)
        if column.type == self.physical:
            return column
        # A page written since the column was widened is read as of before as well. Its newer rows may not fit
        # the old type; they are none of that state, but they must not be in the way of those that are.
        return column.cast(self.physical, safe=False)

    def as_coded(self, kind: pa.DataType) -> OutputColumn:
        """The column in a type that `coded_type` gives for it."""
        return replace(self, logical=kind, coded=True)

    @property
    def code_name(self) -> tuple[str, pa.DataType]:
        """Under what a page keeps the column in its coded form."""
        return self.source, self.logical

    def coded_of(self, page: Page) -> pa.Array | None:
        """The coded column of a page, made when first asked for; None if it has too many values for that."""
        return page.converted(self.code_name, lambda: coded(self.physical_of(page.batch()), self.logical))

    def logical_of(self, array: pa.Array) -> pa.Array:
        """A physical array in the type of the output; one that is of that type already as it is."""
        made = coded(array, self.logical) if self.coded and array.type != self.logical else None
        return to_logical(array, self.logical) if made is None else made

    def constant(self, length: int) -> pa.Array:
        """The initial default `length` times; up to a page's length from one shared array."""
        kept = self._constant[0] if self._constant else None
        if kept is None or len(kept) < length:
            kept = self._repeated(max(length, min(1 << length.bit_length(), CONSTANT_ROWS_MAX)))
            if length <= CONSTANT_ROWS_MAX:
                self._constant[:] = [kept]
        return kept.slice(0, length)

    def _repeated(self, length: int) -> pa.Array:
        if self.initial is None:
            return pa.nulls(length, self.physical)
        return pa.repeat(pa.scalar(self.initial, self.physical), length)

    def reader(self, batch: pa.RecordBatch) -> Any:
        """Something whose `[row].as_py()` is the logical Python value of that row."""
        at = batch.schema.get_field_index(self.source)
        if at < 0:
            return _Constant(to_logical(self.constant(1), self.logical)[0])
        column = batch.column(at)
        if _read_alike(column.type, self.physical) and not has_extension(self.logical):
            return column
        return _Converted(column, self)


class _Constant:
    """The same scalar in every row."""

    __slots__ = ("scalar",)

    def __init__(self, scalar: Any) -> None:
        self.scalar = scalar

    def __getitem__(self, row: int) -> Any:
        return self.scalar


class _Converted:
    """A column whose values need converting: one row at a time, so that a lookup never converts a page."""

    __slots__ = ("array", "column")

    def __init__(self, array: pa.Array, column: OutputColumn) -> None:
        self.array = array
        self.column = column

    def __getitem__(self, row: int) -> Any:
        value, column = self.array.slice(row, 1), self.column
        value = value if value.type == column.physical else value.cast(column.physical)
        return to_logical(value, column.logical)[0]


class Projection:
    """An ordered list of output columns, and what turns pages into them."""

    __slots__ = ("_coded", "_readers", "columns", "extra", "physical", "schema")

    columns: tuple[OutputColumn, ...]
    extra: tuple[str, ...]
    schema: pa.Schema
    """Of every batch that comes out."""
    physical: Projection
    """The same rows in physical types, or coded: they can all be taken and concatenated; `finish` does the rest."""

    def __init__(
        self, columns: Iterable[OutputColumn], *, extra: Sequence[str] = (), schema: pa.Schema | None = None
    ) -> None:
        """`extra` names `_lsn` and `_key` if wanted; `schema` gives the output nullability and metadata.

        InvalidInputError if there is no column at all (a batch without columns does not know its rows), or if
        `schema` has other columns or types.
        """
        self.columns = tuple(columns)
        self.extra = tuple(extra)
        expected = [(column.name, column.logical) for column in self.columns]
        expected += [(name, _EXTRA_TYPES[name]) for name in self.extra]
        if not expected:
            raise InvalidInputError("a projection needs a column", hint="to count rows, project a key column")
        self.schema = pa.schema(expected) if schema is None else schema
        if [(one.name, one.type) for one in self.schema] != expected:
            raise InvalidInputError(f"expected a schema of {pa.schema(expected)}, found {self.schema}")
        self._readers: dict[int, tuple[Any, list[Any]]] = {}
        self._coded = any(column.coded for column in self.columns)
        self.physical = self
        if any(not column.coded and column.logical != column.physical for column in self.columns):
            stored = (
                column if column.coded else replace(column, logical=column.physical)
                for column in self.columns
            )
            self.physical = Projection(stored, extra=self.extra)

    def with_schema(self, schema: pa.Schema) -> Projection:
        """The same columns in batches of `schema`, which adds nullability and metadata."""
        if self.schema.equals(schema, check_metadata=True):
            return self
        return Projection(self.columns, extra=self.extra, schema=schema)

    def empty(self) -> pa.RecordBatch:
        """A batch without rows."""
        return pa.RecordBatch.from_arrays([pa.nulls(0, one.type) for one in self.schema], schema=self.schema)

    def of_page(self, page: Page) -> pa.RecordBatch:
        """All rows of a page."""
        if not self._coded:
            return self.apply(page.batch(), page.lsn)
        batch = page.batch()
        arrays = []
        for column in self.columns:
            made = column.coded_of(page) if column.coded else None
            arrays.append(column.physical_of(batch) if made is None else made)
        arrays += [_extra(batch, name, page.lsn) for name in self.extra]
        return self._assembled(arrays)

    def apply(self, batch: pa.RecordBatch, lsn: int | None = None) -> pa.RecordBatch:
        """All rows of a page's batch; `lsn` is what `_lsn` reads as if the batch has no such column."""
        arrays = [column.physical_of(batch) for column in self.columns]
        arrays += [_extra(batch, name, lsn) for name in self.extra]
        return self._assembled(arrays)

    def gather(self, pages: Sequence[Page], part: Ints, rows: Ints) -> pa.RecordBatch:
        """Picked rows of several pages in the order given: row `rows[i]` of `pages[part[i]]`.

        Costs what it picks, not what the pages hold; cheapest where `part` changes as rarely as there are pages.
        """
        if not len(part):
            return self.empty()
        order: Ints | None = None
        cuts = np.flatnonzero(part[1:] != part[:-1])
        if len(cuts) > PIECES_A_PAGE * len(pages) and bool((part[1:] < part[:-1]).any()):
            order = np.argsort(part, kind="stable")
            part, rows = part[order], rows[order]
            cuts = np.flatnonzero(part[1:] != part[:-1])
        ends = [0, *(cuts + 1).tolist(), len(part)]
        arrays = self._scattered(pages, part, rows, cuts)
        if arrays is None:
            pieces = [self._picked(pages[int(part[i])], rows[i:j]) for i, j in pairwise(ends)]
            arrays = (
                pieces[0] if len(pieces) == 1 else [pa.concat_arrays(of) for of in zip(*pieces, strict=True)]
            )
        if order is not None:
            back = np.empty(len(order), np.int64)
            back[order] = np.arange(len(order))
            arrays = [array.take(pa.array(back)) for array in arrays]
        return self._assembled(arrays)

    def finish(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of `physical` as one of this projection; the same object if they are one."""
        return batch if self.physical is self else self._assembled(batch.columns)

    def readers(self, batch: pa.RecordBatch) -> list[Any]:
        """For each column, without the extra ones, something whose `[row].as_py()` is a row's logical value.

        Remembered for as long as the batch lives, and no longer: the batch may be a decoded one that its
        store wants back.
        """
        held = self._readers.get(id(batch))
        if held is not None and held[0]() is batch:
            return held[1]
        made = [column.reader(batch) for column in self.columns]
        readers, number = self._readers, id(batch)
        self._readers[number] = (weakref.ref(batch, lambda _: readers.pop(number, None)), made)
        return made

    def _scattered(self, pages: Sequence[Page], part: Ints, rows: Ints, cuts: Ints) -> list[pa.Array] | None:
        """The arrays of a few rows of each of many pages; None if they are not that, or not plain."""
        if self.extra or not scattered.pays(len(cuts) + 1, len(part)):
            return None
        used, at = np.unique(part, return_inverse=True)
        return scattered.gather([pages[number] for number in used.tolist()], at, rows, self.columns)

    def _picked(self, page: Page, rows: Ints) -> list[pa.Array]:
        """The arrays of some rows of a page, as they are in its memory if the rows are neighbours."""
        batch, start, count = page.batch(), int(rows[0]), len(rows)
        neighbours = int(rows[-1]) - start == count - 1 and bool((rows[1:] > rows[:-1]).all())
        wanted = None if neighbours else pa.array(rows)
        some = batch.slice(start, count) if wanted is None else self._taken(batch, wanted)
        picked = [column.physical_of(some) for column in self.columns]
        for name in self.extra:
            if name == LSN:
                picked.append(pa.array(page.lsns()[rows]))
            elif wanted is None:
                picked.append(_extra(some, name, None))
            else:
                picked.append(_extra(batch, name, None).take(wanted))
        return picked

    def _taken(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.RecordBatch:
        """Rows of the columns that a page has of those wanted; of any one if it has none of them."""
        schema = batch.schema
        places = {schema.get_field_index(column.source) for column in self.columns} - {-1}
        return batch.select(sorted(places) or [0]).take(rows)

    def _assembled(self, arrays: Sequence[pa.Array]) -> pa.RecordBatch:
        """Physical arrays as a batch of the output."""
        if self._coded or self.physical is not self:
            extra = arrays[len(self.columns) :]
            pairs = zip(self.columns, arrays, strict=False)
            arrays = [*(column.logical_of(array) for column, array in pairs), *extra]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _extra(batch: pa.RecordBatch, name: str, lsn: int | None) -> pa.Array:
    """`_lsn` as int64 or `_key` of a page's batch."""
    at = batch.schema.get_field_index(name)
    if name == LSN and at >= 0:
        return pa.array(decode_lsns(batch.column(at)))
    if name == LSN and lsn is not None:
        return pa.repeat(pa.scalar(lsn, pa.int64()), batch.num_rows)
    if at < 0:
        raise StateError(f"the page has no column {name}, and nothing else says what its rows have there")
    return batch.column(at)


def _read_alike(stored: pa.DataType, physical: pa.DataType) -> bool:
    """Whether a value of the stored type and the same one after widening are one Python value."""
    if stored == physical or (pt.is_integer(stored) and pt.is_integer(physical)):
        return True
    return bool((pt.is_floating(stored) and pt.is_floating(physical)) or pt.is_null(stored))


def has_extension(logical: pa.DataType) -> bool:
    """Whether values of the type, or inside it, are read through an extension type."""
    if isinstance(logical, pa.BaseExtensionType):
        return True
    if pt.is_dictionary(logical) or pt.is_run_end_encoded(logical):
        return has_extension(logical.value_type)
    return any(has_extension(logical.field(i).type) for i in range(logical.num_fields))
