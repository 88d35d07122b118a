"""What an answer of S3 means, be it a status, or an error in the body of an answer that looks like a success.

    <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message><RequestId>…</RequestId></Error>

Completing an upload may answer 200 long before it is known how it ends, and say so only in the body. Used by s3.py.
"""

from __future__ import annotations

from absdb.objectstore.request import Action, Fault, Response, action_of
from absdb.objectstore.s3_xml import MalformedXml, Node, parse

_ACTIONS = {
    "InternalError": Action.RETRY,
    "OperationAborted": Action.RETRY,
    "RequestTimeout": Action.RETRY,
    "ConditionalRequestConflict": Action.RETRY,
    "SlowDown": Action.SLOW_DOWN,
    "ServiceUnavailable": Action.SLOW_DOWN,
    "TooManyRequests": Action.SLOW_DOWN,
    "RequestLimitExceeded": Action.SLOW_DOWN,
    "BadDigest": Action.RESEND,
    "IncompleteBody": Action.RESEND,
    "XAmzContentSHA256Mismatch": Action.RESEND,
    "RequestTimeTooSkewed": Action.CORRECT_CLOCK,
    "ExpiredToken": Action.REFRESH,
    "ExpiredTokenException": Action.REFRESH,
    "TokenRefreshRequired": Action.REFRESH,
}
_REGION_CODES = (
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraint",
)


def read_fault(response: Response) -> Fault | None:
    """None for a success."""
    action = action_of(response.status)
    error = _error_in(response.body)
    if action is None and error is None:
        return None
    code, message = (error.value("Code"), error.value("Message")) if error is not None else ("", "")
    region = response.headers.get("x-amz-bucket-region", "") or (error.value("Region") if error else "")
    if region and (code in _REGION_CODES or response.status in (301, 307)):
        message = f"{message} The bucket is in the region {region}.".strip()
    # Whoever answers 200 with an error that is not known here may have done nothing at all.
    return Fault(_ACTIONS.get(code, action or Action.RETRY), code, message)


def _error_in(body: bytes) -> Node | None:
    """The error that an answer consists of; None if it is something else."""
    start = body[:4096].lstrip()
    if not (start.startswith(b"<?xml") or start.startswith(b"<Error")) or b"<Error" not in start:
        return None
    try:
        root = parse(body.strip())
    except MalformedXml:
        return None
    return root if root.name == "Error" else None
