"""Drills: a backup that comes back is told from one that does not, and what is not compared is said."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import absdb
from absdb.backup.codec.key import find_key, new_key_text
from absdb.backup.create import create_backup
from absdb.backup.drill import Drill, drill
from absdb.backup.drill_report import DrillReport
from absdb.cli.main import program
from absdb.engine.compaction import compact_table

SMALL = {"page_rows": 64, "wal_segment_size": 64 * 1024}
STEPS = ["restore", "recover", "check", "compare"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where drills restore to."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[absdb.Instance]:
    with absdb.connect(tmp_path / "shop", **SMALL) as instance:
        main = instance["main"]
        main.create_table("t", rows_of(300), key="id")
        main.create_table("loose", [{"n": 1.5, "s": None}, {"n": float("nan"), "s": "x"}])
        main.branch("staging")["t"].delete([1, 2])
        yield instance


def rows_of(count: int) -> list[dict[str, object]]:
    return [{"id": number, "s": f"row {number}"} for number in range(count)]


def backed_up(shop: absdb.Instance, label: str, **more: object) -> str:
    url = str(Path(shop.path).parent / "repository")
    create_backup(shop._engine, url, label=label, **more)  # type: ignore[arg-type]
    return url


def drilled(url: str, source: absdb.Instance | None = None, **more: object) -> DrillReport:
    engine = None if source is None else source._engine
    return drill(Drill(url=url, source=engine, **more))  # type: ignore[arg-type]


def outcomes(report: DrillReport) -> dict[str, str]:
    return {step.step: step.outcome for step in report.steps}


def test_a_backup_that_comes_back_is_well(shop: absdb.Instance, temporary: Path) -> None:
    url = backed_up(shop, "base")
    shop["main"].sql("UPDATE t SET s = 'later' WHERE id < 50")
    backed_up(shop, "next", incremental_from="base")
    shop["main"].sql("DELETE FROM t WHERE id < 50")
    for label in ("base", "next", None):
        report = drilled(url, shop, label=label)
        assert report, report
        assert outcomes(report) == dict.fromkeys(STEPS, "ok")
        assert [(table.table, table.outcome) for table in report.tables] == [
            (name, "same") for name in ("t", "loose", "t", "loose")
        ]
        assert report.label == label or (label is None and report.label == "next")
        assert report.findings == []
    assert list(temporary.iterdir()) == []
    assert shop.check().empty


def test_a_backup_of_one_database_is_compared_with_that_one(shop: absdb.Instance) -> None:
    report = drilled(backed_up(shop, "staging", database="staging"), shop)
    assert report, report
    assert {table.database for table in report.tables} == {"staging"}


def test_the_log_of_the_archive_comes_back_too(tmp_path: Path) -> None:
    archive = {"wal_archive_enabled": True, "wal_archive_target": str(tmp_path / "archive")}
    with absdb.connect(tmp_path / "shop", **archive, **SMALL) as shop:
        shop["main"].create_table("t", rows_of(10), key="id")
        url = backed_up(shop, "base")
        shop["main"]["t"].delete([1])
    with absdb.connect(tmp_path / "shop", read_only=True) as shop:
        before = sorted(path.name for path in (tmp_path / "archive").iterdir())
        report = drilled(url, shop)
        assert report, report
        assert [table.rows for table in report.tables] == [9]
        assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == before


def test_an_encrypted_backup_needs_its_key(shop: absdb.Instance, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(new_key_text())
    key = find_key(str(tmp_path / "key"))
    url = backed_up(shop, "secret", key=key)
    assert drilled(url, shop, key=key)
    assert outcomes(drilled(url, shop)) == {"restore": "failed"}


def test_a_damaged_backup_is_not_well(shop: absdb.Instance) -> None:
    url = backed_up(shop, "base")
    stored = max((Path(url) / "base" / "pages").iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    report = drilled(url, shop)
    assert not report
    assert outcomes(report) == {"restore": "failed"}
    assert "NOT WELL" in report.verdict


def test_what_was_lost_on_the_way_is_found_in_the_comparison(shop: absdb.Instance, tmp_path: Path) -> None:
    shop.checkpoint()
    shutil.copytree(shop.path, tmp_path / "twin", ignore=lambda *_: ["lock", "watermark"])
    with absdb.connect(tmp_path / "twin", **SMALL) as twin:
        twin["main"].sql("UPDATE t SET s = 'other' WHERE id = 9")
        twin["main"].sql("UPDATE t SET s = 'another' WHERE id = 8")
    shop["main"].sql("UPDATE t SET s = 'mine!' WHERE id = 9")
    url = backed_up(shop, "base")
    with absdb.connect(tmp_path / "twin", read_only=True) as twin:
        report = drilled(url, twin)
    assert outcomes(report)["check"] == "ok"
    assert outcomes(report)["compare"] == "differs"
    assert not report
    assert "main" in report.verdict


def test_a_source_that_let_go_of_the_state_is_said(shop: absdb.Instance, tmp_path: Path) -> None:
    url = backed_up(shop, "base")
    shop["main"].sql("DELETE FROM t WHERE id > 20")
    shop.close()
    with absdb.connect(tmp_path / "shop", history_retention=0, **SMALL) as later:
        later.drop_database("staging")
        engine = later._engine
        info = engine.history.database("main")
        later.checkpoint()
        for schema in engine.history.catalog_at(engine.head(info.id)[1]).tables.values():
            compact_table(engine, info.id, schema)
        later.maintain()
        report = drilled(url, later)
    assert report, report
    assert {table.table: table.outcome for table in report.tables} == {"t": "expired", "loose": "expired"}
    assert "let go" in report.steps[-1].detail


def test_without_its_source_a_backup_is_checked_and_not_compared(
    shop: absdb.Instance, tmp_path: Path
) -> None:
    url = backed_up(shop, "base")
    assert outcomes(drilled(url))["compare"] == "left out"
    with absdb.connect(tmp_path / "other") as other:
        report = drilled(url, other)
    assert report
    assert "another instance" in report.steps[-1].detail
    assert "not compared" in report.verdict


def test_a_kept_drill_is_an_instance_of_its_own(shop: absdb.Instance) -> None:
    url = backed_up(shop, "base")
    report = drill(Drill(url=url, source=shop._engine), keep=True)
    assert report.path is not None
    with absdb.connect(report.path) as kept:
        kept["main"].sql("DELETE FROM t WHERE id = 3")
        assert kept["main"]["t"].count() == 299
    assert shop["main"]["t"].count() == 300


def test_the_command_line_reports_and_ends_with_0_only_if_all_is_well(
    shop: absdb.Instance, tmp_path: Path
) -> None:
    url = backed_up(shop, "base")
    shop["main"].sql("DELETE FROM t WHERE id = 3")
    told = CliRunner().invoke(program, ["-i", shop.path, "drill", url])
    assert told.exit_code == 0, told.output
    assert [line.split()[0] for line in told.output.splitlines()[1:5]] == STEPS
    assert "all is well: base comes back" in told.output
    found = json.loads(CliRunner().invoke(program, ["-i", shop.path, "drill", url, "--json"]).output)
    assert found["ok"] is True
    assert [step["step"] for step in found["steps"]] == STEPS
    assert len(found["tables"]) == 4
    missing = CliRunner().invoke(program, ["drill", url, "--label", "none"])
    assert missing.exit_code == 1
    assert "NOT WELL: restore failed" in missing.output


def test_python_compares_with_an_instance_or_a_path(shop: absdb.Instance, tmp_path: Path) -> None:
    url = backed_up(shop, "base")
    for source in (shop, shop.path):
        report = absdb.drill(url, source=source)
        assert report.source == shop.path
        assert outcomes(report) == dict.fromkeys(STEPS, "ok")
    assert absdb.drill(f"{url}/base", source=shop)
    report = absdb.drill(f"{url}#base", source=tmp_path / "nothing")
    assert report
    assert "there is no absdb instance" in report.steps[-1].detail


def test_a_report_shows_itself(shop: absdb.Instance) -> None:
    report = drilled(backed_up(shop, "base"), shop)
    assert repr(report).startswith(f"<Drill {report.url}, all is well: base comes back as of LSN")
    assert "restore" in report._repr_html_()
    assert str(report).splitlines()[-1] == report.verdict
    facts = report.as_dict()
    assert facts["time"].endswith("Z")
    assert all(step["seconds"] == round(step["seconds"], 3) for step in facts["steps"])
