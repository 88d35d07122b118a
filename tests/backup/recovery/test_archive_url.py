"""Which archive a restore asks, and what recovery.conf remembers of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from absdb.backup.recovery.restore import _archive_of

REGION = {"region": "eu-west-1", "access_key": "secret"}


@pytest.mark.parametrize(
    ("backups", "named", "given", "options", "wanted"),
    [
        ("s3://b/x", "s3://b/a", None, REGION, "s3://b/a?region=eu-west-1"),
        (
            "s3://b/x?endpoint=http%3A%2F%2Flocalhost%3A1",
            "s3://b/a",
            None,
            {},
            "s3://b/a?endpoint=http%3A%2F%2Flocalhost%3A1",
        ),
        ("s3://b/x", "s3://b/a?region=us-east-1", None, REGION, "s3://b/a?region=us-east-1"),
        ("s3://b/x", "/backup/archive", None, REGION, "/backup/archive"),
        ("/backup/x", "s3://b/a", None, {}, "s3://b/a"),
        ("s3://b/x", "s3://b/a", "", REGION, ""),
        ("s3://b/x", "", None, REGION, ""),
        ("s3://b/x", "s3://b/a", "s3://b/other", {}, "s3://b/other"),
    ],
)
def test_archive_is_the_one_named_with_options_that_are_no_secrets(
    backups: str, named: str, given: str | None, options: dict[str, Any], wanted: str
) -> None:
    repository: Any = SimpleNamespace(
        given=backups, header=lambda _: SimpleNamespace(wal_archive_target=named)
    )
    assert _archive_of(repository, "label", given, options) == wanted
