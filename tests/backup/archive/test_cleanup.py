"""Old log goes with what only it names; nothing that is kept, protected or on its way is touched."""

from __future__ import annotations

import pytest

from absdb.backup.archive.cleanup import clean_up, plan_cleanup
from absdb.backup.archive.listing import wal_list
from absdb.clock import SystemClock
from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from tests.backup.archive.scene import SEGMENT

CLOCK = SystemClock()
FAR_US = 2**62


def filled(scene):
    for number in range(4):
        scene.fill(1000 * number)
        scene.work(2)
        scene.archiver.ship()
    return scene.archive()


def numbers(archive):
    return [segment.segment for segment in archive.segments()]


def pages(archive):
    return {info.name for info in archive.store.list("pages/")}


def test_dry_plan_changes_nothing_and_says_all(scene):
    archive = filled(scene)
    before = scene.objects()
    plan = plan_cleanup(archive, before_lsn=4 * SEGMENT)
    assert [s.segment for s in plan.segments] == [0, 1, 2, 3]
    assert len(plan.page_files) == 2
    assert plan.bytes > 0
    assert scene.objects() == before
    steps = []
    clean_up(archive, plan, clock=CLOCK, report=steps.append)
    assert steps == list(range(1, plan.count + 1))
    assert set(before) - set(scene.objects()) == {
        *(s.stored_name for s in plan.segments),
        *(p.stored_name for p in plan.page_files),
        *(name for name in before if name.startswith("files/") and name not in scene.objects()),
    }


def test_what_is_kept_still_has_all_that_it_names(scene):
    archive = filled(scene)
    all_pages = pages(archive)
    cut = 4 * SEGMENT
    clean_up(archive, plan_cleanup(archive, before_lsn=cut), clock=CLOCK)
    assert numbers(archive)[0] == 4
    named = {
        f"pages/{name}.zst"
        for lsn, names in scene.engine.logged_files.between(scene.engine, 0, scene.engine.published)
        for name in names
        if lsn > cut
    }
    assert named
    assert named <= pages(archive)
    assert pages(archive) < all_pages
    assert [row["kind"] for row in wal_list(archive).to_pylist() if row["kind"] in ("gap", "hole")] == []


def test_newest_segment_stays_so_that_archiving_goes_on(scene):
    archive = filled(scene)
    clean_up(archive, plan_cleanup(archive, before_lsn=2**40, before_us=FAR_US), clock=CLOCK)
    assert len(numbers(archive)) == 1
    scene.reopen()
    scene.work(1)
    scene.archiver.ship()
    assert scene.archiver.status().first_gap_lsn is None
    assert archive.end()[1] == scene.engine.published


def test_protected_log_stays_and_what_is_missing_around_it_is_acknowledged(scene):
    archive = filled(scene)
    protected = [(1, SEGMENT + 100, 2 * SEGMENT + 1)]
    plan = plan_cleanup(archive, before_lsn=5 * SEGMENT, protected=lambda: protected)
    clean_up(archive, plan, clock=CLOCK)
    assert numbers(archive)[:3] == [1, 2, 5]
    rows = [row for row in wal_list(archive).to_pylist() if row["kind"] == "hole"]
    assert [(row["start_lsn"], row["end_lsn"], row["accepted"]) for row in rows] == [
        (str(Lsn(3 * SEGMENT)), str(Lsn(5 * SEGMENT)), True)
    ]
    needed = {
        f"pages/{name}.zst"
        for lsn, names in scene.engine.logged_files.between(scene.engine, 0, 3 * SEGMENT)
        for name in names
        if lsn > SEGMENT
    }
    assert needed <= pages(archive)
    clean_up(archive, plan_cleanup(archive, before_lsn=5 * SEGMENT), clock=CLOCK)
    assert numbers(archive)[0] == 5
    assert not [name for name in scene.objects() if name.startswith("gaps/")]


def test_age_is_when_it_came(scene):
    archive = filled(scene)
    middle = archive.segments()[3].modified_us
    plan = plan_cleanup(archive, before_us=middle)
    assert [s.segment for s in plan.segments] == [
        s.segment for s in archive.segments() if s.modified_us < middle
    ]
    with pytest.raises(InvalidInputError, match="needs a limit"):
        plan_cleanup(archive)


def test_page_files_on_their_way_stay(scene):
    archive = filled(scene)
    name = "pages/00000000000000FF-new.arrow.zst"
    archive.store.put(name, b"its log is not there yet")
    clean_up(archive, plan_cleanup(archive, before_lsn=2**40), clock=CLOCK)
    assert name in pages(archive)


def test_cleanup_that_was_cut_short_is_finished_by_the_next(scene):
    archive = filled(scene)
    plan = plan_cleanup(archive, before_lsn=4 * SEGMENT)
    whole = set(scene.objects())

    class Stopped(Exception):
        pass

    def stop(done):
        if done == len(plan.segments) + 1:
            raise Stopped

    with pytest.raises(Stopped):
        clean_up(archive, plan, clock=CLOCK, report=stop)
    clean_up(archive, plan_cleanup(archive, before_lsn=4 * SEGMENT), clock=CLOCK)
    expected = {s.stored_name for s in plan.segments} | {p.stored_name for p in plan.page_files}
    assert not expected & set(scene.objects())
    assert len(whole - set(scene.objects())) == plan.count
