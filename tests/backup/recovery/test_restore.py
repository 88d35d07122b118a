"""absdb.restore: the right backup, the files, and the recovery to exactly what was asked for."""

from __future__ import annotations

import shutil

import pytest

import absdb
from absdb.clock import format_time, to_datetime
from absdb.errors import InvalidInputError, NotFoundError, StateError
from tests.backup.instances import everything
from tests.backup.recovery.scene import Scene, ship, tell


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return tell(tmp_path_factory.mktemp("restore"))


@pytest.fixture
def to(tmp_path):
    return tmp_path / "restored"


def later(scene: Scene) -> int:
    """The LSN that the second backup begins at."""
    return scene.moments[13].lsn


def test_accidental_delete_is_taken_back_to_the_second_before(scene, to):
    deleted = scene.moments[11]
    done = absdb.restore(
        scene.backups, to, target_time=to_datetime(deleted.time_us), inclusive=False, check=True
    )
    assert (done.label, done.recovered.timeline, done.problems) == ("full", 2, ())
    with absdb.connect(to) as found:
        assert everything(found) == scene.moments[10].rows
        assert found.recovery is None
        assert found["main"]["orders"].count() == 450


def test_without_a_target_it_is_the_latest_as_the_backup_names_its_archive(scene, to):
    done = absdb.restore(scene.backups, to)
    assert (done.label, done.target, done.archive) == ("later", "the end of the log", scene.archive)
    with absdb.connect(to) as found:
        assert everything(found) == scene.moments[-1].rows


def test_without_an_archive_it_is_the_end_of_the_backup(scene, to):
    done = absdb.restore(scene.backups, to, archive_url="")
    assert done.target == "the end of the backup"
    with absdb.connect(to) as found:
        wanted = [moment for moment in scene.moments if moment.lsn <= done.backup_lsn][-1]
        assert everything(found) == wanted.rows
        assert found._engine.control.timeline == 2


def test_trap_14_newest_backup_that_is_not_after_the_target_is_taken(scene, to):
    for moment in (scene.moments[2], scene.moments[-5]):
        newest = "full" if moment.lsn < later(scene) else "later"
        for target in ({"target_lsn": moment.lsn}, {"target_time": format_time(moment.time_us)}):
            done = absdb.restore(scene.backups, to, **target)
            assert done.label == newest
            with absdb.connect(to) as found:
                assert everything(found) == moment.rows
            shutil.rmtree(to)


def test_trap_14_named_backup_that_is_after_the_target_is_refused_and_nothing_is_touched(scene, to):
    for url in ({"url": f"{scene.backups}#later"}, {"url": scene.backups, "label": "later"}):
        with pytest.raises(InvalidInputError, match="lies before the backup; possible is"):
            absdb.restore(path=to, target_lsn=scene.moments[2].lsn, **url)
    assert not to.exists()


def test_target_out_of_range_is_refused_and_nothing_is_touched(scene, to):
    for target in ({"target_lsn": 8}, {"target_time": "2001-01-01"}, {"target_time": "2101-01-01"}):
        with pytest.raises(InvalidInputError, match="possible is from LSN"):
            absdb.restore(scene.backups, to, **target)
    with pytest.raises(NotFoundError, match="no restore point or snapshot 'nowhere'"):
        absdb.restore(scene.backups, to, target_name="nowhere")
    with pytest.raises(InvalidInputError, match="one target"):
        absdb.restore(scene.backups, to, target_name="careful", target_lsn=8)
    assert not to.exists()


def test_name_or_database_that_a_backup_alone_has_not_is_refused_and_nothing_is_touched(scene, to):
    with pytest.raises(NotFoundError, match="no restore point or snapshot 'nowhere'"):
        absdb.restore(scene.backups, to, target_name="nowhere", archive_url="")
    with pytest.raises(NotFoundError, match="the point named 'nowhere' is not in the log"):
        absdb.restore(scene.backups, to, label="full", target_name="nowhere")
    with pytest.raises(NotFoundError, match="no database 'nowhere' in the backup"):
        absdb.restore(scene.backups, to, database="nowhere", archive_url="")
    assert not to.exists()


def test_name_in_the_log_of_the_backup_is_found_without_an_archive(tmp_path, to):
    with absdb.connect(tmp_path / "live") as instance:
        instance.create_restore_point("within")
        with absdb.connect(tmp_path / "live", read_only=True) as reader:
            reader.backup(tmp_path / "backups")
        instance["main"].create_table("late", {"id": "int64"}, key="id")
    done = absdb.restore(tmp_path / "backups", to, target_name="within")
    assert done.recovered.names == ("within",)


def test_target_before_all_backups_is_refused_with_what_the_oldest_makes_possible(scene, to):
    oldest = absdb.restore(scene.backups, to, label="full", archive_url="", dry_run=True).possible
    for target in ({"target_lsn": 8}, {"target_time": "2001-01-01"}):
        with pytest.raises(InvalidInputError) as refused:
            absdb.restore(scene.backups, to, archive_url="", **target)
        assert refused.value.earliest_lsn == oldest.earliest_lsn


def test_name_is_found_behind_an_older_backup(scene, to):
    done = absdb.restore(scene.backups, to, target_name="careful")
    assert done.label == "full"
    assert "careful" in done.recovered.names
    with absdb.connect(to) as found:
        assert everything(found) == next(m for m in scene.moments if m.lsn == done.recovered.lsn).rows


