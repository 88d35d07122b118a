"""The style sheet of the panels, as a widget without content that every page holds: one file, no network."""

from __future__ import annotations

from pathlib import Path

import anywidget

STATIC = Path(__file__).parent / "static"


class Theme(anywidget.AnyWidget):
    """Brings the style sheet into the page."""

    _esm = "export default { render({ el }) { el.style.display = 'none'; } };"
    _css = STATIC / "panels.css"
