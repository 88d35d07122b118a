"""`%undo` and `%redo`: what the last cell changed, however it did, and where they refuse."""

from __future__ import annotations

import pandas as pd
import pytest

import absdb


def totals(database: absdb.Database) -> list[float]:
    return database["orders"].to_pandas()["total"].tolist()


@pytest.mark.parametrize(
    "change",
    [
        "%sql UPDATE orders SET total = 0",
        "%%absdb\nDELETE FROM orders WHERE id = 1;\nUPDATE orders SET total = 0",
        "main['orders'].truncate()",
        "shop['main'].restore(snapshot='empty')",
        "%sql DROP TABLE orders",
        "main['orders'].add_column('more', 'int64')",
        "main['orders'].update({'id': 1, 'total': 0.0})\n1 / 0",
        "from absdb import dbapi\n"
        "with dbapi.connect('shop') as connection:\n"
        "    connection.execute('DELETE FROM orders')",
        "side = main.branch('side')\nside['orders'].delete(1)\nmain.merge(side)\nside.drop()",
    ],
)
def test_any_change_of_the_last_cell_is_taken_back_and_put_again(cells, shop, change):
    main = shop["main"]
    main["orders"].truncate()
    main.snapshot("empty")
    main.restore(snapshot="before")
    before = main.sql("FROM orders").to_arrow()
    cells(change)
    after = shop.lsn
    undone = cells("%undo")
    assert undone.error is None
    assert undone.out.startswith("main is as it was before cell 3 (")
    assert "against " in undone.html[0]
    assert main.sql("FROM orders").to_arrow().equals(before)
    assert shop.lsn > after, "an undo is a commit"
    assert cells("%redo").error is None
    assert main.diff(main.at(lsn=after)).summary().empty


def test_undo_again_goes_on_with_the_cell_before(cells, shop):
    for total in (1, 2, 3):
        cells(f"%sql UPDATE orders SET total = {total} WHERE id = 1")
        cells("%sql SELECT 'nothing changes'")
    found = []
    for verb in ("undo", "undo", "redo", "undo", "undo"):
        assert cells(f"%{verb}").error is None
        found.append(totals(shop["main"])[0])
    assert found == [2, 1, 2, 1, 10]
    assert isinstance(cells("%undo").error, absdb.StateError)
    assert isinstance(cells("%redo\n%redo\n%redo\n%redo").error, absdb.StateError)
    assert totals(shop["main"])[0] == 3


def test_a_change_after_an_undo_ends_what_could_be_redone(cells, shop):
    cells("%sql UPDATE orders SET total = 1")
    cells("%undo")
    cells("%sql UPDATE orders SET total = 2")
    assert "no %undo to take back" in str(cells("%redo").error)
    cells("%undo")
    assert totals(shop["main"]) == [10.0, 20.0, 30.0]


def test_every_database_and_instance_that_the_cell_changed(cells, shop):
    shop["main"].branch("side")
    cells("import absdb\nother = absdb.connect(':memory:')")
    cells("other['main'].create_table('t', [{'id': 1}], key='id')")
    cells("main['orders'].delete(1)\nshop['side']['orders'].delete(2)\nother['main']['t'].delete(1)")
    ran = cells("%undo")
    assert len(ran.out.splitlines()) == len(ran.html) == 3
    assert totals(shop["main"]) == totals(shop["side"]) == [10.0, 20.0, 30.0]
    assert cells("other['main']['t'].count()").value == 1
    cells("other.close()")


def test_what_others_committed_since_is_not_taken_back(cells, shop):
    cells("%sql UPDATE orders SET total = 1 WHERE id = 1")
    lsn = shop.lsn
    shop["main"]["orders"].update({"id": 2, "total": 5.0})
    refused = cells("%undo")
    assert isinstance(refused.error, absdb.StateError)
    assert "something that was no cell" in refused.out
    assert "Traceback" not in refused.out
    assert totals(shop["main"]) == [1.0, 5.0, 30.0]
    shop["main"].restore(lsn=lsn)
    assert cells("%undo").error is None, "restored to what the cell left, it is the cell's again"
    assert totals(shop["main"]) == [10.0, 20.0, 30.0]


def test_what_others_committed_elsewhere_is_no_hindrance(cells, shop):
    shop["main"].branch("side")
    cells("%sql UPDATE orders SET total = 1 WHERE id = 1")
    shop["side"]["orders"].delete(1)
    assert cells("%undo").error is None
    assert shop["side"]["orders"].count() == 2


def test_databases_that_a_cell_made_or_dropped_stay_so(cells, shop):
    cells("%sql UPDATE orders SET total = 1")
    cells("main.branch('idle')")
    cells("%%branch side --keep\n%sql DELETE FROM orders")
    cells("shop['side'].drop()\nmain['orders'].delete(3)")
    ran = cells("%undo")
    assert ran.out.endswith("also dropped database 'side', which does not come back\n")
    assert totals(shop["main"]) == [1.0, 1.0, 1.0]
    cells("%%branch made --keep\n%sql DELETE FROM orders")
    refused = cells("%undo")
    assert "made database 'made', which DROP DATABASE removes" in str(refused.error)
    assert shop["made"]["orders"].count() == 0
    assert cells("%undo").error is None, "as the hint says"
    assert totals(shop["main"]) == [10.0, 20.0, 30.0]
    assert sorted(shop) == ["idle", "made", "main"]


def test_an_open_transaction_and_a_protected_database(cells, shop):
    cells("%sql UPDATE orders SET total = 1")
    cells("%sql BEGIN")
    cells("%sql UPDATE orders SET total = 2")
    assert "ROLLBACK" in str(cells("%undo").error)
    cells("%sql ROLLBACK")
    shop["main"].protect()
    assert "protected" in str(cells("%undo").error)
    shop["main"].unprotect()
    assert cells("%undo").error is None
    assert totals(shop["main"]) == [10.0, 20.0, 30.0]


def test_the_log_tells_of_the_undo_and_keeps_what_was_undone(cells, shop):
    cells("%%sql\nUPDATE orders\nSET total = 1")
    cells("%undo")
    log = shop["main"].log()
    assert log["message"].iloc[0] == "undo of cell 3 (UPDATE orders)"
    assert log["undone"].iloc[1]
    assert isinstance(log, pd.DataFrame)


def test_a_remembered_cell_keeps_no_instance_open(cells):
    cells("import absdb\nother = absdb.connect('other')")
    cells("other['main'].create_table('t', {'id': 'int64'}, key='id').count()")
    cells("other['main']['t'].insert({'id': 1})")
    assert cells("other = None\nabsdb.connect('other').close()").error is None
    assert isinstance(cells("%undo").error, absdb.StateError)


def test_undo_takes_nothing(cells):
    assert isinstance(cells("%undo 2").error, absdb.InvalidInputError)
