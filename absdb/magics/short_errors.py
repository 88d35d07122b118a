"""Errors of magics as a message with its caret and hint, without the traceback through IPython and absdb.

The error itself is raised all the same: the cell fails, Run All stops, and `except` finds its class. IPython asks an
exception how to show itself (`_render_traceback_`). Called by every magic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from IPython.core.interactiveshell import InteractiveShell

from absdb.errors import AbsdbError

_RED, _PLAIN = "\x1b[31m", "\x1b[39m"


@contextmanager
def shown_shortly(shell: InteractiveShell) -> Iterator[None]:
    """Let errors of absdb that leave the block show no traceback, and neither a KeyboardInterrupt."""
    try:
        yield
    except (AbsdbError, KeyboardInterrupt) as error:
        lines = _lines(error, coloured=str(shell.colors).lower() != "nocolor")
        error.__dict__["_render_traceback_"] = lambda: lines
        raise


def _lines(error: BaseException, *, coloured: bool) -> list[str]:
    kind = type(error).__name__
    shown = f"{_RED}{kind}{_PLAIN}" if coloured else kind
    return (f"{shown}: {error}" if str(error) else shown).split("\n")
