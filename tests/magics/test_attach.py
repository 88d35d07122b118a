"""`%absdb`: what is attached, by path and by variable, beside a writer, and until when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import absdb
from absdb.instance import open_instances

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys
import absdb
with absdb.connect("shop") as shop:
    shop["main"].create_table("t", {"id": "int64"}, key="id")
    print("open", flush=True)
    for line in sys.stdin:
        shop["main"]["t"].insert({"id": int(line)})
        print("done", flush=True)
"""


@pytest.fixture
def writer(shell) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the shop open for writing, and inserts the numbers it reads."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.stdin.close()
        process.wait()


def test_a_path_is_made_opened_and_closed_with_the_extension(run):
    before = len(open_instances())
    assert run("%absdb shop").out == "shop: database main, a new instance\n"
    run("%sql CREATE TABLE t (id INTEGER PRIMARY KEY)")
    assert [each.path for each in open_instances()[before:]] == [str(Path("shop").absolute())]
    assert run("%unload_ext absdb").error is None
    assert len(open_instances()) == before
    assert run("%load_ext absdb\n%absdb shop").out == "shop: database main\n"
    assert run("%sql FROM t").value.empty


def test_an_instance_of_the_program_stays_open(cells, shop):
    cells("%sql UPDATE orders SET total = 11 WHERE id = 1")
    assert shop["main"]["orders"].get(1)["total"] == 11
    assert shop["main"].log(limit=1)["time"][0].floor("s") == pd.Timestamp("2026-04-04T12:00:00Z")
    cells("%unload_ext absdb")
    assert not shop.closed


def test_the_path_of_an_open_instance_is_that_instance(run, shop):
    before = len(open_instances())
    assert run("%absdb ./shop").out == "./shop: database main\n"
    run("%sql DELETE FROM orders WHERE id = 1")
    assert shop["main"]["orders"].count() == 2
    assert len(open_instances()) == before
    run("%absdb --close")
    assert not shop.closed


def test_a_database_of_a_variable_is_the_current_one(cells, shop):
    cells(
        "staging = main.branch('staging')\nthen = main.at(snapshot='before')\nname, path = 'staging', 'other'"
    )
    assert cells("%absdb staging").out == "staging: database staging\n"
    cells("%sql TRUNCATE orders")
    assert (shop["main"]["orders"].count(), shop["staging"]["orders"].count()) == (3, 0)
    assert "database main as of 0/" in cells("%absdb then").out
    assert isinstance(cells("%sql DELETE FROM orders").error, absdb.StateError)
    assert cells("%absdb --database main").error is None
    cells("%sql DELETE FROM orders WHERE id = 3")
    assert shop["main"]["orders"].count() == 2
    assert cells("%absdb shop --database $name").out == "shop: database staging\n"
    assert cells("%absdb {{path}}").out == "other: database main, a new instance\n"
    assert isinstance(cells("%absdb $nmae").error, absdb.InvalidInputError)
    assert isinstance(cells("seven = 7\n%absdb $seven").error, absdb.InvalidInputError)


def test_what_is_attached_is_listed_with_the_current_one_first(cells):
    cells("%absdb other")
    shown = cells("%absdb").value
    assert shown.index.tolist() == ["current", ""]
    assert shown["instance"].tolist() == ["other", "shop"]
    assert cells("%absdb --close").out == "other is no longer attached\n"
    assert cells("%absdb").value["instance"].tolist() == ["shop"]
    assert isinstance(cells("%absdb other --close").error, absdb.NotFoundError)
    cells("%absdb shop --close")
    assert cells("%absdb").out.startswith("nothing is attached")
    assert "%absdb shop attaches" in str(cells("%sql SELECT 1").error)


def test_two_instances_keep_their_sessions(cells):
    cells("%absdb shop --database main\n%sql BEGIN\n%sql DELETE FROM orders")
    cells("%absdb other")
    assert cells("%sql SELECT 1 AS one").value["one"].tolist() == [1]
    cells("%absdb shop")
    assert cells("%sql FROM orders").value.empty
    cells("%sql ROLLBACK")
    assert len(cells("%sql FROM orders").value) == 3


def test_beside_a_writer_it_is_read_only_and_says_so(run, writer):
    told = run("%absdb shop")
    assert told.error is None
    assert told.out.startswith("shop: database main, read-only, for ")
    assert f"process {writer.pid}" in told.out
    assert run("%sql FROM t").value.empty
    writer.stdin.write("7\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "done\n"
    assert run("%sql FROM t").value["id"].tolist() == [7], "each cell sees what is durable by then"
    refused = run("%sql INSERT INTO t VALUES (8)")
    assert isinstance(refused.error, absdb.StateError)
    assert "Traceback" not in refused.out
    assert run("%absdb").value["access"].tolist() == ["read"]
    writer.stdin.close()
    writer.wait()
    assert run("%absdb shop").out == "shop: database main\n"
    assert run("%absdb").value["access"].tolist() == ["read and write"]
    run("%sql INSERT INTO t VALUES (8)")
    assert run("%sql FROM t").value["id"].tolist() == [7, 8]


def test_read_only_on_request(run):
    absdb.connect("shop").close()
    run("%absdb shop --read-only")
    assert run("%absdb").value["access"].tolist() == ["read"]
    assert isinstance(run("%sql CREATE TABLE t (a INTEGER)").error, absdb.StateError)
    assert isinstance(run("%absdb nowhere --read-only").error, absdb.NotFoundError)
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("%absdb SELECT 1", absdb.InvalidInputError),
        ("%absdb shop --databse main", absdb.InvalidInputError),
        ("%absdb shop --database", absdb.InvalidInputError),
        ("%absdb s3://bucket/shop", absdb.InvalidInputError),
        ("%absdb shop --database stagin", absdb.NotFoundError),
    ],
)
def test_what_cannot_be_attached_leaves_nothing_attached(run, line, kind):
    assert isinstance(run(line).error, kind)
    assert run("%absdb").out.startswith("nothing is attached")
    assert not Path("SELECT").exists()


def test_a_closed_instance_says_so(cells, shop):
    shop.close()
    assert "closed" in str(cells("%sql SELECT 1").error)
    assert cells("%absdb").out.startswith("nothing is attached")
    assert "closed" in str(cells("%absdb shop").error)
    assert cells("%absdb ./shop").error is None
