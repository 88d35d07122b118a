"""S3 through a proxy that breaks connections, loses answers and refuses, with a real server behind."""

from __future__ import annotations

import random
import time
from urllib.parse import parse_qsl

import pytest

from absdb.clock import ManualClock, SystemClock
from absdb.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StateError,
    StorageError,
)
from absdb.objectstore.credentials import Credentials
from absdb.objectstore.locate import open_store
from absdb.objectstore.request import Request
from absdb.objectstore.s3_signing import signed
from tests.objectstore.fault_proxy import (
    FaultProxy,
    at_most_parts,
    before,
    clock_ahead,
    dripping,
    error_in_success,
    lost_answer,
    reset_before,
    status,
    truncated,
    without,
)
from tests.objectstore.seaweed import ACCESS_KEY, SECRET_KEY

MIB = 1 << 20
ALWAYS = 10**6
LARGE = random.Random(1).randbytes(12 * MIB)
_numbers = iter(range(10**6))


@pytest.fixture
def proxy(seaweed):
    """A proxy before the real server."""
    with FaultProxy(seaweed.endpoint.removeprefix("http://")) as proxy:
        yield proxy


@pytest.fixture
def opened(seaweed, proxy):
    """Opens stores through the proxy, in one empty place."""
    stores = []
    number = next(_numbers)

    def opened(clock=None, **options):
        url = f"s3://{seaweed.bucket}/faults {number}"
        through = {
            **seaweed.options(),
            "endpoint": f"http://{proxy.address}",
            "part_size": "5 MiB",
            **options,
        }
        stores.append(open_store(url, clock=clock, **through))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    """An open store."""
    return opened()


@pytest.fixture
def direct(seaweed, store):
    """The same place without the proxy."""
    direct = open_store(store.url, **seaweed.options())
    yield direct
    direct.close()


def sign(exchange):
    """The headers of a request with a new signature, as by who made it."""
    path, _, query = exchange.target.partition("?")
    request = Request(
        method=exchange.method,
        url=f"http://{exchange.headers['host']}{path}",
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        headers={name: value for name, value in exchange.headers.items() if name != "authorization"},
        body=exchange.body,
    )
    again = signed(request, Credentials(ACCESS_KEY, SECRET_KEY), SystemClock().now_us(), "us-east-1")
    return {name.lower(): value for name, value in again.headers.items()}


