"""Leases of readers in other processes: a file each in `readers/`, naming the manifest they read from.

A lease holds while its process lives on this host and for LEASE_S after its last renewal otherwise; then
garbage collection ignores it and removes the file. A lease is JSON: {"manifest", "pid", "host", "renewed_us"}.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from typing import Any

from absdb.clock import Clock
from absdb.errors import StorageError
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.paths import READERS_DIR, parse_reader_lease_name, reader_lease_name


class Lease:
    """This process's claim on a manifest and what it names."""

    def __init__(self, fs: FileSystem, clock: Clock, manifest: str) -> None:
        self._fs = fs
        self._clock = clock
        self._path = f"{READERS_DIR}/{reader_lease_name(os.getpid(), secrets.token_hex(4))}"
        self.renew(manifest)

    def renew(self, manifest: str) -> None:
        """Hold `manifest` from now on."""
        body = {
            "manifest": manifest,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "renewed_us": self._clock.now_us(),
        }
        write_atomic(self._fs, self._path, json.dumps(body).encode())

    def release(self) -> None:
        if self._fs.exists(self._path):
            self._fs.unlink(self._path)


def leased_manifests(fs: FileSystem) -> set[str]:
    """Names of the manifests that live readers hold; leases of dead processes are removed."""
    held = set()
    for name, body in leases(fs):
        if _is_dead(body):
            fs.unlink(f"{READERS_DIR}/{name}")
        else:
            held.add(str(body["manifest"]))
    return held


def leases(fs: FileSystem) -> list[tuple[str, dict[str, Any]]]:
    """(file name, contents) of every lease."""
    found = []
    for name in fs.list(READERS_DIR):
        if parse_reader_lease_name(name) is None:
            continue
        try:
            found.append((name, json.loads(read_file(fs, f"{READERS_DIR}/{name}"))))
        except StorageError:
            continue  # released while we looked
    return found


def _is_dead(body: dict[str, Any]) -> bool:
    if body.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(body["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
