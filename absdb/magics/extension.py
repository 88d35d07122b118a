"""`%load_ext absdb` and `%unload_ext absdb`: registers magics, events and completion with a shell, and takes them back.

`%sql` and `%%sql` belong to who registers them last, and are left to who has them; so JupySQL keeps its own, loaded
before or after. Called by the package itself.
"""

from __future__ import annotations

import atexit
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from absdb.magics.commands import Commands
from absdb.magics.complete import CellCompleter

_loaded: dict[InteractiveShell, Extension] = {}


class Extension:
    """What was registered with one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._commands = commands = Commands(shell)
        self._completer = CellCompleter(shell, commands.attachments, self._is_ours)
        self._magics = {
            ("line_cell", "absdb"): commands.absdb,
            ("line_cell", "branch"): commands.branch,
            ("line", "undo"): commands.undo,
            ("line", "redo"): commands.redo,
        }
        if not any("sql" in known for known in shell.magics_manager.magics.values()):
            self._magics["line_cell", "sql"] = commands.sql

    def load(self) -> None:
        """Register everything."""
        for (kind, name), function in self._magics.items():
            self._shell.magics_manager.register_function(function, kind, name)
        self._shell.events.register("pre_run_cell", self._commands.history.before_cell)
        self._shell.events.register("post_run_cell", self._commands.history.after_cell)
        self._shell.Completer.custom_matchers.append(self._completer.matcher)
        atexit.register(self._commands.close)

    def unload(self) -> None:
        """Take it back, and let go of what is attached."""
        magics = self._shell.magics_manager.magics
        for kind in ("line", "cell"):
            for _, name in self._magics:
                if self._is_ours(name, kind):
                    del magics[kind][name]
        self._shell.events.unregister("pre_run_cell", self._commands.history.before_cell)
        self._shell.events.unregister("post_run_cell", self._commands.history.after_cell)
        self._shell.Completer.custom_matchers.remove(self._completer.matcher)
        atexit.unregister(self._commands.close)
        self._commands.close()

    def _is_ours(self, name: str, kind: str = "cell") -> bool:
        """Whether a magic is what was registered here, and not what somebody registered since."""
        known: Any = self._shell.magics_manager.magics[kind].get(name)
        return known is not None and getattr(known, "__self__", None) is self._commands


def load(shell: InteractiveShell) -> None:
    """Register the magics with a shell; once, however often it is asked for."""
    if shell not in _loaded:
        extension = _loaded[shell] = Extension(shell)
        extension.load()


def unload(shell: InteractiveShell) -> None:
    """Undo `load`, and close the instances that the magics have opened."""
    extension = _loaded.pop(shell, None)
    if extension is not None:
        extension.unload()
