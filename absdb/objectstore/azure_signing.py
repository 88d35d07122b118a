"""Signs requests to Azure Blob with the key of a storage account ("Shared Key").

    VERB \\n Content-Encoding \\n … \\n Range \\n      a line each, empty where the request has no such header
    x-ms-date:…  x-ms-version:…                     every x-ms-* header, sorted, a line each
    /account/container/name  comp:list …            the path as it was sent, then the query, decoded and sorted

The signature is the base64 of its HMAC-SHA256. Conditions (If-Match, If-None-Match) are within the string: one that
was added after signing is refused. So is a Content-Length of "0", which has to be signed as empty. An emulator has
the account in its path too, and it then stands in the string twice. Called by azure.py for each attempt of a request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import parse_qsl

from absdb.errors import StateError

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


class SharedKey:
    """An account and its key. The key is in no repr and in no error."""

    def __init__(self, account: str, key: str) -> None:
        """`key` is in base64, as Azure shows it; StateError if it is not."""
        self.account = account
        try:
            self._key = base64.b64decode(key, validate=True)
        except binascii.Error:
            # The cause would carry nothing of the key, but its frame does.
            raise StateError(
                f"the key of the Azure account {account!r} is not in base64",
                hint="copy the whole key; it ends in one or two equal signs",
            ) from None

    def __repr__(self) -> str:
        return f"<SharedKey of {self.account}>"

    def authorization(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
        """What the Authorization header has to be. Arguments as those of `string_to_sign`."""
        text = string_to_sign(self.account, method, path, query, headers)
        digest = hmac.digest(self._key, text.encode(), hashlib.sha256)
        return f"SharedKey {self.account}:{base64.b64encode(digest).decode()}"


def string_to_sign(account: str, method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
    """The text that is signed. `path` and `query` are percent-encoded as sent; names of headers in lower case.

    With an x-ms-date the Date header is not signed, whether there is one or not.
    """
    values = {name: headers.get(name, "") for name in _SIGNED_HEADERS}
    if values["content-length"] == "0":
        values["content-length"] = ""
    if "x-ms-date" in headers:
        values["date"] = ""
    own = sorted((name, value.strip()) for name, value in headers.items() if name.startswith("x-ms-"))
    parameters: dict[str, list[str]] = defaultdict(list)
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name.lower()].append(value)
    return "".join(
        (
            f"{method}\n",
            *(f"{value}\n" for value in values.values()),
            *(f"{name}:{value}\n" for name, value in own),
            f"/{account}{path}",
            *(f"\n{name}:{','.join(sorted(found))}" for name, found in sorted(parameters.items())),
        )
    )
