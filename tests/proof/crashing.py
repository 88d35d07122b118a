"""A workload in numbered steps, what each leaves behind as plain dicts, and how an engine is held against it.

    recording = record()                          # the steps, run once on a disk that remembers
    for state in crash_states(recording.log):     # a step is marked once it has been acknowledged
        recording.hold(state)                     # opens it, and compares it with what it has to be

A step is one commit at most, or none, so that a disk holds what is acknowledged, or one step more.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pyarrow as pa

from absdb.catalog.lineage import Lineage
from absdb.clock import ManualClock
from absdb.engine import ddl, load, small, writes
from absdb.engine.check import check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.constraint_definition import ForeignKey, Unique, add_constraint
from absdb.engine.definition import ColumnDefinition
from absdb.engine.engine import Engine
from absdb.engine.garbage import retire
from absdb.engine.reader import TableReader
from absdb.engine.recovery import open_engine
from absdb.engine.transaction import Transaction
from absdb.errors import ConstraintError
from absdb.io.base import FileSystem
from absdb.paths import PAGES_DIR
from absdb.testing.crash_states import CrashState
from absdb.testing.recording import OperationLog, RecordingFileSystem
from absdb.versioning.as_of import Point, resolve
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.merge import Terms, merge
from absdb.versioning.merge_states import Rules
from absdb.versioning.restore import restore
from absdb.versioning.revert import revert
from absdb.versioning.snapshot import create_snapshot, drop_snapshot
from tests.proof.scene import in_one_thread

Row = dict[str, Any]
State = dict[str, dict[str, list[Row]]]
"""Rows by id, per table, per database; a snapshot is a database named `database@snapshot`."""

SETTINGS = {
    "wal_segment_size": 4096,
    "page_rows": 16,
    "run_limit": 2,
    "bulk_threshold": 9000,
    "sequence_block": 4,
    "author": "proof",
}
"""Small enough that commits cross segments, tables have many pages, and runs want merging."""


@dataclass
class ModelTable:
    """A table: its columns with their defaults, its rows by id."""

    columns: dict[str, Any]
    rows: dict[int, Row] = field(default_factory=dict)


PARENTS = "parents"

Model = dict[str, dict[str, ModelTable]]


@contextmanager
def predictable_names(first: int = 1) -> Iterator[None]:
    """Names of page files without chance in them, so that a seed gives the same disks on every run.

    `first` keeps them apart from names that an earlier run has left on the disk.
    """
    numbers = itertools.count(first)
    with mock.patch("absdb.pages.store.secrets.token_hex", lambda size: f"{next(numbers):0{2 * size}x}"):
        yield


def start(fs: FileSystem) -> Engine:
    """An engine whose calls come in one order, at times that are the same on every run."""
    engine = open_engine(
        fs, arguments=SETTINGS, clock=ManualClock(tick_us=1000), instance_id=b"proof of crashes"
    )
    in_one_thread(engine)
    return engine


class Stage:
    """An engine and the model beside it. What a step does to the model comes after the engine has done it."""

    def __init__(self, fs: FileSystem) -> None:
        self.fs = fs
        self.engine = start(fs)
        self.model: Model = {"main": {}}
        self.kept: dict[str, tuple[int, dict[str, ModelTable]]] = {}
        self.merged: tuple[int, dict[str, ModelTable]] = (0, {})

    def state(self) -> State:
        """What the model says an engine has to show."""
        return {
            database: {name: [table.rows[at] for at in sorted(table.rows)] for name, table in tables.items()}
            for database, tables in copy.deepcopy(self.model).items()
        }

    # rows

    @contextmanager
    def begin(self, database: str = "main") -> Iterator[Transaction]:
        with self.engine.begin(self.engine.history.database(database).id) as tx:
            yield tx

    def upsert(
        self, table: str, ids: Iterable[int], value: str, *, database: str = "main", how: str = "small"
    ) -> None:
        """Rows with `value`, other columns as they were or as their default has it."""
        given = {at: {"id": at, "value": f"{value}{at}"} for at in ids}
        with self.begin(database) as tx:
            _write(tx, table, list(given.values()), how)
        self.put(database, table, given)

    def put(self, database: str, table: str, given: dict[int, Row]) -> None:
        model = self.model[database][table]
        for at, row in given.items():
            model.rows[at] = {**model.columns, **model.rows.get(at, {}), **row}

    def delete(self, table: str, ids: Iterable[int], *, database: str = "main") -> None:
        gone = list(ids)
        with self.begin(database) as tx:
            small.delete(tx, tx.catalog.table(table), [{"id": at} for at in gone])
        for at in gone:
            self.model[database][table].rows.pop(at, None)

    # versions

    def keep(self, name: str) -> None:
        """Remember this moment of `main` for later."""
        self.kept[name] = (self.engine.published, copy.deepcopy(self.model["main"]))

    def point(self, database: str = "main", **point: Any) -> Point:
        return resolve(self.engine, self.engine.history.database(database), **point)

    def branch(self, name: str, at: str = "") -> None:
        if at:
            lsn, tables = self.kept[at]
            create_branch(self.engine, name, self.point(lsn=lsn))
        else:
            create_branch(self.engine, name, self.point())
            tables = self.model["main"]
        self.model[name] = copy.deepcopy(tables)
        self.kept[name] = (self.engine.published, copy.deepcopy(tables))

    def drop(self, name: str) -> None:
        drop_database(self.engine, self.engine.history.database(name))
        for known in [known for known in self.model if known.partition("@")[0] == name]:
            del self.model[known]

    def snapshot(self, name: str, database: str = "main") -> None:
        create_snapshot(self.engine, name, self.point(database))
        self.model[f"{database}@{name}"] = copy.deepcopy(self.model[database])

    def drop_snapshot(self, name: str, database: str = "main") -> None:
        drop_snapshot(self.engine, database, name)
        del self.model[f"{database}@{name}"]

    def restore(self, at: str, tables: Sequence[str] | None = None) -> None:
        lsn, then = self.kept[at]
        restore(self.engine, self.point(lsn=lsn), tables=tables)
        if tables is None:
            self.model["main"] = copy.deepcopy(then)
        else:
            self.model["main"].update({name: copy.deepcopy(then[name]) for name in tables})

    def merge(self, source: str, *, kind: str) -> None:
        """Bring a branch into `main`. Rows of both sides differ in other keys or columns than each other's."""
        before = copy.deepcopy(self.model["main"])
        made = merge(
            self.engine, self.engine.history.database("main"), self.point(source), rules=Rules("theirs")
        )
        assert made.kind == kind
        self.merged = int(made.lsn or 0), before
        theirs, base = self.model[source], self.kept[source][1]
        for name, table in theirs.items():
            ours = self.model["main"][name]
            for at in {*table.rows, *base[name].rows}:
                if table.rows.get(at) != base[name].rows.get(at):
                    ours.rows.pop(at, None)
                    if at in table.rows:
                        ours.rows[at] = {**ours.columns, **table.rows[at]}
        self.kept[source] = (self.engine.published, copy.deepcopy(theirs))

    def undo_merge(self) -> None:
        """Take back the last merge, right after it was made."""
        lsn, before = self.merged
        revert(self.engine, self.engine.history.database("main"), lsn, Terms())
        self.model["main"] = before

    # upkeep

    def compact(self, table: str, database: str = "main") -> None:
        info = self.engine.history.database(database)
        schema = self.engine.history.catalog_at(self.engine.head(info.id)[1]).table(table)
        compact_table(self.engine, info.id, schema)

    def reopen(self) -> None:
        self.engine.close()
        self.engine = start(self.fs)