class TestRetries:
    @pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
    def test_status_is_tried_again(self, store, proxy, code):
        store.put("a", b"1")
        proxy.add(status(code), method="GET")
        assert store.get("a") == b"1"
        proxy.add(status(code), method="PUT")
        store.put("a", b"2")
        assert store.get("a") == b"2"
        assert proxy.is_spent

    @pytest.mark.parametrize("error", ["InternalError", "SlowDown", "RequestTimeout", "OperationAborted"])
    def test_error_of_s3_is_tried_again_whatever_its_status(self, store, proxy, error):
        for code in (400, 409, 503):
            proxy.add(status(code, error=error), method="PUT")
            store.put("a", b"1")
        assert len(proxy.requests("PUT")) == 6

    @pytest.mark.parametrize("fault", [reset_before, lost_answer])
    def test_broken_connection_is_tried_again(self, store, proxy, fault):
        proxy.add(fault, times=2)
        store.put("a", b"1")
        proxy.add(fault)
        assert store.head("a").size == 1
        proxy.add(fault)
        assert [info.name for info in store.list()] == ["a"]
        proxy.add(fault)
        store.delete("a")
        assert proxy.is_spent

    def test_each_attempt_is_signed_anew(self, opened, proxy):
        class LateClock:
            now = SystemClock().now_us()

            def now_us(self):
                self.now += 1_000_000
                return self.now

        store = opened(LateClock())
        proxy.add(status(500), times=2)
        store.put("a", b"1")
        dates = [request.headers["x-amz-date"] for request in proxy.requests("PUT")]
        signatures = {request.headers["authorization"] for request in proxy.requests("PUT")}
        assert len(dates) == len(set(dates)) == len(signatures) == 3

    def test_retry_after_is_believed(self, store, proxy):
        proxy.add(status(503, retry_after="1"))
        began = time.monotonic()
        store.put("a", b"1")
        assert time.monotonic() - began >= 1

    def test_gives_up_at_the_deadline_and_says_what_was_answered(self, opened, proxy):
        proxy.add(status(503, error="SlowDown"), times=ALWAYS)
        store = opened(deadline="1")
        with pytest.raises(StorageError) as caught:
            store.put("a", b"1")
        text = str(caught.value)
        assert "503 SlowDown: as planned" in text
        assert "PROXY123" in text
        assert "attempts" in text
        assert caught.value.status == 503
        assert caught.value.request_id == "PROXY123"
        assert caught.value.attempts == len(proxy.seen) > 1

    def test_retry_after_beyond_the_deadline_ends_it(self, opened, proxy):
        proxy.add(status(503, retry_after="3600"), times=ALWAYS)
        with pytest.raises(StorageError, match="503"):
            opened(deadline="2").put("a", b"1")
        assert len(proxy.seen) == 1

    @pytest.mark.parametrize(
        ("code", "error", "kind"),
        [
            (400, "InvalidRequest", StorageError),
            (403, "AccessDenied", StateError),
            (404, "NoSuchBucket", NotFoundError),
            (405, "MethodNotAllowed", StorageError),
            (301, "PermanentRedirect", StorageError),
            (501, "NotImplemented", StorageError),
        ],
    )
    def test_refusal_is_final(self, store, proxy, code, error, kind):
        proxy.add(status(code, error=error), times=ALWAYS)
        with pytest.raises(kind, match=f"{code} {error}: as planned \\(request PROXY123\\)"):
            store.put("a", b"1")
        assert len(proxy.seen) == 1

    def test_bucket_that_is_missing_comes_with_what_to_do(self, store, proxy):
        proxy.add(status(404, error="NoSuchBucket"), times=ALWAYS)
        for ask in (lambda: store.exists("a"), lambda: list(store.list())):
            with pytest.raises(NotFoundError, match="make the bucket or container first"):
                ask()

    def test_damaged_body_is_sent_once_more(self, store, proxy):
        proxy.add(status(400, error="BadDigest"))
        store.put("a", b"1")
        proxy.add(status(400, error="BadDigest"), times=2)
        with pytest.raises(StorageError, match="BadDigest"):
            store.put("a", b"2")

    def test_waiting_ends_when_the_store_is_closed(self, opened, proxy):
        proxy.add(before(lambda: store.close(), status(503, retry_after="30")), times=ALWAYS)
        store = opened(deadline="60")
        with pytest.raises(StorageError):
            store.put("a", b"1")
        assert len(proxy.seen) == 1

    def test_server_that_is_not_there(self, seaweed):
        options = {**seaweed.options(), "endpoint": "http://127.0.0.1:9", "deadline": "1"}
        store = open_store(f"s3://{seaweed.bucket}/x", **options)
        with pytest.raises(StorageError, match="Connection refused") as caught:
            store.get("a")
        assert caught.value.attempts > 1
        store.close()


