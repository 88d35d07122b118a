"""What a page says: errors, what was done with a way to take it back, and questions before what destroys.

Message    one line with a kind, read out by screen readers; errors with their hint; buttons for what follows
Progress   what is running, how far it is, and a button that cancels it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import ipywidgets

from absdb.errors import AbsdbError
from absdb.panels.controls import button, html
from absdb.panels.model.work import Job, Work

Action = tuple[str, Callable[[], object]]
"""The text of a button, and what it does."""
_KINDS = {"error": ("Error", "alert"), "done": ("Done", "status"), "note": ("Note", "status")}


class Message(ipywidgets.VBox):
    """The message of a page; empty until something is to be said."""

    def __init__(self) -> None:
        self._text = html()
        self._actions = ipywidgets.HBox([])
        super().__init__([self._text, self._actions])
        self.add_class("absdb-messages")
        self.clear()

    @property
    def text(self) -> str:
        """The HTML of what is shown; "" if nothing is."""
        return str(self._text.value)

    @property
    def actions(self) -> tuple[ipywidgets.Button, ...]:
        """The buttons under it."""
        return tuple(self._actions.children)

    def error(self, error: BaseException) -> None:
        """Show an error: what is wrong, and what to do. One that absdb did not raise on purpose names its class."""
        if isinstance(error, AbsdbError):
            self._show("error", error.message, error.hint, ())
        else:
            hint = (
                "this is a defect of absdb, or of code it was given; the log of the kernel has its traceback"
            )
            self._show("error", f"{type(error).__name__}: {error}", hint, ())

    def done(self, text: str, *actions: Action) -> None:
        """Say what was done, with what can follow, such as an undo."""
        self._show("done", text, "", actions)

    def note(self, text: str, *actions: Action) -> None:
        """Say something."""
        self._show("note", text, "", actions)

    def ask(self, text: str, yes: str, do: Callable[[], object], *, no: str = "Keep it") -> None:
        """Ask before what destroys; nothing happens until `yes` is pressed."""
        self._show("note", text, "", [(yes, do), (no, lambda: None)])
        self._actions.children[0].button_style = "danger"

    def clear(self) -> None:
        """Say nothing."""
        self._text.value = ""
        self._actions.children = ()
        self.layout.display = "none"

    def _show(self, kind: str, text: str, hint: str, actions: Sequence[Action]) -> None:
        word, role = _KINDS[kind]
        first, _, rest = text.partition("\n")
        more = f"<pre>{escape(rest)}</pre>" if rest else ""
        advice = f'<div class="absdb-muted">{escape(hint)}</div>' if hint else ""
        self._text.value = (
            f'<div class="absdb-message absdb-message-{kind}" role="{role}">'
            f"<b>{word}</b>{escape(first)}{more}{advice}</div>"
        )
        self._actions.children = [button(text, self._then(do)) for text, do in actions]
        self.layout.display = ""

    def _then(self, do: Callable[[], object]) -> Callable[[], None]:
        def pressed() -> None:
            self.clear()
            do()

        return pressed


class Progress(ipywidgets.HBox):
    """What is being worked on, with a bar where the end is known, and a button that cancels it."""

    def __init__(self, work: Work) -> None:
        self._title = html()
        self._bar = ipywidgets.IntProgress(min=0, max=1, layout=ipywidgets.Layout(width="160px"))
        self._cancel = button("Cancel", work.cancel)
        super().__init__([self._title, self._bar, self._cancel])
        self.add_class("absdb-row")
        self.layout.display = "none"

    def show(self, job: Job | None) -> None:
        """Show how far a job is; None hides it."""
        if job is None:
            self.layout.display = "none"
            return
        self._title.value = f'<span role="status">{escape(job.title)} {_so_far(job)}</span>'
        self._bar.layout.display = "" if job.total else "none"
        if job.total:
            self._bar.max = job.total
            self._bar.value = min(job.done, job.total)
        self.layout.display = ""


def _so_far(job: Job) -> str:
    if not job.done:
        return "…"
    return f"{job.done:,}{f' of {job.total:,}' if job.total else ''} {job.unit}"
