"""Tokens of Google Cloud Storage, from a server that checks who asks: service accounts, persons, machines."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from absdb.clock import ManualClock, SystemClock
from absdb.errors import NotFoundError, StateError
from absdb.objectstore.gcs import GcsStore
from absdb.objectstore.location import parse_location
from tests.objectstore.gcs_stub import GcsStub
from tests.objectstore.gcs_stub_tokens import new_key


@pytest.fixture(scope="module")
def server():
    stub = GcsStub()
    stub.add_bucket("box")
    yield stub
    stub.stop()


@pytest.fixture
def open_store(server, tmp_path):
    """Opens a store with what is said about credentials: `facts` of a key file, options, the environment."""
    opened = []

    def open_store(facts=None, clock=None, environment=None, **options):
        environment = {"CLOUDSDK_CONFIG": str(tmp_path), **(environment or {})}
        if facts is not None:
            path = tmp_path / "key.json"
            path.write_text(json.dumps(facts))
            environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
        location = parse_location("gs://box", {"endpoint": server.url, **options})
        opened.append(GcsStore(location, clock or SystemClock(), environment))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def test_service_account_is_let_in(open_store, server):
    before = server.tokens.issued
    store = open_store(server.tokens.service_account())
    store.put("a", b"1")
    assert store.get("a") == b"1"
    assert server.tokens.issued == before + 1


def test_key_that_the_server_does_not_know_is_refused(open_store, server):
    store = open_store(server.tokens.service_account(new_key()))
    with pytest.raises(
        StateError, match=r"gives no token for <service account absdb@project\.example>: 400 invalid"
    ):
        store.get("a")


def test_request_without_a_token_is_refused(open_store):
    with pytest.raises(StateError, match="401 authError"):
        open_store(credentials="none").put("a", b"1")


def test_expired_token_is_renewed_once(open_store, server):
    store = open_store(server.tokens.service_account())
    store.put("a", b"1")
    before = server.tokens.issued
    server.tokens.expire()
    store.put("a", b"2")
    assert store.get("a") == b"2"
    assert server.tokens.issued == before + 1


def test_token_that_ends_soon_is_renewed_before(open_store, server, monkeypatch):
    monkeypatch.setattr(server.tokens, "lifetime_s", 70)
    store = open_store(server.tokens.service_account())
    before = server.tokens.issued
    store.put("a", b"1")
    store.put("a", b"2")
    assert server.tokens.issued == before + 2


def test_many_threads_share_one_token(open_store, server):
    store = open_store(server.tokens.service_account())
    before = server.tokens.issued
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: store.put(f"many/{number}", b"1"), range(16)))
    assert server.tokens.issued == before + 1


def test_clock_that_is_wrong_is_named_in_the_advice(open_store, server):
    clock = ManualClock("2020-01-01")
    store = open_store(server.tokens.service_account(), clock)
    with pytest.raises(StateError, match="the clock of this machine"):
        store.get("a")


def test_user_of_gcloud_is_let_in(open_store, server, tmp_path):
    (tmp_path / "application_default_credentials.json").write_text(
        json.dumps(server.tokens.authorized_user())
    )
    store = open_store()
    store.put("a", b"1")
    assert store.exists("a")


def test_machine_asks_its_metadata_server(open_store, server):
    host = server.url.removeprefix("http://")
    for store in (
        open_store(environment={"GCE_METADATA_HOST": host}),
        open_store(environment={"GCE_METADATA_HOST": host}, credentials="metadata"),
    ):
        store.put("a", b"1")
        assert store.exists("a")


def test_file_that_is_named_goes_before_others(open_store, server, tmp_path):
    (tmp_path / "application_default_credentials.json").write_text("{}")
    open_store(server.tokens.service_account(), environment={"GCE_METADATA_HOST": "127.0.0.1:1"}).put(
        "a", b"1"
    )


def test_missing_credentials_are_said(open_store):
    with pytest.raises(StateError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_store()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"type": "external_account"}, "of type 'external_account', which absdb does not know"),
        ({"type": "service_account", "client_email": "a@b"}, "has no private_key"),
        ({"type": "service_account", "client_email": "a@b", "private_key": "hidden"}, "is no RSA key"),
        ({"type": "authorized_user", "client_id": "a", "client_secret": "hidden"}, "has no refresh_token"),
        (["hidden"], "holds credentials of type ''"),
    ],
)
def test_file_that_cannot_be_used_is_said(open_store, facts, message):
    with pytest.raises(StateError, match=message) as caught:
        open_store(facts)
    assert "key.json" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_file_that_is_no_json_is_said_without_its_contents(open_store, tmp_path):
    (tmp_path / "bad.json").write_text("hidden {")
    with pytest.raises(StateError, match="it is not JSON") as caught:
        open_store(credentials=str(tmp_path / "bad.json"))
    assert caught.value.__cause__ is None
    assert "hidden" not in str(caught.value)


def test_answer_that_is_no_token_is_not_repeated(open_store, server, monkeypatch):
    monkeypatch.setattr(server.tokens, "lifetime_s", None)
    with pytest.raises(StateError, match="answered with something else") as caught:
        open_store(server.tokens.service_account()).get("a")
    assert "secret-token" not in str(caught.value)


def test_no_secret_is_logged_or_shown(open_store, server, caplog):
    caplog.set_level(logging.DEBUG)
    facts = server.tokens.service_account()
    store = open_store(facts)
    store.put("a", b"1")
    with pytest.raises(NotFoundError) as caught:
        store.get("missing")
    parts = vars(store).values()
    shown = f"{caught.value!s} {caught.value.facts} {store!r} {[*parts]!r} {caplog.text}"
    assert "secret-token" not in shown
    assert "assertion" not in shown
    assert facts["private_key"].splitlines()[1] not in shown
