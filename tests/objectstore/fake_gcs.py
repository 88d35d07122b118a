"""A second opinion on Google Cloud Storage: fake-gcs-server, which was written by others, but checks neither tokens nor
preconditions. It keeps its objects in memory.
"""

from __future__ import annotations

import socket
import subprocess
import time

import httpx

from tests.objectstore import presence

_START_S = 30


class FakeGcs:
    """A running server; `url` is its endpoint."""

    def __init__(self) -> None:
        program = presence.fake_gcs()
        assert program is not None
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                program,
                "-scheme=http",
                "-host=127.0.0.1",
                f"-port={port}",
                f"-public-host=127.0.0.1:{port}",
                f"-external-url={self.url}",
                "-backend=memory",
                "-log-level=error",
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_S
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                self.stop()
                raise RuntimeError("fake-gcs-server does not start")
            time.sleep(0.01)

    @property
    def environment(self) -> dict[str, str]:
        """What leads absdb to it."""
        return {"STORAGE_EMULATOR_HOST": self.url}

    def add_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        made = httpx.post(f"{self.url}/storage/v1/b?project=p", json={"name": name}, trust_env=False)
        made.raise_for_status()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/storage/v1/b?project=p", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
