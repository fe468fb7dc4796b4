"""Seal signatures of one model's reasoning, so that they can travel in another surface's slots.

A signature goes out as ``slr1.`` and a token that holds its dialect, realm and value, sealed with the
operator's key for the caller's tenant. Text without that tag is native to the dialect that it came in. A
token that cannot be opened (another tenant's, an old key's) fits no target, so it is left out with a warning.

The key is read without opening the store, because stateless calls seal, too.

Tests: tests/lifecycle/test_sealing.py.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import Any, Final

from app.canonical.request import Signature
from app.config import Settings
from app.gateway.call import Sealing
from app.state.crypto import Sealer, load_keys, sealing_variables
from app.wire.json import dumps, loads_lenient

_TAG: Final = "slr1."
_LOG: Final = logging.getLogger(__name__)

UNREADABLE: Final = Signature("", "unreadable", "unreadable")
"""The signature in place of a token that cannot be opened; no target accepts it."""


class SignatureSealer:
    """Seals and opens signatures; it reads the key at the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sealer: Sealer | None = None

    def __call__(self, tenant: str) -> Sealing:
        """Return the pair of functions for the calls of ``tenant``."""
        bound = tenant.encode()
        return Sealing(partial(self._wrap, bound), partial(self._unwrap, bound))

    def _wrap(self, tenant: bytes, signature: Signature) -> str:
        members: dict[str, Any] = {"d": signature.dialect, "r": signature.realm, "v": signature.value}
        if signature.thought is not None:
            members["f"], members["x"] = signature.thought
        return _TAG + self._get_sealer().seal(dumps(members), tenant)

    def _unwrap(self, tenant: bytes, text: str) -> Signature | None:
        if not text.startswith(_TAG):
            return None
        opened = self._get_sealer().unseal(text[len(_TAG) :], tenant)
        if opened is None:
            return UNREADABLE
        members = loads_lenient(opened)
        thought = (members["f"], members["x"]) if "f" in members else None
        return Signature(members["v"], members["d"], members["r"], thought)

    def _get_sealer(self) -> Sealer:
        if self._sealer is None:
            self._sealer = Sealer(_keys(self._settings))
        return self._sealer


def _keys(settings: Settings) -> list[str]:
    """Return the operator's keys, or the one beside the SQLite file, or a new one for this process alone."""
    from app.state.database import parse_url

    try:
        return load_keys(
            sealing_variables(key.reveal() for key in settings.secret_keys), parse_url(settings.database_url)
        )
    except (OSError, ValueError) as error:
        _LOG.warning("reasoning is sealed with a key of this process alone: %s", error)
        return [secrets.token_urlsafe(32)]
