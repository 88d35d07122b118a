"""Instances as users hold them: opening, locking, reading beside a writer, listings, closing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import absdb
from absdb.instance import open_instances
from absdb.testing.orders import orders

ROOT = Path(__file__).resolve().parents[1]
ROWS = [{"id": 1, "v": 10}, {"id": 2, "v": 20}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop"


@pytest.fixture
def shop(path: Path) -> Iterator[absdb.Instance]:
    with absdb.connect(path, wal_segment_size="64 KiB") as shop:
        shop["main"].create_table("t", ROWS, key="id")
        yield shop


class Other:
    """A second Python process that does one line after the other, and answers what it printed."""

    def __init__(self) -> None:
        loop = "import sys, absdb\nfor line in sys.stdin:\n exec(line)\n print(flush=True, end='\\0\\n')"
        self.process = subprocess.Popen(
            [sys.executable, "-c", loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def do(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = ""
        while not said.endswith("\0\n"):
            read = self.process.stdout.readline()
            assert read, f"the other process ended at {line}"
            said += read
        return said[:-2].strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other() -> Iterator[Other]:
    other = Other()
    yield other
    other.kill()


# -- the package


def test_the_facade_offers_what_it_lists():
    assert set(absdb.__all__) <= set(dir(absdb))
    for name in absdb.__all__:
        assert getattr(absdb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        absdb.conect  # noqa: B018


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert absdb.__version__ == project["version"]


# -- opening


def test_connect_makes_an_instance_and_opens_it_again(path):
    with absdb.connect(path) as shop:
        assert shop.path == str(path)
        assert list(shop) == ["main"]
        shop["main"].create_table("t", ROWS, key="id")
        lsn = shop.lsn
    with absdb.connect(str(path), create=False) as shop:
        assert shop["main"]["t"].to_arrow().to_pylist() == ROWS
        assert shop.lsn >= lsn
    assert (path / "absdb.conf").read_text().startswith("# absdb.conf")


def test_what_is_durable_survives_a_process_that_does_not_close(path, other):
    other.do(f"shop = absdb.connect({str(path)!r})")
    other.do("t = shop['main'].create_table('t', [{'id': 1, 'v': 10}], key='id')")
    other.do("t.insert({'id': 2, 'v': 20})")
    other.kill()
    with absdb.connect(path) as shop:
        assert shop["main"]["t"].to_arrow().to_pylist() == ROWS


def test_an_instance_in_memory_is_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with absdb.connect(":memory:") as one, absdb.connect(":memory:") as two:
        one["main"].create_table("t", ROWS)
        assert "t" not in two["main"]
        assert one.path == ":memory:"
    assert list(tmp_path.iterdir()) == []


def test_a_home_directory_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with absdb.connect("~/shop") as shop:
        assert shop.path == str(tmp_path / "shop")


def test_connect_does_not_make_what_it_should_only_open(path):
    for arguments in ({"create": False}, {"read_only": True}):
        with pytest.raises(absdb.NotFoundError, match="no absdb instance at"):
            absdb.connect(path, **arguments)
    assert not path.exists()


@pytest.mark.parametrize("wrong", ["", "  ", "http://host/shop", "a\0b", 7, None, b"shop"])
def test_what_is_no_path_is_refused(wrong):
    with pytest.raises(absdb.InvalidInputError, match="is not the path of an instance"):
        absdb.connect(wrong)


def test_a_directory_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(absdb.StateError, match=r"not empty: it holds thesis\.tex"):
        absdb.connect(tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_instance(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(absdb.StorageError, match="file"):
        absdb.connect(file)
    with pytest.raises(absdb.StorageError, match="file"):
        absdb.connect(file / "below")
    assert file.read_text() == "x"


def test_a_directory_that_may_not_be_read(path):
    absdb.connect(path).close()
    path.chmod(0)
    script = f"""
        import os, absdb
        from absdb.instance import connect
        if os.geteuid() == 0:
            os.seteuid(65534)  # root may read everything
        for arguments in ({{}}, {{"read_only": True}}):
            try:
                connect({str(path)!r}, **arguments)
            except absdb.StorageError as error:
                print(error.strerror, "|", error.hint)
    """
    try:
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        path.chmod(0o700)
    assert run.stdout.count("Permission denied | this process runs as user") == 2


# -- one writer


def test_a_second_writer_learns_who_holds_it(path, shop):
    with pytest.raises(absdb.LockedError, match=f"locked by this process .pid {os.getpid()}") as caught:
        absdb.connect(path)
    assert caught.value.pid == os.getpid()
    assert "close it first" in caught.value.hint
    shop["main"]["t"].insert({"id": 3, "v": 30})


def test_a_second_process_learns_who_holds_it(path, other):
    other.do(f"shop = absdb.connect({str(path)!r})")
    with pytest.raises(absdb.LockedError, match=f"process {other.process.pid} on") as caught:
        absdb.connect(path)
    assert caught.value.pid == other.process.pid
    assert "read-only" in caught.value.hint
    other.kill()
    absdb.connect(path).close()


def test_an_instance_that_nobody_holds_gives_up_its_lock(path):
    absdb.connect(path)["main"].create_table("t", ROWS, key="id")
    gc.collect()
    with absdb.connect(path) as shop:
        assert shop["main"]["t"].count() == 2


def test_what_is_open_in_this_process_is_known(path):
    before = len(open_instances())
    shop = absdb.connect(path)
    main = absdb.connect(":memory:")["main"]
    gc.collect()
    found = open_instances()[before:]
    assert [each.path for each in found] == [str(path), ":memory:"]
    found[1]["main"].create_table("t", ROWS, key="id")
    assert main["t"].count() == 2, "it is the one that is open, not another one"
    shop.close()
    assert [each.path for each in open_instances()[before:]] == [":memory:"]
    del found, main
    gc.collect()
    assert len(open_instances()) == before


def test_a_table_holds_its_instance(path):
    table = absdb.connect(path)["main"].create_table("t", ROWS, key="id")
    gc.collect()
    with pytest.raises(absdb.LockedError):
        absdb.connect(path)
    assert table.insert({"id": 3, "v": 30}) == 1


def test_a_fork_reads_and_leaves_the_log_alone(path):
    """Two processes with one engine would write over each other's commits."""
    script = f"""
        import os, absdb
        shop = absdb.connect({str(path)!r})
        main = shop["main"]
        table = main.create_table("t", [{{"id": n}} for n in range(100)], key="id")
        tx = main.transaction()
        tx["t"].insert({{"id": 1000}})
        pid = os.fork()
        if pid == 0:
            assert table.count() == 100 and table.get(5) == {{"id": 5}}
            works = [lambda: table.insert({{"id": 2000}}), tx.commit, lambda: main.branch("b"), shop.checkpoint]
            for work in works:
                try:
                    work()
                except absdb.StateError as error:
                    assert "fork" in error.message, error
                else:
                    os._exit(1)
            shop.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        table.insert({{"id": 3000}})
        tx.commit()
        shop.close()
    """
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    with absdb.connect(path) as shop:
        assert shop["main"]["t"].count() == 102
        assert len(shop.check()) == 0


