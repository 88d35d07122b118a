"""Folding a database into an instance of its own: all of its newest state, and nothing else in any byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

import absdb
from absdb.backup.fold import FoldedDatabase, fold_database
from absdb.catalog.manifest import Manifest
from absdb.cli.main import program
from absdb.engine.compaction import maintain
from absdb.errors import ConstraintError, HistoryExpiredError, NotFoundError, StateError
from absdb.io.local import LocalFileSystem

SMALL = {"page_rows": 64, "wal_segment_size": 64 * 1024}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[absdb.Instance]:
    clock = absdb.ManualClock(tick_us=1_000_000)
    with absdb.connect(tmp_path / "shop", clock=clock, **SMALL) as instance:
        yield instance


def fold(shop: absdb.Instance, name: str, target: Path) -> FoldedDatabase:
    engine = shop._engine
    return fold_database(engine, engine.history.database(name), LocalFileSystem(target))


def rows_of(count: int, text: str = "plain") -> list[dict[str, object]]:
    return [{"id": number, "n": number % 7, "s": f"{text} {number}"} for number in range(count)]


def everything(database: absdb.Database) -> dict[str, pa.Table]:
    return {name: database[name].to_arrow() for name in database.tables()["name"]}


def stored_bytes(path: Path) -> bytes:
    """All bytes of an instance, the manifest in plain text."""
    found = b""
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        data = file.read_bytes()
        if file.suffix == ".manifest":
            data = repr(Manifest.from_bytes(data, file.name).parts).encode()
        found += data
    return found


def make_rich(main: absdb.Database) -> None:
    """Tables of many kinds, and things that are no tables."""
    main.sql("CREATE SCHEMA sales")
    main.sql("CREATE SEQUENCE numbers START 100")
    main.create_table("plain", rows_of(500), key="id", comment="said of it")
    main.create_table("loose", rows_of(200))
    main.create_table("packed", rows_of(300), key=["n", "s"], compression="zstd")
    main.create_table("empty", pa.schema([("id", pa.int64()), ("d", pa.date32())]), key="id")
    main.sql("CREATE TABLE sales.parent (code VARCHAR PRIMARY KEY, name VARCHAR UNIQUE)")
    main.sql("INSERT INTO sales.parent SELECT 'c' || i, 'name ' || i FROM range(300) t(i)")
    main.sql(
        "CREATE TABLE child (id INTEGER PRIMARY KEY DEFAULT nextval('numbers'), code VARCHAR NOT NULL "
        "REFERENCES sales.parent (code), n INTEGER CHECK (n >= 0), twice INTEGER GENERATED ALWAYS AS (n * 2))"
    )
    main.sql("INSERT INTO child (code, n) SELECT 'c' || (i % 300), i FROM range(400) t(i)")
    main.sql("CREATE VIEW few AS SELECT * FROM plain WHERE id < 10")
    main.sql("CREATE MACRO plus_one(x) AS x + 1")
    main.sql("UPDATE plain SET s = 'again' WHERE id % 50 = 3")
    main.sql("DELETE FROM plain WHERE id BETWEEN 100 AND 120")
    main.sql("ALTER TABLE plain ADD COLUMN added INTEGER DEFAULT 7")


def test_every_table_of_a_fold_equals_its_source(shop: absdb.Instance, tmp_path: Path) -> None:
    make_rich(shop["main"])
    found = fold(shop, "main", tmp_path / "folded")
    expected = everything(shop["main"])
    with absdb.connect(tmp_path / "folded") as folded:
        assert everything(folded["main"]) == expected
        assert folded.check().empty
        assert folded.id == shop.id
        assert folded.lsn == shop.lsn == found.lsn
    assert (found.tables, found.rows) == (len(expected), sum(table.num_rows for table in expected.values()))


def test_definitions_and_constraints_go_on_working(shop: absdb.Instance, tmp_path: Path) -> None:
    make_rich(shop["main"])
    shop["main"].add_check("some", "SELECT count(*) > 0 FROM plain")
    fold(shop, "main", tmp_path / "folded")
    with absdb.connect(tmp_path / "folded") as folded:
        main = folded["main"]
        assert main.sql("SELECT count(*) FROM few").fetchall() == [(10,)]
        assert main.sql("SELECT plus_one(1)").fetchall() == [(2,)]
        assert list(main.checks()["name"]) == ["some"]
        with pytest.raises(ConstraintError):
            main.sql("INSERT INTO child (code, n) VALUES ('unknown', 1)")
        with pytest.raises(ConstraintError):
            main.sql("INSERT INTO sales.parent VALUES ('new', 'name 7')")
        with pytest.raises(ConstraintError):
            main.sql("INSERT INTO child (code, n) VALUES ('c1', -1)")
        with pytest.raises(ConstraintError):
            main.sql("DELETE FROM sales.parent WHERE code = 'c7'")


def test_numbers_go_on_above_those_handed_out(shop: absdb.Instance, tmp_path: Path) -> None:
    main = shop["main"]
    make_rich(main)
    staging = main.branch("staging")
    staging["loose"].insert(rows_of(5, "more"))
    highest = main.sql("SELECT max(id) FROM child").fetchall()[0][0]
    fold(shop, "main", tmp_path / "folded")
    with absdb.connect(tmp_path / "folded") as folded:
        again = folded["main"]
        before = again["loose"].to_arrow()
        again["loose"].insert([{"id": -1, "n": 0, "s": "last"}])
        assert again["loose"].to_arrow().slice(0, before.num_rows) == before
        assert again["loose"].count() == before.num_rows + 1
        again.sql("INSERT INTO child (code, n) VALUES ('c1', 1)")
        assert again.sql("SELECT max(id) FROM child").fetchall()[0][0] == highest + 1
        ids = {info.id for info in shop._engine.history.databases.values()}
        assert folded._engine.allocator.new_id() > max(ids)


def test_no_byte_of_a_fold_is_of_other_branches_or_of_the_past(shop: absdb.Instance, tmp_path: Path) -> None:
    main = shop["main"]
    main.create_table("t", rows_of(500), key="id")
    main.sql("UPDATE t SET s = 'OVERWRITTEN' WHERE id < 50")
    main.sql("UPDATE t SET s = 'plain' WHERE id < 50")
    main.sql("INSERT INTO t VALUES (9001, 1, 'DELETED')")
    main.sql("DELETE FROM t WHERE id = 9001")
    main.sql("ALTER TABLE t ADD COLUMN secret VARCHAR")
    main.sql("UPDATE t SET secret = 'DROPPED' || id")
    main.sql("ALTER TABLE t DROP COLUMN secret")
    staging = main.branch("staging")
    other = main.branch("other")
    with main.transaction(message="MESSAGEOFMAIN") as tx:
        tx.sql("UPDATE t SET s = 'LATERINMAIN' WHERE id > 100")
    main.create_table("LATERTABLE", [{"v": "LATERROW"}])
    other.sql("UPDATE t SET s = 'ONOTHER' WHERE id > 100")
    staging.sql("UPDATE t SET s = 'ONSTAGING' WHERE id = 7")
    shop.checkpoint()
    maintain(shop._engine)
    fold(shop, "staging", tmp_path / "folded")
    found = stored_bytes(tmp_path / "folded")
    assert b"ONSTAGING" in found
    for gone in (b"OVERWRITTEN", b"DELETED", b"DROPPED", b"MAIN", b"LATER", b"ONOTHER", b"'other'"):
        assert gone not in found, gone


def test_a_fold_of_a_branch_has_no_main_and_works(shop: absdb.Instance, tmp_path: Path) -> None:
    shop["main"].create_table("t", rows_of(100), key="id")
    shop["main"].branch("staging").sql("DELETE FROM t WHERE id > 10")
    fold(shop, "staging", tmp_path / "folded")
    with absdb.connect(tmp_path / "folded") as folded:
        assert list(folded) == ["staging"]
        assert list(folded.branches()["name"]) == ["staging"]
        with pytest.raises(NotFoundError, match="main"):
            folded["main"]
        folded["staging"].branch("next")["t"].insert([{"id": 50, "n": 1, "s": "x"}])
        assert folded["staging"].merge(folded["next"]).kind == "fast-forward"
        assert folded["staging"].restore(lsn=folded.log()["lsn"].iloc[-1]) == folded.lsn
        assert folded["staging"]["t"].count() == 11
    said = CliRunner().invoke(program, ["-i", str(tmp_path / "folded"), "sql", "SELECT 1"])
    assert said.exit_code == 1
    assert "--database next; there are next, staging" in said.output
    assert CliRunner().invoke(program, ["-i", str(tmp_path / "folded"), "check"]).exit_code == 0


def test_what_follows_a_fold_survives_checkpoints_and_reopening(shop: absdb.Instance, tmp_path: Path) -> None:
    shop["main"].create_table("t", rows_of(300), key="id")
    fold(shop, "main", tmp_path / "folded")
    with absdb.connect(tmp_path / "folded", **SMALL) as folded:
        folded["main"].sql("UPDATE t SET s = 'new' WHERE id % 2 = 0")
        folded.checkpoint()
        folded.maintain()
        folded["main"].sql("DELETE FROM t WHERE id > 200")
        expected = folded["main"]["t"].to_arrow()
    with absdb.connect(tmp_path / "folded") as folded:
        assert folded["main"]["t"].to_arrow() == expected
        assert folded.check().empty
        assert folded["main"].at(lsn=folded.log()["lsn"].iloc[-1])["t"].count() == 300


def test_states_before_the_fold_are_an_error_not_empty_tables(shop: absdb.Instance, tmp_path: Path) -> None:
    main = shop["main"]
    main.create_table("t", rows_of(100), key="id")
    before = shop.lsn
    main.branch("staging").sql("DELETE FROM t WHERE id = 1")
    main["t"].insert([{"id": 1000, "n": 1, "s": "x"}])
    for name in ("main", "staging"):
        fold(shop, name, tmp_path / name)
        with absdb.connect(tmp_path / name) as folded, pytest.raises(HistoryExpiredError):
            folded[name].at(lsn=int(before) - 8)["t"].count()
        with absdb.connect(tmp_path / name) as folded, pytest.raises(HistoryExpiredError):
            folded[name].at(lsn=before)["t"].count()


def test_restored_tables_and_merges_are_folded_as_they_read(shop: absdb.Instance, tmp_path: Path) -> None:
    main = shop["main"]
    main.create_table("t", rows_of(100), key="id")
    main.create_table("u", rows_of(100), key="id")
    before = shop.lsn
    staging = main.branch("staging")
    staging.sql("UPDATE u SET s = 'staging' WHERE id = 3")
    main.sql("DELETE FROM t WHERE id > 5")
    main.sql("UPDATE u SET s = 'main' WHERE id = 5")
    main.merge(staging)
    main.restore(lsn=before, tables=["t"])
    fold(shop, "main", tmp_path / "folded")
    with absdb.connect(tmp_path / "folded") as folded:
        assert everything(folded["main"]) == everything(main)
        assert folded["main"]["t"].count() == 100
        folded["main"].sql("UPDATE t SET s = 'on' WHERE id = 1")
        folded.maintain()
        assert folded.check().empty


def test_a_database_without_a_commit_can_be_folded(shop: absdb.Instance, tmp_path: Path) -> None:
    fold(shop, "main", tmp_path / "folded")
    with absdb.connect(tmp_path / "folded") as folded:
        folded["main"].create_table("t", rows_of(3), key="id")
        assert folded.check().empty
    with absdb.connect(tmp_path / "folded") as folded:
        assert folded["main"]["t"].count() == 3


def test_what_is_committed_during_a_fold_is_not_in_it(shop: absdb.Instance, tmp_path: Path) -> None:
    main, engine = shop["main"], shop._engine
    main.create_table("a", rows_of(100), key="id")
    main.create_table("b", rows_of(100), key="id")
    expected = everything(main)

    def commit(rows: int) -> None:
        main.sql("UPDATE b SET s = 'meanwhile'")
        main.create_table(f"c{rows}", rows_of(3))
        shop.checkpoint()
        shop.maintain()

    fold_database(
        engine, engine.history.database("main"), LocalFileSystem(tmp_path / "folded"), progress=commit
    )
    with absdb.connect(tmp_path / "folded") as folded:
        assert everything(folded["main"]) == expected


def test_a_directory_that_is_not_empty_is_refused(shop: absdb.Instance, tmp_path: Path) -> None:
    (tmp_path / "folded").mkdir()
    (tmp_path / "folded" / "mine.txt").write_text("mine")
    with pytest.raises(StateError, match=r"mine\.txt"):
        fold(shop, "main", tmp_path / "folded")
    fold(shop, "main", tmp_path / "other")
    with pytest.raises(StateError, match="holds an instance already"):
        fold(shop, "main", tmp_path / "other")


def test_a_fold_that_fails_leaves_no_instance(shop: absdb.Instance, tmp_path: Path) -> None:
    shop["main"].create_table("t", rows_of(100), key="id")

    def fail(rows: int) -> None:
        raise RuntimeError(f"after {rows} rows")

    engine = shop._engine
    with pytest.raises(RuntimeError, match="after 100 rows"):
        fold_database(
            engine, engine.history.database("main"), LocalFileSystem(tmp_path / "folded"), progress=fail
        )
    assert not (tmp_path / "folded" / "control").exists()
    assert not engine.pins.held()
