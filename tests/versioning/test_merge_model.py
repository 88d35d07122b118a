"""Merging plays against a model of plain dictionaries: commits, branches, merges every way, restores of databases and
of tables alone, undone merges, dropped branches, compaction, history that expires, instances opened again.

The model knows nothing of lineages, covers and pages. A commit is a set of all commits it contains, another one of
those that its table contains, which is another one once the table was put back alone, and a dictionary of rows; the
merge bases of two commits are the largest commits that both contain.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field

import pytest

import absdb
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.expiry import expire

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")
COLUMNS = ("a", "b")
KEYS = range(6)
Row = dict[str, object]


@dataclass(eq=False)
class Commit:
    """A state, and the commits it contains, itself among them. `era` tells incarnations of databases apart."""

    number: int
    era: int
    rows: dict[int, Row]
    contains: set[int] = field(default_factory=set)
    table: set[int] = field(default_factory=set)


class Model:
    """Databases as heads of a graph of commits."""

    def __init__(self) -> None:
        self.commits: dict[int, Commit] = {}
        self.heads: dict[str, int] = {}
        self.eras: dict[str, int] = {}
        self._eras = 0

    def new_era(self, name: str) -> None:
        self._eras += 1
        self.eras[name] = self._eras

    def commit(self, name: str, rows: dict[int, Row], contains: set[int], table: set[int]) -> Commit:
        number = len(self.commits) + 1
        copied = {k: dict(v) for k, v in rows.items()}
        made = Commit(number, self.eras[name], copied, {*contains, number}, {*table, number})
        self.commits[number] = made
        self.heads[name] = number
        return made

    def head(self, name: str) -> Commit:
        return self.commits[self.heads[name]]

    def bases(self, a: Commit, b: Commit, what: str = "contains") -> list[Commit]:
        # Of each incarnation the last one: a merge that was undone is contained, and what it brought is not.
        both = getattr(a, what) & getattr(b, what)
        shared = list({self.commits[n].era: self.commits[n] for n in sorted(both)}.values())
        return [c for c in shared if not any(c.number in getattr(o, what) and o is not c for o in shared)]

    def merge(self, name: str, source: str, side: str) -> str:
        ours, theirs = self.head(name), self.head(source)
        if theirs.contains <= ours.contains and theirs.table <= ours.table:
            return "nothing"
        if self.bases(ours, theirs) == [ours] and ours.table <= theirs.table:
            self.heads[name] = theirs.number
            self.new_era(name)
            return "fast-forward"
        bases = self.bases(ours, theirs, "table")
        rows = merged([b.rows for b in bases], ours.rows, theirs.rows, side)
        self.commit(name, rows, ours.contains | theirs.contains, ours.table | theirs.table)
        return "merge"


def merged(bases: list[dict], ours: dict, theirs: dict, side: str) -> dict[int, Row]:
    """The rows after a merge in which `side` wins conflicts."""
    result = {}
    for key in {*ours, *theirs, *(k for b in bases for k in b)}:
        row = merged_row([b.get(key) for b in bases], ours.get(key), theirs.get(key), side)
        if row is not None:
            result[key] = row
    return result


def merged_row(bases: list[Row | None], ours: Row | None, theirs: Row | None, side: str) -> Row | None:
    if ours == theirs or all(theirs == base for base in bases):
        return ours
    if all(ours == base for base in bases):
        return theirs
    if ours is None or theirs is None:
        return ours if side == "ours" else theirs
    row = {}
    for column in COLUMNS:
        befores = [None if base is None else (base[column],) for base in bases]
        mine, their = (ours[column],), (theirs[column],)
        if mine == their or all(their == before for before in befores):
            row[column] = ours[column]
        elif all(mine == before for before in befores):
            row[column] = theirs[column]
        else:
            row[column] = (ours if side == "ours" else theirs)[column]
    return row


class Play:
    """One run of engine and model side by side."""

    def __init__(self, seed: int, path: str, *, alone: bool, compacts: bool) -> None:
        """`alone`: the table is also put back by itself. `compacts`: history is folded into images, too."""
        self.random = random.Random(seed)
        self.clock = absdb.ManualClock()
        self.path, self.alone, self.compacts = path, alone, compacts
        self.shop = self.open()
        self.model = Model()
        self.lsns: dict[str, list[tuple[object, int, int]]] = {}
        main = self.shop["main"]
        main.create_table("t", {"id": [0], "a": [0], "b": [0]}, key="id")
        self.model.new_era("main")
        self.model.commit("main", {0: {"a": 0, "b": 0}}, set(), set())
        self.note("main")

    def open(self) -> absdb.Instance:
        return absdb.connect(self.path, clock=self.clock, page_rows=4, run_limit=2)

    def note(self, name: str) -> None:
        self.lsns.setdefault(name, []).append(
            (self.shop[name].lsn, self.model.heads[name], self.model.eras[name])
        )

    def step(self) -> str:
        verbs = [self.change] * 6 + [self.merge] * 4
        verbs += [self.branch, self.restore, self.undo, self.checkpoint, self.drop, self.expire]
        verbs += [self.compact] * 2 * self.compacts
        verbs += [self.restore_table] * self.alone + [self.reopen] * (self.path != ":memory:")
        return self.random.choice(verbs)()

    def change(self) -> str:
        name = self.random.choice(list(self.model.heads))
        head = self.model.head(name)
        rows = {key: dict(row) for key, row in head.rows.items()}
        with self.shop[name].transaction() as tx:
            for key in self.random.sample(KEYS, self.random.randint(1, 3)):
                if key in rows and self.random.random() < 0.3:
                    del rows[key]
                    tx["t"].delete(key)
                else:
                    old = rows.get(key, {"a": 0, "b": 0})
                    rows[key] = {**old, self.random.choice(COLUMNS): self.random.choice([0, 1, 2, None])}
                    tx["t"].upsert({"id": key, **rows[key]})
        if rows != head.rows:
            self.model.commit(name, rows, head.contains, head.table)
        self.note(name)
        return f"change {name}"

    def merge(self) -> str:
        if len(self.model.heads) < 2:
            return self.branch()
        name, source = self.random.sample(list(self.model.heads), 2)
        side = self.random.choice(["ours", "theirs"])
        expected = self.model.merge(name, source, side)
        result = self.shop[name].merge(self.shop[source], on_conflict=side)
        assert result.kind == expected, f"{name} <- {source}: {result}"
        self.note(name)
        return f"merge {source} into {name}, {side}: {expected}"

    def branch(self) -> str:
        if len(self.model.heads) >= 4:
            return "no branch"
        source = self.random.choice(list(self.model.heads))
        name = f"b{len(self.model.eras)}"
        self.shop[source].branch(name)
        self.model.heads[name] = self.model.heads[source]
        self.model.new_era(name)
        self.note(name)
        return f"branch {name} of {source}"

    def restore(self) -> str:
        name = self.random.choice(list(self.model.heads))
        lsn, number, _ = self.random.choice(self.lsns[name])
        try:
            self.shop[name].restore(lsn=lsn)
        except absdb.HistoryExpiredError:  # upkeep after a compaction lets go of history, too
            return f"no restore of {name} to {lsn}, which has expired"
        self.model.heads[name] = number
        self.model.new_era(name)
        self.note(name)
        return f"restore {name} to {lsn}"

    def undo(self) -> str:
        """Undo a merge right after it was made."""
        if len(self.model.heads) < 2:
            return "no undo"
        name, source = self.random.sample(list(self.model.heads), 2)
        before = self.model.head(name)
        side = self.random.choice(["ours", "theirs"])
        kind = self.model.merge(name, source, side)
        result = self.shop[name].merge(self.shop[source], on_conflict=side)
        assert result.kind == kind
        result.undo()
        if kind == "fast-forward":
            self.model.heads[name] = before.number
            self.model.new_era(name)
        elif kind == "merge":
            undone = self.model.heads[name]
            self.model.commit(name, before.rows, {*before.contains, undone}, {*before.table, undone})
        self.note(name)
        return f"merge {source} into {name} ({kind}) and undo"

    def restore_table(self) -> str:
        name = self.random.choice(list(self.model.heads))
        lsn, number, _ = self.random.choice(self.lsns[name])
        head, old = self.model.head(name), self.model.commits[number]
        try:
            self.shop[name].restore(lsn=lsn, tables=["t"])
        except absdb.HistoryExpiredError:
            return f"no restore of the table t of {name} to {lsn}, which has expired"
        self.model.new_era(name)
        self.model.commit(name, old.rows, head.contains, old.table)
        self.note(name)
        return f"restore table t of {name} to {lsn}"

    def compact(self) -> str:
        """Fold one database's runs into an image, and merge the runs of all."""
        name = self.random.choice(list(self.model.heads))
        engine = self.shop["main"]._scope.engine
        database = engine.history.database(name)
        compact_table(engine, database.id, engine.history.catalog_at(engine.head(database.id)[1]).table("t"))
        maintain(engine)
        return f"compact {name}"

    def reopen(self) -> str:
        self.shop.close()
        self.shop = self.open()
        return "reopen"

    def checkpoint(self) -> str:
        self.shop.checkpoint()
        return "checkpoint"

    def drop(self) -> str:
        names = [name for name in self.model.heads if name != "main"]
        if not names:
            return "no drop"
        name = self.random.choice(names)
        self.shop[name].drop()
        del self.model.heads[name], self.lsns[name]
        return f"drop {name}"

    def expire(self) -> str:
        """Let go of all history that nothing holds, and of the eras that nothing runs through."""
        self.clock.advance(days=100)
        engine = self.shop["main"]._scope.engine
        self.shop.checkpoint()
        expire(engine)
        engine.dying = dict.fromkeys(engine.dying, -math.inf)
        expire(engine)
        for name, known in self.lsns.items():
            known[:] = [(self.shop[name].lsn, self.model.heads[name], self.model.eras[name])]
        return "expire"

    def check(self) -> None:
        for name, number in self.model.heads.items():
            found = {row.pop("id"): row for row in self.shop[name]["t"].to_arrow().to_pylist()}
            assert found == self.model.commits[number].rows, name


def play(seed: int, path: str, *, alone: bool = False, compacts: bool) -> None:
    """Forty steps, looking at every database after each."""
    one = Play(seed, path, alone=alone, compacts=compacts)
    done = []
    try:
        for _ in range(40):
            done.append(one.step())
            one.check()
        assert "error" not in set(one.shop.check()["severity"])
    except BaseException as error:
        error.add_note(f"seed {seed}: {' | '.join(done)}")
        raise
    finally:
        one.shop.close()


@pytest.mark.parametrize("seed", range(2000 if DEEP else 30))
def test_merges_give_what_dictionaries_give(seed):
    play(seed, ":memory:", compacts=False)


@pytest.mark.parametrize("seed", range(1000 if DEEP else 15))
def test_merges_between_compactions(seed):
    play(seed, ":memory:", compacts=True)


@pytest.mark.parametrize("seed", range(500 if DEEP else 8))
def test_merges_on_disk_that_is_opened_again(seed, tmp_path):
    play(seed, str(tmp_path / "shop"), compacts=True)


@pytest.mark.parametrize("seed", range(1000 if DEEP else 15))
def test_merges_of_a_table_that_is_put_back_alone(seed):
    play(seed, ":memory:", alone=True, compacts=bool(seed % 2))
