"""The form of our keys, and the keyed hash under which they are stored.

A key is a prefix and 40 base62 characters, of which the last six are a CRC-32 of everything before: scanners for secrets
recognise it, and a typing error differs from a key that does not exist.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from typing import Final

CLIENT: Final = "sk-sluice-"
ADMIN: Final = "sk-admin-"
PREFIX_LENGTH: Final = 14
"""How many characters of a key are stored, so that people can tell keys apart."""

_ALPHABET: Final = string.digits + string.ascii_letters
_RANDOM: Final = 34
_CHECK: Final = 6
_BODY: Final = re.compile(rf"[0-9A-Za-z]{{{_RANDOM + _CHECK}}}")
_PURPOSE: Final = b"sluice client keys 1"


def make_key(prefix: str = CLIENT) -> str:
    """Make a new key."""
    text = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return text + _check(text)


def is_ours(text: str, prefix: str = CLIENT) -> bool:
    """Tell whether ``text`` begins like a key of ours."""
    return text.startswith(prefix)


def is_sound(text: str, prefix: str = CLIENT) -> bool:
    """Tell whether ``text`` has the form of a key of ours, with the right check characters."""
    fits = text.startswith(prefix) and _BODY.fullmatch(text, len(prefix)) is not None
    return fits and text[-_CHECK:] == _check(text[:-_CHECK])


class Hasher:
    """Hashes keys with each of the operator's secrets; new hashes are made with the first."""

    def __init__(self, operator_secrets: Sequence[str]) -> None:
        self._keys = [hmac.digest(one.encode(), _PURPOSE, "sha256") for one in operator_secrets]
        self.marks = tuple(hashlib.sha256(one).hexdigest()[:16] for one in self._keys)

    def digest(self, key: str) -> str:
        """Return the hash of a key with the first secret."""
        return _hash(self._keys[0], key)

    def digests(self, key: str) -> list[str]:
        """Return the hashes of a key with all secrets, in their order."""
        return [_hash(one, key) for one in self._keys]


def _hash(secret: bytes, key: str) -> str:
    return hmac.digest(secret, key.encode("utf-8", "surrogateescape"), "sha256").hex()


def _check(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
