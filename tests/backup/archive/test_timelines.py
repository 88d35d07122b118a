"""An instance that was recovered goes on archiving, on a timeline of its own, into the same archive."""

from __future__ import annotations

import random
import shutil
from typing import Any

import pytest

from absdb.backup.archive.listing import histories_of, holes_in, wal_list
from absdb.backup.recovery.fetch import ArchiveSource
from absdb.engine.new_timeline import begin_timeline, clear_older_log
from absdb.engine.recover_to import Target, replay_to
from absdb.engine.recovery import open_for_replay
from absdb.errors import ConflictError
from absdb.io.local import LocalFileSystem
from absdb.paths import timeline_history_name
from tests.backup.archive.scene import Scene


def recover(scene: Scene, lsn: int, *, along: int) -> None:
    """Make the instance anew, from its beginning and its archive, and let it go on from `lsn` of a timeline."""
    scene.engine.close()
    root = scene.root / "instance"
    shutil.rmtree(root)
    shutil.copytree(scene.base, root)
    for path in (root / "watermark", *(root / "wal").iterdir()):
        path.unlink(missing_ok=True)
    archive = scene.archive()
    histories = histories_of(archive, archive.contents())
    engine = open_for_replay(LocalFileSystem(str(root)), arguments=scene.settings, evaluator=scene.sql)
    spans = [span for span in histories[along].spans() if span.from_lsn < lsn]
    with ArchiveSource(engine.fs, archive, archive.contents()) as source:
        reached = replay_to(engine, spans, Target(lsn=lsn), source, local_end=0)
    assert reached.lsn == lsn
    history = histories[along].forked(max(histories) + 1, reached.timeline, lsn, "tests")
    control = begin_timeline(engine, history, epoch=reached.epoch + 1, instance={})
    engine.abandon()
    clear_older_log(LocalFileSystem(str(root)), control)
    scene.open()


def worked(scene: Scene, first: int) -> list[tuple[int, list[dict[str, Any]]]]:
    """Some work that is archived; the LSN and the rows after each part."""
    states = []
    for number in range(2):
        scene.fill(first + 1000 * number, 50)
        scene.work(1)
        scene.archiver.ship()
        states.append((scene.engine.published, scene.rows("t")))
    return states


def test_trap_15_recovered_twice_and_then_to_before_the_first(scene):
    one = worked(scene, 0)
    recover(scene, one[0][0], along=1)
    assert scene.rows("t") == one[0][1]
    assert scene.engine.control.timeline == 2
    two = worked(scene, 10_000)
    recover(scene, two[0][0], along=2)
    assert scene.rows("t") == two[0][1]
    three = worked(scene, 20_000)
    assert scene.engine.control.timeline == 3
    recover(scene, one[1][0], along=1)
    assert scene.rows("t") == one[1][1]
    four = worked(scene, 30_000)
    recover(scene, three[1][0], along=3)
    assert scene.rows("t") == three[1][1]
    recover(scene, four[1][0], along=4)
    assert scene.rows("t") == four[1][1]
    scene.archiver.ship()
    archive = scene.archive()
    assert {2, 3, 4, 6} <= set(archive.histories())
    assert holes_in(archive, archive.contents()) == []
    assert archive.gaps() == []
    assert archive.end() == (6, scene.engine.published)


def test_trap_20_restored_instance_archives_what_it_writes_under_numbers_that_were_used_before(scene):
    states = worked(scene, 0)
    before = scene.archive().segments(1)
    recover(scene, states[0][0], along=1)
    scene.work(3)
    scene.fill(0, 200)
    scene.archiver.ship()
    rows = scene.rows("t")
    end = scene.engine.published
    assert scene.archive().segments(1) == before
    recover(scene, end, along=2)
    assert scene.rows("t") == rows


def test_holes_on_either_side_of_a_switch_are_listed(scene):
    states = worked(scene, 0)
    recover(scene, states[0][0], along=1)
    scene.work(3)
    scene.archiver.ship()
    archive = scene.archive()
    lsn = states[0][0]
    first, *_, last = [each for each in archive.segments(1) if each.start_lsn < lsn]
    second = archive.segments(2)[0]
    for victim in (last, second):
        (scene.mount / "archive" / victim.stored_name).unlink()
    found = [row for row in wal_list(archive).to_pylist() if row["kind"] == "hole"]
    assert [row["timeline"] for row in found] == [1, 2]
    assert sum(row["bytes"] for row in found) > 0
    assert first.start_lsn == 0


def test_two_that_take_the_same_timeline_are_told_apart(scene):
    states = worked(scene, 0)
    shutil.copytree(scene.mount, scene.root / "mount as it was")
    recover(scene, states[0][0], along=1)
    scene.work(1)
    scene.archiver.ship()
    shutil.move(scene.mount, scene.root / "mount of the first")
    shutil.move(scene.root / "mount as it was", scene.mount)
    recover(scene, states[1][0], along=1)
    scene.engine.close()
    shutil.rmtree(scene.mount)
    shutil.move(scene.root / "mount of the first", scene.mount)
    scene.open()
    with pytest.raises(ConflictError, match=timeline_history_name(2)):
        scene.archiver.ship()


def test_any_commit_can_be_recovered_from_the_archive(make):
    dice = random.Random(7)
    scene = make(history_retention="30 days")
    states = {}
    for _ in range(30):
        scene.upsert("t", [{"id": dice.randrange(50), "v": f"{dice.random()}" * 20}])
        if dice.random() < 0.3:
            scene.fill(dice.randrange(1000), 60)
        if dice.random() < 0.2:
            scene.checkpoint()
        states[scene.engine.published] = scene.rows("t")
    scene.archiver.ship()
    for lsn in dice.sample(sorted(states)[:-1], 4):
        recover(scene, lsn, along=1)
        assert scene.rows("t") == states[lsn]
