"""How signatures of one model's reasoning travel through another surface's slots.

A signature leaves as ``slr1.`` and a token that holds its maker's dialect, realm and value,
sealed with the operator's key for the caller's tenant. Text without that tag is native to the
dialect that brought it; a token that does not open (another tenant's, an old key's) fits no
target, so it is left out with a warning.

The key is found without opening the store, because stateless calls wrap too.

Tests: tests/lifecycle/test_sealing.py.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
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
"""What stands for a token that cannot be opened; no target accepts it."""


class Wrapping:
    """Seals and opens signatures; the key is looked for at the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sealer: Sealer | None = None

    def of(self, tenant: str) -> Sealing:
        """Return the pair that serves the calls of ``tenant``."""
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
    """Return the operator's keys, or the one beside the SQLite file; where none can be kept,
    one that lives as long as the process."""
    from app.state.database import parse_url

    try:
        return load_keys(
            sealing_variables(key.reveal() for key in settings.secret_keys), parse_url(settings.database_url)
        )
    except (OSError, ValueError) as error:
        _LOG.warning("reasoning is sealed with a key of this process alone: %s", error)
        return [secrets.token_urlsafe(32)]


def make_sealing(settings: Settings) -> Callable[[str], Sealing]:
    """Return what gives each tenant its pair."""
    return Wrapping(settings).of
