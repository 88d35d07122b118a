"""MERGE DATABASE, data checks and the listing of conflicts, by SQL."""

from __future__ import annotations

import datetime as dt

import pytest

import absdb
from absdb.errors import (
    DataCheckError,
    MergeConflictError,
    NotFoundError,
    QueryError,
    StateError,
)


@pytest.fixture
def shop():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total DOUBLE)")
        main.sql("INSERT INTO orders VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
        main.branch("staging")
        yield shop


@pytest.fixture
def main(shop):
    return shop["main"]


def rows(database) -> list[tuple]:
    return database.sql("FROM orders ORDER BY ALL").fetchall()


def test_fast_forward_and_three_way(shop, main):
    shop["staging"].sql("UPDATE orders SET total = 10 WHERE id = 1")
    told = main.sql("MERGE DATABASE staging INTO main MESSAGE 'take it' AUTHOR 'ada'")
    assert told.fetchall() == [("orders", "modified", 1)]
    assert main.log(limit=1)[["author", "message", "kind"]].values.tolist() == [
        ["ada", "take it", "fast_forward"]
    ]
    shop["staging"].sql("DELETE FROM orders WHERE id = 2")
    main.sql("UPDATE orders SET status = 'x' WHERE id = 3")
    assert main.sql("MERGE DATABASE staging INTO main").fetchall() == [("orders", "removed", 1)]
    assert rows(main) == [(1, "a", 10.0), (3, "x", 3.0)]
    assert main.sql("MERGE DATABASE staging INTO main").fetchall() == []


def test_squash_makes_one_commit(shop, main):
    shop["staging"].sql(
        "UPDATE orders SET total = 10 WHERE id = 1; UPDATE orders SET total = 20 WHERE id = 1"
    )
    main.sql("MERGE DATABASE staging INTO main SQUASH")
    assert (
        main.log(limit=2)["kind"].tolist() == ["merge", "branch"] or main.log(limit=1)["kind"][0] == "merge"
    )
    assert rows(main)[0] == (1, "a", 20.0)


def test_a_state_of_the_past_is_merged(shop, main):
    staging = shop["staging"]
    staging.sql("UPDATE orders SET total = 10 WHERE id = 1")
    staging.sql("CREATE SNAPSHOT good; UPDATE orders SET total = -1")
    main.sql("MERGE DATABASE staging AS OF SNAPSHOT good INTO main")
    assert rows(main)[0] == (1, "a", 10.0)


def test_conflicts_are_listed_resolved_and_counted(shop, main):
    shop["staging"].sql("UPDATE orders SET status = 'theirs' WHERE id < 3")
    main.sql("UPDATE orders SET status = 'ours' WHERE id < 3")
    listed = main.sql(
        "SELECT kind, key, column_name, base_value, our_value, their_value FROM absdb_conflicts('staging', 'main')"
    ).fetchall()
    assert listed == [
        ("cell", "1", "status", '"a"', '"ours"', '"theirs"'),
        ("cell", "2", "status", '"b"', '"ours"', '"theirs"'),
    ]
    told = main.sql("MERGE DATABASE staging INTO main DRY RUN").fetchall()
    assert ("orders", "conflict", 2) in told
    with pytest.raises(MergeConflictError) as error:
        main.sql("MERGE DATABASE staging INTO main ON CONFLICT FAIL")
    assert len(error.value.conflicts) == 2
    main.sql(
        """MERGE DATABASE staging INTO main RESOLVE WITH (
             SELECT * REPLACE (CASE WHEN key = '1' THEN 'theirs' ELSE 'value' END AS resolution,
                               CASE WHEN key = '2' THEN '"both"' END AS resolved_value)
             FROM absdb_conflicts('staging', 'main'))"""
    )
    assert rows(main) == [(1, "theirs", 1.0), (2, "both", 2.0), (3, "c", 3.0)]


@pytest.mark.parametrize(("side", "status"), [("OURS", "ours"), ("THEIRS", "theirs")])
def test_on_conflict_takes_a_side(shop, main, side, status):
    shop["staging"].sql("UPDATE orders SET status = 'theirs' WHERE id = 1")
    main.sql("UPDATE orders SET status = 'ours' WHERE id = 1")
    main.sql(f"MERGE DATABASE staging INTO main ON CONFLICT {side}")
    assert rows(main)[0] == (1, status, 1.0)


def test_strict_refuses_rows_that_both_sides_touched(shop, main):
    shop["staging"].sql("UPDATE orders SET status = 'theirs' WHERE id = 1")
    main.sql("UPDATE orders SET total = 100 WHERE id = 1")
    with pytest.raises(MergeConflictError):
        main.sql("MERGE DATABASE staging INTO main ON CONFLICT STRICT")
    main.sql("MERGE DATABASE staging INTO main")
    assert rows(main)[0] == (1, "theirs", 100.0)


def test_keys_of_several_columns_and_of_dates_come_back_from_json(shop, main):
    main.sql("CREATE TABLE days (day DATE, place TEXT, n INTEGER, PRIMARY KEY (day, place))")
    main.sql("INSERT INTO days VALUES ('2026-01-02', 'x', 1)")
    branch = main.branch("b")
    branch.sql("UPDATE days SET n = 2")
    main.sql("UPDATE days SET n = 3")
    main.sql(
        "MERGE DATABASE b INTO main RESOLVE WITH "
        "(SELECT * REPLACE ('theirs' AS resolution) FROM absdb_conflicts('b', 'main'))"
    )
    assert main.sql("FROM days").fetchall() == [(dt.date(2026, 1, 2), "x", 2)]


def test_checks_are_created_listed_held_and_dropped(shop, main):
    main.sql("CREATE CHECK positive AS SELECT * FROM orders WHERE total <= 0 COMMENT 'no free lunch'")
    main.sql("CREATE CHECK IF NOT EXISTS positive AS SELECT false")
    assert main.sql("FROM absdb_checks").fetchall() == [
        ("positive", "SELECT * FROM orders WHERE total <= 0", "no free lunch")
    ]
    shop["staging"].sql("UPDATE orders SET total = 0 WHERE id = 2")
    told = main.sql("MERGE DATABASE staging INTO main DRY RUN").fetchall()
    assert ("", "failed check positive", 1) in told
    with pytest.raises(DataCheckError, match="positive: 1 row offends") as error:
        main.sql("MERGE DATABASE staging INTO main")
    assert error.value.rows["positive"].to_dict("records") == [{"id": 2, "status": "b", "total": 0.0}]
    main.sql("DROP CHECK positive; DROP CHECK IF EXISTS positive")
    main.sql("MERGE DATABASE staging INTO main")
    assert rows(main)[1] == (2, "b", 0.0)


def test_bad_statements_say_what_is_wrong(shop, main):
    with pytest.raises(QueryError, match="expected INTO"):
        main.sql("MERGE DATABASE staging ONTO main")
    with pytest.raises(NotFoundError, match="there is no database 'stagin'"):
        main.sql("MERGE DATABASE stagin INTO main")
    with pytest.raises(QueryError, match="expected FAIL or STRICT or OURS or THEIRS"):
        main.sql("MERGE DATABASE staging INTO main ON CONFLICT SOMETIMES")
    with pytest.raises(QueryError, match="nothing_there"):
        main.sql("CREATE CHECK bad AS SELECT nothing_there FROM orders")
    with pytest.raises(NotFoundError, match="there is no check 'x'"):
        main.sql("DROP CHECK x")
    with main.session() as session:
        session.sql("BEGIN")
        with pytest.raises(StateError, match="no part of a transaction"):
            session.sql("MERGE DATABASE staging INTO main")
    assert rows(main) == [(1, "a", 1.0), (2, "b", 2.0), (3, "c", 3.0)]


def test_merge_into_a_table_is_still_the_other_statement(main):
    main.sql(
        "MERGE INTO orders USING (SELECT 9 AS id) s ON orders.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)"
    )
    assert rows(main)[-1][0] == 9


@pytest.mark.parametrize("text", ["DELETE FROM orders", "SELECT 1; SELECT 2", "CREATE TABLE t (a INT)", ""])
def test_a_check_is_one_query_and_changes_nothing(main, text):
    before = rows(main)
    with pytest.raises(QueryError, match="is not one query"):
        main.add_check("wrong", text)
    assert not main.rehearse("UPDATE orders SET total = 1", checks={"wrong": text}).passed
    assert (rows(main), len(main.checks())) == (before, 0)


def test_a_check_that_cannot_be_run_shows_what_was_written(main):
    with pytest.raises(QueryError) as error:
        main.sql("CREATE CHECK wrong AS SELECT nope FROM orders")
    assert "EXPLAIN" not in str(error.value)
