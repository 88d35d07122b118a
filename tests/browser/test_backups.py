"""The Backups page in a browser: a target is picked with the pointer and with the keys, recovered, and brought in."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.reading import faint, nameless

SHOP = """
import tempfile
import time
from pathlib import Path

import pandas as pd

import absdb

directory = tempfile.TemporaryDirectory()
root = Path(directory.name)
clock = absdb.ManualClock("2026-04-04 14:00Z")
shop = absdb.connect(
    root / "shop", clock=clock, author="ann", backup_target=str(root / "backups"),
    wal_archive_enabled=True, wal_archive_target=str(root / "archive"), wal_archive_interval=1,
)
orders = shop["main"].create_table("orders", pd.DataFrame({"id": range(1000), "paid": False}), key="id")
shop.backup(root / "backups", label="base")
for number in range(10):
    clock.advance(minutes=1)
    orders.update({"id": number, "paid": True}, message=f"<b>order {number}</b>")
clock.advance(minutes=1)
shop.create_restore_point("before the clean up")
clock.advance(minutes=1)
orders.delete(list(range(481)), message="clean up")
clock.advance(minutes=3)
orders.update({"id": 900, "paid": True}, message="the last one")
while shop.wal_stats()["last_archived_lsn"].iloc[0] != str(shop.lsn):
    time.sleep(0.05)
"""
SHOW = "panel = absdb.panels.backups(shop)\npanel"
NAMES, EDGE = 112, 34
"""Room on the picture beside its plot, as in recovery_timeline.js."""


@pytest.fixture(scope="module")
def notebook(loaded):
    """The shop with a backup and an archive, and the page; the tests of this module share it."""
    notebook = loaded.make(SHOP, SHOW)
    notebook.run_cell(0)
    notebook.run_cell(1)
    yield notebook
    notebook.ask("panel.close(); shop.close(); directory.cleanup()")
    loaded.close_all()


def target(bench):
    """The handle on the timeline."""
    return bench.shown.get_by_role("slider", name="recovery target")


def says(bench, text):
    """Wait until the handle is read out with that text."""
    expect(target(bench)).to_have_attribute("aria-valuetext", re.compile(text))


def test_the_page_shows_backups_and_what_can_be_recovered(bench, watched):
    expect(bench.rows("backups")).to_have_count(1)
    expect(target(bench)).to_be_visible()
    says(bench, "the last thing in it is commit 'the last one'")
    picture = bench.shown.locator(".absdb-recovery svg")
    for text in ("timeline 1", "base", "-481", "before the clean up"):
        expect(picture.get_by_text(text, exact=True)).to_be_visible()
    panel = bench.shown.locator(".absdb-page").first
    for theme in ("light", "dark"):
        watched.theme(theme)
        watched.screenshot(f"backups_{theme}")
        assert nameless(panel) == []
        assert faint(panel) == []


def test_a_target_is_picked_with_the_pointer(bench):
    picture = bench.shown.locator(".absdb-recovery svg")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    bar = picture.locator(".absdb-deletes").bounding_box()
    bench.page.mouse.move(box["x"] + NAMES + 20, box["y"] + 60)
    bench.page.mouse.down()
    bench.page.mouse.move(box["x"] + NAMES + (box["width"] - NAMES - EDGE) / 2, box["y"] + 60, steps=3)
    bench.page.mouse.move(bar["x"] + 3, box["y"] + 60, steps=3)
    bench.page.mouse.up()
    says(bench, "just after commit 'clean up' \\(deleted 481 rows\\)")
    expect(bench.row("tables then and now", 0)).to_have_text(["orders", "519", "519"])
    bench.button("Just before this commit").click()
    says(bench, "just before commit 'clean up'")
    expect(bench.row("tables then and now", 0)).to_have_text(["orders", "1000", "519"])


def test_the_keys_lead_from_commit_to_commit(bench):
    handle = target(bench)
    handle.focus()
    for key, text in (
        ("End", "'the last one'"),
        ("ArrowLeft", "just before commit 'clean up'|just after commit 'clean up'"),
        ("ArrowLeft", "before the clean up"),
        ("ArrowLeft", "<b>order 9</b>"),
        ("PageDown", "from backup base"),
        ("ArrowRight", "<b>order"),
        ("Home", "2026-04-04 14:00:00"),
    ):
        bench.page.keyboard.press(key)
        says(bench, text)
    bench.page.keyboard.press("+")
    expect(bench.button("Zoom out")).to_be_enabled()
    expect(handle).to_be_focused()
    bench.page.keyboard.press("0")
    expect(bench.button("Zoom out")).to_be_disabled()


def test_what_was_deleted_is_recovered_and_brought_in_as_a_branch(bench, notebook):
    field = bench.field("Recover to")
    field.fill("13:00")
    field.press("Enter")
    expect(bench.shown.get_by_text("before the oldest backup").filter(visible=True)).to_be_visible()
    expect(bench.button("Recover")).to_be_disabled()
    field.fill("before the clean up")
    field.press("Enter")
    says(bench, "restore point 'before the clean up'")
    bench.press("Recover", says="It becomes an instance of its own")
    bench.press("Recover now", says="goes on as timeline 2")
    bench.shown.locator(".absdb-messages").get_by_role("button", name="Bring it in as a branch").click()
    expect(bench.message).to_contain_text("recovered is what")
    assert notebook.ask("shop['recovered']['orders'].count()") == "1000"
    assert notebook.ask("shop['main']['orders'].count()") == "519"


def test_a_backup_is_made_on_the_page(bench):
    bench.list("Back up").select_option("incremental")
    bench.field("Label").fill("after it")
    bench.press("Back up now", says="after it")
    bench.field("Label").fill("after-it")
    bench.press("Back up now", says="after-it, incremental")
    expect(bench.rows("backups")).to_have_count(2)
    bench.press("Verify", says="is as it was written")
