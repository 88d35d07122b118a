"""What SQL must not reach: the instance's own files, the network, extensions, settings; and, for strangers, anything
outside the tables. Every way is tried with real files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import absdb
from absdb.sql.session import Session

REFUSED = "lies in the directory of the instance"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current directory, with an instance `shop`, files of the user, and links that lead into the instance."""
    place = tmp_path_factory.mktemp("place")
    (place / "data").mkdir()
    (place / "data" / "a.csv").write_text("x,y\n1,2\n")
    (place / "data" / "b.csv").write_text("x,y\n3,4\n")
    (place / "data" / "a.json").write_text('{"x": 1}\n')
    (place / "shop").mkdir()
    os.symlink(place / "shop", place / "link")
    os.symlink(place / "shop" / "control", place / "data" / "c.csv")
    before = Path.cwd()
    os.chdir(place)
    yield place
    os.chdir(before)


@pytest.fixture(scope="module")
def shop(place: Path) -> Iterator[absdb.Instance]:
    with absdb.connect(place / "shop") as shop:
        shop["main"].create_table("t", [{"id": 1, "path": "shop/control"}], key="id")
        shop["main"].snapshot("first")
        shop.checkpoint()
        # A file that DuckDB would gladly read, were it allowed to.
        (place / "shop" / "secret.csv").write_text("secret\n42\n")
        yield shop


@pytest.fixture
def main(shop: absdb.Instance) -> Iterator[absdb.Database]:
    """As it was at first, whatever a test has done to it."""
    yield shop["main"]
    shop["main"].restore(snapshot="first")


def inside(place: Path) -> list[str]:
    """Many spellings of files of the instance."""
    shop = str(place / "shop")
    return [
        "shop/secret.csv",
        "./shop/../shop/secret.csv",
        f"{shop}/secret.csv",
        f"{shop}//secret.csv",
        f"file:{shop}/secret.csv",
        f"file://{shop}/secret.csv",
        f"FILE://localhost{shop}/secret.csv",
        "link/secret.csv",
        "data/../link/secret.csv",
        "data/c.csv",
        "shop/*.csv",
        "sh?p/secret.csv",
        "s[h]op/secret.csv",
        "*/secret.csv",
        "**/secret.csv",
        f"{place}/*/sec*",
        "link/*.csv",
        "data/c*.csv",
        "shop/control",
        "shop/wal/*",
    ]


# -- files of the instance


def test_a_literal_table_name_does_not_lead_into_the_instance(main, place):
    for path in inside(place):
        with pytest.raises(absdb.QueryError, match=REFUSED):
            main.sql(f"FROM '{path}'").fetchall()
        with pytest.raises(absdb.QueryError):
            main.sql(f'FROM "{path}"').fetchall()


@pytest.mark.parametrize(
    "function",
    [
        "read_csv",
        "READ_CSV_AUTO",
        "read_parquet",
        "parquet_scan",
        "read_json",
        "read_json_auto",
        "read_json_objects",
        "read_ndjson",
        "read_text",
        "read_blob",
        "glob",
        "sniff_csv",
        "parquet_metadata",
        "parquet_schema",
        "parquet_file_metadata",
        "parquet_kv_metadata",
        "read_duckdb",
        "main.read_csv",
        "system.main.read_text",
    ],
)
def test_no_reading_function_leads_into_the_instance(main, place, function):
    for path in ("shop/secret.csv", "link/secret.csv", "*/secret.csv"):
        for argument, values in (
            (f"'{path}'", None),
            ("?", [path]),
            (f"'{path[:3]}' || '{path[3:]}'", None),
            (f"['data/a.csv', '{path}']", None),
            ("getvariable('p')", None),
            (f"(SELECT '{path}')", None),
            (f"CASE WHEN random() < 2 THEN '{path}' ELSE 'data/a.csv' END", None),
        ):
            with main.session() as session:
                session.sql(f"SET VARIABLE p = '{path}'")
                with pytest.raises(absdb.QueryError):
                    session.sql(f"FROM {function}({argument})", values).fetchall()


