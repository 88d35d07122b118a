"""What an instance must say, kept as plain dictionaries: every state of every database as a full copy.

A State maps table names to ModelTables; nothing in it is ever changed, so that states share what they like. A
database is a list of eras, as in the engine, but an era holds its states themselves:

    ModelEra.base      the line (LSN, state), … that the era started on: that of its source, or of a restore
    ModelEra.commits   (LSN, state), … since

`ModelTransaction` is a working copy with savepoints. What it changed in the end, and what it merely touched,
decide how its commit goes beside others: `verdict` says whether a write conflict must, may or must not come.
Rows are dicts from column idents to values as users see them; idents, like the engine's ids, survive renames.

Played beside an engine by absdb/testing/workload.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

Key = tuple[Any, ...]
Row = dict[int, Any]


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """One column. `initial` is what rows older than it read as; `replaces` the one it was made from by a change of
    type, `past` all of those, oldest first."""

    ident: int
    name: str
    type: pa.DataType
    nullable: bool = True
    default: Any = None
    initial: Any = None
    replaces: int | None = None
    past: tuple[int, ...] = ()

    @property
    def origin(self) -> int:
        return (*self.past, self.ident)[0]


@dataclass(frozen=True, slots=True)
class ModelTable:
    """A table with all its rows. `key` holds idents; a table without one is keyed by a number per row."""

    ident: int
    name: str
    columns: tuple[ModelColumn, ...]
    key: tuple[int, ...]
    rows: Mapping[Key, Row] = field(default_factory=dict)
    retired: frozenset[int] = frozenset()
    """Origins of columns it had and has no more."""

    def column(self, name: str) -> ModelColumn:
        return next(column for column in self.columns if column.name == name)

    @property
    def key_columns(self) -> list[ModelColumn]:
        return [next(c for c in self.columns if c.ident == ident) for ident in self.key]

    @property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    @property
    def definition(self) -> tuple[Any, ...]:
        """All but the rows."""
        return self.name, self.columns, self.key

    def rests_on_rows(self, before: ModelTable) -> bool:
        """Whether the change from `before` depends on what rows there are: all were rewritten or looked at."""
        known = {column.ident: column for column in before.columns}
        for column in self.columns:
            old = known.get(column.ident)
            if old is None and (column.replaces or (not column.nullable and column.initial is None)):
                return True
            if old is not None and old.nullable and not column.nullable:
                return True
        return False

    def listed(self) -> list[dict[str, Any]]:
        """The rows in key order, as `to_pylist` gives them."""
        ordered = (self.rows[key] for key in sorted(self.rows))
        return [{c.name: row[c.ident] for c in self.columns} for row in ordered]

    def fitted(self, rows: Mapping[Key, Row]) -> dict[Key, Row]:
        """Rows of another state of this table as they read under this definition."""
        return {key: self.fit(row) for key, row in rows.items()}

    def fit(self, row: Row) -> Row:
        return {c.ident: as_type(row[c.ident], c.type) if c.ident in row else c.initial for c in self.columns}


State = Mapping[str, ModelTable]
Line = tuple[tuple[int, State], ...]
EMPTY: State = {}


def as_type(value: Any, kind: pa.DataType) -> Any:
    """A value after its column's type was widened; only these change in Python."""
    if pt.is_floating(kind) and isinstance(value, int):
        return float(value)
    if pt.is_timestamp(kind) and type(value) is dt.date:
        return dt.datetime.combine(value, dt.time())
    return value


def by_ident(state: State) -> dict[int, ModelTable]:
    return {table.ident: table for table in state.values()}


def with_tables(state: State, changed: Mapping[int, ModelTable | None]) -> State:
    """A state with some tables put in, replaced, or (None) taken out."""
    kept = {table.name: table for table in state.values() if table.ident not in changed}
    kept.update({table.name: table for table in changed.values() if table is not None})
    return kept


def cut(line: Line, lsn: int) -> Line:
    """A line as it was at an LSN."""
    return tuple(entry for entry in line if entry[0] <= lsn)


