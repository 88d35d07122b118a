"""Credentials that AWS hands out over HTTP: to containers, to instances, and for roles that trust an identity.

The token of a container is only sent to where AWS documents it: link-local and loopback addresses, or https. Answers
are checked to have what a signature needs. Used by s3_settings.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from absdb.clock import Clock, parse_time
from absdb.errors import InvalidInputError, NotFoundError, StateError, StorageError
from absdb.io.text_files import read_text
from absdb.objectstore.credentials import Credentials
from absdb.objectstore.request import Fault, Request, Response, Unsigned, action_of, encoded
from absdb.objectstore.retry import RetryPolicy
from absdb.objectstore.s3_xml import parse_answer
from absdb.objectstore.transport import Transport

_CONTAINERS = "http://169.254.170.2"
_NEAR = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "127.0.0.1", "::1")
_INSTANCES = "http://169.254.169.254"
_TOKEN, _TOKEN_TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
_HASTE = RetryPolicy(deadline_s=1.0, connect_s=1.0, idle_s=1.0)
_PATIENCE = RetryPolicy(deadline_s=20.0, connect_s=2.0, idle_s=10.0)


def container_credentials(environment: Mapping[str, str], clock: Clock) -> Credentials | None:
    """Those of the container this runs in; None if the environment names no place to ask."""
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = f"{_CONTAINERS}{relative}" if relative else environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _NEAR:
        raise InvalidInputError(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {parts.hostname} without https",
            hint="it has to be https, or a loopback or link-local address",
        )
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if path := environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        token = read_text(path).strip()
    answer = _ask(Request(method="GET", url=url, headers={"Authorization": token} if token else {}), clock)
    return _credentials_in(answer, url)


def instance_credentials(environment: Mapping[str, str], clock: Clock) -> Credentials | None:
    """Those of the instance of EC2 this runs on; None if it has no role, or is none.

    Elsewhere this costs a second or two, unless AWS_EC2_METADATA_DISABLED is `true`.
    """
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    base = (environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _INSTANCES).rstrip("/")
    roles = f"{base}/latest/meta-data/iam/security-credentials/"
    try:
        token = _ask(
            Request(method="PUT", url=f"{base}/latest/api/token", headers={_TOKEN_TTL: "300"}), clock, _HASTE
        )
        headers = {_TOKEN: token.body.decode("ascii", errors="replace")}
        role = _ask(Request(method="GET", url=roles, headers=headers), clock, _HASTE).body.decode().strip()
    except (StorageError, NotFoundError, StateError):
        return None  # nobody answers there, or not with what an instance with a role has
    url = f"{roles}{encoded(role.partition(chr(10))[0])}"
    return _credentials_in(_ask(Request(method="GET", url=url, headers=headers), clock), url)


def web_identity_credentials(environment: Mapping[str, str], region: str, clock: Clock) -> Credentials | None:
    """Those of the role that trusts the identity in a file; None if the environment names none."""
    path, role = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN")
    if not path or not role:
        return None
    url = environment.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com/"
    form = (
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", environment.get("AWS_ROLE_SESSION_NAME") or "absdb"),
        ("WebIdentityToken", read_text(path).strip()),
    )
    body = Request(method="POST", url=url, query=form).target.partition("?")[2].encode()
    answer = _ask(
        Request(
            method="POST",
            url=url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=body,
        ),
        clock,
    )
    where = "AssumeRoleWithWebIdentityResult/Credentials"
    root = parse_answer(answer.body, "AssumeRoleWithWebIdentityResponse", url)
    access_key, secret_key, token, expires = (
        root.value(f"{where}/{name}")
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if not (access_key and secret_key and token and expires):
        raise StateError(f"{url} answered without credentials for {role}")
    return Credentials(access_key, secret_key, token, parse_time(expires))


def _credentials_in(answer: Response, url: str) -> Credentials:
    try:
        found = json.loads(answer.body)
        return Credentials(
            found["AccessKeyId"], found["SecretAccessKey"], found["Token"], parse_time(found["Expiration"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{url} answered with what are no credentials: {type(error).__name__}") from None


def _ask(request: Request, clock: Clock, policy: RetryPolicy | None = None) -> Response:
    policy = policy or _PATIENCE
    transport = Transport(request.url, clock, Unsigned(), _read_fault, policy=policy, connections=1)
    try:
        return transport.send(request)
    finally:
        transport.close()


def _read_fault(response: Response) -> Fault | None:
    action = action_of(response.status)
    return Fault(action) if action else None
