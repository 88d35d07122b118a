"""A repository of backups: a URL below which every label is a backup. What there is, is what the store lists.

    s3://bucket/backups              the repository
    s3://bucket/backups/nightly-7    a backup in it, also written s3://bucket/backups#nightly-7

There is no catalogue besides, so that none can be wrong. Backups in other repositories that a chain leads to are opened
when they are needed, with the same options.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from absdb.backup.codec.key import Key, find_key
from absdb.backup.manifest import (
    MANIFEST_BYTES_MAX,
    Backup,
    BackupManifest,
    Origin,
    damaged,
    from_bytes,
    header_of,
)
from absdb.backup.small_objects import read_small
from absdb.backup.told_url import check_told
from absdb.clock import Clock
from absdb.errors import InvalidInputError, NotFoundError
from absdb.object_names import BACKUP_MANIFEST, check_label, is_label
from absdb.objectstore.base import ObjectStore
from absdb.objectstore.locate import open_store
from absdb.objectstore.location import parse_location

Options = Mapping[str, Any] | None


class Repository:
    """An open repository. Use it as a context."""

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        key: Key | None = None,
        options: Options = None,
        clock: Clock | None = None,
    ) -> None:
        """`key` is the one in ABSDB_BACKUP_KEY if none is given; it is asked for only where something is encrypted."""
        self.given = os.fspath(url)
        self.options = dict(options or {})
        self._clock = clock
        self.key = find_key() if key is None else key
        self.store: ObjectStore = open_store(self.given, clock=clock, **self.options)
        self._others: dict[str, ObjectStore] = {}
        self._named_urls: set[str] = set()
        self._mutex = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is, without options."""
        return self.store.url

    def labels(self) -> list[str]:
        """All labels under which a backup was begun, finished or not; sorted."""
        return [name for name in self.store.list_directories() if is_label(name)]

    def data(self, label: str) -> bytes:
        """The bytes of a backup's manifest. NotFoundError if there is no such backup, or it was never finished."""
        name = f"{check_label(label)}/{BACKUP_MANIFEST}"
        try:
            return read_small(self.store, name, at_most=MANIFEST_BYTES_MAX)
        except NotFoundError as error:
            raise self._missing(label) from error

    def header(self, label: str) -> Backup:
        """What anybody may know of a backup; CorruptionError for a manifest that is not what was written."""
        return self._named(header_of(self.data(label), self._where(label)), label)

    def manifest(self, label: str) -> BackupManifest:
        """A backup with its files; StateError if it is encrypted and the key is not at hand."""
        found = from_bytes(self.data(label), self.key, self._where(label))
        self._named(found.backup, label)
        return found

    def store_of(self, origin: Origin) -> ObjectStore:
        """The store that an origin's objects lie in."""
        if not origin.url:
            return self.store
        with self._mutex:
            if origin.url not in self._others:
                options = self.options_for(origin.url)
                if origin.url not in self._named_urls:
                    check_told(origin.url, self.given, self.options)
                self._others[origin.url] = open_store(origin.url, clock=self._clock, **options)
            return self._others[origin.url]

    def trust(self, url: str) -> None:
        """The user has named this URL, so that credentials may go to the server in it."""
        self._named_urls.add(url)

    def options_for(self, url: str) -> dict[str, Any]:
        """The options with which another store is opened: the same, for one of the same kind."""
        same = parse_location(url).scheme == parse_location(self.given).scheme
        return self.options if same else {}

    def newest(self) -> str:
        """The label of the backup that was finished last; NotFoundError if there is none."""
        found = [(backup.finished_us, label) for label in self.labels() if (backup := self._whole(label))]
        if not found:
            raise NotFoundError(
                f"there is no backup in {self.url}", hint="`absdb backup --output URL` makes one"
            )
        return max(found)[1]

    def close(self) -> None:
        for store in (self.store, *self._others.values()):
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _whole(self, label: str) -> Backup | None:
        return self.header(label) if self.store.exists(f"{label}/{BACKUP_MANIFEST}") else None

    def _where(self, label: str) -> str:
        return f"{self.url}/{label}/{BACKUP_MANIFEST}"

    def _named(self, backup: Backup, label: str) -> Backup:
        if backup.label != label:
            raise damaged(self._where(label), f"it is that of {backup.label!r}")
        return backup

    def _missing(self, label: str) -> NotFoundError:
        found = self.labels()
        if label in found:
            hint = "it was begun and not finished: the same command again goes on with it"
        else:
            hint = f"there are {', '.join(found[-5:])}" if found else "there is no backup at all"
        return NotFoundError(f"there is no backup {label!r} in {self.url}", hint=hint, label=label)


def split_label(url: str | os.PathLike[str], label: str | None = None) -> tuple[str, str | None]:
    """(URL of a repository, label) of what names a backup as URL#label; the label is None if it is not named."""
    text = os.fspath(url)
    base, mark, named = text.rpartition("#")
    if not mark:
        return text, label
    if label is not None and label != named:
        raise InvalidInputError(f"{text} names the backup {named!r}, and {label!r} was asked for")
    return base, check_label(named)


def open_backup(
    url: str | os.PathLike[str],
    label: str | None = None,
    *,
    key: Key | None = None,
    options: Options = None,
    clock: Clock | None = None,
) -> tuple[Repository, str]:
    """The repository and label that are named as URL, URL#label or URL/label; a URL alone names the newest backup."""
    base, label = split_label(url, label)
    repository = Repository(base, key=key, options=options, clock=clock)
    try:
        if label is None and repository.store.exists(BACKUP_MANIFEST):
            repository.close()
            above, label = parent_of(base)
            repository = Repository(above, key=key, options=options, clock=clock)
        return repository, repository.newest() if label is None else label
    except BaseException:
        repository.close()
        raise


def parent_of(url: str) -> tuple[str, str]:
    """(URL above, last name) of a URL or path; what stands behind a question mark stays."""
    if "://" in url:
        query = urlsplit(url).query
        bare = url.partition("?")[0].rstrip("/")
        above, _, name = bare.rpartition("/")
        return above + (f"?{query}" if query else ""), check_label(name)
    above, name = os.path.split(os.path.abspath(url))
    return above, check_label(name)
