"""URLs that a repository tells of: of the archive, of the backups that a chain builds on, of those that build on it.

Who can write there could send whoever restores, and what authenticates him, to a server of his own. So the server is
never taken from what was read, unless the user has named it: in the URL or options he gave, or in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from absdb.errors import StateError
from absdb.objectstore.location import parse_location

ENDPOINT = "endpoint"
VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST")


def check_told(url: str, given: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> str:
    """The URL itself; StateError if it names a server that neither `given` nor the environment does."""
    location = parse_location(url)
    named = location.text(ENDPOINT)
    own = parse_location(given, options).text(ENDPOINT)
    known = {each.rstrip("/") for each in (own, *map(os.environ.get, VARIABLES)) if each}
    if named and named.rstrip("/") not in known:
        raise StateError(
            f"{location.url} is said to be at {named}, which is not where you have said that backups are",
            hint="if that server is yours, name it: in AWS_ENDPOINT_URL, or as the option endpoint",
        )
    return url
