"""Databases of backups as branches of a running instance: with their true history where it is known, else new."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

import absdb
from absdb.backup.branch import attach_branch
from absdb.backup.create import create_backup
from absdb.backup.fold import fold_database
from absdb.catalog.history import DatabaseInfo
from absdb.cli.main import program
from absdb.engine.compaction import compact_table
from absdb.errors import (
    AlreadyExistsError,
    ConstraintError,
    HistoryExpiredError,
    NotFoundError,
    StateError,
    StorageError,
)
from absdb.io.local import LocalFileSystem

SMALL = {"page_rows": 64, "wal_segment_size": 64 * 1024}
FORMS = ["full", "single"]


class Shop:
    """An instance whose history expires at once, and copies of it as a backup restores them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.clock = absdb.ManualClock(tick_us=1_000_000)
        self.instance = self.open()

    def open(self) -> absdb.Instance:
        return absdb.connect(self.place / "shop", clock=self.clock, history_retention=0, **SMALL)

    def reopen(self) -> None:
        self.instance.close()
        self.instance = self.open()

    def crash(self) -> None:
        """Leave it without a checkpoint."""
        self.instance._engine.abandon()
        self.instance = self.open()

    def backup(self, form: str, name: str = "main") -> Path:
        """A restored copy of what is there now: all of it, or one database alone."""
        target = self.place / f"backup-{form}-{name}"
        if form == "single":
            engine = self.instance._engine
            fold_database(engine, engine.history.database(name), LocalFileSystem(target))
        else:
            self.instance.checkpoint()
            shutil.copytree(self.place / "shop", target, ignore=lambda *_: ["lock", "watermark"])
        return target

    def expire(self) -> None:
        """Fold what main has now into images, and let all that came before go."""
        engine = self.instance._engine
        self.instance.checkpoint()
        main = engine.history.database("main")
        for schema in engine.history.catalog_at(engine.head(main.id)[1]).tables.values():
            compact_table(engine, main.id, schema)
        self.instance.maintain()
        self.instance.checkpoint()

    def attach(self, backup: Path, name: str, database: str = "main") -> absdb.Database:
        attached(self.instance, backup, name, database)
        return self.instance[name]


def attached(instance: absdb.Instance, backup: Path, name: str, database: str = "main") -> DatabaseInfo:
    with absdb.connect(backup, read_only=True) as copy:
        return attach_branch(instance._engine, copy._engine, database, name)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.instance.close()


def rows_of(count: int, text: str = "plain") -> list[dict[str, object]]:
    return [{"id": number, "n": number % 7, "s": f"{text} {number}"} for number in range(count)]


def ids_of(database: absdb.Database) -> list[int]:
    return database["t"].to_arrow()["id"].to_pylist()


def files_of(instance: absdb.Instance) -> set[str]:
    """Page files, without those of the commit log."""
    return {file.name for file in (Path(instance.path) / "pages").glob("*.arrow")}


def mass_delete(shop: Shop, form: str) -> Path:
    """A table of 500 rows, a backup, then most of them deleted on main and the history gone."""
    main = shop.instance["main"]
    main.create_table("t", rows_of(500), key="id")
    main.create_table("steady", rows_of(100), key="id")
    main.sql("UPDATE t SET s = 'edited' WHERE id < 10")
    backup = shop.backup(form)
    before = shop.instance.lsn
    main.sql("DELETE FROM t WHERE id >= 100")
    main.sql("UPDATE t SET n = 100 WHERE id = 50")
    main.sql("INSERT INTO t VALUES (9000, 1, 'since')")
    shop.expire()
    with pytest.raises(HistoryExpiredError):
        main.at(lsn=before)["t"].count()
    return backup


@pytest.mark.parametrize("form", FORMS)
def test_the_diff_with_main_shows_what_was_done_since(shop: Shop, form: str) -> None:
    found = shop.attach(mass_delete(shop, form), "rescued")
    main = shop.instance["main"]
    assert found["t"].count() == 500
    changes = main.diff(found)["t"].to_arrow()
    by_type = {kind: changes.filter(pa.compute.equal(changes["diff_type"], kind)) for kind in ("removed",)}
    assert by_type["removed"].num_rows == 400
    assert changes.num_rows == 402
    assert shop.instance.branches().set_index("name").loc["rescued", "created_from"] == "main"
    assert shop.instance.check().empty


