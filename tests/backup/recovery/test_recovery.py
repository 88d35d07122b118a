"""recovery.conf on a directory with a backup's files: connect recovers it to exactly what was asked for."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import absdb
from absdb.backup.recovery.recover import Opening, read_conf, replay
from absdb.clock import format_time
from absdb.engine.location import file_system
from absdb.errors import (
    CorruptionError,
    CorruptLogError,
    InvalidInputError,
    LockedError,
    NotFoundError,
    StateError,
)
from tests.backup.instances import everything
from tests.backup.recovery.scene import Scene, ship, tell


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return tell(tmp_path_factory.mktemp("recovery"))


@pytest.fixture
def own(scene, tmp_path) -> Scene:
    """A copy of it to change."""
    shutil.copytree(scene.place, tmp_path / "place")
    return Scene(tmp_path / "place", scene.moments)


def test_recovery_to_a_commit_shows_what_there_was_and_goes_on(scene):
    for moment in scene.moments[::5]:
        with absdb.connect(scene.files("out", recovery_target_lsn=moment.lsn)) as found:
            assert everything(found) == moment.rows
            assert found.recovery.lsn == moment.lsn
            assert found.recovery.timeline == 2
            found["main"].sql("CREATE TABLE fresh (id INTEGER PRIMARY KEY)")
        with absdb.connect(scene.place / "out") as again:
            assert again.recovery is None
            assert "fresh" in everything(again)["main"]
            assert "error" not in set(again.check()["severity"])


def test_recovery_to_a_time_and_to_just_before_it(scene):
    for moment, before in list(zip(scene.moments[1:], scene.moments, strict=False))[2::6]:
        at = format_time(moment.time_us)
        with absdb.connect(scene.files("out", recovery_target_time=at)) as found:
            assert everything(found) == moment.rows
        path = scene.files("out", recovery_target_time=at, recovery_target_inclusive="false")
        with absdb.connect(path) as found:
            assert everything(found) == before.rows


def test_recovery_to_a_restore_point_and_to_a_snapshot(scene):
    for name in ("careful", "before the delete"):
        with absdb.connect(scene.files("out", recovery_target_name=name)) as found:
            assert name in found.recovery.names
            wanted = next(moment for moment in scene.moments if moment.lsn == found.recovery.lsn)
            assert everything(found) == wanted.rows
            assert len(found["main"]["orders"].to_pandas()) == 450


def test_recovery_to_the_end_of_the_backup_needs_no_archive(scene):
    for archive in ({}, {"archive_url": ""}):
        path = scene.files("out", label="later", recovery_target="immediate", **archive)
        with absdb.connect(path) as found:
            wanted = [moment for moment in scene.moments if moment.lsn <= found.recovery.lsn][-1]
            assert everything(found) == wanted.rows


def test_recovery_without_a_target_comes_to_the_end_of_the_archive(scene):
    with absdb.connect(scene.files("out")) as found:
        assert everything(found) == scene.moments[-1].rows


def test_log_tells_of_the_recovery(scene):
    with absdb.connect(scene.files("out", recovery_target_name="careful")) as found:
        log = found.log()
        assert set(log[log["kind"] == "recovered"]["database"]) == {"main", "staging"}
        assert not log["undone"].any()
        assert log["message"][0].startswith("recovered to LSN ")
        state = found["main"].at(lsn=found.recovery.lsn)
        assert len(state["orders"].to_pandas()) == 450
        assert found["main"].diff(state).summary().empty


def test_paused_recovery_is_looked_at_then_promoted(scene):
    moment = scene.moments[4]
    path = scene.files("out", recovery_target_lsn=moment.lsn, recovery_target_action="pause")
    with absdb.connect(path) as found:
        assert found.read_only
        assert everything(found) == moment.rows
        assert found.refresh() == moment.lsn
        with pytest.raises(StateError, match="paused at its target"):
            found["main"]["orders"].delete([7])
        with pytest.raises(LockedError):
            absdb.connect(path)
        with pytest.raises(LockedError):
            absdb.promote(path)
        told = found.promote()
        assert (told.lsn, told.timeline) == (moment.lsn, 2)
        assert everything(found) == moment.rows
        found["main"]["orders"].delete([7])
        with pytest.raises(StateError, match="no recovery of this instance has paused"):
            found.promote()
    assert not (path / "recovery.conf").exists()
    assert (path / "recovery.done").exists()


def test_paused_recovery_moves_on_when_its_target_does(scene):
    path = scene.files("out", recovery_target_lsn=scene.moments[2].lsn, recovery_target_action="pause")
    conf = (path / "recovery.conf").read_text()
    for moment in (scene.moments[2], scene.moments[8], scene.moments[5]):
        (path / "recovery.conf").write_text(conf.replace(str(scene.moments[2].lsn), str(moment.lsn)))
        with absdb.connect(path) as found:
            assert everything(found) == moment.rows
    told = absdb.promote(path)
    assert told.lsn == scene.moments[5].lsn
    with absdb.connect(path) as found:
        assert everything(found) == scene.moments[5].rows


def test_shutdown_stops_again_at_the_next_start(scene):
    moment = scene.moments[6]
    path = scene.files("out", recovery_target_lsn=moment.lsn, recovery_target_action="shutdown")
    for _ in range(2):
        with pytest.raises(StateError, match="stops there") as stopped:
            absdb.connect(path)
        assert stopped.value.lsn == moment.lsn
    absdb.promote(path)
    with absdb.connect(path) as found:
        assert everything(found) == moment.rows


def test_nothing_to_promote_is_said(scene, tmp_path):
    with pytest.raises(NotFoundError, match="waits for a recovery"):
        absdb.promote(tmp_path)


def test_reader_does_not_open_what_waits_for_its_recovery(scene):
    path = scene.files("out", recovery_target_lsn=scene.moments[3].lsn)
    with pytest.raises(StateError, match="waits for its recovery"):
        absdb.connect(path, read_only=True)


# ------------------------------------------------------------------ refusals


def test_trap_14_target_before_the_backup_is_refused_with_what_is_possible(scene):
    path = scene.files("out", label="later", recovery_target_lsn=scene.moments[1].lsn)
    before = sorted(file.name for file in path.rglob("*"))
    with pytest.raises(InvalidInputError, match="lies before the backup; possible is from LSN"):
        absdb.connect(path)
    assert sorted(file.name for file in path.rglob("*") if file.name != "lock") == [
        name for name in before if name != "lock"
    ]


def test_target_after_the_end_of_the_archive_is_refused_with_what_is_possible(scene):
    with absdb.connect(scene.files("out")) as found:
        end = found.recovery.possible
    late = (
        {"recovery_target_lsn": end.latest_lsn + 8},
        {"recovery_target_time": format_time(end.latest_us + 1)},
    )
    for target in late:
        with pytest.raises(InvalidInputError, match="after the end of the log; possible is") as refused:
            absdb.connect(scene.files("out", **target))
        assert refused.value.latest_lsn == end.latest_lsn


def test_name_that_is_nowhere_is_refused_with_those_there_are(scene):
    with pytest.raises(NotFoundError, match="'nowhere' is not in the log") as refused:
        absdb.connect(scene.files("out", recovery_target_name="nowhere"))
    assert "careful" in refused.value.hint


def test_unknown_timeline_is_refused(scene):
    with pytest.raises(NotFoundError, match="recovery_target_timeline is 9"):
        absdb.connect(scene.files("out", recovery_target_timeline=9))


def test_trap_18_archive_of_another_instance_is_refused(scene, tmp_path):
    with absdb.connect(
        tmp_path / "other", wal_archive_enabled=True, wal_archive_target=str(tmp_path / "others")
    ) as other:
        ship(other)
    with pytest.raises(StateError, match="is the archive of instance"):
        absdb.connect(scene.files("out", archive_url=tmp_path / "others"))


def _segments(scene: Scene) -> list[Path]:
    return sorted(file for file in Path(scene.archive).iterdir() if file.name.startswith("00000001"))


def _number(file: Path) -> int:
    return int(file.name[8:24], 16)


def test_gap_before_the_target_is_refused_with_what_is_possible(own):
    segments = [file for file in _segments(own) if "partial" not in file.name]
    gone = segments[len(segments) // 2]
    first = _number(gone) * 4096
    gone.unlink()
    for target in ({}, {"recovery_target_lsn": own.moments[-2].lsn}):
        with pytest.raises(InvalidInputError, match="behind a gap: log of timeline 1 from LSN"):
            absdb.connect(own.files("out", **target))
    reached = [moment for moment in own.moments if moment.lsn <= first][-1]
    with absdb.connect(own.files("out", recovery_target_lsn=reached.lsn)) as found:
        assert everything(found) == reached.rows


def test_damaged_segment_is_found_and_nothing_changes(own):
    chance = random.Random(5)
    for file in chance.sample(_segments(own)[1:], 3):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 4
        kept, _ = file.read_bytes(), file.write_bytes(data)
        path = own.files("out")
        with pytest.raises((CorruptionError, CorruptLogError)):
            absdb.connect(path)
        file.write_bytes(kept)
        with absdb.connect(path) as found:
            assert everything(found) == own.moments[-1].rows


def test_page_file_that_the_archive_lacks_is_said_and_nothing_changes(own):
    (file,) = (Path(own.archive) / "pages").iterdir()
    moved = file.rename(own.place / "aside")
    path = own.files("out")
    with pytest.raises(NotFoundError, match=r"no page file .*arrow"):
        absdb.connect(path)
    moved.rename(file)
    with absdb.connect(path) as found:
        assert everything(found) == own.moments[-1].rows


# ------------------------------------------------------------------ again and again


def test_trap_15_recover_twice_then_to_before_the_first_then_along_an_older_timeline(own):
    first = own.moments[9]
    with own.connect(own.files("one", recovery_target_lsn=first.lsn)) as one:
        assert one.recovery.timeline == 2
        for n in range(5):
            one["main"]["orders"].upsert([{"id": 500 + n, "status": f"second future {n}"}])
        middle = int(one.lsn)
        half = everything(one)
        one["main"]["orders"].delete([500])
        ship(one)
        second = everything(one)
    # Again: the newest timeline is followed, though the abandoned one goes further.
    with own.connect(own.files("two")) as two:
        assert everything(two) == second
        assert two.recovery.timeline == 3
        two["main"]["orders"].delete([501])
        ship(two)
        third = everything(two)
    with absdb.connect(own.files("three", recovery_target_lsn=middle)) as three:
        assert everything(three) == half
        assert three.recovery.from_timeline == 2
    # To a point before the first recovery.
    early = own.moments[4]
    with own.connect(own.files("four", recovery_target_lsn=early.lsn)) as four:
        assert everything(four) == early.rows
        assert (four.recovery.from_timeline, four.recovery.timeline) == (1, 4)
        ship(four)
    # Along timelines by number, the abandoned one among them.
    for timeline, wanted in ((1, own.moments[-1].rows), (2, second), (3, third), (4, early.rows)):
        with absdb.connect(own.files("five", recovery_target_timeline=timeline)) as five:
            assert everything(five) == wanted, timeline
            assert five.recovery.timeline == 5
            assert "error" not in set(five.check()["severity"])
    with absdb.connect(own.files("five", recovery_target_timeline="current")) as five:
        assert everything(five) == own.moments[-1].rows


def test_trap_20_restored_instance_is_backed_up_and_recovered_as_the_first_was(own):
    with own.connect(own.files("one", recovery_target_lsn=own.moments[5].lsn)) as one:
        one["main"]["orders"].upsert([{"id": 900, "status": "on two"}])
        own.backup(one, "of-two")
        one["main"]["orders"].upsert([{"id": 901, "status": "behind the backup"}])
        wanted = everything(one)
        ship(one)
        ids = one._engine.history.current_era(one._engine.history.database("main").id).id
        assert ids >= 2 << 20
    for label in ("of-two", "full"):
        with absdb.connect(own.files("two", label=label)) as two:
            assert everything(two) == wanted
            assert two.recovery.timeline == 3
    with pytest.raises(StateError, match="not on the way to timeline 2"):
        absdb.connect(own.files("two", label="later", recovery_target_timeline=2))


def test_recovery_that_was_ended_is_not_done_again(scene):
    path = scene.files("out", recovery_target_lsn=scene.moments[7].lsn)
    conf = (path / "recovery.conf").read_text()
    fs = file_system(path)
    at_target = replay(fs, *read_conf(fs), Opening())
    at_target.end()
    # As if the power had gone between `control` and the renaming.
    (path / "recovery.done").rename(path / "recovery.conf")
    assert (path / "recovery.conf").read_text() == conf
    with absdb.connect(path) as found:
        assert found.recovery is None
        assert everything(found) == scene.moments[7].rows
        assert found._engine.control.timeline == 2
    assert (path / "recovery.done").exists()


def test_recovery_that_another_process_has_ended_meanwhile_is_not_begun(scene):
    path = scene.files("out", recovery_target_lsn=scene.moments[7].lsn)
    fs = file_system(path)
    conf, mark = read_conf(fs)
    absdb.promote(path)
    with pytest.raises(StateError, match="ended meanwhile by another process"):
        replay(fs, conf, mark, Opening())
    with absdb.connect(path) as found:
        assert everything(found) == scene.moments[7].rows


def test_directory_that_is_being_restored_is_not_recovered(scene):
    path = scene.files("out", recovery_target_lsn=scene.moments[7].lsn)
    (path / "restoring").write_text("{}")
    with pytest.raises(StateError, match="was being restored"):
        absdb.connect(path)
    assert (path / "recovery.conf").exists()


def test_killed_recovery_is_begun_anew_and_comes_to_the_same(scene):
    wanted = scene.moments[-3]
    path = scene.files("out", recovery_target_lsn=wanted.lsn)
    script = f"import absdb, sys; absdb.connect({str(path)!r}).close(); sys.stdout.write('done')"
    chance = random.Random(11)
    for _ in range(6):
        running = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        time.sleep(0.35 + chance.random() * 0.5)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    with absdb.connect(path) as found:
        assert everything(found) == wanted.rows
        assert found._engine.control.timeline == 2
        assert "error" not in set(found.check()["severity"])
