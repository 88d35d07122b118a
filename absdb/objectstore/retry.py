"""When a request is tried again, how long is waited before that, and when it is given up.

Waits grow from 0.2 s to 20 s, doubled each time and drawn at random below that ("full jitter"), so that many clients do
not come back at the same moment. A server that says Retry-After is believed up to a minute. No attempt begins after the
deadline; one that is on its way is not cut off by it. Used by transport.py.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

from absdb.clock import EPOCH, MICROSECOND

_RETRY_AFTER_MAX_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a store is, in seconds.

    `deadline_s` is for a request with all its attempts; `connect_s` and `idle_s` are how long one attempt waits for a
    connection, and for anything to move on it. Less than `slowest_bytes_s` for as long as `idle_s` counts as nothing.
    """

    deadline_s: float = 120.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 20.0
    connect_s: float = 10.0
    idle_s: float = 30.0
    slowest_bytes_s: int = 1024


class Attempts:
    """The attempts at one request: counts them, and waits between them."""

    def __init__(self, policy: RetryPolicy, closing: threading.Event) -> None:
        self._policy = policy
        self._closing = closing
        self._began = time.monotonic()
        self._waits = 0
        self.count = 0

    def wait(self, at_least_s: float | None = None) -> bool:
        """Wait for the next attempt; False if there is no time for one, or the store is being closed."""
        ceiling = min(self._policy.longest_wait_s, self._policy.first_wait_s * 2.0 ** min(self._waits, 30))
        self._waits += 1
        wait_s = random.uniform(0, ceiling)
        if at_least_s is not None:
            wait_s = max(wait_s, min(at_least_s, _RETRY_AFTER_MAX_S))
        if time.monotonic() - self._began + wait_s > self._policy.deadline_s:
            return False
        return not self._closing.wait(wait_s)

    def seconds(self) -> float:
        """How long it has been since the first attempt."""
        return time.monotonic() - self._began


class Pace:
    """Notices a body that comes in drips: too little of it, for too long. Only time spent waiting counts."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._waited_s = 0.0
        self._bytes = 0

    def is_too_slow(self, waited_s: float, received: int) -> bool:
        """Take note of `received` bytes that were waited for; whether it is time to give up."""
        self._waited_s += waited_s
        self._bytes += received
        if self._waited_s < self._policy.idle_s:
            return False
        slow = self._bytes < self._policy.slowest_bytes_s * self._waited_s
        self._waited_s, self._bytes = 0.0, 0
        return slow


def retry_after_s(value: str | None, now_us: int) -> float | None:
    """Seconds that a header Retry-After asks for, given as such or as a date; None without a usable one."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value[:9])
    moment_us = http_date_us(value)
    return None if moment_us is None else max(0.0, (moment_us - now_us) / 1e6)


def http_date_us(value: str | None) -> int | None:
    """Microseconds since 1970 UTC of a header such as Date or Last-Modified; None if it is none."""
    try:
        moment = parsedate_to_datetime(value or "")
    except (TypeError, ValueError):
        return None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND
