"""Where credentials for S3 come from, in the order in which they are looked for.

    1. the options access_key, secret_key, session_token
    2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
    3. AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN: exchanged at STS (pods of EKS)
    4. the profile: option `profile`, AWS_PROFILE or `default`, of ~/.aws/credentials and ~/.aws/config
    5. AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI: asked for (tasks of ECS, pods of EKS)
    6. the metadata service of an instance (EC2), unless AWS_EC2_METADATA_DISABLED is true

Those that expire are fetched anew five minutes before. A named profile comes before the environment. Secrets appear in
no representation and no error. Used by s3_signing.py and s3_settings.py.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from absdb.errors import StateError

_EARLY_US = 300_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What requests are signed with; `expires_us` is µs since 1970 UTC, None if they stay."""

    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(default="", repr=False)
    expires_us: int | None = None


Find = Callable[[], Credentials | None]


class CredentialSource:
    """The first credentials that one of several places has. Safe for many threads."""

    def __init__(self, places: Sequence[Find]) -> None:
        self._places = places
        self._mutex = threading.Lock()
        self._found: Credentials | None = None

    def current(self, now_us: int) -> Credentials:
        """The credentials for a request at `now_us`; StateError if no place has any."""
        with self._mutex:
            found = self._found
            if found is None or (found.expires_us is not None and found.expires_us - _EARLY_US <= now_us):
                found = self._found = self._look()
            return found

    def refresh(self) -> bool:
        """Look again; False if what is there is what was refused."""
        with self._mutex:
            before, self._found = self._found, self._look()
            return before != self._found

    def _look(self) -> Credentials:
        for find in self._places:
            found = find()
            if found is not None:
                return found
        raise StateError(
            "there are no credentials for S3",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile by AWS_PROFILE",
        )

    def __repr__(self) -> str:
        return "<CredentialSource>"