@pytest.mark.parametrize("form", FORMS)
def test_a_merge_takes_nothing_back_that_main_did(shop: Shop, form: str) -> None:
    found = shop.attach(mass_delete(shop, form), "rescued")
    main = shop.instance["main"]
    assert main.merge(found).kind == "nothing"
    found.sql("UPDATE t SET s = 'mended' WHERE id = 20")
    found.sql("UPDATE t SET s = 'again' WHERE id BETWEEN 200 AND 202")
    with pytest.raises(absdb.MergeConflictError):
        main.merge(found)
    merged = main.merge(found, on_conflict="theirs")
    assert merged.kind == "merge"
    assert ids_of(main) == [*range(100), 200, 201, 202, 9000]
    assert main["t"].get(20)["s"] == "mended"
    assert main["t"].get(50)["n"] == 100
    assert main["t"].get(9000)["s"] == "since"


@pytest.mark.parametrize("form", FORMS)
def test_deleted_rows_come_back_by_reverting_the_difference(shop: Shop, form: str) -> None:
    found = shop.attach(mass_delete(shop, form), "rescued")
    main = shop.instance["main"]
    main.sql("INSERT INTO t SELECT r.* FROM rescued.t r LEFT JOIN main.t m USING (id) WHERE m.id IS NULL")
    assert ids_of(main) == [*range(500), 9000]
    assert found.merge(main).kind == "fast-forward"
    assert ids_of(found) == [*range(500), 9000]


@pytest.mark.parametrize("form", FORMS)
def test_a_branch_from_a_backup_survives_a_crash_and_upkeep(shop: Shop, form: str) -> None:
    backup = mass_delete(shop, form)
    shop.attach(backup, "rescued")
    expected = shop.instance["rescued"]["t"].to_arrow()
    shutil.rmtree(backup)
    shop.crash()
    assert shop.instance["rescued"]["t"].to_arrow() == expected
    shop.instance["rescued"].sql("DELETE FROM t WHERE id = 3")
    shop.expire()
    shop.reopen()
    assert shop.instance["rescued"]["t"].count() == 499
    assert shop.instance["main"]["t"].count() == 101
    assert shop.instance.check().empty


def test_upkeep_meanwhile_takes_nothing_away(shop: Shop) -> None:
    backup, engine = mass_delete(shop, "full"), shop.instance._engine

    def upkeep(rows: int) -> None:
        shop.instance["main"].sql("UPDATE t SET n = n + 1")
        shop.expire()

    with absdb.connect(backup, read_only=True) as copy:
        attach_branch(engine, copy._engine, "main", "rescued", progress=upkeep)
        expected = copy["main"]["t"].to_arrow()
    shop.reopen()
    shop.instance.checkpoint()  # files that a reader held until the last one go now
    assert shop.instance["rescued"]["t"].to_arrow() == expected
    assert shop.instance.check().empty


@pytest.mark.parametrize("form", FORMS)
def test_dropping_it_frees_what_was_brought_back(shop: Shop, form: str) -> None:
    backup = mass_delete(shop, form)
    before = files_of(shop.instance)
    shop.attach(backup, "rescued")
    assert len(files_of(shop.instance)) > len(before)
    shop.instance.drop_database("rescued")
    shop.expire()
    assert len(files_of(shop.instance)) <= len(before)
    assert shop.instance["main"]["t"].count() == 101


def test_a_state_that_can_be_read_costs_no_file(shop: Shop) -> None:
    main = shop.instance["main"]
    main.create_table("t", rows_of(500), key="id")
    backup = shop.backup("full")
    main["t"].delete([1])
    before = files_of(shop.instance)
    assert shop.attach(backup, "same")["t"].count() == 500
    assert files_of(shop.instance) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_branch_that_was_dropped_comes_back_related_while_something_runs_through_it(
    shop: Shop, form: str
) -> None:
    main = shop.instance["main"]
    main.create_table("t", rows_of(300), key="id")
    staging = main.branch("staging")
    staging.sql("UPDATE t SET s = 'staging' WHERE id < 5")
    backup = shop.backup(form, "staging")
    staging.sql("DELETE FROM t WHERE id > 10")
    child = staging.branch("child")
    child["t"].delete([0])
    shop.instance.drop_database("staging")
    shop.expire()
    found = shop.attach(backup, "staging", "staging")
    assert found["t"].count() == 300
    assert found["t"].get(3)["s"] == "staging"
    assert child.merge(found).kind == "nothing"