def test_where_a_table_function_stands_does_not_matter(main):
    reading = "read_text('shop/secret.csv')"
    for text in (
        f"SELECT (SELECT content FROM {reading})",
        f"WITH a AS (FROM {reading}) FROM a",
        f"SELECT * FROM t WHERE EXISTS (FROM {reading})",
        f"SELECT * FROM t JOIN {reading} ON true",
        f"SELECT * FROM t, LATERAL (FROM {reading})",
        f"FROM t UNION ALL BY NAME FROM {reading}",
        f"FROM query('FROM {reading.replace(chr(39), chr(39) * 2)}')",
        f"DESCRIBE FROM {reading}",
        f"SUMMARIZE FROM {reading}",
        f"SELECT * FROM (PIVOT {reading} ON filename IN ('a') USING count(*))",
        f"PIVOT (FROM {reading}) ON filename USING count(*)",
        f"EXPLAIN FROM {reading}",
        f"EXPLAIN ANALYZE FROM {reading}",
        f"INSERT INTO t SELECT 2, content FROM {reading}",
        f"UPDATE t SET path = (SELECT content FROM {reading})",
        f"DELETE FROM t WHERE path IN (SELECT content FROM {reading})",
        f"CREATE TABLE u AS FROM {reading}",
        f"SET VARIABLE x = (SELECT content FROM {reading})",
        "SELECT * FROM absdb_log((SELECT content FROM read_text('shop/secret.csv')))",
        'WITH RECURSIVE "shop/secret.csv" AS (FROM "shop/secret.csv" UNION ALL FROM "shop/secret.csv") '
        'FROM "shop/secret.csv"',
    ):
        with pytest.raises(absdb.AbsdbError):
            main.sql(text).fetchall()
        assert main.sql("FROM t").fetchall() == [(1, "shop/control")]


def test_a_path_that_depends_on_rows_is_refused(main):
    with pytest.raises(absdb.QueryError, match="must not depend on rows"):
        main.sql("SELECT * FROM t, read_text(t.path)")


def test_files_of_the_user_are_read(main, place):
    assert main.sql("FROM 'data/a.csv'").fetchall() == [(1, 2)]
    assert main.sql("SELECT sum(x) FROM read_csv('data/[ab].csv')").fetchall() == [(4,)]
    assert (
        main.sql("FROM read_csv(['data/a.csv', ?])", [str(place / "data" / "b.csv")]).to_arrow().num_rows == 2
    )
    assert main.sql("SELECT x FROM read_csv('data/' || 'a' || '.csv', header = true)").fetchall() == [(1,)]
    assert main.sql("SELECT x FROM read_json('data/a.json')").fetchall() == [(1,)]
    assert main.sql("SELECT count(*) FROM glob('data/[ab].csv')").fetchall() == [(2,)]
    (place / "shopping.csv").write_text("z\n1\n")
    assert main.sql("FROM 'shopping.csv'").fetchall() == [(1,)]
    with pytest.raises(absdb.QueryError, match=r"data/nothing\.csv"):
        main.sql("FROM 'data/nothing.csv'")
    # Text that only looks like a path of the instance is text.
    assert main.sql("SELECT count(*) FROM t WHERE path = 'shop/control'").fetchall() == [(1,)]


# -- everything else that is outside


