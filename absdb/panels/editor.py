"""SqlEditor: a box for SQL that runs on Ctrl+Enter and completes names on Tab.

browser → kernel   value; {"type": "run"} | {"type": "complete", "text", "cursor"}
kernel → browser   completing: {"text", "cursor", "start", "end", "names"}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import traitlets

from absdb.panels.theme import STATIC

TEXT_CHARACTERS_MAX = 1_000_000
NAMES_MAX = 50
Complete = Callable[[str, int], tuple[int, Sequence[str]]]
"""From a text and where the cursor is: where the name begins, and what it may become."""


class SqlEditor(anywidget.AnyWidget):
    """Text, and what happens on the keys. `run()` is called in the kernel's thread."""

    _esm = STATIC / "editor.js"
    value = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("SQL").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    completing: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)

    def __init__(self, run: Callable[[], object], complete: Complete | None = None, **traits: Any) -> None:
        super().__init__(**traits)
        self._run = run
        self._complete = complete
        self.on_msg(self._said)

    def _said(self, _: Any, message: Any, __: Any) -> None:
        match message:
            case {"type": "run"}:
                self._run()
            case {"type": "complete", "text": str(text), "cursor": int(cursor)} if (
                self._complete is not None and 0 <= cursor <= len(text) <= TEXT_CHARACTERS_MAX
            ):
                start, names = self._complete(text, cursor)
                self.completing = {
                    "text": text,
                    "cursor": cursor,
                    "start": start,
                    "end": cursor,
                    "names": list(names[:NAMES_MAX]),
                }