def _write(tx: Transaction, table: str, given: list[Row], how: str) -> None:
    schema = tx.catalog.table(table)
    if how == "small":
        (small.upsert if schema.hidden_key is None else small.insert)(tx, schema, given)
        return
    rows = pa.table(
        {
            "id": pa.array([row["id"] for row in given], pa.int64()),
            "value": pa.array([row["value"] for row in given], pa.string()),
        }
    )
    match how:
        case "arrow":
            writes.upsert(tx, schema, rows)
        case "insert":
            writes.insert(tx, schema, rows)
        case "load":
            load.load(tx, schema, load.rebatch(rows))
        case _:
            raise AssertionError(how)


# ---------------------------------------------------------------- the steps


def _create(stage: Stage, *names: str, database: str = "main") -> None:
    columns = [ColumnDefinition(name="id", type=pa.int64()), ColumnDefinition(name="value", type=pa.string())]
    with stage.begin(database) as tx:
        for name in names:
            ddl.create_table(tx, name, columns, key=() if name == "loose" else ("id",))
    for name in names:
        stage.model[database][name] = ModelTable({"id": None, "value": None})


def _two_tables(stage: Stage) -> None:
    """One commit on two tables: both or none."""
    with stage.begin() as tx:
        _write(tx, "t", [{"id": 500, "value": "both"}], "small")
        _write(tx, "u", [{"id": 500, "value": "both"}], "small")
    for name in ("t", "u"):
        stage.put("main", name, {500: {"id": 500, "value": "both"}})


