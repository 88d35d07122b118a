"""In a transaction the statement that breaks UNIQUE or FOREIGN KEY is the one that fails, and nothing else is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import absdb
from absdb.sql.session import Session

SETUP = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, code VARCHAR UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent, n INTEGER UNIQUE);
CREATE TABLE log (code VARCHAR REFERENCES parent (code), at INTEGER UNIQUE);
INSERT INTO parent SELECT i, 'c' || i FROM range(2000) r(i);
INSERT INTO child SELECT i, i, i FROM range(1000) r(i);
INSERT INTO log VALUES ('c7', 7);
"""


@pytest.fixture(params=[1 << 16, 1 << 30], ids=["page files", "memory"])
def shop(request: Any) -> Iterator[absdb.Instance]:
    with absdb.connect(":memory:", bulk_threshold=request.param) as instance:
        with instance["main"].session() as session:
            session.sql(SETUP)
        yield instance


@pytest.fixture
def session(shop: absdb.Instance) -> Iterator[Session]:
    with shop["main"].session() as session:
        yield session


BROKEN = [
    ("INSERT INTO parent VALUES (9000, 'c5')", "same code.*key 9000"),
    ("INSERT INTO parent VALUES (9000, 'x'), (9001, 'x')", "two rows have the same code"),
    ("INSERT INTO parent VALUES (9000, 'new')", "same code.*key 9000"),
    (
        "INSERT INTO parent SELECT i, 'd' || (i % 4000) FROM range(5000, 9500) r(i)",
        "two rows have the same code",
    ),
    ("INSERT INTO parent SELECT i, 'c' || (i - 8000) FROM range(9999, 15000) r(i)", "same code.*key 9999"),
    ("INSERT INTO parent VALUES (9000, 'c5') RETURNING id", "same code"),
    ("UPDATE parent SET code = 'c1' WHERE id = 2", "same code.*key 2"),
    ("UPDATE parent SET code = 'c'", "same code"),
    ("UPDATE parent SET code = 'other' WHERE id = 7", "rows of table 'log' refer to its code"),
    ("UPDATE parent SET id = 4000 WHERE id = 7", "rows of table 'child' refer to its id"),
    ("DELETE FROM parent WHERE id = 5", "rows of table 'child' refer to its id, row with key 5"),
    ("DELETE FROM parent WHERE id < 1500", "refer to its"),
    ("TRUNCATE parent", "refer to its"),
    (
        "INSERT INTO child VALUES (5000, 7000, NULL)",
        "table 'parent' has no row for parent, row with key 5000",
    ),
    (
        "INSERT INTO child SELECT i, i - 2500, NULL FROM range(4000, 9000) r(i)",
        "table 'parent' has no row for parent",
    ),
    ("INSERT INTO child VALUES (1, 1, 77) ON CONFLICT (id) DO UPDATE SET n = 2", "same n.*key 1"),
    ("UPDATE child SET parent = 7000 WHERE id < 3", "table 'parent' has no row for parent"),
    ("INSERT INTO log VALUES ('none', 8)", "table 'parent' has no row for code"),
    ("INSERT INTO log VALUES ('c8', 7)", "same at"),
    (
        "MERGE INTO parent USING (FROM range(2) r(i)) s ON parent.id = s.i + 5 "
        "WHEN MATCHED THEN UPDATE SET code = 'twice'",
        "two rows have the same code",
    ),
    (
        "MERGE INTO parent USING (SELECT 5 AS i) s ON parent.id = s.i WHEN MATCHED THEN DELETE",
        "refer to its id",
    ),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_the_statement_that_breaks_something_fails(session, text, message):
    session.sql("BEGIN")
    session.sql("INSERT INTO parent VALUES (3000, 'new')")
    session.sql("SAVEPOINT s")
    before = [session.sql(f"FROM {name} ORDER BY ALL").fetchall() for name in ("parent", "child", "log")]
    with pytest.raises(absdb.ConstraintError, match=message):
        session.sql(text)
    assert before == [
        session.sql(f"FROM {name} ORDER BY ALL").fetchall() for name in ("parent", "child", "log")
    ]
    session.sql("INSERT INTO child VALUES (3000, 3000, 3000)")
    session.sql("ROLLBACK TO s")
    session.sql("INSERT INTO child VALUES (3001, 3000, 3000)")
    session.sql("COMMIT")
    found = session.sql("SELECT c.id, p.code FROM child c JOIN parent p ON p.id = c.parent WHERE c.n = 3000")
    assert found.fetchall() == [(3001, "new")]
    session.sql("BEGIN")
    with pytest.raises(absdb.ConstraintError, match=message):
        session.sql(text)


def test_what_holds_at_the_end_of_a_statement_is_fine(session):
    session.sql(
        "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree, place INTEGER UNIQUE)"
    )
    for text in (
        "BEGIN",
        "INSERT INTO parent VALUES (3000, 'p')",
        "INSERT INTO child VALUES (3000, 3000, 3000)",
        "DELETE FROM child WHERE id = 3000",
        "DELETE FROM parent WHERE id = 3000",
        "INSERT INTO parent VALUES (3001, 'p')",
        "UPDATE parent SET code = 'q' WHERE id = 3001",
        "INSERT INTO parent VALUES (3002, 'p')",
        "INSERT INTO tree VALUES (2, 1, 0), (1, 1, 1), (3, 2, 2)",
        "UPDATE tree SET place = 2 - place",
        "UPDATE tree SET id = id + 10, up = up + 10",
        "UPDATE tree SET up = 13 WHERE id = 11",
        "INSERT INTO tree SELECT i, i + 1, i FROM range(100, 500) r(i) UNION ALL SELECT 500, 11, 500",
        "DELETE FROM tree WHERE id >= 100",
        "MERGE INTO tree USING (VALUES (11, 5), (12, 7)) s(id, place) ON tree.id = s.id "
        "WHEN MATCHED AND s.id = 11 THEN UPDATE SET place = 0 "
        "WHEN MATCHED THEN UPDATE SET place = 1 WHEN NOT MATCHED BY SOURCE THEN UPDATE SET place = 2",
        "COMMIT",
    ):
        session.sql(text)
    assert session.sql("FROM tree").fetchall() == [(11, 13, 0), (12, 11, 1), (13, 12, 2)]
    assert session.sql("FROM parent WHERE id >= 3000").fetchall() == [(3001, "q"), (3002, "p")]


def test_many_rows_of_parameters_are_checked_row_by_row(shop):
    from absdb import dbapi

    with dbapi.connect(shop) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO child VALUES (5000, 1, NULL)")
        with pytest.raises(dbapi.IntegrityError, match="same n"):
            cursor.executemany("UPDATE child SET n = ? WHERE id = ?", [(8000, 1), (8000, 2)])
        with pytest.raises(dbapi.IntegrityError, match="has no row for parent"):
            cursor.executemany("INSERT INTO child VALUES (?, ?, NULL)", [(i, i) for i in range(1500, 2500)])
        connection.commit()
        cursor.execute("SELECT max(id), max(n), count(*) FROM child")
        assert cursor.fetchall() == [(5000, 999, 1001)]


def test_what_others_commit_meanwhile_is_seen_at_the_commit(shop):
    main = shop["main"]
    for ours, theirs in (
        ("INSERT INTO parent VALUES (3000, 'same')", "INSERT INTO parent VALUES (3001, 'same')"),
        ("INSERT INTO child VALUES (3000, 1800, NULL)", "DELETE FROM parent WHERE id = 1800"),
        ("DELETE FROM parent WHERE id = 1700", "INSERT INTO child VALUES (3002, 1700, NULL)"),
    ):
        with main.session() as session:
            session.sql("BEGIN")
            session.sql(ours)
            main.sql(theirs)
            with pytest.raises(absdb.ConstraintError):
                session.sql("COMMIT")


def test_calls_of_a_program_are_checked_for_unique_at_once_and_for_references_at_the_commit(shop):
    main = shop["main"]
    with main.transaction() as tx:
        tx["child"].insert({"id": 5000, "parent": 5000})
        with pytest.raises(absdb.ConstraintError, match="same code"):
            tx["parent"].insert({"id": 5000, "code": "c1"})
        with pytest.raises(absdb.ConstraintError, match="same code"):
            tx["parent"].upsert([{"id": i, "code": f"c{i + 1}"} for i in range(500)])
        tx["parent"].insert({"id": 5000, "code": "p"})
    assert main["child"].get(5000)["parent"] == 5000
    tx = main.transaction()
    tx["child"].insert({"id": 5001, "parent": 5001})
    tx.sql("INSERT INTO child VALUES (5002, 5000, NULL)")
    tx.savepoint("s")
    tx.sql("INSERT INTO child VALUES (5003, 5000, NULL)")
    tx.rollback_to("s")
    with pytest.raises(absdb.ConstraintError, match="has no row for parent"):
        tx.commit()
    tx = main.transaction()
    tx["parent"].delete([5000])
    tx.sql("UPDATE child SET n = 5000 WHERE id = 1")
    with pytest.raises(absdb.ConstraintError, match="refer to its id"):
        tx.commit()
    assert main["child"].get(5001) is None


def test_definitions_and_rows_of_one_transaction(session):
    session.sql("BEGIN")
    session.sql("CREATE TABLE a (id INTEGER PRIMARY KEY, v INTEGER)")
    session.sql("INSERT INTO a VALUES (1, 1), (2, 1)")
    with pytest.raises(absdb.ConstraintError, match="same v"):
        session.sql("ALTER TABLE a ADD UNIQUE (v)")
    session.sql("UPDATE a SET v = id")
    session.sql("ALTER TABLE a ADD UNIQUE (v)")
    with pytest.raises(absdb.ConstraintError, match="same v"):
        session.sql("INSERT INTO a VALUES (3, 1)")
    session.sql("ALTER TABLE a ALTER v TYPE BIGINT")
    session.sql("ALTER TABLE a ADD COLUMN w INTEGER DEFAULT 5 REFERENCES parent")
    with pytest.raises(absdb.ConstraintError, match="same v"):
        session.sql("UPDATE a SET v = 2 WHERE id = 1")
    with pytest.raises(absdb.ConstraintError, match="table 'parent' has no row for w"):
        session.sql("UPDATE a SET w = -1 WHERE id = 1")
    session.sql("COMMIT")
    assert session.sql("FROM a").fetchall() == [(1, 1, 5), (2, 2, 5)]


IDS = st.integers(0, 6)
ORNULL = st.none() | IDS
STEPS = st.one_of(
    st.tuples(st.just("INSERT INTO t VALUES (?, ?, ?)"), st.tuples(IDS, ORNULL, ORNULL)),
    st.tuples(st.just("INSERT INTO t VALUES (?, ?, ?), (?, ?, ?)"), st.tuples(*[IDS, ORNULL, ORNULL] * 2)),
    st.tuples(st.just("UPDATE t SET u = ? WHERE id = ?"), st.tuples(ORNULL, IDS)),
    st.tuples(st.just("UPDATE t SET up = ? WHERE id <= ?"), st.tuples(ORNULL, IDS)),
    st.tuples(st.just("UPDATE t SET id = ? WHERE id = ?"), st.tuples(IDS, IDS)),
    st.tuples(st.just("DELETE FROM t WHERE id >= ?"), st.tuples(IDS)),
    st.tuples(st.just("DELETE FROM t WHERE id = ?"), st.tuples(IDS)),
    st.tuples(st.sampled_from(["SAVEPOINT s", "ROLLBACK TO s", "COMMIT"]), st.just(())),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_same_statements_fail_as_in_sqlite(script):
    theirs = sqlite3.connect(":memory:", isolation_level=None)
    theirs.execute("PRAGMA foreign_keys = ON")
    with absdb.connect(":memory:") as instance, instance["main"].session() as ours:
        definition = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, up INTEGER REFERENCES t (id))"
        ours.sql(definition)
        theirs.execute(definition)
        begin: list[Any] = [("BEGIN", ()), ("SAVEPOINT s", ())]
        for text, values in [
            *begin,
            *(each for step in script for each in (step, *begin * (step[0] == "COMMIT"))),
        ]:
            outcomes = []
            for run in (theirs.execute, ours.sql):
                try:
                    run(text, values)
                    outcomes.append("done")
                except (sqlite3.Error, absdb.AbsdbError) as error:
                    broken = isinstance(error, sqlite3.IntegrityError | absdb.ConstraintError)
                    outcomes.append("broken" if broken else "refused")
            assert outcomes[0] == outcomes[1], (text, values)
            assert theirs.in_transaction == ours.in_transaction
            found = ours.sql("SELECT id, u, up FROM t").fetchall()
            assert found == theirs.execute("SELECT id, u, up FROM t ORDER BY id").fetchall()
    theirs.close()
