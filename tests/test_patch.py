"""Patches: a diff as SQL, run where the source is, gives what the target is; what SQL cannot express is named."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import absdb
from absdb.sql.compare import patch_rows
from absdb.testing.orders import changed, orders

ROWS = [{"id": n, "s": f"s{n}", "x": n / 3} for n in range(1, 6)]


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64, bulk_threshold="16 KiB") as shop:
        yield shop["main"]


def apply(source: absdb.Database, target: absdb.Database, *, again: bool = True) -> str:
    """Run the patch on a branch of the source, which then is what the target is; the patch.

    `again`: nothing is left for another patch, as it is where columns and tables had to be made anew.
    """
    text = "".join(target.diff(source).patch())
    copy = source.branch(f"copy {random.random()}")
    if text:
        copy.sql(text)
    same(copy, target)
    if again and all(target[name].key for name in target):
        assert not list(target.diff(copy).patch())
    copy.drop()
    return text


def same(copy: absdb.Database, target: absdb.Database) -> None:
    """Tables with their definitions and rows; rows of tables without a key in any order."""
    assert sorted(copy) == sorted(target)
    for name in target:
        a, b = copy[name], target[name]
        assert [(f.name, f.type, f.nullable or f.name in b.key) for f in a.schema] == [
            (f.name, f.type, f.nullable or f.name in b.key) for f in b.schema
        ], name
        assert a.key == b.key
        shown = [each.columns().drop(columns="nullable").to_dict("records") for each in (a, b)]
        assert shown[0] == shown[1], name
        assert sorted(map(str, a.constraints().to_dict("records"))) == sorted(
            map(str, b.constraints().to_dict("records"))
        )
        rows = [Counter(map(repr, each.to_arrow().to_pylist())) for each in (a, b)]
        assert rows[0] == rows[1], name


def both_ways(a: absdb.Database, b: absdb.Database, *, again: bool = True) -> str:
    """Patches in both directions; the one from a to b."""
    apply(b, a, again=again)
    return apply(a, b, again=again)


def test_a_small_patch_is_read_by_people(main):
    main.create_table("t", ROWS, key="id")
    branch = main.branch("b")
    branch["t"].update([{"id": 1, "s": "O'Hara"}, {"id": 2, "x": None, "s": "ü"}])
    branch["t"].delete([3, 4])
    branch["t"].insert({"id": 9, "s": None, "x": 1e300})
    assert both_ways(main, branch) == (
        "BEGIN;\n"
        'DELETE FROM "t" WHERE "id" IN (3, 4);\n'
        'UPDATE "t" SET "s" = \'O\'\'Hara\' WHERE "id" = 1;\n'
        'UPDATE "t" SET "s" = \'ü\', "x" = NULL WHERE "id" = 2;\n'
        'INSERT INTO "t" ("id", "s", "x") VALUES\n'
        "  (9, NULL, 1e+300);\n"
        "COMMIT;\n"
    )
    assert list(main.diff(main).patch()) == []
    assert "BEGIN" not in "".join(branch.diff(main).patch(transaction=False))
    with main.transaction() as tx:
        for statement in branch.diff(main)["t"].patch(transaction=False):
            tx.sql(statement)
    assert not branch.diff(main)["t"]


VALUES: dict[str, list[Any]] = {
    "int8": [-128, 127],
    "uint64": [0, 2**64 - 1],
    "float32": [0.1, float("nan"), float("-inf"), 3.4028234663852886e38, 1e-45],
    "float64": [0.1, 1 / 3, float("nan"), float("inf"), 5e-324, 1e22, -1.7976931348623157e308, 100.0],
    "bool": [True, False],
    "decimal(38, 10)": [Decimal("1.0000000001"), Decimal("-9999999999999999999999999999.5")],
    "string": ["", "'", '"', "a\nb\t\\", "NULL", "a;b -- c", "日本語 🦆", "x\0y", "\0", "$1 ?"],
    "binary": [b"", b"\0\xff'\\x", bytes(range(256))],
    "date": [dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "time": [dt.time(23, 59, 59, 999999), dt.time(0)],
    "timestamp[s]": [dt.datetime(2024, 1, 1, 10)],
    "timestamp[ms]": [dt.datetime(2024, 1, 1, 10, 0, 0, 1000)],
    "timestamp[us]": [dt.datetime(2024, 1, 1, 10, 0, 0, 1), dt.datetime(1, 1, 1)],
    "timestamp[ns]": [dt.datetime(2024, 1, 1, 10, 0, 0, 1)],
    "timestamp[us, UTC]": [dt.datetime(2024, 1, 1, 10, 0, 0, 1, dt.UTC)],
    "interval": [pa.MonthDayNano([1, -2, 3_000_000]), pa.MonthDayNano([0, 0, 0])],
    "uuid": [uuid.UUID("123e4567-e89b-12d3-a456-426614174000")],
    "json": ['{"a": [1, "x\'y", null]}', "null", '"s"'],
    "list[int64]": [[], [1, None]],
    "list[string]": [["a'b", None, "NULL", "", "a,b", "[", '"', "\\", " x "]],
    "list[list[float64]]": [[[float("nan")], [], None]],
    "list[int32, 3]": [[1, None, 3]],
    "struct[a: int64, b c: string]": [{"a": None, "b c": 'it\'s, {so}: "x"'}, {"a": 1, "b c": None}],
    "struct[a: struct[b: list[date]]]": [{"a": {"b": [dt.date(2024, 1, 1), None]}}, {"a": None}],
    "map[string, int64]": [[("k'=,", 1), ("", None)], []],
    "list[binary]": [[b"\0\xff", b"'\"\\", None]],
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("key", ["id", None])
def test_values_of_every_type(main, kind, key):
    values = [*VALUES[kind], None]
    main.create_table("t", {"id": "int64", "v": kind}, key=key)
    branch, all_at_once = main.branch("b"), main.branch("c")
    rows = [{"id": n, "v": value} for n, value in enumerate(values)]
    main["t"].insert(rows)
    branch["t"].insert([{"id": n, "v": value} for n, value in enumerate(reversed(values))])
    both_ways(main, branch)
    all_at_once["t"].insert([{"id": n, "v": values[n % len(values)]} for n in range(60)])
    both_ways(main, all_at_once)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kind, value)
        for kind, values in VALUES.items()
        for value in values[:2]
        if kind != "json" and ("[" not in kind or "time" in kind)
    ],
)
def test_keys_of_every_type(main, kind, value):
    if kind == "interval":
        with pytest.raises(absdb.InvalidInputError):
            main.create_table("t", {"k": kind}, key="k")
        return
    main.create_table("t", {"k": kind, "n": "int64", "v": "int64"}, key="k")
    main["t"].insert([{"k": value, "n": 1, "v": 1}])
    branch = main.branch("b")
    branch["t"].update({"k": value, "n": 1, "v": 2})
    both_ways(main, branch)
    branch["t"].truncate()
    both_ways(main, branch)


def test_large_patches(main, monkeypatch):
    monkeypatch.setattr(patch_rows, "STATEMENT_ROWS", 100)
    rows = orders(2_000)
    main.create_table("orders", rows, key="id")
    branch = main.branch("b")
    branch["orders"].upsert(changed(rows, 700, seed=1))
    branch["orders"].delete(list(range(100, 350)))
    branch["orders"].insert(orders(230, first_id=5_000))
    main["orders"].upsert(changed(rows, 300, seed=2))
    text = both_ways(main, branch)
    assert text.count("\nINSERT") == text.count("\nDELETE") == 3
    chunks = list(branch.diff(main).patch())
    assert all(chunk.endswith(";\n") for chunk in chunks)
    assert max(chunk.count("\n") for chunk in chunks) <= 103


def test_rows_changed_in_many_combinations_of_columns(main):
    names = [f"c{n}" for n in range(8)]
    main.create_table("t", [{"id": n, **dict.fromkeys(names, 0)} for n in range(256)], key="id")
    branch = main.branch("b")
    branch["t"].update(
        [{"id": n, **{name: n >> at & 1 for at, name in enumerate(names)}} for n in range(256)]
    )
    both_ways(main, branch)


def test_keys_of_several_columns_that_change(main):
    rows = [{"a": dt.date(2024, 1, n), "b": f"k{n}", "v": n} for n in range(1, 30)]
    main.create_table("t", rows, key=["a", "b"])
    branch = main.branch("b")
    branch.sql("UPDATE t SET b = b || '!' WHERE v % 3 = 0")
    branch.sql("UPDATE t SET v = -v WHERE v % 4 = 0")
    text = both_ways(main, branch)
    assert "DELETE" in text
    assert "INSERT" in text


@pytest.mark.parametrize("seed", range(4))
def test_tables_without_a_key(main, seed):
    dice = random.Random(seed)

    def some(count: int) -> list[dict[str, Any]]:
        return [
            {"w": dice.choice(["a", None, "b"]), "x": dice.choice([0.5, float("nan"), None])}
            for _ in range(count)
        ]

    main.create_table("e", {"w": "string", "x": "float64"}).insert(some(60))
    branch = main.branch("b")
    for each in (main, branch):
        each.sql("DELETE FROM e WHERE w = $w AND x = 0.5", {"w": dice.choice("ab")})
        each["e"].insert(some(20))
    both_ways(main, branch)


def test_definitions(main):
    main.sql("""
        CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR, b DOUBLE NOT NULL DEFAULT 1.5, c INTEGER, d INTEGER);
        INSERT INTO t VALUES (1, 'x', 2, 3, 4), (2, 'y', 3, 4, 5);
        CREATE TABLE gone (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t(id));
        CREATE TABLE moved (id INTEGER);
        CREATE VIEW v AS SELECT a FROM t;
        CREATE VIEW w AS SELECT id FROM gone;
        CREATE MACRO m(x) AS x + 1;
    """)
    branch = main.branch("b")
    branch.sql("""
        CREATE SCHEMA more;
        ALTER TABLE t DROP COLUMN a;
        ALTER TABLE t RENAME COLUMN c TO a;
        ALTER TABLE t ADD COLUMN e VARCHAR DEFAULT 'it''s';
        ALTER TABLE t ADD COLUMN f DATE;
        ALTER TABLE t ALTER COLUMN e SET DEFAULT 'other';
        ALTER TABLE t ALTER COLUMN b DROP NOT NULL;
        ALTER TABLE t ALTER COLUMN a TYPE BIGINT;
        ALTER TABLE t ALTER COLUMN d SET NOT NULL;
        ALTER TABLE t ADD CONSTRAINT few CHECK (a < 100);
        ALTER TABLE t ADD CONSTRAINT one UNIQUE (a, d);
        ALTER TABLE t SET (compression = 'zstd');
        COMMENT ON TABLE t IS 'it''s';
        COMMENT ON COLUMN t.f IS 'a day';
        INSERT INTO t (id, a, d, f) VALUES (3, 2, 1, '2024-01-01');
        UPDATE t SET e = 'z' WHERE id = 1;
        DROP VIEW w;
        DROP TABLE gone;
        ALTER TABLE moved RENAME TO gone;
        CREATE SEQUENCE s START 5;
        CREATE TABLE more.new (
            id BIGINT DEFAULT nextval('s'), t INTEGER REFERENCES t(id), g INTEGER AS (t * 2),
            x VARCHAR NOT NULL DEFAULT 'q',
            CHECK (t > 0), UNIQUE (t, x), PRIMARY KEY (id)
        );
        INSERT INTO more.new (id, t) VALUES (1, 3), (2, NULL);
        CREATE OR REPLACE VIEW v AS SELECT e, f FROM t;
        CREATE VIEW more.w (q) AS SELECT t FROM more.new;
        CREATE OR REPLACE MACRO m(x) AS x + 2;
        CREATE MACRO n(x, y := 1) AS TABLE SELECT x + y AS z;
        COMMENT ON VIEW v IS 'seen';
        CREATE CHECK fine AS SELECT count(*) < 10 FROM t COMMENT 'it''s';
    """)
    text = apply(main, branch)
    assert text.index("CREATE SCHEMA") < text.index("DROP TABLE") < text.index('RENAME TO "gone"')
    copy = main.branch("copied")
    copy.sql(text)
    assert copy.sql("SELECT m(1), (SELECT count(*) FROM v), (SELECT z FROM n(1))").fetchall() == [(3, 3, 2)]
    assert copy.sql("FROM absdb_checks").fetchall() == branch.sql("FROM absdb_checks").fetchall()
    assert copy.sql("FROM more.w").fetchall() == branch.sql("FROM more.w").fetchall()
    with pytest.raises(absdb.InvalidInputError, match="the order of the columns of table 't'"):
        main.diff(branch).patch()


def test_names_that_are_swapped(main):
    main.create_table("t", [{"id": 1, "a": 1, "b": 2}], key="id")
    main.create_table("u", [{"id": 1}], key="id")
    branch = main.branch("b")
    for old, new in (("a", "z"), ("b", "a"), ("z", "b")):
        branch["t"].rename_column(old, new)
    for old, new in (("t", "z"), ("u", "t"), ("z", "u")):
        branch.rename_table(old, new)
    both_ways(main, branch)


def test_columns_of_another_type_or_dropped_on_one_side(main):
    main.create_table(
        "t", {"id": "int64", "zip": "string", "n": "float64", "old": "string", "w": "int32"}, key="id"
    ).insert([{"id": n, "zip": str(1000 + n), "n": n / 2, "old": f"o{n}", "w": n} for n in range(40)])
    branch = main.branch("b")
    branch["t"].retype_column("zip", "int32")
    branch["t"].retype_column("n", "string", using="'n' || n::VARCHAR")
    branch["t"].retype_column("w", "int64")
    branch["t"].drop_column("old")
    branch["t"].update([{"id": 3, "zip": 7, "w": 2**40}, {"id": 4, "n": None}])
    branch["t"].delete(5)
    main["t"].insert([{"id": 50, "zip": "no number", "n": 1.0, "old": "here", "w": 0}])
    apply(main, branch)
    with pytest.raises(absdb.InvalidInputError, match="order of the columns of table 't'"):
        list(main.diff(branch).patch())
    branch["t"].reorder_columns(["id", "zip", "n", "w"])
    main["t"].reorder_columns(["id", "zip", "n", "w", "old"])
    both_ways(main, branch, again=False)


def test_a_table_without_a_key_whose_columns_change(main):
    main.create_table("e", [{"w": "1"}, {"w": "1"}, {"w": "x"}])
    branch = main.branch("b")
    branch["e"].add_column("m", "int64", default=5)
    branch.sql("UPDATE e SET m = 6 WHERE w = 'x'")
    both_ways(main, branch)
    branch["e"].retype_column("w", "int64", using="TRY_CAST(w AS BIGINT)")
    both_ways(main, branch)


def test_a_table_that_was_given_a_key(main):
    main.create_table("t", [{"id": 2, "v": 1}, {"id": 1, "v": 2}])
    branch = main.branch("b")
    branch.sql("ALTER TABLE t ADD PRIMARY KEY (id)")
    assert "PRIMARY KEY" in both_ways(main, branch)


def test_tables_that_only_share_a_name(main):
    other = main.branch("other", lsn=main.lsn)
    main.create_table("t", ROWS, key="id")
    other.create_table("t", ROWS[1:], key="id")
    main.create_table("u", ROWS, key="id")
    other.create_table("u", [{"id": 1, "s": 5}], key="id")
    assert (
        "DROP TABLE"
        not in both_ways(main, other).partition('"u"')[0].partition("CREATE")[0].partition("DROP")[0]
    )


def test_identities_count_on(main):
    branch = main.branch("b")
    branch.sql("CREATE TABLE t (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v INTEGER)")
    branch.sql("INSERT INTO t (v) VALUES (1), (2), (3)")
    text = "".join(branch.diff(main).patch())
    main.sql(text)
    main.sql("INSERT INTO t (v) VALUES (4)")
    assert main["t"].count() == 4


@pytest.mark.parametrize("seed", range(16))
def test_random_tables_and_changes(main, monkeypatch, seed):
    """The patch of a to b, run on a, gives b; the same of b to a. Only another order of columns may be refused."""
    monkeypatch.setattr(patch_rows, "ROWS_ALONE", 3)
    dice = random.Random(seed)
    kinds = {f"c{at}": dice.choice(list(VALUES)) for at in range(5)}
    key = dice.choice([["id"], ["k", "id"], None])
    main.create_table("t", {"id": "int64", "k": "string"} | kinds, key=key)

    def rows(table: absdb.Table, ids: range) -> list[dict[str, Any]]:
        held = [name for name in table.schema.names if name in kinds]
        return [
            {"id": n, "k": f"'{n}", **{name: dice.choice([*VALUES[kinds[name]], None]) for name in held}}
            for n in dice.sample(ids, dice.randrange(len(ids)))
        ]

    main["t"].insert(rows(main["t"], range(40)))
    branch = main.branch("b")
    for each in (main, branch):
        table = each["t"]
        for number in range(dice.randrange(1, 7)):
            match dice.randrange(7):
                case 0 if "c1" in table.schema.names:
                    table.drop_column("c1")
                case 1 if "c2" in table.schema.names:
                    table.rename_column("c2", f"named {number}")
                case 2:
                    table.add_column(f"new{number}", "int64", default=dice.choice([None, 3]))
                    each.sql(f"UPDATE t SET new{number} = id WHERE id % 3 = 0")
                case 3:
                    each.sql("DELETE FROM t WHERE id % $n = 1", {"n": dice.randrange(2, 9)})
                case 4 if key is not None:
                    table.upsert(rows(table, range(20, 60)))
                case 5:
                    each.sql("UPDATE t SET c0 = NULL WHERE id % $n = 0", {"n": dice.randrange(2, 9)})
                case _:
                    table.insert(rows(table, range(100 * number + 100, 100 * number + 130)))
    done = 0
    for source, target in ((main, branch), (branch, main)):
        try:
            list(target.diff(source).patch())
        except absdb.InvalidInputError as error:
            assert "the order of the columns" in str(error)  # noqa: PT017  # no other refusal will do
        else:
            apply(source, target, again=False)
            done += 1
    assert done


FOREIGN = """
    CREATE TABLE a (id INTEGER PRIMARY KEY, code VARCHAR UNIQUE);
    CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id), code VARCHAR REFERENCES a(code));
    CREATE TABLE c (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b(id), boss INTEGER REFERENCES c(id));