def _load_and_rows(stage: Stage) -> None:
    """Page files and rows of the log in one commit."""
    many = {at: {"id": at, "value": f"file{at}"} for at in range(2000, 2070)}
    few = {at: {"id": at, "value": f"log{at}"} for at in range(3)}
    with stage.begin() as tx:
        _write(tx, "t", list(many.values()), "load")
        _write(tx, "u", list(few.values()), "small")
    stage.put("main", "t", many)
    stage.put("main", "u", few)


def _add_column(stage: Stage) -> None:
    """A new column, and rows that have it, in one commit."""
    with stage.begin() as tx:
        added = ColumnDefinition(name="extra", type=pa.int32(), default=7)
        schema = ddl.add_column(tx, tx.catalog.table("t"), added)
        small.upsert(tx, schema, [{"id": 3, "extra": 8}])
    table = stage.model["main"]["t"]
    table.columns["extra"] = 7
    for row in table.rows.values():
        row["extra"] = 7
    stage.put("main", "t", {3: {"id": 3, "extra": 8}})


def _rename(stage: Stage) -> None:
    with stage.begin() as tx:
        schema = ddl.rename_column(tx, tx.catalog.table("u"), "value", "text")
        ddl.rename_table(tx, schema, "v")
    table = stage.model["main"].pop("u")
    table.columns["text"] = table.columns.pop("value")
    for row in table.rows.values():
        row["text"] = row.pop("value")
    stage.model["main"]["v"] = table


def _drop_column(stage: Stage) -> None:
    with stage.begin() as tx:
        ddl.drop_column(tx, tx.catalog.table("t"), "extra")
    table = stage.model["main"]["t"]
    del table.columns["extra"]
    for row in table.rows.values():
        del row["extra"]


def _drop_table(stage: Stage) -> None:
    with stage.begin() as tx:
        ddl.drop_table(tx, tx.catalog.table("v"))
    stage.kept["dropped"] = (stage.engine.published, {"v": stage.model["main"].pop("v")})


def _undrop_table(stage: Stage) -> None:
    with stage.begin() as tx:
        ddl.undrop_table(tx, "v")
    stage.model["main"]["v"] = stage.kept["dropped"][1]["v"]


def _truncate(stage: Stage) -> None:
    with stage.begin("dev") as tx:
        writes.truncate(tx, tx.catalog.table("u"))
    stage.model["dev"]["u"].rows.clear()


def _sync(stage: Stage) -> None:
    """Make a table equal to something else: rows come, change and go in one commit."""
    given = {at: {"id": at, "value": f"sync{at}"} for at in range(2, 90, 2)}
    rows = pa.table(
        {
            "id": pa.array(list(given), pa.int64()),
            "value": pa.array([row["value"] for row in given.values()], pa.string()),
        }
    )
    with stage.begin("dev") as tx:
        writes.sync(tx, tx.catalog.table("t"), rows)
    stage.model["dev"]["t"].rows = {}
    stage.put("dev", "t", given)


def _create_linked(stage: Stage) -> None:
    """Two tables with index runs: values of `parents` are unique, those of `children` are among them."""
    _create(stage, PARENTS, "children")
    with stage.begin() as tx:
        add_constraint(tx, tx.catalog.table(PARENTS), Unique("value"))
    with stage.begin() as tx:
        reference = ForeignKey("value", PARENTS, references=("value",))
        add_constraint(tx, tx.catalog.table("children"), reference)


