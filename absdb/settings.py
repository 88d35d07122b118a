"""What can be set on an instance, where each value came from, and the file `absdb.conf`.

    # a comment
    wal_segment_size = 16 MiB        # key = value; blank lines do not matter
    history_retention = 30 days
    author = "R&D #2"                # quotes are needed only around text with a '#' or blanks at its ends

Sizes are bytes, or carry B, kB, MB, GB, TB or KiB, MiB, GiB, TiB: both mean powers of 1024, as in PostgreSQL.
Durations carry us, ms, s, min, h, d or w, or the word (`7 days`). Upper and lower case are the same.

A value is taken from the first place that has one: an argument of connect(), the environment variable
ABSDB_<NAME>, absdb.conf, the default; `Settings.origin` says which it was. In Python sizes are ints in bytes
and durations floats in seconds; an argument may also be a timedelta or text as in the file.

`setting_table.SETTINGS` is the one table of names, types, limits and meanings. This module opens no file: the engine
reads and writes absdb.conf through its FileSystem and hands the text in.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import getpass
import os
from collections.abc import Mapping
from typing import Any

from absdb.errors import InvalidInputError
from absdb.paths import CONF
from absdb.setting_kinds import DAY, GIB, MIB, Kind, Setting
from absdb.setting_table import SETTINGS

ENVIRONMENT_PREFIX = "ABSDB_"
DEFAULT_ORIGIN = "default"
ARGUMENT_ORIGIN = "argument"
CREATED_ORIGIN = "chosen at creation"

_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting's value, checked. Sizes are ints in bytes, durations floats in seconds.

    `Settings()` has the defaults; `load_settings` is the usual way to one. Raises InvalidInputError for a
    value outside its limits.
    """

    wal_segment_size: int = 16 * MIB
    wal_sync_mode: str = "fsync"
    wal_group_commit: int = 64
    wal_group_wait: float = 0.004
    checkpoint_interval: float = 300.0
    checkpoint_wal_volume: int = 256 * MIB
    history_retention: float = 30.0 * DAY
    page_rows: int = 65536
    page_compression: str | None = None
    bulk_threshold: int = 4 * MIB
    run_limit: int = 8
    author: str = ""
    cache_bytes: int = 256 * MIB
    sequence_block: int = 1024
    wal_archive_enabled: bool = False
    wal_archive_target: str = ""
    wal_archive_compress: str | None = "zstd"
    wal_archive_interval: float = 15.0
    wal_archive_wait_max: int = 8 * GIB
    wal_retention_days: int = 30
    backup_target: str = ""
    backup_full_interval: float = 0.0
    backup_incremental_interval: float = 0.0
    backup_compress: str | None = "zstd"
    backup_retention_days: int = 0
    backup_key_file: str = ""
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            value = _accept(setting, getattr(self, setting.name), self.origin(setting.name))
            object.__setattr__(self, setting.name, value)

    def origin(self, name: str) -> str:
        """Where the value came from: `argument`, `environment ABSDB_…`, `absdb.conf, line 3`, `default`.

        InvalidInputError for a name that is no setting.
        """
        setting = _known(name, "Settings.origin")
        if name in self.origins:
            return self.origins[name]
        return DEFAULT_ORIGIN if getattr(self, name) == setting.default else ARGUMENT_ORIGIN

    def author_name(self) -> str:
        """The author of commits that name none: the setting, or else the system's user."""
        if self.author:
            return self.author
        try:
            return getpass.getuser()
        except (KeyError, OSError, ImportError):
            return "unknown"

    def created_with(self, values: Mapping[str, Any]) -> Settings:
        """These settings for an instance that exists: what is chosen at creation is as it was chosen then.

        InvalidInputError if an argument, the environment or the file asks for another value.
        """
        chosen = {name: value for name, value in values.items() if _known(name, "control").creation_only}
        for name, value in chosen.items():
            asked = getattr(self, name)
            if asked != value and self.origin(name) != DEFAULT_ORIGIN:
                setting = _BY_NAME[name]
                raise InvalidInputError(
                    f"{self.origin(name)}: {name} = {setting.render(asked)}, "
                    f"but the instance was created with {setting.render(value)}",
                    hint=f"{name} can only be chosen when an instance is created; leave it out here",
                    name=name,
                )
        origins = {**self.origins, **dict.fromkeys(chosen, CREATED_ORIGIN)}
        return dataclasses.replace(self, **chosen, origins=origins)

    def rows(self) -> list[dict[str, str]]:
        """One dict a setting, for views: name, value (as in the file), origin, default, meaning."""
        return [
            {
                "name": setting.name,
                "value": setting.render(getattr(self, setting.name)),
                "origin": self.origin(setting.name),
                "default": setting.render(setting.default),
                "meaning": setting.meaning,
            }
            for setting in SETTINGS
        ]