@pytest.mark.parametrize(
    "text",
    [
        "ATTACH 'shop/x.db'",
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '/tmp/x.duckdb_extension'",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "EXPORT DATABASE 'data/out'",
        "IMPORT DATABASE 'data/out'",
        "CALL enable_logging()",
        "CALL force_checkpoint()",
        "PREPARE p AS SELECT 1",
        "PRAGMA import_database('data')",
        "PRAGMA enable_profiling",
        "SELECT * FROM 'https://example.com/x.parquet'",
        "SELECT * FROM read_csv('s3://bucket/x.csv')",
        "SELECT * FROM read_parquet('hf://datasets/x.parquet')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "FROM arrow_scan(1, 2, 3)",
        "FROM pandas_scan(1)",
        "FROM seq_scan('t')",
        "FROM duckdb_secrets()",
        "FROM which_secret('s3://x', 's3')",
        "FROM enable_logging()",
        "FROM duckdb_logs()",
        "FROM checkpoint()",
        "FROM pragma_storage_info('t')",
    ],
)
def test_statements_and_functions_that_reach_further_are_refused_with_a_reason(main, text):
    with pytest.raises(absdb.QueryError) as caught:
        main.sql(text).fetchall()
    assert "LINE 1" in caught.value.message
    assert caught.value.hint or "no table function" in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "enable_external_access",
        "allowed_directories",
        "autoload_known_extensions",
        "autoinstall_known_extensions",
        "allow_unsigned_extensions",
        "extension_directory",
        "custom_extension_repository",
        "secret_directory",
        "temp_directory",
        "home_directory",
        "file_search_path",
        "log_query_path",
        "profiling_output",
        "python_enable_replacements",
        "python_scan_all_frames",
        "arrow_lossless_conversion",
        "errors_as_json",
        "preserve_insertion_order",
        "lock_configuration",
        "http_proxy",
        "wal_segment_size",
        "nothing",
    ],
)
def test_settings_that_matter_to_others_are_refused(main, name):
    for text in (f"SET {name} = 'x'", f"SET SESSION {name} TO 1", f"PRAGMA {name} = true", f"RESET {name}"):
        with pytest.raises(absdb.QueryError) as caught:
            main.sql(text)
        assert caught.value.hint
        assert name in caught.value.message


# -- settings a session may change


def test_settings_belong_to_one_session(main):
    query = "SELECT TIMESTAMPTZ '2026-01-01 12:00:00+00' :: VARCHAR"
    with main.session() as one, main.session() as other:
        one.sql("SET TimeZone = 'Asia/Tokyo'")
        assert one.sql(query).fetchall() == [("2026-01-01 21:00:00+09",)]
        assert other.sql(query).fetchall() == main.sql(query).fetchall() == [("2026-01-01 12:00:00+00",)]
        assert one.sql("SHOW TimeZone").fetchall() == [("Asia/Tokyo",)]
        one.sql("SET default_null_order = 'nulls_first'; SET threads = 1")
        assert one.sql("SELECT x FROM (VALUES (1), (NULL)) v(x) ORDER BY x").fetchall() == [(None,), (1,)]
        assert other.sql("SELECT x FROM (VALUES (1), (NULL)) v(x) ORDER BY x").fetchall() == [(1,), (None,)]
        assert one.sql("SELECT current_setting('threads')").fetchall() == [(1,)]
        one.sql("RESET TimeZone")
        assert one.sql(query).fetchall() == other.sql(query).fetchall()
        assert one.sql("SHOW threads").fetchall() == [("1",)]
        one.sql("SET TIME ZONE 'Europe/Paris'; SET integer_division = true")
        assert one.sql("SELECT 7 / 2, id FROM t").fetchall() == [(3, 1)]
        with pytest.raises(absdb.QueryError, match="LINE 1"):
            one.sql("SET TimeZone = 'Nowhere/Land'")
        assert one.sql("SHOW TimeZone").fetchall() == [("Europe/Paris",)]
        one.sql("SET TimeZone TO DEFAULT")
        assert one.sql("SHOW TimeZone").fetchall() == [("UTC",)]


def test_a_result_outlives_the_session_whose_settings_it_has(main):
    result = main.sql("SET TimeZone = 'Asia/Tokyo'; SELECT TIMESTAMPTZ '2026-01-01 12:00:00+00' :: VARCHAR")
    assert result.fetchall() == [("2026-01-01 21:00:00+09",)]


