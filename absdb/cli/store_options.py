"""Options that commands about backups and archives share: where an S3 store is, and the key that encrypts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from absdb.backup.codec.key import Key, find_key
from absdb.objectstore.base import ObjectStore

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What was said about stores, besides their URLs, and about the key."""

    s3_region: str | None = None
    s3_endpoint: str | None = None
    key_file: str | None = None

    @property
    def named(self) -> dict[str, Any]:
        """The options that `open_store` takes; without those that were not given."""
        given = {"region": self.s3_region, "endpoint": self.s3_endpoint}
        return {name: value for name, value in given.items() if value is not None}

    def open(self, url: str) -> ObjectStore:
        """The store at a URL."""
        from absdb.objectstore.locate import open_store

        return open_store(url, **self.named)

    def key(self) -> Key | None:
        """The key in the file that was named, or in ABSDB_BACKUP_KEY; None if there is neither."""
        return find_key(self.key_file or "")


def store_options(function: F) -> F:
    """Adds --s3-region, --s3-endpoint and --key-file to a command, which gets them as `options`."""

    @functools.wraps(function)
    def wrapper(
        *args: Any, s3_region: str | None, s3_endpoint: str | None, key_file: str | None, **more: Any
    ) -> Any:
        return function(*args, options=StoreOptions(s3_region, s3_endpoint, key_file), **more)

    click.option(
        "--key-file",
        metavar="FILE",
        help="The key of what is encrypted. [default: the key in $ABSDB_BACKUP_KEY]",
    )(wrapper)
    click.option(
        "--s3-endpoint", metavar="URL", help="The server, for a store that is not Amazon's but speaks S3."
    )(wrapper)
    click.option("--s3-region", metavar="NAME", help="The region of an s3:// URL.")(wrapper)
    return wrapper  # type: ignore[return-value]  # click only needs something to call
