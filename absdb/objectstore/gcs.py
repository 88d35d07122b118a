"""Google Cloud Storage as a store of objects, over its JSON API.

    put         one multipart request with the checksum; ifGenerationMatch=0 or =G where a condition is asked for
    upload      a resumable upload (gcs_upload.py)
    list        with startOffset, which includes the name that it is told

The etag of an object is its generation, a number that changes with the contents. When an answer to `put` was lost, a
mark in the object's metadata tells our own. Which resumable uploads are under way is something that Google tells
nobody: `pending_uploads` is empty, and they end by themselves after a week. Opened by locate.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from absdb.clock import Clock
from absdb.objectstore.base import Data, ObjectInfo, PendingUpload
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.gcs_answers import info_of, read_fault, read_token_fault
from absdb.objectstore.gcs_bucket import Bucket
from absdb.objectstore.gcs_credentials import METADATA_HOST, METADATA_VARIABLE, find_grant, read_grant
from absdb.objectstore.gcs_token import Bearer, Grant, MetadataServer
from absdb.objectstore.gcs_upload import CHUNK_UNIT, ResumableUpload
from absdb.objectstore.listing_order import in_byte_order
from absdb.objectstore.location import StoreLocation
from absdb.objectstore.names import check_directory, check_object_name, check_small, is_object_name
from absdb.objectstore.request import Signer, Unsigned
from absdb.objectstore.retry import RetryPolicy
from absdb.objectstore.transport import Transport

OPTIONS: Mapping[str, str] = {
    "credentials": "path of a credentials file, metadata (a machine in Google's cloud) or none; else the environment's",
    "endpoint": "URL of the server; else STORAGE_EMULATOR_HOST, Google's",
    "part_size": "bytes in a chunk of a large object, in multiples of 256 KiB (16 MiB)",
    "concurrency": "how many ranges of large objects are read at once (4)",
    "deadline": "seconds after which a request is not tried again (120)",
    "idle": "seconds without progress after which an attempt is given up (30)",
}
EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"
_CONNECTIONS_BESIDES = 28
_ENDPOINT = "https://storage.googleapis.com"


class GcsStore:
    """The objects of a bucket below a prefix. Safe for many threads."""

    def __init__(self, location: StoreLocation, clock: Clock, environment: Mapping[str, str]) -> None:
        """InvalidInputError for an option that is not known; StateError without credentials."""
        location.only(OPTIONS)
        self._location = location
        part = location.size("part_size", 16 << 20, minimum=1)
        self._chunk = -(-part // CHUNK_UNIT) * CHUNK_UNIT
        policy = RetryPolicy(
            deadline_s=location.seconds("deadline", 120.0), idle_s=location.seconds("idle", 30.0)
        )
        signer: Signer = Unsigned()
        self._tokens: Transport | None = None
        if (grant := _grant(location, environment)) is not None:
            self._tokens = Transport(grant.url, clock, signer, read_token_fault, policy=policy)
            signer = Bearer(grant, self._tokens, early_s=2 * (policy.connect_s + policy.idle_s))
        concurrency = Concurrency(location.count("concurrency", 4, maximum=64))
        endpoint = _endpoint(location, environment)
        self._transport = Transport(
            endpoint,
            clock,
            signer,
            read_fault,
            policy=policy,
            connections=concurrency.limit + _CONNECTIONS_BESIDES,
            on_slow_down=concurrency.halve,
        )
        self._bucket = Bucket(location, endpoint, self._transport, concurrency)

    @classmethod
    def open(cls, location: StoreLocation, clock: Clock) -> GcsStore:
        """The store at a location; nothing is sent yet."""
        return cls(location, clock, os.environ)

    def __repr__(self) -> str:
        return f"<GcsStore {self.url}>"

    @property
    def url(self) -> str:
        """Where it is, without options."""
        return self._location.url

    def put(
        self, name: str, data: Data, *, if_absent: bool = False, if_match: str | None = None
    ) -> ObjectInfo:
        """Write a small object in one request."""
        check_small(name, data)
        return self._bucket.put(check_object_name(name), data, if_absent=if_absent, if_match=if_match)

    def upload(self, name: str, *, size_hint: int | None = None, if_absent: bool = False) -> ResumableUpload:
        """Begin a large object. Its size need not be known: there is no limit to the number of chunks."""
        return ResumableUpload(self._bucket, check_object_name(name), self._chunk, if_absent=if_absent)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """All of an object, or a range of it."""
        return b"".join(self.read(name, offset=offset, length=length))

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same piece by piece."""
        return self._bucket.read(check_object_name(name), offset, length)

    def head(self, name: str) -> ObjectInfo:
        """Size, generation and time of an object."""
        return self._bucket.head(check_object_name(name))

    def exists(self, name: str) -> bool:
        """Whether there is such an object; NotFoundError if there is no such bucket."""
        return self._bucket.was_there(self._bucket.request("GET", check_object_name(name)))

    def delete(self, name: str) -> None:
        """Remove an object."""
        self._bucket.was_there(self._bucket.request("DELETE", check_object_name(name)))

    def list_directories(self, prefix: str = "") -> list[str]:
        """The names before the next slash."""
        check_directory(prefix)
        start = len(self._bucket.root) + len(prefix)
        pages = self._bucket.pages(prefix, ("delimiter", "/"))
        found = {str(name)[start:].rstrip("/") for page in pages for name in page.get("prefixes", ())}
        return sorted(found - {""})

    def pending_uploads(self) -> list[PendingUpload]:
        """None: there is no way to ask for them. NotFoundError if there is no such bucket."""
        self._bucket.check()
        return []

    def abort_pending(self, upload: PendingUpload) -> None:
        """There is none to abort."""

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()
        if self._tokens is not None:
            self._tokens.close()

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their names as bytes; one request for 1000 of them."""
        root = self._bucket.root
        more = (("startOffset", root + after),) if after else ()
        listed = (facts for page in self._bucket.pages(prefix, *more) for facts in page.get("items", ()))
        infos = (info_of(str(facts["name"])[len(root) :], facts) for facts in listed)
        wanted = (info for info in infos if info.name > after and is_object_name(info.name))
        return in_byte_order(wanted, self.url)


def _grant(location: StoreLocation, environment: Mapping[str, str]) -> Grant | None:
    """What entitles to tokens; None for an emulator or a public bucket, which want none."""
    said = location.text("credentials")
    if said == "metadata":
        return MetadataServer(environment.get(METADATA_VARIABLE) or METADATA_HOST)
    if said:
        return None if said == "none" else read_grant(said, said)
    if environment.get(EMULATOR_VARIABLE) and not location.text("endpoint"):
        return None
    return find_grant(environment)


def _endpoint(location: StoreLocation, environment: Mapping[str, str]) -> str:
    said = location.text("endpoint") or environment.get(EMULATOR_VARIABLE) or _ENDPOINT
    return (said if "://" in said else f"http://{said}").rstrip("/")
