"""Which storage account of Azure is meant, where it answers, and with what its requests are signed.

    AZURE_STORAGE_CONNECTION_STRING                  all of it in one text, as the portal shows it
    AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY         Shared Key (azure_signing.py)
    AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_SAS_TOKEN   a shared access signature, put on every URL

What the options of a store say goes before the environment. Called by azure.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from absdb.clock import to_datetime
from absdb.errors import StateError
from absdb.objectstore.azure_signing import SharedKey
from absdb.objectstore.request import Request, Signer, encoded

API_VERSION = "2021-12-02"
CONNECTION_VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
_SUFFIX = "core.windows.net"
_EMULATOR_ACCOUNT = "devstoreaccount1"
# The emulator's account and its key are published by Microsoft, and the same everywhere.
_EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_EMULATOR = {
    "accountname": _EMULATOR_ACCOUNT,
    "accountkey": _EMULATOR_KEY,
    "blobendpoint": f"http://127.0.0.1:10000/{_EMULATOR_ACCOUNT}",
}
_OPTIONS = {
    "account": "accountname",
    "account_key": "accountkey",
    "sas_token": "sharedaccesssignature",
    "endpoint": "blobendpoint",
}
"""Options of a store → what a connection string calls them."""
_HINT = (
    f"set {CONNECTION_VARIABLE}, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
)


class AzureAccount(NamedTuple):
    """A storage account: the URL above its containers, and what signs requests to it."""

    name: str
    endpoint: str
    signer: Signer


class SharedKeySigner:
    """Signs each attempt with the key of the account, and the time it is sent at."""

    def __init__(self, key: SharedKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"<signer with {self._key!r}>"

    def sign(self, request: Request, now_us: int) -> Request:
        """The request with date, version and signature."""
        size = memoryview(request.body).nbytes
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers["x-ms-date"] = format_datetime(to_datetime(now_us), usegmt=True)
        headers["x-ms-version"] = API_VERSION
        query = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in request.query)
        headers["authorization"] = self._key.authorization(
            request.method, request.path, query, {**headers, "content-length": str(size)}
        )
        return dataclasses.replace(request, headers=headers)

    def refresh(self) -> bool:
        """A key does not expire."""
        return False


class SasSigner:
    """Puts a shared access signature on the URL of each attempt. It is in no repr."""

    def __init__(self, token: str) -> None:
        self._pairs = tuple(parse_qsl(token.strip().removeprefix("?"), keep_blank_values=True))

    def __repr__(self) -> str:
        return "<signer with a shared access signature>"

    def sign(self, request: Request, now_us: int) -> Request:
        """The request with the signature in its query."""
        return request.with_query(*self._pairs).with_headers({"x-ms-version": API_VERSION})

    def refresh(self) -> bool:
        """Whoever gave the signature has to give a new one."""
        return False


def find_account(options: Mapping[str, str], environment: Mapping[str, str]) -> AzureAccount:
    """The account of the options (account, account_key, sas_token, endpoint) or else of the environment.

    StateError if it is not said which, or there are no credentials for it.
    """
    facts = _facts(environment)
    given = {fact: value for option, fact in _OPTIONS.items() if (value := options.get(option))}
    name = given.get("accountname") or facts.get("accountname") or _named_by(facts.get("blobendpoint", ""))
    if not name:
        raise StateError("it is not said which Azure storage account is meant", hint=_HINT)
    if facts.get("accountname", name) != name:
        # The rest of what the environment says is of another account.
        facts = {}
    if {"accountkey", "sharedaccesssignature"} & set(given):
        facts.pop("accountkey", None)
    facts = {**facts, **given}
    endpoint = (facts.get("blobendpoint") or _public_endpoint(name, facts)).rstrip("/")
    if key := facts.get("accountkey"):
        return AzureAccount(name, endpoint, SharedKeySigner(SharedKey(name, key)))
    if token := facts.get("sharedaccesssignature"):
        return AzureAccount(name, endpoint, SasSigner(token))
    raise StateError(f"there are no credentials for the Azure account {name!r}", hint=_HINT)


def _named_by(endpoint: str) -> str:
    """The account of an endpoint whose host begins with it; connection strings with a signature name no other."""
    return (urlsplit(endpoint).hostname or "").partition(".")[0]


def _public_endpoint(name: str, facts: Mapping[str, str]) -> str:
    scheme = facts.get("defaultendpointsprotocol", "https")
    return f"{scheme}://{name}.blob.{facts.get('endpointsuffix', _SUFFIX)}"


def _facts(environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment says, under the names of a connection string in lower case."""
    if text := environment.get(CONNECTION_VARIABLE):
        return _connection_facts(text)
    named = {
        "accountname": "AZURE_STORAGE_ACCOUNT",
        "accountkey": "AZURE_STORAGE_KEY",
        "sharedaccesssignature": "AZURE_STORAGE_SAS_TOKEN",
    }
    return {name: value for name, variable in named.items() if (value := environment.get(variable))}


def _connection_facts(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.strip().split(";") if part.strip()]
    if not pairs or not all(name and equals for name, equals, _ in pairs):
        raise StateError(
            f"{CONNECTION_VARIABLE} is no connection string",
            hint="it reads AccountName=…;AccountKey=…; and more such pairs, on one line",
        )
    facts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return dict(_EMULATOR) if facts.get("usedevelopmentstorage", "").lower() == "true" else facts
