"""Azure Blob through a proxy that breaks connections, loses answers and refuses, with a real server behind."""

from __future__ import annotations

import base64
import random
import time
from email.utils import formatdate, parsedate_to_datetime
from html import escape
from urllib.parse import unquote

import pytest

from absdb.errors import AlreadyExistsError, ConflictError, NotFoundError, StateError, StorageError
from absdb.objectstore.locate import open_store
from tests.objectstore.azurite import ACCOUNT, KEY
from tests.objectstore.fault_proxy import FaultProxy, before, lost_answer, reset_before, status, truncated

MIB = 1 << 20
PART = 64 << 10
ALWAYS = 10**6
LARGE = random.Random(5).randbytes(5 * PART + 77)
_numbers = iter(range(10**6))


@pytest.fixture
def proxy(azurite):
    """A proxy before the real server."""
    with FaultProxy(azurite.endpoint.removeprefix("http://").removesuffix(f"/{ACCOUNT}")) as proxy:
        yield proxy


@pytest.fixture
def opened(azurite, proxy):
    """Opens stores through the proxy, or past it, in one empty place."""
    url, stores = f"az://shop/faults {next(_numbers)}", []

    def opened(endpoint=f"http://{proxy.address}/{ACCOUNT}", **options):
        given = {**azurite.options, "endpoint": endpoint, "part_size": PART, **options}
        stores.append(open_store(url, **given))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    """An open store, through the proxy."""
    return opened()


@pytest.fixture
def direct(opened, azurite):
    """The same place without the proxy."""
    return opened(azurite.endpoint)


def large(store, **options):
    with store.upload("a", **options) as upload:
        upload.write(LARGE)
        return upload.finish()


class TestSmallBlobs:
    @pytest.mark.parametrize(
        "fault",
        [
            reset_before,
            lost_answer,
            status(408),
            status(429, retry_after="0"),
            status(500, error="OperationTimedOut"),
            status(503, error="ServerBusy"),
        ],
    )
    def test_passing_faults_are_overcome(self, store, proxy, fault):
        for method in ("PUT", "GET", "HEAD", "DELETE"):
            proxy.add(fault, method=method)
        store.put("a", b"1")
        assert store.get("a") == b"1"
        assert store.exists("a")
        store.delete("a")
        assert not store.exists("a")
        assert proxy.is_spent

    @pytest.mark.parametrize("hard", [False, True])
    def test_body_that_breaks_off_goes_on_where_it_was(self, store, proxy, hard):
        data = LARGE * 8
        store.put("a", data)
        proxy.add(truncated(MIB + 77, hard=hard), method="GET")
        assert store.get("a") == data
        first, second = proxy.requests("GET")
        assert second.headers["if-match"]
        assert second.headers["range"] != first.headers["range"]

    def test_blob_that_is_replaced_while_it_is_read(self, store, proxy, direct):
        store.put("a", LARGE)
        proxy.add(truncated(2 * PART), method="GET")
        reading = store.read("a")
        next(reading)
        direct.put("a", LARGE[1:])
        with pytest.raises(ConflictError, match="was replaced while it was read"):
            list(reading)

    def test_own_blob_is_known_again_after_a_lost_answer(self, store, proxy):
        proxy.add(lost_answer, method="PUT")
        info = store.put("a", b"1", if_absent=True)
        assert info == store.head("a")
        assert [request.answered for request in proxy.requests("PUT")] == [201, 409]
        proxy.add(lost_answer, method="PUT")
        assert store.put("a", b"2", if_match=info.etag) == store.head("a")

    def test_same_bytes_of_somebody_else_are_not_taken_for_ours(self, store, proxy, direct):
        proxy.add(before(lambda: direct.put("a", b"1"), reset_before), method="PUT")
        with pytest.raises(AlreadyExistsError):
            store.put("a", b"1", if_absent=True)

    def test_other_conflicts_are_not_taken_for_a_blob_that_is_there(self, store, proxy):
        proxy.add(status(409, error="BlobImmutableDueToPolicy"), method="PUT")
        with pytest.raises(StorageError, match="409 BlobImmutableDueToPolicy"):
            store.put("a", b"1", if_absent=True)

    def test_server_that_fails_for_ever_is_an_error(self, opened, proxy):
        proxy.add(status(503, error="ServerBusy"), times=ALWAYS)
        with pytest.raises(StorageError, match="503 ServerBusy") as caught:
            opened(deadline="1").put("a", b"1")
        assert caught.value.attempts > 1

    def test_listing_that_is_none_is_an_error(self, store, proxy):
        for body in (b"<html></html>", b"<Enumer"):
            proxy.add(lambda exchange, body=body: exchange.answer(200, {}, body), method="GET")
            with pytest.raises(StorageError, match="no listing of Azure Blob"):
                list(store.list())

    def test_clock_of_the_server_that_is_elsewhere_is_followed(self, store, proxy):
        def two_hours_ahead(exchange):
            now = time.time() + 7200
            if abs(parsedate_to_datetime(exchange.headers["x-ms-date"]).timestamp() - now) > 900:
                exchange.answer(403, {"date": formatdate(now, usegmt=True)}, b"")
            else:
                exchange.answer(201, {"etag": '"0x1"', "last-modified": formatdate(now, usegmt=True)}, b"")

        proxy.add(two_hours_ahead, times=ALWAYS)
        store.put("a", b"1")
        store.put("a", b"1")
        assert [request.answered for request in proxy.seen] == [403, 201, 201]


