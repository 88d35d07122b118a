"""The archive in a bucket of a real S3 server, also through a network that loses answers and refuses for a while."""

from __future__ import annotations

import itertools
import time
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pytest

from absdb.backup.archive.cleanup import clean_up, plan_cleanup
from absdb.backup.archive.listing import wal_list
from absdb.clock import SystemClock
from absdb.engine.statistics import wal_stats
from tests.backup.archive.scene import SEGMENT, Scene
from tests.objectstore.fault_proxy import FaultProxy, lost_answer, reset_before, status, truncated
from tests.objectstore.seaweed import ACCESS_KEY, SECRET_KEY

_numbers = itertools.count()


@pytest.fixture
def bucket(seaweed, monkeypatch):
    """Makes the URL of an empty place, of the server or of what stands before it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)

    def url(endpoint: str = seaweed.endpoint) -> str:
        options = {"endpoint": endpoint, "region": "us-east-1", "deadline": "5"}
        return f"s3://{seaweed.bucket}/wal {next(_numbers)}?{urlencode(options)}"

    return url


def made(root: Any, url: str, **settings: Any) -> Scene:
    scene = Scene(root, url, **settings)
    scene.create("t", {"id": pa.int64(), "v": pa.string()})
    return scene


def wait_for(condition: Any) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def test_instance_is_made_again_from_a_bucket(bucket, tmp_path):
    scene = made(tmp_path, bucket())
    scene.work(2)
    scene.fill(1000, 2000)
    scene.archiver.ship()
    scene.crash()
    scene.work(2)
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")
    archive = scene.archive()
    assert {row["kind"] for row in wal_list(archive).to_pylist()} == {"segment", "partial"}
    clean_up(archive, plan_cleanup(archive, before_lsn=2 * SEGMENT), clock=SystemClock())
    assert archive.segments()[0].segment == 2
    scene.close()


def test_lost_answers_and_refusals_are_got_over(bucket, seaweed, tmp_path):
    with FaultProxy(seaweed.endpoint.removeprefix("http://")) as proxy:
        scene = made(tmp_path, bucket(f"http://{proxy.address}"))
        scene.archiver.ship()
        for fault in (lost_answer, reset_before, status(503), status(500, forward=True)):
            proxy.add(fault, method="PUT")
        proxy.add(truncated(10), method="GET", target="000000")
        scene.work(4)
        scene.fill(1000, 500)
        wait_for(lambda: scene.archiver.status().archived_today >= 4)
        scene.archiver.ship()
        assert scene.rebuilt() == scene.rows("t")
        assert scene.archiver.refused is None
        scene.close()


def test_server_that_refuses_for_long_is_waited_for(bucket, seaweed, tmp_path):
    with FaultProxy(seaweed.endpoint.removeprefix("http://")) as proxy:
        scene = made(tmp_path, bucket(f"http://{proxy.address}"))
        scene.archiver.ship()
        proxy.add(status(403, error="AccessDenied"), times=3)
        scene.work(2)
        wait_for(lambda: scene.archiver.status().failed_count)
        assert "AccessDenied" in wal_stats(scene.engine).to_pylist()[0]["last_archive_failure"]
        wait_for(lambda: scene.archiver.status().archived_today >= 2)
        scene.archiver.ship()
        assert scene.rebuilt() == scene.rows("t")
        scene.close()
