"""Encryption of stored files: AES-256-GCM, part by part, so that any part can be opened alone and none moved.

    bytes  field
        8  magic        b"ABSDBENC"
        2  version      1, big-endian like all numbers here
        8  key id       which key opens it (key.py)
       16  salt         random; the file's own key is HKDF-SHA256(key, salt, "absdb stored file")
    then for each part
        4  length       of the ciphertext with its tag; the highest bit is set on the last part
        n  ciphertext and 16 bytes of tag

The nonce of a part is its number (each file has its own key, so none comes twice). Authenticated with it: the header,
the length field, and the *context*, which is the file's name in the backup or archive. So a part that was changed, left
out, repeated, moved to another place or another file, or a file that was cut short, does not open.

Sources: NIST SP 800-38D (GCM), RFC 5869 (HKDF); the construction is that of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár
2015), with the number of the part in the nonce and the end marked in what is authenticated.
"""

from __future__ import annotations

import secrets
import struct
from typing import Any

from absdb.backup.codec.key import Key
from absdb.errors import CorruptionError, FormatVersionError, StateError

MAGIC = b"ABSDBENC"
VERSION = 1
_HEADER = struct.Struct(">8sH8s16s")
_LENGTH = struct.Struct(">I")
HEADER_BYTES = _HEADER.size
LENGTH_BYTES = _LENGTH.size
TAG_BYTES = 16
OVERHEAD_BYTES = LENGTH_BYTES + TAG_BYTES
LAST = 1 << 31


class Sealing:
    """One file's key, for sealing its parts or opening them. Safe for many threads."""

    def __init__(self, key: Key, context: str, header: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        self.header = header
        salt = _HEADER.unpack(header)[3]
        secret = HKDF(SHA256(), 32, salt, b"absdb stored file").derive(key.secret())
        self._cipher = AESGCM(secret)
        self._bound = header + context.encode()

    def seal(self, number: int, part: Any, *, last: bool) -> bytes:
        """Length field and ciphertext of part `number`, counted from 0."""
        length = _LENGTH.pack(len(part) + TAG_BYTES | (LAST if last else 0))
        return length + self._cipher.encrypt(_nonce(number), part, self._bound + length)

    def open(self, number: int, sealed: Any, *, last: bool) -> bytes:
        """The part; CorruptionError if it is not what was sealed at this place of this file."""
        from cryptography.exceptions import InvalidTag

        length, marked = length_of(sealed)
        if length != len(sealed) - LENGTH_BYTES or marked != last:
            raise CorruptionError(f"part {number} is not as long as it says, or not where it belongs")
        bound = self._bound + bytes(sealed[:LENGTH_BYTES])
        try:
            return self._cipher.decrypt(_nonce(number), sealed[LENGTH_BYTES:], bound)
        except InvalidTag as error:
            raise CorruptionError(f"part {number} was changed, or belongs to another file") from error


def begin(key: Key, context: str) -> Sealing:
    """For a new file: its header is the first that is written."""
    header = _HEADER.pack(MAGIC, VERSION, bytes.fromhex(key.id), secrets.token_bytes(16))
    return Sealing(key, context, header)


def resume(key: Key | None, context: str, header: bytes) -> Sealing:
    """For a stored file, from its first HEADER_BYTES. StateError if the key is not the one, or there is none."""
    if len(header) < HEADER_BYTES or header[:8] != MAGIC:
        raise CorruptionError(f"{context}: not an encrypted file")
    _, version, key_id, _ = _HEADER.unpack(header[:HEADER_BYTES])
    if version != VERSION:
        raise FormatVersionError(
            f"{context}: encryption format {version}, this absdb knows {VERSION}",
            hint="use the absdb that wrote it, or a newer one",
            path=context,
            found=version,
            known=VERSION,
        )
    if key is None or key.id != key_id.hex():
        found = "there is no key" if key is None else f"the key given is {key.id}"
        raise StateError(
            f"{context} is encrypted with key {key_id.hex()}, and {found}",
            hint="set ABSDB_BACKUP_KEY, or name the key file: backup_key_file, --key-file",
        )
    return Sealing(key, context, header[:HEADER_BYTES])


def length_of(sealed: Any) -> tuple[int, bool]:
    """Bytes of ciphertext that follow a length field, and whether the part is the last one."""
    (length,) = _LENGTH.unpack_from(sealed)
    return length & (LAST - 1), bool(length & LAST)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
