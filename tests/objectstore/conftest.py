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


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place of each kind."""
    place = PLACES[request.param](request)
    yield place
    place.close()
