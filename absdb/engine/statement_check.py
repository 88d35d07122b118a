"""UNIQUE and FOREIGN KEY at the end of a statement in a transaction: what it wrote, against what is there then.

What was written before it holds already, so only its own rows are looked at: by the same indexes and with the same
words as at the commit, which then has only to look at what others have committed meanwhile. Called by
versioning/scope.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.engine.candidates import runs_of, written_keys
from absdb.engine.changeset import RowChange, TableChange
from absdb.engine.constraint_pages import (
    CHUNK_ROWS,
    check_references,
    check_unique,
    check_unreferred,
    keys_in_chunks,
    rows_under,
)
from absdb.engine.cover import EraCover
from absdb.engine.netchange import ROWS_MAX
from absdb.engine.outcome import Outcome
from absdb.engine.reader import TableReader
from absdb.pages.section import DELETE

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


class Statement:
    """One statement of a transaction, from before it runs."""

    __slots__ = ("_catalog", "_since", "_tx", "_was_checked", "_written")

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._since = tx.sequence
        self._was_checked = tx.is_checked
        self._catalog = tx.catalog
        self._written = frozenset(tx.writes)

    def check(self, *, references: bool) -> None:
        """ConstraintError if rows that it wrote break UNIQUE or, with `references`, FOREIGN KEY.

        The transaction then knows whether the commit has to check as well. Costs look-ups in indexes, of the rows of
        tables that have such constraints or are referred to.
        """
        tx = self._tx
        whole = self._was_checked and tx.catalog is self._catalog
        outcome: Outcome | None = None
        for table, writes in tx.writes.items():
            schema = tx.catalog.tables.get(table)
            if schema is None or writes.upto <= self._since:
                continue
            if not tx.engine.constraints.is_bound(schema, tx.catalog):
                continue
            if self._catalog.tables.get(table, schema) is not schema:
                continue  # whoever redefines a table checks what that may break
            if outcome is None:
                outcome = Outcome(tx, tx.engine.constraints.indexes, tx.lineage, tx.catalog)
            self._check(outcome, schema, writes.cover, references=references)
            whole = whole and (references or not _has_references(schema, tx.catalog))
        if whole:
            tx.checked_upto = tx.sequence

    def _check(self, outcome: Outcome, schema: TableSchema, cover: EraCover, *, references: bool) -> None:
        before = TableReader(schema, self._tx.base_reader(schema).layers, cover, self._since)
        change = _few_rows(schema, cover, self._since, before)
        if change is None and schema.id not in self._written:
            change = _one_run(schema, cover)
        if change is not None:
            self._tx.engine.constraints.check_change(outcome, change, references=references)
        else:
            _check_keys(outcome, schema, cover, self._since, before, references=references)


def _has_references(schema: TableSchema, catalog: DatabaseCatalog) -> bool:
    return schema.id in catalog.referencing or any(isinstance(c, ForeignKey) for c in schema.constraints)


def _check_keys(
    outcome: Outcome,
    schema: TableSchema,
    cover: EraCover,
    since: int,
    before: TableReader,
    *,
    references: bool,
) -> None:
    """Look at what has been written by its keys, of which the rows are looked up as they were and as they are."""
    referring = outcome.catalog.referencing.get(schema.id, ()) if references else ()
    written = runs_of([(cover, since, cover.hi)])
    for keys in keys_in_chunks(written_keys(schema.key_spec, written, CHUNK_ROWS)):
        for side in rows_under(outcome.reader(schema), keys):
            for constraint in schema.constraints:
                if isinstance(constraint, Unique):
                    check_unique(outcome, constraint, side)
                elif isinstance(constraint, ForeignKey) and references:
                    check_references(outcome, constraint, side)
        for side in rows_under(before, keys) if referring else ():
            for child, reference in referring:
                check_unreferred(outcome, child, reference, side)


def _few_rows(schema: TableSchema, cover: EraCover, since: int, before: TableReader) -> TableChange | None:
    """What was written, if that is a few rows that wait as tuples."""
    runs, buffer = cover.view
    if buffer is None or buffer.schema is not schema or (runs and runs[-1].hi > since):
        return None
    start = buffer.count(since)
    if len(buffer.keys) - start > ROWS_MAX:
        return None
    changes = []
    for key in dict.fromkeys(buffer.keys[start:]):
        at = buffer.newest[key]
        changes.append(RowChange(key, None if buffer.ops[at] == DELETE else buffer.rows[at], before.row(key)))
    return TableChange(schema, rows=changes)


def _one_run(schema: TableSchema, cover: EraCover) -> TableChange | None:
    """All that is there, if it lies in one run: its index run finds values given twice."""
    runs, buffer = cover.view
    return TableChange(schema, run=runs[0]) if buffer is None and len(runs) == 1 else None
