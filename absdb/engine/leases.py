"""Leases of readers in other processes: a file each in `readers/`, naming the manifest they read from.

A lease holds while its process lives on this host, and for LEASE_S after its last renewal on another; then
garbage collection ignores it and removes the file. Each refresh renews it. When it cannot, the old lease stays in
force, refresh() fails, and reads that begin after that are refused until one succeeds. A lease is JSON:
{"manifest", "files", "wal_lsn", "pid", "host", "renewed_us"}; `files` are those in pages/ that the reader uses and its
manifest need not name, `wal_lsn` is from where on a backup needs the log, and what the log names; null if it does not.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
from collections.abc import Collection
from typing import Any, NamedTuple

from absdb.clock import Clock
from absdb.errors import StorageError
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.paths import READERS_DIR, parse_reader_lease_name, reader_lease_name

LEASE_S = 7 * 86_400


class Leased(NamedTuple):
    """What live readers hold: manifests, page files, and the lowest LSN from which on the log must stay, if any."""

    manifests: set[str]
    files: set[str]
    wal_lsn: int | None


class Lease:
    """This process's claim on a manifest, what it names, and more page files."""

    def __init__(self, fs: FileSystem, clock: Clock, manifest: str, *, wal_lsn: int | None = None) -> None:
        self._fs = fs
        self._clock = clock
        self._path = f"{READERS_DIR}/{reader_lease_name(os.getpid(), secrets.token_hex(4))}"
        self._claim: tuple[str, frozenset[str], int | None] = ("", frozenset(), None)
        self._renewed_us = 0
        self.renew(manifest, wal_lsn=wal_lsn)

    def renew(self, manifest: str, files: Collection[str] = (), *, wal_lsn: int | None = None) -> None:
        """Hold these and nothing else from now on. Costs nothing while that is so and fresh."""
        now_us = self._clock.now_us()
        claim = manifest, frozenset(files), wal_lsn
        if claim == self._claim and now_us - self._renewed_us < LEASE_S * 1_000_000 // 10:
            return
        body = {
            "manifest": manifest,
            "files": sorted(files),
            "wal_lsn": wal_lsn,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "renewed_us": now_us,
        }
        write_atomic(self._fs, self._path, json.dumps(body).encode())
        self._claim, self._renewed_us = claim, now_us

    def release(self) -> None:
        """Remove the file. Where the disk refuses, StorageError: the claim stands until this process ends."""
        if self._fs.exists(self._path):
            self._fs.unlink(self._path)


def leased(fs: FileSystem, clock: Clock) -> Leased:
    """What live readers hold; leases of dead ones are removed."""
    manifests, files, lsns = set[str](), set[str](), list[int]()
    for name, body in leases(fs):
        if _is_dead(body, clock.now_us()):
            fs.unlink(f"{READERS_DIR}/{name}")
        else:
            manifests.add(str(body["manifest"]))
            files.update(body.get("files", ()))
            if body.get("wal_lsn") is not None:
                lsns.append(int(body["wal_lsn"]))
    return Leased(manifests, files, min(lsns, default=None))


def leases(fs: FileSystem) -> list[tuple[str, dict[str, Any]]]:
    """(file name, contents) of every lease."""
    found = []
    for name in fs.list(READERS_DIR):
        if parse_reader_lease_name(name) is None:
            continue
        try:
            found.append((name, json.loads(read_file(fs, f"{READERS_DIR}/{name}"))))
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise  # it may hold anything
            # Released while we looked.
        except ValueError:
            continue  # nothing of ours
    return found


def _is_dead(body: dict[str, Any], now_us: int) -> bool:
    if body["host"] != socket.gethostname():
        return now_us - int(body["renewed_us"]) > LEASE_S * 1_000_000
    try:
        os.kill(int(body["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