def test_dry_run_says_what_would_be_and_touches_nothing(scene, to):
    moment = scene.moments[5]
    done = absdb.restore(scene.backups, to, target_lsn=moment.lsn, dry_run=True)
    assert not to.exists()
    assert (done.dry_run, done.label, done.recovered) == (True, "full", None)
    assert done.possible.earliest_lsn <= moment.lsn <= done.possible.latest_lsn
    assert "would restore backup full" in str(done)
    assert "dry run" in repr(done)


def test_clock_says_when_what_was_recovered_goes_on(scene, to):
    absdb.restore(scene.backups, to, clock=absdb.ManualClock("2100-01-01 12:00Z"))
    with absdb.connect(to, read_only=True) as found:
        assert to_datetime(found._engine.last_seen[0]).year == 2100


def test_paused_restore_is_looked_at_and_promoted(scene, to):
    moment = scene.moments[6]
    done = absdb.restore(scene.backups, to, target_lsn=moment.lsn, action="pause")
    assert done.recovered is None
    with absdb.connect(to) as found:
        assert everything(found) == moment.rows
        assert found.read_only
    assert absdb.promote(to).lsn == moment.lsn


def test_single_database_is_recovered_alone(scene, to):
    moment = scene.moments[8]
    done = absdb.restore(scene.backups, to, database="staging", target_lsn=moment.lsn)
    assert done.recovered.lsn == moment.lsn
    with absdb.connect(to) as found:
        assert everything(found) == {"staging": moment.rows["staging"]}
    with pytest.raises(InvalidInputError, match="'promote', not 'pause'"):
        absdb.restore(scene.backups, to / "x", database="staging", action="pause")


def test_in_place_goes_back_without_a_second_directory(scene, to):
    shutil.copytree(scene.place / "live", to)
    with pytest.raises(StateError, match="not empty"):
        absdb.restore(scene.backups, to, target_lsn=scene.moments[4].lsn)
    done = absdb.restore(scene.backups, to, target_lsn=scene.moments[4].lsn, in_place=True)
    assert done.recovered.timeline == 2
    with absdb.connect(to) as found:
        assert everything(found) == scene.moments[4].rows
        assert found._engine.control.timeline == 2


def test_restored_instance_is_restored_again_from_its_own_backups(scene, to, tmp_path):
    place = Scene(tmp_path / "own", scene.moments)
    shutil.copytree(scene.place, place.place)
    absdb.restore(place.backups, to, target_lsn=scene.moments[5].lsn, archive_url=place.archive)
    with place.connect(to) as one:
        one["main"]["orders"].upsert([{"id": 901, "status": "on two"}])
        one.create_restore_point("on two")
        place.backup(one, "of-two")
        one["main"]["orders"].upsert([{"id": 902, "status": "behind"}])
        wanted = everything(one)
        ship(one)
    done = absdb.restore(place.backups, tmp_path / "two", archive_url=place.archive)
    assert (done.label, done.recovered.timeline) == ("of-two", 3)
    with absdb.connect(tmp_path / "two") as two:
        assert everything(two) == wanted
    with pytest.raises(InvalidInputError, match="along timeline 2"):
        absdb.restore(
            place.backups, tmp_path / "x", target_lsn=scene.moments[-2].lsn, archive_url=place.archive
        )
    done = absdb.restore(place.backups, tmp_path / "three", target_name="on two", archive_url=place.archive)
    assert done.recovered.from_timeline == 2
    done = absdb.restore(
        place.backups,
        tmp_path / "four",
        target_timeline=1,
        target_lsn=scene.moments[-2].lsn,
        archive_url=place.archive,
    )
    assert done.label == "later"
    with absdb.connect(tmp_path / "four") as four:
        assert everything(four) == scene.moments[-2].rows


def test_trap_15_newest_backup_of_an_abandoned_future_is_not_taken(scene, to, tmp_path):
    place = Scene(tmp_path / "own", scene.moments)
    shutil.copytree(scene.place, place.place)
    absdb.restore(place.backups, to, target_lsn=scene.moments[5].lsn, archive_url=place.archive)
    with place.connect(to) as one:
        one["main"]["orders"].upsert([{"id": 901, "status": "on two"}])
        wanted = everything(one)
        ship(one)
    # The backup `later` is newer, and of the future that was left.
    done = absdb.restore(place.backups, tmp_path / "two", archive_url=place.archive)
    assert (done.label, done.recovered.from_timeline) == ("full", 2)
    with absdb.connect(tmp_path / "two") as two:
        assert everything(two) == wanted


def test_missing_archive_is_said_with_what_to_do(scene, to, tmp_path):
    with pytest.raises(NotFoundError, match="there is no archive") as missing:
        absdb.restore(scene.backups, to, archive_url=tmp_path)
    assert "archive_url" in missing.value.hint
    assert not to.exists()


def test_result_shows_itself(scene, to):
    done = absdb.restore(scene.backups, to)
    assert "<Restored " in repr(done)
    assert "asked for" in done.recovered._repr_html_()
    assert "possible" in done._repr_html_()
    assert str(done.recovered.lsn) in str(done)
