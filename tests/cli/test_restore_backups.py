"""`absdb restore --from`, `absdb promote`: what they print, what they refuse, what they leave."""

from __future__ import annotations

import pytest

import absdb
from tests.backup.instances import everything
from tests.backup.recovery.scene import Scene, tell


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return tell(tmp_path_factory.mktemp("cli-restore"))


def test_restore_to_an_lsn_says_what_was_done(run, scene, tmp_path):
    moment = scene.moments[7]
    ran = run(
        "restore",
        "--from",
        scene.backups,
        "--to",
        tmp_path / "x",
        "--target-lsn",
        moment.lsn,
        "--check",
        "--json",
    )
    assert ran.code == 0, ran.err
    assert ran.json["backup"] == "full"
    assert ran.json["timeline"] == 2
    assert ran.json["problems"] == []
    with absdb.connect(tmp_path / "x") as found:
        assert everything(found) == moment.rows


def test_dry_run_says_what_is_possible(run, scene, tmp_path):
    ran = run(
        "restore", "--from", scene.backups, "--to", tmp_path / "x", "--target-name", "careful", "--dry-run"
    )
    assert ran.code == 0, ran.err
    assert ran.out.startswith("would restore backup full (")
    assert "possible is from LSN 0/" in ran.out
    assert not (tmp_path / "x").exists()


def test_target_that_is_out_of_range_fails_with_what_is_possible(run, scene, tmp_path):
    ran = run("restore", "--from", scene.backups, "--to", tmp_path / "x", "--target-time", "2001-01-01")
    assert ran.code == 1
    assert "lies before the backup; possible is from LSN" in ran.err
    assert not (tmp_path / "x").exists()


def test_one_database_and_exclusive(run, scene, tmp_path):
    moment = scene.moments[8]
    ran = run(
        "restore", "--from", scene.backups, "--to", tmp_path / "x", "--database", "main",
        "--target-lsn", moment.lsn, "--exclusive",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    with absdb.connect(tmp_path / "x") as found:
        assert everything(found) == {"main": scene.moments[7].rows["main"]}


def test_pause_then_promote(run, scene, tmp_path):
    place = tmp_path / "x"
    asked = ["--target-lsn", scene.moments[4].lsn, "--target-action", "pause"]
    ran = run("restore", "--from", scene.backups, "--to", place, *asked)
    assert ran.code == 0, ran.err
    assert "to be recovered by connect() with action pause" in ran.out
    seen = run("sql", "-i", place, "SELECT count(*) AS n FROM orders", "--json")
    assert seen.json[0]["n"] == len(scene.moments[4].rows["main"]["orders"])
    refused = run("checkpoint", "-i", place)
    assert refused.code == 1
    assert "absdb promote" in refused.err
    ended = run("promote", place, "--json")
    assert ended.json["lsn"] == str(absdb.Lsn(scene.moments[4].lsn))
    assert run("promote", place).code == 1
    with absdb.connect(place) as found:
        assert everything(found) == scene.moments[4].rows


def test_reading_ends_no_recovery(run, scene, tmp_path):
    place = tmp_path / "x"
    asked = ["--target-lsn", scene.moments[4].lsn, "--target-action", "shutdown"]
    assert run("restore", "--from", scene.backups, "--to", place, *asked).code == 0
    refused = run("databases", "-i", place)
    assert refused.code == 1
    assert "`absdb promote DIR` recovers it" in refused.err
    assert (place / "recovery.conf").exists()


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--from", "x"], "takes both --from URL and --to DIR"),
        (["--target-name", "x"], "takes both --from URL and --to DIR"),
        (["--from", "x", "--to", "y", "--lsn", "0/8"], "--lsn does not go with --from and --to"),
        (["--from", "x", "--to", "y", "--tables", "t"], "--tables does not go with --from and --to"),
        ([], "or --from which backups"),
    ],
)
def test_mixes_are_wrong_usage(run, args, problem):
    ran = run("restore", *args)
    assert ran.code == 2
    assert problem in ran.err


def test_two_targets_are_wrong_usage(run, scene, tmp_path):
    ran = run(
        "restore", "--from", scene.backups, "--to", tmp_path / "x", "--immediate", "--target-lsn", "0/8"
    )
    assert ran.code == 2
    assert "give one target" in ran.err


def test_in_place_asks_first(run, scene, tmp_path):
    run("restore", "--from", scene.backups, "--to", tmp_path / "x")
    asked = [
        "restore",
        "--from",
        scene.backups,
        "--to",
        tmp_path / "x",
        "--in-place",
        "--target-lsn",
        scene.moments[3].lsn,
    ]
    assert run(*asked).code == 2
    assert run(*asked, "--yes").code == 0
    with absdb.connect(tmp_path / "x") as found:
        assert everything(found) == scene.moments[3].rows
