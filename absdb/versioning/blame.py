"""Blame: which commit last wrote each row of a state, or last changed each cell.

Rows of images, runs and the tail know the LSN that wrote them, so that nothing is walked: the state is folded with
its key columns and those LSNs, and each LSN that occurs is looked up in the commit log once. Cells take the versions
of the rows asked for (cell_blame.py).

    <key columns>      as the table has them; none for a table without a key, whose rows come as reads give them
    column             of cells only: the column's name
    lsn                of the commit; NULL for what an open transaction has written, and for cells that were last
                       changed before history is kept
    time, author, message, database     as the commit log has them; NULL if it does not know the commit

`database` is where the commit was made: the one that a branch was made from for what it has from there, NULL if that
was dropped. Where the key has a column of one of these names, the commit's is called `commit_<name>`. Text comes as
dictionaries, since few commits write many rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.commit_entries import Ints, numbers_of
from absdb.engine.engine import Engine
from absdb.engine.intake import keys_given
from absdb.engine.reader import TableReader
from absdb.errors import InvalidInputError
from absdb.ids import LSN_MAX, LSN_TEXT_DIVISOR, DatabaseId
from absdb.pages.fold import fold, fold_table
from absdb.pages.key import Keys, concat, length, take
from absdb.pages.key import slice as slice_keys
from absdb.pages.lookup import lookup
from absdb.pages.projection import Projection
from absdb.pages.section import LSN, Page, Section
from absdb.pages.types import to_logical
from absdb.paths import check_names
from absdb.versioning.cell_blame import cell_lsns

UNCOMMITTED = LSN_MAX
"""In the place of the LSN that a transaction does not have yet."""
SLICE_ROWS = 262_144


def blame(
    engine: Engine, reader: TableReader, *, keys: Any = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Key columns and commit of every row in key order, or of the rows with some keys; unknown keys are left out.

    With `columns` one row a cell, of those columns. Costs a read of the key columns and LSNs; for cells, the
    versions of the rows asked for. InvalidInputError for keys of a table that has none, CorruptionError if a file of
    the commit log is damaged.
    """
    schema = reader.schema
    wanted = None if keys is None else keys_given(schema, keys, "blame")
    if columns is not None:
        return _cells(engine, reader, wanted, check_names("columns", columns))
    key = schema.project(schema.key_names).columns if schema.key_names else ()
    sections, projection = _sections(reader), Projection(key, extra=(LSN,))
    if wanted is None:
        rows = fold_table(schema.key_spec, sections, projection)
    else:
        found = lookup(schema.key_spec, sections[::-1], wanted)
        rows = pa.Table.from_batches(found.batches(projection), projection.schema)
    lsns = rows.column(len(schema.key_names))
    return _with_commits(engine, rows.select(range(len(schema.key_names))), lsns)


def _sections(reader: TableReader) -> list[Section]:
    """The layers, oldest first, with the transaction's own rows as written at UNCOMMITTED."""
    layers = reader.sections
    own = _own(reader)
    return [*layers[: len(layers) - len(own)], *own]


def _own(reader: TableReader) -> list[Section]:
    own = [] if reader.own is None else reader.own.sections(-1, reader.own_upto)
    return [Section(map(_uncommitted, section.pages)) for section in own]


def _uncommitted(page: Page) -> Page:
    """A page of a transaction, whose `_lsn` is a number of its own."""
    batch = page.batch()
    return Page.of(batch.drop_columns([LSN]) if LSN in batch.schema.names else batch, page.spec, UNCOMMITTED)


# ---------------------------------------------------------------- cells


def _cells(engine: Engine, reader: TableReader, wanted: Keys | None, names: Sequence[str]) -> pa.Table:
    schema = reader.schema
    names = [schema.column(name).name for name in names]
    if not names:
        raise InvalidInputError("columns names no column", hint="leave it out for the commit of each row")
    kinds = [(column.name, column.type) for column in schema.key_columns[: len(schema.key_names)]]
    label = "commit_column" if "column" in schema.key_names else "column"
    named = pa.schema([*kinds, (label, pa.dictionary(pa.int32(), pa.string())), (LSN, pa.int64())])
    parts = [_cells_of(engine, reader, keys, names, named) for keys in _keys(reader, wanted)]
    rows = pa.Table.from_batches(parts, named)
    return _with_commits(engine, rows.select(range(len(named) - 1)), rows.column(len(named) - 1))


