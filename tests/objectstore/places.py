"""Places where stores can be opened for the contract tests: a directory, a bucket of a real server, ...

Who adds a kind of store writes a function that makes a `Place`, and adds it to PLACES: test_contract.py runs there.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from absdb.objectstore.base import ObjectStore
from absdb.objectstore.locate import open_store
from absdb.objectstore.location import join

MIB = 1 << 20
_numbers = itertools.count()


@dataclasses.dataclass
class Place:
    """An empty place. `large` bytes take several parts there.

    `missing` is the URL of a bucket that does not exist, `wrong` are options with a key that is refused; None where
    there is no such thing. `environment` is what a process of its own needs to open the place.
    """

    url: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    large: int = 12 * MIB
    missing: str | None = None
    wrong: Mapping[str, Any] | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    opened: list[ObjectStore] = dataclasses.field(default_factory=list)

    def open(self, below: str = "", *, url: str | None = None, **options: Any) -> ObjectStore:
        """The store there, or below; closed after the test."""
        url = url or (join(self.url, below) if below else self.url)
        store = open_store(url, **{**self.options, **options})
        self.opened.append(store)
        return store

    def close(self) -> None:
        """Close all that was opened."""
        for store in self.opened:
            store.close()


def local_place(request: pytest.FixtureRequest) -> Place:
    """A directory that does not exist yet."""
    directory: Path = request.getfixturevalue("tmp_path")
    return Place(url=str(directory / "store"))


def s3_place(request: pytest.FixtureRequest) -> Place:
    """An empty prefix in the bucket of a real server."""
    server = request.getfixturevalue("seaweed")
    options = server.options()
    return Place(
        url=f"s3://{server.bucket}/place {next(_numbers)}/é",
        options={**options, "part_size": 5 * MIB},
        missing="s3://not-there/x",
        wrong={**options, "secret_key": "WRONG0123456789"},
    )


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {"local": local_place, "s3": s3_place}
