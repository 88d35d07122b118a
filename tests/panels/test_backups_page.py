"""The Backups page: what it shows, backing up, picking a target, recovering, and bringing it in as a branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import absdb
from absdb.panels import backups
from absdb.panels.backups_page import BackupsPage
from absdb.panels.model.recovery_target import Target
from tests.panels.backup_scene import DELETED, BackupScene


@pytest.fixture
def scene(tmp_path) -> Iterator[BackupScene]:
    made = BackupScene(tmp_path)
    made.archive()
    yield made
    made.close()


@pytest.fixture
def looking(kept) -> Iterator[BackupsPage]:
    """A page over a scene that nothing is changed in."""
    made = backups(kept.shop)
    settle(made)
    yield made
    made.close()


@pytest.fixture
def page(scene) -> Iterator[BackupsPage]:
    made = backups(scene.shop)
    settle(made)
    yield made
    made.close()


def settle(page: BackupsPage) -> None:
    assert page.hub.work.wait(20)


def cells(grid: Any) -> list[Any]:
    return [row["cells"] for row in grid.rows]


def press(page: BackupsPage, text: str) -> None:
    """Press a button of the message."""
    next(one for one in page.message.actions if one.description == text).click()
    settle(page)


def said(page: BackupsPage, message: dict[str, Any]) -> None:
    """What the browser would send from the timeline."""
    page.recovery.timeline._handle_custom_msg(message, [])
    settle(page)


def test_it_lists_the_repository_and_draws_what_can_be_recovered(looking, kept):
    assert [row[:2] for row in cells(looking.list)] == [["base", "full"], ["incr", "incremental"]]
    assert "2 backups" in looking.status.value
    assert str(kept.root / "archive") in looking.status.value
    (lane,) = looking.recovery.timeline.drawing["lanes"]
    assert [backup["label"] for backup in lane["backups"]] == ["base", "incr"]
    assert looking.recovery.where.value == "end"
    assert "the last thing in it is commit" in looking.recovery.words.value
    assert looking.recovery.directory.value == f"{kept.shop.path}-recovered"
    assert "base" in looking.summary()


def test_without_a_repository_it_says_what_to_do(tmp_path):
    with absdb.connect(tmp_path / "shop") as shop:
        page = backups(shop)
        settle(page)
        assert "No repository yet" in page.status.value
        assert page.stored.layout.display == "none"
        page.url.value = str(tmp_path / "backups")
        settle(page)
        assert page.stored.layout.display == ""
        assert "make a full backup first" in page.recovery_note.value
        assert page.recovery.layout.display == "none"
        page.form.make_button.click()
        settle(page)
        assert ", full, as of LSN" in page.message.text
        assert len(cells(page.list)) == 1
        assert "wal_archive_enabled" in page.recovery_note.value, "what an archive would add is said"
        assert page.recovery.layout.display == ""
        page.close()


def test_a_backup_is_made_pinned_and_verified(page, scene):
    page.form.kind.value = "incremental"
    page.form.label.value = "more"
    assert page.form.base.layout.display == ""
    page.form.make_button.click()
    settle(page)
    assert "more, incremental, as of LSN" in page.message.text
    assert cells(page.list)[-1][7] == "incr"
    press(page, "Verify it")
    assert "more is as it was written" in page.message.text
    page.list._handle_custom_msg({"type": "select", "row": 0, "column": "label"}, [])
    assert page.label == "base"
    page.pin_button.click()
    settle(page)
    assert page.pin_button.description == "Unpin"
    assert cells(page.list)[0][1] == "full, pinned"
    page.pin_button.click()
    settle(page)
    assert page.pin_button.description == "Pin"


def test_damage_is_told_by_verify(page, scene):
    file = next(path for path in (scene.root / "backups" / "base" / "pages").iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    page.verify("base")
    settle(page)
    assert "base is damaged" in page.message.text
    assert file.name.split(".")[0] in page.message.text


def test_a_target_is_picked_stepped_to_and_typed(looking, kept):
    form = looking.recovery
    mark = next(mark for mark in form.found.marks if mark.name == "clean up")
    said(looking, {"type": "pick", "us": mark.at.us + 1000, "timeline": 1, "near": 2000})
    assert form.where.value == kept.lsn("clean up")
    assert "just after commit &#x27;clean up&#x27;" in form.words.value
    assert form.timeline.handle["us"] == mark.at.us
    assert cells(form.preview) == [["orders", str(100 - DELETED), str(100 - DELETED)]]
    form.before_button.click()
    settle(looking)
    assert "just before commit &#x27;clean up&#x27;" in form.words.value
    assert form.timeline.handle["before"]
    assert not form.inclusive.value
    assert cells(form.preview) == [["orders", "100", str(100 - DELETED)]]
    form.inclusive.value = True
    assert form.choice.last.name == "clean up"
    said(looking, {"type": "step", "by": -1})
    assert form.choice.last.name == "before the clean up"
    said(looking, {"type": "end", "last": False})
    assert form.choice.last.name == "load"
    said(looking, {"type": "end", "last": True})
    assert form.where.value == "end"
    form.where.value = "evening"
    assert "the point named" in form.words.value
    assert form.inclusive.disabled


def test_what_cannot_be_reached_disables_recovering_and_says_what_can(looking):
    form = looking.recovery
    form.where.value = "2026-04-01"
    assert "before the oldest backup" in form.words.value
    assert "possible is 2026-04-04 14:00" in form.words.value
    assert form.recover_button.disabled
    form.where.value = "no such name"
    assert "no time, no LSN" in form.words.value
    form.where.value = "14:03:30"
    assert not form.recover_button.disabled


def test_what_the_browser_makes_up_is_left_alone(looking):
    before = dict(looking.recovery.timeline.handle)
    for message in (
        {"type": "pick", "us": -5, "timeline": 1, "near": 0},
        {"type": "pick", "us": 5, "timeline": 99, "near": 0},
        {"type": "pick", "us": "now", "timeline": 1, "near": 0},
        {"type": "step", "by": 1000},
        {"type": "zoom", "factor": 0},
        {"type": "move", "share": 5},
        {"type": "nothing"},
    ):
        said(looking, message)
    assert looking.recovery.timeline.handle == before


def test_the_view_is_zoomed_around_the_target(looking):
    timeline = looking.recovery.timeline
    whole = timeline.view
    said(looking, {"type": "zoom", "factor": 0.5})
    assert timeline.view.end - timeline.view.begin == pytest.approx((whole.end - whole.begin) / 2, rel=1e-3)
    assert not timeline.drawing["all"]
    said(looking, {"type": "move", "share": -0.5})
    said(looking, {"type": "end", "last": False})
    assert timeline.view.begin <= timeline.handle["us"] <= timeline.view.end, "the target stays in view"
    said(looking, {"type": "all"})
    assert timeline.view == whole


def test_recovering_asks_makes_a_directory_and_leaves_a_receipt(page, scene):
    page.recovery.go(Target(1, lsn=absdb.Lsn.parse(scene.lsn("clean up")), inclusive=False))
    path = page.recovery.directory.value
    page.recovery.recover_button.click()
    assert "just before commit" in page.message.text
    assert not (scene.root / "shop-recovered").exists()
    press(page, "Recover now")
    assert "goes on as timeline 2" in page.message.text
    assert f"absdb.connect(&quot;{path}&quot;)" in page.message.text
    assert page.recovery.directory.value == f"{path}-2"
    page.bring_in_name.value = "lost"
    press(page, "Bring it in as a branch")
    assert "lost is what" in page.message.text
    summary = scene.shop["main"].diff(scene.shop["lost"]).summary()
    assert dict(zip(summary["operation"], summary["row_count"], strict=True))["removed"] == DELETED
    with absdb.connect(path) as recovered:
        assert recovered["main"]["orders"].count() == 100
    page.bring_in_button.click()
    settle(page)
    assert "already" in page.message.text, "a name that is taken is an error that is shown"


def test_a_backup_becomes_a_branch(page, scene):
    page.list._handle_custom_msg({"type": "select", "row": 0, "column": "label"}, [])
    page.branch_name.value = "as loaded"
    page.branch_button.click()
    settle(page)
    assert "as loaded is what backup base holds" in page.message.text
    assert scene.shop["as loaded"]["orders"].get(0)["status"] == "open"


def test_a_read_only_instance_backs_up_and_recovers_and_takes_no_branches(scene):
    with absdb.connect(scene.root / "shop", read_only=True, clock=scene.clock) as reader:
        page = backups(reader)
        page.url.value = scene.repository
        settle(page)
        assert page.branch_button.disabled
        assert "read-only" in page.branch_button.tooltip
        page.form.make_button.click()
        settle(page)
        assert ", full, as of LSN" in page.message.text
        assert len(cells(page.list)) == 3
        page.recovery.recover_button.click()
        press(page, "Recover now")
        assert "Recovered to LSN" in page.message.text
        assert page.message.actions == ()
        page.close()


def test_the_target_stays_while_others_commit_and_the_end_follows(page, scene):
    scene.commit("more", lambda orders: orders.delete([99]))
    scene.archive()
    page.look()
    settle(page)
    assert page.recovery.choice.last.name == "more"
    page.recovery.where.value = scene.lsn("paid")
    scene.commit("and more", lambda orders: orders.delete([98]))
    scene.archive()
    page.look()
    settle(page)
    assert page.recovery.choice.last.name == "paid"


def test_the_page_is_one_of_the_workbench(scene):
    bench = absdb.workbench(scene.shop)
    page = bench.turn("Backups")
    assert page.hub.work.wait(20)
    assert len(cells(page.list)) == 2
    bench.close()