def _keys(reader: TableReader, wanted: Keys | None) -> Iterator[Keys]:
    """The keys of the rows that are there, in order, about SLICE_ROWS at a time."""
    spec = reader.schema.key_spec
    if wanted is not None:
        wanted = take(wanted, np.flatnonzero(reader.lookup(wanted).alive))
        for start in range(0, length(wanted), SLICE_ROWS):
            yield slice_keys(wanted, start, min(start + SLICE_ROWS, length(wanted)))
        return
    held: list[Keys] = []
    rows = 0
    for batch in fold(spec, reader.sections, reader.schema.key_projection):
        held.append(spec.keys_of(spec.with_key(batch)))
        rows += batch.num_rows
        if rows >= SLICE_ROWS:
            yield concat(held)
            held, rows = [], 0
    if held:
        yield concat(held)


def _cells_of(
    engine: Engine, reader: TableReader, keys: Keys, names: Sequence[str], named: pa.Schema
) -> pa.RecordBatch:
    """One row a cell, row after row: key columns, name of the column, LSN."""
    schema, count = reader.schema, length(keys)
    lsns = np.stack(cell_lsns(engine, reader, _own(reader), keys, names), axis=1).ravel()
    row = pa.array(np.repeat(np.arange(count), len(names)))
    parts = zip(schema.key_spec.decode(keys), schema.key_columns[: len(schema.key_names)], strict=False)
    arrays = [to_logical(part.take(row), column.type) for part, column in parts]
    of = pa.array(np.tile(np.arange(len(names), dtype=np.int32), count))
    column = pa.DictionaryArray.from_arrays(of, pa.array(names, pa.string()))
    return pa.RecordBatch.from_arrays([*arrays, column, pa.array(lsns, mask=lsns == 0)], schema=named)


# ---------------------------------------------------------------- commits


def _with_commits(engine: Engine, rows: pa.Table, lsns: pa.ChunkedArray) -> pa.Table:
    """The rows with what is known of the commit of each."""
    coded = _one(lsns).dictionary_encode()
    for name, values in _commits(engine, numbers_of(coded.dictionary)).items():
        shown = f"commit_{name}" if name in rows.column_names else name
        if pa.types.is_string(values.type):
            texts = values.dictionary_encode()
            column = pa.DictionaryArray.from_arrays(texts.indices.take(coded.indices), texts.dictionary)
        else:
            column = values.take(coded.indices)
        rows = rows.append_column(shown, column)
    return rows


def _commits(engine: Engine, lsns: Ints) -> dict[str, pa.Array]:
    """lsn, time, author, message and database of the commits at some LSNs, each once, in any order."""
    entries = engine.log.commits_at(np.sort(lsns))
    known = numbers_of(_one(entries["lsn"]))
    place = np.searchsorted(known, lsns)
    missing = np.append(known, -1)[place] != lsns
    at = pa.array(place, mask=missing)
    found = {name: _one(entries[name]).take(at) for name in ("time", "author", "message")}
    for name in ("author", "message"):
        found[name] = pc.if_else(pc.equal(found[name], ""), None, found[name])
    return {
        "lsn": _texts(lsns),
        **found,
        "database": _names(engine, _one(entries["database_id"])).take(at),
    }


def _one(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array, also without chunks."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _texts(lsns: Ints) -> pa.Array:
    """LSNs as users see them; NULL for UNCOMMITTED."""
    parts = [pa.array(part, mask=lsns == UNCOMMITTED) for part in np.divmod(lsns, LSN_TEXT_DIVISOR)]
    return pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), "/")


def _names(engine: Engine, databases: pa.Array) -> pa.Array:
    """The names of databases by id, as they are called now; NULL for those that were dropped."""
    coded = databases.dictionary_encode()
    infos = [engine.history.databases.get(DatabaseId(number)) for number in coded.dictionary.to_pylist()]
    names = pa.array([None if info is None else info.name for info in infos], pa.string())
    return names.take(coded.indices)
