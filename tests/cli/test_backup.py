"""`absdb backup` and what looks after backups, exactly as they are documented."""

from __future__ import annotations

from pathlib import Path

import pytest

import absdb


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A closed instance."""
    path = tmp_path / "shop"
    with absdb.connect(path) as instance:
        instance["main"].create_table("orders", {"id": "int64"}, key="id")
        instance["main"]["orders"].insert([{"id": 1}])
        instance["main"].branch("staging")
    monkeypatch.delenv("ABSDB_BACKUP_KEY", raising=False)
    return path


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "backups")


def test_backup_list_info_and_verify(run, shop, url):
    made = run("-i", shop, "backup", "--output", url, "--label", "full-base", "--comment", "first")
    assert made.code == 0
    assert "made full backup full-base" in made.out
    again = run(
        "-i",
        shop,
        "backup",
        "--incremental",
        "--from-label",
        "full-base",
        "--output",
        url,
        "--label",
        "incr-1",
    )
    assert again.code == 0
    listed = run("backup", "--list", url, "--json").json
    assert [(row["label"], row["kind"], row["base"]) for row in listed] == [
        ("full-base", "full", ""),
        ("incr-1", "incremental", "full-base"),
    ]
    assert "full-base" in run("backup", "--list", url).out
    assert run("backup", "--info", f"{url}#full-base", "--json").json["comment"] == "first"
    assert run("backup", "--info", f"{url}/full-base", "--json").json["databases"] == ["main", "staging"]
    assert run("backup", "--info", url, "--json").json["label"] == "incr-1"
    verified = run("backup", "--verify", url)
    assert (verified.code, verified.out.startswith("all is well: 2 backups")) == (0, True)


def test_verify_leaves_with_1_unless_all_is_well(run, shop, url):
    run("-i", shop, "backup", "--output", url, "--label", "base")
    victim = next(Path(url, "base", "wal").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    found = run("backup", "--verify", url)
    assert found.code == 1
    assert victim.name in found.out
    assert run("backup", "--verify", f"{url}-of-nothing").code == 1


def test_one_database_is_backed_up_alone(run, shop, url):
    assert run("-i", shop, "backup", "--output", url, "--database", "staging", "--label", "s").code == 0
    assert run("backup", "--info", f"{url}#s", "--json").json["databases"] == ["staging"]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--output", "x", "--list", "x"],
        ["--list", "x", "--label", "y"],
        ["--verify", "x", "--pin"],
        ["--output", "x", "--incremental"],
        ["--output", "x", "--from-label", "y"],
        ["--output", "x", "--from-url", "y"],
        ["--output", "x", "--incremental", "--from-label", "y", "--database", "main"],
        ["--output", "x", "--compress", "brotli"],
        ["--output", "x", "--encrypt"],
    ],
)
def test_options_without_meaning_are_wrong_usage(run, shop, args):
    assert run("-i", shop, "backup", *args).code == 2


def test_old_backups_are_purged(run, shop, url):
    for label in ("a", "b", "c"):
        run("-i", shop, "backup", "--output", url, "--label", label)
    purge = ("admin", "purge-old-backups", "--backup-dir", url, "--older-than", "0")
    planned = run(*purge, "--dry-run", "--json").json
    assert [row["label"] for row in planned if row["removed"]] == ["a", "b"]
    assert run(*purge).code == 2  # nobody is here to be asked
    assert run("admin", "pin-backup", f"{url}#a").code == 0
    assert run(*purge, "--yes").code == 0
    assert [row["label"] for row in run("backup", "--list", url, "--json").json] == ["a", "c"]
    assert run("admin", "unpin-backup", f"{url}#a").code == 0
    assert run(*purge, "--yes").code == 0
    assert [row["label"] for row in run("backup", "--list", url, "--json").json] == ["c"]
    assert run("admin", "purge-old-backups", "--backup-dir", url, "--older-than", "soon").code == 2
    assert [row["removed"] for row in run(*purge[:-1], "30d", "--dry-run", "--json").json] == [False]


def test_key_encrypts_and_is_told_to_nobody(run, shop, url, tmp_path):
    key = tmp_path / "key"
    made = run("admin", "new-key", key)
    assert made.code == 0
    assert key.read_text().strip() not in made.out
    assert key.stat().st_mode & 0o077 == 0
    assert run("admin", "new-key", key).code == 1
    assert run("-i", shop, "backup", "--output", url, "--label", "base", "--key-file", key).code == 0
    assert run("backup", "--verify", url).code == 1
    assert run("backup", "--verify", url, "--key-file", key).code == 0
    facts = run("backup", "--info", url, "--json").json
    assert facts["encrypted"]
    assert facts["databases"] == []
    assert key.read_text().strip() not in run("backup", "--info", url, "--key-file", key).out
