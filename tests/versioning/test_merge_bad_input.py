"""What merges refuse and how they say it: resolutions, choices, policies and checks that make no sense; and what looks
odd and is fine. Nothing is changed by any of it.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import absdb
from absdb.errors import (
    DataCheckError,
    InvalidInputError,
    MergeConflictError,
    NotFoundError,
    StateError,
)
from absdb.versioning.scope import HeadScope

OURS = [{"id": 1, "a": 11, "s": "x"}, {"id": 2, "a": 2, "s": "ours"}, {"id": 3, "a": 33, "s": "z"}]
THEIRS = [{"id": 1, "a": 10, "s": "x"}, {"id": 2, "a": 2, "s": "theirs"}]


@pytest.fixture
def main():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", {"id": [1, 2, 3], "a": [1, 2, 3], "s": ["x", "y", "z"]}, key="id")
        branch = main.branch("branch")
        branch["t"].update([{"id": 1, "a": 10}, {"id": 2, "s": "theirs"}])
        branch["t"].delete(3)
        main["t"].update([{"id": 1, "a": 11}, {"id": 2, "s": "ours"}, {"id": 3, "a": 33}])
        yield main


def other(main: absdb.Database) -> absdb.Database:
    """The branch of the instance of `main`."""
    engine = main._engine
    return absdb.Database(HeadScope(engine, engine.history.database("branch")))


def rows(main: absdb.Database) -> list[dict]:
    return main["t"].to_arrow().to_pylist()


def conflicts(main: absdb.Database) -> pd.DataFrame:
    return main.merge(other(main), dry_run=True).conflicts


BAD = {
    "a word that is no side": lambda c: c.assign(resolution="mine"),
    "capitals": lambda c: c.assign(resolution="OURS"),
    "a number": lambda c: c.assign(resolution=3),
    "no key column": lambda c: c.assign(resolution="ours").drop(columns="key"),
    "keys of another type": lambda c: c.assign(resolution="ours", key=[dt.date(2020, 1, 1)] * 3),
    "keys that are no numbers": lambda c: c.assign(resolution="ours", key="abc"),
    "keys too large": lambda c: c.assign(resolution="ours", key=2**80),
    "no keys": lambda c: c.assign(resolution="ours", key=None),
    "keys of too many columns": lambda c: c.assign(resolution="ours", key=[(1, 2)] * 3),
    "keys of no column": lambda c: c.assign(resolution="ours", key=[()] * 3),
    "a table that is a number": lambda c: c.assign(resolution="ours", table_name=5),
    "a value for a whole row": lambda c: c.assign(resolution="value", resolved_value=1),
    "a value that does not fit": lambda c: c.iloc[:1].assign(resolution="value", resolved_value="abc"),
    "two minds": lambda c: pd.concat([c.assign(resolution="ours"), c.assign(resolution="theirs")]),
    "two values": lambda c: pd.concat(
        [c.iloc[:1].assign(resolution="value", resolved_value=v) for v in (5, 6)]
    ),
    "columns of several lengths": lambda c: {**c.assign(resolution="ours").to_dict("list"), "key": [1]},
    "rows": lambda c: c.assign(resolution="ours").to_dict("records"),
    "a text": lambda c: "ours",
    "a number instead of a frame": lambda c: 5,
    "an empty frame": lambda c: pd.DataFrame(),
}


@pytest.mark.parametrize("what", BAD)
def test_resolutions_that_make_no_sense_are_refused(main, what):
    given = BAD[what](conflicts(main))
    with pytest.raises(InvalidInputError):
        main.merge(other(main), resolutions=given)
    assert rows(main) == OURS


OPEN = {
    "None": None,
    "NaN": np.nan,
    "NaT": pd.NaT,
    "NA": pd.NA,
    "an empty text": "",
}


@pytest.mark.parametrize("what", OPEN)
def test_a_resolution_that_is_not_filled_in_leaves_the_conflict(main, what):
    given = conflicts(main).assign(resolution=OPEN[what])
    with pytest.raises(MergeConflictError, match="3 conflicts"):
        main.merge(other(main), resolutions=given)
    given["resolution"] = pd.Series(["theirs", OPEN[what], OPEN[what]], dtype=object)
    with pytest.raises(MergeConflictError, match="2 conflicts"):
        main.merge(other(main), resolutions=given)
    assert rows(main) == OURS


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    texts = frame.map(lambda value: None if value is None else str(value))
    return pa.Table.from_pandas(texts, preserve_index=False)


GOOD = {
    "pandas": lambda c: c,
    "a dict of columns": lambda c: c.to_dict("list"),
    "Arrow, all of it text": as_arrow,
    "an Arrow stream": lambda c: as_arrow(c).to_reader(),
    "in parts": lambda c: [c.iloc[:1], c.iloc[1:]],
    "twice the same": lambda c: [c, c],
    "keys as lists": lambda c: c.assign(key=[[1], [2], [3]]),
    "keys as arrays": lambda c: c.assign(key=[np.array([n]) for n in (1, 2, 3)]),
    "without the values": lambda c: c.drop(
        columns=["base_value", "our_value", "their_value", "resolved_value"]
    ),
    "beside what is in no conflict": lambda c: pd.concat([c, c.assign(table_name="absent")]),
}


@pytest.mark.parametrize("what", GOOD)
def test_resolutions_come_in_many_shapes(main, what):
    main.merge(other(main), resolutions=GOOD[what](conflicts(main).assign(resolution="theirs")))
    assert rows(main) == THEIRS


def test_a_row_may_be_decided_as_a_whole_and_a_cell_of_it_otherwise(main):
    given = pd.DataFrame(
        {
            "table_name": "t",
            "kind": "cell",
            "key": [1, 2, 3, 2],
            "column_name": [None, None, None, "s"],
            "resolution": ["theirs", "ours", "base", "value"],
            "resolved_value": [None, None, None, "both"],
        }
    )
    main.merge(other(main), resolutions=given)
    assert rows(main) == [
        {"id": 1, "a": 10, "s": "x"},
        {"id": 2, "a": 2, "s": "both"},
        {"id": 3, "a": 3, "s": "z"},
    ]


@pytest.mark.parametrize("choice", ["nope", "OURS", None, 5, ["ours"], {"t": "nope"}, {"t": ["ours"]}])
def test_choices_that_are_none_are_refused(main, choice):
    with pytest.raises(InvalidInputError, match="on_conflict"):
        main.merge(other(main), on_conflict=choice)


def test_a_choice_for_a_table_that_is_nowhere_is_refused(main):
    with pytest.raises(NotFoundError, match="'absent'"):
        main.merge(other(main), on_conflict={"absent": "strict"})
    assert rows(main) == OURS


def test_choices_and_conflicts_speak_of_a_table_by_its_name_on_our_side(main):
    other(main).sql("ALTER TABLE t RENAME TO renamed")
    found = conflicts(main)
    assert set(found["table_name"]) == {"t"}
    main.merge(other(main), on_conflict={"t": "theirs"})
    assert main["renamed"].to_arrow().to_pylist() == THEIRS


def test_resolutions_of_a_table_without_a_key_go_by_row_id():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2)")
        theirs = main.branch("theirs")
        theirs.sql("UPDATE t SET n = n + 10")
        main.sql("UPDATE t SET n = n + 100")
        found = main.merge(theirs, dry_run=True).conflicts
        found["resolution"] = ["theirs", "ours"]
        with pytest.raises(InvalidInputError, match="row ids"):
            main.merge(theirs, resolutions=found.assign(key="abc"))
        main.merge(theirs, resolutions=found.assign(key=found["key"].astype(str)))
        assert sorted(main.sql("FROM t").fetchall()) == [(11,), (102,)]


# ---------------------------------------------------------------- who with whom


def test_a_source_must_be_a_database_of_the_instance(main):
    with absdb.connect(":memory:") as elsewhere:
        for source in (elsewhere["main"], None, "branch", main["t"]):
            with pytest.raises(InvalidInputError, match="is not a database of this instance"):
                main.merge(source)


def test_a_database_merged_into_itself_is_nothing_new(main):
    assert main.merge(main).kind == "nothing"
    assert main.merge(main.at(lsn=main.lsn)).kind == "nothing"


def test_states_of_the_past_take_nothing(main):
    past = other(main).at(lsn=other(main).lsn)
    for verb in (
        lambda: past.merge(main),
        lambda: past.revert(lsn=main.lsn),
        lambda: past.cherry_pick(main, lsn=main.lsn),
        past.rebase,
        lambda: past.rehearse("SELECT 1"),
        lambda: past.add_check("c", "SELECT true"),
    ):
        with pytest.raises(StateError, match="does not change"):
            verb()


def test_dropped_databases_neither_give_nor_take(main):
    branch = other(main)
    branch.drop()
    for verb in (lambda: main.merge(branch), lambda: branch.merge(main), lambda: branch.rebase(main)):
        with pytest.raises(StateError, match="was dropped"):
            verb()


def test_a_read_only_instance_merges_nothing(tmp_path):
    with absdb.connect(tmp_path / "shop") as shop:
        shop["main"].create_table("t", {"id": [1]}, key="id")
        shop["main"].branch("branch")["t"].insert({"id": 2})
    with absdb.connect(tmp_path / "shop", read_only=True) as shop:
        main, branch = shop["main"], shop["branch"]
        for verb in (
            lambda: main.merge(branch),
            lambda: main.sql("MERGE DATABASE branch INTO main"),
            branch.rebase,
            lambda: main.rehearse("SELECT 1"),
        ):
            with pytest.raises(StateError, match="reading only"):
                verb()


def test_a_protected_database_is_not_rebased_or_cherry_picked_into(main):
    branch = other(main)
    branch.protect()
    for verb in (
        lambda: branch.rebase(on_conflict="ours"),
        lambda: branch.cherry_pick(main, lsn=main.log(limit=1)["lsn"][0], on_conflict="ours"),
        lambda: branch["t"].set_merge_policy(a="sum"),
    ):
        with pytest.raises(StateError, match="merges only"):
            verb()


# ---------------------------------------------------------------- policies


def merged_value(kind: pa.DataType, values: tuple, policy: str) -> object:
    """What comes of (base, ours, theirs) in a column of a type under a policy."""
    base, ours, theirs = values
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        fields = [pa.field("id", pa.int64(), nullable=False), pa.field("a", kind)]
        main.create_table("t", pa.schema(fields), key="id")
        main["t"].insert({"id": 1, "a": base})
        main["t"].set_merge_policy(a=policy)
        branch = main.branch("branch")
        main["t"].update({"id": 1, "a": ours})
        branch["t"].update({"id": 1, "a": theirs})
        main.merge(branch)
        return main["t"].get(1)["a"]


SUMS = [
    ("two terms pass the limit, the total does not", pa.int8(), (100, 120, 10), 30),
    ("below zero in between", pa.uint8(), (100, 50, 120), 70),
    ("to the limit", pa.int64(), (0, 2**63 - 2, 1), 2**63 - 1),
    ("both alike", pa.int64(), (1, 5, 5), 9),
    ("no base", pa.int64(), (None, 5, 7), 12),
    ("money", pa.decimal128(5, 2), (Decimal("1.00"), Decimal("5.50"), Decimal("7.00")), Decimal("11.50")),
    ("large money", pa.decimal128(38, 2), (Decimal(1), Decimal(5), Decimal(7)), Decimal("11.00")),
    ("floats", pa.float64(), (1.0, 2.5, 3.0), 4.5),
]


@pytest.mark.parametrize(("says", "kind", "values", "expected"), SUMS, ids=[row[0] for row in SUMS])
def test_sums_are_exact(says, kind, values, expected):
    assert merged_value(kind, values, "sum") == expected


TOO_LARGE = [
    (pa.int8(), (100, 120, 121)),
    (pa.uint8(), (100, 0, 0)),
    (pa.int64(), (0, 2**62, 2**62)),
    (pa.decimal128(5, 2), (Decimal(1), Decimal(999), Decimal(998))),
    (pa.int64(), (1, None, 5)),
]


@pytest.mark.parametrize(("kind", "values"), TOO_LARGE)
def test_a_sum_that_is_no_value_of_the_column_stays_a_conflict(kind, values):
    with pytest.raises(MergeConflictError, match="1 conflict"):
        merged_value(kind, values, "sum")


UTC = dt.UTC
ORDERED = [
    (pa.bool_(), (None, False, True)),
    (pa.timestamp("us", "UTC"), tuple(dt.datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3))),
    (pa.timestamp("ns"), tuple(pd.Timestamp(2020, 1, day) for day in (1, 2, 3))),
    (pa.date32(), tuple(dt.date(2020, 1, day) for day in (1, 2, 3))),
    (pa.time64("us"), (dt.time(1), dt.time(2), dt.time(3))),
    (pa.duration("us"), (dt.timedelta(1), dt.timedelta(2), dt.timedelta(3))),
    (pa.string(), ("a", "b", "c")),
    (pa.dictionary(pa.int32(), pa.string()), ("a", "b", "c")),
    (pa.binary(), (b"a", b"b", b"c")),
    (pa.decimal128(5, 2), (Decimal(1), Decimal(2), Decimal(3))),
    (pa.int64(), (1, None, 3)),
]


@pytest.mark.parametrize(("kind", "values"), ORDERED, ids=[str(kind) for kind, _ in ORDERED])
def test_max_and_min_know_every_type_that_has_an_order(kind, values):
    _, less, more = values
    assert merged_value(kind, values, "max") == more
    assert merged_value(kind, values, "min") == (more if less is None else less)


@pytest.mark.parametrize("given", [["x"], [], None, 5, "text", pa.array([1.5])], ids=str)
def test_a_function_that_gives_no_values_of_the_column_is_told(given):
    absdb.register_merge_policy("odd", lambda base, ours, theirs: given)
    with pytest.raises(InvalidInputError):
        merged_value(pa.int64(), (1, 2, 3), "odd")


def test_policies_that_are_none_are_refused(main):
    for name, function in (("p", None), (5, max), ("", max), ("sum", max)):
        with pytest.raises(InvalidInputError):
            absdb.register_merge_policy(name, function)
    for policies in ({"a": 5}, {"a": ["sum"]}, {"a": "absent"}, {"s": "sum"}, {"id": "max"}):
        with pytest.raises(InvalidInputError):
            main["t"].set_merge_policy(**policies)
    with pytest.raises(NotFoundError):
        main["t"].set_merge_policy(absent="max")


# ---------------------------------------------------------------- checks


def test_checks_hold_for_the_undoing_of_a_fast_forward_too():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", {"id": [1], "a": [1]}, key="id")
        branch = main.branch("branch")
        branch["t"].upsert([{"id": 1, "a": 2}, {"id": 2, "a": 1}])
        merged = main.merge(branch)
        assert merged.kind == "fast-forward"
        main.add_check("two rows", "SELECT count(*) = 2 FROM t")
        with pytest.raises(DataCheckError):
            merged.undo()
        assert main["t"].count() == 2


def test_a_dry_run_of_a_large_merge_tells_its_bytes_and_leaves_no_file(tmp_path):
    with absdb.connect(tmp_path / "shop", bulk_threshold=64 * 1024) as shop:
        main = shop["main"]
        main.create_table("t", {"id": np.arange(20_000), "a": np.zeros(20_000)}, key="id")
        branch = main.branch("branch")
        branch["t"].update({"id": np.arange(20_000), "a": np.ones(20_000)})
        main["t"].upsert({"id": -1, "a": 0.0})
        shop.checkpoint()
        before = sorted(path.name for path in (tmp_path / "shop").rglob("*.arrow"))
        told = main.merge(branch, dry_run=True)
        assert told.bytes_to_write > 20_000 * 16
        shop.checkpoint()  # what no commit names goes then
        assert sorted(path.name for path in (tmp_path / "shop").rglob("*.arrow")) == before
        main.merge(branch)
        assert main["t"].get(19_999)["a"] == 1.0


def test_representations_escape_what_names_and_values_hold():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql('CREATE TABLE "<b>t" (id INTEGER PRIMARY KEY, "<i>c" TEXT)')
        main.sql("""INSERT INTO "<b>t" VALUES (1, '<script>')""")
        branch = main.branch("branch")
        branch.sql("""UPDATE "<b>t" SET "<i>c" = 'a'""")
        main.sql("""INSERT INTO "<b>t" VALUES (2, 'x')""")
        shown = main.merge(branch)._repr_html_()
        assert "<b>t" not in shown
        assert "&lt;b&gt;t" in shown
