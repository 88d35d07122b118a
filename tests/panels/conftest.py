"""What the tests of the panels share: a small instance on a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

import absdb
from tests.panels.backup_scene import BackupScene


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    """An instance with `main` and a branch `staging`, one table `orders`, a change on each side."""
    clock = absdb.ManualClock("2026-01-01 10:00Z")
    with absdb.connect(":memory:", clock=clock, author="ann") as instance:
        main = instance["main"]
        frame = pd.DataFrame({"id": range(1, 101), "status": ["open", "paid"] * 50, "total": 9.5})
        main.create_table("orders", frame, key="id", message="load")
        staging = main.branch("staging")
        clock.advance(seconds=60)
        staging["orders"].update({"id": 2, "status": "late"}, message="on staging")
        main["orders"].update({"id": 1, "status": "done"}, message="on main")
        yield instance


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Iterator[BackupScene]:
    """A shop with backups and an archive, which tests only look at."""
    scene = BackupScene(tmp_path_factory.mktemp("kept"))
    scene.archive()
    yield scene
    scene.close()
