"""Where backups of an instance lie: labels and URLs, kept in the instance so that `--from-label` finds its base.

    labels    {label: URL, …} as JSON, the newest last, a thousand at most

A convenience and no catalogue: what is lost of it is said with `--from-url`. Options of a URL are kept, credentials
never stand in one.
"""

from __future__ import annotations

import json

from absdb.errors import StorageError
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.paths import LABELS

LABELS_MAX = 1000


def record_label(fs: FileSystem, label: str, url: str) -> None:
    """Remember where a backup lies. On a medium that nobody can write to nothing is remembered."""
    known = recorded_labels(fs)
    known.pop(label, None)
    known[label] = url
    kept = dict(list(known.items())[-LABELS_MAX:])
    try:
        write_atomic(fs, LABELS, json.dumps(kept, indent=0).encode())
    except StorageError:
        return  # the backup is whole; only the next one may have to be told where it lies


def recorded_labels(fs: FileSystem) -> dict[str, str]:
    """Label → URL of the backups that are remembered, oldest first."""
    if not fs.exists(LABELS):
        return {}
    try:
        found = json.loads(read_file(fs, LABELS))
        return {str(label): str(url) for label, url in found.items()}
    except (ValueError, AttributeError):
        return {}
