"""A store whose n-th call fails, before it has done anything or after it has done all of it (the answer was lost)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from absdb.errors import AlreadyExistsError, StorageError
from absdb.objectstore.base import ObjectStore

CALLS = ("put", "upload", "get", "read", "list", "delete")


class FaultyStore:
    """Counts the calls in `calls`; the one numbered `fail_at` fails, and all behind it with `for_good`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.afterwards = False
        self.for_good = False

    @property
    def url(self) -> str:
        return self._store.url

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._watched(name, found) if name in CALLS else found

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **more: Any) -> Any:
            number = len(self.calls)
            self.calls.append(f"{name} {args[0] if args else ''}")
            at = self.fail_at
            if at is not None and (number == at or (self.for_good and number > at)):
                if self.afterwards and name in ("put", "delete"):
                    with suppress(AlreadyExistsError):
                        call(*args, **more)
                raise StorageError(f"call {number} of the store fails: {self.calls[-1]}")
            found = call(*args, **more)
            return list(found) if isinstance(found, Iterator) else found

        return watched
