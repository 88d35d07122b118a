"""What a restore did, or would do: a value that shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from absdb.backup.recovery.possible import Possible
from absdb.backup.recovery.report import Recovered
from absdb.ids import Lsn
from absdb.reprs import counted, grid, page
from absdb.sizes import size


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A restore. `recovered` is None where `connect` is to recover first, and after a dry run.

    `size` are the bytes of the backup's files, of which `fetched_bytes` were read from the repository; the rest was
    there. `problems` are what a check has found, None if it was not asked for.
    """

    path: str
    url: str
    label: str
    backup_lsn: Lsn
    target: str
    archive: str
    action: str
    possible: Possible
    recovered: Recovered | None
    files: int
    size: int
    fetched_bytes: int
    seconds: float
    dry_run: bool
    problems: tuple[str, ...] | None

    @property
    def well(self) -> bool:
        """Whether nothing that a check has found is wrong."""
        return not self.problems

    def facts(self) -> dict[str, object]:
        """Name → value of what people and programs want to know."""
        found = self.recovered
        return {
            "path": self.path,
            "backup": self.label,
            "archive": self.archive or None,
            "target": self.target,
            "possible": str(self.possible),
            "lsn": None if found is None else found.lsn,
            "time": None if found is None else found.time,
            "timeline": None if found is None else found.timeline,
            "files": self.files,
            "bytes": self.size,
            "fetched_bytes": self.fetched_bytes + (0 if found is None else found.fetched_bytes),
            "log_bytes": None if found is None else found.log_bytes,
            "seconds": round(self.seconds, 3),
            "problems": None if self.problems is None else list(self.problems),
        }

    def __str__(self) -> str:
        what = f"backup {self.label} ({counted(self.files, 'file')}, {size(self.size)}) into {self.path}"
        if self.dry_run:
            return f"would restore {what}; asked for is {self.target}; possible is {self.possible}"
        if self.recovered is None:
            return f"restored {what}, to be recovered by connect() with action {self.action}: {self.target}"
        return f"restored {what}: {self.recovered}"

    def __repr__(self) -> str:
        at = (
            "dry run"
            if self.dry_run
            else "to be recovered"
            if self.recovered is None
            else f"@ {self.recovered.lsn}"
        )
        return f"<Restored {self.path} from {self.label}, {at}>"

    def _repr_html_(self) -> str:
        rows = [[name.replace("_", " "), value] for name, value in self.facts().items() if value is not None]
        return page("Restored", self.path, [f"from {self.label}"], grid(["", ""], rows))
