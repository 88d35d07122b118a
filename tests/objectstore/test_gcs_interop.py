"""What absdb writes to Google Cloud Storage is what Google's own client reads, and the other way round.

The client also tries our stand-in for Google's servers: it signs its requests for tokens, too.
"""

from __future__ import annotations

import json
import random

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2.service_account import Credentials

from absdb.errors import StorageError
from absdb.objectstore.locate import open_store
from tests.objectstore.test_contract import ODD_NAMES

LARGE = random.Random(3).randbytes(1_000_000)
_numbers = iter(range(10**6))


@pytest.fixture(params=["gcs_stub", "fake_gcs"])
def server(request):
    """A server of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def prefix():
    """An empty place."""
    return f"interop {next(_numbers)}/ä"


@pytest.fixture
def credentials(server, tmp_path):
    """What absdb is told of credentials, and the client's own."""
    if not hasattr(server, "tokens"):
        return "none", AnonymousCredentials()
    facts = server.tokens.service_account()
    path = tmp_path / "key.json"
    path.write_text(json.dumps(facts))
    return path, Credentials.from_service_account_info(facts)


@pytest.fixture
def store(server, prefix, credentials):
    """An open store there, which sends large objects in the smallest chunks."""
    store = open_store(f"gs://shop/{prefix}", endpoint=server.url, credentials=credentials[0], part_size=1)
    yield store
    store.close()


@pytest.fixture
def bucket(server, credentials):
    """The bucket, by Google's client."""
    options = {"api_endpoint": server.url}
    client = storage.Client(project="project", credentials=credentials[1], client_options=options)
    yield client.bucket("shop")
    client.close()


def test_google_reads_what_we_write(store, bucket, prefix):
    for name in ODD_NAMES:
        info = store.put(name, name.encode())
        blob = bucket.get_blob(f"{prefix}/{name}")
        assert blob.download_as_bytes() == name.encode()
        assert str(blob.generation) == info.etag
    listed = [blob.name for blob in bucket.list_blobs(prefix=f"{prefix}/")]
    assert sorted(listed) == sorted(f"{prefix}/{name}" for name in ODD_NAMES)


def test_google_reads_a_large_object_of_ours(store, bucket, prefix):
    with store.upload("large") as upload:
        upload.write(LARGE)
        info = upload.finish()
    blob = bucket.get_blob(f"{prefix}/large")
    assert blob.download_as_bytes() == LARGE
    assert (blob.size, str(blob.generation)) == (info.size, info.etag)


def test_we_read_what_google_writes(store, bucket, prefix):
    bucket.blob(f"{prefix}/small").upload_from_string(b"theirs")
    bucket.blob(f"{prefix}/large", chunk_size=256 * 1024).upload_from_string(LARGE)
    assert store.get("small") == b"theirs"
    assert store.get("large") == LARGE
    assert store.get("large", offset=999_990) == LARGE[-10:]
    assert [info.name for info in store.list()] == ["large", "small"]
    assert store.head("large").etag == str(bucket.get_blob(f"{prefix}/large").generation)


def test_bytes_that_do_not_match_their_checksum_are_not_kept(store, monkeypatch):
    monkeypatch.setattr("absdb.objectstore.gcs_upload.crc32c", lambda data, crc=0: 1)
    upload = store.upload("large")
    upload.write(LARGE)
    with pytest.raises(StorageError, match="or others have arrived"):
        upload.finish()
    assert not store.exists("large")
