"""What absdb writes to Azure Blob is what Microsoft's own client reads, and the other way round."""

from __future__ import annotations

import base64
import datetime as dt
import random
from contextlib import closing
from urllib.parse import quote

import pytest
from azure.storage.blob import generate_container_sas

from absdb.errors import AlreadyExistsError, ConflictError, NotFoundError, StateError
from absdb.objectstore.locate import open_store
from tests.objectstore.azurite import ACCOUNT, KEY

NAME = "a b+c%20é/x=1&y"


@pytest.fixture(scope="module")
def client(azurite):
    """The client of Microsoft, for the container "exchange"."""
    azurite.add_container("exchange")
    with azurite.client() as service:
        yield service.get_container_client("exchange")


@pytest.fixture
def store(azurite, client):
    store = open_store("az://exchange", **azurite.options, part_size=65_536)
    yield store
    store.close()


def test_small_blob_is_read_by_the_other(store, client):
    put = store.put(NAME, b"ours")
    read = client.download_blob(NAME)
    assert read.readall() == b"ours"
    assert read.properties.etag.strip('"') == put.etag
    assert read.properties.blob_type == "BlockBlob"


def test_blob_of_many_blocks_is_read_by_the_other(store, client):
    data = random.Random(1).randbytes(1_000_000)
    with store.upload("large") as upload:
        upload.write(data)
    assert client.download_blob("large").readall() == data
    committed, waiting = client.get_blob_client("large").get_block_list("all")
    assert (len(committed), len(waiting)) == (16, 0)


def test_blob_of_the_other_is_read(store, client):
    data = random.Random(2).randbytes(300_000)
    client.upload_blob(NAME, data, overwrite=True)
    assert store.get(NAME) == data
    assert store.head(NAME).size == len(data)
    assert store.get(NAME, offset=299_999) == data[-1:]
    assert store.get(NAME, offset=len(data)) == b""


def test_both_list_the_same_in_pages_of_any_size(store, client):
    names = ["list/a", "list/b c", "list/é", "list/x/y", "list/x/z"]
    for name in names:
        client.upload_blob(name, b"1", overwrite=True)
    assert [(info.name, info.etag) for info in store.list("list/")] == [
        (blob.name, blob.etag) for blob in client.list_blobs("list/")
    ]
    assert store.list_directories("list/") == ["x"]
    pages = list(store._container.pages("list/", ("maxresults", "2")))
    assert [info.name for page in pages for info in page.blobs] == sorted(names)
    assert len(pages) == 3


def test_blocks_of_the_other_are_seen_and_dropped(store, client):
    blob = client.get_blob_client("pending")
    blob.stage_block("0001", b"block")
    assert [upload.name for upload in store.pending_uploads()] == ["pending"]
    store.abort_pending(store.pending_uploads()[0])
    assert store.pending_uploads() == []
    assert not store.exists("pending")


def test_dropping_blocks_leaves_a_blob_alone(store, client):
    client.get_blob_client("quick").stage_block("0" * 30, b"block")  # as long as ours
    pending = store.pending_uploads()[0]
    with store.upload("quick", if_absent=True) as upload:
        upload.write(b"x" * 100_000)
    store.abort_pending(pending)
    assert store.head("quick").size == 100_000


def test_rival_of_an_upload_that_is_done_learns_that_its_blocks_are_gone(store):
    for if_absent, error in ((True, AlreadyExistsError), (False, ConflictError)):
        name = f"both/{if_absent}"
        first, second = (store.upload(name, if_absent=if_absent) for _ in range(2))
        first.write(b"1" * 200_000)
        second.write(b"2" * 200_000)
        first.finish()
        with pytest.raises(error):
            second.finish()
        second.abort()
        assert store.get(name) == b"1" * 200_000


def test_signature_that_is_shared_is_enough(azurite, client):
    store_token = generate_container_sas(
        ACCOUNT,
        "exchange",
        account_key=KEY,
        permission="rwdl",
        expiry=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )
    options = {"account": ACCOUNT, "endpoint": azurite.endpoint}
    with closing(open_store("az://exchange", sas_token=store_token, **options)) as store:
        store.put(NAME, b"shared")
        assert store.get(NAME) == b"shared"
    wrong = f"{store_token.partition('&sig=')[0]}&sig={quote(base64.b64encode(b'WRONG' * 6 + b'!!'))}"
    with closing(open_store("az://exchange", sas_token=wrong, **options)) as store:
        with pytest.raises(StateError, match="403") as caught:
            store.get(NAME)
        assert "V1JPTkdX" not in f"{caught.value} {caught.value.facts} {store!r} {vars(store)}"


def test_account_of_the_environment_is_used(azurite, monkeypatch):
    for name, value in azurite.environment.items():
        monkeypatch.setenv(name, value)
    with closing(open_store("azure://exchange")) as store:
        assert store.put("environment", b"1").size == 1
        assert store.url == "az://exchange"


def test_missing_container_is_not_taken_for_a_missing_blob(azurite):
    with closing(open_store("az://nowhere", **azurite.options)) as store:
        for ask in (store.exists, store.delete, store.get, store.head):
            with pytest.raises(NotFoundError, match="ContainerNotFound"):
                ask("a")
