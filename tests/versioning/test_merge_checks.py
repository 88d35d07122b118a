"""Which data checks a merge is held to: those of its result, and those that the database had before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import absdb
from absdb.errors import DataCheckError

POSITIVE = "SELECT * FROM t WHERE total < 0"


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", [{"id": 1, "total": 5}, {"id": 2, "total": 6}], key="id")
        main.add_check("positive", POSITIVE)
        main.branch("branch")
        yield shop


@pytest.mark.parametrize("forward", [True, False], ids=["fast-forward", "three-way"])
@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ("DROP CHECK positive", False),
        ("CREATE OR REPLACE CHECK positive AS SELECT * FROM t WHERE total < -100", False),
        ("CREATE OR REPLACE CHECK positive AS SELECT * FROM t WHERE total < 0 AND id > 0", False),
        ("ALTER TABLE t RENAME COLUMN total TO amount; DROP CHECK positive", True),
    ],
)
def test_a_check_that_a_merge_takes_away_holds_for_it(
    shop: absdb.Instance, change: str, passes: bool, forward: bool
) -> None:
    main, branch = shop["main"], shop["branch"]
    branch["t"].update({"id": 1, "total": -1})
    with branch.session() as session:
        session.sql(change)
    if not forward:
        main["t"].update({"id": 2, "total": 7})
    if passes:
        assert main.merge(branch)
        assert len(main.checks()) == 0
        return
    assert "check 'positive' fails" in repr(main.merge(branch, dry_run=True))
    with pytest.raises(DataCheckError, match="positive: 1 row offends"):
        main.merge(branch)
    assert main["t"].get(1) == {"id": 1, "total": 5}
    main.drop_check("positive")
    if "REPLACE" not in change:
        main.merge(branch)
        assert main["t"].get(1) == {"id": 1, "total": -1}


def test_a_check_is_dropped_by_a_merge_that_holds_it(shop: absdb.Instance) -> None:
    main, branch = shop["main"], shop["branch"]
    branch.drop_check("positive")
    branch["t"].update({"id": 1, "total": 1})
    main.merge(branch)
    assert len(main.checks()) == 0


def test_a_cherry_pick_is_held_to_the_checks_there_are(shop: absdb.Instance) -> None:
    main, branch = shop["main"], shop["branch"]
    with branch.transaction() as tx:
        tx.sql("DROP CHECK positive")
        tx["t"].update({"id": 1, "total": -1})
    with pytest.raises(DataCheckError, match="positive"):
        main.cherry_pick(branch, lsn=branch.log()["lsn"].iloc[0])


def test_what_brought_a_check_can_be_taken_back(shop: absdb.Instance) -> None:
    main, branch = shop["main"], shop["branch"]
    main.drop_check("positive")
    main["t"].update({"id": 1, "total": -1})
    fix = main.branch("fix")
    fix["t"].update({"id": 1, "total": 1})
    fix.add_check("mended", POSITIVE)
    merged = main.merge(fix, squash=True)
    assert list(main.checks()["name"]) == ["mended"]
    merged.undo()
    assert main["t"].get(1) == {"id": 1, "total": -1}
    assert len(main.checks()) == 0
    assert branch["t"].count() == 2


def test_a_rehearsal_reports_a_check_that_the_migration_drops(shop: absdb.Instance) -> None:
    found = shop["main"].rehearse(["DROP CHECK positive", "UPDATE t SET total = -1 WHERE id = 1"])
    assert found.checks()["passed"].tolist() == [False]
    with pytest.raises(DataCheckError, match="positive"):
        found.apply()
    found.discard()