@pytest.mark.parametrize("form", FORMS)
def test_a_branch_whose_history_was_forgotten_comes_back_related(shop: Shop, form: str) -> None:
    main = shop.instance["main"]
    main.create_table("t", rows_of(300), key="id")
    staging = main.branch("staging")
    staging.sql("UPDATE t SET s = 'staging' WHERE id < 5")
    main.sql("UPDATE t SET s = 'merged' WHERE id = 100")
    staging.merge(main)
    staging.create_table("made", rows_of(50), key="id")
    backup = shop.backup(form, "staging")
    main.sql("UPDATE t SET s = 'main' WHERE id = 100")
    shop.instance.drop_database("staging")
    shop.instance._engine.dying = dict.fromkeys(shop.instance._engine.history.eras, -1e9)
    shop.expire()
    assert len(shop.instance._engine.history.eras) == 1
    found = shop.attach(backup, "staging", "staging")
    assert found["t"].get(3)["s"] == "staging"
    assert shop.instance.branches().set_index("name").loc["staging", "created_from"] == "main"
    shop.crash()
    main = shop.instance["main"]
    assert main.diff(shop.instance["staging"])["t"].to_arrow().num_rows == 6
    if form == "single":  # it has nothing of the merge base, which has expired
        with pytest.raises(HistoryExpiredError):
            main.merge(shop.instance["staging"])
        return
    assert main.merge(shop.instance["staging"]).kind == "merge"
    assert main["made"].count() == 50
    assert main["t"].get(3)["s"] == "staging"
    assert main["t"].get(100)["s"] == "main"
    shop.expire()
    shop.reopen()
    assert shop.instance["main"]["made"].count() == 50
    assert shop.instance["staging"]["t"].count() == 300
    assert shop.instance.check().empty


def test_tables_put_back_alone_and_changed_definitions_come_back(shop: Shop) -> None:
    main = shop.instance["main"]
    main.create_table("t", rows_of(300), key="id")
    before = shop.instance.lsn
    main.sql("DELETE FROM t WHERE id > 5")
    main.restore(lsn=before, tables=["t"])
    main.sql("ALTER TABLE t ADD COLUMN extra INTEGER DEFAULT 3")
    main.sql("ALTER TABLE t DROP COLUMN n")
    expected = main["t"].to_arrow()
    copies = {form: shop.backup(form) for form in FORMS}
    main.sql("ALTER TABLE t DROP COLUMN s")
    main.sql("DELETE FROM t WHERE id > 3")
    shop.expire()
    for form, backup in copies.items():
        assert shop.attach(backup, f"from_{form}")["t"].to_arrow() == expected
    assert shop.instance.check().empty


# ---------------------------------------------------------------- no relative


def make_rich(main: absdb.Database) -> None:
    main.sql("CREATE SCHEMA sales")
    main.sql("CREATE SEQUENCE numbers START 100")
    main.create_table("t", rows_of(300), key="id", comment="said of it")
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
    main.sql("CREATE VIEW few AS SELECT * FROM t WHERE id < 10")
    main.sql("CREATE MACRO plus_one(x) AS x + 1")
    main.sql("ALTER TABLE t ADD COLUMN gone INTEGER")
    main.sql("ALTER TABLE t DROP COLUMN gone")
    main["t"].set_merge_policy(n="sum")
    main.add_check("some", "SELECT count(*) > 0 FROM t")


def everything(database: absdb.Database) -> dict[str, pa.Table]:
    return {name: database[name].to_arrow() for name in database.tables()["name"]}


