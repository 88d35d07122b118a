"""The engine in memory that tests of versioning use, for tests of the engine too."""

from __future__ import annotations

from tests.versioning.conftest import world

__all__ = ["world"]
