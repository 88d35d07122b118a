"""Small text files of the user rather than of an instance: what the shell remembers between its runs.

    one entry a line, each a JSON string; appended whole, so that several shells may share the file

Only their owner may read them. They are not synced: losing the last lines in a power loss harms nobody. Called by
cli/shell_history.py.
"""

from __future__ import annotations

import json
import os

from absdb.io.failure import from_os_error

_NEW = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def state_directory() -> str:
    """Where programs keep such files for this user: $XDG_STATE_HOME, or ~/.local/state; it need not exist."""
    said = os.environ.get("XDG_STATE_HOME", "")
    return said if os.path.isabs(said) else os.path.expanduser("~/.local/state")


def append_entry(path: str, entry: str) -> None:
    """Add an entry, and make the file and its directories if they are not there; StorageError if that fails."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _write(path, [entry], os.O_APPEND)
    except OSError as error:
        raise from_os_error("write", os.path.basename(path), os.path.dirname(path), error) from error


def last_entries(path: str, count: int) -> list[str]:
    """The last entries, oldest first; a file with more than twice as many is cut to these.

    Lines that are no entry are left out. Nothing if there is no such file; StorageError if it cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        found = [entry for entry in map(_entry, lines[-count:]) if entry is not None]
        if len(lines) > 2 * count:
            temporary = f"{path}.{os.getpid()}.tmp"
            _write(temporary, found, os.O_EXCL)
            os.replace(temporary, path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error("read", os.path.basename(path), os.path.dirname(path), error) from error
    return found


def _write(path: str, entries: list[str], how: int) -> None:
    fd = os.open(path, _NEW | how, 0o600)
    try:
        os.write(fd, "".join(f"{json.dumps(entry)}\n" for entry in entries).encode())
    finally:
        os.close(fd)


def _entry(line: str) -> str | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, str) else None
