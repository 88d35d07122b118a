"""A diff as SQL: statements that, run where the source is, make what the target is.

    BEGIN
    views and macros that go; schemas and sequences that come
    constraints that go, or are in the way of the rows; tables that go; names, columns, types; tables that come
    rows: each table after those that it refers to; what was removed from them last, in the other order
    NOT NULL, constraints, macros and views that come; sequences and schemas that go
    COMMIT

A constraint is in the way if no order of the statements keeps it at each of them: UNIQUE whose columns change, a
foreign key to itself or in a circle. It is taken off, and put back behind the rows, which checks them all.
What no statement expresses is an error before the first one. Text comes a statement at a time; memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from absdb.catalog.schema import Constraint, ForeignKey, TableSchema, Unique
from absdb.errors import NotFoundError
from absdb.ids import TableId
from absdb.paths import normal_name
from absdb.sql.compare.computed import computed
from absdb.sql.compare.definitions import Definitions, inexpressible, table_path
from absdb.sql.compare.patch_changes import RowChanges, new_rows, rows_of
from absdb.sql.compare.patch_entities import EntityChanges
from absdb.sql.compare.patch_order import parents_first, renames
from absdb.sql.compare.patch_tables import TableChanges
from absdb.sql.listings.default_text import is_identity
from absdb.sql.text.tokens import literal, quoted
from absdb.versioning.diff import Diff
from absdb.versioning.diff_choice import Choice
from absdb.versioning.schema_diff import TablePair


def patch(
    diff: Diff, *, table: str | None = None, wanted: Choice | None = None, transaction: bool = True
) -> Iterator[str]:
    """The statements, each with its end of line; none if nothing differs. `table` names the only one to patch, of which
    the rows may be chosen. InvalidInputError names what no statement expresses."""
    return _Patch(diff, table, wanted or Choice()).statements(transaction=transaction)


class _Both:
    """A table that both states have."""

    def __init__(self, source: TableSchema, changes: TableChanges, rows: RowChanges) -> None:
        self.source = source
        self.target = changes.target
        self.changes = changes
        self.rows = rows
        self.off: list[Constraint] = []
        """Constraints of the source that are taken off."""
        self.on: list[Constraint] = []
        """Constraints of the target that are put on."""


class _Patch:
    """The plan, made before the first statement."""

    def __init__(self, diff: Diff, table: str | None, wanted: Choice) -> None:
        self._diff = diff
        self._old, self._new = (Definitions(diff.engine, catalog) for catalog in diff.catalogs)
        self.created: list[TableSchema] = []
        self.dropped: list[TableSchema] = []
        self.both: list[_Both] = []
        self.entities = EntityChanges(*diff.catalogs) if table is None else None
        for pair in diff.pairs if table is None else [_named(diff, table)]:
            self._plan(pair, wanted)
        self._tables = {b.target.id: b.target for b in self.both} | {t.id: t for t in self.created}
        self.order, circular = parents_first(self._tables)
        for both in self.both:
            self._constraints(both, circular)
        for both in self.both:  # once it is known which UNIQUE constraints are taken off
            self._references(both)
        for created in self.created:
            if created.options:
                raise inexpressible(f"the merge policies of table {created.full_name!r}")
            for column in created.columns:
                self._new.type_of(created, column)

    def _plan(self, pair: TablePair, wanted: Choice) -> None:
        source, target = pair.source, pair.target
        if source is not None and target is not None and not pair.related:
            alike = self._old.shape(source) == self._new.shape(target) and source.options == target.options
            if not alike or not target.key_names:
                self.dropped.append(source)
                self.created.append(target)
                return
        if source is None or target is None:
            self.created += [target] if target is not None else []
            self.dropped += [source] if source is not None else []
            return
        changes = TableChanges(source, target, self._old, self._new, related=pair.related)
        rows = RowChanges(self._diff, self._diff.table_of(pair), changes, self._new, wanted)
        self.both.append(_Both(source, changes, rows))

    # -- constraints

    def _constraints(self, both: _Both, circular: set[tuple[TableId, TableId]]) -> None:
        """Which constraints of a table go, come, or are in the way."""
        before = {c.name: c for c in both.source.constraints}
        after = {c.name: c for c in both.target.constraints}
        both.off = [c for name, c in before.items() if self._differs(both, c, after.get(name))]
        both.on = [c for name, c in after.items() if self._differs(both, before.get(name), c)]
        cast = bool(both.changes.cast)
        for name, constraint in before.items():
            kept = after.get(name)
            if (
                kept is not None
                and constraint not in both.off
                and self._in_the_way(both, kept, circular, cast)
            ):
                both.off.append(constraint)
                both.on.append(kept)

    def _differs(self, both: _Both, old: Constraint | None, new: Constraint | None) -> bool:
        if old is None or new is None:
            return True
        if both.source.id == both.target.id:
            return old != new
        return self._old.constraint(both.source, old) != self._new.constraint(both.target, new)

    def _in_the_way(
        self, both: _Both, constraint: Constraint, circular: set[tuple[TableId, TableId]], cast: bool
    ) -> bool:
        if cast:
            return True  # a column that is given another type must be free
        if isinstance(constraint, ForeignKey):
            return (both.target.id, constraint.table) in circular and any(both.rows.counts)
        if not isinstance(constraint, Unique):
            return False
        counts = both.rows.counts
        moved = bool(counts.added and counts.removed and self._is_bound(both.target))
        return moved or both.rows.changes_any_of([both.target.by_id[column] for column in constraint.columns])

    def _is_bound(self, table: TableSchema) -> bool:
        """Whether a foreign key leads from or to a table, in either state."""
        return any(
            table.id in catalog.referencing
            or any(isinstance(c, ForeignKey) for c in catalog.tables.get(table.id, table).constraints)
            for catalog in self._diff.catalogs
        )

    def _references(self, both: _Both) -> None:
        """Foreign keys to columns that are not unique for a while, or that change, are in the way."""
        tables = {other.target.id: other for other in self.both}
        for constraint in both.target.constraints:
            parent = tables.get(constraint.table) if isinstance(constraint, ForeignKey) else None
            if not isinstance(constraint, ForeignKey) or parent is None or constraint in both.on:
                continue
            free = set(constraint.references) != set(parent.target.key)
            moves = any(isinstance(c, Unique) for c in parent.off) or parent.changes.cast
            if free and (moves or any(parent.rows.counts)):
                both.off.append(next(c for c in both.source.constraints if c.name == constraint.name))
                both.on.append(constraint)

    # -- statements

    def statements(self, *, transaction: bool) -> Iterator[str]:
        """All of them, between BEGIN and COMMIT if there are any."""
        found = chain(self._definitions(), self._rows(), self._end())
        first = next(found, None)
        if first is not None:
            yield from ["BEGIN;\n"] if transaction else []
            yield first
            yield from found
            yield from ["COMMIT;\n"] if transaction else []

    def _definitions(self) -> Iterator[str]:
        if self.entities is not None:
            yield from self.entities.first()
        taken = [(both.source, constraint) for both in self.both for constraint in both.off]
        for table, constraint in sorted(taken, key=lambda pair: not isinstance(pair[1], ForeignKey)):
            yield f"ALTER TABLE {table_path(table)} DROP CONSTRAINT {quoted(constraint.name)};\n"
        for table in self.dropped:
            yield f"DROP TABLE {table_path(table)} CASCADE;\n"
        yield from renames([(both.source, both.target) for both in self.both])
        for both in self.both:
            yield from both.changes.before_rows()
        for table in self.created:
            yield self._new.create_table(table, self._starts(table))
            yield from _comments(table)

    def _starts(self, table: TableSchema) -> dict[str, int]:
        """Where the identity columns of a new table go on: behind what is there."""
        names = [c.name for c in table.columns if is_identity(c, self._new.catalog)]
        if not names:
            return {}
        rows = rows_of(self._diff.reader_of(1, table.full_name), names)
        text = f"SELECT {', '.join(f'coalesce(max({quoted(name)}), 0) + 1' for name in names)} FROM given"
        found = computed(self._diff.engine, text, {"given": rows}).fetchall()[0]
        return {name: int(start) for name, start in zip(names, found, strict=True)}

    def _rows(self) -> Iterator[str]:
        both = {each.target.id: each.rows for each in self.both}
        later = [table for table in self.order if table in both and self._is_bound(self._tables[table])]
        for table in self.order:
            if table not in both:
                reader = self._diff.reader_of(1, self._tables[table].full_name)
                yield from new_rows(self._diff.engine, reader, self._new)
                continue
            if table not in later:
                yield from both[table].deletes()
            yield from both[table].updates()
            yield from both[table].inserts()
        for table in reversed(later):
            yield from both[table].deletes()

    def _end(self) -> Iterator[str]:
        for both in self.both:
            yield from both.changes.after_rows()
        added = [(both.target, constraint) for both in self.both for constraint in both.on]
        added += [(t, c) for t in self.created for c in t.constraints if isinstance(c, ForeignKey)]
        for table, constraint in sorted(added, key=lambda pair: isinstance(pair[1], ForeignKey)):
            yield f"ALTER TABLE {table_path(table)} ADD {self._new.constraint(table, constraint)};\n"
        if self.entities is not None:
            yield from self.entities.last()


def _named(diff: Diff, table: str) -> TablePair:
    """The pair of a table of both states."""
    name = normal_name(table)
    for pair in diff.pairs:
        if pair.target is not None and pair.source is not None and pair.target.full_name == name:
            return pair
    raise NotFoundError(f"there is no table {table!r} on both sides", table=table)


def _comments(table: TableSchema) -> Sequence[str]:
    found = [f"COMMENT ON TABLE {table_path(table)} IS {literal(table.comment)};\n"] if table.comment else []
    return found + [
        f"COMMENT ON COLUMN {table_path(table)}.{quoted(c.name)} IS {literal(c.comment)};\n"
        for c in table.columns
        if c.comment
    ]