Step = tuple[str, Callable[[Stage], Any]]

CHECKPOINT: Step = ("checkpoint", lambda stage: checkpoint(stage.engine))
MAINTAIN: Step = ("maintain", lambda stage: maintain(stage.engine))
REOPEN: Step = ("reopen", Stage.reopen)


def _keep(name: str) -> Step:
    return f"keep {name}", lambda stage: stage.keep(name)


def _rows(table: str, ids: Iterable[int], value: str, **how: Any) -> Step:
    return f"rows of {table}", lambda stage: stage.upsert(table, ids, value, **how)


LINKED: list[Step] = [
    ("load parents", lambda stage: stage.upsert(PARENTS, range(300, 600), "key", how="load")),
    CHECKPOINT,
    _rows("children", range(280, 560), "key", how="arrow"),
    _rows(PARENTS, range(600, 606), "key"),
    CHECKPOINT,
    MAINTAIN,
    ("delete children", lambda stage: stage.delete("children", range(20))),
    ("delete parents", lambda stage: stage.delete(PARENTS, range(20))),
    ("compact", lambda stage: stage.compact(PARENTS)),
    CHECKPOINT,
]
"""Index runs of bulk loads, flushed, merged and compacted runs come and go."""

MERGES: list[Step] = [
    ("branch to merge", lambda stage: stage.branch("feature")),
    _rows("t", range(30, 45), "feature", database="feature", how="arrow"),
    _rows("t", [7000], "feature", database="feature"),
    ("fast-forward", lambda stage: stage.merge("feature", kind="fast-forward")),
    _rows("t", range(60, 64), "ours"),
    _rows("t", range(7001, 7200), "many", database="feature", how="load"),
    ("merge", lambda stage: stage.merge("feature", kind="merge")),
    CHECKPOINT,
    ("undo the merge", Stage.undo_merge),
    _rows("t", [1, 2], "after"),
    ("drop the merged branch", lambda stage: stage.drop("feature")),
]
"""Branches that come together again, by a new era and by a commit."""

STEPS: list[Step] = [
    ("create tables", lambda stage: _create(stage, "t", "u", "loose")),
    ("create linked tables", _create_linked),
    _rows(PARENTS, range(300), "key", how="arrow"),
    _rows("children", range(280), "key", how="arrow"),
    *(_rows("t", [at], "one") for at in range(4)),
    _rows("loose", [1, 2], "row"),
    _rows("t", range(2, 60), "batch", how="arrow"),
    ("load", lambda stage: stage.upsert("t", range(1000, 1100), "load", how="load")),
    _rows("u", range(30), "u", how="arrow"),
    ("delete", lambda stage: stage.delete("t", range(10, 20))),
    _keep("early"),
    CHECKPOINT,
    ("branch", lambda stage: stage.branch("dev")),
    ("two tables", _two_tables),
    _rows("t", range(50, 120), "dev", database="dev", how="arrow"),
    ("snapshot", lambda stage: stage.snapshot("first")),
    ("add column", _add_column),
    _rows("t", range(0, 1200, 7), "wide" * 9, how="arrow"),
    _rows("t", range(5), "more"),
    _keep("late"),
    ("load and rows", _load_and_rows),
    MAINTAIN,
    ("compact", lambda stage: stage.compact("t")),
    _rows("loose", [3], "row"),
    CHECKPOINT,
    *LINKED,
    ("truncate", _truncate),
    ("restore", lambda stage: stage.restore("early")),
    _rows("t", [1, 2, 5000], "restored"),
    ("restore a table", lambda stage: stage.restore("late", ["t"])),
    _rows("t", [1, 2, 6000], "again"),
    ("snapshot of a branch", lambda stage: stage.snapshot("side", "dev")),
    ("rename", _rename),
    ("branch of the past", lambda stage: stage.branch("old", at="early")),
    (
        "load into a branch",
        lambda stage: stage.upsert("u", range(100, 180), "old", database="old", how="load"),
    ),
    ("compact a branch", lambda stage: stage.compact("t", "dev")),
    REOPEN,
    _rows("loose", [4, 5, 6, 7, 8], "row"),
    ("sync", _sync),
    ("drop table", _drop_table),
    ("drop branch", lambda stage: stage.drop("dev")),
    MAINTAIN,
    CHECKPOINT,
    ("undrop table", _undrop_table),
    ("drop column", _drop_column),
    ("drop snapshot", lambda stage: stage.drop_snapshot("first")),
    ("drop the other branch", lambda stage: stage.drop("old")),
    *MERGES,
    ("compact", lambda stage: stage.compact("t")),
    ("compact again", lambda stage: stage.compact("v")),
    CHECKPOINT,
    ("collect garbage", lambda stage: retire(stage.engine)),
    *(_rows("t", [at], "last" * 60) for at in range(12)),
    ("close", lambda stage: stage.engine.close()),
]

