"""wal-list, wal-fetch, admin wal-cleanup and accept-gap on an archive that a process has filled."""

from __future__ import annotations

import pytest

import absdb
from absdb.ids import Lsn

SEGMENT = 65536
SETTINGS = {"wal_segment_size": SEGMENT, "author": "tests"}


@pytest.fixture
def shop(tmp_path):
    """An instance of some segments and its archive; the target is in absdb.conf."""
    where, archive = tmp_path / "shop", tmp_path / "archive"
    absdb.connect(where, **SETTINGS).close()
    with (where / "absdb.conf").open("a") as conf:
        conf.write(f"wal_archive_enabled = true\nwal_archive_target = {archive}\n")
    with absdb.connect(where, **SETTINGS) as shop:
        table = shop["main"].create_table("t", [{"id": 0, "v": "x"}], key="id")
        for number in range(500):
            table.upsert({"id": number % 9, "v": f"{number}" * 150})
    return where, archive


def test_list_shows_segments_and_what_is_missing(shop, run):
    _, archive = shop
    found = run("wal-list", str(archive), "--json").json
    assert [row["kind"] for row in found] == ["segment"] * (len(found) - 1) + ["partial"]
    assert found[0]["name"] == "000000010000000000000000.zst"
    assert (found[0]["start_lsn"], found[0]["bytes"], found[0]["encrypted"]) == ("0/0", SEGMENT, False)
    assert run("wal-list", str(archive)).err == ""
    (archive / "000000010000000000000001.zst").unlink()
    shown = run("wal-list", str(archive))
    assert "hole" in shown.out
    assert "1 gap: no backup from before can be recovered across it" in shown.err
    done = run("admin", "accept-gap", str(Lsn(SEGMENT)), "--archive", str(archive), "--comment", "dropped")
    assert done.code == 0
    assert f"from {Lsn(SEGMENT)} to {Lsn(2 * SEGMENT)} is missing" in done.out
    assert run("wal-list", str(archive)).err == ""
    assert run("admin", "accept-gap", "0/0", "--archive", str(archive)).code == 1


def test_fetch_writes_the_segment(shop, run, tmp_path):
    _, archive = shop
    done = run("wal-fetch", f"{archive}/000000010000000000000001", str(tmp_path / "segment"))
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "segment").stat().st_size == SEGMENT
    missing = run("wal-fetch", f"{archive}/0000000100000000000000FF", str(tmp_path / "other"))
    assert missing.code == 1
    assert "no segment 0000000100000000000000FF" in missing.err
    assert not (tmp_path / "other").exists()


def test_cleanup_asks_first_and_uses_the_settings(shop, run):
    where, archive = shop
    before = sorted(path.name for path in archive.glob("0*"))
    arguments = ["admin", "wal-cleanup", "-i", str(where)]
    assert run(*arguments, "--dry-run", "--json").json["segments"] == 0, "all of it is of today"
    dry = run(*arguments, "--before-lsn", str(2 * SEGMENT), "--dry-run", "--json")
    assert dry.json == {"segments": 2, "page_files": 0, "bytes": dry.json["bytes"], "removed": False}
    refused = run(*arguments, "--before-lsn", str(2 * SEGMENT))
    assert refused.code == 2
    assert sorted(path.name for path in archive.glob("0*")) == before
    done = run(*arguments, "--before-lsn", str(2 * SEGMENT), "--yes")
    assert "removed 2 segments and 0 page files" in done.out
    assert sorted(path.name for path in archive.glob("0*")) == before[2:]
    assert run("wal-list", str(archive)).err == ""


def test_cleanup_keeps_the_log_of_backups(shop, run, tmp_path):
    where, archive = shop
    with absdb.connect(where, **SETTINGS) as instance:
        table = instance["main"]["t"]
        instance.backup(str(tmp_path / "backups"), label="b")
        for number in range(500):
            table.upsert({"id": number % 9, "v": f"{number}" * 150})
    last = sorted(archive.glob("0*"))[-1]
    done = run(
        "admin", "wal-cleanup", "--archive", str(archive), "--before-lsn", "100/0", "--yes",
        "--backup-dir", str(tmp_path / "backups"),
    )  # fmt: skip
    assert done.code == 0, done.err
    kept = sorted(archive.glob("0*"))
    assert kept[-1] == last
    assert len(kept) > 1, "the segment that the backup was made in"
    assert run("wal-list", str(archive)).err == ""


def test_stats_tell_of_the_archive(shop, run):
    where, _ = shop
    told = run("stats", "-i", str(where), "--json").json["archive"]
    assert told["archive_lag_seconds"] == 0
    assert told["segments_archived_today"] >= 2
    assert told["first_gap_lsn"] is None
