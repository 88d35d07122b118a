"""Slider: steps from 0 to `max`, moved with the pointer or the keys, read out by what each step is.

browser → kernel   value
kernel → browser   value, max, label, text, disabled
"""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from absdb.panels.theme import STATIC


class Slider(anywidget.AnyWidget):
    """A slider. `text` says what the step is; a value beyond the steps becomes the nearest."""

    _esm = STATIC / "slider.js"
    value = traitlets.Int(0).tag(sync=True)
    max = traitlets.Int(0).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("value")
    def _within(self, proposal: Any) -> int:
        return max(0, min(int(proposal["value"]), self.max))

    @traitlets.observe("max")
    def _fewer(self, _: Any) -> None:
        self.value = min(self.value, self.max)