SHORT: list[Step] = [
    ("create tables", lambda stage: _create(stage, "t", "u")),
    _rows("t", [1], "one"),
    _rows("t", range(2, 60), "batch" * 8, how="arrow"),
    ("load", lambda stage: stage.upsert("t", range(1000, 1060), "load", how="load")),
    _keep("early"),
    ("branch", lambda stage: stage.branch("dev")),
    _rows("t", range(40, 70), "dev", database="dev", how="arrow"),
    CHECKPOINT,
    ("snapshot", lambda stage: stage.snapshot("first")),
    ("add column", _add_column),
    ("two tables", _two_tables),
    ("load and rows", _load_and_rows),
    _rows("t", range(30), "more"),
    MAINTAIN,
    ("compact", lambda stage: stage.compact("t")),
    ("restore", lambda stage: stage.restore("early")),
    CHECKPOINT,
    REOPEN,
    _rows("t", [1, 2], "late"),
    ("drop branch", lambda stage: stage.drop("dev")),
    CHECKPOINT,
    _rows("t", [3], "last"),
    ("close", lambda stage: stage.engine.close()),
]
"""The same in short, for workloads that are run once for every call of theirs."""


# ---------------------------------------------------------------- holding an engine against it


def observed(engine: Engine) -> State:
    """All rows of all tables of all databases and snapshots, read in full."""
    found = {}
    for info, lineage in engine.heads():
        found[info.name] = _tables(engine, lineage)
        for (owner, name), snapshot in engine.history.snapshots.items():
            if owner == info.id:
                found[f"{info.name}@{name}"] = _tables(engine, snapshot.lineage)
    return found


def as_of(engine: Engine, lsn: int) -> dict[str, list[Row]]:
    """The tables of `main` at an LSN."""
    return _tables(engine, resolve(engine, engine.history.database("main"), lsn=lsn).lineage)


def _tables(engine: Engine, lineage: Lineage) -> dict[str, list[Row]]:
    return {
        schema.name: sorted(
            TableReader(schema, engine.covers.resolve(engine.history, schema, lineage))
            .to_table()
            .to_pylist(),
            key=lambda row: row["id"],
        )
        for schema in engine.history.catalog_at(lineage).tables.values()
    }


def errors_of(engine: Engine) -> list[str]:
    """What `check` finds to be wrong."""
    return [f"{finding.where}: {finding.problem}" for finding in check(engine) if finding.severity == "error"]


def difference(found: State, wanted: State) -> str:
    """Where two states part, in a line or two."""
    if found.keys() != wanted.keys():
        return f"databases {sorted(found)}, expected {sorted(wanted)}"
    for database, tables in wanted.items():
        if found[database].keys() != tables.keys():
            return f"{database}: tables {sorted(found[database])}, expected {sorted(tables)}"
        for name, rows in tables.items():
            if found[database][name] != rows:
                there = [row for row in found[database][name] if row not in rows]
                missing = [row for row in rows if row not in found[database][name]]
                return f"{database}.{name}: has {there[:3]}, lacks {missing[:3]}"
    return ""


AFTERWARDS = "afterwards"


