"""Text files that the user names: a script to read, a report to write. Whole, and of bounded size.

Called by rehearsal/ and the command line.
"""

from __future__ import annotations

import os

from absdb.errors import InvalidInputError
from absdb.io.failure import from_os_error

BYTES_MAX = 64 << 20


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8, without a byte order mark; StorageError if it cannot be read.

    InvalidInputError if it is no text, or larger than BYTES_MAX.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise from_os_error("read", os.path.basename(path), os.path.dirname(path) or ".", error) from error
    if len(data) > BYTES_MAX:
        raise InvalidInputError(f"{path!r} is larger than {BYTES_MAX >> 20} MiB", hint="split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path!r} is not text in UTF-8: byte {error.start} is {data[error.start]:#04x}"
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file anew; StorageError if that fails."""
    path = os.fspath(path)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise from_os_error("write", os.path.basename(path), os.path.dirname(path) or ".", error) from error
