"""What the Backups page says: of a repository, of what is missing, and of what was done."""

from __future__ import annotations

from absdb.backup.info import BackupInfo
from absdb.backup.recovery.restored import Restored
from absdb.backup.verify import Verified
from absdb.panels.model.backups import Seen
from absdb.panels.model.recovery_target import Choice
from absdb.reprs import counted
from absdb.sizes import size

NO_REPOSITORY = (
    "No repository yet: type where backups are to lie, a directory or an s3://, gcs:// or azure:// URL. "
    "The setting backup_target fills it in."
)
NO_ARCHIVE = (
    "The log is not archived, so only the moments of backups can be recovered to. To recover to any commit, set "
    "wal_archive_enabled = true and wal_archive_target in absdb.conf, or as arguments of connect()."
)


def facts_told(seen: Seen) -> str:
    """What there is in a repository, in a line."""
    facts = [counted(len(seen.backups), "backup")]
    if seen.backups:
        facts.append(f"{size(sum(row['stored_bytes'] or 0 for row in seen.backups))} stored")
    if seen.recoverable is not None and seen.recoverable.archive_url:
        facts.append(f"log archived in {seen.recoverable.archive_url}")
    return " · ".join([*facts, *([seen.problem] if seen.problem else [])])


def missing_told(seen: Seen) -> list[str]:
    """What to do next where something is missing; what could not be read."""
    if seen.recoverable is None:
        return []
    if not seen.bases:
        return ["Nothing can be recovered yet: make a full backup first."]
    return [*seen.recoverable.problems, *([] if seen.recoverable.archive_url else [NO_ARCHIVE])]


def made_told(made: BackupInfo) -> str:
    """A backup that was made."""
    speed = (
        f" in {made.seconds:.1f} s, {size(made.stored_bytes / made.seconds)}/s" if made.seconds > 0 else ""
    )
    return (
        f"{made.label}, {made.kind}, as of LSN {made.end_lsn}: {size(made.size)}, "
        f"of which {size(made.stored_bytes)} were stored{speed}."
    )


def verified_told(label: str, found: Verified) -> str:
    """What verifying has found, a line each."""
    read = f"{counted(found.files, 'file')} and {size(found.bytes)} were read again"
    if found.well:
        return f"{label} is as it was written: {read}."
    lines = [f"{each.severity}: {each.label}, {each.where}: {each.problem}" for each in found.findings]
    return "\n".join([f"{label} is damaged; {read}.", *lines])


def question_told(chosen: Choice, path: str) -> str:
    """What a recovery would do."""
    return (
        f"Recover into {path or 'which directory?'}\n{chosen.told()}\n"
        "It becomes an instance of its own; this one stays as it is."
    )


def recovered_told(done: Restored) -> str:
    """A recovery that was done, with the code that opens what it made."""
    found = done.recovered
    reached = "" if found is None else f" to LSN {found.lsn}"
    goes_on = "" if found is None else f"; it goes on as timeline {found.timeline}"
    return f'Recovered{reached} from {done.label}{goes_on}. Open it with\nrecovered = absdb.connect("{done.path}")'
