"""The key that backups and the archive are encrypted with: 32 bytes, from a file or the environment, shown to nobody.

    ABSDB_BACKUP_KEY       64 hex digits, or 44 characters of base64
    a key file             the same as text, or 32 bytes as they are

A key is known by its *id*, the first 8 bytes of the SHA-256 of "absdb key id" and the key: it is stored beside what was
encrypted, so that a wrong key is told from damage. Losing the key is losing what it encrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping

from absdb.errors import InvalidInputError, StorageError
from absdb.io.secret_files import read_secret_file

KEY_BYTES = 32
KEY_VARIABLE = "ABSDB_BACKUP_KEY"


class Key:
    """A key. Its text forms show the id only."""

    __slots__ = ("_secret", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise InvalidInputError(f"a key has {KEY_BYTES} bytes, not {len(secret)}")
        self._secret = secret
        self.id = hashlib.sha256(b"absdb key id" + secret).digest()[:8].hex()

    def secret(self) -> bytes:
        """The 32 bytes, for deriving keys of files from."""
        return self._secret

    def __repr__(self) -> str:
        return f"<Key {self.id}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not pickled")


def new_key_text() -> str:
    """A new random key as 64 hex digits, for a key file."""
    return secrets.token_hex(KEY_BYTES)


def find_key(file: str = "", *, environment: Mapping[str, str] | None = None) -> Key | None:
    """The key in `file`, or else in ABSDB_BACKUP_KEY; None if neither is given. InvalidInputError if it is no key."""
    if file:
        return Key(_secret_of(_bytes_of(file), f"the key file {file}"))
    text = (os.environ if environment is None else environment).get(KEY_VARIABLE, "")
    return (
        Key(_secret_of(text.encode(), f"the environment variable {KEY_VARIABLE}")) if text.strip() else None
    )


def _bytes_of(file: str) -> bytes:
    try:
        return read_secret_file(file, at_most=4096)
    except StorageError as error:
        raise InvalidInputError(
            f"the key file {file} cannot be read: {error.strerror}",
            hint="make one with `absdb admin new-key FILE`",
        ) from error


def _secret_of(data: bytes, where: str) -> bytes:
    """The key in what was found; an error never shows any of it."""
    if len(data) == KEY_BYTES:
        return data
    text = data.strip()
    if len(text) == 2 * KEY_BYTES:
        try:
            return bytes.fromhex(text.decode("ascii"))
        except ValueError:
            pass
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise InvalidInputError(
            f"{where} holds no key: {len(data)} bytes that are not 32 bytes, 64 hex digits or base64 of 32 bytes",
            hint="make one with `absdb admin new-key FILE`",
        )
    return secret
