"""Bringing what one state has beyond some bases into a transaction: definitions, rows, ancestry, constraints.

A merge is this with the merge bases; a cherry-pick takes the state before a commit as the base and the one after it
as theirs, a revert the other way round. All conflicts and all broken constraints are collected, none is raised:
whoever calls decides whether what has been found may be committed. Called by merge.py, revert.py, cherry_pick.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from absdb.catalog.ancestry import merged_ancestry, put_back_alone
from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.changeset import TableChange
from absdb.engine.ddl_checks import check_expressions
from absdb.errors import AbsdbError, ConstraintError, InvalidInputError, NotFoundError
from absdb.ids import TableId
from absdb.versioning.conflicts import OPEN, OURS, THEIRS, Conflicts
from absdb.versioning.merge_catalog import Tables, merge_catalogs
from absdb.versioning.merge_rows import RowMerge, RowRules
from absdb.versioning.merge_sides import Side, Slice, candidates, side_of, table_in
from absdb.versioning.merge_tables import MergedColumn, MergedTable, aliases_of
from absdb.versioning.policies import mergers_of, summed_columns
from absdb.versioning.resolutions import Resolutions
from absdb.versioning.three_way import Decider, SchemaConflict

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

Bases = Callable[["TableId | None"], tuple[Lineage, ...]]
"""The bases of the database as a whole (None), or of a table that was put back alone."""
CHOICES = {"fail": OPEN, "strict": OPEN, "ours": OURS, "theirs": THEIRS}


@dataclass(frozen=True, slots=True)
class Rules:
    """How conflicts are met: `on_conflict` is fail, strict, ours or theirs, for all tables or by table."""

    on_conflict: str | Mapping[str, str] = "fail"
    resolutions: Resolutions = field(default_factory=Resolutions)

    def __post_init__(self) -> None:
        given = self.on_conflict
        for choice in given.values() if isinstance(given, Mapping) else [given]:
            if not isinstance(choice, str) or choice not in CHOICES:
                raise InvalidInputError(
                    f"on_conflict is {choice!r}",
                    hint=f"pass one of {', '.join(CHOICES)}, or a dict of them by table",
                )

    def check_tables(self, catalogs: Sequence[DatabaseCatalog]) -> None:
        """NotFoundError if something is said about a table that is on neither side: it would hold for nothing."""
        if not isinstance(self.on_conflict, Mapping):
            return
        known = {table.full_name for catalog in catalogs for table in catalog.tables.values()}
        for name in self.on_conflict:
            if name not in known:
                raise NotFoundError(
                    f"on_conflict speaks of table {name!r}, which is on neither side of the merge",
                    hint=f"there are {', '.join(sorted(known)) or 'none'}",
                )

    def of(self, table: str) -> str:
        """What holds for a table, by its name on our side."""
        given = self.on_conflict
        return given.get(table, "fail") if isinstance(given, Mapping) else given

    def schema(self, conflict: SchemaConflict) -> str | None:
        """Who wins an item of a definition; None if nobody said."""
        choice = self.of(conflict.table_name)
        return self.resolutions.schema(conflict) or (choice if choice in ("ours", "theirs") else None)


@dataclass(slots=True)
class Brought:
    """What was found on the way. Nothing may be committed while `conflicts` or `violations` has anything."""

    conflicts: Conflicts = field(default_factory=Conflicts)
    violations: list[ConstraintError] = field(default_factory=list)
    schema_conflicts: list[SchemaConflict] = field(default_factory=list)
    changes: list[TableChange] = field(default_factory=list)


def bring(tx: Transaction, theirs: Lineage, bases: Bases, rules: Rules, *, contains: bool) -> Brought:
    """Write into `tx`, which has just begun, what `theirs` has beyond the bases.

    `contains`: the result is to count as containing all of theirs, as after a merge.
    """
    tx.keeps_equal = True
    return _Bringing(tx, theirs, bases, rules).run(contains=contains)


class _Bringing:
    def __init__(self, tx: Transaction, theirs: Lineage, bases: Bases, rules: Rules) -> None:
        self._tx = tx
        self._engine = tx.engine
        self._theirs = theirs
        self._bases = bases
        self._rules = rules
        self._found = Brought()
        self._decider = Decider(rules.schema)

    def run(self, *, contains: bool) -> Brought:
        history, tx, bases = self._engine.history, self._tx, self._bases(None)
        ours, theirs = tx.base_catalog, history.catalog_at(self._theirs)
        before = [history.catalog_at(base) for base in bases]
        self._rules.check_tables([ours, theirs])
        merged = merge_catalogs(self._decider, before, ours, theirs, self)
        ancestry = merged_ancestry(history, self._bases, tx.lineage, self._theirs, contains=contains)
        changes = {**merged.changes, **ancestry}
        if changes:
            tx.change_schema(changes)
        sensible = [table for table in merged.tables if self._makes_sense(table)]
        for table in sensible:
            self._merge_rows(table)
        if not self._decider.open:  # else nobody knows yet what they will speak of
            for table in sensible:
                self._check_constraints(table)
        self._found.schema_conflicts = self._decider.open
        self._found.conflicts.add_schema(self._decider.open)
        self._found.changes = tx.net_changes()
        if not self._found.conflicts:
            self._engine.constraints.check(tx, self._found.changes, self._found.violations.append)
        return self._found

    # ---------------------------------------------------------------- rows

    def _merge_rows(self, table: MergedTable) -> None:
        tx = self._tx
        if table.ours is None:
            # What lies there from an earlier time, if the table was dropped here.
            ours = side_of(self._engine, tx.lineage, table.schema)
            bases = [ours]
        else:
            ours = side_of(self._engine, tx.lineage, table.ours)
            bases = self._base_sides(table.schema)
        theirs = side_of(self._engine, self._theirs, table.theirs)
        name = table.name
        rules = RowRules(
            strict=self._rules.of(name) == "strict",
            default=lambda name: CHOICES[self._rules.of(name)],
            resolutions=self._rules.resolutions,
            policies=mergers_of(table.schema),
            sums=summed_columns(table.schema),
        )
        RowMerge(tx, table, ours, theirs, bases).run(
            rules, self._found.conflicts, self._found.violations.append
        )

    def _base_sides(self, table: TableSchema) -> list[Side]:
        ids = {table.id, *aliases_of(table)}
        alone = next(iter(ids & self._alone), None)
        return [side_of(self._engine, base, table_in(self._engine, base, ids)) for base in self._bases(alone)]

    @cached_property
    def _alone(self) -> set[TableId]:
        return put_back_alone(self._engine.history)

    # ---------------------------------------------------------------- what definitions ask about rows

    def changed(self, side: str, table: TableSchema) -> bool:
        """Whether a side's rows of a table are others than the bases'."""
        columns = [MergedColumn(c, c, c, (), frozenset([c.id])) for c in table.columns]
        for part in self._compared(side, table, columns):
            for base in range(1, len(part.alive)):
                if (part.alive[0] != part.alive[base]).any():
                    return True
                if any(part.differs(0, base, c).any() for c in columns if c.merged not in table.key_columns):
                    return True
        return False

    def changed_values(self, side: str, tables: Tables, column: MergedColumn) -> int:
        """In how many rows that are still there a side has changed a column since the bases; new rows do not count."""
        schema = tables.ours if side == "ours" else tables.theirs
        own = column.ours if side == "ours" else column.theirs
        assert schema is not None
        assert own is not None
        asked = MergedColumn(own, own, own, column.bases, column.ids)
        count = 0
        for part in self._compared(side, schema, [asked]):
            rows = np.zeros(len(part), bool)
            for base in range(1, len(part.alive)):
                rows |= part.differs(0, base, asked) & part.alive[0] & part.alive[base]
            count += int(rows.sum())
        return count

    def _compared(self, side: str, table: TableSchema, columns: Sequence[MergedColumn]) -> Iterator[Slice]:
        lineage = self._tx.lineage if side == "ours" else self._theirs
        own, bases = side_of(self._engine, lineage, table), self._base_sides(table)
        for keys in candidates(self._engine, [own], bases):
            yield Slice(keys, [own, *bases], columns)

    # ---------------------------------------------------------------- constraints

    def _makes_sense(self, table: MergedTable) -> bool:
        """Whether expressions of a new definition name what is there, not what the other side renamed or dropped."""
        if table.schema == table.ours:
            return True
        try:
            check_expressions(self._tx, table.schema)
        except AbsdbError as error:
            self._decider.refuse(SchemaConflict(table.schema.full_name, error.message, "", "", ""))
            return False
        return True

    def _check_constraints(self, table: MergedTable) -> None:
        """What is new among the constraints must hold for all rows."""
        known = () if table.ours is None else table.ours.constraints
        for constraint in table.schema.constraints if table.ours is not None else ():
            if constraint not in known:
                self._engine.constraints.check_all(
                    self._tx, table.schema, constraint, self._found.violations.append
                )
