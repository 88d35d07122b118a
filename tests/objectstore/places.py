"""Places where stores can be opened for the contract tests: a directory, a bucket of a real server, ...

Who adds a kind of store writes a function that makes a `Place`, and adds it to PLACES: test_contract.py runs there.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
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


def azure_place(request: pytest.FixtureRequest) -> Place:
    """An empty prefix in a container of Azurite."""
    server = request.getfixturevalue("azurite")
    return Place(
        url=f"az://shop/place {next(_numbers)}/é",
        options={**server.options, "part_size": 5 * MIB},
        missing="az://not-there/x",
        wrong={"account_key": base64.b64encode(b"WRONG0123456789").decode()},
    )


def gcs_place(request: pytest.FixtureRequest) -> Place:
    """An empty prefix in a bucket of our own stand-in for Google."""
    server = request.getfixturevalue("gcs_stub")
    key_file = request.getfixturevalue("tmp_path") / "user.json"
    key_file.write_text(json.dumps(server.tokens.authorized_user()))  # to load an RSA key takes 0.1 s
    return Place(
        url=f"gs://shop/place {next(_numbers)}/é",
        options={"endpoint": server.url, "credentials": key_file, "part_size": 5 * MIB},
        missing="gs://not-there/x",
        wrong={"credentials": "none"},
    )


def fake_gcs_place(request: pytest.FixtureRequest) -> Place:
    """An empty prefix in a bucket of fake-gcs-server."""
    server = request.getfixturevalue("fake_gcs")
    return Place(
        url=f"gs://shop/place {next(_numbers)}/é",
        options={"endpoint": server.url, "credentials": "none", "part_size": 5 * MIB},
        missing="gs://not-there/x",
    )


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "local": local_place,
    "s3": s3_place,
    "azure": azure_place,
    "gcs": gcs_place,
    "fake-gcs": fake_gcs_place,
}

WITH_CONDITIONS = [kind for kind in PLACES if kind != "fake-gcs"]
"""fake-gcs-server passes conditions over."""
WITH_PENDING_UPLOADS = [kind for kind in PLACES if kind not in ("gcs", "fake-gcs")]
"""Google tells nobody which uploads are under way."""
WITH_RIVALS = [kind for kind in PLACES if kind != "azure"]
"""Azure drops what others have uploaded for a name as soon as somebody writes it."""
WITH_KEYS = [kind for kind in PLACES if kind not in ("local", "fake-gcs")]
WITH_BUCKETS = [kind for kind in PLACES if kind != "local"]