def state_of(line: Line) -> State:
    """Where a line ends."""
    return line[-1][1] if line else EMPTY


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit wrote: rows that differ, rows written at all, and the same for definitions."""

    lsn: int
    changed: Mapping[int, frozenset[Key]]
    touched: Mapping[int, frozenset[Key]]
    redefined: frozenset[int]
    defined: frozenset[int]


@dataclass(frozen=True, slots=True)
class ModelEra:
    """One stretch of a database's history."""

    start: int
    base: Line
    commits: Line = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelDatabase:
    """A database; its first era starts when it is created."""

    ident: int
    name: str
    eras: tuple[ModelEra, ...]

    def line_at(self, lsn: int) -> Line:
        """The states that led to the one at an LSN, that one last; before creation those of the source."""
        for era in reversed(self.eras):
            if era.start <= lsn:
                return era.base + cut(era.commits, lsn)
        return cut(self.eras[0].base, lsn)

    @property
    def line(self) -> Line:
        return self.eras[-1].base + self.eras[-1].commits

    @property
    def head(self) -> State:
        return state_of(self.line)

    def committed(self, lsn: int, state: State, change: Change) -> ModelDatabase:
        era = self.eras[-1]
        era = replace(era, commits=(*era.commits, (lsn, state)), changes=(*era.changes, change))
        return replace(self, eras=(*self.eras[:-1], era))

    def restored(self, lsn: int, line: Line) -> ModelDatabase:
        """The database went back to the state at the end of a line."""
        return replace(self, eras=(*self.eras, ModelEra(lsn, line)))

    def restored_tables(self, lsn: int, state: State) -> ModelDatabase:
        """Some tables went back; `state` is what came of it."""
        return replace(self, eras=(*self.eras, ModelEra(lsn, self.line, ((lsn, state),))))


@dataclass(frozen=True, slots=True)
class Model:
    """A whole instance. `log` has (kind, message, database ident) for each LSN that the commit log lists."""

    databases: Mapping[str, ModelDatabase]
    snapshots: Mapping[tuple[int, str], Line] = field(default_factory=dict)
    log: Mapping[int, tuple[str, str, int]] = field(default_factory=dict)

    def with_database(self, database: ModelDatabase) -> Model:
        others = {name: each for name, each in self.databases.items() if each.ident != database.ident}
        return replace(self, databases={**others, database.name: database})

    def without_database(self, ident: int) -> Model:
        databases = {name: each for name, each in self.databases.items() if each.ident != ident}
        snapshots = {key: line for key, line in self.snapshots.items() if key[0] != ident}
        return replace(self, databases=databases, snapshots=snapshots)

    def logged(self, lsn: int, kind: str, message: str, ident: int) -> Model:
        return replace(self, log={**self.log, lsn: (kind, message, ident)})


class Verdict(Enum):
    """How a commit may end."""

    FINE = "must succeed"
    EITHER = "may conflict"
    CONFLICT = "must conflict"


