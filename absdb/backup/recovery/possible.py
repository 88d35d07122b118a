"""What can be recovered to: from the checkpoint of the backup to where the log ends or has a gap, along one timeline.

A target is held against it before anything is touched, and refused with what is possible. Names are found on the way
only. Called by recover.py, and by restore.py for `dry_run`.
"""

from __future__ import annotations

from dataclasses import dataclass

from absdb.backup.recovery.conf import RecoveryConf
from absdb.backup.recovery.log_range import LogGap
from absdb.clock import format_time
from absdb.engine.recover_to import Target
from absdb.errors import InvalidInputError, NotFoundError
from absdb.ids import Lsn
from absdb.wal.timelines import TimelineHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """The range, both ends included, and the timeline that holds its end. `gap` is what ends it, if something does."""

    way: TimelineHistory
    earliest_lsn: int
    earliest_us: int
    latest_timeline: int
    latest_lsn: int
    latest_us: int
    backup_end_lsn: int
    gap: LogGap | None = None

    def __str__(self) -> str:
        text = (
            f"from LSN {Lsn(self.earliest_lsn)} ({format_time(self.earliest_us)}) to LSN {Lsn(self.latest_lsn)} "
            f"({format_time(self.latest_us)}) along timeline {self.way.timeline}"
        )
        return text if self.gap is None else f"{text}; {told_gap(self.gap)}"

    def target(self, conf: RecoveryConf) -> Target:
        """Where replay is to stop. InvalidInputError if that is not possible, with what is."""
        if conf.recovery_target:
            target = Target(lsn=self.backup_end_lsn)
        else:
            target = Target(
                lsn=conf.recovery_target_lsn,
                time_us=conf.recovery_target_time,
                name=conf.recovery_target_name or None,
                inclusive=conf.recovery_target_inclusive,
            )
        self._check(target, conf.described())
        return target

    def _check(self, target: Target, described: str) -> None:
        if target.lsn is not None:
            early = target.lsn < self.earliest_lsn + (not target.inclusive)
            late = target.lsn > self.latest_lsn
        elif target.time_us is not None:
            early, late = target.time_us < self.earliest_us, target.time_us > self.latest_us
        else:
            early, late = False, target.name is None and self.gap is not None
        if early:
            raise self.refused(described, "lies before the backup", "take an older backup", too_early=True)
        if late and self.gap is not None:
            raise self.refused(
                described, f"lies behind a gap: {told_gap(self.gap)}", "name a target before the gap"
            )
        if late:
            raise self.refused(
                described, "lies after the end of the log", "leave the target out to recover to the end"
            )

    def refused(self, described: str, why: str, hint: str, **facts: object) -> InvalidInputError:
        """The error for a target that cannot be reached."""
        return InvalidInputError(
            f"the recovery target, {described}, {why}; possible is {self}",
            hint=f"{hint}, or another recovery_target_timeline",
            earliest_lsn=Lsn(self.earliest_lsn),
            latest_lsn=Lsn(self.latest_lsn),
            **facts,
        )

    def missed(self, described: str, names: list[str]) -> InvalidInputError | NotFoundError:
        """The error for a target that replay has not met before the log ended."""
        if names or described.startswith("the point named"):
            seen = ", ".join(dict.fromkeys(names[-20:])) or "none"
            return NotFoundError(
                f"{described} is not in the log; possible is {self}", hint=f"names that are: {seen}"
            )
        return self.refused(described, "was not met before the log ended", "leave the target out")


def told_gap(gap: LogGap) -> str:
    """A gap in a few words."""
    return f"log of timeline {gap.timeline} from LSN {Lsn(gap.from_lsn)} to {Lsn(gap.to_lsn)} is missing"
