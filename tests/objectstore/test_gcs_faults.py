"""Google Cloud Storage through a proxy that breaks connections, loses answers and refuses."""

from __future__ import annotations

import json
import random
from contextlib import closing

import pytest

from absdb.errors import AlreadyExistsError, ConflictError, StateError, StorageError
from absdb.objectstore.locate import open_store
from tests.objectstore.fault_proxy import FaultProxy, before, lost_answer, reset_before, status, truncated

MIB = 1 << 20
UNIT = 256 << 10
ALWAYS = 10**6
LARGE = random.Random(4).randbytes(5 * UNIT + 77)
_numbers = iter(range(10**6))


@pytest.fixture
def proxy(gcs_stub):
    """A proxy before the server."""
    with FaultProxy(gcs_stub.url.removeprefix("http://")) as proxy:
        yield proxy


@pytest.fixture
def opened(gcs_stub, proxy, tmp_path):
    """Opens stores through the proxy, or past it, in one empty place."""
    path = tmp_path / "user.json"
    path.write_text(json.dumps(gcs_stub.tokens.authorized_user()))
    url, stores = f"gs://shop/faults {next(_numbers)}", []

    def opened(endpoint=f"http://{proxy.address}", **options):
        stores.append(open_store(url, endpoint=endpoint, credentials=path, part_size=UNIT, **options))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    """An open store, through the proxy."""
    return opened()


@pytest.fixture
def direct(opened, gcs_stub):
    """The same place without the proxy."""
    return opened(gcs_stub.url)


def large(store, **options):
    with store.upload("a", **options) as upload:
        upload.write(LARGE)
        return upload.finish()


