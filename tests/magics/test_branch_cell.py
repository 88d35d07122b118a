"""`%%branch`: what runs where, what is shown at its end, and when the branch stays."""

from __future__ import annotations

import pytest

import absdb


def totals(database: absdb.Database) -> list[float]:
    return database["orders"].to_pandas()["total"].tolist()


def test_a_cell_runs_on_a_branch_that_is_dropped_at_its_end(cells, shop):
    ran = cells("%%branch\n%sql UPDATE orders SET total = total * 2\nbranch['orders'].count()")
    assert ran.error is None
    assert "3\n" in ran.out
    assert ran.out.endswith("branch 'branch_1' was dropped; %%branch --keep keeps it\n")
    assert len(ran.html) == 1
    for part in ("branch_1", "against ", "main", "modified", "20.0"):
        assert part in ran.html[0]
    assert list(shop) == ["main"]
    assert totals(shop["main"]) == [10.0, 20.0, 30.0]
    assert isinstance(cells("branch_1").error, NameError)


def test_sql_python_and_the_current_database_are_the_branch(cells, shell):
    ran = cells(
        "%%branch prices\n"
        "%sql DELETE FROM orders WHERE id = 1\n"
        "branch['orders'].delete(2)\n"
        "found = (branch.name, prices.name, prices['orders'].count())\n"
        "here = %sql SELECT count(*) AS n FROM orders\n"
        "there = %sql --database main SELECT count(*) AS n FROM orders\n"
    )
    assert ran.error is None
    assert shell.user_ns["found"] == ("prices", "prices", 1)
    assert (shell.user_ns["here"]["n"][0], shell.user_ns["there"]["n"][0]) == (1, 3)
    assert cells("%absdb").value["database"].tolist() == ["main"]


def test_a_cell_may_be_sql_as_a_whole(cells, shop):
    ran = cells("%%branch prices --keep\n%%sql\nUPDATE orders SET total = 0 WHERE id = 1")
    assert ran.error is None
    assert totals(shop["prices"]) == [0.0, 20.0, 30.0]
    assert "MERGE DATABASE prices INTO main brings it over" in ran.out
    cells("%sql MERGE DATABASE prices INTO main")
    assert totals(shop["main"]) == [0.0, 20.0, 30.0]


def test_it_is_kept_on_request_and_stays_in_its_variables(cells, shop, shell):
    cells("%%branch --keep\npass")
    cells("%%branch side\nif branch['orders'].count() == 3:\n    %branch keep")
    assert sorted(shop) == ["branch_1", "main", "side"]
    assert shell.user_ns["side"].name == shell.user_ns["branch"].name == "side"
    cells("%%branch\npass")
    assert shell.user_ns["branch"].name == "side", "what a dropped branch hid is back"
    assert isinstance(cells("%branch keep").error, absdb.StateError)
    assert isinstance(cells("%branch drop").error, absdb.InvalidInputError)


def test_an_error_drops_it_and_fails_the_cell(cells, shop, shell):
    shell.push({"branch": "mine"})
    ran = cells("%%branch side --keep\n%sql UPDATE orders SET total = 0\n1 / 0")
    assert isinstance(ran.error, ZeroDivisionError)
    assert ran.out.startswith("branch 'side' was dropped, since the cell failed\n")
    assert "1 / 0" in ran.out
    assert "branch_cell.py" not in ran.out, "the traceback is that of the cell"
    assert ran.html == []
    assert list(shop) == ["main"]
    assert shell.user_ns["branch"] == "mine"
    ran = cells("%%branch\n%sql FROM oders")
    assert isinstance(ran.error, absdb.UnknownNameError)
    assert "Traceback" not in ran.out
    assert isinstance(cells("%%branch\nif:").error, SyntaxError)
    assert list(shop) == ["main"]
    assert cells("%sql FROM orders").value["total"].tolist() == [10.0, 20.0, 30.0]


def test_a_variable_of_its_name_that_is_something_else_is_left_alone(cells, shell):
    shell.push({"orders": [1, 2]})
    assert cells("%%branch orders --keep\nlen(orders)").error is None
    assert shell.user_ns["orders"] == [1, 2]
    assert cells("%%branch 'my try'\nbranch.name").out.startswith("Out[4]: 'my try'\n")


def test_from_another_database_and_a_point_in_the_past(cells, shop):
    side = shop["main"].branch("side")
    side["orders"].delete(1)
    shop["main"]["orders"].delete([2, 3])
    ran = cells("%%branch --from side\n%sql SELECT count(*) AS n FROM orders")
    assert "</span> side @" in ran.html[-1]
    assert "no difference" in ran.html[-1]
    assert cells("%%branch old --at before --keep\npass").error is None
    assert totals(shop["old"]) == [10.0, 20.0, 30.0]
    cells("then = main.at(snapshot='before')\n%absdb then")
    cells("%%branch older --keep\npass")
    assert totals(shop["older"]) == [10.0, 20.0, 30.0]


def test_the_diff_leaves_out_what_others_commit_meanwhile(cells, shop):
    ran = cells("%%branch\nmain['orders'].delete(1)\n%sql DELETE FROM orders WHERE id = 2")
    assert "0/" in ran.html[0]
    assert ran.html[0].count("paid") == 1
    assert "removed" in ran.html[0]
    assert shop["main"]["orders"].count() == 2


def test_an_open_transaction_is_not_taken_over(cells, shop):
    cells("%sql BEGIN")
    refused = cells("%%branch\npass")
    assert isinstance(refused.error, absdb.StateError)
    assert list(shop) == ["main"]
    cells("%sql ROLLBACK")
    ran = cells("%%branch\n%sql BEGIN\n%sql DELETE FROM orders")
    assert ran.out.splitlines()[-2] == "the transaction that the cell left open was rolled back"
    assert "no difference" in ran.html[0]


def test_a_branch_that_the_cell_drops_renames_or_protects(cells, shop):
    assert cells("%%branch\nbranch.drop()").error is None
    assert "'other' was dropped" in cells("%%branch\nbranch.rename('other')").out
    assert "was dropped" in cells("%%branch\nbranch.protect()").out
    assert list(shop) == ["main"]
    assert isinstance(cells("%%branch\nshop.close()").value, type(None))
    assert shop.closed


@pytest.mark.parametrize("line", ["one two", "--form main", "main", "--from mian", "--at nothing"])
def test_a_branch_that_cannot_be_made_runs_nothing(cells, shop, shell, line):
    ran = cells(f"%%branch {line}\nran = True")
    assert isinstance(ran.error, absdb.AbsdbError)
    assert "Traceback" not in ran.out
    assert "ran" not in shell.user_ns
    assert list(shop) == ["main"]
