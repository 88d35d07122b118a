"""Pins: a backup with `<label>/pin.json` beside it is never removed by retention."""

from __future__ import annotations

import json

from absdb.clock import Clock
from absdb.errors import NotFoundError
from absdb.object_names import BACKUP_MANIFEST, BACKUP_PIN, check_label
from absdb.objectstore.base import ObjectStore


def pin_label(store: ObjectStore, label: str, clock: Clock) -> None:
    """Keep a backup until it is unpinned. NotFoundError if there is none of this label."""
    _check_there(store, label)
    store.put(f"{label}/{BACKUP_PIN}", json.dumps({"pinned_us": clock.now_us()}).encode())


def unpin_label(store: ObjectStore, label: str) -> None:
    """Let retention decide about a backup again. NotFoundError if there is none of this label."""
    _check_there(store, label)
    store.delete(f"{label}/{BACKUP_PIN}")


def is_pinned(store: ObjectStore, label: str) -> bool:
    """Whether a backup is pinned."""
    return store.exists(f"{label}/{BACKUP_PIN}")


def _check_there(store: ObjectStore, label: str) -> None:
    if not store.exists(f"{check_label(label)}/{BACKUP_MANIFEST}"):
        raise NotFoundError(f"there is no backup {label!r} in {store.url}", label=label)
