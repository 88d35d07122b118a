"""COPY: files to tables, tables and queries to files, with DuckDB's options."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import absdb
from absdb.errors import ConstraintError, QueryError
from absdb.sql.session import Session

DAY = dt.date(2026, 1, 2)


@pytest.fixture
def filled(shop: Any) -> Any:
    shop.count("INSERT INTO orders VALUES (1, 10, '2026-01-02', 'a'), (2, NULL, NULL, NULL)")
    return shop


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "o.json"])
def test_there_and_back(filled: Any, tmp_path: Path, name: str) -> None:
    before = filled.rows("FROM orders")
    assert filled.count(f"COPY orders TO '{tmp_path / name}'") == 2
    filled.count("TRUNCATE orders")
    assert filled.count("COPY orders FROM ?", [str(tmp_path / name)]) == 2
    assert filled.rows("FROM orders") == before


def test_columns_and_options(filled: Any, tmp_path: Path) -> None:
    text = f"COPY orders (note, id) TO '{tmp_path}/o.csv' (HEADER false, DELIMITER '|', NULLSTR '-')"
    assert filled.count(text) == 2
    assert (tmp_path / "o.csv").read_text() == "a|1\n-|2\n"
    filled.count("DELETE FROM orders WHERE id = 1")
    (tmp_path / "o.csv").write_text("7|b\n8|-\n")
    options = "WITH (HEADER false, DELIMITER '|', NULLSTR '-')"
    text = f"COPY main.orders (id, note) FROM ('{tmp_path}/' || 'o.csv') {options}"
    assert filled.count(text) == 2
    assert filled.rows("SELECT id, note FROM orders") == [(2, None), (7, "b"), (8, None)]


def test_a_query_to_a_file(filled: Any, tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    query = "WITH n AS (SELECT 5 AS five) SELECT id + five + $more AS x FROM orders, n"
    text = f"COPY ({query}) TO '{path}' (FORMAT parquet)"
    assert filled.count(text, {"more": 100}) == 2
    assert pq.read_table(path)["x"].to_pylist() == [106, 107]
    found = filled.session.sql(f"COPY orders TO '{path}' (RETURN_FILES)")
    assert (found.columns, found.fetchall()) == (["Count", "Files"], [(2, [str(path)])])


def test_what_does_not_fit_changes_nothing(filled: Any, tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("id,total,day,note\n3,4,2026-01-02,x\n1,1,2026-01-02,y\n")
    with pytest.raises(ConstraintError, match="key 1"):
        filled.session.sql(f"COPY orders FROM '{path}'")
    path.write_text("id,total,day,note\n3,4,2026-01-02,x\n4,x,2026-01-02,y\n")
    with pytest.raises(QueryError, match="total"):
        filled.session.sql(f"COPY orders FROM '{path}' (HEADER)")
    assert filled.rows("SELECT id FROM orders") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COPY oders TO '{}/x.csv'", "no table 'oders'"),
        ("COPY oders FROM '{}/x.csv'", "no table 'oders'"),
        ("COPY orders (idd) FROM '{}/x.csv'", "no column 'idd'"),
        ("COPY orders (idd) TO '{}/x.csv'", "idd"),
        ("COPY orders FROM '{}/nothing.csv'", "[Nn]o files found"),
        ("COPY orders FROM stdin", "file in quotes"),
        ("COPY orders INTO '{}/x.csv'", "expected TO or FROM"),
        ("COPY orders TO '{}/x.csv' (NOPE 3)", "(?i)nope"),
        ("COPY FROM DATABASE a TO b", "whole databases"),
        ("COPY (SELECT nope FROM orders) TO '{}/x.csv'", "nope"),
    ],
)
def test_errors(filled: Any, tmp_path: Path, text: str, message: str) -> None:
    text = text.format(tmp_path)
    with pytest.raises(QueryError, match=message) as error:
        filled.session.sql(text)
    assert error.value.statement == text
    assert not (tmp_path / "x.csv").exists()


def test_the_instances_own_files_are_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "shop"
    (tmp_path / "link").symlink_to(root)
    with absdb.connect(root) as instance:
        session = Session(instance["main"]._scope)
        session.sql("CREATE TABLE t (a INTEGER)")
        monkeypatch.chdir(root)
        paths = [
            root / "x.csv",
            "x.csv",
            tmp_path / "link" / "x.csv",
            f"file://{root}/x.csv",
            root / "wal" / "../x.csv",
        ]
        statements = [f"COPY t {verb} '{path}'" for path in paths for verb in ("FROM", "TO")]
        for text in [*statements, f"COPY t FROM '{tmp_path}/*/*'", f"COPY t FROM '{tmp_path}/**/control'"]:
            with pytest.raises(QueryError, match="the directory of the instance"):
                session.sql(text)
        session.sql(f"COPY t TO '{tmp_path}/shop.csv'")
        session.sql(f"COPY t FROM '{tmp_path}/sh*.csv'")
        with Session(instance["main"]._scope, strangers=True) as session:
            for verb in ("FROM", "TO"):
                with pytest.raises(QueryError, match="cannot be copied here"):
                    session.sql(f"COPY t {verb} '{tmp_path}/shop.csv'")
