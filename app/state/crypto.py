"""The operator's secrets, and sealing by them what clients carry for the gateway: compaction, wrapped reasoning.

``SLUICE_SECRET_KEY`` is a list with commas: the first secret seals, all of them unseal, so a secret can be replaced. Any
text serves, because keys are derived from it by HKDF. Without the variable a random secret is stored in a file beside the
SQLite file, with mode 0600; several machines (PostgreSQL) must be given one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from sqlalchemy.engine import URL

VARIABLE: Final = "SLUICE_SECRET_KEY"
_DIGEST: Final = hashlib.sha256().digest_size
_PURPOSE: Final = b"sluice sealer 1"


class Sealer:
    """Encrypts and authenticates bytes, bound to what they belong to.

    The library, 10 MiB of a worker's memory, is loaded when something is sealed.
    """

    def __init__(self, operator_secrets: Sequence[str]) -> None:
        if not operator_secrets:
            raise ValueError(f"{VARIABLE} holds no key")
        self._secrets = tuple(operator_secrets)

    @cached_property
    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        keys = (derive_key(secret, _PURPOSE) for secret in self._secrets)
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def seal(self, data: bytes, aad: bytes = b"") -> str:
        """Return ``data`` as a URL-safe token that only opens with the same ``aad``."""
        return self._fernet.encrypt(hashlib.sha256(aad).digest() + data).decode("ascii")

    def unseal(self, token: str, aad: bytes = b"") -> bytes | None:
        """Return what was sealed; None when token, key or ``aad`` is not ours."""
        from cryptography.fernet import InvalidToken

        try:
            plaintext = self._fernet.decrypt(token.encode("utf-8", "replace"))
        except InvalidToken:
            return None
        digest, data = plaintext[:_DIGEST], plaintext[_DIGEST:]
        return data if hmac.compare_digest(digest, hashlib.sha256(aad).digest()) else None


def sealing_variables(keys: Iterable[str]) -> dict[str, str]:
    """Return the environment that `load_keys` reads, for keys that are known already."""
    value = ",".join(keys)
    return {VARIABLE: value} if value else {}


def load_keys(environ: Mapping[str, str], database: URL) -> list[str]:
    """Return the secrets, the sealing one first.

    Raises ``ValueError`` when there are none and the database is PostgreSQL.
    """
    keys = [key.strip() for key in environ.get(VARIABLE, "").split(",") if key.strip()]
    if keys:
        return keys
    if database.get_backend_name() != "sqlite" or not database.database:
        raise ValueError(
            f"{VARIABLE} must be set when DATABASE_URL is PostgreSQL: every process needs the same key"
        )
    return [_from_file(Path(database.database).with_suffix(".key"))]


def _from_file(path: Path) -> str:
    """Read the secret beside the database; make it first, whole or not at all."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    return path.read_text().strip()


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name unless another process was first."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def derive_key(secret: str, purpose: bytes) -> bytes:
    """Return the 32-byte key that HKDF derives from a secret for one purpose."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