class ModelTransaction:
    """A working copy of a database's head."""

    def __init__(self, database: ModelDatabase, lsn: int) -> None:
        self.database = database.ident
        self.lsn = lsn
        self.era = len(database.eras)
        self.line = database.line
        self.state = database.head
        self.base = by_ident(database.head)
        self.undropped: dict[int, ModelTable] = {}
        self.touched: dict[int, set[Key]] = {}
        self.defined: set[int] = set()
        self._savepoints: list[tuple[str, State, set[int]]] = []

    def put(self, table: ModelTable, touched: Iterator[Key] | set[Key] | None = None) -> None:
        """A table has other rows now; `touched` are the keys written."""
        self.state = with_tables(self.state, {table.ident: table})
        self.touched.setdefault(table.ident, set()).update(touched or ())

    def define(self, ident: int, table: ModelTable | None) -> None:
        """A table was made, changed, or (None) dropped."""
        self.state = with_tables(self.state, {ident: table})
        self.defined.add(ident)

    def undrop(self, table: ModelTable) -> None:
        """A table of the past is there again."""
        self.undropped.setdefault(table.ident, table)
        self.define(table.ident, table)

    def savepoint(self, name: str) -> None:
        self._savepoints.append((name, self.state, set(self.defined)))

    @property
    def savepoints(self) -> list[str]:
        """Their names, oldest first."""
        return [name for name, *_ in self._savepoints]

    def rollback_to(self, name: str) -> None:
        """Back to the last savepoint of that name, which stays."""
        while self._savepoints[-1][0] != name:
            self._savepoints.pop()
        _, self.state, defined = self._savepoints[-1]
        self.defined = set(defined)

    def release(self, name: str) -> None:
        """Forget the last savepoint of that name, and later ones."""
        while self._savepoints.pop()[0] != name:
            pass

    def changed(self) -> dict[int, dict[Key, Row | None]]:
        """The rows that differ from those at the beginning, by table; None where one is gone."""
        found: dict[int, dict[Key, Row | None]] = {}
        for ident, now in by_ident(self.state).items():
            old = self._before(ident)
            before = {} if old is None else now.fitted(old.rows)
            rows: dict[Key, Row | None] = {k: r for k, r in now.rows.items() if before.get(k) != r}
            rows.update({key: None for key in before if key not in now.rows})
            if rows:
                found[ident] = rows
        return found

    def _before(self, ident: int) -> ModelTable | None:
        """A table as it was at the beginning, or when it was dropped if it has been brought back here."""
        return self.base.get(ident) or self.undropped.get(ident)

    def redefined(self) -> set[int]:
        """Tables whose definition differs from that at the beginning."""
        now = by_ident(self.state)

        def differs(old: ModelTable | None, new: ModelTable | None) -> bool:
            return old is not new and (old is None or new is None or old.definition != new.definition)

        return {ident for ident in self.defined if differs(self.base.get(ident), now.get(ident))}

    def verdict(self, database: ModelDatabase) -> Verdict:
        """How committing now must end, given what was committed since."""
        since = [change for change in database.eras[-1].changes if change.lsn > self.lsn]
        changed, redefined = self.changed(), self.redefined()
        if len(database.eras) != self.era:
            return Verdict.CONFLICT if changed or redefined else Verdict.EITHER
        holders = {name: table.ident for name, table in database.head.items()}
        for table in self.state.values():
            taken = holders.get(table.name, table.ident)
            if table.ident in redefined and taken != table.ident and taken not in self.defined:
                return Verdict.CONFLICT
        mine = by_ident(self.state)
        resting = {i for i in redefined if i in mine and i in self.base}
        resting = {i for i in resting if mine[i].rests_on_rows(self.base[i])}
        verdict = Verdict.FINE
        for other in since:
            if (set(changed) | redefined) & other.redefined:
                return Verdict.CONFLICT
            if any(set(rows) & other.changed.get(ident, frozenset()) for ident, rows in changed.items()):
                return Verdict.CONFLICT
            if any(other.changed.get(ident) for ident in resting):
                return Verdict.CONFLICT
            near = (set(self.touched) | self.defined) & other.defined or self.defined & set(other.touched)
            if near or any(
                keys & other.touched.get(ident, frozenset()) for ident, keys in self.touched.items()
            ):
                verdict = Verdict.EITHER
        return verdict

    def merged(self, head: State) -> State:
        """The state that this transaction makes of the newest one."""
        theirs, mine = by_ident(head), by_ident(self.state)
        result: dict[int, ModelTable | None] = {ident: None for ident in self.defined if ident not in mine}
        changed = self.changed()
        for ident in (self.defined | set(changed)) & set(mine):
            definition = mine[ident] if ident in self.defined else theirs[ident]
            old = theirs.get(ident) or self._before(ident)
            rows: dict[Key, Row] = {} if old is None else definition.fitted(old.rows)
            for key, row in changed.get(ident, {}).items():
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
            result[ident] = replace(definition, rows=rows)
        return with_tables(head, result)

    def change(self, lsn: int) -> Change:
        """What others must know about this commit."""
        changed = {ident: frozenset(rows) for ident, rows in self.changed().items()}
        touched = {ident: frozenset(keys) for ident, keys in self.touched.items()}
        return Change(lsn, changed, touched, frozenset(self.redefined()), frozenset(self.defined))
