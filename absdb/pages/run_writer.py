"""Writing the two sections of a run, side by side, to page files.

A run in files is one file, newest versions first, unless it has more superseded versions than fit a page:
those then get a file of their own, so that history can be dropped without rewriting the present. `_lsn` is
run-end encoded where that is smaller; a file has one schema, so the first batch decides. Files of a run whose
writing failed are removed. Called by pages/run.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.pages.builder import FileBuilder
from absdb.pages.key import KeySpec
from absdb.pages.section import LSN, Section
from absdb.pages.store import PageStore

LSN_RUNS = pa.run_end_encoded(pa.int32(), pa.int64())


class RunWriter:
    """Puts the two sections of a run into one page file, or two if there is much that is superseded."""

    def __init__(
        self,
        store: PageStore,
        spec: KeySpec,
        schema: pa.Schema,
        compression: str | None,
        rows_per_page: int,
    ) -> None:
        self._store = store
        self._spec = spec
        self._schema = schema
        self._compression = compression
        self._rows_per_page = rows_per_page
        self._stack = ExitStack()
        self._newest: FileBuilder | None = None
        self._superseded: FileBuilder | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._encode_lsns = False

    def add(self, newest: Iterable[pa.RecordBatch], superseded: Iterable[pa.RecordBatch]) -> None:
        """Rows in the writer's schema that sort after all earlier ones of their section."""
        for batch in newest:
            if self._newest is None:
                self._newest = self._create(batch)
            self._newest.append(self._encoded(batch))
        for batch in superseded:
            if self._superseded is not None:
                self._superseded.append(self._encoded(batch))
                continue
            self._waiting.append(batch)
            self._waiting_rows += batch.num_rows
            if self._waiting_rows > self._rows_per_page:
                self._superseded = self._create(batch)
                self._superseded.strict = False
                self._release(self._superseded)

    def finish(self, lsn: int | None = None) -> tuple[Section, Section]:
        """Make the files durable; the sections they hold. `lsn` is that of all rows if they lack `_lsn`."""
        assert self._newest is not None
        count = self._newest.end_section()
        self._newest.strict = False
        self._release(self._newest)
        file = self._newest.finish(lsn)
        newest = self._store.section(file, self._spec, 0, count)
        if self._superseded is None:
            superseded = self._store.section(file, self._spec, count)
        else:
            superseded = self._store.section(self._superseded.finish(lsn), self._spec)
        return newest, superseded

    def _release(self, builder: FileBuilder) -> None:
        for batch in self._waiting:
            builder.append(self._encoded(batch))
        self._waiting = []

    def _create(self, sample: pa.RecordBatch) -> FileBuilder:
        """A new file; the first batch of the run tells whether LSNs are encoded in all its files."""
        if self._newest is None and self._superseded is None:
            self._encode_lsns = LSN in self._schema.names and _encoding_pays(sample.column(LSN).to_numpy())
            if self._encode_lsns:
                at = self._schema.get_field_index(LSN)
                self._schema = self._schema.set(at, pa.field(LSN, LSN_RUNS))
        builder = self._store.create(
            self._schema, self._spec, compression=self._compression, rows_per_page=self._rows_per_page
        )
        return self._stack.enter_context(builder)

    def _encoded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._encode_lsns:
            return batch
        arrays = batch.columns
        at = batch.schema.get_field_index(LSN)
        arrays[at] = _run_ends(arrays[at].to_numpy())
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)


def _encoding_pays(lsns: np.ndarray[Any, Any]) -> bool:
    runs = 1 + int(np.count_nonzero(lsns[1:] != lsns[:-1]))
    return runs * (4 + 8) < len(lsns) * 8


def _run_ends(lsns: np.ndarray[Any, Any]) -> pa.Array:
    """LSNs run-end encoded."""
    starts = np.flatnonzero(np.append(True, lsns[1:] != lsns[:-1]))
    ends = np.append(starts[1:], len(lsns)).astype(np.int32)
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends), pa.array(lsns[starts]))