# -- reading beside a writer


def test_a_reader_in_another_process_follows(path, shop, other):
    table = shop["main"]["t"]
    other.do(f"shop = absdb.connect({str(path)!r}, read_only=True); t = shop['main']['t']")
    assert other.do("print(shop.read_only, t.count(), shop['main'].read_only)") == "True 2 True"
    table.insert({"id": 3, "v": 30})
    shop["main"].branch("staging")
    assert other.do("print(t.count(), list(shop))") == "2 ['main']", "it shows what it has seen"
    assert other.do("print(shop.refresh())") == str(shop.lsn)
    assert other.do("print(t.count(), list(shop))") == "3 ['main', 'staging']"
    assert other.do("print(t.get(3))") == "{'id': 3, 'v': 30}"


def test_a_reader_follows_over_checkpoints_and_compaction(path, shop, other):
    table = shop["main"].create_table("orders", orders(2_000), key="id")
    shop.checkpoint()
    other.do(f"shop = absdb.connect({str(path)!r}, read_only=True); t = shop['main']['orders']")
    other.do("before = t.to_batches()")
    for seed in range(6):
        table.upsert(orders(2_000, seed=seed + 1))
        shop.checkpoint()
        shop.maintain()
    assert other.do("print(sum(b.num_rows for b in before))") == "2000"
    assert other.do("shop.refresh(); print(t.get(77)['total'])") == str(table.get(77)["total"])
    assert other.do("print(t.count(), len(shop.check()))") == "2000 0"


def test_a_reader_of_an_instance_at_rest(path, shop):
    shop.close()
    with absdb.connect(path, read_only=True) as one, absdb.connect(path, read_only=True) as two:
        assert one["main"]["t"].count() == two["main"]["t"].count() == 2
        assert repr(one).endswith(", 1 database, read-only>")


