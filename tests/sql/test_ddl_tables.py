"""CREATE TABLE with everything it may say, CREATE TABLE AS, DROP TABLE."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import absdb
from absdb import Database, Instance
from absdb.errors import (
    AlreadyExistsError,
    ConstraintError,
    InvalidInputError,
    NotFoundError,
    QueryError,
    StateError,
    WriteConflictError,
)


@pytest.fixture
def shop() -> Iterator[Instance]:
    with absdb.connect(":memory:") as made:
        yield made


@pytest.fixture
def main(shop: Instance) -> Database:
    return shop["main"]


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    return database.sql(query).fetchall()


def test_a_column_has_the_type_that_duckdb_means(main: Database) -> None:
    main.sql(
        """CREATE TABLE t (a TINYINT, b DOUBLE PRECISION, c DECIMAL(12, 2), d VARCHAR(10), e TIMESTAMP WITH TIME ZONE,
        f INTEGER[], g STRUCT(x INTEGER, y VARCHAR[]), h MAP(VARCHAR, DATE), i INTEGER[3], j UUID, k JSON, l HUGEINT,
        m INTERVAL, n BLOB, o TIMESTAMP_NS, p TIME, q BOOLEAN ARRAY, r ENUM ('x', 'y'))"""
    )
    assert main["t"].schema.types == [
        pa.int8(),
        pa.float64(),
        pa.decimal128(12, 2),
        pa.string(),
        pa.timestamp("us", "UTC"),
        pa.list_(pa.int32()),
        pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))]),
        pa.map_(pa.string(), pa.date32()),
        pa.list_(pa.int32(), 3),
        pa.uuid(),
        pa.json_(),
        pa.decimal128(38, 0),
        pa.month_day_nano_interval(),
        pa.binary(),
        pa.timestamp("ns"),
        pa.time64("us"),
        pa.list_(pa.bool_()),
        pa.dictionary(pa.int32(), pa.string()),
    ]


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("UNION(a INTEGER, b VARCHAR)", "one column for each"),
        ("BIT", "VARCHAR"),
        ("TIMETZ[]", "TIMESTAMPTZ"),
        ("SERIAL", "IDENTITY"),
        ("INTEGR", ""),
    ],
)
def test_a_type_that_no_column_can_have_is_pointed_at(main: Database, kind: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        main.sql(f"CREATE TABLE t (a INTEGER, b {kind})")
    assert caught.value.position == len("CREATE TABLE t (a INTEGER, b ")
    assert hint in caught.value.hint


def test_defaults_are_values_where_they_can_be(main: Database) -> None:
    main.sql(
        """CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER DEFAULT 1 + 1 NOT NULL, b VARCHAR DEFAULT 'x',
        c DATE DEFAULT DATE '2026-01-02', d INTEGER[] DEFAULT [1, 2], e TIMESTAMP DEFAULT current_timestamp,
        f DOUBLE DEFAULT random(), g VARCHAR DEFAULT NULL, h DECIMAL(4, 1) DEFAULT -2.5,
        i STRUCT(x INTEGER, y VARCHAR) DEFAULT {'x': 1, 'y': 'z'}, j MAP(VARCHAR, INTEGER) DEFAULT MAP {'a': 1},
        k INTERVAL DEFAULT INTERVAL 1 DAY, l UUID DEFAULT '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
        m BLOB DEFAULT '\\xAB'::BLOB, n TIME DEFAULT '10:00', o JSON DEFAULT '[1]', p HUGEINT DEFAULT 5)"""
    )
    main["t"].insert({"id": 1})
    assert rows(main, "SELECT a, b, c::VARCHAR, d, e <= now(), f < 1, g, h::VARCHAR FROM t") == [
        (2, "x", "2026-01-02", [1, 2], True, True, None, "-2.5")
    ]
    kinds = [column.default and column.default.kind for column in main._scope.catalog().table("t").columns]
    assert kinds == [None, *4 * ["value"], "expression", "expression", None, *9 * ["value"]]
    assert rows(
        main, "SELECT i.y, j['a'], k::VARCHAR, left(l::VARCHAR, 4), m, n::VARCHAR, o->>0, p::INTEGER FROM t"
    ) == [("z", 1, "1 day", "6ba7", b"\xab", "10:00:00", "1", 5)]


def test_defaults_are_described_as_sql(main: Database) -> None:
    main.sql(
        """CREATE TABLE t (a MAP(VARCHAR, INTEGER) DEFAULT MAP {'it''s': 1}, b INTERVAL DEFAULT INTERVAL 25 HOUR,
        c UUID DEFAULT uuid(), d INTEGER[] DEFAULT [1, NULL], e VARCHAR DEFAULT 'x', f INTEGER DEFAULT random())"""
    )
    described = [text for (text,) in rows(main, "SELECT column_default FROM information_schema.columns")]
    assert described[2:] == ["uuid()", "[1, NULL]", "'x'", "CAST(random() AS INTEGER)"]
    again = main.sql(f"SELECT {described[0]}, ({described[1]})::VARCHAR").fetchall()
    assert again == [([("it's", 1)], "25:00:00")]


def test_generated_columns_and_identities(main: Database) -> None:
    main.sql(
        """CREATE TABLE t (id INTEGER GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5) PRIMARY KEY,
        price DECIMAL(6, 2), twice AS (price * 2), half INTEGER GENERATED ALWAYS AS (price / 2) STORED)"""
    )
    main["t"].insert([{"price": 3}, {"price": 5}])
    assert rows(main, "SELECT id, twice::INTEGER, half FROM t") == [(10, 6, 2), (15, 10, 2)]


def test_constraints_of_columns_and_of_the_table_hold(main: Database) -> None:
    main.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR UNIQUE)")
    main.sql(
        """CREATE TABLE orders (id INTEGER, line INTEGER, user_id INTEGER REFERENCES Users, total DOUBLE NOT NULL,
        state ENUM ('open', 'paid'), CHECK (total >= 0), CONSTRAINT one_each UNIQUE (USER_ID, line),
        PRIMARY KEY (Id, line), FOREIGN KEY (user_id) REFERENCES users (id))"""
    )
    assert main._scope.catalog().table("orders").key_names == ("id", "line")
    main["users"].insert({"id": 1, "email": "a"})
    row = {"id": 1, "line": 1, "user_id": 1, "total": 1.0, "state": "open"}
    main["orders"].insert(row)
    for change in ({"total": -1.0}, {"user_id": 2}, {"total": None}, {"state": "lost"}, {"id": 2}, {}):
        with pytest.raises(ConstraintError):
            main["orders"].insert(
                {**row, **({"line": 2} if change != {} else {}), **change}
                | ({"line": 1} if change == {"id": 2} else {})
            )


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("CREATE TABLE t (a INTEGER, A VARCHAR)", "A VARCHAR", "two columns"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER PRIMARY KEY)", "PRIMARY KEY)", "two primary keys"),
        ("CREATE TABLE t (a INTEGER, PRIMARY KEY (b))", "PRIMARY", "no column 'b'"),
        ("CREATE TABLE t (a INTEGER CHECK (nosuch(a)))", "nosuch", "nosuch"),
        ("CREATE TABLE t (a INTEGER, b AS (c + 1))", "c + 1", "c"),
        ("CREATE TABLE t (a INTEGER DEFAULT nosuch())", "nosuch", "nosuch"),
        ("CREATE TABLE t (a INTEGER DEFAULT 'x')", "'x'", "INT32"),
        ("CREATE TABLE t (a VARCHAR COLLATE NOCASE)", "COLLATE", "collation"),
        ("CREATE TABLE t (a INTEGER) WITH (compresion = 'zstd')", "compresion", "option"),
        ("CREATE TABLE t (a INTEGER) WITH (compression = 'best')", "'best'", "compression"),
        ("CREATE TABLE t (a INTEGER b)", "b)", "expected"),
        ("CREATE TABLE t (a)", ")", "a type"),
        ("CREATE TABLE order (a INTEGER)", "order", "in quotes|word of SQL"),
        ("CREATE TABLE t (a INTEGER, Select INTEGER)", "Select", "word of SQL"),
        ("CREATE TABLE t (a INTEGER) nonsense", "nonsense", "the end"),
        ("CREATE TEMP TABLE t (a INTEGER)", "TEMP", "temporary"),
        ("CREATE OR REPLACE TABLE IF NOT EXISTS t (a INTEGER)", "IF", "exclude"),
        ("CREATE TABLE t (a INTEGER DEFAULT nextval('s') + 1)", "nextval", "as it is"),
        ("CREATE TABLE t (CHECK (1 = 1))", "CHECK", "at least one column"),
        ("CREATE TABEL t (a INTEGER)", "TABEL", "no statement"),
    ],
)
def test_what_is_wrong_is_pointed_at(main: Database, text: str, at: str, message: str) -> None:
    with pytest.raises((QueryError, NotFoundError), match=message) as caught:
        main.sql(text)
    assert caught.value.position == text.index(at)
    assert not main.tables().shape[0]


def test_foreign_keys_that_cannot_be(main: Database) -> None:
    with pytest.raises(NotFoundError, match="no table 'users'"):
        main.sql("CREATE TABLE t (a INTEGER REFERENCES users)")
    main.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR)")
    with pytest.raises(InvalidInputError, match="neither"):
        main.sql("CREATE TABLE t (a VARCHAR REFERENCES users (name))")
    with pytest.raises(QueryError, match="makes no changes itself"):
        main.sql("CREATE TABLE t (a INTEGER REFERENCES users ON DELETE CASCADE)")
    main.sql(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER REFERENCES t ON UPDATE NO ACTION ON DELETE RESTRICT)"
    )


def test_a_name_that_is_taken(main: Database) -> None:
    main.sql("CREATE TABLE t (a INTEGER)")
    with pytest.raises(AlreadyExistsError) as caught:
        main.sql("CREATE TABLE T (b INTEGER)")
    assert caught.value.position == len("CREATE TABLE ")
    main.sql("CREATE TABLE IF NOT EXISTS t (b INTEGER)")
    assert main["t"].schema.names == ["a"]
    main.sql("CREATE OR REPLACE TABLE t (b INTEGER)")
    assert main["t"].schema.names == ["b"]


def test_compression_is_kept(main: Database) -> None:
    main.sql("CREATE TABLE t (a INTEGER) WITH (compression = 'zstd')")
    assert main._scope.catalog().table("t").compression == "zstd"


def test_a_table_of_a_query(main: Database) -> None:
    made = main.sql(
        "CREATE TABLE t AS SELECT range AS id, 'x' || range AS name, NULL AS nothing FROM range(200000)"
    )
    assert (made.statement, made.rowcount) == ("CREATE TABLE", 200_000)
    assert main["t"].schema.types == [pa.int64(), pa.string(), pa.int32()]
    assert rows(main, "SELECT count(*), max(id), max(name) FROM t") == [(200_000, 199_999, "x99999")]
    main.sql("CREATE TABLE u (n, PRIMARY KEY (n)) AS SELECT id FROM t WHERE id < ? ORDER BY id DESC", [3])
    assert rows(main, "FROM u") == [(0,), (1,), (2,)]
    assert main._scope.catalog().table("u").key_names == ("n",)
    main.sql("CREATE OR REPLACE TABLE u AS SELECT n + 1 AS n FROM u")
    assert rows(main, "FROM u") == [(1,), (2,), (3,)]
    assert main.sql("CREATE TABLE IF NOT EXISTS u AS SELECT 7 AS seven").rowcount == 0
    main.sql("CREATE TABLE empty WITH (compression = 'lz4') AS FROM t WITH NO DATA")
    assert main["empty"].count() == 0
    assert main["empty"].schema.names == ["id", "name", "nothing"]
    main.sql("CREATE TABLE twice AS SELECT 1 AS a, 2 AS a WITH DATA")
    assert main["twice"].schema.names == ["a", "a_1"]


def test_a_table_of_a_query_that_fails_is_not_there(main: Database) -> None:
    main.sql("CREATE TABLE t AS SELECT range AS a FROM range(10)")
    for text in (
        "CREATE OR REPLACE TABLE t AS SELECT CAST(x AS INTEGER) AS a FROM (VALUES ('1'), ('b')) v(x)",
        "CREATE OR REPLACE TABLE t (a, PRIMARY KEY (a)) AS SELECT 1 AS a FROM range(3)",
        "CREATE OR REPLACE TABLE t AS SELECT nosuch FROM t",
        "CREATE OR REPLACE TABLE t (a, b) AS SELECT 1",
        "CREATE OR REPLACE TABLE t AS SELECT 1 / 2",
        "CREATE OR REPLACE TABLE t AS SELECT 1::BIT AS b",
        "CREATE OR REPLACE TABLE t AS DELETE FROM t",
        "CREATE OR REPLACE TABLE t AS",
    ):
        with pytest.raises((QueryError, ConstraintError, InvalidInputError)):
            main.sql(text)
        assert main["t"].count() == 10
    with pytest.raises(QueryError) as caught:
        main.sql("CREATE TABLE u AS SELECT nosuch FROM t")
    assert caught.value.position == len("CREATE TABLE u AS SELECT ")


def test_dropping_tables(main: Database) -> None:
    main.sql(
        "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER REFERENCES a); CREATE TABLE c (x INTEGER)"
    )
    with pytest.raises(NotFoundError, match="did you mean 'a'") as caught:
        main.sql("DROP TABLE c, aa")
    assert caught.value.position == len("DROP TABLE c, ")
    assert "c" in main
    with pytest.raises(ConstraintError, match="referenced"):
        main.sql("DROP TABLE a RESTRICT")
    main.sql("DROP TABLE A CASCADE")
    main["b"].insert({"id": 99})
    main.sql("DROP TABLE IF EXISTS a, b, c, nosuch.main.t")
    assert main.tables().shape[0] == 0


def test_tables_of_other_databases(shop: Instance, main: Database) -> None:
    main.branch("staging")
    main.sql("CREATE TABLE staging.t (a INTEGER); CREATE TABLE staging.main.u AS SELECT 1 AS one")
    assert "t" not in main
    assert set(shop["staging"].tables()["name"]) == {"t", "u"}
    main.sql("DROP TABLE staging.t")
    assert "t" not in shop["staging"]
    with pytest.raises(NotFoundError, match="nowhere"):
        main.sql("CREATE TABLE nowhere.t (a INTEGER)")
    with main.session() as session:
        session.sql("BEGIN; CREATE TABLE here (a INTEGER)")
        with pytest.raises(StateError, match="staging"):
            session.sql("CREATE TABLE staging.there (a INTEGER)")
        session.sql("ROLLBACK")
    with pytest.raises(QueryError, match="one database"):
        main.sql("DROP TABLE IF EXISTS main.x, staging.u")


def test_definitions_in_a_transaction_are_undone_with_it(main: Database) -> None:
    main.sql("CREATE TABLE t AS SELECT 1 AS a")
    with main.session() as session:
        session.sql(
            "BEGIN; CREATE OR REPLACE TABLE t AS SELECT a + 1 AS b FROM t; CREATE TABLE u (x INTEGER)"
        )
        assert session.sql("FROM t").fetchall() == [(2,)]
        with pytest.raises(AlreadyExistsError):
            session.sql("CREATE TABLE u (y INTEGER)")
        session.sql("SAVEPOINT s; DROP TABLE t, u; ROLLBACK TO s")
        assert session.sql("FROM u, t").fetchall() == []
        session.sql("ROLLBACK")
    assert rows(main, "FROM t") == [(1,)]
    assert "u" not in main


def test_a_table_replaced_by_what_was_read_of_it_loses_nobodys_rows(main: Database) -> None:
    main.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE u AS SELECT 1 AS a")
    with main.session() as session:
        session.sql("BEGIN; CREATE OR REPLACE TABLE t AS SELECT a + 1 AS a FROM t")
        main.sql("INSERT INTO t VALUES (10)")
        with pytest.raises(WriteConflictError, match="rests on"):
            session.sql("COMMIT")
        session.sql("BEGIN; CREATE OR REPLACE TABLE u AS SELECT a + 1 AS a FROM t")
        main.sql("INSERT INTO u VALUES (10)")
        session.sql("COMMIT")
    assert rows(main, "FROM t ORDER BY a") == [(1,), (10,)]
    assert rows(main, "FROM u ORDER BY a") == [(2,), (11,)]


def test_many_who_define_at_once(shop: Instance, main: Database) -> None:
    main.sql("CREATE TABLE t AS SELECT range AS a FROM range(100); CREATE SEQUENCE s")
    main.sql("CREATE TABLE numbered (id BIGINT DEFAULT nextval('s') PRIMARY KEY, worker INTEGER)")
    errors: list[Exception] = []

    def work(worker: int) -> None:
        for number in range(6):
            try:
                main.sql(
                    f"CREATE OR REPLACE VIEW v AS SELECT {number} AS a; CREATE OR REPLACE TABLE c AS FROM t"
                )
                main.sql(f"ALTER TABLE t ADD COLUMN IF NOT EXISTS b{number % 3} INTEGER DEFAULT 1")
                main.sql(f"INSERT INTO numbered (worker) SELECT {worker} FROM range(5)")
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rows(main, "SELECT count(*), count(DISTINCT id) FROM numbered") == [(120, 120)]
    assert main["t"].schema.names == ["a", "b0", "b1", "b2"]
    assert shop.check().empty


def test_definitions_survive_reopening_and_restoring(tmp_path: Path) -> None:
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        main.sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY DEFAULT 7, a VARCHAR CHECK (a <> ''), b AS (a || '!'))"
        )
        main.snapshot("before")
        main.sql("DROP TABLE t; CREATE TABLE t AS SELECT 1 AS other")
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        assert rows(main, "FROM t") == [(1,)]
        main.restore(snapshot="before")
        main["t"].insert({"a": "x"})
        assert rows(main.branch("b"), "FROM t") == [(7, "x", "x!")]
        with pytest.raises(ConstraintError):
            main["t"].insert({"id": 1, "a": ""})


def test_nothing_is_defined_in_the_past(main: Database) -> None:
    main.sql("CREATE TABLE t (a INTEGER)")
    with pytest.raises(StateError, match="does not change"):
        main.at(lsn=main.lsn).sql("DROP TABLE t")


def test_a_table_of_a_variable_of_the_program(main: Database) -> None:
    frame = pa.table({"a": [1, 2]})
    assert main.sql("CREATE TABLE t AS FROM frame WHERE a > 1").rowcount == frame.num_rows - 1


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        ("CREATE UNIQUE INDEX i ON t (a)", "INDEX", "ADD UNIQUE"),
        ("CREATE TYPE mood AS ENUM ('a')", "TYPE", "where it is used"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "MATERIALIZED", "CREATE TABLE"),
        ("DROP INDEX i", "INDEX", "ADD UNIQUE"),
        ("ALTER SEQUENCE s OWNED BY t", "SEQUENCE", "ALTER is followed by"),
        ("FORCE INSTALL httpfs", "INSTALL", "never loaded"),
        ("ATTACH 'x.db' AS x", "ATTACH", "CREATE DATABASE"),
        ("EXPORT DATABASE 'dir'", "EXPORT", "COPY"),
        ("CREATE SECRET s (TYPE s3)", "SECRET", "network"),
    ],
)
def test_what_there_is_not_says_what_to_do(main: Database, text: str, at: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        main.sql(text)
    assert caught.value.position == text.index(at)
    assert hint in caught.value.hint


@pytest.mark.parametrize("rows_made", [10, 50_000])
def test_a_table_made_and_dropped_in_one_transaction_leaves_nothing_behind(
    tmp_path: Path, rows_made: int
) -> None:
    with absdb.connect(tmp_path / "shop", bulk_threshold=1 << 16) as shop:
        main = shop["main"]
        main.sql("CREATE TABLE t AS SELECT 1 AS a")
        before = len(main.log())
        with main.session() as session:
            session.sql("BEGIN")
            session.sql(f"CREATE TABLE work AS SELECT i FROM range({rows_made}) r(i)")
            session.sql("INSERT INTO work SELECT -i FROM work")
            assert session.sql("SELECT count(*) FROM work").fetchall() == [(2 * rows_made,)]
            assert "work" not in main
            session.sql("DROP TABLE work")
            assert session.commit() is None
        assert len(main.log()) == before
        with pytest.raises(NotFoundError):
            main.sql("UNDROP TABLE work")
        shop.checkpoint()
        assert shop.check().empty
    with absdb.connect(tmp_path / "shop") as shop:
        assert list(shop["main"]) == ["t"]


def test_an_enum_is_text_with_a_check_and_has_its_order_when_cast(main: Database) -> None:
    main.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, m ENUM ('sad', 'ok', 'happy'))")
    main.sql("INSERT INTO t VALUES (1, 'happy'), (2, 'sad'), (3, 'ok'), (4, NULL)")
    with pytest.raises(ConstraintError, match="'happy'"):
        main.sql("UPDATE t SET m = 'other' WHERE id = 1")
    main.sql("CREATE MACRO mood(x) AS CAST(x AS ENUM ('sad', 'ok', 'happy'))")
    assert rows(main, "SELECT id FROM t ORDER BY m NULLS FIRST") == [(4,), (1,), (3,), (2,)]
    assert rows(main, "SELECT id FROM t ORDER BY mood(m) NULLS FIRST") == [(4,), (2,), (3,), (1,)]
    assert rows(main, "SELECT id FROM t WHERE mood(m) >= mood('ok')") == [(1,), (3,)]
    assert rows(main, "SELECT min(mood(m)), max(mood(m)) FROM t") == [("sad", "happy")]
