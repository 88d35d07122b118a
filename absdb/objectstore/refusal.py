"""What a server's refusal, or its silence, becomes: errors with the URL, the request's id and no secret.

    cannot PUT https://s3.eu-west-1.amazonaws.com/shop/a: 403 AccessDenied: Access Denied (request 7F3A…)
      hint: the credentials are known, but they may not do this; look at the policies of user and bucket

Facts on the error: `url`, `method`, `status`, `code`, `request_id`, `attempts`. Used by transport.py.
"""

from __future__ import annotations

from absdb.errors import AbsdbError, ConflictError, NotFoundError, StateError, StorageError
from absdb.objectstore.request import Action, Fault, Request, Response, encoded

_SECRET_HEADERS = ("authorization", "x-amz-security-token", "x-goog-iam-authorization-token")
_SECRET_PARAMETERS = ("sig", "x-amz-signature", "upload_id")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_MESSAGE_MAX = 300
_SECRET_MIN = 6
NO_BUCKET_HINT = "look at the URL and the endpoint, or make the bucket or container first: absdb makes none"


def refusal(request: Request, sent: Request, response: Response, fault: Fault) -> AbsdbError:
    """The error for an answer that is final. `sent` is the signed request: nothing of its secrets is repeated."""
    kind, hint = _kind(response.status, fault.code, fault.action)
    words = " ".join(_without_secrets(fault.message, sent).split())[:_MESSAGE_MAX]
    said = ": ".join(part for part in (f"{response.status} {fault.code}".rstrip(), words) if part)
    asked = f" (request {response.request_id})" if response.request_id else ""
    tries = f", after {response.attempts} attempts" if response.attempts > 1 else ""
    return kind(
        f"cannot {request.method} {request.url}: {said}{asked}{tries}",
        hint=hint,
        url=request.url,
        method=request.method,
        status=response.status,
        code=fault.code,
        request_id=response.request_id,
        attempts=response.attempts,
    )


def unreachable(request: Request, error: Exception, attempts: int, seconds: float) -> StorageError:
    """The error for a server that gave no whole answer to any attempt."""
    words = " ".join(str(error).split())[:_MESSAGE_MAX]
    return StorageError(
        f"cannot {request.method} {request.url}: {words} ("
        f"{attempts} attempt{'s' if attempts > 1 else ''} in {seconds:.0f} s)",
        hint="look at the endpoint, the network and the proxy; what was asked for may or may not have been done",
        url=request.url,
        method=request.method,
        status=None,
        code="",
        request_id="",
        attempts=attempts,
    )


def _kind(status: int, code: str, action: Action) -> tuple[type[AbsdbError], str]:
    if status == 404:
        return NotFoundError, NO_BUCKET_HINT if code in _NO_BUCKET else ""
    if action is Action.REFRESH:
        return StateError, "the credentials are missing, wrong or expired"
    if status == 403:
        return (
            StateError,
            "the credentials are wrong, or may not do this; look at the key, and at the bucket's policies",
        )
    if status == 412:
        return ConflictError, "the object is not the one that was expected"
    if 300 <= status < 400:
        return StorageError, "the server sends elsewhere; look at region and endpoint"
    if status in (408, 429) or status >= 500:
        return StorageError, "the server did not manage after all retries; try again later"
    return StorageError, ""


def _without_secrets(text: str, sent: Request) -> str:
    """The text with whatever was secret in the request blotted out, in case that a server repeats it."""
    secrets = [value for name, value in sent.headers.items() if name.lower() in _SECRET_HEADERS]
    secrets += [part for value in secrets for part in value.split()]
    queried = [value for name, value in sent.query if name.lower() in _SECRET_PARAMETERS]
    secrets += [*queried, *map(encoded, queried)]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SECRET_MIN:
            text = text.replace(secret, "…")
    return text