class TestReading:
    @pytest.mark.parametrize("hard", [False, True])
    def test_body_that_breaks_off_goes_on_where_it_was(self, store, proxy, hard):
        data = LARGE[: 3 * MIB]
        store.put("a", data)
        proxy.add(truncated(MIB + 77, hard=hard), method="GET")
        proxy.add(truncated(MIB + 1, hard=hard), method="GET")
        assert store.get("a") == data
        ranges = [request.headers["range"] for request in proxy.requests("GET")]
        assert len(ranges) == 3
        assert ranges[0].startswith("bytes=0-")
        assert int(ranges[2].removeprefix("bytes=").partition("-")[0]) > MIB
        assert all("if-match" in request.headers for request in proxy.requests("GET")[1:])

    def test_large_object_survives_breaks_in_all_its_ranges(self, store, proxy):
        with store.upload("a") as upload:
            upload.write(LARGE)
        proxy.add(truncated(100_000, hard=True), method="GET", times=4)
        assert store.get("a") == LARGE
        assert proxy.is_spent

    def test_object_that_is_replaced_while_it_is_read(self, store, proxy, direct):
        store.put("a", LARGE[: 2 * MIB])
        proxy.add(truncated(MIB), method="GET")
        reading = store.read("a")
        next(reading)
        direct.put("a", LARGE[MIB : 3 * MIB])
        with pytest.raises(ConflictError, match="was replaced while it was read"):
            list(reading)

    def test_answer_in_drips_is_given_up(self, opened, proxy):
        store = opened(idle="0.5", deadline="5")
        store.put("a", bytes(100_000))
        proxy.add(dripping(10, 0.05), method="GET")
        assert store.get("a") == bytes(100_000)
        assert len(proxy.requests("GET")) == 2

    def test_answer_that_only_ever_drips_is_an_error(self, opened, proxy):
        store = opened(idle="0.3", deadline="1")
        store.put("a", bytes(10_000))
        proxy.add(dripping(1, 0.05), method="GET", times=ALWAYS)
        with pytest.raises(StorageError, match="too slowly"):
            store.get("a")

    def test_silent_server_is_given_up(self, opened, proxy):
        store = opened(idle="0.3", deadline="5")
        store.put("a", b"1")
        proxy.add(before(lambda: time.sleep(1), reset_before), method="GET")
        assert store.get("a") == b"1"

    def test_server_that_does_not_know_ranges(self, store, proxy):
        store.put("a", b"0123456789")
        proxy.add(without("range", sign=sign), method="GET", times=ALWAYS)
        assert store.get("a") == b"0123456789"
        assert store.get("a", length=4) == b"0123"
        with pytest.raises(StorageError, match="the server sent all of it"):
            store.get("a", offset=3)

    def test_listing_that_breaks_off(self, store, proxy):
        store.put("a", b"1")
        proxy.add(truncated(60), method="GET")
        assert [info.name for info in store.list()] == ["a"]


class TestConditions:
    def test_own_object_is_known_again_after_a_lost_answer(self, store, proxy):
        store.put("probed", b"", if_absent=True)
        proxy.add(lost_answer, method="PUT")
        info = store.put("a", b"1", if_absent=True)
        assert info.etag == store.head("a").etag
        assert [request.answered for request in proxy.requests("PUT", "/a")] == [200, 412]

    def test_same_bytes_of_somebody_else_are_not_taken_for_ours(self, store, proxy, direct):
        store.put("probed", b"", if_absent=True)
        proxy.add(before(lambda: direct.put("a", b"1"), reset_before), method="PUT")
        with pytest.raises(AlreadyExistsError):
            store.put("a", b"1", if_absent=True)

    def test_own_replacement_is_known_again_after_a_lost_answer(self, store, proxy):
        before_it = store.put("a", b"0", if_match=store.put("a", b"1").etag)
        proxy.add(lost_answer, method="PUT")
        info = store.put("a", b"2", if_match=before_it.etag)
        assert info.etag == store.head("a").etag != before_it.etag
        assert store.get("a") == b"2"

    def test_conflict_with_a_write_at_the_same_moment_is_tried_again(self, store, proxy):
        store.put("probed", b"", if_absent=True)
        proxy.add(status(409, error="ConditionalRequestConflict"), method="PUT")
        store.put("a", b"1", if_absent=True)
        assert store.get("a") == b"1"

    def test_provider_that_passes_conditions_over_is_refused(self, store, proxy):
        proxy.add(without("if-none-match", sign=sign), times=ALWAYS)
        for refused in (
            lambda: store.put("a", b"1", if_absent=True),
            lambda: store.upload("a", if_absent=True),
        ):
            with pytest.raises(StorageError, match="does not support conditional writes"):
                refused()
        assert list(store.list()) == []
        assert store.pending_uploads() == []

    def test_provider_that_only_passes_if_match_over_is_refused(self, store, proxy):
        proxy.add(without("if-match", sign=sign), times=ALWAYS)
        info = store.put("a", b"1", if_absent=True)
        with pytest.raises(StorageError, match="does not support conditional writes"):
            store.put("a", b"2", if_match=info.etag)
        assert store.get("a") == b"1"

    def test_provider_that_refuses_the_header_is_refused(self, store, proxy):
        proxy.add(lambda exchange: exchange.answer(*exchange.forward()), method="PUT")
        proxy.add(status(501, error="NotImplemented"), method="PUT")
        with pytest.raises(StorageError, match="does not support conditional writes"):
            store.put("a", b"1", if_absent=True)

    def test_complete_with_a_lost_answer_is_known_again(self, store, proxy):
        with store.upload("a", if_absent=True) as upload:
            upload.write(LARGE)
            proxy.add(lost_answer, method="POST", target="/a?uploadId")
        assert store.get("a") == LARGE
        assert store.pending_uploads() == []