class TestSmallObjects:
    @pytest.mark.parametrize(
        "fault",
        [reset_before, status(408), status(429, retry_after="0"), status(500), status(503), truncated(20)],
    )
    def test_passing_faults_are_overcome(self, store, proxy, fault):
        for method in ("POST", "GET", "DELETE"):
            proxy.add(fault, method=method)
        store.put("a", b"1")
        assert store.get("a") == b"1"
        store.delete("a")
        assert not store.exists("a")
        assert proxy.is_spent

    @pytest.mark.parametrize("hard", [False, True])
    def test_body_that_breaks_off_goes_on_where_it_was(self, store, proxy, hard):
        data = LARGE * 2
        store.put("a", data)
        proxy.add(truncated(MIB + 77, hard=hard), method="GET")
        assert store.get("a") == data
        first, second = proxy.requests("GET")
        assert "ifGenerationMatch=" in second.target
        assert second.headers["range"] != first.headers["range"]

    def test_object_that_is_replaced_while_it_is_read(self, store, proxy, direct):
        store.put("a", LARGE)
        proxy.add(truncated(MIB), method="GET")
        reading = store.read("a")
        next(reading)
        direct.put("a", LARGE[1:])
        with pytest.raises(ConflictError, match="was replaced while it was read"):
            list(reading)

    def test_own_object_is_known_again_after_a_lost_answer(self, store, proxy):
        proxy.add(lost_answer, method="POST")
        info = store.put("a", b"1", if_absent=True)
        assert info == store.head("a")
        assert [request.answered for request in proxy.requests("POST")] == [200, 412]
        proxy.add(lost_answer, method="POST")
        assert store.put("a", b"2", if_match=info.etag) == store.head("a")

    def test_same_bytes_of_somebody_else_are_not_taken_for_ours(self, store, proxy, direct):
        proxy.add(before(lambda: direct.put("a", b"1"), reset_before), method="POST")
        with pytest.raises(AlreadyExistsError):
            store.put("a", b"1", if_absent=True)

    def test_too_many_requests_for_one_name_are_slowed_down(self, store, proxy):
        reason = json.dumps({"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}).encode()
        proxy.add(lambda exchange: exchange.answer(403, {}, reason), method="POST")
        store.put("a", b"1")
        assert proxy.is_spent

    def test_bytes_that_changed_on_the_way_are_sent_again(self, store, proxy):
        def changed(exchange):
            exchange.body = exchange.body.replace(b"some bytes", b"same bytes")
            exchange.answer(*exchange.forward())

        proxy.add(changed, method="POST")
        store.put("a", b"some bytes")
        assert store.get("a") == b"some bytes"
        assert [request.answered for request in proxy.requests("POST")] == [400, 200]

    def test_server_that_fails_for_ever_is_an_error(self, opened, proxy):
        proxy.add(status(503), times=ALWAYS)
        with pytest.raises(StorageError, match="503") as caught:
            opened(deadline="1").put("a", b"1")
        assert caught.value.attempts > 1

    def test_answer_that_is_not_of_google_is_an_error(self, store, proxy):
        proxy.add(lambda exchange: exchange.answer(200, {}, b"<html>welcome</html>"), method="GET")
        with pytest.raises(StorageError, match="not of Google Cloud Storage"):
            list(store.list())


class TestUploads:
    @pytest.mark.parametrize("fault", [reset_before, lost_answer, status(500), status(503)])
    def test_chunks_meet_faults(self, store, proxy, fault):
        proxy.add(at_chunks(1, 3, 5, fault=fault), method="PUT", times=ALWAYS)
        info = large(store)
        assert store.get("a") == LARGE
        assert info == store.head("a")
        asked = [one for one in proxy.requests("PUT") if one.headers["content-range"].startswith("bytes */")]
        assert len(asked) == 3

    def test_chunk_of_which_a_part_arrived_is_sent_from_there(self, store, proxy, gcs_stub):
        def half(exchange):
            exchange.body = exchange.body[: UNIT + 5]
            exchange.headers["content-length"] = str(UNIT + 5)
            lost_answer(exchange)

        proxy.add(half, method="PUT")
        with closing(store), store.upload("a") as upload:
            upload._parts._sizes = upload._parts._sizes._replace(base=2 * UNIT, largest=2 * UNIT)
            upload.write(LARGE)
        ranges = [one.headers["content-range"] for one in proxy.requests("PUT")]
        assert ranges[:3] == ["bytes 0-524287/*", "bytes */*", "bytes 262144-524287/*"]

    def test_last_answer_that_is_lost_is_asked_for(self, store, proxy, direct):
        proxy.add(at_chunks(5, fault=lost_answer), method="PUT", times=ALWAYS)
        info = large(store, if_absent=True)
        assert direct.get("a") == LARGE
        assert info == direct.head("a")

    def test_object_that_came_meanwhile_is_left_alone(self, store, proxy, direct, gcs_stub):
        upload = store.upload("a", if_absent=True)
        upload.write(LARGE)
        direct.put("a", b"theirs")
        with pytest.raises(AlreadyExistsError):
            upload.finish()
        upload.abort()
        assert direct.get("a") == b"theirs"
        assert gcs_stub.sessions() == 0

    def test_session_that_has_ended_is_an_error(self, store, proxy):
        proxy.add(status(410), method="PUT")
        with pytest.raises(StorageError, match="its session has ended"):
            large(store)

    def test_server_that_keeps_nothing_is_given_up(self, opened, proxy):
        proxy.add(lambda exchange: exchange.answer(308, {}, b""), method="PUT", times=ALWAYS)
        with pytest.raises(StorageError, match="takes no more than 0 bytes"):
            large(opened(deadline="1"))

    def test_abort_cancels_the_session(self, store, gcs_stub):
        upload = store.upload("a")
        upload.write(LARGE)
        upload.abort()
        assert gcs_stub.sessions() == 0
        assert not store.exists("a")

    def test_upload_that_cannot_be_removed_says_so(self, store, proxy):
        proxy.add(status(403), method="DELETE")
        proxy.add(at_chunks(2, fault=status(400)), method="PUT", times=ALWAYS)
        with pytest.raises(StorageError, match="400") as caught:
            large(store)
        assert "could not be removed" in caught.value.__notes__[0]

    def test_session_is_not_followed_to_another_host(self, store, proxy):
        def elsewhere(exchange):
            code, headers, body = exchange.forward()
            headers["location"] = headers["location"].replace("127.0.0.1", "other.example")
            exchange.answer(code, headers, body)

        proxy.add(elsewhere, method="POST", target="uploadType=resumable")
        large(store)
        assert store.get("a") == LARGE

    def test_token_that_expires_between_chunks_is_renewed(self, store, gcs_stub):
        with store.upload("a") as upload:
            upload.write(LARGE[: 3 * UNIT])
            gcs_stub.tokens.expire()
            upload.write(LARGE[3 * UNIT :])
        assert store.get("a") == LARGE


class TestSecrets:
    def test_no_secret_in_errors_and_logs(self, opened, proxy, caplog):
        caplog.set_level(0)
        store = opened(deadline="1")

        def echoing(exchange):
            words = f"{exchange.headers['authorization']} {exchange.target}"
            exchange.answer(400, {}, json.dumps({"error": {"message": words}}).encode())

        proxy.add(echoing, method="PUT", times=ALWAYS)
        proxy.add(reset_before, method="DELETE", times=ALWAYS)
        shown = []
        for refused in (lambda: large(store), lambda: store.delete("a")):
            with pytest.raises((StateError, StorageError)) as caught:
                refused()
            shown += [str(caught.value), repr(caught.value), repr(caught.value.facts)]
        token = proxy.requests("PUT")[0].headers["authorization"].removeprefix("Bearer ")
        session = proxy.requests("PUT")[0].target.rpartition("upload_id=")[2]
        for text in [*shown, repr(store), repr(vars(store)), caplog.text]:
            assert token not in text
        for text in shown:
            assert session not in text


def at_chunks(*numbers, fault):
    """The fault for the first attempt at each of these chunks, counted from 0; all else is forwarded."""
    places = {f"bytes {number * UNIT}-" for number in numbers}

    def one(exchange):
        place = exchange.headers["content-range"].partition("-")[0] + "-"
        if place in places:
            places.remove(place)
            fault(exchange)
        else:
            exchange.answer(*exchange.forward())

    return one
