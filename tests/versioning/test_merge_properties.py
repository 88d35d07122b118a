"""Merges of random tables: rows and conflicts are those that plain dictionaries give, and the laws that hold for any of
them: a merge twice is a merge once, undo and revert bring back what was, rebase and fast-forward come to the same.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import math
import os
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import absdb
from absdb.errors import MergeConflictError

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")
EXAMPLES = 800 if DEEP else 60
SIDES = ("ours", "theirs", "base")
Key = tuple[Any, ...]
Row = dict[str, Any]
Rows = dict[Key, Row]
Change = tuple[Key, Row | None]
"""A key, and some of its columns, or None if the row goes."""

VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "integer": (pa.int64(), [0, 1, -(2**63), None]),
    "small": (pa.int8(), [0, 127, None]),
    "float": (pa.float64(), [0.0, -0.0, 1.5, math.nan, math.inf, None]),
    "text": (pa.string(), ["", "a", "ä" * 9, None]),
    "decimal": (pa.decimal128(9, 2), [Decimal("0.00"), Decimal("-1.10"), None]),
    "time": (pa.timestamp("us"), [dt.datetime(1970, 1, 1), dt.datetime(2026, 4, 4, 2, 0, 0, 1), None]),
    "zoned": (pa.timestamp("us", "UTC"), [dt.datetime(2026, 4, 4, tzinfo=dt.UTC), None]),
    "boolean": (pa.bool_(), [True, False, None]),
    "bytes": (pa.binary(), [b"", b"\0\xff", None]),
    "list": (pa.list_(pa.float64()), [[], [1.0], [1.0, None], [math.nan], None]),
    "struct": (
        pa.struct([("x", pa.int64()), ("y", pa.string())]),
        [{"x": 1, "y": "a"}, {"x": 1, "y": None}, {"x": None, "y": None}, None],
    ),
    "category": (pa.dictionary(pa.int32(), pa.string()), ["red", "green", None]),
}
KEYS: dict[str, tuple[dict[str, pa.DataType], list[Key]]] = {
    "integer": ({"k": pa.int64()}, [(n,) for n in (-5, 0, 1, 2**62, 7)]),
    "text": ({"k": pa.string()}, [(t,) for t in ("", "a", "a\0", "ab", "é")]),
    "composite": (
        {"k": pa.string(), "l": pa.int32()},
        [("", 0), ("a", 0), ("a", -1), ("b", 0), ("b", 2**31 - 1)],
    ),
    "time": ({"k": pa.timestamp("us")}, [(dt.datetime(2026, 1, day),) for day in range(1, 6)]),
    "none": ({}, [(n,) for n in range(5)]),
}


@dataclass(frozen=True)
class Case:
    """A table, what the base holds, and what both sides do to it in one or two commits each."""

    key: str
    kinds: dict[str, str]
    base: tuple[Change, ...]
    ours: tuple[tuple[Change, ...], ...]
    theirs: tuple[tuple[Change, ...], ...]
    sealed: bool

    @property
    def types(self) -> dict[str, pa.DataType]:
        return {name: VALUES[kind][0] for name, kind in self.kinds.items()}


@st.composite
def cases(draw: st.DrawFn, *, apart: bool = False) -> Case:
    """`apart`: the sides change other rows each."""
    key = draw(st.sampled_from(sorted(KEYS)))
    kinds = {name: draw(st.sampled_from(sorted(VALUES))) for name in "abcd"[: draw(st.integers(1, 4))]}
    keys = KEYS[key][1]
    whole = st.fixed_dictionaries({name: st.sampled_from(VALUES[kind][1]) for name, kind in kinds.items()})
    some = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(VALUES[kind][1]) for name, kind in kinds.items()}
    )
    base = draw(st.lists(st.tuples(st.sampled_from(keys), whole), max_size=5, unique_by=lambda one: one[0]))
    sides = []
    chosen = draw(st.permutations(keys)) if apart else keys
    for place in range(2):
        known = (chosen[:3], chosen[3:])[place] if apart else keys
        change = st.tuples(st.sampled_from(known), st.none() | some | whole)
        commits = st.lists(st.lists(change, min_size=1, max_size=4).map(tuple), min_size=1, max_size=2)
        sides.append(tuple(draw(commits)))
    return Case(key, kinds, tuple(base), sides[0], sides[1], draw(st.booleans()))


# ---------------------------------------------------------------- dictionaries


def applied(case: Case, rows: Rows, changes: tuple[Change, ...]) -> Rows:
    found = {key: dict(row) for key, row in rows.items()}
    for key, row in changes:
        if row is None:
            found.pop(key, None)
        else:
            found[key] = {**dict.fromkeys(case.kinds), **found.get(key, {}), **row}
    return found


def done(case: Case, rows: Rows, commits: tuple[tuple[Change, ...], ...]) -> Rows:
    for changes in commits:
        rows = applied(case, rows, changes)
    return rows


def plain(value: Any) -> Any:
    """A value that equals whatever is the same for a merge: NaN is NaN, minus zero is zero."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return tuple((name, plain(part)) for name, part in value.items())
    return tuple(map(plain, value)) if isinstance(value, list) else value


