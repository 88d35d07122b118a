"""A real Azure Blob server for the tests: Azurite, on 127.0.0.1, with all it keeps in memory."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from tests.objectstore import presence

ACCOUNT = "shop"
KEY = base64.b64encode(b"the key of the account named shop").decode()
_START_S = 60


class Azurite:
    """A running server; `endpoint` is the URL above its containers."""

    def __init__(self, directory: Path) -> None:
        program = presence.azurite()
        assert program is not None
        log = directory / "azurite.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    program,
                    "--blobHost=127.0.0.1",
                    "--blobPort=0",
                    "--inMemoryPersistence",
                    "--skipApiVersionCheck",
                    "--disableTelemetry",
                ],
                env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + _START_S
        while not (found := re.search(r"listens on (http://\S+)", log.read_text(errors="replace"))):
            if time.monotonic() > until or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"Azurite does not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        self.endpoint = f"{found[1]}/{ACCOUNT}"

    @property
    def options(self) -> dict[str, str]:
        """Options of a store there."""
        return {"account": ACCOUNT, "account_key": KEY, "endpoint": self.endpoint}

    @property
    def environment(self) -> dict[str, str]:
        """What leads absdb to it."""
        text = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint}"
        return {"AZURE_STORAGE_CONNECTION_STRING": text}

    def client(self) -> BlobServiceClient:
        """Microsoft's own client of it."""
        return BlobServiceClient(self.endpoint, credential={"account_name": ACCOUNT, "account_key": KEY})

    def add_container(self, name: str) -> None:
        """Make an empty container, if there is none of that name."""
        with self.client() as client:
            try:
                client.create_container(name)
            except ResourceExistsError:
                return

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
