"""What every page brings along, as a widget without content: the style sheet and the keys, from files, no network."""

from __future__ import annotations

from pathlib import Path

import anywidget

STATIC = Path(__file__).parent / "static"


class Theme(anywidget.AnyWidget):
    """Brings the style sheet into the page, and keeps keys that are typed in a panel from the notebook."""

    _esm = STATIC / "theme.js"
    _css = STATIC / "panels.css"
