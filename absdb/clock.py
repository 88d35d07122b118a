"""Where time comes from: the system's clock, or one that a test or tutorial moves by hand.

Commit times are integers, microseconds since 1970-01-01 UTC. `parse_time` is the one place that turns what a
user wrote (an aware datetime, or text; naive means UTC) into such an integer. No other module reads a clock.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Protocol

from absdb.errors import InvalidInputError

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
_UNITS = (
    ("year", 31_556_952),
    ("month", 2_629_746),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
)
"""Seconds in each; years and months are those of the Gregorian calendar on average."""


class Clock(Protocol):
    """Gives the time in microseconds since 1970-01-01 UTC."""

    def now_us(self) -> int: ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def __repr__(self) -> str:
        return "<SystemClock>"

    def _repr_html_(self) -> str:
        return "<div>the clock of the system</div>"


class ManualClock:
    """A clock that stands still until told to move; each reading may advance it by `tick_us`.

    For tests and tutorials, whose output must be the same on every run. Safe to share between threads.
    """

    def __init__(self, start: str | dt.datetime = "2026-01-01 00:00:00Z", *, tick_us: int = 0) -> None:
        self._now_us = parse_time(start)
        self._tick_us = tick_us
        self._mutex = threading.Lock()

    def now_us(self) -> int:
        with self._mutex:
            now = self._now_us
            self._now_us += self._tick_us
            return now

    def peek_us(self) -> int:
        """The time it shows; reading it this way does not advance it."""
        with self._mutex:
            return self._now_us

    def __repr__(self) -> str:
        return f"<ManualClock {format_time(self._now_us)}>"

    def _repr_html_(self) -> str:
        return f"<div>a clock moved by hand, at <b>{format_time(self._now_us)}</b></div>"

    def advance(self, **delta: float) -> None:
        """Move by a `datetime.timedelta`'s arguments: `clock.advance(hours=1)`."""
        with self._mutex:
            self._now_us += dt.timedelta(**delta) // MICROSECOND

    def set(self, moment: str | dt.datetime) -> None:
        """Jump to a moment, also backwards."""
        with self._mutex:
            self._now_us = parse_time(moment)


def parse_time(moment: str | dt.datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime or an ISO 8601 text; naive ones are taken as UTC.

    Raises InvalidInputError for text that is no date and time.
    """
    if isinstance(moment, str):
        try:
            moment = dt.datetime.fromisoformat(moment.strip())
        except ValueError as error:
            raise InvalidInputError(
                f"{moment!r} is not a point in time: {error}",
                hint="write it as 2026-04-04 14:05:00Z; without a zone it is taken as UTC",
            ) from error
    if not isinstance(moment, dt.datetime):
        raise InvalidInputError(
            f"{moment!r} is not a point in time", hint="pass a datetime, or text such as 2026-04-04 14:05:00Z"
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - EPOCH) // MICROSECOND


def to_datetime(time_us: int) -> dt.datetime:
    """The aware UTC datetime of a commit time."""
    return EPOCH + dt.timedelta(microseconds=time_us)


def format_time(time_us: int) -> str:
    """`2026-04-04 14:05:00Z`, with microseconds only when there are any."""
    moment = to_datetime(time_us)
    return moment.replace(tzinfo=None).isoformat(sep=" ") + "Z"


def ago(time_us: int, now_us: int) -> str:
    """How long before now: `just now`, `3 minutes ago`, `2 days ago`; in whole units of the seconds.

    Seconds are rounded to the nearest: times of commits are some microseconds later than a clock that stands still.
    """
    seconds = (now_us - time_us + 500_000) // 1_000_000
    if seconds < 1:
        return "just now"
    for unit, length in _UNITS:
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    raise AssertionError("a second is the smallest unit")


def peek_us(clock: Clock) -> int:
    """The time without moving a manual clock on, for what only shows it."""
    return clock.peek_us() if isinstance(clock, ManualClock) else clock.now_us()
