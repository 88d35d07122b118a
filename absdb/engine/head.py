"""The newest published state of a database, as all who begin on it share it.

Made by `Engine.newest_state` once for each state. Called by small_commit.py and transaction.py.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.reader import TableReader
from absdb.ids import EraId, TableId

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class Head:
    """A database at a published LSN: its state, the era that is written to, and its schema. Never changed."""

    __slots__ = ("_readers", "catalog", "era", "lineage", "lsn")

    def __init__(self, lsn: int, lineage: Lineage, era: EraId, catalog: DatabaseCatalog) -> None:
        self.lsn = lsn
        self.lineage = lineage
        self.era = era
        self.catalog = catalog
        # Weakly, because who reads a state keeps it from expiry, and this may be kept long after its time.
        self._readers: dict[TableId, weakref.ref[TableReader]] = {}

    def reader(self, engine: Engine, schema: TableSchema) -> TableReader:
        """A table of the state, the same object for all who ask while one of them holds it."""
        held = self._readers.get(schema.id)
        found = None if held is None else held()
        if found is None or found.schema is not schema:
            found = TableReader(schema, engine.covers.resolve(engine.history, schema, self.lineage))
            self._readers[schema.id] = weakref.ref(found)
        return found
