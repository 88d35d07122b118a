"""Settings as options: as in absdb.conf, before it, and refused as wrong usage."""

from __future__ import annotations

import pytest

from absdb.cli.setting_options import _metavar
from absdb.setting_kinds import Kind
from absdb.setting_table import SETTINGS

SHOW = "SELECT value, origin FROM absdb_settings WHERE name = '{}'"


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--wal-sync-mode", "nosync"], "wal_sync_mode", "nosync"),
        (["--wal-archive-interval", "1 min"], "wal_archive_interval", "1 min"),
        (["--wal-archive-wait-max", "1GiB"], "wal_archive_wait_max", "1 GiB"),
        (["--no-wal-archive-enabled"], "wal_archive_enabled", "off"),
        (["--wal-archive-compress", "none"], "wal_archive_compress", "none"),
        (["--backup-retention-days", "30"], "backup_retention_days", "30"),
    ],
)
def test_option_sets_what_the_file_sets(shop, run, options, name, value):
    found = run("-i", shop, "--json", "sql", *options, SHOW.format(name))
    assert found.json == [{"value": value, "origin": "argument"}]
    found = run("-i", shop, "shell", *options, input=SHOW.format(name))
    assert value in found.out


def test_option_comes_before_file_and_environment(shop, run, monkeypatch):
    monkeypatch.setenv("ABSDB_WAL_GROUP_COMMIT", "7")
    query = SHOW.format("wal_group_commit")
    assert run("-i", shop, "--json", "sql", query).json == [
        {"value": "7", "origin": "environment ABSDB_WAL_GROUP_COMMIT"}
    ]
    found = run("-i", shop, "--json", "sql", "--wal-group-commit", 9, query)
    assert found.json == [{"value": "9", "origin": "argument"}]


@pytest.mark.parametrize("options", [["--wal-archive-interval", "0s"], ["--wal-sync-mode", "sometimes"]])
def test_value_outside_of_its_limits_is_wrong_usage(shop, run, options):
    found = run("-i", shop, "sql", *options, "SELECT 1")
    assert found.code == 2
    assert options[1] in found.err


def test_every_setting_of_log_and_backups_says_what_it_takes():
    for setting in SETTINGS:
        if setting.name.startswith(("wal_", "backup_")) and setting.kind is not Kind.FLAG:
            assert _metavar(setting)


def test_shell_makes_the_backups_that_are_scheduled_and_a_short_command_does_not(shop, run):
    refused = run("-i", shop, "shell", "--backup-full-interval", "1h", input="SELECT 1")
    assert refused.code == 1
    assert "there is nowhere to put them" in refused.err
    assert run("-i", shop, "sql", "--backup-full-interval", "1h", "SELECT 1").code == 0
    assert run("-i", shop, "shell", "--read-only", "--backup-full-interval", "1h", input="SELECT 1").code == 0
