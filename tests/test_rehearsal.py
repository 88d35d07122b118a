"""A rehearsal tells what a migration would do, and changes nothing before it is applied."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import absdb
from absdb.errors import (
    DataCheckError,
    InvalidInputError,
    MergeConflictError,
    MergeConstraintError,
    StateError,
)


@pytest.fixture
def shop():
    with absdb.connect(":memory:") as shop:
        rows = {"id": [1, 2, 3], "status": ["a", "b", "c"], "total": [1.0, 2.0, 3.0]}
        shop["main"].create_table("orders", rows, key="id")
        yield shop


@pytest.fixture
def main(shop):
    return shop["main"]


def test_tells_of_statements_definitions_and_rows(main):
    done = main.rehearse(
        "ALTER TABLE orders ADD COLUMN vat DOUBLE DEFAULT 0.2; UPDATE orders SET total = total * 2 WHERE id > 1"
    )
    assert done.passed
    statements = done.statements()
    assert statements["rows"].tolist() == [pd.NA, 2]
    assert (statements["seconds"] > 0).all()
    assert (statements["log_bytes"] > 0).all()
    assert done.schema()[["item", "change"]].values.tolist() == [["vat", "added"]]
    assert done.summary().values.tolist() == [["orders", "schema", 1], ["orders", "modified", 2]]
    assert main["orders"].to_arrow().column_names == ["id", "status", "total"]


def test_apply_merges_and_drops_the_branch(shop, main):
    done = main.rehearse(["UPDATE orders SET total = 0 WHERE id = 1"])
    main["orders"].update({"id": 2, "total": 20.0})
    result = done.apply(message="zero")
    assert result.kind == "merge"
    assert main["orders"].to_pandas()["total"].tolist() == [0.0, 20.0, 3.0]
    assert main.log(limit=1)["message"].tolist() == ["zero"]
    assert list(shop.databases()["name"]) == ["main"]
    result.undo()
    assert main["orders"].to_pandas()["total"].tolist() == [1.0, 20.0, 3.0]
    with pytest.raises(StateError, match="applied or discarded"):
        done.apply()


def test_discard_leaves_nothing(shop, main):
    before = main["orders"].to_arrow()
    done = main.rehearse(["DROP TABLE orders"])
    done.discard()
    done.discard()
    assert list(shop.databases()["name"]) == ["main"]
    assert main["orders"].to_arrow() == before


def test_a_statement_that_fails_ends_it(main):
    done = main.rehearse(["UPDATE orders SET total = 9", "SELECT nothing FROM orders", "SELECT 1"])
    assert not done
    assert "nothing" in done.report.failed_statement.error
    assert done.report.left_out == 1
    with pytest.raises(StateError, match="did not run to its end"):
        done.apply()
    done.discard()


def test_a_failed_check_is_listed_and_stored_ones_gate_apply(main):
    main.add_check("positive", "SELECT * FROM orders WHERE total <= 0")
    done = main.rehearse(
        ["UPDATE orders SET total = 0 WHERE id = 1"], {"few": "SELECT count(*) < 2 FROM orders"}
    )
    assert dict(done.checks()[["name", "passed"]].values.tolist()) == {"positive": False, "few": False}
    with pytest.raises(DataCheckError, match="positive: 1 row offends"):
        done.apply()
    done.discard()


def test_replays_what_the_parent_did_up_to_the_first_misfit(main):
    start = main.lsn
    main["orders"].insert({"id": 4, "status": "d", "total": 4.0}, message="fits")
    main["orders"].insert({"id": 5, "status": "e", "total": 5000.0}, message="too large")
    main["orders"].delete(1, message="never looked at")
    done = main.rehearse(["ALTER TABLE orders ADD CHECK (total < 1000)"], lsn=start)
    assert done.replayed()[["message", "fits"]].values.tolist() == [["fits", True], ["too large", False]]
    assert "total < 1000" in done.report.misfit.reason
    assert "key 5" in done.report.misfit.reason
    assert done.report.not_replayed == 1
    with pytest.raises(MergeConstraintError):
        done.apply()
    done.discard()


def test_a_dropped_column_that_the_parent_wrote_to_is_a_misfit(main):
    start = main.lsn
    main["orders"].update({"id": 2, "status": "changed"}, message="writes status")
    done = main.rehearse(["ALTER TABLE orders DROP COLUMN status"], lsn=start)
    assert done.report.misfit.message == "writes status"
    assert "column status" in done.report.misfit.reason
    with pytest.raises(MergeConflictError):
        done.apply()
    done.discard()


def test_takes_a_file_and_writes_documents(main, tmp_path):
    script = tmp_path / "migration.sql"
    script.write_text("-- <b>doubles</b>\nUPDATE orders SET status = '<i>x</i>' WHERE id = 1;\n")
    done = main.rehearse(script)
    done.to_html(tmp_path / "report.html")
    document = (tmp_path / "report.html").read_text()
    assert "<i>x</i>" not in document
    assert "&lt;i&gt;x&lt;/i&gt;" in document
    assert json.loads(json.dumps(done.to_dict()))["passed"] is True
    assert "passed: 1 statement" in done.to_text()
    assert "<i>x</i>" not in done._repr_html_()
    assert "passed" in repr(done)
    done.discard()


@pytest.mark.parametrize("nothing", ["", " ; ", []])
def test_no_statement_is_refused(main, nothing):
    with pytest.raises(InvalidInputError, match="no statement to rehearse"):
        main.rehearse(nothing)


def test_a_missing_file_is_named(main, tmp_path):
    with pytest.raises(absdb.StorageError, match=r"absent\.sql"):
        main.rehearse(tmp_path / "absent.sql")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE main.orders SET total = 0",
        "DELETE FROM main.main.orders",
        "DROP TABLE main.orders",
        "CREATE TABLE main.extra (id INTEGER PRIMARY KEY)",
        "ALTER TABLE main.orders DROP COLUMN status",
        "COMMENT ON TABLE main.orders IS 'x'",
        "USE main",
        "MERGE DATABASE other INTO main",
        "DROP DATABASE other",
        "CREATE DATABASE more BRANCH FROM main",
        "CREATE OR REPLACE DATABASE other BRANCH FROM main",
        "ALTER DATABASE other RENAME TO another",
        "RESTORE DATABASE main TO LSN '0/10'",
        "CREATE SNAPSHOT s ON main",
        "DROP SNAPSHOT kept ON main",
    ],
)
def test_no_statement_reaches_beyond_the_branch(shop, main, statement):
    main.branch("other")["orders"].delete(1)
    main.snapshot("kept")
    before, lineage = list(shop.databases()["name"]), main.lineage
    done = main.rehearse([statement])
    assert done.report.failed_statement is not None
    done.discard()
    assert list(shop.databases()["name"]) == before
    assert main.lineage == lineage
    assert list(main.snapshots()["name"]) == ["kept"]


def test_other_databases_may_be_read(main):
    done = main.rehearse(["INSERT INTO orders SELECT id + 10, status, total FROM main.orders WHERE id = 1"])
    assert done.passed
    assert done.summary().values.tolist() == [["orders", "added", 1]]
    done.discard()


def test_a_transaction_that_is_left_open_is_a_failure(main):
    done = main.rehearse("BEGIN; UPDATE orders SET total = 0")
    assert "still open" in done.report.failed_statement.error
    done.discard()
    done = main.rehearse("BEGIN; UPDATE orders SET total = 0; COMMIT")
    assert done.passed
    assert done.summary().values.tolist() == [["orders", "modified", 3]]
    done.discard()


def test_a_window_before_a_restore_is_replayed_from_where_the_histories_part(main):
    shared = main.lsn
    main["orders"].insert({"id": 4, "status": "d", "total": 4.0})
    start = main.lsn
    main.restore(lsn=shared)
    main["orders"].insert({"id": 5, "status": "e", "total": 5.0}, message="after the restore")
    done = main.rehearse(["UPDATE orders SET total = 0 WHERE id = 1"], lsn=start)
    assert done.replayed()[["message", "fits"]].values.tolist() == [["after the restore", True]]
    done.discard()


@pytest.mark.parametrize("statements", [None, 5, b"SELECT 1", [5], [None]])
def test_statements_that_are_none_are_refused(shop, main, statements):
    with pytest.raises(InvalidInputError):
        main.rehearse(statements)
    assert list(shop.databases()["name"]) == ["main"]


def test_checks_are_a_dict_of_queries(shop, main):
    for checks in (["SELECT true"], {"c": 5}):
        with pytest.raises(InvalidInputError):
            main.rehearse(["SELECT 1"], checks)
    assert list(shop.databases()["name"]) == ["main"]
