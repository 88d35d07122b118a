"""What a drill has found, as a value that shows itself: steps, and tables compared with the source. See drill.py."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from absdb.reprs import counted, grid, page
from absdb.sizes import size


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One of restore, recover, check and compare. `outcome` is ok, failed, differs or left out; `detail` says more."""

    step: str
    outcome: str
    seconds: float
    bytes: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """A table as it was recovered and as the source has it: rows, and digests that are the same for the same rows.

    `outcome` is same, differs, or expired: the source has let go of that state.
    """

    database: str
    table: str
    outcome: str
    rows: int | None
    source_rows: int | None
    digest: str | None
    source_digest: str | None


@dataclass(slots=True, kw_only=True)
class DrillReport:
    """A drill. It is true if all is well: restored, recovered, sound, and equal to the source where that was there."""

    url: str
    label: str = ""
    path: str | None = None
    """Where the recovered instance was kept."""
    lsn: str | None = None
    time: str | None = None
    source: str | None = None
    """The instance that it was compared with."""
    steps: list[Step] = field(default_factory=list)
    tables: list[ComparedTable] = field(default_factory=list)
    findings: list[dict[str, str]] = field(default_factory=list)
    """What the check has found, remarks too: severity, where, problem."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return bool(self.steps) and all(step.outcome in ("ok", "left out") for step in self.steps)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def seconds(self) -> float:
        """How long it took."""
        return sum(step.seconds for step in self.steps)

    @property
    def verdict(self) -> str:
        """What it comes to, in one sentence."""
        failed = next((step for step in self.steps if step.outcome not in ("ok", "left out")), None)
        if failed is not None:
            return f"NOT WELL: {failed.step} {failed.outcome}: {failed.detail}"
        same = sum(table.outcome == "same" for table in self.tables)
        told = (
            f", {counted(same, 'table')} equal to {self.source}" if same else ", not compared with its source"
        )
        return f"all is well: {self.label} comes back as of LSN {self.lsn} in {self.seconds:.1f} s{told}"

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        facts = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        facts |= {name: [dataclasses.asdict(item) for item in facts[name]] for name in ("steps", "tables")}
        for step in facts["steps"]:
            step["seconds"] = round(step["seconds"], 3)
        return {"ok": self.ok, "verdict": self.verdict, **facts, "seconds": round(self.seconds, 3)}

    def __repr__(self) -> str:
        return f"<Drill {self.url}, {self.verdict}>"

    def __str__(self) -> str:
        lines = [
            f"{step:8} {outcome:8} {took:>8} s {bytes:>12}  {what}"
            for step, outcome, took, bytes, what in self._rows()
        ]
        return "\n".join([*(line.rstrip() for line in lines), self.verdict])

    def _repr_html_(self) -> str:
        steps = grid(["step", "outcome", "seconds", "size", "what"], self._rows())
        return page("Drill", self.url, [self.verdict], steps)

    def _rows(self) -> list[list[Any]]:
        return [
            [s.step, s.outcome, f"{s.seconds:.2f}", "" if s.bytes is None else size(s.bytes), s.detail]
            for s in self.steps
        ]
