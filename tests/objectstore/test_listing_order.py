"""Listings that go by UTF-16 come out in the order of bytes; what is in no order is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import StorageError
from absdb.objectstore.base import ObjectInfo
from absdb.objectstore.listing_order import in_byte_order

NAMES = st.lists(
    st.text("ab\u00e9\ud7ff\ue000\uffee\U00010000\U0001f986", min_size=1, max_size=4), unique=True
)


def objects(names):
    return [ObjectInfo(name, 0, "", 0) for name in names]


@given(NAMES)
def test_order_of_utf_16_becomes_that_of_bytes(names):
    listed = sorted(names, key=lambda name: name.encode("utf-16-be"))
    found = [info.name for info in in_byte_order(objects(listed), "az://box")]
    assert found == sorted(names, key=str.encode)


@given(NAMES)
def test_order_of_bytes_stays(names):
    listed = sorted(names, key=str.encode)
    assert [info.name for info in in_byte_order(objects(listed), "gs://box")] == listed


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"], ["a/\uffee", "a"]])
def test_no_order_is_an_error(names):
    with pytest.raises(StorageError, match="not in order"):
        list(in_byte_order(objects(names), "az://box"))