"""


@pytest.mark.parametrize("seed", range(12))
def test_foreign_keys_and_unique_columns_hold_at_every_statement(main, monkeypatch, seed):
    monkeypatch.setattr(patch_rows, "STATEMENT_ROWS", 3)
    monkeypatch.setattr(patch_rows, "ROWS_ALONE", 2)
    dice = random.Random(seed)
    main.sql(FOREIGN)

    def fill(database: absdb.Database) -> None:
        ids = {name: dice.sample(range(12), dice.randrange(3, 9)) for name in "abc"}
        codes = dice.sample("klmnopqrstuv", len(ids["a"]))
        with database.transaction() as tx:
            for name in "cba":
                tx[name].truncate()
            tx["a"].insert([{"id": n, "code": code} for n, code in zip(ids["a"], codes, strict=True)])
            tx["b"].insert(
                [{"id": n, "a": dice.choice(ids["a"]), "code": dice.choice([*codes, None])} for n in ids["b"]]
            )
            tx["c"].insert(
                [
                    {"id": n, "b": dice.choice(ids["b"]), "boss": dice.choice([*ids["c"], None])}
                    for n in ids["c"]
                ]
            )

    fill(main)
    branch = main.branch("b1")
    fill(branch)
    both_ways(main, branch)


def test_constraints_are_not_taken_off_without_need(main):
    main.sql(FOREIGN)
    main.sql("INSERT INTO a VALUES (1, 'x'), (2, 'y'); INSERT INTO b VALUES (1, 1, NULL), (2, 2, NULL)")
    branch = main.branch("b1")
    branch.sql(
        "BEGIN; INSERT INTO a VALUES (3, 'z'); UPDATE b SET a = 3 WHERE id = 1; DELETE FROM a WHERE id = 1; COMMIT"
    )
    text = "".join(branch["a"] and branch.diff(main).patch())
    assert text.index("INSERT INTO") < text.index("UPDATE") < text.index("DELETE")


def test_the_patch_of_one_table(main):
    main.create_table("t", ROWS, key="id")
    main.create_table("u", ROWS, key="id")
    branch = main.branch("b")
    branch["t"].update([{"id": 1, "s": "q", "x": 0.0}, {"id": 2, "s": "r"}])
    branch["t"].delete(5)
    branch["u"].delete(5)
    diff = branch.diff(main)["t"]
    assert (
        "".join(diff.where(kinds="removed").patch(transaction=False))
        == 'DELETE FROM "t" WHERE "id" IN (5);\n'
    )
    chosen = diff.where("to_s = 'q'", ignore="x").patch(transaction=False)
    assert list(chosen) == ['UPDATE "t" SET "s" = \'q\' WHERE "id" = 1;\n']
    main.sql("".join(diff.patch()))
    assert not branch.diff(main)["t"]
    assert len(branch.diff(main)["u"]) == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("large_string", "large_string of column 'x' of table 't'"),
        ("float16", "float16"),
        ("dictionary[string]", "dictionary"),
    ],
)
def test_types_that_sql_does_not_have_are_named(main, kind, said):
    branch = main.branch("b")
    branch.create_table("t", {"id": "int64", "x": kind}, key="id")
    with pytest.raises(absdb.InvalidInputError, match="a patch cannot express the type") as caught:
        branch.diff(main).patch()
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["id", None])
def test_rows_with_types_that_sql_cannot_declare(main, key):
    types = {
        "id": "int64",
        "l": "large_string",
        "d": "dictionary[string]",
        "h": "float16",
        "b": "binary[4]",
        "t": "time[s]",
    }
    main.create_table("t", types, key=key)
    branch = main.branch("b")
    rows = [
        {"id": n, "l": "a'b", "d": "xy"[n % 2], "h": n / 8, "b": b"\0\1'\xff", "t": dt.time(n)}
        for n in range(9)
    ]
    branch["t"].insert(rows)
    both_ways(main, branch)
    branch.sql("UPDATE t SET d = 'z', h = 0.1 WHERE id > 3")
    both_ways(main, branch)


@pytest.mark.parametrize("kind", ["timestamp[ns]", "timestamp[ns, UTC]", "time[ns]", "duration[ns]"])
def test_nanoseconds_are_kept_or_named(main, kind):
    table = main.create_table("t", {"id": "int64", "at": kind}, key="id")
    branch = main.branch("b")
    rows = pa.table(
        {"id": [1], "at": pa.array([1_234_567_891], pa.int64()).cast(table.schema.field("at").type)}
    )
    branch["t"].insert(rows)
    try:
        list(branch.diff(main).patch())
    except absdb.InvalidInputError as error:
        assert "nanoseconds of column 'at' of table 't'" in str(error)  # noqa: PT017  # DuckDB's versions differ
    else:
        both_ways(main, branch)


def test_definitions_that_sql_cannot_express_are_named(main):
    main.create_table("t", ROWS, key="id")
    main.create_sequence("s")
    first = main.branch("first")
    first["t"].add_column("y", "int64", position=0)
    with pytest.raises(absdb.InvalidInputError, match="the order of the columns of table 't'"):
        first.diff(main).patch()
    policies = main.branch("policies")
    policies["t"].set_merge_policy(x="max")
    with pytest.raises(absdb.InvalidInputError, match="other merge policies of table 't'"):
        policies.diff(main).patch()
    second = main.branch("second")
    second.sql("DROP SEQUENCE s; CREATE SEQUENCE s START 9")
    with pytest.raises(absdb.InvalidInputError, match="another definition of sequence 's'"):
        second.diff(main).patch()


def test_a_patch_of_rows_without_a_key_cannot_be_chosen(main):
    main.create_table("e", [{"w": 1}])
    branch = main.branch("b")
    branch["e"].insert({"w": 2})
    with pytest.raises(absdb.InvalidInputError, match="has no key"):
        branch.diff(main)["e"].where(kinds="added").patch()
    main.sql("".join(branch.diff(main)["e"].patch()))
    assert not branch.diff(main).by_content("e")
