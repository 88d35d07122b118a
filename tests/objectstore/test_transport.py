"""Connections and retries below all stores: certificates, redirects, proxies, waits, and what is imported when."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from absdb.clock import SystemClock, parse_time
from absdb.errors import InvalidInputError, StateError, StorageError
from absdb.objectstore.aws_endpoints import (
    container_credentials,
    instance_credentials,
    web_identity_credentials,
)
from absdb.objectstore.request import Action, Fault, Request, Unsigned, action_of
from absdb.objectstore.retry import Attempts, Pace, RetryPolicy, http_date_us, retry_after_s
from absdb.objectstore.transport import Transport
from tests.objectstore.fault_proxy import FaultProxy

ROOT = Path(__file__).resolve().parents[2]
IMPATIENT = RetryPolicy(deadline_s=1.0, connect_s=1.0, idle_s=1.0)


def read_fault(response):
    action = action_of(response.status)
    return Fault(action) if action else None


@pytest.fixture
def transport():
    """Makes transports, closed after the test."""
    made = []

    def transport(url, policy=IMPATIENT):
        made.append(Transport(url, SystemClock(), Unsigned(), read_fault, policy=policy))
        return made[-1]

    yield transport
    for one in made:
        one.close()


@pytest.fixture
def answering():
    """A server that gives these answers, one after the other, and its URL."""
    proxies = []

    def answering(*answers):
        proxy = FaultProxy("127.0.0.1:9")
        proxies.append(proxy)
        for answer in answers:
            proxy.add(lambda exchange, answer=answer: exchange.answer(*answer))
        return proxy, f"http://{proxy.address}"

    yield answering
    for proxy in proxies:
        proxy.__exit__(None, None, None)


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """(URL, path of the certificate) of a server whose certificate nobody else has signed."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = directory / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            """Nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", str(pem)
        server.shutdown()
        thread.join()


class TestConnections:
    def test_certificate_that_nobody_knows_is_refused_at_once(self, transport, tls_server):
        url, _ = tls_server
        with pytest.raises(StorageError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            transport(url, RetryPolicy(deadline_s=60)).send(Request(method="GET", url=f"{url}/a"))
        assert caught.value.attempts == 1

    def test_certificate_that_the_user_trusts(self, transport, tls_server, monkeypatch):
        url, certificate = tls_server
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        assert transport(url).send(Request(method="GET", url=f"{url}/a")).body == b"ok"

    def test_redirect_is_not_followed(self, transport, answering):
        proxy, url = answering((307, {"location": "http://127.0.0.1:9/elsewhere"}, b""))
        with pytest.raises(StorageError, match="307") as caught:
            transport(url).send(Request(method="GET", url=f"{url}/a"))
        assert "region and endpoint" in caught.value.hint
        assert len(proxy.seen) == 1

    def test_proxy_of_the_environment_is_used(self, transport, answering, monkeypatch):
        proxy, url = answering((200, {}, b"by the proxy"))
        for variable in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("http_proxy", url)
        found = transport("http://example.invalid").send(
            Request(method="GET", url="http://example.invalid/a")
        )
        assert found.body == b"by the proxy"
        assert proxy.seen[0].target == "http://example.invalid/a"

    def test_host_that_needs_no_proxy(self, transport, answering, monkeypatch):
        _, url = answering((200, {}, b"direct"))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert transport(url).send(Request(method="GET", url=f"{url}/a")).body == b"direct"

    def test_header_that_is_none_is_refused_at_once(self, transport, answering):
        _, url = answering((200, {}, b""))
        with pytest.raises(StorageError) as caught:
            transport(url, RetryPolicy(deadline_s=60)).send(
                Request(method="GET", url=f"{url}/a", headers={"x": "a\r\nb: c"})
            )
        assert caught.value.attempts == 1

    def test_closed_store_says_so(self, transport, answering):
        _, url = answering((200, {}, b""))
        closed = transport(url)
        closed.close()
        with pytest.raises(StateError, match="is closed"):
            closed.send(Request(method="GET", url=f"{url}/a"))

    def test_answer_without_an_end_is_refused(self, transport, answering, monkeypatch):
        _, url = answering((200, {}, bytes(3 << 20)))
        monkeypatch.setattr("absdb.objectstore.transport._BODY_MAX", 1 << 20)
        with pytest.raises(StorageError, match="more than 1 MiB"):
            transport(url).send(Request(method="GET", url=f"{url}/a"))

    def test_status_that_is_asked_for_is_given_back(self, transport, answering):
        _, url = answering((404, {}, b"x"), (412, {"etag": "e"}, b""))
        found = transport(url).send(Request(method="GET", url=f"{url}/a"), also=(404,))
        assert (found.status, found.body, found.attempts) == (404, b"x", 1)
        assert transport(url).send(Request(method="GET", url=f"{url}/a"), also=(412,)).headers["etag"] == "e"

    def test_nothing_heavy_is_imported_before_it_is_needed(self):
        statement = (
            "import sys, absdb.objectstore.locate as l; l.open_store('/x'); l.open_store('s3://bucket/x');"
            "print(sorted({'httpx', 'cryptography', 'h11'} & set(sys.modules)))"
        )
        run = subprocess.run(
            [sys.executable, "-c", statement], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert run.stdout == "[]\n"


class TestWaits:
    def test_waits_grow_and_are_drawn_below_their_ceiling(self, monkeypatch):
        drawn = []
        monkeypatch.setattr("random.uniform", lambda low, high: drawn.append((low, high)) or 0.0)
        attempts = Attempts(RetryPolicy(), threading.Event())
        for _ in range(9):
            assert attempts.wait()
        assert [high for _, high in drawn] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])
        assert {low for low, _ in drawn} == {0}

    def test_retry_after_is_bounded(self, monkeypatch):
        waited = []
        closing = threading.Event()
        monkeypatch.setattr(closing, "wait", lambda seconds: waited.append(seconds))
        attempts = Attempts(RetryPolicy(deadline_s=1000), closing)
        assert attempts.wait(1e9)
        assert waited == [60]

    def test_no_attempt_begins_after_the_deadline(self):
        attempts = Attempts(RetryPolicy(deadline_s=0.05), threading.Event())
        time.sleep(0.06)
        assert not attempts.wait()

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("5", 5.0),
            (" 7 ", 7.0),
            ("Fri, 02 Jan 2026 00:00:10 GMT", 10.0),
            ("Thu, 01 Jan 2026 00:00:10 GMT", 0.0),
            ("9" * 40, 999999999.0),
            ("soon", None),
            ("-5", None),
            ("", None),
            (None, None),
        ],
    )
    def test_retry_after_in_all_its_forms(self, value, seconds):
        assert retry_after_s(value, parse_time("2026-01-02 00:00:00Z")) == seconds

    @pytest.mark.parametrize("value", [None, "", "yesterday", "Fri, 99 Jan 2026 00:00:00 GMT"])
    def test_date_that_is_none(self, value):
        assert http_date_us(value) is None

    def test_pace_counts_only_what_was_waited_for(self):
        pace = Pace(RetryPolicy(idle_s=10, slowest_bytes_s=100))
        assert not pace.is_too_slow(9.0, 1)
        assert not pace.is_too_slow(1.0, 1000)
        assert not pace.is_too_slow(9.0, 0)
        assert pace.is_too_slow(1.0, 999)

    def test_statuses(self):
        retried = {
            status for status in range(200, 600) if action_of(status) in (Action.RETRY, Action.SLOW_DOWN)
        }
        assert retried == {408, 429, 500, 502, 503, 504}
        assert action_of(206) is None
        assert action_of(401) is Action.REFRESH
        assert action_of(412) is action_of(308) is Action.FAIL


