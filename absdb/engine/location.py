"""From where a user says an instance is to the file system it lies on."""

from __future__ import annotations

import os

from absdb.errors import InvalidInputError
from absdb.io.base import FileSystem
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem

MEMORY = ":memory:"


def file_system(path: str | os.PathLike[str]) -> FileSystem:
    """The local directory, or a new one in memory for ":memory:". InvalidInputError for what is no path."""
    if not isinstance(path, str | os.PathLike):
        raise InvalidInputError(
            f"{path!r} is not the path of an instance", hint='pass a directory, or ":memory:"'
        )
    text = os.fspath(path)
    if text == MEMORY:
        return MemoryFileSystem()
    if not isinstance(text, str) or not text.strip() or "\0" in text or "://" in text:
        raise InvalidInputError(
            f"{text!r} is not the path of an instance", hint='pass a local directory, or ":memory:"'
        )
    return LocalFileSystem(os.path.expanduser(text))
