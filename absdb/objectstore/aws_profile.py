"""What the environment and the files ~/.aws/credentials and ~/.aws/config say about S3.

Files are read when they are needed, and again when credentials are refreshed. What a profile asks for and is not done
here (other programs, single sign-on, other roles) is an error, not passed over. Used by s3_settings.py.
"""

from __future__ import annotations

import configparser
import errno
import os
from collections.abc import Mapping

from absdb.errors import InvalidInputError, NotFoundError, StateError, StorageError
from absdb.io.text_files import read_text
from absdb.objectstore.credentials import Credentials

_ELSEWHERE = ("credential_process", "sso_session", "sso_start_url", "role_arn", "credential_source")


class AwsProfile:
    """One profile; `named` is "" for that of AWS_PROFILE, or `default`."""

    def __init__(self, named: str, environment: Mapping[str, str]) -> None:
        self._asked = named or environment.get("AWS_PROFILE", "")
        self._environment = environment
        self.name = self._asked or "default"

    def value(self, key: str) -> str:
        """What the profile says about a key, "" if nothing; NotFoundError for a profile that was asked for by name."""
        return self._read().get(key, "")

    def credentials(self) -> Credentials | None:
        """Those of the profile, None if it has none."""
        profile = self._read()
        access_key, secret_key = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
        if access_key and secret_key:
            return Credentials(access_key, secret_key, profile.get("aws_session_token", ""))
        for key in _ELSEWHERE:
            if key in profile and self._asked:
                raise StateError(
                    f"the AWS profile {self.name!r} gets its credentials by {key}, which absdb does not do",
                    hint=f"run: eval $(aws configure export-credentials --profile {self.name} --format env)",
                )
        return None

    def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        is_there = False
        for variable, usual, section in (
            ("AWS_CONFIG_FILE", "~/.aws/config", self._config_section()),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", self.name),
        ):
            path = self._environment.get(variable) or usual
            parsed = _parsed(os.path.expanduser(path))
            if parsed.has_section(section):
                is_there = True
                found.update(parsed.items(section))
        if self._asked and not is_there:
            raise NotFoundError(
                f"there is no AWS profile {self.name!r}", hint="look at ~/.aws/credentials and ~/.aws/config"
            )
        return found

    def _config_section(self) -> str:
        return "default" if self.name == "default" else f"profile {self.name}"


def credentials_of_environment(environment: Mapping[str, str]) -> Credentials | None:
    """Those of the AWS_ variables; None if they are not set."""
    access_key, secret_key = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, environment.get("AWS_SESSION_TOKEN", ""))


def _parsed(path: str) -> configparser.RawConfigParser:
    """The sections of a file; none if there is no such file."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(read_text(path))
    except StorageError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
    except configparser.Error as error:
        # Its own message repeats the line, which may be a secret.
        raise InvalidInputError(f"{path} is no file of AWS profiles: {type(error).__name__}") from None
    return parser
