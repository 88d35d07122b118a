"""An LSN beside how long ago it was, as notebooks show it: `0/1048576 · 3 minutes ago`.

The time is that of the last commit at or before it, seen from the instance's own clock.
"""

from __future__ import annotations

from absdb.clock import ago, peek_us
from absdb.engine.engine import Engine
from absdb.errors import CorruptionError
from absdb.ids import Lsn


def time_told(engine: Engine, lsn: int) -> int | None:
    """When the last commit at or before an LSN was made, µs since 1970; None if that is not known."""
    try:
        return engine.log.time_at_or_below(lsn)
    except CorruptionError:
        return None  # the record of old commits is damaged, which check() reports; the rows are not


def told(engine: Engine, lsn: int) -> str:
    """The LSN, and how long ago its commit was made where that is known."""
    time_us = time_told(engine, lsn)
    return str(Lsn(lsn)) if time_us is None else f"{Lsn(lsn)} · {ago(time_us, peek_us(engine.clock))}"