class TestUploads:
    @pytest.mark.parametrize("fault", [reset_before, lost_answer, status(500), status(503)])
    def test_blocks_meet_faults(self, store, proxy, fault):
        proxy.add(fault, method="PUT", target="comp=block&", times=3)
        info = large(store)
        assert store.get("a") == LARGE
        assert info == store.head("a")
        assert proxy.is_spent

    @pytest.mark.parametrize("if_absent", [False, True])
    def test_last_answer_that_is_lost_is_settled_by_the_blocks(self, store, proxy, if_absent):
        proxy.add(lost_answer, method="PUT", target="comp=blocklist")
        info = large(store, if_absent=if_absent)
        assert store.get("a") == LARGE
        assert info == store.head("a")

    def test_blob_of_somebody_else_is_not_taken_for_ours(self, store, proxy, direct):
        proxy.add(before(lambda: large(direct), reset_before), method="PUT", target="comp=blocklist")
        with pytest.raises(AlreadyExistsError):
            large(store, if_absent=True)

    def test_block_that_fails_stops_the_upload(self, store, proxy):
        proxy.add(status(403, error="AuthorizationPermissionMismatch"), method="PUT", target="comp=block&")
        with pytest.raises(StateError, match="AuthorizationPermissionMismatch"):
            large(store)
        assert not store.exists("a")
        assert store.pending_uploads() == []

    def test_upload_that_cannot_be_removed_says_so(self, store, proxy):
        proxy.add(status(403, error="Forbidden"), method="PUT", target="comp=blocklist", times=2)
        with pytest.raises(StateError, match="Forbidden") as caught:
            large(store)
        assert "could not be removed" in caught.value.__notes__[0]
        [left] = [upload for upload in store.pending_uploads() if upload.name == "a"]
        store.abort_pending(left)

    def test_overload_halves_what_is_on_its_way(self, opened, proxy):
        store = opened(concurrency=4)
        proxy.add(status(503, error="ServerBusy"), method="PUT", target="comp=block&")
        large(store)
        assert store._concurrency.allowed == 2

    def test_bytes_that_changed_on_the_way_are_refused(self, store, proxy):
        def changed(exchange):
            exchange.body = b"x" + exchange.body[1:]
            exchange.answer(*exchange.forward())

        proxy.add(changed, method="PUT")
        with pytest.raises(StorageError, match=r"400 .*contentMD5"):
            store.put("a", b"12")
        assert not store.exists("a")
        proxy.add(status(400, error="Md5Mismatch"), method="PUT")
        store.put("a", b"12")
        assert store.get("a") == b"12"


class TestSecrets:
    def test_no_secret_in_errors_and_logs(self, opened, proxy, caplog):
        caplog.set_level(0)
        store = opened(deadline="1")
        sas = opened(account_key=None, sas_token="sv=2021-12-02&sig=hidden%2Bsignature", deadline="1")

        def echoing(exchange):
            words = (
                f"{exchange.headers.get('authorization', '')} {exchange.target} {unquote(exchange.target)}"
            )
            exchange.answer(
                400, {}, f"<Error><Code>Bad</Code><Message>{escape(words)}</Message></Error>".encode()
            )

        proxy.add(echoing, method="PUT", times=ALWAYS)
        proxy.add(reset_before, method="DELETE", times=ALWAYS)
        shown = [repr(store), repr(vars(store)), repr(sas), repr(vars(sas))]
        for one in (store, sas):
            for refused in (lambda: one.put("a", b"1"), lambda: one.delete("a"), lambda: one.get("a")):  # noqa: B023
                with pytest.raises((StateError, StorageError, NotFoundError)) as caught:
                    refused()
                shown += [str(caught.value), repr(caught.value), repr(caught.value.facts)]
        signature = proxy.requests("PUT")[0].headers["authorization"].rpartition(":")[2]
        for text in [*shown, caplog.text]:
            for secret in (KEY, base64.b64decode(KEY).decode(), signature, "hidden"):
                assert secret not in text