class TestUploads:
    @pytest.mark.parametrize("error", ["InternalError", "SlowDown", "NeverHeardOf"])
    def test_error_inside_of_a_success_is_none(self, store, proxy, error):
        proxy.add(error_in_success(error), method="POST", target="uploadId=")
        with store.upload("a") as upload:
            upload.write(LARGE)
        assert store.get("a") == LARGE
        assert proxy.is_spent

    def test_error_inside_of_a_success_after_which_it_is_there(self, store, proxy):
        proxy.add(error_in_success("InternalError", forward=True), method="POST", target="uploadId=")
        with store.upload("a") as upload:
            upload.write(LARGE)
            info = upload.finish()
        assert info.etag == store.head("a").etag
        assert store.get("a") == LARGE

    def test_error_inside_of_a_success_for_ever(self, opened, proxy):
        store = opened(deadline="1")
        proxy.add(error_in_success("InternalError"), method="POST", target="uploadId=", times=ALWAYS)

        def upload():
            with store.upload("a") as upload:
                upload.write(LARGE)

        with pytest.raises(StorageError, match="200 InternalError"):
            upload()
        assert not store.exists("a")
        assert store.pending_uploads() == []

    def test_completion_that_breaks_off(self, store, proxy):
        proxy.add(truncated(40), method="POST", target="uploadId=")
        with store.upload("a") as upload:
            upload.write(LARGE)
        assert store.get("a") == LARGE

    @pytest.mark.parametrize("fault", [reset_before, lost_answer, status(500), status(503, error="SlowDown")])
    def test_parts_meet_faults(self, store, proxy, fault):
        proxy.add(fault, method="PUT", target="partNumber", times=3)
        with store.upload("a") as upload:
            upload.write(LARGE)
        assert store.get("a") == LARGE
        assert proxy.is_spent

    def test_part_that_fails_stops_the_upload(self, store, proxy):
        proxy.add(status(403, error="AccessDenied"), method="PUT", target="partNumber=2")

        def upload():
            with store.upload("a") as upload:
                for _ in range(8):
                    upload.write(LARGE)

        with pytest.raises(StateError, match="AccessDenied"):
            upload()
        assert len(proxy.requests("PUT", "partNumber")) < 16
        assert store.pending_uploads() == []
        assert not store.exists("a")

    def test_upload_that_cannot_be_removed_says_so(self, opened, proxy):
        store = opened(deadline="1")
        proxy.add(status(403, error="AccessDenied"), method="PUT", target="partNumber=2")
        proxy.add(status(403, error="NotAllowed"), method="DELETE")

        def upload():
            with store.upload("a") as upload:
                upload.write(LARGE)

        with pytest.raises(StateError, match="AccessDenied") as caught:
            upload()
        assert "could not be removed" in caught.value.__notes__[0]
        [left] = store.pending_uploads()
        store.abort_pending(left)

    def test_upload_that_somebody_aborted(self, store, direct):
        upload = store.upload("a")
        upload.write(LARGE)
        while not (pending := direct.pending_uploads()):
            time.sleep(0.02)
        time.sleep(0.2)
        direct.abort_pending(pending[0])
        with pytest.raises((StorageError, NotFoundError)):
            upload.finish()
        upload.abort()
        assert not store.exists("a")

    def test_overload_halves_what_is_on_its_way(self, opened, proxy):
        store = opened(concurrency="4")
        proxy.add(status(503, error="SlowDown"), method="PUT", target="partNumber")
        with store.upload("a") as upload:
            upload.write(LARGE)
            upload.finish()
        assert store._client.concurrency.allowed == 2

    def test_provider_of_few_parts(self, opened, proxy):
        proxy.add(at_most_parts(4), times=ALWAYS)
        data = LARGE * 3
        with pytest.raises(StorageError, match="InvalidArgument"), opened().upload("a") as upload:
            upload.write(data)
        store = opened(max_parts="4")
        with store.upload("a", size_hint=len(data)) as upload:
            upload.write(data)
        assert store.head("a").size == len(data)
        with store.upload("b") as upload:
            upload.write(data)
        assert store.get("b") == data


