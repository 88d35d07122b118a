"""`absdb demo`: the main job from beginning to end, on every flight that left New York City in 2013.

    load five tables → snapshot → branch, change it, diff it → a mistake on main, wound back
    → a fix merged with what main changed in the same rows, and taken back → close, reopen

Each step is one function that does its work in Python just as a notebook would, and says what came of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from absdb.cli.command import Call, Verb, When
from absdb.cli.log import short_entry
from absdb.cli.output import Facts, Listing, Output, Rows, items
from absdb.cli.session import Session, is_instance, opened
from absdb.cli.text import milliseconds
from absdb.clock import format_time, parse_time
from absdb.errors import AlreadyExistsError, NotFoundError, StateError
from absdb.ids import Lsn
from absdb.instance import connect
from absdb.io.row_files import Source, reading
from absdb.paths import PAGES_DIR
from absdb.reprs import counted
from absdb.sizes import size
from absdb.versioning.diff import Diff
from absdb.versioning.log import log
from absdb.versioning.row_read import table_history

DATA = Path(__file__).resolve().parents[2] / "data"
KEYS = {
    "airlines": ["carrier"],
    "airports": ["faa"],
    "planes": ["tailnum"],
    "weather": ["origin", "time_hour"],
    "flights": ["time_hour", "carrier", "flight"],
}
KEY = KEYS["flights"]
CARRIER, MINUTES = "UA", 5
MONTH = 7
WIDTH = 96


@dataclass(slots=True)
class Story:
    """What is being told: the open instance, how to print, and what the steps said so far."""

    session: Session
    output: Output
    data: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    before_mistake: Lsn = field(default_factory=lambda: Lsn(0))

    @contextmanager
    def step(self, title: str) -> Iterator[dict[str, Any]]:
        """Time a step. It fills in facts; those called `text` and `table` are for people."""
        facts: dict[str, Any] = {}
        started = time.perf_counter()
        yield facts
        took = (time.perf_counter() - started) * 1000
        text, table = facts.pop("text", ""), facts.pop("table", None)
        self.steps.append({"step": title, "ms": round(took, 3), **facts})
        head = f"{len(self.steps):2}. {title}"
        self.output.line()
        self.output.line(f"{head} {milliseconds(took):>{max(1, WIDTH - 1 - len(head))}}", bold=True)
        if text:
            self.output.line(f"    {text}")
        if table is not None and not (self.output.as_json or self.output.quiet):
            self.output.show(table)

    def summary(self, target: str, since: When | None = None) -> list[dict[str, Any]]:
        """What a database has that main has not, or had not at a point."""
        source, now = self.session.point("main", since), self.session.point(target)
        return items(Diff(self.session.engine, source=source, target=now).summary())


@click.command("demo", cls=Verb, examples=["absdb demo", "absdb demo --keep flights", "absdb demo --json"])
@click.option("--keep", metavar="DIR", help="Make the instance in DIR, and leave it there.")
@click.option(
    "--data", metavar="DIR", help="Where the five Parquet files are. [default: the repository's data/]"
)
@click.pass_obj
def command(call: Call, keep: str | None, data: str | None) -> None:
    """Tell the whole story once, on every flight that left New York City in 2013.

    Loads five tables, makes a snapshot and a branch, changes many rows, shows the difference, winds a mistake
    back, merges a fix and takes it back, closes and reopens. Works in a temporary directory unless --keep says where.
    """
    source = Path(data) if data else DATA
    missing = [name for name in KEYS if not (source / f"{name}.parquet").is_file()]
    if missing:
        raise NotFoundError(
            f"the demo's data is not there: {source} lacks {', '.join(f'{name}.parquet' for name in missing)}",
            hint="it comes with the repository, in data/; --data DIR says where it is",
        )
    if keep and is_instance(keep):
        raise AlreadyExistsError(f"{keep} is an absdb instance already", hint="choose another directory")
    started = time.perf_counter()
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="absdb-demo-") as place:
        call.instance = str(place)
        steps = _tell(call, source)
    took = (time.perf_counter() - started) * 1000
    output = call.output
    if call.as_json:
        output.show(Facts({"instance": keep, "ms": round(took, 3), "steps": steps}))
    _farewell(output, keep, took)


def _tell(call: Call, data: Path) -> list[dict[str, Any]]:
    """The whole story, in an instance that is made for it; what each step said."""
    output = call.output
    place = str(call.instance)
    connect(place).close()
    # pyarrow imports pandas when it makes its first array: half a second that no step should be charged for.
    pa.array([0])
    output.line(f"absdb demo: every flight that left New York City in 2013, in {place}", bold=True)
    with ExitStack() as stack:
        session = stack.enter_context(opened(call, write=True, author="demo"))
        story = Story(session, output, data)
        for tell in (
            _load,
            _snapshot,
            _branch,
            *_CHANGES,
            _differences,
            _untouched,
            _mistake,
            _restore,
            _both,
            _merge,
            _log,
        ):
            tell(story)
        _reopen(call, story, stack)
        _history(story)
    return story.steps


def _load(story: Story) -> None:
    main = story.session.database("main")
    loaded: list[Mapping[str, Any]] = []
    expected = sum(pq.read_metadata(story.data / f"{name}.parquet").num_rows for name in KEYS)
    with story.step("Load five tables into main, straight from Parquet files") as said:
        for name, key in KEYS.items():
            path = story.data / f"{name}.parquet"
            started = time.perf_counter()
            with reading(Source(str(path), "parquet")) as (rows, _):
                table = main.create_table(name, rows, key=key, message=f"load {name}")
            took = round((time.perf_counter() - started) * 1000, 3)
            facts = {
                "table": name,
                "rows": table.count(),
                "columns": len(table.schema),
                "key": ", ".join(key),
            }
            loaded.append({**facts, "parquet_bytes": path.stat().st_size, "load_ms": took})
        total = sum(row["rows"] for row in loaded)
        if total != expected:
            raise StateError(f"the files have {expected:,} rows, and {total:,} were loaded")
        said.update(tables=loaded, table=Listing(loaded))
        said["text"] = f"{total:,} rows; each load is one durable commit"


def _snapshot(story: Story) -> None:
    with story.step("Name this state: a snapshot") as said:
        lsn = story.session.database("main").snapshot("loaded", comment="as the files had it")
        said.update(snapshot="loaded", lsn=lsn, text=f"loaded = main @ {lsn}")


def _branch(story: Story) -> None:
    with story.step("Branch main into staging: nothing is copied") as said:
        made = story.session.database("main").branch("staging")
        said.update(
            branch="staging", text=f"staging starts with {counted(len(list(made)), 'table')}, all shared"
        )


def _correct(story: Story) -> None:
    flights = story.session.database("staging")["flights"]
    with story.step(f"On staging: take {MINUTES} minutes off the delays of {CARRIER}") as said:
        found = flights.to_arrow([*KEY, "arr_delay"])
        found = found.filter(pc.and_(pc.equal(found["carrier"], CARRIER), pc.is_valid(found["arr_delay"])))
        delay = pc.subtract(found["arr_delay"], MINUTES)
        changed = flights.update(
            found.set_column(len(KEY), "arr_delay", delay), message=f"correct delays of {CARRIER}"
        )
        said.update(rows=changed, text=f"{changed:,} rows changed in one commit")


def _cancelled(story: Story) -> None:
    flights = story.session.database("staging")["flights"]
    with story.step("On staging: remove the flights that never left") as said:
        found = flights.to_arrow([*KEY, "dep_time"])
        gone = flights.delete(
            found.filter(pc.is_null(found["dep_time"])).select(KEY), message="remove cancelled flights"
        )
        said.update(rows=gone, text=f"{gone:,} rows removed")


def _column(story: Story) -> None:
    flights = story.session.database("staging")["flights"]
    with story.step("On staging: add a column; no row is rewritten") as said:
        flights.add_column("checked", "bool", default=False, message="add column checked")
        said.update(column="checked", text=f"flights has {len(flights.schema)} columns there now")


_CHANGES: tuple[Callable[[Story], None], ...] = (_correct, _cancelled, _column)


def _differences(story: Story) -> None:
    with story.step("Diff: what staging has that main has not") as said:
        summary = story.summary("staging")
        said.update(summary=summary, table=Listing(summary))


def _untouched(story: Story) -> None:
    with story.step("Is main still what it was?") as said:
        changes = story.summary("main", When(snapshot="loaded"))
        rows = story.session.database("main")["flights"].count()
        if changes:
            raise StateError(f"main has changed: {changes}")
        said.update(rows=rows, text=f"yes: no difference to the snapshot, {rows:,} flights")


def _mistake(story: Story) -> None:
    main = story.session.database("main")
    story.before_mistake = main.lsn
    with story.step("A mistake on main: July is deleted") as said:
        found = main["flights"].to_arrow([*KEY, "month"])
        july = found.filter(pc.equal(found["month"], MONTH)).select(KEY)
        gone = main["flights"].delete(july, message="clean up (oops)")
        left = main["flights"].count()
        said.update(rows=gone, text=f"{gone:,} flights gone, {left:,} left; already durable")


def _restore(story: Story) -> None:
    main = story.session.database("main")
    with story.step("Wind main back to before it") as said:
        lsn = main.restore(lsn=story.before_mistake, message="undo the clean-up")
        rows = main["flights"].count()
        said.update(to_lsn=story.before_mistake, lsn=lsn, rows=rows)
        said["text"] = f"main is what it was at {story.before_mistake}: {rows:,} flights; no row was moved"


def _both(story: Story) -> None:
    """A branch and main change other columns of the same flights."""
    main = story.session.database("main")
    with story.step(f"A fix on a branch, while main changes the same flights of {CARRIER}") as said:
        fix = main.branch("fix")
        found = main["flights"].to_arrow([*KEY, "day", "month", "dep_delay", "air_time"])
        first = pc.and_(pc.equal(found["month"], 1), pc.equal(found["day"], 1))
        found = found.filter(pc.and_(first, pc.equal(found["carrier"], CARRIER))).drop_null()
        for database, column in ((fix, "dep_delay"), (main, "air_time")):
            less = pc.subtract(found[column], MINUTES)
            rows = found.select(KEY).append_column(column, less)
            database["flights"].update(rows, message=f"correct {column} of {CARRIER}")
        said.update(rows=found.num_rows, text=f"{found.num_rows} flights: dep_delay on fix, air_time on main")


def _merge(story: Story) -> None:
    main = story.session.database("main")
    with story.step("Merge fix into main: cell by cell, both changes stay; then take it back") as said:
        before = main.lsn
        merged = main.merge(story.session.database("fix"))
        names = ("table_name", "operation", "row_count")
        summary = [dict(zip(names, row, strict=True)) for row in merged.merged.summary]
        undone = merged.undo()
        if changes := story.summary("main", When(lsn=str(before))):
            raise StateError(f"main is not what it was before the merge: {changes}")
        said.update(summary=summary, lsn=merged.lsn, undone_lsn=undone.lsn, table=Listing(summary))
        said["text"] = (
            f"merged at {merged.lsn}; undone at {undone.lsn}, and what main had changed is still there"
        )


def _log(story: Story) -> None:
    with story.step("The log of main, newest first") as said:
        entries = items(log(story.session.engine, story.session.point("main"), limit=6))
        said.update(log=entries, table=Listing(entries, short=short_entry))


def _reopen(call: Call, story: Story, stack: ExitStack) -> None:
    """Everything is still there after closing; the rest of the story is read from the disk."""
    flights = story.session.database("main")["flights"].count()
    with story.step("Close, and open again") as said:
        started = time.perf_counter()
        stack.close()
        closed = time.perf_counter()
        story.session = stack.enter_context(opened(call))
        open_again = time.perf_counter()
        main, fs = story.session.database("main"), story.session.engine.fs
        there = main["flights"].count()
        if there != flights:
            raise StateError(f"{flights} flights were there before closing, {there} after it")
        pages = sum(fs.size(f"{PAGES_DIR}/{name}") for name in fs.list(PAGES_DIR))
        close_ms, open_ms = (closed - started) * 1000, (open_again - closed) * 1000
        said.update(close_ms=round(close_ms, 3), open_ms=round(open_ms, 3), rows=there, page_bytes=pages)
        said["text"] = (
            f"closed in {milliseconds(close_ms)}, opened in {milliseconds(open_ms)}: all {there:,} flights are "
            f"there, {counted(len(list(story.session.instance)), 'database')} in {size(pages)}"
        )


def _history(story: Story) -> None:
    """One row of staging, with everything that ever happened to it."""
    scope = story.session.scope("staging")
    schema = scope.catalog().table("flights")
    with story.step("The history of one flight on staging") as said:
        row = scope.reader(schema).to_table([*KEY, "arr_delay"])
        row = row.filter(pc.and_(pc.equal(row["carrier"], CARRIER), pc.is_valid(row["arr_delay"]))).slice(
            0, 1
        )
        key = tuple(row[name][0].as_py() for name in KEY)
        versions = table_history(scope.engine, scope.point(), schema, key)
        shown = items(versions.select(["lsn", "time", "operation", "message", "arr_delay"]))
        said.update(key=key, versions=shown, table=Rows(shown))
        said["text"] = f"{CARRIER} {key[-1]}, scheduled for the hour of {format_time(parse_time(key[0]))}"


def _farewell(output: Output, keep: str | None, took: float) -> None:
    place = keep or "flights"
    output.line()
    output.line(f"The whole story took {took / 1000:.1f} s.", bold=True)
    lines = [] if keep else [f"absdb demo --keep {place}", ""]
    lines += [
        f"absdb -i {place} tables list",
        f"absdb -i {place} diff --stat main staging",
        f"absdb -i {place} merge fix --dry-run",
        f"absdb -i {place} log -d staging",
        f"absdb -i {place} at --snapshot loaded flights --limit 5",
        "",
        "in a notebook:",
        "    import absdb",
        f'    main = absdb.connect("{place}")["main"]',
        '    main["flights"].to_pandas()',
    ]
    output.line("Try next:")
    for line in lines:
        output.line(f"    {line}" if line else "")
