"""Which page files have stored index runs, over which columns. In manifests:

    [[page file, [column id, ...], types of the columns as text, StoredIndex], ...]

An index run covers its page file whole, so it serves every section with pages of that file: the run that wrote
it, and images that have taken some of its pages over. It goes with the file. Filled from a manifest and by
index_upkeep.py, asked by indexes.py; part of the covers.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from absdb.engine.values import Columns
from absdb.ids import ColumnId
from absdb.pages.index_file import StoredIndex
from absdb.pages.store import PageStore


class IndexKey(NamedTuple):
    """What tells index runs of one page file apart."""

    columns: Columns
    types: str
    """Physical types as text: a column that was widened has other values in its index runs."""


class IndexRegistry:
    """The stored index runs of an instance. Safe for many threads."""

    def __init__(self) -> None:
        self._by_file: dict[str, dict[IndexKey, StoredIndex]] = {}
        self._mutex = threading.Lock()

    def sound(self, file: str, columns: Columns, types: str) -> StoredIndex | None:
        """The index run of a page file, if there is one that nobody found damaged."""
        found = self._by_file.get(file)
        if found is None:
            return None
        stored = found.get((columns, types))  # type: ignore[call-overload]  # a plain tuple is equal and quicker
        return None if stored is None or stored.damaged else stored

    def put(self, file: str, key: IndexKey, stored: StoredIndex) -> None:
        with self._mutex:
            self._by_file[file] = {**self._by_file.get(file, {}), key: stored}

    def keep(self, files: Collection[str], wanted: Collection[IndexKey]) -> None:
        """Let go of index runs of other page files, and of those that no constraint asks any more."""
        with self._mutex:
            kept = {
                file: {key: stored for key, stored in found.items() if key in wanted}
                for file, found in self._by_file.items()
                if file in files
            }
            self._by_file = {file: found for file, found in kept.items() if found}

    def entries(self) -> Iterator[tuple[str, IndexKey, StoredIndex]]:
        """(page file, key, index run) of all there are now, damaged ones too."""
        with self._mutex:
            everything = list(self._by_file.items())
        return ((file, key, stored) for file, found in everything for key, stored in found.items())

    def names(self) -> set[str]:
        """Names of the files that all index runs lie in."""
        return {name for _, _, stored in self.entries() for name in stored.names}

    def to_json(self, files: Collection[str]) -> list[Any]:
        """The index runs of these page files."""
        return [
            [file, list(key.columns), key.types, stored.to_json()]
            for file, key, stored in self.entries()
            if file in files
        ]

    def read_json(self, store: PageStore, data: list[Any]) -> None:
        """Add what `to_json` gave; nothing is read from the files yet."""
        for file, columns, types, stored in data:
            key = IndexKey(tuple(ColumnId(column) for column in columns), types)
            self.put(file, key, StoredIndex.from_json(store, stored))