def alike(a: Row | None, b: Row | None) -> bool:
    return plain(a) == plain(b)


def merged(base: Rows, ours: Rows, theirs: Rows, decide: Any) -> tuple[Rows, dict[tuple[Any, ...], tuple]]:
    """(rows, conflicts: (kind, key, column) → (base, ours, theirs)); `decide` says which of the three wins."""
    rows: Rows = {}
    conflicts: dict[tuple[Any, ...], tuple] = {}
    for key in {**base, **ours, **theirs}:
        three = base.get(key), ours.get(key), theirs.get(key)
        before, mine, their = three
        row: Row | None = {}
        if alike(mine, their) or alike(their, before):
            row = mine
        elif alike(mine, before):
            row = their
        elif mine is None or their is None:
            conflicts["delete/modify", key, None] = three
            row = three[decide("delete/modify", key, None)]
        else:
            row = dict(mine)
            for name in mine:
                cell = None if before is None else before[name], mine[name], their[name]
                if alike(cell[1], cell[2]) or (before is not None and alike(cell[2], cell[0])):
                    continue
                if before is not None and alike(cell[1], cell[0]):
                    row[name] = cell[2]
                    continue
                kind = "add/add" if before is None else "cell"
                conflicts[kind, key, name] = cell
                row[name] = cell[decide(kind, key, name)]
        if row is not None:
            rows[key] = row
    return rows, conflicts


# ---------------------------------------------------------------- the same in a database


