"""Credentials on the way out: bearer tokens and key headers.

Cloud signatures live beside their providers' own modules (imported at first use).
"""

from __future__ import annotations

from collections.abc import Mapping

from app.canonical.record import record
from app.config import ProviderKey, ProviderSettings
from app.providers.base import Outgoing


@record
class BearerAuth:
    """``Authorization: Bearer KEY``; nothing where no key is given."""

    def headers(
        self, key: ProviderKey | None, settings: ProviderSettings, outgoing: Outgoing
    ) -> Mapping[str, str]:
        """Return the Authorization header."""
        return {} if key is None else {"authorization": f"Bearer {key.secret.reveal()}"}


@record
class HeaderAuth:
    """The key in a header of its own, such as ``x-api-key``."""

    name: str

    def headers(
        self, key: ProviderKey | None, settings: ProviderSettings, outgoing: Outgoing
    ) -> Mapping[str, str]:
        """Return that header."""
        return {} if key is None else {self.name: key.secret.reveal()}