def holds_constraints(engine: Engine) -> bool:
    """Whether the rows of PARENTS keep others from having their values; True if it has none or is not there."""
    database = engine.history.database("main")
    tables = _tables(engine, engine.head(database.id)[1])
    taken = {row["value"] for row in tables.get(PARENTS, [])}
    for value in sorted(taken)[::97]:
        try:
            with engine.begin(database.id) as tx:
                _write(tx, PARENTS, [{"id": -1, "value": value}], "small")
        except ConstraintError:
            continue
        return False
    return True


def commit_afterwards(engine: Engine) -> None:
    """A commit such as no step makes."""
    columns = [ColumnDefinition(name="id", type=pa.int64()), ColumnDefinition(name="value", type=pa.string())]
    with engine.begin(engine.history.database("main").id) as tx:
        schema = ddl.create_table(tx, AFTERWARDS, columns, key=("id",))
        small.insert(tx, schema, [{"id": 1, "value": "x" * 500}])


def with_afterwards(state: State) -> State:
    return {**state, "main": {**state["main"], AFTERWARDS: [{"id": 1, "value": "x" * 500}]}}


@dataclass
class Recording:
    """A workload's log; `states` after each step, and the LSNs there. Mark n is step n, 0 the first opening."""

    log: OperationLog
    states: list[State]
    lsns: list[int]
    steps: list[str]
    places: list[int]
    """How many operations had been done when a step was acknowledged."""
    index_files: set[str] = field(default_factory=set)
    """Paths of the files of index runs that there were after a step."""

    def part(self, first: int, last: int) -> tuple[OperationLog, int]:
        """The log up to the end of step `last`, and where step `first` begins in it."""
        upto = OperationLog(self.log.files, self.log.directories, self.log.operations[: self.places[last]])
        return upto, self.places[first - 1]

    def allowed(self, marks: Sequence[Any]) -> list[State]:
        """What a disk may hold: what is acknowledged, or with the step that was under way."""
        acknowledged = max(0, len(marks) - 1)
        return self.states[acknowledged : acknowledged + 2 if marks else 1]

    def hold(self, state: CrashState, *, turn: int = 0) -> State:
        """Open a disk, see that it holds what it must and can be checked, written to, closed and opened again.

        Returns what it held. `turn` picks an acknowledged step, as of which the instance is read too, and whether
        it is closed in between or let go of as a killed process does.
        """
        engine = start(state)
        found = observed(engine)
        bound = "create linked tables" in self.steps[: len(state.marks)]
        self.compare(found, self.allowed(state.marks), state)
        assert not errors_of(engine), state.story
        assert not bound or holds_constraints(engine), state.story
        if state.marks:
            step = turn % len(state.marks)
            assert as_of(engine, self.lsns[step]) == self.states[step]["main"], f"step {step}\n{state.story}"
        commit_afterwards(engine)
        (engine.close if turn % 2 else engine.abandon)()
        engine = start(state)
        self.compare(observed(engine), [with_afterwards(found)], state)
        engine.abandon()
        return found

    def compare(self, found: State, wanted: Sequence[State], state: CrashState) -> None:
        if found not in wanted:
            under_way = self.steps[min(len(state.marks), len(self.steps) - 1)]
            parts = [difference(found, each) for each in wanted]
            raise AssertionError(f"{len(state.marks)} marks, during {under_way!r}: {parts}\n{state.story}")


def record(steps: Sequence[Step] = STEPS, *, close: bool = True) -> Recording:
    """Run the steps on a disk that remembers them."""
    with predictable_names():
        fs = RecordingFileSystem()
        stage = Stage(fs)
        recording = Recording(fs.log, [], [], ["open", *(name for name, _ in steps)], [])

        def acknowledge() -> None:
            recording.states.append(stage.state())
            recording.lsns.append(stage.engine.published)
            fs.mark(len(recording.states) - 1)
            recording.places.append(len(fs.log))
            names = stage.engine.covers.indexes.names()
            recording.index_files.update(f"{PAGES_DIR}/{name}" for name in names)

        acknowledge()
        for name, do in steps:
            do(stage)
            acknowledge()
            if name != "close":
                found = observed(stage.engine)
                assert found == recording.states[-1], f"{name}: {difference(found, recording.states[-1])}"
        if close:
            stage.engine.close()
        return recording
