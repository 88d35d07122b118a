"""Bisection: the answer of `main.bisect(…)`, the commit that broke something and what it changed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from absdb.clock import format_time, parse_time
from absdb.diff import Diff
from absdb.diff_reprs import summary_grid
from absdb.ids import Lsn
from absdb.reprs import counted, html, page


@dataclass(frozen=True, slots=True)
class Bisection:
    """The first commit after which a test did not hold any more.

    `lsn`, `time`, `author` and `message` are those of the commit, `tables` the names of those it touched, `tests` the
    number of states that were tried. `diff` is what it changed, `good_lsn` the commit before it.
    """

    lsn: Lsn
    time: dt.datetime | None
    author: str | None
    message: str | None
    tables: tuple[str, ...]
    tests: int
    good_lsn: Lsn
    diff: Diff

    def __repr__(self) -> str:
        return f"<Bisection {self.lsn}, {', '.join(self._facts())}>"

    def _facts(self) -> list[str]:
        time = "" if self.time is None else format_time(parse_time(self.time))
        said = "" if self.message is None else repr(self.message)
        facts = [time, self.author or "", said, ", ".join(self.tables), counted(self.tests, "test")]
        return [fact for fact in facts if fact]

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _shown(self) -> str:
        summary = self.diff.summary().astype(object)
        rows = summary.where(summary.notna(), None).values.tolist()
        return page("Bisection", str(self.lsn), self._facts(), summary_grid(rows))
