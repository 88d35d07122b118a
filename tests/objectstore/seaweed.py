"""A real S3 server for the tests: SeaweedFS, on 127.0.0.1, with ports and a directory of its own.

It checks signatures and keeps the promise of conditional writes. It is stopped by SIGKILL: asked nicely it takes 25
seconds. What it writes is thrown away with its directory.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from tests.objectstore.presence import weed

ACCESS_KEY, SECRET_KEY = "AKIDTEST", "SECRETTEST0123456789"
_GRPC = 10_000
_START_S = 60


class Seaweed:
    """A running server; `endpoint` is its URL."""

    bucket = "shop.data"

    def __init__(self, directory: Path) -> None:
        program = weed()
        assert program is not None
        self._log = (directory / "weed.log").open("wb")
        for _ in range(5):
            self._process = self._start(program, directory)
            if self._is_ready():
                return
            self.stop()
            self._log = (directory / "weed.log").open("ab")
        raise RuntimeError(
            f"weed does not start: {(directory / 'weed.log').read_text(errors='replace')[-2000:]}"
        )

    def _start(self, program: str, directory: Path) -> subprocess.Popen[bytes]:
        s3, iceberg, master, volume, filer, admin = _free_ports(6)
        self.endpoint = f"http://127.0.0.1:{s3}"
        data = directory / f"data-{s3}"
        data.mkdir()
        return subprocess.Popen(
            [
                program,
                "mini",
                f"-dir={data}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-master.telemetry=false",
                f"-s3.port={s3}",
                f"-s3.port.iceberg={iceberg}",
                "-s3.port.lance=0",
                "-s3.autoCreateBucket=false",
                f"-master.port={master}",
                f"-volume.port={volume}",
                f"-filer.port={filer}",
                f"-admin.port={admin}",
                "-webdav=false",
                "-admin.ui=false",
            ],
            env={**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _is_ready(self) -> bool:
        """Whether it refuses who has no key, and can make the bucket.

        Before it knows its keys it lets everybody in, and before its parts know each other it makes nothing.
        """
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self._process.poll() is None:
            time.sleep(0.05)
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.endpoint, timeout=5, trust_env=False).status_code == 403:
                    break
        client = self.client()
        try:
            while time.monotonic() < until and self._process.poll() is None:
                try:
                    client.create_bucket(Bucket=self.bucket)
                    return True
                except client.exceptions.BucketAlreadyOwnedByYou:
                    return True
                except (ClientError, BotoCoreError):
                    time.sleep(0.2)
            return False
        finally:
            client.close()

    def options(self) -> dict[str, str]:
        """What opens a store there."""
        return {
            "endpoint": self.endpoint,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "deadline": "20",
        }

    def client(self) -> Any:
        """Amazon's own client for it."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def stop(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and whose companions for gRPC are, below those that the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(11_000, 22_000)
        with socket.socket() as one, socket.socket() as companion:
            try:
                one.bind(("127.0.0.1", port))
                companion.bind(("127.0.0.1", port + _GRPC))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
