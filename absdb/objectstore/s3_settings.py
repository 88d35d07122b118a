"""Where a bucket is and how it is talked to, from the options of a URL, the environment and the profile of AWS.

    s3://bucket/prefix                                                          Amazon, region of the environment
    s3://bucket/prefix?endpoint=https://nyc3.digitaloceanspaces.com             another provider
    s3://bucket/prefix?endpoint=http://127.0.0.1:9000&path_style=true           a server of one's own

The name of the bucket is part of the host, or of the path for endpoints of one's own and for names with dots, which no
certificate covers. Used by s3.py.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from absdb.clock import Clock
from absdb.errors import InvalidInputError
from absdb.objectstore.aws_endpoints import (
    container_credentials,
    instance_credentials,
    web_identity_credentials,
)
from absdb.objectstore.aws_profile import AwsProfile, credentials_of_environment
from absdb.objectstore.credentials import Credentials, CredentialSource
from absdb.objectstore.location import SECRET_OPTIONS, StoreLocation
from absdb.objectstore.request import encoded
from absdb.objectstore.retry import RetryPolicy

OPTIONS: Mapping[str, str] = {
    "region": "region of the bucket; else AWS_REGION, AWS_DEFAULT_REGION, the profile, us-east-1",
    "endpoint": "URL of the server; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile, Amazon's",
    "path_style": "the bucket in the path instead of the host; usual where there is an endpoint",
    "profile": "name of a profile of ~/.aws, instead of what the environment says",
    "access_key": "id of the key; only as an argument",
    "secret_key": "the key itself; only as an argument",
    "session_token": "what belongs to a key that was lent; only as an argument",
    "part_size": "bytes in a part of a large object, at least (8 MiB)",
    "max_parts": "how many parts the provider allows for one object (10000)",
    "concurrency": "how many parts are on their way at once (4)",
    "ordered": "whether the provider lists in the order of names as bytes (true)",
    "checksums": "whether CRC-32C is sent besides SHA-256 (true)",
    "deadline": "seconds after which a request is not tried again (120)",
    "idle": "seconds without progress after which an attempt is given up (30)",
}

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
LARGEST_PART = 5 * GIB
LARGEST_OBJECT = 5 * TIB
_SMALLEST_PART = 5 * MIB
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,253}[a-z0-9]", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """All that there is to know about a bucket before anything is sent."""

    bucket: str
    prefix: str
    region: str
    base_url: str
    is_amazon: bool
    part_size: int
    max_parts: int
    concurrency: int
    ordered: bool
    checksums: bool
    policy: RetryPolicy

    def url(self, key: str = "") -> str:
        """The URL of the bucket, or of an object by its whole key, with the path encoded once."""
        return f"{self.base_url}/{encoded(key, keep='/')}" if key else self.base_url

    def key(self, name: str) -> str:
        """The key of an object by its name in the store."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def name(self, key: str) -> str:
        """The name of an object by its key."""
        return key[len(self.prefix) + 1 :] if self.prefix else key


def read_settings(
    location: StoreLocation, clock: Clock, environment: Mapping[str, str] | None = None
) -> tuple[S3Settings, CredentialSource]:
    """What a location and the environment say; InvalidInputError for what cannot be."""
    environment = os.environ if environment is None else environment
    location.only(OPTIONS)
    if not _BUCKET.fullmatch(location.bucket):
        raise InvalidInputError(
            f"{location.bucket!r} cannot be the name of a bucket",
            hint="3 to 255 of a-z, 0-9, '.', '-' and '_'",
        )
    profile = AwsProfile(location.text("profile"), environment)
    region = (
        location.text("region")
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or profile.value("region")
        or "us-east-1"
    )
    endpoint = (
        location.text("endpoint")
        or environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
        or profile.value("endpoint_url")
    )
    settings = S3Settings(
        bucket=location.bucket,
        prefix=location.prefix,
        region=region,
        base_url=_base_url(location, endpoint, region),
        is_amazon=not endpoint,
        part_size=location.size("part_size", 8 * MIB, minimum=_SMALLEST_PART, maximum=LARGEST_PART),
        max_parts=location.count("max_parts", 10_000, minimum=2, maximum=10_000),
        concurrency=location.count("concurrency", 4, maximum=64),
        ordered=location.flag("ordered", True),
        checksums=location.flag("checksums", True),
        policy=RetryPolicy(
            deadline_s=location.seconds("deadline", 120.0), idle_s=location.seconds("idle", 30.0)
        ),
    )
    return settings, _credentials(location, profile, environment, region, clock)


def _base_url(location: StoreLocation, endpoint: str, region: str) -> str:
    bucket = location.bucket
    if not endpoint:
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        endpoint = f"https://s3.{region}.{domain}"
        path_style = location.flag("path_style", "." in bucket)
    else:
        path_style = location.flag("path_style", True)
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInputError(
            f"{location.url}: the endpoint {parts.scheme}://{parts.hostname} is no URL of a server",
            hint="write https://host or http://host:port",
        )
    if "@" in parts.netloc:
        raise InvalidInputError(f"{location.url}: the endpoint has credentials in it", hint="leave them out")
    path = parts.path.rstrip("/")
    if path_style:
        return f"{parts.scheme}://{parts.netloc}{path}/{bucket}"
    return f"{parts.scheme}://{bucket}.{parts.netloc}{path}"


def _credentials(
    location: StoreLocation, profile: AwsProfile, environment: Mapping[str, str], region: str, clock: Clock
) -> CredentialSource:
    if given := [name for name in sorted(SECRET_OPTIONS) if location.text(name)]:
        access_key, secret_key = location.text("access_key"), location.text("secret_key")
        if not (access_key and secret_key):
            raise InvalidInputError(
                f"{location.url}: {', '.join(given)} given", hint="access_key and secret_key go together"
            )
        fixed = Credentials(access_key, secret_key, location.text("session_token"))
        return CredentialSource([lambda: fixed])
    if location.text("profile"):
        return CredentialSource([profile.credentials])
    return CredentialSource(
        [
            lambda: credentials_of_environment(environment),
            lambda: web_identity_credentials(environment, region, clock),
            profile.credentials,
            lambda: container_credentials(environment, clock),
            lambda: instance_credentials(environment, clock),
        ]
    )