class Tables:
    """A case in an instance of its own: `main` has ours, `branch` theirs."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.key_types = KEYS[case.key][0] or {"n": pa.int64()}
        self.keyless = case.key == "none"
        self.shop = absdb.connect(":memory:", page_rows=8, run_limit=3)
        self.main = self.shop["main"]
        fields = [pa.field(n, kind, nullable=self.keyless) for n, kind in self.key_types.items()]
        fields += [pa.field(name, kind) for name, kind in case.types.items()]
        self.schema = pa.schema(fields)
        self.main.create_table("t", self.schema, key=None if self.keyless else list(self.key_types))
        self.commit(self.main, case.base)
        self.base = done(case, {}, (case.base,))
        self.branch = self.main.branch("branch")
        self.play(self.branch, case.theirs)
        self.play(self.main, case.ours)
        self.ours, self.theirs = done(case, self.base, case.ours), done(case, self.base, case.theirs)

    def play(self, database: absdb.Database, commits: tuple[tuple[Change, ...], ...]) -> None:
        for changes in commits:
            self.commit(database, changes)
            if self.case.sealed:
                self.shop.checkpoint()

    def commit(self, database: absdb.Database, changes: tuple[Change, ...]) -> None:
        with database.transaction() as tx:
            for key, row in changes:
                if self.keyless:
                    self.change_keyless(tx, key, row)
                elif row is None:
                    tx["t"].delete(key if len(key) > 1 else key[0])
                else:
                    there = dict(zip(self.key_types, key, strict=True))
                    if tx["t"].get(key if len(key) > 1 else key[0]) is None:
                        there.update(dict.fromkeys(self.case.kinds))
                    tx["t"].upsert(pa.Table.from_pylist([{**there, **row}], self.of({**there, **row})))

    def change_keyless(self, tx: Any, key: Key, row: Row | None) -> None:
        """Rows are told apart by `n`, which nothing holds unique; what it says stays on the row."""
        there = tx.sql("SELECT count(*) FROM t WHERE n = ?", [key[0]]).fetchall()[0][0]
        if row is None:
            tx.sql("DELETE FROM t WHERE n = ?", [key[0]])
        elif not there:
            whole = {"n": key[0], **dict.fromkeys(self.case.kinds), **row}
            tx["t"].insert(pa.Table.from_pylist([whole], self.schema))
        elif row:
            given = pa.Table.from_pylist([row], self.of(row))  # read by the statement, by its name
            names = ", ".join(f"{name} = given.{name}" for name in row)
            tx.sql(f"UPDATE t SET {names} FROM given WHERE n = {key[0]}")
            assert given.num_rows == 1

    def of(self, row: Row) -> pa.Schema:
        return pa.schema([field for field in self.schema if field.name in row])

    def rows(self, database: absdb.Database) -> Rows:
        """Rows by key; by `n`, and the place among those of one `n`, where there is none."""
        found: Rows = {}
        listed = database["t"].to_arrow().to_pylist()
        for row in sorted(listed, key=lambda row: repr(plain(row))) if self.keyless else listed:
            key = tuple(row.pop(name) for name in self.key_types)
            if self.keyless and key in found:
                key = next((*key, n) for n in range(9) if (*key, n) not in found)
            assert key not in found
            found[key] = row
        return found

    def key_of(self, shown: Any) -> Key:
        return shown if isinstance(shown, tuple) else (shown,)

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, *error: object) -> None:
        self.shop.close()


def check_same(found: Rows, expected: Rows) -> None:
    assert {key: plain(row) for key, row in found.items()} == {k: plain(r) for k, r in expected.items()}


def found_conflicts(tables: Tables, frame: Any) -> dict[tuple[Any, ...], tuple]:
    return {
        (row.kind, tables.key_of(row.key), row.column_name): (row.base_value, row.our_value, row.their_value)
        for row in frame.itertuples()
    }


@settings(max_examples=EXAMPLES)
@given(cases(), st.randoms(use_true_random=False))
def test_rows_and_conflicts_are_those_that_dictionaries_give(case, chance):
    assume(case.key != "none")
    with Tables(case) as tables:
        base, ours, theirs = tables.base, tables.ours, tables.theirs
        check_same(tables.rows(tables.main), ours)
        check_same(tables.rows(tables.branch), theirs)
        expected, conflicts = merged(base, ours, theirs, lambda *what: 1)
        told = tables.main.merge(tables.branch, dry_run=True)
        assert plain_conflicts(found_conflicts(tables, told.conflicts)) == plain_conflicts(conflicts)
        if conflicts:
            with pytest.raises(MergeConflictError) as error:
                tables.main.merge(tables.branch)
            frame = error.value.conflicts
            assert plain_conflicts(found_conflicts(tables, frame)) == plain_conflicts(conflicts)
            check_same(tables.rows(tables.main), ours)
            sides = [chance.choice(SIDES) for _ in range(len(frame))]
            decided = {
                (row.kind, tables.key_of(row.key), row.column_name): ("base", "ours", "theirs").index(side)
                for row, side in zip(frame.itertuples(), sides, strict=True)
            }
            expected, _ = merged(base, ours, theirs, lambda *what: decided[what])
            for side, place in (("ours", 1), ("theirs", 2)):
                beside = tables.main.branch(side)
                beside.merge(tables.branch, on_conflict=side)
                check_same(tables.rows(beside), merged(base, ours, theirs, lambda *what, p=place: p)[0])
            frame["resolution"] = sides
            tables.main.merge(tables.branch, resolutions=frame)
        else:
            result = tables.main.merge(tables.branch)
            assert result.kind == told.kind
            assert result.summary().equals(told.summary())
        check_same(tables.rows(tables.main), expected)
        assert tables.main.merge(tables.branch).kind == "nothing"
        back = tables.branch.merge(tables.main, on_conflict="fail")
        assert back.kind in ("fast-forward", "nothing")
        check_same(tables.rows(tables.branch), expected)


def plain_conflicts(conflicts: dict[tuple[Any, ...], tuple]) -> dict[tuple[Any, ...], Any]:
    return {what: tuple(map(plain, values)) for what, values in conflicts.items()}


def identified(rows: Rows, commits: tuple[tuple[Change, ...], ...], case: Case, side: str) -> Rows:
    """Rows of a table without a key by an identity of their own: one that was deleted and put back is another."""
    found = {identity: dict(row) for identity, row in rows.items()}
    count = 0
    for key, row in (change for changes in commits for change in changes):
        there = next((identity for identity, old in found.items() if old["n"] == key[0]), None)
        if row is None:
            found.pop(there, None)
        elif there is None:
            count += 1
            found[side, count] = {"n": key[0], **dict.fromkeys(case.kinds), **row}
        else:
            found[there].update(row)
    return found


def counted(values: Any) -> list[str]:
    return sorted(map(repr, values))


@settings(max_examples=EXAMPLES // 2)
@given(cases(), st.sampled_from(["ours", "theirs"]))
def test_rows_without_a_key_merge_by_identity(case, side):
    case = dataclasses.replace(
        case, key="none", base=tuple(((n,), row) for n, (_, row) in enumerate(case.base))
    )
    case = dataclasses.replace(case, ours=numbered(case.ours), theirs=numbered(case.theirs))
    with Tables(case) as tables:
        base = identified({}, (case.base,), case, "base")
        ours = identified(base, case.ours, case, "ours")
        theirs = identified(base, case.theirs, case, "theirs")
        place = 1 if side == "ours" else 2
        expected, conflicts = merged(base, ours, theirs, lambda *what: place)
        told = found_conflicts(tables, tables.main.merge(tables.branch, dry_run=True).conflicts)
        assert counted(
            (kind, column, *map(plain_row, values)) for (kind, _, column), values in told.items()
        ) == (
            counted(
                (kind, column, *map(plain_row, values)) for (kind, _, column), values in conflicts.items()
            )
        )
        tables.main.merge(tables.branch, on_conflict=side)
        found = tables.main["t"].to_arrow().to_pylist()
        assert counted(map(plain, found)) == counted(map(plain, expected.values()))


def numbered(commits: tuple[tuple[Change, ...], ...]) -> tuple[tuple[Change, ...], ...]:
    """The same changes of rows that are known by a number."""
    order = sorted({key for values in KEYS.values() for key in values[1]}, key=repr)
    return tuple(tuple(((order.index(key) % 5,), row) for key, row in changes) for changes in commits)


def plain_row(value: Any) -> Any:
    """A value, or a row, whatever the order of its columns."""
    return plain(dict(sorted(value.items()))) if isinstance(value, dict) else plain(value)


@settings(max_examples=EXAMPLES // 2)
@given(cases(apart=True))
def test_changes_of_other_rows_come_to_the_same_in_any_order(case):
    with Tables(case) as tables:
        expected = done(case, tables.base, case.ours + case.theirs)
        check_same(done(case, tables.base, case.theirs + case.ours), expected)
        copy = tables.main.branch("copy")
        tables.main.merge(tables.branch)
        tables.branch.merge(copy)
        check_same(tables.rows(tables.main), expected)
        check_same(tables.rows(tables.branch), expected)
        assert tables.main.diff(tables.branch).summary().empty


@settings(max_examples=EXAMPLES // 2)
@given(cases(), st.sampled_from(["ours", "theirs"]), st.booleans())
def test_undo_and_revert_bring_back_what_was(case, side, sealed):
    with Tables(case) as tables:
        main, branch = tables.main, tables.branch
        before = tables.rows(main)
        merged_in = main.merge(branch, on_conflict=side)
        after = tables.rows(main)
        if sealed:
            tables.shop.checkpoint()
        merged_in.undo()
        check_same(tables.rows(main), before)
        main.merge(branch, on_conflict=side)
        check_same(tables.rows(main), after)
        stood = main.lineage
        tables.commit(main, case.base[:2] + case.theirs[0])
        if main.lineage != stood:
            main.revert(lsn=main.log(limit=1)["lsn"][0])
            check_same(tables.rows(main), after)


@settings(max_examples=EXAMPLES // 2)
@given(cases())
def test_rebase_and_fast_forward_come_to_what_a_merge_comes_to(case):
    with Tables(case) as tables:
        main, branch = tables.main, tables.branch
        merged_in = main.branch("merged")
        try:
            merged_in.merge(branch)
        except MergeConflictError:
            assume(False)
        before = tables.rows(branch)
        try:
            branch.rebase()
        except MergeConflictError:
            # Commits in between may be in conflict where the last state is not; the branch is as it was then.
            check_same(tables.rows(branch), before)
            return
        if not changed_twice(case):
            check_same(tables.rows(branch), tables.rows(merged_in))
        after = tables.rows(branch)
        assert main.merge(branch).kind in ("fast-forward", "nothing")
        check_same(tables.rows(main), after)


def changed_twice(case: Case) -> set[Key]:
    """Rows which several commits of the branch changed, and ours too: a replay goes through what stood in between.

    Added alike on both sides and then removed again by the branch alone, a row is no change of the branch to
    a merge, which compares the ends, and a removal to a rebase, which replays the last commit.
    """
    commits = [{key for key, _ in changes} for changes in case.theirs]
    ours = {key for changes in case.ours for key, _ in changes}
    return {key for a, b in itertools.combinations(commits, 2) for key in a & b & ours}