@pytest.mark.parametrize("form", FORMS)
def test_a_database_of_another_instance_comes_with_all_it_has(shop: Shop, tmp_path: Path, form: str) -> None:
    make_rich(shop.instance["main"])
    backup = shop.backup(form)
    expected = everything(shop.instance["main"])
    with absdb.connect(tmp_path / "other", **SMALL) as other:
        other["main"].create_table("mine", rows_of(50), key="id")
        attached(other, backup, "theirs")
        theirs = other["theirs"]
        assert everything(theirs) == expected
        assert theirs.sql("SELECT count(*), plus_one(1) FROM few").fetchall() == [(10, 2)]
        assert list(theirs.checks()["name"]) == ["some"]
        assert theirs["t"].merge_policies() == {"n": "sum"}
        theirs.sql("INSERT INTO child (code, n) VALUES ('c1', 1)")
        assert theirs.sql("SELECT max(id) FROM child").fetchall() == [(500,)]
        theirs["loose"].insert([{"id": 0, "n": 0, "s": "new"}])
        assert theirs["loose"].count() == 201
        with pytest.raises(ConstraintError):
            theirs.sql("INSERT INTO child (code, n) VALUES ('unknown', 1)")
        with pytest.raises(ConstraintError):
            theirs.sql("INSERT INTO sales.parent VALUES ('new', 'name 7')")
        assert len(theirs.log()) == 4
        assert other.check().empty
        expected = everything(theirs)
        other._engine.abandon()
    with absdb.connect(tmp_path / "other", **SMALL) as other:
        assert everything(other["theirs"]) == expected
        assert other["main"]["mine"].count() == 50
        assert other.check().empty


def test_a_history_that_went_another_way_makes_it_a_new_database(shop: Shop) -> None:
    main = shop.instance["main"]
    main.create_table("t", rows_of(300), key="id")
    copy = shop.backup("full")
    shop.clock.advance(hours=1)
    with absdb.connect(copy, clock=shop.clock, **SMALL) as other:
        other["main"].sql("UPDATE t SET s = 'there' WHERE id = 1")
    shop.clock.advance(hours=1)
    main.sql("UPDATE t SET s = 'here!' WHERE id = 1")
    found = shop.attach(copy, "found")
    assert found["t"].get(1)["s"] == "there"
    assert main["t"].get(1)["s"] == "here!"
    assert shop.instance.branches().set_index("name").loc["found", "created_from"] is None


def test_a_failure_leaves_nothing_behind(shop: Shop, tmp_path: Path) -> None:
    shop.instance["main"].create_table("a", rows_of(100), key="id")
    shop.instance["main"].create_table("b", rows_of(100), key="id")
    backup = shop.backup("full")
    with absdb.connect(tmp_path / "other", **SMALL) as other:
        other.checkpoint()
        before, lsn = files_of(other), other.lsn

        def fail(rows: int) -> None:
            if rows > 100:
                raise StorageError("no room", path="pages", errno=28)

        with absdb.connect(backup, read_only=True) as copy, pytest.raises(StorageError):
            attach_branch(other._engine, copy._engine, "main", "theirs", progress=fail)
        assert list(other) == ["main"]
        assert other.lsn == lsn
        other["main"].create_table("t", rows_of(3), key="id")
        other.checkpoint()
        assert other.check().empty
        assert len(files_of(other) - before) == 1


def test_a_name_that_is_taken_or_unknown_is_refused(shop: Shop) -> None:
    shop.instance["main"].create_table("t", rows_of(10), key="id")
    backup = shop.backup("full")
    with pytest.raises(AlreadyExistsError, match="main"):
        shop.attach(backup, "main")
    with pytest.raises(NotFoundError, match="stagin"):
        shop.attach(backup, "new", "stagin")


# ---------------------------------------------------------------- from a URL


@pytest.fixture
def saved(shop: Shop) -> Path:
    """A repository with a full backup `full-1` and one of `staging` alone; afterwards rows are deleted on main."""
    main, url = shop.instance["main"], shop.place / "repository"
    main.create_table("t", rows_of(500), key="id")
    main.branch("staging")["t"].update({"id": 7, "s": "staging"})
    create_backup(shop.instance._engine, url, label="full-1")
    create_backup(shop.instance._engine, url, label="staging-1", database="staging")
    main.sql("DELETE FROM t WHERE id >= 100")
    return url


def test_a_branch_comes_from_a_url(shop: Shop, saved: Path) -> None:
    lost = shop.instance.restore_branch(saved, "full-1", name="lost")
    assert lost["t"].count() == 500
    assert shop.instance["main"].diff(lost)["t"].to_arrow().num_rows == 400
    again = shop.instance.restore_branch(f"{saved}#full-1", database="staging", name="again")
    assert again["t"].get(7)["s"] == "staging"
    assert not (Path(shop.instance.path) / "scratch").exists()
    assert shop.instance.check().empty


def test_a_backup_of_one_database_is_a_branch_under_its_own_name(shop: Shop, saved: Path) -> None:
    other = shop.instance.restore_branch(f"{saved}/staging-1")
    assert other.name == "staging-staging-1"
    shop.instance.drop_database("staging")
    assert shop.instance.restore_branch(saved, "staging-1").name == "staging"
    assert shop.instance["main"].merge(other).kind == "merge"
    assert shop.instance["main"]["t"].count() == 100
    assert shop.instance["main"]["t"].get(7)["s"] == "staging"