def test_variables(main):
    with main.session() as session:
        session.sql("SET VARIABLE n = (SELECT max(id) FROM t)")
        session.sql("SET VARIABLE d = DATE '2026-01-02'")
        assert session.sql(
            "SELECT getvariable('n') + 1, getvariable('D'), getvariable('none')"
        ).fetchall() == [(2, pd.Timestamp("2026-01-02").date(), None)]
        assert session.sql("SELECT getvariable('n')").columns == ["getvariable('n')"]
        session.sql("INSERT INTO t VALUES (getvariable('n') + 1, 'more')")
        session.sql("RESET VARIABLE n")
        assert session.sql("SELECT getvariable('n')").fetchall() == [(None,)]
    assert main.sql("SELECT getvariable('d')").fetchall() == [(None,)]


def test_set_schema_is_use(main):
    main.branch("staging")
    with main.session() as session:
        session.sql("SET schema = 'staging'")
        assert session.database == "staging"
        session.sql("SET search_path = 'main.main,other'")
        assert session.database == "main"
        with pytest.raises(absdb.QueryError, match="no database or schema 'nothing'"):
            session.sql("SET schema = nothing")


# -- strangers


@pytest.fixture
def stranger(main: absdb.Database) -> Iterator[Session]:
    with Session(main._scope, strangers=True) as session:
        yield session


def test_strangers_read_and_write_tables(main, stranger):
    assert stranger.sql("SELECT count(*) FROM t").fetchall() == [(1,)]
    stranger.sql("BEGIN; INSERT INTO t VALUES (2, 'x'); COMMIT")
    assert main["t"].count() == 2
    assert stranger.sql("FROM absdb_snapshots").to_arrow().num_rows == 1
    stranger.sql("SET TimeZone = 'Asia/Tokyo'")
    assert stranger.sql("SHOW TimeZone").fetchall() == [("Asia/Tokyo",)]


@pytest.mark.parametrize(
    "text",
    [
        "FROM 'data/a.csv'",
        "FROM read_csv('data/a.csv')",
        "FROM read_csv(?)",
        "FROM read_text('/etc/passwd')",
        "FROM glob('*')",
        "FROM sniff_csv('data/a.csv')",
        "FROM query('FROM read_csv(''data/a.csv'')')",
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
        "CREATE TABLE u AS FROM 'data/a.csv'",
        "INSERT INTO t FROM read_csv('data/a.csv')",
        "COPY t TO 'data/out.csv'",
        "COPY t FROM 'data/a.csv'",
        "COPY (SELECT 1) TO 'data/out.parquet'",
        "FROM frame",
        "FROM duckdb_settings()",
        "FROM duckdb_temporary_files()",
        "SET threads = 1",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        'WITH RECURSIVE "data/a.csv" AS (FROM "data/a.csv" UNION ALL FROM "data/a.csv") FROM "data/a.csv"',
    ],
)
def test_strangers_reach_nothing_outside(main, stranger, place, text):
    frame = pd.DataFrame({"x": [1]})
    assert len(frame) == 1
    values = ["data/a.csv"] if "?" in text else None
    with pytest.raises(absdb.AbsdbError):
        stranger.sql(text, values, frames=lambda name: frame).fetchall()
    assert sorted(each.name for each in (place / "data").iterdir()) == ["a.csv", "a.json", "b.csv", "c.csv"]


def test_duckdb_itself_keeps_strangers_in(stranger, place):
    """Should something ever get past our own checks, DuckDB refuses it once more."""
    with stranger.backend.registered({}) as connection:
        for text in (
            "FROM 'data/a.csv'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
            "ATTACH 'x.db'",
        ):
            with pytest.raises(Exception, match=r"(?i)permission|disabled|locked|cannot"):
                connection.execute(text).fetchall()
