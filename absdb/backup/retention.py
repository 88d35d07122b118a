"""Removing backups that are old and that nothing needs.

Kept are, whatever their age: the newest backup that is whole, the newest `keep`, pinned ones, those that somebody
reads, and all that a kept one builds on, also from another repository. Nothing is guessed: a backup whose manifest
cannot be read is left alone.

What builds on others goes before them, and of each the manifest goes first, so that what is half removed is no backup.
If somebody has marked it as read in the very moment before, or finished a backup that builds on it, the manifest is put
back, and all that it needs stays. What has no manifest and is old are leftovers of backups that were interrupted and
never gone on with; they go, too.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from absdb.backup.claim import claim_removal
from absdb.backup.manifest import Backup
from absdb.backup.purged import Fate, Purged
from absdb.backup.reader_mark import HOLDS_S
from absdb.backup.repository import Options, Repository
from absdb.backup.small_objects import read_json
from absdb.backup.told_url import check_told
from absdb.clock import Clock, SystemClock, to_datetime
from absdb.errors import AbsdbError, CorruptionError, InvalidInputError, NotFoundError
from absdb.object_names import BACKUP_BEGIN, BACKUP_DEPENDENTS, BACKUP_MANIFEST, BACKUP_PIN, BACKUP_READERS
from absdb.objectstore.base import ObjectInfo
from absdb.objectstore.janitor import remove_abandoned
from absdb.objectstore.location import parse_location

LEFTOVER_S = 86_400.0
ABANDONED_S = 7 * 86_400.0
THREADS = 8


@dataclass(frozen=True, slots=True)
class _Found:
    """One label as it is listed. `backup` is None for what has no manifest, or a damaged one."""

    label: str
    backup: Backup | None
    damaged: bool
    objects: tuple[ObjectInfo, ...]

    @property
    def stored(self) -> int:
        return sum(each.size for each in self.objects)

    def names(self, prefix: str) -> list[ObjectInfo]:
        return [each for each in self.objects if each.name.startswith(f"{self.label}/{prefix}")]


def purge(
    url: str | os.PathLike[str],
    older_than: float | dt.timedelta,
    *,
    keep: int = 1,
    dry_run: bool = False,
    options: Options = None,
    clock: Clock | None = None,
) -> Purged:
    """Remove backups that were finished more than `older_than` (seconds) ago and that nothing needs.

    `keep` is how many of the newest stay in any case, one at least. Needs no key. Costs a listing of everything, and a
    request for each object that goes.
    """
    if isinstance(older_than, str):
        raise InvalidInputError(
            f"{older_than!r} is no age",
            hint="pass a timedelta, such as datetime.timedelta(days=30), or seconds",
        )
    seconds = older_than.total_seconds() if isinstance(older_than, dt.timedelta) else float(older_than)
    if seconds < 0 or keep < 0:
        raise InvalidInputError("ages and counts of what is to be kept are not negative")
    clock = clock or SystemClock()
    with Repository(url, options=options, clock=clock) as repository:
        return _Purge(repository, clock.now_us(), seconds, max(keep, 1), clock).run(dry_run)


def protected_log(
    url: str | os.PathLike[str], *, options: Options = None, clock: Clock | None = None
) -> list[tuple[int, int, int]]:
    """(timeline, from LSN, to LSN) of the log that the backups of a repository must not lose, whatever its age.

    CorruptionError if a manifest cannot be read: what it needs is not known then.
    """
    with Repository(url, options=options, clock=clock) as repository:
        found = list[tuple[int, int, int]]()
        for label in repository.labels():
            if repository.store.exists(f"{label}/{BACKUP_MANIFEST}"):
                backup = repository.header(label)
                found.append((backup.timeline, backup.start_lsn, backup.end_lsn))
        return sorted(found)


class _Purge:
    """One purge."""

    def __init__(self, repository: Repository, now_us: int, seconds: float, keep: int, clock: Clock) -> None:
        self._repository = repository
        self._now_us = now_us
        self._seconds = seconds
        self._keep = keep
        self._clock = clock
        self._whole: dict[str, _Found] = {}
        """What had a manifest when it was last looked at."""
        self._ahead_us: int | None = None
        """How far the clock here is ahead of the store's, once somebody had to know."""
        self._dry_run = True
        self._late: list[_Found] = []
        """What of it was finished since the listing."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="absdb-purge")

    def run(self, dry_run: bool) -> Purged:
        self._dry_run = dry_run
        with self._threads:
            found = {each.label: each for each in self._threads.map(self._find, self._repository.labels())}
            self._whole = {label: each for label, each in found.items() if each.backup or each.damaged}
            reasons = self._reasons(found)
            order = sorted(found.values(), key=lambda each: -_finished(each))
            fates = [self._fate(each, found, reasons, dry_run) for each in order if each.objects]
            abandoned = remove_abandoned(self._repository.store, ABANDONED_S, self._clock, dry_run=dry_run)
        fates.sort(key=lambda fate: (fate.finished_at or to_datetime(0), fate.label))
        return Purged(self._repository.url, dry_run, tuple(fates), len(abandoned))

    def _find(self, label: str) -> _Found:
        objects = tuple(self._repository.store.list(f"{label}/"))
        if not any(each.name == f"{label}/{BACKUP_MANIFEST}" for each in objects):
            return _Found(label, None, False, objects)
        try:
            return _Found(label, self._repository.header(label), False, objects)
        except NotFoundError:
            return _Found(label, None, False, ())  # somebody else is removing it
        except CorruptionError:
            return _Found(label, None, True, objects)

    def _reasons(self, found: dict[str, _Found]) -> dict[str, str]:
        """Label → why it is kept, of all that are."""
        whole = [each for each in found.values() if each.backup is not None]
        whole.sort(key=lambda each: (-_finished(each), each.label))
        reasons = {each.label: "its manifest cannot be read" for each in found.values() if each.damaged}
        for number, each in enumerate(whole):
            if self._age(_finished(each)) <= self._seconds:
                reasons[each.label] = "not old enough"
            elif number < self._keep:
                reasons[each.label] = "one of the newest"
        newest = next((each for each in whole if self._is_there(each, found)), None)
        if newest is not None:
            reasons.setdefault(newest.label, "the newest that is whole")
        for each in found.values():
            for reason in self._claims(each):
                reasons.setdefault(each.label, reason)
        self._keep_needed(found, reasons, [label for label in reasons if found[label].backup is not None])
        return reasons

    def _keep_needed(self, found: dict[str, _Found], reasons: dict[str, str], todo: list[str]) -> None:
        """Keep what these labels build on."""
        while todo:
            label = todo.pop()
            for needed in self._needs(found[label]):
                if needed in found and needed not in reasons:
                    reasons[needed] = f"{label} builds on it"
                    todo.append(needed)

    def _claims(self, each: _Found) -> list[str]:
        """Why somebody else wants it kept."""
        claims = ["pinned"] if each.names(BACKUP_PIN) else []
        if any(self._is_younger(mark, HOLDS_S) for mark in each.names(BACKUP_READERS)):
            claims.append("somebody reads it")
        if each.backup is not None:
            claims += [
                reason for note in each.names(BACKUP_DEPENDENTS) if (reason := self._depends(note.name))
            ]
        return claims

    def _depends(self, name: str) -> str:
        """Which backup in another repository builds on it; "" if that is no more."""
        try:
            note = read_json(self._repository.store, name)
            where = f"{note['label']} in {note['url']} builds on it"
            check_told(note["url"], self._repository.given, self._repository.options)
            with Repository(note["url"], options=self._repository.options_for(note["url"])) as other:
                there = other.store.exists(f"{note['label']}/{BACKUP_MANIFEST}")
                return where if there or other.store.exists(f"{note['label']}/{BACKUP_BEGIN}") else ""
        except NotFoundError:
            return ""
        except (AbsdbError, ValueError, KeyError, TypeError, RecursionError) as error:
            return f"whether {name} still holds cannot be found out: {error}"

    def _needs(self, each: _Found) -> list[str]:
        """Labels in this repository that a backup builds on."""
        assert each.backup is not None
        here = self._repository.url
        return [label for label, url in each.backup.needs if not url or parse_location(url).url == here]

    def _is_there(self, each: _Found, found: dict[str, _Found]) -> bool:
        """Whether what a backup has stored, and what it builds on, is there, by number and size."""
        assert each.backup is not None
        held = [info for kind in ("pages", "wal", "files") for info in each.names(kind)]
        needed = [found.get(label) for label in self._needs(each)]
        return (
            sum(info.size for info in held) >= each.backup.stored_bytes
            and len(held) >= each.backup.stored_files
            and all(other is not None and other.backup is not None for other in needed)
        )

    def _fate(self, each: _Found, found: dict[str, _Found], reasons: dict[str, str], dry_run: bool) -> Fate:
        backup = each.backup
        kind = backup.kind if backup is not None else "damaged" if each.damaged else "leftover"
        finished = to_datetime(backup.finished_us) if backup is not None else None
        reason = reasons.get(each.label)
        if reason is None and backup is None:
            touched = max(each.objects, key=lambda info: info.modified_us)
            if self._is_younger(touched, max(LEFTOVER_S, self._seconds)):
                reason = "begun and not finished, and not old enough"
        removed = reason is None
        if removed and not dry_run:
            removed = self._remove(each)
            if not removed:
                reason = reasons[each.label] = (
                    "somebody has just begun to read it, to build on it, or to go on with it"
                )
                if backup is not None:
                    self._keep_needed(found, reasons, [each.label])
        return Fate(each.label, kind, finished, each.stored, removed, reason or "old, and nothing needs it")

    def _remove(self, each: _Found) -> bool:
        """The manifest first; the rest only if nobody has begun to read it by then."""
        store, manifest = self._repository.store, f"{each.label}/{BACKUP_MANIFEST}"
        claimed = claim_removal(store, each.label) if each.backup is None else ""
        if each.backup is None and (not claimed or self._goes_on(each, claimed)):
            return False
        data = store.get(manifest) if each.backup is not None else None
        store.delete(manifest)
        marks = store.list(f"{each.label}/{BACKUP_READERS}")
        if any(self._is_younger(mark, HOLDS_S) for mark in marks) or self._is_built_upon(each):
            if data is not None:
                store.put(manifest, data)
            return False
        names = [info.name for info in store.list(f"{each.label}/")]
        last = [f"{each.label}/{BACKUP_BEGIN}", claimed]  # until then nobody else can claim the label
        list(self._threads.map(store.delete, [name for name in names if name not in last]))
        for name in filter(None, last):
            store.delete(name)
        return True

    def _goes_on(self, each: _Found, claimed: str) -> bool:
        """Whether somebody has stored more of an unfinished backup since the listing; then the claim is given up."""
        known = {claimed, *(info.name for info in each.objects)}
        if all(info.name in known for info in self._repository.store.list(f"{each.label}/")):
            return False
        self._repository.store.delete(claimed)
        return True

    def _is_built_upon(self, each: _Found) -> bool:
        """Whether a backup was finished since the listing that needs it. None begins any more: the manifest is gone."""
        store, dependents = self._repository.store, f"{each.label}/{BACKUP_DEPENDENTS}"
        known = {info.name for info in each.objects}
        if any(info.name not in known and self._depends(info.name) for info in store.list(dependents)):
            return True
        new = [label for label in self._repository.labels() if label not in self._whole]
        for label in new:
            if store.exists(f"{label}/{BACKUP_MANIFEST}"):
                self._whole[label] = self._find(label)
        late = [self._whole[label] for label in new if label in self._whole]
        self._late += late
        return any(
            other.damaged or (other.backup is not None and each.label in self._needs(other))
            for other in self._late
        )

    def _is_younger(self, info: ObjectInfo, seconds: float) -> bool:
        """Whether an object was written less than that ago, by the clock here or by the store's that has dated it."""
        if self._age(info.modified_us) < seconds:
            return True
        if self._dry_run:
            return False
        if self._ahead_us is None:
            name, store = f"clock-{secrets.token_hex(8)}.json", self._repository.store
            store.put(name, b"{}")
            self._ahead_us = self._now_us - store.head(name).modified_us
            store.delete(name)
        return self._age(info.modified_us + self._ahead_us) < seconds

    def _age(self, time_us: int) -> float:
        return (self._now_us - time_us) / 1e6


def _finished(each: _Found) -> int:
    return each.backup.finished_us if each.backup is not None else 0
