"""Removes what uploads that were never finished have left behind: it is invisible, and it costs money."""

from __future__ import annotations

from absdb.clock import Clock
from absdb.errors import InvalidInputError
from absdb.objectstore.base import ObjectStore, PendingUpload


def remove_abandoned(
    store: ObjectStore, older_than_s: float, clock: Clock, *, dry_run: bool = False
) -> list[PendingUpload]:
    """The uploads begun more than so many seconds ago, which are removed unless `dry_run`; oldest first.

    An upload that is still going on and as old fails to finish. One that ends meanwhile is no error.
    """
    if older_than_s < 0:
        raise InvalidInputError(f"{older_than_s} seconds ago is not in the past")
    before_us = clock.now_us() - int(older_than_s * 1e6)
    abandoned = [upload for upload in store.pending_uploads() if upload.started_us <= before_us]
    if not dry_run:
        for upload in abandoned:
            store.abort_pending(upload)
    return abandoned
