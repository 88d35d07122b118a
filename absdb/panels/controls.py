"""Widgets as the panels use them: a label that says what it is, a text for every button, room as the content needs.

Icons alone are never used: they need a font from a network, and say nothing to a screen reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets


def row(*children: ipywidgets.Widget) -> ipywidgets.HBox:
    """Things beside each other, that wrap where there is no room."""
    made = ipywidgets.HBox(list(children))
    made.add_class("absdb-row")
    return made


def beside(*children: ipywidgets.Widget) -> ipywidgets.HBox:
    """Blocks beside each other, from the same height on."""
    made = row(*children)
    made.add_class("absdb-top")
    return made


def column(*children: ipywidgets.Widget) -> ipywidgets.VBox:
    """Things below each other."""
    return ipywidgets.VBox(list(children))


def button(
    text: str, pressed: Callable[[], object], *, tooltip: str = "", style: str = ""
) -> ipywidgets.Button:
    """A button. `style` is "", primary, or danger for what destroys."""
    made = ipywidgets.Button(description=text, tooltip=tooltip or text, button_style=style)
    made.on_click(lambda _: pressed())
    return made


def choice(
    label: str, options: Sequence[Any], *, value: Any = None, width: str = "auto"
) -> ipywidgets.Dropdown:
    """A drop-down list under a label."""
    return ipywidgets.Dropdown(
        description=label,
        options=list(options),
        value=value,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width=width),
    )


def text_field(label: str, *, value: str = "", placeholder: str = "", width: str = "auto") -> ipywidgets.Text:
    """A line to type in, whose value follows each key."""
    return ipywidgets.Text(
        description=label,
        value=value,
        placeholder=placeholder,
        continuous_update=True,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width=width),
    )


def tick(label: str, *, value: bool = False) -> ipywidgets.Checkbox:
    """A box to tick."""
    return ipywidgets.Checkbox(
        description=label, value=value, indent=False, layout=ipywidgets.Layout(width="auto")
    )


def html(content: str = "") -> ipywidgets.HTML:
    """A piece of HTML that is ours; what comes from data is escaped by whoever makes it."""
    return ipywidgets.HTML(value=content, layout=ipywidgets.Layout(width="auto"))


def heading(text: str) -> ipywidgets.HTML:
    """A heading within a page."""
    return html(f'<h4 class="absdb-head" style="margin:8px 0 2px">{escape(text)}</h4>')


def empty(text: str) -> str:
    """What stands where there is nothing: it says what to do next."""
    return f'<div class="absdb-empty">{escape(text)}</div>'


def set_options(control: ipywidgets.Dropdown, options: Sequence[Any], value: Any = None) -> None:
    """Change what can be chosen; what is chosen stays where it is still there, else it is the first."""
    wanted = control.value if value is None else value
    values = [one[1] if isinstance(one, tuple) else one for one in options]
    with (
        control.hold_sync()
    ):  # new options begin with the first one chosen; nobody is to see that, or to act on it
        if list(control.options) != list(options):
            control.options = list(options)
        if values and control.value != (chosen := wanted if wanted in values else values[0]):
            control.value = chosen
