"""The names of objects: relative paths that every kind of store can hold.

Parts between slashes are not empty, not `.` or `..` and not where the local store keeps what is being written. Names
are UTF-8 without control characters and have at most 900 bytes: room for a prefix in stores that allow 1024.
"""

from __future__ import annotations

from absdb.errors import InvalidInputError
from absdb.io.object_files import UPLOADS
from absdb.objectstore.base import Data
from absdb.paths import check_path

NAME_BYTES_MAX = 900
PUT_BYTES_MAX = 64 << 20


def check_object_name(name: str) -> str:
    """The name itself; InvalidInputError if it cannot be the name of an object."""
    if not isinstance(name, str):
        raise InvalidInputError(f"the name of an object must be text, not {type(name).__name__}")
    check_path(name)
    if why := _fault(name):
        raise InvalidInputError(f"{name[:80]!r} cannot be the name of an object: {why}")
    return name


def _fault(name: str) -> str:
    """What is wrong with a path as the name of an object; "" if nothing is."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "it holds a surrogate, which is not a character"
    if length > NAME_BYTES_MAX:
        return f"it has {length} bytes, and {NAME_BYTES_MAX} are allowed"
    if not name.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "it holds a control character"
    if UPLOADS in name.split("/"):
        return f"{UPLOADS} is where unfinished objects are kept"
    return ""


def check_small(name: str, data: Data) -> None:
    """InvalidInputError if the bytes are too many to be put at once."""
    size = memoryview(data).nbytes
    if size > PUT_BYTES_MAX:
        raise InvalidInputError(
            f"{name} has {size} bytes, and {PUT_BYTES_MAX} can be put at once", hint="upload it (upload)"
        )


def check_directory(prefix: str) -> str:
    """The prefix without its slash, if it is a directory's: "" or a path that ends with a slash."""
    if prefix and not prefix.endswith("/"):
        raise InvalidInputError(
            f"{prefix!r} is not the prefix of a directory", hint=f"write {prefix + '/'!r}, or '' for the top"
        )
    return check_path(prefix.removesuffix("/"), directory=True)


def is_object_name(name: str) -> bool:
    """Whether an object may have this name; others in a directory or bucket are left alone."""
    try:
        check_object_name(name)
    except InvalidInputError:
        return False
    return True