class TestTimeAndCredentials:
    def test_clock_of_ours_that_is_wrong_is_corrected(self, opened, proxy):
        store = opened(ManualClock("2020-01-01 00:00:00Z"))
        store.put("a", b"1")
        assert store.get("a") == b"1"
        assert [request.answered for request in proxy.seen] == [403, 200, 206]

    def test_clock_of_ours_that_is_wrong_is_corrected_without_a_body_that_says_so(self, opened, proxy):
        store = opened(ManualClock("2020-01-01 00:00:00Z"))
        assert not store.exists("a")
        assert [request.answered for request in proxy.seen][:2] == [403, 404]

    def test_clock_of_the_server_that_is_wrong_is_followed(self, store, proxy):
        proxy.add(clock_ahead(-7200), times=ALWAYS)
        store.put("a", b"1")
        store.put("a", b"1")
        assert [request.answered for request in proxy.seen] == [403, 200, 200]

    def test_clock_is_corrected_only_once_for_a_request(self, store, proxy):
        proxy.add(status(403, error="RequestTimeTooSkewed"), times=ALWAYS)
        with pytest.raises(StateError, match="RequestTimeTooSkewed"):
            store.put("a", b"1")
        assert len(proxy.seen) == 1

    def test_expired_token_is_fetched_anew_once(self, seaweed, proxy, monkeypatch, tmp_path):
        profile = tmp_path / "credentials"
        good = seaweed.options()

        def write(secret_key):
            profile.write_text(
                f"[default]\naws_access_key_id={good['access_key']}\naws_secret_access_key={secret_key}\n"
            )

        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        write("EXPIRED0123456789")
        store = open_store(
            f"s3://{seaweed.bucket}/expired", endpoint=f"http://{proxy.address}", deadline="10"
        )
        proxy.add(before(lambda: write(good["secret_key"]), status(400, error="ExpiredToken")), method="PUT")
        store.put("a", b"1")
        proxy.add(status(400, error="ExpiredToken"), method="PUT")
        with pytest.raises(StateError, match="ExpiredToken"):
            store.put("a", b"2")  # what is there is what was refused
        store.close()

    def test_no_credentials_at_all(self, seaweed, monkeypatch, tmp_path):
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        store = open_store("s3://bucket/x", endpoint=seaweed.endpoint)
        with pytest.raises(StateError, match="no credentials"):
            store.get("a")
        store.close()


class TestSecrets:
    def test_no_secret_in_errors_representations_and_logs(self, seaweed, proxy, caplog):
        secrets = ["WRONGsecretkey0123456789", "TOKENTOKENTOKEN0123456789"]
        caplog.set_level(0)
        options = {
            "secret_key": secrets[0],
            "session_token": secrets[1],
            "endpoint": f"http://{proxy.address}",
        }
        store = open_store(f"s3://{seaweed.bucket}/x", **{**seaweed.options(), **options, "deadline": "1"})

        def echoing(exchange):
            words = f"{exchange.headers['authorization']} {exchange.headers['x-amz-security-token']}"
            exchange.answer(400, {}, f"<Error><Code>Bad</Code><Message>{words}</Message></Error>".encode())

        shown = [repr(store), repr(store._client), repr(vars(store._client.transport)), repr(vars(store))]
        proxy.add(echoing, times=ALWAYS, method="PUT")
        proxy.add(reset_before, times=ALWAYS, method="DELETE")
        for refused in (lambda: store.get("a"), lambda: store.put("a", b"1"), lambda: store.delete("a")):
            with pytest.raises((StateError, StorageError)) as caught:
                refused()
            shown += [str(caught.value), repr(caught.value), repr(caught.value.facts)]
        signature = proxy.requests("PUT")[0].headers["authorization"].rpartition("=")[2]
        store.close()
        for text in [*shown, caplog.text]:
            for secret in [*secrets, signature]:
                assert secret not in text

    def test_secret_in_a_url_is_refused_without_repeating_it(self):
        for url in ("s3://KEYKEY:hushhush@bucket/x", "s3://bucket/x?secret_key=hushhush"):
            with pytest.raises(InvalidInputError) as caught:
                open_store(url)
            assert "hushhush" not in str(caught.value)
