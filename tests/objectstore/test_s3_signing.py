"""Signatures: the examples that AWS publishes, and what a path and a query look like on the wire."""

from __future__ import annotations

import hashlib

import pytest

from absdb.clock import parse_time
from absdb.objectstore.credentials import Credentials
from absdb.objectstore.request import Request, encoded
from absdb.objectstore.s3_signing import HASH_HEADER, canonical_request, payload_hash, signed

# docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
NOW_US = parse_time("2013-05-24 00:00:00Z")
HOST = "https://examplebucket.s3.amazonaws.com"
EXAMPLES = (
    (
        Request(method="GET", url=f"{HOST}/test.txt", headers={"Range": "bytes=0-9"}),
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        Request(
            method="PUT",
            url=f"{HOST}/test%24file.text",
            headers={"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            body=b"Welcome to Amazon S3.",
        ),
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        Request(method="GET", url=f"{HOST}/", query=(("lifecycle", ""),)),
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        Request(method="GET", url=f"{HOST}/", query=(("prefix", "J"), ("max-keys", "2"))),
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
)


@pytest.mark.parametrize(("request_", "names", "signature"), EXAMPLES)
def test_examples_of_aws(request_, names, signature):
    header = signed(request_, KEY, NOW_US, "us-east-1").headers["Authorization"]
    assert header == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_hash_is_that_of_what_is_sent():
    for body in (b"", b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]):
        sent = signed(Request(method="PUT", url=f"{HOST}/a", body=body), KEY, NOW_US, "us-east-1")
        assert sent.headers[HASH_HEADER] == hashlib.sha256(body).hexdigest() == payload_hash(body)


def test_session_token_is_sent_and_signed():
    lent = Credentials("AKID", "secret", "TOKEN")
    sent = signed(Request(method="GET", url=f"{HOST}/a"), lent, NOW_US, "us-east-1")
    assert sent.headers["x-amz-security-token"] == "TOKEN"
    assert "x-amz-security-token" in sent.headers["Authorization"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b", "/a%20b"),
        ("a+b", "/a%2Bb"),
        ("100%", "/100%25"),
        ("%20", "/%2520"),
        ("é", "/%C3%A9"),
        ("a//b", "/a//b"),
        ("a/../b", "/a/../b"),
        ("~-_.", "/~-_."),
        ("=&?#", "/%3D%26%3F%23"),
    ],
)
def test_path_is_encoded_once_and_not_normalised(key, path):
    request = Request(method="GET", url=f"{HOST}/{encoded(key, keep='/')}")
    assert request.path == path
    _, canonical = canonical_request(request, {HASH_HEADER: "x"})
    assert canonical.split("\n")[1] == path


def test_query_is_sorted_by_its_encoded_names():
    query = (("b", "2"), ("a", "1"), ("a-b", ""), ("a", "0"), ("ä", "x y+z"))
    request = Request(method="GET", url=f"{HOST}/", query=query)
    _, canonical = canonical_request(request, {HASH_HEADER: "x"})
    assert canonical.split("\n")[2] == "%C3%A4=x%20y%2Bz&a=0&a=1&a-b=&b=2"
    assert request.target == f"{HOST}/?b=2&a=1&a-b=&a=0&%C3%A4=x%20y%2Bz"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.b/x", "a.b"),
        ("https://a.b:443/x", "a.b"),
        ("http://a.b:80", "a.b"),
        ("http://A.b:8080/x", "a.b:8080"),
        ("https://[::1]:9000/x", "[::1]:9000"),
    ],
)
def test_host_is_what_is_sent(url, host):
    assert Request(method="GET", url=url).host == host


def test_representations_hide_what_may_be_secret():
    request = Request(
        method="GET", url=f"{HOST}/a", query=(("sig", "SECRET"),), headers={"x": "SECRET"}, body=b"SECRET"
    )
    assert "SECRET" not in repr(request)
    assert "wJalr" not in repr(KEY)