class TestLentCredentials:
    ANSWER = b'{"AccessKeyId":"AK","SecretAccessKey":"SK","Token":"T","Expiration":"2026-01-02T03:04:05Z"}'

    def test_of_a_container(self, answering, tmp_path):
        proxy, url = answering((200, {}, self.ANSWER))
        token = tmp_path / "token"
        token.write_text("Bearer x\n")
        environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        found = container_credentials(environment, SystemClock())
        assert found is not None
        assert (found.access_key, found.secret_key, found.session_token) == ("AK", "SK", "T")
        assert found.expires_us == parse_time("2026-01-02 03:04:05Z")
        assert proxy.seen[0].headers["authorization"] == "Bearer x"

    @pytest.mark.parametrize("body", [b"{}", b"", b"[]", b'{"AccessKeyId":"hush"}'])
    def test_that_are_none_are_refused_without_repeating_them(self, answering, body):
        _, url = answering((200, {}, body))
        with pytest.raises(StateError, match="no credentials") as caught:
            container_credentials({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}, SystemClock())
        assert "hush" not in str(caught.value)

    def test_of_an_instance(self, answering):
        proxy, url = answering((200, {}, b"token"), (200, {}, b"role one\n"), (200, {}, self.ANSWER))
        found = instance_credentials({"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}, SystemClock())
        assert found is not None
        assert found.access_key == "AK"
        assert [request.method for request in proxy.seen] == ["PUT", "GET", "GET"]
        assert proxy.seen[2].target.endswith("/security-credentials/role%20one")
        assert proxy.seen[2].headers["x-aws-ec2-metadata-token"] == "token"

    def test_where_there_is_no_instance(self):
        nobody = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}
        assert instance_credentials(nobody, SystemClock()) is None
        assert instance_credentials({"AWS_EC2_METADATA_DISABLED": "true"}, SystemClock()) is None

    def test_are_only_asked_for_nearby_or_by_https(self):
        with pytest.raises(InvalidInputError, match="https"):
            container_credentials(
                {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.invalid/x"}, SystemClock()
            )
        assert container_credentials({}, SystemClock()) is None

    def test_of_a_role(self, answering, tmp_path):
        answer = (
            b'<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            b"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AK</AccessKeyId>"
            b"<SecretAccessKey>SK</SecretAccessKey><SessionToken>T</SessionToken>"
            b"<Expiration>2026-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
            b"</AssumeRoleWithWebIdentityResponse>"
        )
        proxy, url = answering((200, {}, answer))
        token = tmp_path / "token"
        token.write_text("a+b\n")
        environment = {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
            "AWS_ENDPOINT_URL_STS": url,
        }
        found = web_identity_credentials(environment, "eu-west-1", SystemClock())
        assert found is not None
        assert (found.access_key, found.secret_key, found.session_token) == ("AK", "SK", "T")
        assert b"WebIdentityToken=a%2Bb" in proxy.seen[0].body
        assert web_identity_credentials({}, "eu-west-1", SystemClock()) is None