def test_a_reader_changes_nothing(path, shop):
    with absdb.connect(path, read_only=True) as reader:
        main = reader["main"]
        attempts: list[Callable[[], object]] = [
            lambda: main["t"].insert({"id": 3}),
            lambda: main.create_table("x", ROWS),
            lambda: main.branch("b"),
            lambda: main.snapshot("s"),
            lambda: main.restore(lsn=main.lsn),
            main.transaction,
            main.protect,
            main.drop,
            reader.checkpoint,
            reader.maintain,
            lambda: reader.create_database("x"),
        ]
        for attempt in attempts:
            with pytest.raises(absdb.StateError, match="open for reading only"):
                attempt()
        assert main.at()["t"].count() == 2
    assert shop["main"]["t"].count() == 2


# -- settings


def test_settings_say_where_they_come_from(path, monkeypatch):
    absdb.connect(path, wal_segment_size="1 MiB").close()
    (path / "absdb.conf").write_text("run_limit = 5\n")
    monkeypatch.setenv("ABSDB_PAGE_ROWS", "128")
    with absdb.connect(path, history_retention="2 days", author="ann") as shop:
        found = shop.settings().set_index("name")
        assert list(found.columns) == ["value", "origin", "default", "meaning"]
        assert tuple(found.loc["history_retention"][["value", "origin"]]) == ("2 days", "argument")
        assert tuple(found.loc["page_rows"][["value", "origin"]]) == ("128", "environment ABSDB_PAGE_ROWS")
        assert found.loc["run_limit", "value"] == "5"
        assert found.loc["run_limit", "origin"].endswith("absdb.conf, line 1")
        assert tuple(found.loc["wal_segment_size"][["value", "origin"]]) == ("1 MiB", "chosen at creation")
        assert found.loc["cache_bytes", "origin"] == "default"
        shop["main"].create_table("t", ROWS)
        assert shop["main"].log()["author"][0] == "ann"


def test_settings_that_cannot_be(path):
    with pytest.raises(absdb.InvalidInputError, match="no setting 'page_row'") as caught:
        absdb.connect(path, page_row=5)
    assert "page_rows" in caught.value.hint
    with pytest.raises(absdb.InvalidInputError, match="page_rows = 0: it is below 1"):
        absdb.connect(path, page_rows=0)
    absdb.connect(path).close()
    with pytest.raises(absdb.InvalidInputError, match="created with 16 MiB"):
        absdb.connect(path, wal_segment_size="1 MiB")


def test_a_manual_clock_makes_the_same_times(tmp_path):
    frames = []
    for name in ("a", "b"):
        clock = absdb.ManualClock("2026-04-04 14:05Z", tick_us=1)
        with absdb.connect(tmp_path / name, clock=clock, author="ann") as shop:
            table = shop["main"].create_table("t", ROWS, key="id")
            clock.advance(hours=1)
            table.insert({"id": 3})
            shop["main"].branch("b")
            frames.append(pd.concat([shop["main"].log(), shop.branches()]))
    pd.testing.assert_frame_equal(*frames)
    assert frames[0]["time"].iloc[0] - frames[0]["time"].iloc[1] >= pd.Timedelta(hours=1)


# -- databases


def test_databases_are_listed_made_and_dropped(shop):
    empty = shop.create_database("empty")
    shop["main"].branch("staging")
    assert list(shop) == shop._ipython_key_completions_() == ["main", "empty", "staging"]
    assert "empty" in shop
    assert "nope" not in shop
    found = shop.databases()
    assert list(found["name"]) == ["main", "empty", "staging"]
    assert list(found["tables"]) == [1, 0, 1]
    assert list(found["created_from"]) == [None, None, "main"]
    assert list(empty) == []
    shop.drop_database("empty")
    with pytest.raises(absdb.NotFoundError, match="no database 'empty'"):
        shop.drop_database("empty")
    with pytest.raises(absdb.NotFoundError, match="no database 'stagin'") as caught:
        shop["stagin"]
    assert caught.value.hint == "did you mean 'staging'?"
    with pytest.raises(absdb.AlreadyExistsError, match="'main' already"):
        shop.create_database("main")


# -- keeping it in order


