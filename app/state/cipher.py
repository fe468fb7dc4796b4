"""Encryption at rest: columns that the database holds sealed, where the operator asks for it.

AES-256-GCM with keys from ``SLUICE_SECRET_KEY``. A sealed value is a mark, the key's id, a fresh nonce, then the sealed
bytes. A value that is not sealed is read as it is, and a value that an older key sealed is read with that key; so the
setting and the first key may change at any time, and ``sluice db reencrypt`` rewrites the stored values. Ids, times,
tenants, statuses, names of models and digests of files stay readable, because the database works with them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from app.errors import GatewayError
from app.state.crypto import derive_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MARK: Final = b"\x00sluice\x01"
_ID: Final = 8
_NONCE: Final = 12
_PURPOSE: Final = b"sluice at rest 1"
_HEAD: Final = len(_MARK) + _ID


class Unreadable(GatewayError):
    """A stored value that no key of the operator opens."""


class Cipher:
    """Seals and opens the bytes of columns; ``seals`` says whether new ones are sealed.

    The library is loaded when something is sealed or opened.
    """

    def __init__(self, operator_secrets: Sequence[str], *, seals: bool) -> None:
        self.seals = seals
        self._secrets = tuple(operator_secrets)

    @cached_property
    def _by_id(self) -> dict[bytes, AESGCM]:
        """The keys by id, the sealing one first."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        keys = [derive_key(secret, _PURPOSE) for secret in self._secrets]
        return {hashlib.sha256(key).digest()[:_ID]: AESGCM(key) for key in keys}

    def write(self, data: bytes) -> bytes:
        """Return what is stored for ``data``; bytes that look sealed are sealed in any case."""
        if not self.seals and not data.startswith(_MARK):
            return data
        identity, key = next(iter(self._by_id.items()))
        head, nonce = _MARK + identity, os.urandom(_NONCE)
        return head + nonce + key.encrypt(nonce, data, head)

    def read(self, data: bytes) -> bytes:
        """Return what was stored; raises ``store_unavailable`` when no key of the operator opens it."""
        if not data.startswith(_MARK):
            return data
        from cryptography.exceptions import InvalidTag

        head, nonce = data[:_HEAD], data[_HEAD : _HEAD + _NONCE]
        key = self._by_id.get(head[len(_MARK) :])
        if key is None:
            raise _unreadable("with a key that SLUICE_SECRET_KEY does not hold")
        try:
            return key.decrypt(nonce, data[_HEAD + _NONCE :], head)
        except InvalidTag as error:
            raise _unreadable("and was changed since") from error

    def is_current(self, data: bytes) -> bool:
        """Tell whether stored bytes are as `write` would store them now."""
        is_sealed = data.startswith(_MARK)
        if not self.seals:
            return not is_sealed or self.read(data).startswith(_MARK)
        return is_sealed and data[len(_MARK) : _HEAD] == next(iter(self._by_id))


def _unreadable(how: str) -> Unreadable:
    return Unreadable(
        "store_unavailable",
        "The response store is not available at the moment. Please try again.",
        raw=f"a stored value was sealed {how}",
    )