def test_an_instance_in_memory_takes_branches_too(shop: Shop, saved: Path) -> None:
    with absdb.connect(":memory:") as other:
        assert other.restore_branch(saved, "full-1", name="theirs")["t"].count() == 500
        assert list(other) == ["main", "theirs"]


def test_after_a_recovery_the_past_is_known_and_the_abandoned_future_is_not(
    shop: Shop, saved: Path, tmp_path: Path
) -> None:
    create_backup(shop.instance._engine, saved, label="future")
    absdb.restore(saved, tmp_path / "recovered", label="full-1")
    with absdb.connect(tmp_path / "recovered") as recovered:
        recovered["main"]["t"].delete([9])
        recovered.restore_branch(saved, "full-1", name="past")
        future = recovered.restore_branch(saved, "future", name="future")
        listed = recovered.branches().set_index("name")["created_from"]
        assert (listed["past"], listed["future"]) == ("main", None)
        assert future["t"].count() == 100
        assert recovered["main"].diff(recovered["past"])["t"].to_arrow().num_rows == 1
        fold_database(
            recovered._engine,
            recovered._engine.history.database("main"),
            LocalFileSystem(tmp_path / "folded"),
        )
        expected = recovered["main"]["t"].to_arrow()
    with absdb.connect(tmp_path / "folded") as folded:
        assert folded["main"]["t"].to_arrow() == expected
        assert folded.check().empty


def test_a_recovered_directory_is_brought_in_as_a_branch(shop: Shop, saved: Path, tmp_path: Path) -> None:
    absdb.restore(saved, tmp_path / "recovered", label="full-1")
    with absdb.connect(tmp_path / "recovered", clock=shop.clock) as recovered:
        recovered["main"]["t"].delete([9])
        expected = recovered["main"]["t"].to_arrow()
    found = shop.instance.restore_branch(tmp_path / "recovered", name="recovered")
    assert found["t"].to_arrow() == expected
    with pytest.raises(AlreadyExistsError):
        shop.instance.restore_branch(tmp_path / "recovered", name="recovered")
    absdb.restore(saved, tmp_path / "waiting", label="full-1", action="pause")
    with pytest.raises(StateError, match="waits for its recovery"):
        shop.instance.restore_branch(tmp_path / "waiting", name="waiting")


def test_what_is_refused_leaves_nothing_behind(shop: Shop, saved: Path) -> None:
    for wrong, error in [
        ({"label": "full-2"}, NotFoundError),
        ({"label": "full-1", "name": "main"}, AlreadyExistsError),
        ({"label": "full-1", "database": "nope", "name": "x"}, NotFoundError),
    ]:
        with pytest.raises(error):
            shop.instance.restore_branch(saved, **wrong)
    assert list(shop.instance) == ["main", "staging"]
    assert not (Path(shop.instance.path) / "scratch").exists()


def test_the_command_line_makes_a_branch_from_a_backup(shop: Shop, saved: Path) -> None:
    place = shop.instance.path
    shop.instance.close()

    def create(*words: str) -> Result:
        return CliRunner().invoke(program, ["-i", place, "branch", "create", *words])

    made = create("lost", "--from-backup", f"{saved}#full-1")
    assert made.exit_code == 0, made.output
    assert made.output == f"made lost from {saved}#full-1 with 1 table: a branch of main\n"
    assert create("old", "--from-backup", str(saved), "--database", "staging").exit_code == 0
    assert create("lost", "--from-backup", str(saved)).exit_code == 1
    assert create("x", "--from-backup", str(saved), "--from", "main").exit_code == 2
    assert create("x", "--database", "main").exit_code == 2
    shop.instance = shop.open()
    assert shop.instance["lost"]["t"].count() == 500
    assert list(shop.instance) == ["main", "staging", "lost", "old"]


def test_what_a_crash_has_left_goes_at_the_next_call(shop: Shop, saved: Path) -> None:
    left = Path(shop.instance.path) / "scratch" / "1-abc" / "pages"
    left.mkdir(parents=True)
    (left / "1.arrow").write_bytes(b"left")
    shop.instance.restore_branch(saved, "full-1", name="lost")
    assert not left.exists()
