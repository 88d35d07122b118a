"""What Google Cloud Storage answers: descriptions of objects, and what its errors mean.

All is JSON. Numbers of 64 bits come as text; a generation, the number of an object's contents, serves as its etag.
Used by gcs_bucket.py and gcs_upload.py.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from absdb.clock import parse_time
from absdb.errors import StorageError
from absdb.objectstore.base import ObjectInfo
from absdb.objectstore.request import Action, Fault, Response, action_of

RESUME_INCOMPLETE = 308
_BROKEN_ON_THE_WAY = "doesn't match calculated"
"""So Google words it that a checksum is another one; it has no code of its own."""
_TOO_FAST = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})


def read_fault(answer: Response) -> Fault | None:
    """What an answer means that is no success; None for one that is, and for a resumable upload that goes on."""
    action = action_of(answer.status)
    if action is None or answer.status == RESUME_INCOMPLETE:
        return None
    error = _error(answer)
    reasons = error.get("errors") or [{}]
    code = str(reasons[0].get("reason") or "")
    message = str(error.get("message") or "")
    if code in _TOO_FAST:
        action = Action.SLOW_DOWN
    elif answer.status == 400 and _BROKEN_ON_THE_WAY in message:
        action = Action.RESEND
    return Fault(action, code, message)


def read_token_fault(answer: Response) -> Fault | None:
    """The same for a token endpoint, whose errors have a form of their own."""
    action = action_of(answer.status)
    if action is None:
        return None
    facts = _object(answer)
    return Fault(action, str(facts.get("error") or ""), str(facts.get("error_description") or ""))


def facts_of(answer: Response, url: str) -> dict[str, Any]:
    """The JSON object that a success carries; StorageError if it carries none."""
    facts = _object(answer)
    if not facts:
        raise StorageError(
            f"what {url} answered is not of Google Cloud Storage",
            hint="is the endpoint right, is there a proxy?",
        )
    return facts


def info_of(name: str, facts: dict[str, Any]) -> ObjectInfo:
    """An object from its description. `name` is what the store calls it."""
    return ObjectInfo(name, int(facts["size"]), str(facts["generation"]), parse_time(facts["updated"]))


def checksum(crc: int) -> str:
    """A CRC-32C as Google writes it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _object(answer: Response) -> dict[str, Any]:
    try:
        facts = json.loads(answer.body)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _error(answer: Response) -> dict[str, Any]:
    """The error that an answer describes; plain text is taken as its message."""
    error = _object(answer).get("error")
    if isinstance(error, dict):
        return error
    return {"message": answer.body[:200].decode(errors="replace")}
