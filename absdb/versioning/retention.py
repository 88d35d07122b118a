"""Branches that should live for a while only: how a user writes it, and dropping them when the time is over."""

from __future__ import annotations

import datetime as dt

from absdb.catalog.history import DatabaseInfo
from absdb.clock import MICROSECOND
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError
from absdb.setting_kinds import Kind, Setting
from absdb.versioning.branch import alter_database, drop_database

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


def retain(engine: Engine, info: DatabaseInfo, span: dt.timedelta | None) -> None:
    """Say how long after it was made a database should live; None for good."""
    if span is not None and span <= dt.timedelta(0):
        raise InvalidInputError(f"database {info.name!r} cannot be retained for {span}")
    alter_database(engine, info, retain_us=None if span is None else span // MICROSECOND)


def drop_outlived(engine: Engine) -> int:
    """Drop the branches that are past the time they were to live for; returns how many. Protected ones stay."""
    now, dropped = engine.clock.now_us(), 0
    for info in list(engine.history.databases.values()):
        outlived = info.retain_us is not None and info.created_us + info.retain_us <= now
        if outlived and not info.protected and len(engine.history.databases) > 1:
            drop_database(engine, info)
            dropped += 1
    return dropped
