"""`recovery.conf`: what a directory is to be recovered to before it is opened. PostgreSQL's names, `key = value`.

    recovery_target = 'immediate'             the end of the backup; or at most one of
    recovery_target_time = '2026-04-04 14:05:00Z'     the last commit until then; without a zone it is UTC
    recovery_target_lsn = '0/1048576'         the last record that ends there or before
    recovery_target_name = 'before'           the first restore point or snapshot made of that name after the backup
                                              none of these: the end of the archived log
    recovery_target_inclusive = true          false: before that time or LSN
    recovery_target_timeline = 'latest'       or current (the backup's), or a number
    recovery_target_action = 'pause'          or promote, or shutdown
    archive_url = 's3://bucket/archive'       where the log is fetched from; without it there is what the backup has
    backup_end_lsn = '0/1048576'              written by restore: what 'immediate' is

`connect` recovers such a directory first. When the recovery is ended the file is renamed to `recovery.done`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import Any

from absdb.clock import format_time, parse_time
from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from absdb.paths import RECOVERY_CONF, check_name
from absdb.settings import value_text

ACTIONS = ("pause", "promote", "shutdown")
IMMEDIATE = "immediate"
TARGETS = ("recovery_target", "recovery_target_time", "recovery_target_lsn", "recovery_target_name")
_INSTEAD = {
    "restore_command": "absdb fetches the log itself: write archive_url",
    "recovery_target_xid": "name the LSN of the commit, or its time",
    "recovery_end_command": "run it after connect, which returns when the recovery is over",
    "archive_cleanup_command": "`absdb admin wal-cleanup` removes old log from the archive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryConf:
    """What recovery.conf says, checked: times in µs, a timeline as latest, current or a number.

    InvalidInputError for two targets.
    """

    recovery_target: str = ""
    recovery_target_time: int | None = None
    recovery_target_lsn: int | None = None
    recovery_target_name: str = ""
    recovery_target_inclusive: bool = True
    recovery_target_timeline: str | int = "latest"
    recovery_target_action: str = "pause"
    archive_url: str = ""
    backup_end_lsn: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in TARGETS if getattr(self, name) not in ("", None)]
        if len(given) > 1:
            raise InvalidInputError(
                f"{' and '.join(given)} are both given, and a recovery has one target",
                hint="leave one of them",
            )

    def described(self) -> str:
        """The target in a few words."""
        which = "up to" if self.recovery_target_inclusive else "before"
        if self.recovery_target_time is not None:
            return f"{which} {format_time(self.recovery_target_time)}"
        if self.recovery_target_lsn is not None:
            return f"{which} LSN {Lsn(self.recovery_target_lsn)}"
        if self.recovery_target_name:
            return f"the point named {self.recovery_target_name!r}"
        return "the end of the backup" if self.recovery_target else "the end of the log"

    def render(self) -> str:
        """The text of the file; what is as it would be anyway is left out."""
        lines = [
            "# recovery.conf: connect() recovers this directory to what is named here before it opens it."
        ]
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default or field.name == "recovery_target_action":
                lines.append(f"{field.name} = {_rendered(field.name, value)}")
        return "\n".join(lines) + "\n"


def parse_recovery_conf(text: str, name: str = RECOVERY_CONF) -> RecoveryConf:
    """What a file says. InvalidInputError names the line of what cannot be."""
    known = [field.name for field in fields(RecoveryConf)]
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        place = f"{name}, line {number}"
        if not line.strip() or line.strip().startswith("#"):
            continue
        key, equals, rest = line.partition("=")
        key = key.strip().lower()
        if not equals or not key:
            raise InvalidInputError(
                f"{place}: {line.strip()!r} is not a setting", hint="write key = value", line=number
            )
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = _INSTEAD.get(key) or (
                f"did you mean {near[0]}?" if near else f"keys are {', '.join(known)}"
            )
            raise InvalidInputError(f"{place}: there is no key {key!r}", hint=hint, line=number)
        if key in lines:
            raise InvalidInputError(f"{place}: {key} was set in line {lines[key]} already", line=number)
        lines[key] = number
        try:
            values[key] = read_value(key, value_text(rest.strip(), place))
        except InvalidInputError as error:
            problem = error.message if error.message.startswith(place) else f"{place}: {key}: {error.message}"
            raise InvalidInputError(problem, hint=error.hint, line=number) from error
    given = [key for key in TARGETS if values.get(key, "") not in ("", None)]
    if len(given) > 1:
        raise InvalidInputError(
            f"{name}, line {lines[given[1]]}: {given[1]}, and line {lines[given[0]]} gives {given[0]} already: "
            "a recovery has one target",
            hint="leave one of them",
            line=lines[given[1]],
        )
    return RecoveryConf(**values)


def read_value(key: str, text: str) -> Any:
    """The value of a key as RecoveryConf holds it. InvalidInputError says what is expected."""
    match key:
        case "recovery_target_time":
            return parse_time(text)
        case "recovery_target_lsn" | "backup_end_lsn":
            return int(Lsn.parse(text))
        case "recovery_target_name":
            return check_name("restore point", text)
        case "recovery_target_inclusive":
            return _flag(text)
        case "recovery_target_timeline":
            return _timeline(text)
        case "recovery_target_action":
            return _one_of(text, ACTIONS)
        case "recovery_target":
            return _one_of(text, (IMMEDIATE,))
    return text


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        raise InvalidInputError(
            f"{text!r} is not {' or '.join(choices)}", hint=f"write {' or '.join(choices)}"
        )
    return text.lower()


def _flag(text: str) -> bool:
    if text.lower() in ("true", "on", "yes", "1"):
        return True
    if text.lower() in ("false", "off", "no", "0"):
        return False
    raise InvalidInputError(f"{text!r} is not true or false", hint="write true or false")


def _timeline(text: str) -> str | int:
    if text.isdecimal() and int(text):
        return int(text)
    if text.lower() in ("latest", "current"):
        return text.lower()
    raise InvalidInputError(
        f"{text!r} is not a timeline", hint="write latest, current, or the number of a timeline"
    )


def _rendered(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if name == "recovery_target_time":
        return f"'{format_time(value)}'"
    if name in ("recovery_target_lsn", "backup_end_lsn"):
        return f"'{Lsn(value)}'"
    text = str(value)
    if "'" in text and '"' in text:
        raise InvalidInputError(f"{name} = {text}: a value with both kinds of quotes cannot be written down")
    return f'"{text}"' if "'" in text else f"'{text}'"
