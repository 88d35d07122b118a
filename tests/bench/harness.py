"""Timing: a work is run several times on fresh ground, and the median is what counts.

A result is (name, system, rows, unit, median, all runs, facts). Results go to one JSON file with the machine's
limits beside them, and to a table on the terminal. Works print as they finish, since a whole run takes minutes.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Result:
    """One measurement. `value` is the median of `runs`, in `unit`."""

    work: str
    system: str
    rows: int
    unit: str
    value: float
    runs: list[float]
    facts: dict[str, Any] = field(default_factory=dict)


class Report:
    """Results as they come in."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.machine: dict[str, Any] = {}

    def add(
        self, work: str, system: str, rows: int, runs: list[float], *, unit: str = "ms", **facts: Any
    ) -> Result:
        """Note the runs of one work; prints a line."""
        result = Result(work, system, rows, unit, statistics.median(runs), runs, facts)
        self.results.append(result)
        extra = "  ".join(f"{name}={value}" for name, value in facts.items())
        print(f"{work:<38} {system:<10} {rows:>10,} {result.value:>12,.3f} {unit:<9} {extra}", flush=True)
        return result

    def write(self, path: Path) -> None:
        """Everything as JSON."""
        data = {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "machine": self.machine,
            "results": [asdict(result) for result in self.results],
        }
        path.write_text(json.dumps(data, indent=1) + "\n")


def timed(work: Callable[[], Any], *, runs: int = 5, warm: int = 1) -> list[float]:
    """Milliseconds of each of `runs` calls, after `warm` calls that do not count."""
    for _ in range(warm):
        work()
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1e3)
    return found


@contextmanager
def stopwatch(into: list[float]) -> Iterator[None]:
    """Append the milliseconds of the block."""
    start = time.perf_counter()
    yield
    into.append((time.perf_counter() - start) * 1e3)


def tree_bytes(path: Path) -> int:
    """Bytes of all files below a path."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