def load_settings(
    conf: str | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    conf_name: str = CONF,
) -> Settings:
    """The settings of an instance from all places.

    `conf` is the text of absdb.conf, None if there is no such file; `conf_name` is how messages call it. An
    argument that is None counts as not given. `environment` is the process's own by default; an empty
    variable counts as not set, and one that belongs to no setting is left alone. InvalidInputError names
    place, key, what was found and what was expected.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, (text, line) in parse_conf(conf or "", conf_name).items():
        origins[name] = f"{conf_name}, line {line}"
        values[name] = _accept(_BY_NAME[name], text, origins[name])
    for name, setting in _BY_NAME.items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if text := environment.get(variable, "").strip():
            origins[name] = f"environment {variable}"
            values[name] = _accept(setting, text, origins[name])
    for name, value in (arguments or {}).items():
        setting = _known(name, ARGUMENT_ORIGIN)
        if value is not None:
            origins[name] = ARGUMENT_ORIGIN
            values[name] = _accept(setting, value, ARGUMENT_ORIGIN)
    return Settings(**values, origins={name: origins.get(name, DEFAULT_ORIGIN) for name in _BY_NAME})


def parse_conf(text: str, conf_name: str = CONF) -> dict[str, tuple[str, int]]:
    """Key -> (value's text, line number from 1) of a settings file.

    InvalidInputError for a line that is no `key = value`, an unknown key, or one that is set twice.
    """
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        place = f"{conf_name}, line {number}"
        key, equals, rest = line.partition("=")
        key = key.strip()
        if not key or key.startswith("#"):
            if equals and not key:
                raise InvalidInputError(f"{place}: {line.strip()!r} has no key", hint="write key = value")
            continue
        if not equals:
            raise InvalidInputError(f"{place}: {line.strip()!r} is not a setting", hint="write key = value")
        name = key.lower()
        _known(name, place)
        if name in found:
            raise InvalidInputError(
                f"{place}: {name} was set in line {found[name][1]} already",
                hint="remove one of the two lines",
            )
        found[name] = (value_text(rest.strip(), place), number)
    return found


def render_default() -> str:
    """The text of a new absdb.conf: every setting, its meaning and limits, commented out at its default."""
    lines = [
        "# absdb.conf: settings of this instance, one `key = value` a line. Lines with a '#' show defaults.",
        "# An argument of connect() and an environment variable ABSDB_<KEY> come before this file.",
        "# Sizes: 65536, 64 KiB, 16 MiB, 1 GiB.  Durations: 4 ms, 15 s, 5 min, 12 h, 30 days.",
    ]
    for setting in SETTINGS:
        lines += ["", f"# {setting.name}: {setting.meaning}.", f"# Expected: {setting.expected()}."]
        if setting.creation_only:
            lines.append("# Can only be chosen when the instance is created.")
        lines.append(f"#{setting.name} = {setting.render(setting.default)}".rstrip())
    return "\n".join(lines) + "\n"


def value_text(rest: str, place: str) -> str:
    """What stands behind the equals sign, without quotes and a comment."""
    if rest[:1] in ("'", '"'):
        text, closing, behind = rest[1:].partition(rest[0])
        if not closing or (behind.strip() and not behind.strip().startswith("#")):
            raise InvalidInputError(
                f"{place}: {rest!r} is not a quoted text", hint="close the quote, and write nothing behind it"
            )
        return text
    return rest.partition("#")[0].strip()


def _known(name: str, place: str) -> Setting:
    """The setting of this name; InvalidInputError names the nearest one there is."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name.lower(), _BY_NAME, n=1, cutoff=0.5)
    hint = f"the nearest one is {near[0]}" if near else f"the settings are {', '.join(_BY_NAME)}"
    raise InvalidInputError(f"{place}: there is no setting {name!r}", hint=hint, name=name)


def _accept(setting: Setting, value: Any, place: str) -> Any:
    """The value as Settings holds it; InvalidInputError says place, found and expected."""
    try:
        if isinstance(value, dt.timedelta):
            value = value.total_seconds() if setting.kind is Kind.DURATION else repr(value)
        return setting.accept(value)
    except ValueError as error:
        raise InvalidInputError(
            f"{place}: {setting.name} = {value if isinstance(value, str) else repr(value)}: {error}",
            hint=f"{setting.name} is {setting.expected()}",
            name=setting.name,
        ) from error
