"""Which Azure account is meant, and with what: the environment, the options of a store, and no secret shown."""

from __future__ import annotations

import pytest

from absdb.errors import StateError
from absdb.objectstore.azure_credentials import find_account
from absdb.objectstore.request import Request

KEY = "c2VjcmV0LWtleQ=="
BOTH = {"AZURE_STORAGE_ACCOUNT": "shop", "AZURE_STORAGE_KEY": KEY}
GET = Request(method="GET", url="https://shop.blob.core.windows.net/box/a", query=(("comp", "list"),))


def signed(account):
    return account.signer.sign(GET, 1_435_361_952_000_000)


def test_account_and_key_of_the_environment():
    account = find_account({}, BOTH)
    assert (account.name, account.endpoint) == ("shop", "https://shop.blob.core.windows.net")
    headers = signed(account).headers
    assert headers["x-ms-date"] == "Fri, 26 Jun 2015 23:39:12 GMT"
    assert headers["authorization"].startswith("SharedKey shop:")


def test_connection_string_goes_before_single_variables():
    text = (
        f"DefaultEndpointsProtocol=https;AccountName=other;AccountKey={KEY};EndpointSuffix=core.example.org"
    )
    account = find_account({}, {**BOTH, "AZURE_STORAGE_CONNECTION_STRING": text})
    assert account.endpoint == "https://other.blob.core.example.org"


def test_connection_string_with_a_signature_names_its_account_by_the_endpoint():
    text = "BlobEndpoint=https://other.blob.example.org/;SharedAccessSignature=sv=2021&sig=hidden%2Fsig"
    account = find_account({}, {"AZURE_STORAGE_CONNECTION_STRING": text})
    assert (account.name, account.endpoint) == ("other", "https://other.blob.example.org")
    assert ("sig", "hidden/sig") in signed(account).query


def test_emulator_of_the_development_storage():
    account = find_account({}, {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"})
    assert account.endpoint == "http://127.0.0.1:10000/devstoreaccount1"


def test_options_go_before_the_environment():
    account = find_account({"account": "mine", "sas_token": "?sig=x", "endpoint": "http://h:1/mine/"}, BOTH)
    assert (account.name, account.endpoint) == ("mine", "http://h:1/mine")
    assert signed(account).query == (("comp", "list"), ("sig", "x"))
    assert "authorization" not in signed(account).headers


def test_key_of_another_account_is_not_used():
    with pytest.raises(StateError, match="no credentials for the Azure account 'mine'"):
        find_account({"account": "mine"}, BOTH)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "not said which Azure storage account"),
        ({"AZURE_STORAGE_ACCOUNT": "shop"}, "no credentials for the Azure account 'shop'"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "c2VjcmV0LWtleQ"}, "is no connection string"),
    ],
)
def test_what_is_missing_is_said(environment, message):
    with pytest.raises(StateError, match=message) as caught:
        find_account({}, environment)
    assert "AZURE_STORAGE" in str(caught.value) or "AccountName" in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


def test_no_secret_is_in_a_repr():
    shown = repr(find_account({}, BOTH)) + repr(find_account({"sas_token": "sig=hidden-signature"}, BOTH))
    assert "c2VjcmV0" not in shown
    assert "hidden" not in shown
    assert "hidden" not in repr(signed(find_account({"sas_token": "sig=hidden-signature"}, BOTH)))
