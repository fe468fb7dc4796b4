"""Authentication at Azure: an API key, a token of the settings, or a client secret of Entra.

With a client secret, msal gets the token; its HTTP goes through the provider's own
transport. The library is imported at the first such call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from app.config import ProviderKey, ProviderSettings, Secret
from app.errors import GatewayError
from app.providers import tokens
from app.providers.base import Outgoing, not_configured
from app.providers.tokens import Token, TokenSource
from app.wire.egress import Transport

AUTHORITY: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
MISSING: Final = (
    "Set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY (or a token, or a client secret of Entra)."
)
_ENTRA: Final = ("tenant_id", "client_id", "client_secret")


class AzureAuth:
    """An ``api-key`` header (``x-api-key`` to Claude), or a bearer token of Entra's."""

    def __init__(self, settings: ProviderSettings, transport: Transport) -> None:
        self._static_token: Secret | None = settings.options.get("token")
        self._tokens: TokenSource | None = None
        if all(settings.options.get(name) for name in _ENTRA):
            self._tokens = TokenSource(EntraClient(settings.options, transport).fetch)

    def headers(
        self, key: ProviderKey | None, settings: ProviderSettings, outgoing: Outgoing
    ) -> Mapping[str, str]:
        """Return the header of the key, else of the settings' token, else of a fetched one."""
        if key is not None:
            name = "x-api-key" if "anthropic-version" in outgoing.headers else "api-key"
            return {name: key.secret.reveal()}
        if self._static_token is not None:
            return {"authorization": f"Bearer {self._static_token.reveal()}"}
        if self._tokens is not None:
            return {"authorization": f"Bearer {self._tokens.token()}"}
        raise not_configured(settings.name, MISSING)


class EntraClient:
    """Gets tokens by the client-credentials grant."""

    def __init__(self, options: Mapping[str, Any], transport: Transport) -> None:
        self._options = options
        self._http = MsalHttp(transport)
        self._app: Any = None

    def fetch(self) -> Token:
        """Return a new token; raises ``upstream_auth`` when Entra refuses."""
        if self._app is None:
            self._app = self._make_app()
        self._app.remove_tokens_for_client()  # msal's own, which it keeps by a clock that may have been set
        answer = self._app.acquire_token_for_client(scopes=[self._options.get("scope") or SCOPE])
        if "access_token" not in answer:
            raise tokens.refusal("Entra", answer.get("error_description") or answer.get("error"))
        return Token(answer["access_token"], float(answer.get("expires_in", 3600)))

    def _make_app(self) -> Any:
        try:
            import msal
        except ImportError as error:
            raise tokens.missing_library("azure") from error
        authority = (self._options.get("authority") or AUTHORITY).rstrip("/")
        try:
            return msal.ConfidentialClientApplication(
                self._options["client_id"],
                client_credential=self._options["client_secret"].reveal(),
                authority=f"{authority if '://' in authority else f'https://{authority}'}/{self._options['tenant_id']}",
                http_client=self._http,
                instance_discovery=False,
            )
        except ValueError as error:  # an invalid authority, or a tenant that does not exist
            raise tokens.refusal("Entra", error) from error


class MsalHttp:
    """The ``requests``-like client that msal asks for, over a transport of ours."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, url: str, params: Any = None, headers: Any = None, **options: Any) -> MsalReply:
        """Send a GET."""
        return self._send("GET", f"{url}?{urlencode(params)}" if params else url, headers or {}, None)

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Any = None, **options: Any
    ) -> MsalReply:
        """Send a POST of form members."""
        target = f"{url}?{urlencode(params)}" if params else url
        form = {name: value for name, value in (data or {}).items() if value is not None}
        form_headers = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._send("POST", target, form_headers, urlencode(form).encode())

    def close(self) -> None:
        """Nothing to close: the transport is the provider's."""

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> MsalReply:
        reply = tokens.call(self._transport, method, url, {n: str(v) for n, v in headers.items()}, body)
        return MsalReply(reply.status, reply.headers, reply.data.decode("utf-8", "replace"))


class MsalReply(NamedTuple):
    """The members of an answer that msal reads."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def raise_for_status(self) -> None:
        """Raise for a status of failure."""
        if self.status_code >= 400:
            raise GatewayError("upstream_auth", f"Entra answered with status {self.status_code}.")
