"""Rows that go into page files before the commit record that names them.

No page is reachable before the record that refers to it is durable; until then its file is *in flight*, and
garbage collection leaves it alone. A bulk run has no LSN of its own before its commit gives it one. Called by
engine/netchange.py and engine/load.py; recovery opens what the log names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.changeset import TableChange
from absdb.pages.builder import FileBuilder
from absdb.pages.run import Run
from absdb.pages.section import Section
from absdb.pages.store import PageStore, sections_from_json, sections_to_json


class Bulk:
    """Writes and opens bulk runs; knows which files are in flight."""

    def __init__(self, store: PageStore, *, page_rows: int) -> None:
        self.pages = store
        self.page_rows = page_rows
        self._in_flight: set[str] = set()
        self._writing: dict[int, int] = {}
        self._tokens = count()
        self._mutex = threading.Lock()

    def store(self, schema: TableSchema, batches: Iterable[pa.RecordBatch], held: set[str]) -> Run | None:
        """A durable run of rows given in strictly increasing key order; None if there are none.

        Its file is in flight, and named in `held`, until somebody lets go of it; its LSN is bound at commit.
        """
        file = self.open_file(schema, held)
        try:
            for batch in batches:
                file.append(batch)
            run = file.finish()
        except BaseException:
            file.abort()
            raise
        return run

    def begin_file(self) -> int:
        """Files made from now on are protected until `end_file` is given the token this returns."""
        with self._mutex:
            token = next(self._tokens)
            self._writing[token] = self.pages.next_number()
            return token

    def end_file(self, token: int) -> None:
        with self._mutex:
            del self._writing[token]

    def protected_from(self) -> int | None:
        """Page files with this number or a greater one may be in the making; None if none is."""
        with self._mutex:
            return min(self._writing.values(), default=None)

    def open_file(self, schema: TableSchema, held: set[str]) -> BulkFile:
        """A file to append sorted batches to one by one; `held` gets its name when it is finished."""
        return BulkFile(self, schema, held)

    def describe(self, run: Run) -> list[dict[str, Any]]:
        """The page files of a run, for the log."""
        return [sections_to_json([run.newest])]

    def open(self, schema: TableSchema, pages: Sequence[dict[str, Any]]) -> Run:
        """The run that `describe` described; files are read on first touch."""
        found = [
            section for data in pages for section in sections_from_json(self.pages, schema.key_spec, data)
        ]
        section = found[0] if len(found) == 1 else Section(page for part in found for page in part.pages)
        return Run(lo=0, hi=0, newest=section, superseded=Section.EMPTY, spec=schema.key_spec)

    def enter(self, names: Iterable[str]) -> None:
        """These files are in flight from now on."""
        with self._mutex:
            self._in_flight.update(names)

    def leave(self, names: Iterable[str]) -> None:
        """These files are reachable now, or will never be."""
        with self._mutex:
            self._in_flight.difference_update(names)

    def leave_runs(self, changes: Iterable[TableChange]) -> None:
        """The runs of a commit are reachable now."""
        for change in changes:
            if change.run is not None:
                self.leave(files_of(change.run.newest))

    def in_flight(self) -> set[str]:
        with self._mutex:
            return set(self._in_flight)


class BulkFile:
    """A page file in the making. Nothing is written before the first batch, whose columns it gets."""

    def __init__(self, bulk: Bulk, schema: TableSchema, held: set[str]) -> None:
        self._bulk = bulk
        self._schema = schema
        self._held = held
        self._builder: FileBuilder | None = None
        self._guard: int | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        if self._builder is None:
            self._guard = self._bulk.begin_file()
            self._builder = self._bulk.pages.create(
                batch.schema,
                self._schema.key_spec,
                compression=self._schema.compression,
                rows_per_page=self._bulk.page_rows,
            )
            self._builder.strict = True
        self._builder.append(batch)

    def finish(self) -> Run | None:
        """The durable run of what was appended; None if nothing was."""
        if self._builder is None:
            return None
        file = self._builder.finish()
        self._builder = None
        self._bulk.enter([file.name])
        self._held.add(file.name)
        self._end()
        section = self._bulk.pages.section(file, self._schema.key_spec)
        return Run(lo=0, hi=0, newest=section, superseded=Section.EMPTY, spec=self._schema.key_spec)

    def abort(self) -> None:
        """Remove what has been written."""
        if self._builder is not None:
            self._builder.__exit__(RuntimeError, None, None)
            self._builder = None
        self._end()

    def _end(self) -> None:
        if self._guard is not None:
            self._bulk.end_file(self._guard)
            self._guard = None


def files_of(section: Section) -> set[str]:
    """Names of the page files a section lies in."""
    return {page.origin[0].name for page in section.pages if page.origin is not None}
