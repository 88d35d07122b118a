"""How long something should live, as a user writes it: "7 days", "12 h", or a timedelta."""

from __future__ import annotations

import datetime as dt

from absdb.errors import InvalidInputError
from absdb.setting_kinds import Kind, Setting

_RETAIN = Setting("retain", Kind.DURATION, 7.0 * 24 * 3600, "how long a branch should live")


def retention_of(retain: str | dt.timedelta | None) -> dt.timedelta | None:
    """The time span that is meant; InvalidInputError says what one looks like."""
    if retain is None or isinstance(retain, dt.timedelta):
        return retain
    try:
        if not isinstance(retain, str):
            raise ValueError("it is neither text nor a timedelta")
        return dt.timedelta(seconds=_RETAIN.accept(retain))
    except ValueError as error:
        raise InvalidInputError(
            f"retain = {retain!r}: {error}", hint='write it as "7 days" or "12 h", or pass a timedelta'
        ) from error
