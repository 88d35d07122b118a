"""Files of the user that hold a secret: read whole if they are small, made so that only their owner may read them.

Called by backup/codec/key.py and the doors.
"""

from __future__ import annotations

import os

from absdb.errors import AlreadyExistsError, InvalidInputError
from absdb.io.failure import from_os_error


def read_secret_file(path: str, *, at_most: int) -> bytes:
    """The whole file; InvalidInputError if it is longer than `at_most` bytes, StorageError if it cannot be read."""
    full = os.path.abspath(os.path.expanduser(path))
    try:
        with open(full, "rb") as file:
            data = file.read(at_most + 1)
    except OSError as error:
        raise from_os_error("read", os.path.basename(full), os.path.dirname(full), error) from error
    if len(data) > at_most:
        raise InvalidInputError(f"{path} has more than {at_most} bytes, which is too long for a key")
    return data


def write_secret_file(path: str, data: bytes) -> None:
    """A new file with mode 0600, durable on return; AlreadyExistsError rather than replace one."""
    full = os.path.abspath(os.path.expanduser(path))
    try:
        fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
    except FileExistsError as error:
        raise AlreadyExistsError(f"{path} is there already", hint="choose another name") from error
    except OSError as error:
        raise from_os_error("write", os.path.basename(full), os.path.dirname(full), error) from error
