"""Amazon's own client reads what we write, and the other way round; and what listings of other servers look like."""

from __future__ import annotations

import random

import pytest

from absdb.objectstore.locate import open_store
from tests.objectstore.test_contract import ODD_NAMES

MIB = 1 << 20
LARGE = random.Random(2).randbytes(11 * MIB)
_numbers = iter(range(10**6))


@pytest.fixture
def prefix():
    """An empty place."""
    return f"interop {next(_numbers)}/ä"


@pytest.fixture
def store(seaweed, prefix):
    """An open store there."""
    store = open_store(f"s3://{seaweed.bucket}/{prefix}", **seaweed.options(), part_size="5 MiB")
    yield store
    store.close()


@pytest.fixture
def boto(seaweed):
    """Amazon's client."""
    client = seaweed.client()
    yield client
    client.close()


def test_boto_reads_what_we_write(seaweed, prefix, store, boto):
    for name in ODD_NAMES:
        store.put(name, name.encode())
        found = boto.get_object(Bucket=seaweed.bucket, Key=f"{prefix}/{name}")
        with found["Body"] as body:
            assert body.read() == name.encode()
        assert found["ETag"].strip('"') == store.head(name).etag
    listed = boto.list_objects_v2(Bucket=seaweed.bucket, Prefix=f"{prefix}/")["Contents"]
    assert sorted(entry["Key"] for entry in listed) == sorted(f"{prefix}/{name}" for name in ODD_NAMES)


def test_boto_reads_a_large_object_of_ours(seaweed, prefix, store, boto):
    with store.upload("big") as upload:
        upload.write(LARGE)
        info = upload.finish()
    found = boto.get_object(Bucket=seaweed.bucket, Key=f"{prefix}/big")
    with found["Body"] as body:
        assert body.read() == LARGE
    assert found["ETag"].strip('"') == info.etag
    assert info.etag.endswith("-3")


def test_we_read_what_boto_writes(seaweed, prefix, store, boto):
    for name in ODD_NAMES:
        boto.put_object(Bucket=seaweed.bucket, Key=f"{prefix}/{name}", Body=name.encode())
        assert store.get(name) == name.encode()
    assert [info.name for info in store.list()] == sorted(ODD_NAMES, key=str.encode)


def test_we_read_a_large_object_of_boto(seaweed, prefix, store, boto):
    key = {"Bucket": seaweed.bucket, "Key": f"{prefix}/big"}
    upload_id = boto.create_multipart_upload(**key)["UploadId"]
    [pending] = store.pending_uploads()
    assert (pending.name, pending.key) == ("big", upload_id)
    parts = []
    for number, start in enumerate(range(0, len(LARGE), 5 * MIB), 1):
        part = boto.upload_part(
            **key, UploadId=upload_id, PartNumber=number, Body=LARGE[start : start + 5 * MIB]
        )
        parts.append({"ETag": part["ETag"], "PartNumber": number})
    boto.complete_multipart_upload(**key, UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert store.get("big") == LARGE
    assert store.pending_uploads() == []


def test_objects_of_foreign_names_are_left_alone(seaweed, prefix, store, boto):
    store.put("a", b"1")
    boto.put_object(Bucket=seaweed.bucket, Key=f"{prefix}/.absdb-uploads/x", Body=b"")
    assert [info.name for info in store.list()] == ["a"]
