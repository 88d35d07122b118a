"""Scenes that are closed when the test is over, whatever became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from tests.backup.archive.scene import Scene
from tests.objectstore.conftest import seaweed

__all__ = ["make", "scene", "seaweed"]


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Scene]]:
    """Makes scenes with a table t, in directories of their own; settings as arguments."""
    scenes: list[Scene] = []

    def making(**settings: Any) -> Scene:
        scenes.append(Scene(tmp_path / f"scene{len(scenes)}", **settings))
        scenes[-1].create("t", {"id": pa.int64(), "v": pa.string()})
        return scenes[-1]

    yield making
    for scene in scenes:
        scene.close()


@pytest.fixture
def scene(make) -> Scene:
    return make()
