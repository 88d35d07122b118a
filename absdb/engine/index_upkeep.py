"""Writing index runs: every stored run and image of a table with UNIQUE or FOREIGN KEY has one beside each file.

Merged runs and images get theirs before they are put in the place of others, so that no commit waits for it; a
checkpoint sees to whatever lacks one by then: bulk loads, which leave it until here, files older than the
constraint, and index runs found damaged. A file of fewer than ROWS_MIN rows has none: sorting its values takes no
longer than opening another file, and one that cannot be read has none either: that is for check() and those who
read the rows to say, and must not keep a checkpoint from all other tables. A table that no constraint concerns
costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.engine.index_registry import IndexKey
from absdb.engine.indexes import build_run
from absdb.engine.values import Columns, value_spec
from absdb.errors import CorruptionError, StorageError
from absdb.ids import TableId
from absdb.pages.format import PageFile
from absdb.pages.index_file import write_index
from absdb.pages.section import Section

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

LOG = logging.getLogger("absdb")
ROWS_MIN = 256
LSN_MAX = 2**63 - 1

Wanted = dict[IndexKey, TableSchema]
"""Index runs that constraints ask, each with a definition of the table that has its columns."""


def live_catalogs(engine: Engine) -> list[DatabaseCatalog]:
    """The newest definitions of all databases, those that several share once."""
    history = engine.history
    # Not by the heads: these need the commit log, and a checkpoint must not fail because that is damaged.
    eras = [history.eras[info.eras[-1]] for info in list(history.databases.values())]
    catalogs = (history.catalog_at((*era.base, (era.id, LSN_MAX))) for era in eras)
    return list({id(catalog): catalog for catalog in catalogs}.values())


def wanted(catalogs: Iterable[DatabaseCatalog], table: TableId) -> Wanted:
    """The index runs of one table that constraints of any database ask."""
    found: Wanted = {}
    for catalog in catalogs:
        schema = catalog.tables.get(table)
        if schema is not None:
            for columns in _column_sets(catalog, schema):
                found.setdefault(IndexKey(columns, value_spec(schema, columns).types), schema)
    return found


def _column_sets(catalog: DatabaseCatalog, schema: TableSchema) -> set[Columns]:
    sets = {c.columns for c in schema.constraints if isinstance(c, Unique | ForeignKey)}
    referred = {foreign.references for _, foreign in catalog.referencing.get(schema.id, ())}
    return sets | (referred - {schema.key})


def store_indexes(
    engine: Engine, catalogs: Iterable[DatabaseCatalog], table: TableId, sections: Iterable[Section]
) -> int:
    """Write the index runs that files of these sections lack; returns how many. `catalogs` are the live ones."""
    return _store(engine, wanted(catalogs, table), sections)


def store_all_indexes(engine: Engine) -> int:
    """Write whatever index runs are lacking, and let go of those that nothing asks any more; how many were written."""
    catalogs = live_catalogs(engine)
    asked = {table: wanted(catalogs, table) for table in engine.covers.tables()}
    done = 0
    for table, keys in asked.items():
        if keys:
            done += _store(engine, keys, engine.covers.sections_of(table))
    # A transaction may still read files that no cover has any more.
    engine.covers.indexes.keep(engine.pages.in_use(), {key for keys in asked.values() for key in keys})
    return done


def files_of(sections: Iterable[Section]) -> dict[str, PageFile]:
    """The page files that pages of some sections lie in, by name."""
    return {
        page.origin[0].name: page.origin[0] for s in sections for page in s.pages if page.origin is not None
    }


def _store(engine: Engine, keys: Wanted, sections: Iterable[Section]) -> int:
    if not keys:
        return 0
    done = 0
    for file in files_of(sections).values():
        for key, schema in keys.items():
            lacks = engine.covers.indexes.sound(file.name, *key) is None
            if lacks and file.rows >= ROWS_MIN:
                done += _write(engine, file, key, schema)
    return done


def _write(engine: Engine, file: PageFile, key: IndexKey, schema: TableSchema) -> bool:
    section = engine.pages.section(file, schema.key_spec)
    try:
        run = engine.constraints.indexes.held(section, key) or build_run(schema, section, key.columns)
    except (CorruptionError, StorageError) as error:
        LOG.warning("no index run can be made of %s: %s", file.name, error)
        return False
    token = engine.bulk.begin_file()
    try:
        engine.covers.indexes.put(file.name, key, write_index(engine.pages, run))
    finally:
        engine.bulk.end_file(token)
    return True
