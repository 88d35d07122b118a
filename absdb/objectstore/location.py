"""Where a store is, taken from a URL: scheme, bucket or container, prefix, options. Nothing is opened here.

    /backup/x   ./x   file:///backup/x                a directory
    s3://bucket/prefix?region=eu-west-1               Amazon S3 and what speaks its language
    gs://bucket/prefix                                Google Cloud Storage; gcs:// is the same
    az://container/prefix?account=name                Azure Blob Storage; azure:// is the same

What follows the bucket is taken as it is: `%20` are three characters of a name, except in file URLs. Options are text;
those given as arguments win over those of the URL. Credentials have no place in a URL, which ends up in logs and lists
of processes. Used by locate.py and by the stores, which say which options they know.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote

from absdb.errors import InvalidInputError
from absdb.setting_kinds import Kind, Setting

SCHEMES: Mapping[str, str] = MappingProxyType(
    {"file": "file", "s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az"}
)
"""Every scheme → the one it is known by."""

SECRET_OPTIONS = frozenset({"access_key", "secret_key", "session_token", "account_key", "sas_token"})
"""Options of all stores that only an argument may give."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocation:
    """`bucket` is "" for a directory, whose absolute path is the prefix; else the prefix has no slash at its ends.

    The representation leaves out the options.
    """

    scheme: str
    bucket: str
    prefix: str
    options: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Without options."""
        if self.scheme == "file":
            return self.prefix
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    def only(self, known: Collection[str]) -> None:
        """InvalidInputError if an option is none of these: a misspelt one must not be passed over."""
        for name in self.options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = (
                    f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
                )
                raise InvalidInputError(
                    f"{self.url}: {name!r} is no option of this store", hint=hint, option=name
                )

    def text(self, name: str, default: str = "") -> str:
        """The value of an option; the default where it is not given or empty."""
        return self.options.get(name) or default

    def flag(self, name: str, default: bool = False) -> bool:
        """Yes or no."""
        return bool(self._value(Setting(name, Kind.FLAG, default, "")))

    def count(self, name: str, default: int, *, minimum: int = 1, maximum: int = 1 << 50) -> int:
        """A whole number between the limits."""
        return int(self._value(Setting(name, Kind.COUNT, default, "", minimum=minimum, maximum=maximum)))

    def size(self, name: str, default: int, *, minimum: int = 1, maximum: int = 1 << 50) -> int:
        """A number of bytes between the limits, also given as `16 MiB`."""
        return int(self._value(Setting(name, Kind.SIZE, default, "", minimum=minimum, maximum=maximum)))

    def seconds(self, name: str, default: float) -> float:
        """A time in seconds, also given as `2 min`."""
        return float(self._value(Setting(name, Kind.DURATION, default, "", minimum=0)))

    def _value(self, option: Setting) -> Any:
        """The value of an option that is no secret."""
        text = self.text(option.name)
        if not text:
            return option.default
        try:
            return option.accept(
                text if option.kind is not Kind.DURATION or text[-1:].isalpha() else f"{text} s"
            )
        except ValueError as problem:
            raise InvalidInputError(
                f"{self.url}: option {option.name}: {text!r}: {problem}",
                hint=f"expected {option.expected()}",
                option=option.name,
            ) from problem


def parse_location(url: str | os.PathLike[str], options: Mapping[str, object] | None = None) -> StoreLocation:
    """The location that a URL or a path names, with its options and those given besides.

    InvalidInputError for a scheme that is not known, a URL without a bucket, and credentials in a URL.
    """
    text = os.fspath(url)
    given = {name: _as_text(value) for name, value in (options or {}).items() if value is not None}
    scheme, separator, rest = text.partition("://")
    if not separator:
        _check(text, bool(text.strip()), "is empty", "give a directory, or a URL such as s3://bucket/prefix")
        before, colon, behind = text.partition(":")
        likely = f"{before.lower()}://{behind.lstrip('/')}"
        meant = f"write {likely} for the store, or ./{text} for a directory"
        _check(text, not (colon and before.lower() in SCHEMES), "is neither a URL nor clearly a path", meant)
        return StoreLocation(scheme="file", bucket="", prefix=os.path.abspath(text), options=given)
    known = SCHEMES.get(scheme.lower())
    shown = f"{scheme}://…"
    if known is None:
        raise InvalidInputError(
            f"{shown}: no store has the scheme {scheme!r}",
            hint=f"known are {', '.join(f'{name}://' for name in SCHEMES)} and paths of directories",
        )
    rest, _, query = rest.partition("?")
    said = dict(parse_qsl(query, keep_blank_values=True))
    for name in said:
        _check(shown, name not in SECRET_OPTIONS, f"has {name} in it", _NO_SECRETS)
    place, _, prefix = rest.partition("/")
    _check(shown, "@" not in place, "has credentials in it", _NO_SECRETS)
    merged = {**said, **given}
    if known == "file":
        _check(text, place in ("", "localhost"), f"names the host {place!r}", "write file:///path")
        _check(text, bool(prefix), "names no directory", "write file:///path")
        return StoreLocation(
            scheme=known, bucket="", prefix=os.path.abspath(f"/{unquote(prefix)}"), options=merged
        )
    _check(text.partition("?")[0], bool(place), "names no bucket", f"write {scheme}://bucket/prefix")
    _check_prefix(text.partition("?")[0], prefix.strip("/"))
    return StoreLocation(scheme=known, bucket=place, prefix=prefix.strip("/"), options=merged)


def check_outside(url: str | os.PathLike[str], directory: str, what: str) -> None:
    """InvalidInputError if a store lies in the directory of an instance: it would be lost together with it."""
    location = parse_location(url)
    inside = os.path.isabs(directory) and f"{location.prefix}/".startswith(f"{directory}/")
    if location.scheme == "file" and inside:
        raise InvalidInputError(
            f"{location.prefix} lies in the directory of the instance, and {what} there would be lost with it",
            hint="name a directory elsewhere, best on another disk",
        )


def join(url: str | os.PathLike[str], name: str) -> str:
    """The URL of a place below another, with the options of that: `join("s3://b/x?region=r", "y")`."""
    text = os.fspath(url)
    if "://" not in text:
        return os.path.join(text, name)
    base, question, query = text.partition("?")
    return f"{base.rstrip('/')}/{name}{question}{query}"


def shown_url(url: str | os.PathLike[str]) -> str:
    """The URL as it may be printed: without options and credentials. Never fails."""
    text = os.fspath(url)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    place, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


_NO_SECRETS = (
    "URLs end up in logs and process lists; pass credentials by the environment, a profile or an argument"
)


def _check(shown: str, fine: bool, what: str, hint: str) -> None:
    if not fine:
        raise InvalidInputError(f"{shown!r} {what}", hint=hint)


def _check_prefix(shown: str, prefix: str) -> None:
    bad = [part for part in prefix.split("/") if part in ("", ".", "..")] if prefix else []
    _check(shown, not bad and "\0" not in prefix, "is no place for a store", "leave out '.', '..' and '//'")


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
