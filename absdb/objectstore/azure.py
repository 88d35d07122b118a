"""Azure Blob Storage as a store of objects: block blobs in one container, over its REST API.

    put         Put Blob, with If-None-Match: * or If-Match where a condition is asked for
    upload      Put Block in parallel, then Put Block List (azure_blocks.py)
    list        List Blobs; there is no "names after", so what comes before is read and passed over

Each write knows its own blob again when an answer was lost: `put` by a mark in the metadata, `upload` by the ids of
its blocks. Every body is sent with its MD5, which Azure checks. Opened by locate.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from absdb.clock import Clock
from absdb.objectstore.azure_answers import read_fault
from absdb.objectstore.azure_blocks import BlockUpload
from absdb.objectstore.azure_container import AzureContainer
from absdb.objectstore.azure_credentials import find_account
from absdb.objectstore.base import Data, ObjectInfo, PendingUpload
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.listing_order import in_byte_order
from absdb.objectstore.location import StoreLocation
from absdb.objectstore.names import check_directory, check_object_name, check_small, is_object_name
from absdb.objectstore.part_sizes import plan_parts
from absdb.objectstore.retry import RetryPolicy
from absdb.objectstore.transport import Transport

OPTIONS: Mapping[str, str] = {
    "account": "name of the storage account; else AZURE_STORAGE_ACCOUNT or the connection string's",
    "account_key": "its key; only as an argument",
    "sas_token": "a shared access signature instead of a key; only as an argument",
    "endpoint": "URL above the containers; else the connection string's, Azure's public one",
    "part_size": "bytes in a block of a large object, at least (8 MiB)",
    "concurrency": "how many blocks are on their way at once (4)",
    "deadline": "seconds after which a request is not tried again (120)",
    "idle": "seconds without progress after which an attempt is given up (30)",
}
_BLOCKS_MAX = 50_000
_BLOCK_MAX = 4000 << 20
_CONNECTIONS_BESIDES = 28


class AzureStore:
    """The blobs of a container below a prefix. Safe for many threads."""

    def __init__(self, location: StoreLocation, clock: Clock, environment: Mapping[str, str]) -> None:
        """InvalidInputError for an option that is not known; StateError without an account or credentials for it."""
        location.only(OPTIONS)
        account = find_account(location.options, environment)
        concurrency = location.count("concurrency", 4, maximum=64)
        self._location = location
        self._part_size = location.size("part_size", 8 << 20, minimum=1 << 16, maximum=_BLOCK_MAX)
        self._concurrency = Concurrency(concurrency)
        self._transport = Transport(
            account.endpoint,
            clock,
            account.signer,
            read_fault,
            policy=RetryPolicy(
                deadline_s=location.seconds("deadline", 120.0), idle_s=location.seconds("idle", 30.0)
            ),
            connections=concurrency + _CONNECTIONS_BESIDES,
            on_slow_down=self._concurrency.halve,
        )
        self._container = AzureContainer(location, account.endpoint, self._transport, self._concurrency)

    @classmethod
    def open(cls, location: StoreLocation, clock: Clock) -> AzureStore:
        """The store at a location; nothing is sent yet."""
        return cls(location, clock, os.environ)

    def __repr__(self) -> str:
        return f"<AzureStore {self.url}>"

    @property
    def url(self) -> str:
        """Where it is, without credentials and options."""
        return self._location.url

    def put(
        self, name: str, data: Data, *, if_absent: bool = False, if_match: str | None = None
    ) -> ObjectInfo:
        """Write a small blob in one request."""
        check_small(name, data)
        return self._container.put(check_object_name(name), data, if_absent=if_absent, if_match=if_match)

    def upload(self, name: str, *, size_hint: int | None = None, if_absent: bool = False) -> BlockUpload:
        """Begin a large blob."""
        sizes = plan_parts(
            size_hint,
            part_size=self._part_size,
            max_parts=_BLOCKS_MAX,
            largest_part=_BLOCK_MAX,
            largest_object=_BLOCKS_MAX * _BLOCK_MAX,
        )
        return BlockUpload(self._container, check_object_name(name), sizes, if_absent=if_absent)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """All of a blob, or a range of it."""
        return b"".join(self.read(name, offset=offset, length=length))

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same piece by piece."""
        return self._container.read(check_object_name(name), offset, length)

    def head(self, name: str) -> ObjectInfo:
        """Size, etag and time of a blob."""
        return self._container.head(check_object_name(name))

    def exists(self, name: str) -> bool:
        """Whether there is such a blob; NotFoundError if there is no such container."""
        return self._container.was_there(self._container.request("HEAD", check_object_name(name)))

    def delete(self, name: str) -> None:
        """Remove a blob with its snapshots."""
        headers = {"x-ms-delete-snapshots": "include"}
        self._container.was_there(self._container.request("DELETE", check_object_name(name), headers=headers))

    def list_directories(self, prefix: str = "") -> list[str]:
        """The names before the next slash."""
        check_directory(prefix)
        start = len(self._container.root) + len(prefix)
        pages = self._container.pages(prefix, ("delimiter", "/"))
        return sorted({name[start:].rstrip("/") for page in pages for name in page.directories} - {""})

    def pending_uploads(self) -> list[PendingUpload]:
        """Names that have blocks and no blob.

        Azure does not list blocks beside a blob that is there already. An upload whose beginning it does not tell is
        given as begun now; Azure drops the blocks itself, a week after the last one.
        """
        whole = {info.name for page in self._container.pages("") for info in page.blobs}
        listed = self._container.pages("", ("include", "uncommittedblobs"))
        found = [self._local(info) for page in listed for info in page.blobs if info.name not in whole]
        now_us = self._transport.now_us()
        pending = [PendingUpload(info.name, info.name, info.modified_us or now_us) for info in found]
        return sorted(pending, key=lambda upload: upload.started_us)

    def abort_pending(self, upload: PendingUpload) -> None:
        """Drop the blocks of a name that has no blob.

        Only another blob of that name does it: an empty one is there for a moment, unless somebody else is quicker.
        """
        self._container.discard_blocks(upload.key)

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def _local(self, info: ObjectInfo) -> ObjectInfo:
        """The same with the name that it has in this store."""
        return info._replace(name=info.name[len(self._container.root) :])

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Blobs in the order of their names as bytes; one request for 5000 of them, and for those before `after`."""
        infos = (self._local(info) for page in self._container.pages(prefix) for info in page.blobs)
        wanted = (info for info in infos if is_object_name(info.name))
        return (info for info in in_byte_order(wanted, self.url) if info.name > after)