def test_checkpoint_and_maintenance_change_no_state(shop):
    main = shop["main"]
    table = main.create_table("orders", orders(3_000), key="id")
    states = {}
    for seed in range(5):
        table.upsert(orders(3_000, seed=seed))
        states[main.lsn] = table.to_arrow()
        lsn = shop.checkpoint()
        assert shop.wal_stats()["last_checkpoint_lsn"][0] == str(lsn)
    shop.maintain()
    shop.checkpoint()
    for lsn, expected in states.items():
        assert main.at(lsn=lsn)["orders"].to_arrow().equals(expected)
    assert len(shop.check()) == 0


def test_figures(shop):
    for number in range(10, 15):
        shop["main"]["t"].insert({"id": number})
    log = shop.wal_stats().iloc[0]
    assert log["current_lsn"] == str(shop.lsn)
    assert log["wal_records_written"] == 6
    assert log["group_commit_batches"] == 6
    assert log["avg_records_per_fsync"] == 1.0
    assert log["wal_segment_size_bytes"] == 64 * 1024
    assert log["wal_bytes_written"] > 500
    stats = shop.stats().iloc[0]
    assert (stats["databases"], stats["tables"], stats["commits"], stats["tail_rows"]) == (1, 1, 6, 7)
    assert stats["page_files"] == 0
    shop.checkpoint()
    stats = shop.stats().iloc[0]
    assert stats["tail_rows"] == 0
    assert stats["page_files"] >= 1
    assert stats["page_bytes"] > 0


def test_pins_tell_who_keeps_what(shop):
    main = shop["main"]
    main.snapshot("s")
    branch = main.branch("b")
    past = main.at()
    tx = main.transaction()
    found = shop.pins()
    assert sorted(found["kind"]) == ["branch", "head", "head", "reader", "snapshot", "transaction"]
    assert set(found["name"]) == {"", "b", "main", "s"}
    tx.rollback()
    lost = main.transaction()["t"]
    assert list(shop.pins()["kind"]).count("transaction") == 1
    del lost
    del past
    branch.drop()
    main.drop_snapshot("s")
    gc.collect()
    assert list(shop.pins()["kind"]) == ["head"]


def test_check_finds_a_flipped_bit(path, shop):
    shop["main"].create_table("orders", orders(5_000), key="id")
    shop.checkpoint()
    assert len(shop.check()) == 0
    file = max((path / "pages").glob("*.arrow"), key=lambda found: found.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done: list[tuple[int, int]] = []
    found = shop.check(progress=lambda *figures: done.append(figures))
    assert list(found.columns) == ["severity", "where", "problem"]
    assert "error" in set(found["severity"])
    assert any(file.name in where for where in found["where"])
    assert done


# -- the end


def test_closed_handles_say_so(path):
    shop = absdb.connect(path)
    main = shop["main"]
    table = main.create_table("t", ROWS, key="id")
    past, tx, diff = main.at(), main.transaction(), main.diff(main)
    shop.close()
    shop.close()
    attempts: list[Callable[[], object]] = [
        table.count,
        table.to_arrow,
        table.columns,
        table.to_batches,
        lambda: table.get(1),
        lambda: table.insert({"id": 3}),
        lambda: table.history(1),
        lambda: table.name,
        main.tables,
        main.log,
        main.transaction,
        lambda: main.name,
        lambda: main.lsn,
        lambda: main["t"],
        lambda: main.branch("b"),
        lambda: main.at(),
        lambda: main.snapshot("s"),
        lambda: main.restore(lsn=0),
        main.protect,
        main.drop,
        past.tables,
        lambda: past["t"],
        lambda: tx["t"],
        lambda: shop["main"],
        lambda: list(shop),
        shop.databases,
        shop.branches,
        shop.checkpoint,
        shop.maintain,
        shop.wal_stats,
        shop.stats,
        shop.settings,
        shop.pins,
        shop.check,
        shop.refresh,
        lambda: shop.create_database("x"),
        lambda: shop.drop_database("main"),
        shop.__enter__,
    ]
    for attempt in attempts:
        with pytest.raises(absdb.StateError, match="the instance is closed"):
            attempt()
    assert repr(shop) == f"<Instance {path}, closed>"
    for closed in (main, table, past, tx, diff):
        assert repr(closed)


def test_import_and_first_steps_need_no_more_than_they_say():
    """pandas and DuckDB come when they are needed, not before."""
    script = """
        import sys, absdb
        shop = absdb.connect(":memory:")
        table = shop["main"].create_table("t", {"id": "int64"}, key="id")
        table.insert({"id": 2}); table.get(1); repr(table); shop["main"].branch("b")
        print(sorted({"pandas", "duckdb", "tqdm", "sqlglot"} & set(sys.modules)))
        shop.close()
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
