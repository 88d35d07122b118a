"""Claiming a label, and going on with a backup that was interrupted.

`begin.json` is put if absent, so that a label is one backup's. The same command again finds it, claims the next run
(`resume-N.json`), and takes over what earlier runs say they have stored (`progress-N-M.json`). Each run stores its own
objects under names of its own: should two of them be alive, neither overwrites what the other one has hashed, and the
manifest, put if absent, decides.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from absdb.backup.codec import codec as codecs
from absdb.backup.codec.codec import Codec
from absdb.backup.manifest import StoredFile
from absdb.backup.small_objects import read_json, read_small
from absdb.clock import Clock
from absdb.errors import AlreadyExistsError, CorruptionError, NotFoundError, StateError
from absdb.object_names import (
    BACKUP_BEGIN,
    BACKUP_MANIFEST,
    parse_progress_name,
    parse_resume_name,
    progress_name,
    resume_name,
)
from absdb.objectstore.base import ObjectStore

ACCOUNT_S = 5.0
ACCOUNT_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to store a backup under a label. `stored` is what earlier runs have stored, by path."""

    store: ObjectStore
    label: str
    id: str
    run: int
    begin_sha256: str
    started_us: int
    stored: Mapping[str, StoredFile]


def claim(store: ObjectStore, label: str, asked: Mapping[str, Any], codec: Codec, clock: Clock) -> Claim:
    """Claim a label for a backup made as `asked`: AlreadyExistsError if another one has it.

    StateError while the process that began it on this host still lives.
    """
    begun = {"id": secrets.token_hex(16), "started_us": clock.now_us(), **_process(), "asked": dict(asked)}
    data = json.dumps(begun, separators=(",", ":")).encode()
    try:
        store.put(f"{label}/{BACKUP_BEGIN}", data, if_absent=True)
    except AlreadyExistsError as error:
        return _resumed(store, label, asked, codec, clock, error)
    return Claim(store, label, begun["id"], 0, hashlib.sha256(data).hexdigest(), begun["started_us"], {})


def read_begin(store: ObjectStore, label: str) -> tuple[dict[str, Any], str]:
    """What `begin.json` says, and its SHA-256. CorruptionError if it cannot be read."""
    data = read_small(store, f"{label}/{BACKUP_BEGIN}")
    try:
        begun = json.loads(data)
        bytes.fromhex(begun["id"])
        return begun, hashlib.sha256(data).hexdigest()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        path = f"{store.url}/{label}/{BACKUP_BEGIN}"
        raise CorruptionError(f"{path} cannot be read: {error}", path=path) from error


def _process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _resumed(
    store: ObjectStore,
    label: str,
    asked: Mapping[str, Any],
    codec: Codec,
    clock: Clock,
    taken: AlreadyExistsError,
) -> Claim:
    begun, sha = read_begin(store, label)
    if store.exists(f"{label}/{BACKUP_MANIFEST}") or begun.get("asked") != dict(asked):
        raise AlreadyExistsError(
            f"there is a backup {label!r} in {store.url} already",
            hint="choose another label; labels are never used twice",
            label=label,
        ) from taken
    names = [info.name.removeprefix(f"{label}/") for info in store.list(f"{label}/")]
    runs = [0, *(run for run in map(parse_resume_name, names) if run is not None)]
    _check_idle(store, label, max(runs), begun)
    run = max(runs) + 1
    store.put(f"{label}/{resume_name(run)}", json.dumps(_process()).encode(), if_absent=True)
    stored = _accounts(store, label, str(begun["id"]), names, codec)
    return Claim(store, label, begun["id"], run, sha, clock.now_us(), stored)


def claim_removal(store: ObjectStore, label: str) -> str:
    """See to it that nobody goes on with an unfinished backup any more; the object that says so, "" if somebody has."""
    names = (info.name.removeprefix(f"{label}/") for info in store.list(f"{label}/"))
    runs = [0, *(run for run in map(parse_resume_name, names) if run is not None)]
    name = f"{label}/{resume_name(max(runs) + 1)}"
    try:
        store.put(name, json.dumps({**_process(), "removing": True}).encode(), if_absent=True)
    except AlreadyExistsError:
        return ""
    return name


def _check_idle(store: ObjectStore, label: str, run: int, begun: Mapping[str, Any]) -> None:
    """StateError if another process on this host is at work on the label."""
    last = begun if run == 0 else read_json(store, f"{label}/{resume_name(run)}")
    if last.get("removing"):
        raise StateError(
            f"what was begun of the backup {label!r} in {store.url} is being removed",
            hint="choose another label; a purge that was interrupted is finished by the next one",
        )
    if last.get("host") != socket.gethostname() or last.get("pid") == os.getpid():
        return
    try:
        os.kill(int(last["pid"]), 0)
    except ProcessLookupError:
        return
    except PermissionError:
        pass
    raise StateError(
        f"process {last['pid']} is making the backup {label!r} in {store.url}",
        hint="wait for it, or choose another label",
    )


def _accounts(
    store: ObjectStore, label: str, backup_id: str, names: list[str], codec: Codec
) -> dict[str, StoredFile]:
    """What earlier runs say they have stored, where the object is there and as long as they say."""
    sizes = {info.name: info.size for info in store.list(f"{label}/")}
    found: dict[str, StoredFile] = {}
    for name in names:
        if parse_progress_name(name) is None:
            continue
        try:
            data = codecs.decode(
                "zstd",
                f"{backup_id}/{name}",
                read_small(store, f"{label}/{name}", at_most=ACCOUNT_BYTES_MAX),
                encrypted=codec.key is not None,
                key=codec.key,
                limit=ACCOUNT_BYTES_MAX,
            )
            files = [StoredFile.from_json(each) for each in json.loads(data)]
        except (CorruptionError, NotFoundError, ValueError, TypeError, RecursionError):
            continue  # what it tells of is stored once more
        for file in files:
            if sizes.get(f"{label}/{file.place}{codec.suffix}") == file.stored_bytes:
                found[file.path] = file
    return found


class Account:
    """What this run has stored, told to the store every few seconds, so that a later run can go on from there."""

    def __init__(self, claim: Claim, codec: Codec) -> None:
        self._claim = claim
        self._codec = Codec("zstd", codec.key)
        self._untold: list[StoredFile] = []
        self._number = 0
        self._told = time.monotonic()
        self._mutex = threading.Lock()

    @property
    def told(self) -> bool:
        """Whether the store has been told anything."""
        return self._number > 0

    def add(self, file: StoredFile) -> None:
        """One more file is stored. Only large ones are worth telling of, and only now and then."""
        with self._mutex:
            self._untold.append(file)
            if time.monotonic() - self._told >= ACCOUNT_S:
                self._tell()

    def tell(self) -> None:
        """Tell now, for a run that is given up."""
        with self._mutex:
            self._tell()

    def _tell(self) -> None:
        if not self._untold:
            return
        name = progress_name(self._claim.run, self._number)
        text = json.dumps([file.to_json() for file in self._untold], separators=(",", ":")).encode()
        stored = codecs.encode(self._codec, f"{self._claim.id}/{name}", text)
        self._claim.store.put(f"{self._claim.label}/{name}", stored)
        self._untold, self._number, self._told = [], self._number + 1, time.monotonic()
