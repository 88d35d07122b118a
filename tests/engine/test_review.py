"""What several threads, failures and Ctrl-C must not be able to do to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from absdb.engine.recovery import open_engine
from absdb.errors import AbsdbError
from absdb.io.base import FileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.paths import PAGES_DIR
from absdb.testing.wrapping import WrappedFileSystem
from tests.versioning.conftest import SMALL, World

T = TypeVar("T")


class Hooked(WrappedFileSystem):
    """Another file system; `hooks` run once, before the next call of an operation on a path."""

    def __init__(self, inner: FileSystem) -> None:
        super().__init__(inner)
        self.hooks: dict[tuple[str, str], Callable[[], Any]] = {}

    def around(self, op: str, path: str, call: Callable[[], T]) -> T:
        hook = self.hooks.pop((op, path), None)
        if hook is not None:
            hook()
        return call()


def test_an_instance_made_by_another_process_meanwhile_is_kept() -> None:
    fs = Hooked(MemoryFileSystem())

    def first() -> None:
        world = World(fs.inner)  # type: ignore[arg-type]  # the memory file system
        world.create()
        world.put({1: (1, "kept")})
        world.engine.close()

    fs.hooks["lock", "lock"] = first
    engine = open_engine(fs, arguments=SMALL)
    lineage = engine.head(engine.history.database("main").id)[1]
    assert [t.name for t in engine.history.catalog_at(lineage).tables.values()] == ["t"]
    engine.close()
