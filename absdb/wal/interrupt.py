"""Hold back Ctrl-C while the log is in a state that must not be left.

Python runs signal handlers between any two instructions of the main thread. A KeyboardInterrupt between a
write and its sync would leave a batch that nobody knows the fate of, and one between taking and handing on
leadership would stop every other committer. So for the milliseconds that such work takes, SIGINT is only
noted, and delivered at the end of the block. Other threads never run handlers, so there it does nothing.
"""

from __future__ import annotations

import importlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

# signal.signal without the enum conversions around it: 0.3 µs instead of 4, twice for each commit.
_signal: Any = importlib.import_module("_signal")
_SIGINT = int(signal.SIGINT)


class HeldInterrupts:
    """A context manager, to be used once; nested ones leave everything to the outermost."""

    __slots__ = ("_frame", "_pending", "_previous", "main")

    def __init__(self) -> None:
        self._previous: Any = None
        self._pending = False
        self._frame: FrameType | None = None
        self.main = False

    def __enter__(self) -> Self:
        self.main = threading.get_ident() == threading.main_thread().ident
        if self.main:
            handler = _signal.getsignal(_SIGINT)
            # Numbers and None stand for handlers that are not Python's: those cannot raise here.
            if callable(handler) and not isinstance(getattr(handler, "__self__", None), HeldInterrupts):
                try:
                    _signal.signal(_SIGINT, self._note)
                except ValueError:  # a sub-interpreter, which gets no signals
                    return self
                self._previous = handler
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            _signal.signal(_SIGINT, self._previous)
            self.deliver()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        self._frame = frame

    def deliver(self) -> None:
        """Run the program's own handler now, if a signal came; it usually raises KeyboardInterrupt."""
        if self._pending:
            self._pending = False
            frame, self._frame = self._frame, None
            self._previous(_SIGINT, frame)
