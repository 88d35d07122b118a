"""What was typed into the shell, also in earlier runs: for the arrow keys and Ctrl-R.

The file is $ABSDB_HISTORY, or absdb/history in the user's state directory; none if the variable is empty. Text
that begins with a blank is never kept, nor is the same text twice in a row. Called by shell_prompt.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from prompt_toolkit.history import History

from absdb.errors import StorageError
from absdb.io.user_files import append_entry, last_entries, state_directory

VARIABLE = "ABSDB_HISTORY"
ENTRIES_KEPT = 5000


def history_path() -> str | None:
    """The file of the history, None for no file."""
    said = os.environ.get(VARIABLE)
    if said is not None:
        return os.path.abspath(os.path.expanduser(said)) if said else None
    return os.path.join(state_directory(), "absdb", "history")


class ShellHistory(History):
    """The history of prompt_toolkit, in a file of ours. What goes wrong with the file is told once."""

    def __init__(self, path: str | None, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._path = path
        self._tell = tell
        self._last = ""

    def load_history_strings(self) -> Iterable[str]:
        """The entries, newest first."""
        entries: list[str] = []
        if self._path is not None:
            try:
                entries = last_entries(self._path, ENTRIES_KEPT)
            except StorageError as error:
                self._without_file(error)
        self._last = entries[-1] if entries else ""
        return reversed(entries)

    def append_string(self, string: str) -> None:
        """Remember a text, unless it begins with a blank or is the one before."""
        if string and not string[0].isspace() and string != self._last:
            self._last = string
            super().append_string(string)

    def store_string(self, string: str) -> None:
        if self._path is not None:
            try:
                append_entry(self._path, string)
            except StorageError as error:
                self._without_file(error)

    def _without_file(self, error: StorageError) -> None:
        self._path = None
        self._tell(f"the history is not kept: {error.message}")
