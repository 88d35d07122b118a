"""Where credentials for Google Cloud Storage are found, in the order of Google's own tools.

    GOOGLE_APPLICATION_CREDENTIALS                        the file it names
    application_default_credentials.json                  in CLOUDSDK_CONFIG, or ~/.config/gcloud
    GCE_METADATA_HOST                                     the server that knows this machine

A file is the key of a service account or what `gcloud auth application-default login` writes. Called by gcs.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from absdb.errors import AbsdbError, StateError
from absdb.io.text_files import read_text
from absdb.objectstore.gcs_token import AuthorizedUser, Grant, MetadataServer, ServiceAccount

FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
METADATA_VARIABLE = "GCE_METADATA_HOST"
METADATA_HOST = "metadata.google.internal"
_WELL_KNOWN = "application_default_credentials.json"
_KINDS: dict[str, type[ServiceAccount] | type[AuthorizedUser]] = {
    "service_account": ServiceAccount,
    "authorized_user": AuthorizedUser,
}


def find_grant(environment: Mapping[str, str]) -> Grant:
    """The right to tokens that this machine has; StateError if there is none, or its file cannot be used."""
    if named := environment.get(FILE_VARIABLE):
        return read_grant(named, f"{named}, which {FILE_VARIABLE} names,")
    folder = environment.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    path = os.path.join(folder, _WELL_KNOWN)
    if os.path.exists(path):
        return read_grant(path, path)
    if host := environment.get(METADATA_VARIABLE):
        return MetadataServer(host)
    raise StateError(
        "there are no credentials for Google Cloud Storage",
        hint=f"let {FILE_VARIABLE} name a service account's key file, or run `gcloud auth application-default login`; "
        "on a machine in Google's cloud open the store with the option credentials=metadata",
    )


def read_grant(path: str, origin: str) -> Grant:
    """The right to tokens that a credentials file holds. `origin` says in errors what the file is."""
    try:
        facts = json.loads(read_text(path))
    except (ValueError, AbsdbError) as error:
        # A JSONDecodeError carries the whole text, a private key with it.
        reason = error.message if isinstance(error, AbsdbError) else "it is not JSON"
        raise StateError(f"cannot use {origin} for Google Cloud Storage: {reason}") from None
    kind = str(facts.get("type")) if isinstance(facts, dict) else ""
    if kind not in _KINDS:
        raise StateError(
            f"{origin} holds credentials of type {kind!r}, which absdb does not know",
            hint=f"it knows {' and '.join(_KINDS)}",
        )
    return _KINDS[kind](facts, origin)
