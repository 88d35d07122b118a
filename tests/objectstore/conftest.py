"""The servers that tests of object stores talk to, each started once in a process that runs tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.objectstore import presence
from tests.objectstore.places import PLACES, Place


def need(program: str | None) -> None:
    """Leave the test out if a server is missing; where the tests run for everybody, fail."""
    if program is None:
        why = presence.what_is_missing()
        if presence.REQUIRED:
            pytest.fail(f"the tests of object stores have to run here, but {why}")
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory):
    """A real S3 server with one bucket."""
    need(presence.weed())
    from tests.objectstore.seaweed import Seaweed

    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    """A real server of Azure Blob with the container "shop"."""
    need(presence.azurite())
    from tests.objectstore.azurite import Azurite

    server = Azurite(tmp_path_factory.mktemp("azurite"))
    try:
        server.add_container("shop")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def fake_gcs():
    """A server of Google Cloud Storage, by others, with the bucket "shop"."""
    need(presence.fake_gcs())
    from tests.objectstore.fake_gcs import FakeGcs

    server = FakeGcs()
    try:
        server.add_bucket("shop")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def gcs_stub():
    """A server of Google Cloud Storage that checks tokens and preconditions, with the bucket "shop"."""
    from tests.objectstore.gcs_stub import GcsStub

    server = GcsStub()
    try:
        server.add_bucket("shop")
        yield server
    finally:
        server.stop()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place of each kind."""
    place = PLACES[request.param](request)
    yield place
    place.close()
