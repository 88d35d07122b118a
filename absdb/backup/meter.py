"""How far long work with many bytes has come: bytes, files, rate, and how long the rest will take.

`progress=` may be a function that takes a `Progress`, True for a bar, or nothing. Functions are called ten times a
second at most, by one thread at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from absdb.errors import InvalidInputError
from absdb.progress import reporting

INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come. `left_s` is None until there is something to guess it from."""

    done_bytes: int
    total_bytes: int
    done_files: int
    total_files: int
    seconds: float

    @property
    def bytes_per_s(self) -> float:
        """Bytes a second since it began."""
        return self.done_bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take if it goes on like this."""
        rate = self.bytes_per_s
        return (self.total_bytes - self.done_bytes) / rate if rate else None

    def __str__(self) -> str:
        left = "" if self.left_s is None else f", {self.left_s:,.0f} s left"
        done, total = self.done_bytes / 1e6, self.total_bytes / 1e6
        return f"{done:,.0f} of {total:,.0f} MB, {self.bytes_per_s / 1e6:,.0f} MB/s{left}"


Report = bool | Callable[[Progress], None] | None


class StoppedError(Exception):
    """Raised in threads whose work nobody wants any more; never leaves this room."""


class Meter:
    """Counts, from many threads, and is where they learn that they are to stop."""

    def __init__(self, tell: Callable[[Progress], None] | None, total_bytes: int, total_files: int) -> None:
        self._tell = tell
        self._total = total_bytes, total_files
        self._bytes = self._files = 0
        self._began = time.monotonic()
        self._told = self._began
        self._mutex = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Let whoever counts from now on give up."""
        self._stopped = True

    def add(self, count: int, *, files: int = 0) -> None:
        """More bytes, or files, are done. StoppedError if nobody wants them."""
        if self._stopped:
            raise StoppedError
        with self._mutex:
            self._bytes += count
            self._files += files
            now = time.monotonic()
            if self._tell is not None and now - self._told >= INTERVAL_S:
                self._told = now
                self._tell(self.now())

    def now(self) -> Progress:
        """How far it has come."""
        return Progress(
            self._bytes, self._total[0], self._files, self._total[1], time.monotonic() - self._began
        )


@contextmanager
def metered(report: Report, what: str, total_bytes: int, total_files: int) -> Iterator[Meter]:
    """A meter that tells `report`, at the end once more. InvalidInputError for what cannot be told anything."""
    if callable(report):
        meter = Meter(report, total_bytes, total_files)
        yield meter
        report(meter.now())
    elif report is True:
        with reporting(True, what, total_bytes, unit="B") as bar:
            assert bar is not None
            meter = Meter(lambda progress: bar(progress.done_bytes), total_bytes, total_files)
            yield meter
            bar(meter.now().done_bytes)
    elif report is None or report is False:
        yield Meter(None, total_bytes, total_files)
    else:
        raise InvalidInputError(
            f"progress is {report!r}", hint="pass True for a bar, or a function that takes a Progress"
        )
