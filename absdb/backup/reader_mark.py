"""Marks beside a backup that somebody reads it, so that retention leaves it: `<label>/readers/<id>.json`.

What is marked is kept, and with it what it builds on. Who marks looks once more whether the backup is there, and who
removes looks for marks once more when the manifest is gone: one of the two sees the other. A mark holds for an hour
after it was last written; who works longer writes it anew. A repository that cannot be written to cannot be marked,
which a restore reports and lives with.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from absdb.errors import AbsdbError, NotFoundError, StateError, StorageError
from absdb.object_names import BACKUP_MANIFEST, BACKUP_READERS
from absdb.objectstore.base import ObjectStore

HOLDS_S = 3600.0
RENEW_S = 600.0


@contextmanager
def reading(store: ObjectStore, label: str, what: str) -> Iterator[None]:
    """Mark a backup, and with it all that it builds on, as read while the context lasts; `what` says who reads.

    NotFoundError if it is being removed.
    """
    name = f"{label}/{BACKUP_READERS}{secrets.token_hex(8)}.json"
    data = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "what": what}).encode()
    marked = _mark(store, name, data)
    done = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(store, name, data, done), name="absdb-reader-mark", daemon=True
    )
    try:
        if not store.exists(f"{label}/{BACKUP_MANIFEST}"):
            raise NotFoundError(f"the backup {label!r} in {store.url} is being removed, or was", label=label)
        if marked:
            thread.start()
        yield
    finally:
        done.set()
        if marked:
            if thread.ident is not None:
                thread.join()
            with suppress(AbsdbError):  # it ends by itself within the hour
                store.delete(name)


def _mark(store: ObjectStore, name: str, data: bytes) -> bool:
    try:
        store.put(name, data)
    except (StorageError, StateError) as error:
        warnings.warn(
            f"{store.url} cannot be written to ({error.message}): a purge that runs now would not know that "
            "this backup is being read",
            stacklevel=4,
        )
        return False
    return True


def _renew(store: ObjectStore, name: str, data: bytes, done: threading.Event) -> None:
    while not done.wait(RENEW_S):
        with suppress(AbsdbError):  # the next one is tried in time
            store.put(name, data)
