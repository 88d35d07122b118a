"""recovery.conf: PostgreSQL's keys, one target, and errors that name the line."""

from __future__ import annotations

import pytest

from absdb.backup.recovery.conf import RecoveryConf, parse_recovery_conf
from absdb.errors import InvalidInputError

FULL = """
# to just before the delete
recovery_target_time = '2026-04-04 14:05:00+02:00'   # local time
recovery_target_inclusive = off
recovery_target_timeline = 3
recovery_target_action = 'promote'
archive_url = "s3://bucket/archive?region=eu-west-1"
backup_end_lsn = '0/4096'
"""


def test_file_says_what_it_says() -> None:
    conf = parse_recovery_conf(FULL)
    assert conf == RecoveryConf(
        recovery_target_time=1_775_304_300_000_000,
        recovery_target_inclusive=False,
        recovery_target_timeline=3,
        recovery_target_action="promote",
        archive_url="s3://bucket/archive?region=eu-west-1",
        backup_end_lsn=4096,
    )
    assert conf.described() == "before 2026-04-04 12:05:00Z"


@pytest.mark.parametrize(
    "conf",
    [
        RecoveryConf(),
        RecoveryConf(recovery_target="immediate", recovery_target_action="shutdown"),
        RecoveryConf(recovery_target_lsn=2048 * 10, recovery_target_timeline="current"),
        RecoveryConf(recovery_target_name="it's the one", archive_url="/backup/arch#ive"),
        parse_recovery_conf(FULL),
    ],
)
def test_what_is_written_reads_back(conf: RecoveryConf) -> None:
    assert parse_recovery_conf(conf.render()) == conf


def test_postgres_default_is_to_pause_at_the_latest() -> None:
    conf = parse_recovery_conf("")
    assert (conf.recovery_target_action, conf.recovery_target_timeline) == ("pause", "latest")
    assert conf.described() == "the end of the log"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("\nrecovery_target_lsn = '0/8'\nrecovery_target_name = 'x'", 3, "line 2 gives recovery_target_lsn"),
        ("recovery_target = 'immediate'\nrecovery_target_time = '2026-01-01'", 2, "one target"),
        ("recovery_target_lsn = '0/8'\nrecovery_target_lsn = '0/16'", 2, "set in line 1 already"),
        ("recovery_target_lsm = '0/8'", 1, "did you mean recovery_target_lsn"),
        ("restore_command = 'cp %f %p'", 1, "archive_url"),
        ("recovery_target_xid = 7", 1, "LSN of the commit"),
        ("# fine\nrecovery_target_lsn = 'x/8'", 2, "recovery_target_lsn: 'x/8' is not an LSN"),
        ("recovery_target_time = 'yesterday'", 1, "not a point in time"),
        ("recovery_target_action = 'stop'", 1, "pause or promote or shutdown"),
        ("recovery_target_timeline = 0", 1, "not a timeline"),
        ("recovery_target_inclusive = maybe", 1, "true or false"),
        ("recovery_target = 'latest'", 1, "is not immediate"),
        ("recovery_target_name = 'a/b'", 1, "contains '/'"),
        ("archive_url = 's3://x", 1, "not a quoted text"),
        ("archive_url", 1, "not a setting"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_recovery_conf(text, "recovery.conf")
    assert problem in str(refused.value)
    assert f"recovery.conf, line {line}" in str(refused.value)
    assert refused.value.line == line
