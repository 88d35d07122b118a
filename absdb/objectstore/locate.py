"""Opens the store that a path or a URL names.

    open_store("/backup/shop")                         a directory
    open_store("s3://bucket/shop?region=eu-west-1")    S3; options are in s3_settings.py
    open_store("gs://bucket/shop")                     Google Cloud Storage; in gcs.py
    open_store("az://container/shop")                  Azure Blob Storage; in azure.py

Nothing is sent or made until the store is used. Each kind is imported when it is asked for.
"""

from __future__ import annotations

import os

from absdb.clock import Clock, SystemClock
from absdb.objectstore.base import ObjectStore
from absdb.objectstore.location import parse_location


def open_store(url: str | os.PathLike[str], *, clock: Clock | None = None, **options: object) -> ObjectStore:
    """The store; `options` are added to those of the URL and win over them. Close it when done.

    InvalidInputError for a URL, a scheme or an option that is not known, and for credentials in a URL.
    """
    location = parse_location(url, options)
    clock = clock or SystemClock()
    if location.scheme == "file":
        from absdb.objectstore.local import LocalStore

        return LocalStore.open(location, clock)
    if location.scheme == "s3":
        from absdb.objectstore.s3 import S3Store

        return S3Store.open(location, clock)
    if location.scheme == "gs":
        from absdb.objectstore.gcs import GcsStore

        return GcsStore.open(location, clock)
    from absdb.objectstore.azure import AzureStore

    return AzureStore.open(location, clock)
