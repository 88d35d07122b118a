"""Shared Key: strings of Azure's documentation, signatures of another implementation, Azure's own signer."""

from __future__ import annotations

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy

from absdb.errors import StateError
from absdb.objectstore.azure_signing import SharedKey, string_to_sign

KEY = "YXpLZXk="


def test_documented_request_gives_the_documented_string():
    headers = {"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"}
    assert string_to_sign(
        "myaccount", "GET", "/mycontainer", "restype=container&comp=metadata&timeout=20", headers
    ) == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )


def test_repeated_parameters_are_joined_and_sorted():
    text = string_to_sign(
        "myaccount", "GET", "/mycontainer", "include=uncommittedblobs&comp=list&include=metadata", {}
    )
    assert text.endswith("/myaccount/mycontainer\ncomp:list\ninclude:metadata,uncommittedblobs")


# Of pgBackRest's tests of its own signer.
@pytest.mark.parametrize(
    ("path", "query", "more", "signature"),
    [
        ("/path", "", {"content-length": "0"}, "2HRoJbu+G0rqwMjG+6gsb8WWkVo9rJNrDywsrnkmQAE="),
        (
            "/path/file",
            "a=b",
            {"content-length": "44", "content-md5": "b64f49553d5c441652e95697a2c5949e"},
            "nuaRe9f/J91zHEE2x734ARyHJxd6Smju1j8qPrueE6o=",
        ),
    ],
)
def test_signature_is_that_of_another_implementation(path, query, more, signature):
    headers = {"date": "Sun, 21 Jun 2020 12:46:19 GMT", "x-ms-version": "2021-06-08", **more}
    given = SharedKey("account", KEY).authorization("GET", path, query, headers)
    assert given == f"SharedKey account:{signature}"


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("PUT", "/box/a/b.bin", {"content-length": "7", "if-none-match": "*", "x-ms-blob-type": "BlockBlob"}),
        ("PUT", "/box/a%20b%2Bc%25%C3%A9", {"content-length": "0", "if-match": '"0x8D"'}),
        ("PUT", "/box/a?comp=block&blockid=YWJjZA%3D%3D", {"content-length": "9", "content-md5": "YQ=="}),
        ("GET", "/box?restype=container&comp=list&prefix=a%2Fb%20c&marker=%2B", {}),
        ("GET", "/acct/box/a", {"x-ms-range": "bytes=5-9", "if-match": '"0x8D"'}),
        ("DELETE", "/acct/box/a", {"x-ms-client-request-id": "7"}),
    ],
)
def test_signature_is_that_of_the_sdk(method, url, headers):
    headers = {**headers, "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2021-12-02"}
    request = HttpRequest(method, f"https://acct.blob.example.org{url}", headers=headers)
    SharedKeyCredentialPolicy("acct", KEY).on_request(PipelineRequest(request, PipelineContext(None)))
    path, _, query = url.partition("?")
    assert (
        SharedKey("acct", KEY).authorization(method, path, query, headers)
        == (request.headers["authorization"])
    )


def test_range_is_signed():
    assert "\nbytes=1-2\n" in string_to_sign("a", "GET", "/b/c", "", {"range": "bytes=1-2"})


def test_key_is_in_no_repr_and_no_error():
    assert KEY not in repr(SharedKey("acct", KEY))
    with pytest.raises(StateError, match="not in base64") as caught:
        SharedKey("acct", "c2VjcmV0!")
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None
