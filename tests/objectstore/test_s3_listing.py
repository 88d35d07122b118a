"""Listings of servers that lie: out of order, without an end, not in XML, with more than is accepted."""

from __future__ import annotations

import pytest

from absdb.errors import StorageError
from absdb.objectstore.locate import open_store
from absdb.objectstore.s3_xml import MalformedXml, element, parse
from tests.objectstore.fault_proxy import FaultProxy

OBJECT = "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;e&quot;</ETag><Size>{}</Size></Contents>"
TIME = "2026-01-02T03:04:05.000Z"


def page(*names: str, token: str = "", size: str = "3", time: str = TIME) -> bytes:
    entries = "".join(OBJECT.format(name, time, size) for name in names)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<EncodingType>url</EncodingType>{more if token else ''}{entries}</ListBucketResult>"
    ).encode()


@pytest.fixture
def listed():
    """What a store lists when the server answers with these pages, the last of them again and again."""
    stores = []
    with FaultProxy("127.0.0.1:9") as proxy:

        def listed(*pages, **options):
            for body in pages:
                proxy.add(lambda exchange, body=body: exchange.answer(200, {}, body))
            proxy.add(lambda exchange: exchange.answer(200, {}, pages[-1]), times=100)
            options = {"access_key": "a", "secret_key": "s", "deadline": "1", **options}
            stores.append(open_store("s3://bucket/p", endpoint=f"http://{proxy.address}", **options))
            return [info.name for info in stores[-1].list()]

        yield listed
        for store in stores:
            store.close()


def test_pages_follow_each_other(listed):
    assert listed(page("p/a", "p/b", token="1"), page("p/c+d", "p/e%2Bf")) == ["a", "b", "c d", "e+f"]


def test_objects_out_of_order_are_an_error(listed):
    with pytest.raises(StorageError, match="not in order"):
        listed(page("p/b", token="1"), page("p/a"))


def test_objects_out_of_order_are_sorted_if_that_is_known(listed):
    assert listed(page("p/b", token="1"), page("p/a"), ordered="false") == ["a", "b"]


def test_listing_that_does_not_go_on_is_an_error(listed):
    with pytest.raises(StorageError, match="does not go on"):
        listed(page("p/a", token="1"), page("p/b", token="1"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>hello</body></html>",
        b"not xml",
        page("p/a")[:-5],
        page("p/a", size="many"),
        page("p/a", time="yesterday"),
        b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult/>',
    ],
)
def test_answer_that_is_no_listing_is_an_error(listed, body):
    with pytest.raises(StorageError):
        listed(body)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0"?><!DOCTYPE a><a/>',
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("utf-16"),
        b"<a>&undefined;</a>",
        b"<a>" * 40 + b"</a>" * 40,
        b"<a>" + b" " * (33 << 20) + b"</a>",
        b"<a></b>",
        b"",
    ],
)
def test_xml_that_may_do_harm_is_refused(body):
    with pytest.raises(MalformedXml):
        parse(body)


def test_xml_is_read_without_namespaces():
    root = parse(b'<a xmlns="urn:x" xmlns:y="urn:y"><y:b>1&amp;2</y:b><b>3</b><c><d>4</d></c></a>')
    assert (root.name, root.value("b"), root.value("c/d"), root.value("c/e/f")) == ("a", "1&2", "4", "")
    assert [node.text for node in root.all("b")] == ["1&2", "3"]
    assert parse(element("a", "<&>").encode()).text == "<&>"
