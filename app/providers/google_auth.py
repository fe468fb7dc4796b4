"""Authentication at Google Cloud: a token of the settings, a credentials file, or those of the machine.

google-auth gets the tokens; its HTTP goes through the provider's own transport. The
library is imported for the first token.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from app.config import ProviderKey, ProviderSettings
from app.errors import GatewayError
from app.providers import tokens
from app.providers.base import Outgoing
from app.providers.tokens import Token, TokenSource
from app.wire.egress import Transport

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_QUOTA: Final = "x-goog-user-project"


class GoogleAuth:
    """``Authorization: Bearer`` with the key as it is, else with a fetched token."""

    def __init__(self, settings: ProviderSettings, transport: Transport) -> None:
        self._source = GoogleCredentials(settings.options.get("credentials_file"), transport)
        self._tokens = TokenSource(self._source.fetch)

    def headers(
        self, key: ProviderKey | None, settings: ProviderSettings, outgoing: Outgoing
    ) -> Mapping[str, str]:
        """Return the Authorization header, and who pays where the credentials say so."""
        if key is not None:
            return {"authorization": f"Bearer {key.secret.reveal()}"}
        headers = {"authorization": f"Bearer {self._tokens.token()}"}
        payer = self._source.quota_project
        return headers | {_QUOTA: payer} if payer else headers


class GoogleCredentials:
    """Credentials of a file (service account, user, federation), or Google's own search for some."""

    def __init__(self, file: str | None, transport: Transport) -> None:
        self._file = file
        self._transport = transport
        self._credentials: Any = None

    @property
    def quota_project(self) -> str | None:
        """The project that pays for user credentials, once they are loaded."""
        return getattr(self._credentials, "quota_project_id", None)

    def fetch(self) -> Token:
        """Return a new token; raises ``upstream_auth`` when Google refuses."""
        try:
            from google.auth import exceptions
        except ImportError as error:
            raise tokens.missing_library("google") from error
        try:
            if self._credentials is None:
                self._credentials = self._load()
            self._credentials.refresh(self._request)
        except exceptions.DefaultCredentialsError as error:
            raise GatewayError(
                "provider_not_configured",
                "No Google credentials were found or they cannot be read. Set GOOGLE_APPLICATION_CREDENTIALS.",
                param="model",
                raw=str(error)[:500],
            ) from error
        except (exceptions.GoogleAuthError, OSError, ValueError) as error:
            raise tokens.refusal("Google", error) from error
        expiry = self._credentials.expiry.replace(tzinfo=UTC)  # naive, by this machine's clock
        return Token(self._credentials.token, expiry.timestamp() - time.time())

    def _load(self) -> Any:
        import google.auth

        if self._file:
            with warnings.catch_warnings():  # it warns of untrusted files; this one is the operator's
                warnings.simplefilter("ignore", DeprecationWarning)
                return google.auth.load_credentials_from_file(self._file, scopes=list(SCOPES))[0]
        request: Any = self._request  # google-auth asks for its own class, and calls it
        return google.auth.default(scopes=list(SCOPES), request=request)[0]

    def _request(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> tokens.Reply:
        """Send a request for google-auth: its transport interface."""
        data = body.encode() if isinstance(body, str) else body
        return tokens.call(self._transport, method, url, dict(headers or {}), data)
