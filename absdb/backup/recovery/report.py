"""What a recovery did, for people: a value that shows itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from absdb.backup.recovery.possible import Possible
from absdb.clock import format_time, to_datetime
from absdb.ids import Lsn
from absdb.reprs import counted, grid, page
from absdb.sizes import size


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Where a recovery has come to. `timeline` is the one that goes on from there, None until it is ended.

    `time` is that of the last record that was kept; `names` are restore points and snapshots that were passed;
    `log_bytes` were replayed and `fetched_bytes` fetched, in `seconds`.
    """

    path: str
    target: str
    lsn: Lsn
    time: dt.datetime
    from_timeline: int
    timeline: int | None
    names: tuple[str, ...]
    records: int
    log_bytes: int
    fetched_bytes: int
    seconds: float
    possible: Possible

    @property
    def state(self) -> str:
        """What it is now, in a few words."""
        return "paused, read-only" if self.timeline is None else f"goes on as timeline {self.timeline}"

    def __repr__(self) -> str:
        return f"<Recovered {self.path} @ {self.lsn} ({format_time(self.time_us)}), {self.state}>"

    def __str__(self) -> str:
        return (
            f"recovered to LSN {self.lsn} ({format_time(self.time_us)}), asked for was {self.target}; {self.state}; "
            f"{self._replayed} in {self.seconds:.1f} s"
        )

    @property
    def _replayed(self) -> str:
        return f"{counted(self.records, 'record')}, {size(self.log_bytes)} of log"

    @property
    def time_us(self) -> int:
        """The time in µs since 1970 UTC."""
        return (self.time - to_datetime(0)) // dt.timedelta(microseconds=1)

    def _repr_html_(self) -> str:
        rows = [
            ["asked for", self.target],
            ["reached", f"LSN {self.lsn}, {format_time(self.time_us)}"],
            ["state", self.state],
            ["replayed", self._replayed],
            ["fetched", size(self.fetched_bytes)],
            ["took", f"{self.seconds:.1f} s"],
            ["possible", str(self.possible)],
        ]
        return page("Recovered", self.path, [f"@ {self.lsn}"], grid(["", ""], rows))
