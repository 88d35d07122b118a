"""What the Backups page knows and does, without a widget: over real repositories and a real archive."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

import absdb
from absdb.errors import InvalidInputError, NotFoundError
from absdb.panels.model.backup_rows import BackupRows
from absdb.panels.model.backups import Backups, Wanted, directory_beside
from absdb.panels.model.recoverable import Recoverable, moment
from absdb.panels.model.recovery_layout import SLOTS, View, describe, layout, time_ticks, whole
from absdb.panels.model.recovery_target import Target, choose, picked, read_target, stepped
from absdb.panels.model.work import Cancelled, Job
from tests.panels.backup_scene import DELETED, BackupScene


@pytest.fixture(scope="module")
def found(kept) -> Recoverable:
    seen = Backups(kept.shop).look()
    assert seen.recoverable is not None
    assert seen.recoverable.problems == ()
    return seen.recoverable


@pytest.fixture
def scene(tmp_path) -> Iterator[BackupScene]:
    made = BackupScene(tmp_path)
    yield made
    made.close()


# -- what can be recovered


def test_the_stretch_begins_at_the_oldest_backup_and_ends_with_the_archive(found, kept):
    assert [base.label for base in found.bases] == ["base", "incr"]
    assert found.gaps == ()
    assert [lane.timeline for lane in found.lanes] == [1]
    assert {stretch.end.lsn for stretch in found.along(1)} == {int(kept.shop.lsn)}
    assert [mark.name for mark in found.marks if mark.named] == ["before the clean up", "evening"]
    assert "2 backups" in describe(found)
    assert "2026-04-04 14:00:00" in found.told(1)


def test_a_deletion_can_be_stepped_over_and_is_said_in_words(found, kept):
    target = read_target(kept.lsn("clean up"), found, 1, inclusive=False)
    chosen = choose(found, target)
    assert chosen.told().startswith("As of 2026-04-04 14:03:00")
    assert f"just before commit 'clean up' (deleted {DELETED} rows), from backup incr" in chosen.told()
    after = choose(found, Target(1, lsn=target.lsn))
    assert "just after commit 'clean up'" in after.told()
    assert after.segments == 1
    earlier = choose(found, read_target("14:01:30", found, 1))
    assert earlier.label == "base"
    assert "the last thing in it is commit 'paid' (updated 1 row)" in earlier.told()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-04-04 14:03:30Z", "the last thing in it is restore point 'before the clean up'"),
        ("before the clean up", "just after restore point 'before the clean up'"),
        ("evening", "at the point named 'evening'"),
        ("end", "the last thing in it is commit 'late'"),
        ("", "the last thing in it is commit 'late'"),
    ],
)
def test_times_names_and_the_end_are_understood(found, text, message):
    assert message in choose(found, read_target(text, found, 1)).told()


def test_what_cannot_be_reached_is_refused_with_what_is_possible(found):
    for text, why in (
        ("2026-04-04 13:00Z", "before the oldest backup"),
        ("0/64", "before the oldest backup"),
        ("15:30", "after the end of the archived log"),
        ("0/9999999", "after the end of the archived log"),
    ):
        with pytest.raises(InvalidInputError, match=why) as caught:
            choose(found, read_target(text, found, 1))
        assert found.told(1) in caught.value.hint
    with pytest.raises(InvalidInputError, match="no time, no LSN") as caught:
        read_target("before the cleanup", found, 1)
    assert "before the clean up, evening" in caught.value.hint
    with pytest.raises(NotFoundError, match="no restore point"):
        choose(found, Target(1, name="nobody"))
    with pytest.raises(InvalidInputError, match="along timeline 7"):
        choose(found, Target(7))


def test_steps_lead_from_commit_to_commit_and_stop_at_the_ends(found):
    target, seen = Target(1), []
    for _ in range(6):
        target = stepped(found, target, -1)
        seen.append(choose(found, target).last.name)
    assert seen == ["clean up", "before the clean up", "paid", "load", "load", "load"]
    assert choose(found, stepped(found, target, 10)).last.name == "late"
    between = read_target("14:02:30", found, 1)
    assert choose(found, stepped(found, between, -1)).last.name == "paid"
    assert choose(found, stepped(found, between, 1)).last.name == "before the clean up"


def test_a_place_near_a_commit_means_the_commit(found, kept):
    us = next(mark.at.us for mark in found.marks if mark.name == "clean up")
    second = 1_000_000
    assert picked(found, us + second, 1, 2 * second).lsn == int(absdb.Lsn.parse(kept.lsn("clean up")))
    assert picked(found, us + 5 * second, 1, 2 * second) == Target(1, us=us + 5 * second)


def test_without_an_archive_only_the_moments_of_backups_can_be_reached(tmp_path):
    scene = BackupScene(tmp_path, wal_archive_enabled=False, wal_archive_target="")
    with scene.shop:
        found = Backups(scene.shop).look().recoverable
        assert found is not None
        assert found.archive_url == ""
        assert choose(found, Target(1)).label == "incr"
        with pytest.raises(InvalidInputError, match="after the end"):
            choose(found, read_target(scene.lsn("clean up"), found, 1))


def test_missing_log_is_a_gap_that_ends_what_can_be_reached(scene):
    for number in range(40):
        text = f"{number:04}" + "x" * 4000
        scene.commit(f"long {number}", lambda orders, text=text: orders.update({"id": 95, "status": text}))
    scene.archive()
    segments = sorted(path for path in (scene.root / "archive").iterdir() if path.name.startswith("0000"))
    segments[1].unlink()
    found = Backups(scene.shop).look().recoverable
    assert found is not None
    (gap,) = found.gaps
    assert gap.begin.lsn == 1 << 16
    assert gap.end.lsn == 2 << 16
    assert "Log is missing" in describe(found)
    drawn = layout(found, whole(found), 1)["lanes"][0]["gaps"]
    assert drawn[0]["to"] > drawn[0]["x"]
    with pytest.raises(InvalidInputError, match="cannot be recovered"):
        choose(found, read_target(scene.lsn("long 39"), found, 1))


def test_a_store_that_cannot_be_read_is_told_and_hides_nothing_else(scene):
    scene.archive()
    (scene.root / "archive" / "archive.json").write_text("{")
    found = Backups(scene.shop).look().recoverable
    assert found is not None
    assert "the archive:" in found.problems[0]
    assert len(found.bases) == 2
    other = Backups(scene.shop, str(scene.root / "nothing here"))
    seen = other.look()
    assert seen.backups == []
    assert seen.bases == []


def test_an_archive_of_another_instance_leads_nowhere(scene, kept):
    scene.archive()
    backups = Backups(kept.shop)
    found = backups._reader.read(
        kept.repository, backups.look().backups, str(scene.root / "archive"), backups.key
    )
    assert "is that of another instance" in found.problems[0]
    assert max(stretch.end.lsn for stretch in found.stretches) == int(found.bases[-1].info.end_lsn)


def test_backups_of_another_instance_are_listed_and_not_recovered_from(scene):
    with absdb.connect(":memory:") as other:
        other["main"].create_table("t", {"id": "int64"}, key="id")
        other.backup(scene.repository, label="foreign")
    seen = Backups(scene.shop).look()
    assert "foreign" in seen.labels
    assert seen.recoverable is not None
    assert [base.label for base in seen.recoverable.bases] == ["base", "incr"]
    told = "1 backup of another instance, which leads to no state of this one"
    assert seen.recoverable.problems[0] == told


# -- the picture


def test_marks_that_fall_together_are_one_tick_and_large_deletions_say_their_rows(found):
    near = layout(found, whole(found), 1)
    (lane,) = near["lanes"]
    assert [tick.get("label") for tick in lane["commits"]] == [None, None, f"-{DELETED}", None]
    assert [flag["name"] for flag in lane["flags"]] == ["before the clean up", "evening"]
    assert [(one["label"], one["kind"]) for one in lane["backups"]] == [
        ("base", "full"),
        ("incr", "incremental"),
    ]
    assert [tick["text"] for tick in near["ticks"]][:2] == ["14:00", "14:02"]
    view = whole(found)
    (wide,) = layout(found, View(view.begin, view.end + 1000 * (view.end - view.begin)), 1)["lanes"]
    assert len(wide["commits"]) < len(lane["commits"]) <= SLOTS
    assert any("commits; zoom in" in line for tick in wide["commits"] for line in tick["text"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01, "14:00:00.002"), (20, "14:00:05"), (4000, "14:15"), (200_000, "2026-04-05"), (3e7, "2026-07-14")],
)
def test_the_axis_has_round_times(seconds, text):
    begin = int(dt.datetime(2026, 4, 4, 14, tzinfo=dt.UTC).timestamp() * 1e6)
    ticks = time_ticks(View(begin, begin + int(seconds * 1e6)))
    assert 2 <= len(ticks) <= 7
    assert any(tick["text"].startswith(text) for tick in ticks), ticks
    assert moment(begin) == "2026-04-04 14:00:00"


# -- doing


def test_what_was_deleted_is_recovered_and_brought_in_beside_what_is_here(scene):
    scene.archive()
    backups = Backups(scene.shop)
    found = backups.look().recoverable
    chosen = choose(found, Target(1, lsn=int(absdb.Lsn.parse(scene.lsn("clean up"))), inclusive=False))
    path = directory_beside(scene.shop.path)
    done = backups.recover(Job("recover"), chosen, path, found.archive_url)
    assert done.recovered.timeline == 2
    assert int(done.recovered.lsn) == chosen.at.lsn
    assert directory_beside(scene.shop.path) == f"{path}-2"
    assert backups.branch_of_directory(Job("branch"), path, "main", "lost") == "lost"
    summary = scene.shop["main"].diff(scene.shop["lost"]).summary()
    assert dict(zip(summary["operation"], summary["row_count"], strict=True))["removed"] == DELETED
    with absdb.connect(path) as recovered:
        assert recovered["main"]["orders"].count() == 100
    assert backups.branch_of_backup(Job("branch"), "base", "main", "old") == "old"
    assert scene.shop["old"]["orders"].get(0)["status"] == "open"


def test_a_backup_is_made_verified_and_pinned(scene):
    backups, job = Backups(scene.shop), Job("backup")
    made = backups.make(job, Wanted("incremental", "more", base="incr", comment="by hand"))
    assert made.base == "incr"
    assert job.done == job.total or job.total == 1
    assert "MB/s" in job.unit
    assert backups.verify(Job("verify"), "more").well
    backups.pin("more", pinned=True)
    row = next(row for row in backups.look().backups if row["label"] == "more")
    assert row["pinned"]
    cells = BackupRows([row], scene.shop.now).page(0, 1)[0].cells
    assert cells[:3] == ["more", "incremental, pinned", "just now"]
    assert cells[7:] == ["incr", "by hand"]
    row |= {"pinned": False, "comment": ""}
    assert len(BackupRows([row], scene.shop.now).columns) == len(cells) - 1, "no column without comments"
    backups.pin("more", pinned=False)
    assert not any(row["pinned"] for row in backups.look().backups)
    alone = backups.make(Job("backup"), Wanted("one database", database="main"))
    assert alone.databases == ("main",)
    with pytest.raises(InvalidInputError, match="to build on"):
        backups.make(Job("backup"), Wanted("incremental"))
    with absdb.connect(":memory:") as other, pytest.raises(InvalidInputError, match="no repository"):
        Backups(other).make(job, Wanted("full"))


def test_a_cancelled_backup_leaves_none_and_the_same_label_goes_on(scene):
    backups, job = Backups(scene.shop), Job("backup")
    job.cancel()
    with pytest.raises(Cancelled):
        backups.make(job, Wanted("full", "again"))
    assert "again" not in backups.look().labels
    assert backups.make(Job("backup"), Wanted("full", "again")).label == "again"


def test_a_reader_beside_the_writer_backs_up_and_recovers(scene):
    scene.archive()
    with absdb.connect(scene.root / "shop", read_only=True, clock=scene.clock) as reader:
        backups = Backups(reader, scene.repository)
        assert backups.make(Job("backup"), Wanted("full", "beside")).label == "beside"
        found = backups.look().recoverable
        path = str(Path(scene.root) / "elsewhere")
        done = backups.recover(Job("recover"), choose(found, Target(1)), path, found.archive_url)
        assert done.path == path


def test_recovered_instances_are_lanes_of_their_own(scene):
    scene.archive()
    target = scene.lsn("clean up")
    scene.shop.close()
    absdb.restore(scene.repository, scene.root / "second", target_lsn=target, inclusive=False, action="pause")
    scene.shop = scene.opened("second")
    scene.shop.promote()
    scene.commit("better", lambda orders: orders.delete([1, 2]))
    scene.shop.backup(scene.repository, label="second")
    scene.archive()
    found = Backups(scene.shop).look().recoverable
    assert [(lane.timeline, lane.parent) for lane in found.lanes] == [(1, None), (2, 1)]
    assert choose(found, Target(2)).label == "second"
    assert choose(found, Target(1)).label == "incr"
    assert (
        "just before commit 'better'"
        in choose(found, read_target(scene.lsn("better"), found, 2, inclusive=False)).told()
    )
    lanes = layout(found, whole(found), 2)["lanes"]
    assert lanes[1]["fork"]["lane"] == 0
    assert [lane["note"] for lane in lanes] == ["led here", "this instance"]
    assert [tick.get("label") for tick in lanes[0]["commits"]] == [None, None], (
        "what timeline 2 left is not known"
    )
