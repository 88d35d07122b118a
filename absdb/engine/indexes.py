"""Indexes over the layers of a table: from encoded values of some columns to the keys of rows that had them.

One index per section and column set, built when first asked for and kept while it is among the most recently
used; what it gives are candidates, since a newer layer may have changed or removed the row.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from absdb.catalog.schema import TableSchema
from absdb.engine.reader import TableReader
from absdb.ids import ColumnId
from absdb.pages.index import IndexSpec, build_index, probe
from absdb.pages.key import Keys, concat, empty
from absdb.pages.section import Section

INDEXES_KEPT = 512

IndexKey = tuple[int, tuple[ColumnId, ...]]


class Indexes:
    """A bounded cache of section indexes. Safe for many threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[IndexKey, tuple[Section, Any]] = OrderedDict()
        self._mutex = threading.Lock()

    def probe(
        self, reader: TableReader, columns: tuple[ColumnId, ...], values: Keys
    ) -> tuple[np.ndarray[Any, Any], Keys]:
        """(positions in `values`, row keys) of all candidates; `values` are sorted."""
        positions: list[np.ndarray[Any, Any]] = []
        rows: list[Keys] = []
        for section in reader.sections:
            index = self._index(reader.schema, section, columns)
            found, keys = probe(index, values)
            if len(found):
                positions.append(found)
                rows.append(keys)
        if not positions:
            return np.empty(0, np.int64), empty(reader.schema.key_spec)
        return np.concatenate(positions), concat(rows)

    def _index(self, schema: TableSchema, section: Section, columns: tuple[ColumnId, ...]) -> Any:
        key = (id(section), columns)
        with self._mutex:
            kept = self._kept.get(key)
            if kept is not None and kept[0] is section:
                self._kept.move_to_end(key)
                return kept[1]
        index = _build(schema, section, columns)
        with self._mutex:
            self._kept[key] = (section, index)
            while len(self._kept) > INDEXES_KEPT:
                self._kept.popitem(last=False)
        return index


def _build(schema: TableSchema, section: Section, columns: tuple[ColumnId, ...]) -> Any:
    named = [schema.by_id[column] for column in columns]
    projection = schema.page_projection(tuple((*columns, *(k for k in schema.key if k not in columns))))
    spec = IndexSpec.of(
        tuple(c.page_name for c in named),
        tuple(projection.schema.field(c.page_name).type for c in named),
        schema.key_spec,
    )
    batches = (schema.key_spec.with_key(projection.apply(batch)) for batch in _upserts(section))
    return build_index(spec, batches)


def _upserts(section: Section) -> Any:
    for page in section.pages:
        batch = page.batch()
        ops = page.ops()
        yield batch if ops is None else batch.take(np.flatnonzero(ops == 0))
