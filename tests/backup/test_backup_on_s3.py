"""Backups in a real S3 server: chain, verify, restore, purge, and what concurrent writers get."""

from __future__ import annotations

import pytest

from absdb.backup.create import create_backup
from absdb.backup.listing import list_backups
from absdb.backup.restore_files import restore_files
from absdb.backup.retention import purge
from absdb.backup.verify import verify
from absdb.errors import AlreadyExistsError, CorruptionError
from absdb.objectstore.locate import open_store
from tests.backup.instances import bulk, everything, restored, small_instance
from tests.objectstore.conftest import seaweed

__all__ = ["seaweed"]


@pytest.mark.usefixtures("seaweed")
class TestOnS3:
    def test_chain_is_stored_verified_restored_and_purged(self, seaweed, tmp_path):
        url, options = f"s3://{seaweed.bucket}/chain", seaweed.options()
        with small_instance(tmp_path / "shop") as shop:
            shop["main"]["orders"].upsert(bulk(600_000, 1000))  # more than one part
            create_backup(shop._engine, url, label="old", compress=None, store_options=options)
            create_backup(shop._engine, url, label="base", compress=None, store_options=options)
            shop["main"]["orders"].update({"id": 3, "status": "changed"})
            found = create_backup(
                shop._engine, url, label="next", incremental_from="base", store_options=options
            )
            assert found.stored_bytes < 100_000
            with pytest.raises(AlreadyExistsError):
                create_backup(shop._engine, url, label="next", store_options=options)
            wanted = everything(shop)
        assert list_backups(url, options=options).column("label").to_pylist() == ["old", "base", "next"]
        assert verify(url, options=options).well
        restore_files(url, tmp_path / "copy", store_options=options)
        assert restored(tmp_path / "copy") == wanted
        assert purge(url, 0, options=options).removed == ["old"]
        assert verify(url, options=options).well

    def test_object_that_was_replaced_is_found(self, seaweed, tmp_path):
        url, options = f"s3://{seaweed.bucket}/replaced", seaweed.options()
        with small_instance(tmp_path / "shop") as shop:
            create_backup(shop._engine, url, label="base", store_options=options)
        store = open_store(url, **options)
        name = next(info.name for info in store.list("base/pages/"))
        data = bytearray(store.get(name))
        data[len(data) // 2] ^= 1
        store.put(name, bytes(data))
        store.close()
        assert [finding.where for finding in verify(url, options=options).findings] == [name]
        with pytest.raises(CorruptionError, match=name):
            restore_files(url, tmp_path / "copy", store_options=options)
