"""Restore points: names for places in the log, from Python, SQL and the program."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import absdb
from absdb.cli.main import program
from absdb.errors import InvalidInputError, QueryError, StateError


@pytest.fixture
def shop(tmp_path):
    with absdb.connect(tmp_path / "shop", author="tests") as instance:
        instance["main"].sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        yield instance


def points(instance) -> list[tuple[str, str]]:
    log = instance.log()
    return list(log[log["kind"] == "restore point"][["message", "lsn"]].itertuples(index=False, name=None))


def test_restore_point_shows_in_the_log_of_the_instance_and_of_no_database(shop):
    before = shop.lsn
    lsn = shop.create_restore_point("before the migration")
    assert before < lsn == shop.lsn
    assert points(shop) == [("before the migration", str(lsn))]
    assert not shop.log()["undone"].any()
    assert "restore point" not in set(shop["main"].log()["kind"])


def test_restore_point_is_there_after_a_crash_and_after_a_checkpoint(shop, tmp_path):
    lsn = shop.create_restore_point("here")
    shop._engine.abandon()
    for _ in range(2):
        with absdb.connect(tmp_path / "shop") as again:
            assert points(again) == [("here", str(lsn))]


def test_sql_makes_a_restore_point_and_gives_its_lsn(shop):
    found = shop["main"].sql("SELECT absdb_create_restore_point('from ' || 'sql') AS lsn, 7 AS n").to_pandas()
    assert points(shop) == [("from sql", found["lsn"][0])]
    assert found["n"][0] == 7


def test_explained_restore_point_is_not_made(shop):
    shop["main"].sql("EXPLAIN SELECT absdb_create_restore_point('x')").to_pandas()
    assert points(shop) == []


def test_name_that_cannot_be_is_refused(shop):
    with pytest.raises(InvalidInputError, match="restore point"):
        shop.create_restore_point("a/b")
    with pytest.raises((InvalidInputError, QueryError), match="restore point"):
        shop["main"].sql("SELECT absdb_create_restore_point('a@b')").to_pandas()
    assert points(shop) == []


def test_reader_makes_no_restore_point(shop, tmp_path):
    with absdb.connect(tmp_path / "shop", read_only=True) as reader:
        with pytest.raises(StateError, match="reading only"):
            reader.create_restore_point("x")
        with pytest.raises(StateError, match="reading only"):
            reader["main"].sql("SELECT absdb_create_restore_point('x')").to_pandas()


def test_program_makes_a_restore_point(tmp_path):
    absdb.connect(tmp_path / "shop").close()
    ran = CliRunner().invoke(program, ["admin", "restore-point", "night", "-i", str(tmp_path / "shop")])
    assert ran.exit_code == 0, ran.output
    with absdb.connect(tmp_path / "shop") as shop:
        ((name, lsn),) = points(shop)
        assert ran.output == f"restore point night @ {lsn}\n"
        assert name == "night"
