"""What absdb asks of a store of objects, be it a directory, a bucket or a container.

A store is opened on a URL; names are relative to it, with forward slashes, and checked as paths are: they cannot climb
out. An object is written once and whole: whoever lists or reads sees all of it or nothing, also when the writer is
killed. What is durable is durable on return.

    put         a small object in one request; `if_absent` makes it the only one of its name, whoever else tries
    upload      a large object, part by part, in bounded memory
    read, get   all of it or a range, checked to be as long as was asked for
    list        by prefix, in the order of names as bytes, page by page

Errors, the same for every store: NotFoundError for an object (or bucket) that is not there, AlreadyExistsError for
`if_absent` that came second, ConflictError for `if_match` on something else, StateError for credentials that are
missing or refused, StorageError for a store that cannot be reached or refuses after all retries. They name the URL, the
request's id and what was last answered, and no secret. Implemented by local.py, s3.py, gcs.py and azure.py, opened by
locate.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview


class ObjectInfo(NamedTuple):
    """What a store says about an object. `etag` changes with its contents; `modified_us` is µs since 1970 UTC."""

    name: str
    size: int
    etag: str
    modified_us: int


class PendingUpload(NamedTuple):
    """A large object that somebody began to write and has not finished; `key` is for `abort_pending`."""

    name: str
    key: str
    started_us: int


class Upload(Protocol):
    """A large object in the making. As a context it is finished on the way out, or aborted after an error."""

    def write(self, data: Data) -> None:
        """Append; the bytes may be reused by the caller once this returns. May wait for parts on their way."""
        ...

    def finish(self) -> ObjectInfo:
        """Make the object appear, whole and durable. AlreadyExistsError under `if_absent` if somebody was first."""
        ...

    def abort(self) -> None:
        """Give up: nothing appears and nothing is left behind. Harmless after finish or abort."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ObjectStore(Protocol):
    """An open store. Safe for many threads."""

    @property
    def url(self) -> str:
        """Where it is, without credentials and options; opening it again leads to the same place."""
        ...

    def put(
        self, name: str, data: Data, *, if_absent: bool = False, if_match: str | None = None
    ) -> ObjectInfo:
        """Write a small object (at most 64 MiB) at once. With neither condition an existing one is replaced.

        A retry after an answer that was lost is not mistaken for somebody else's object: what is there is compared.
        """
        ...

    def upload(self, name: str, *, size_hint: int | None = None, if_absent: bool = False) -> Upload:
        """Begin a large object. `size_hint` (bytes) helps to choose the size of its parts."""
        ...

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """All of an object, or `length` bytes from `offset`; StorageError if there are fewer."""
        ...

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same in chunks of at most 1 MiB; goes on where it was when a connection breaks."""
        ...

    def head(self, name: str) -> ObjectInfo:
        """What there is to know about an object without reading it."""
        ...

    def exists(self, name: str) -> bool: ...

    def list_directories(self, prefix: str = "") -> list[str]:
        """The names before the next slash, each once, sorted: `list_directories("a/")` of a/b/c and a/d/e is [b, d]."""
        ...

    def pending_uploads(self) -> list[PendingUpload]:
        """Uploads that were begun and never finished, of anybody, oldest first."""
        ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose names begin with `prefix` and are greater than `after`, in the order of names as bytes."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is fine."""
        ...

    def abort_pending(self, upload: PendingUpload) -> None:
        """Remove what an unfinished upload has left."""
        ...

    def close(self) -> None:
        """Let go of connections. Closing twice is harmless."""
        ...
