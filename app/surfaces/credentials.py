"""Authentication: from a request's headers to a Principal.

The key is in ``Authorization: Bearer``, else in the first header of the rule that is set, else in the query, if the rule
allows that. Keys of the configuration come first: they are found by a keyed hash, so nothing is compared with a secret.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_plus

from werkzeug.wrappers import Request

from app.config import Settings
from app.errors import GatewayError
from app.gateway.call import Principal
from app.gateway.keys import KeyDirectory
from app.state.key_format import is_ours
from app.surfaces.mounts import Credentials

SUBPROTOCOLS: Final = "sec-websocket-protocol"
"""Header with the key of a WebSocket from a browser, which can set no other header."""
PRINCIPAL: Final = "sluice.principal"
"""Environ entry with the caller of an internal request; a request from outside cannot set it."""
KEY_IN_PROTOCOL: Final = "openai-insecure-api-key."


class KeyRing:
    """The accepted keys. An open gateway, or one without keys, accepts everyone (``browsers`` limits the latter)."""

    def __init__(self, settings: Settings, directory: KeyDirectory) -> None:
        self._directory = directory
        self._pepper = secrets.token_bytes(32)
        self._rows: dict[bytes, Principal] = {}
        for key in settings.keys:
            self._rows[self._digest(key.secret.reveal())] = directory.configured[key.tenant, key.name]
        if settings.master_key is not None:
            master = directory.keyless("master", "default", admin=True)
            self._rows[self._digest(settings.master_key.reveal())] = master
        self._open = directory.keyless("open", "default") if settings.open or not self._rows else None

    def authenticate(self, places: Credentials, request: Request) -> Principal:
        """Return the caller; raise GatewayError ``unauthenticated``."""
        internal: Principal | None = request.environ.get(PRINCIPAL)
        if internal is not None:
            return internal
        key = _presented_key(places, request)
        if places.query:
            _remove_from_query(places.query, request)
        if self._open is not None:
            return self._open
        if key is None:
            raise _missing_key_error(places, request)
        principal = self._rows.get(self._digest(key))
        if principal is not None:
            if self._directory.is_expired(principal):
                raise GatewayError("unauthenticated", "This API key has expired.")
            return principal
        if is_ours(key):
            return self._directory.find(key)
        raise GatewayError("unauthenticated", "Incorrect API key provided.")

    def is_client(self, secret: str) -> bool:
        """Tell whether ``secret`` is the key of a client."""
        if self._digest(secret) in self._rows:
            return True
        try:
            return is_ours(secret) and self._directory.find(secret) is not None
        except GatewayError as error:
            if error.kind.name != "unauthenticated":
                raise
            return False

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode("utf-8", "surrogateescape"), key=self._pepper, digest_size=32).digest()


def _missing_key_error(places: Credentials, request: Request) -> GatewayError:
    """Return the error for a request without a key, or with a credential of another scheme."""
    scheme, space, _ = request.headers.get("Authorization", "").partition(" ")  # without one it may be a key
    other = (
        f" A credential of the scheme '{scheme}' is not a key here." if space and len(scheme) <= 20 else ""
    )
    header = f" or in the header '{places.headers[0]}'" if places.headers else ""
    message = f"You didn't provide an API key.{other} Send it as 'Authorization: Bearer YOUR_KEY'{header}."
    return GatewayError("unauthenticated", message, code="")


def _remove_from_query(name: str, request: Request) -> None:
    """Remove a key from the query, so that it appears in no log or error."""
    pairs = request.query_string.split(b"&")
    others = [pair for pair in pairs if unquote_plus(pair.partition(b"=")[0].decode("latin-1")) != name]
    if len(others) == len(pairs):
        return
    request.query_string = query = b"&".join(others)
    request.__dict__.pop("args", None)
    text = query.decode("latin-1")
    request.environ["QUERY_STRING"] = text
    for member in ("RAW_URI", "REQUEST_URI"):
        if member in request.environ:
            path = request.environ[member].partition("?")[0]
            request.environ[member] = f"{path}?{text}" if text else path


def is_equal(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))


def _presented_key(places: Credentials, request: Request) -> str | None:
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    headers = request.headers
    for name in places.headers:
        if value := headers.get(name):
            return value.strip()
    if request.environ.get("HTTP_UPGRADE") and (key := _key_in_protocols(headers.get(SUBPROTOCOLS, ""))):
        return key
    return request.args.get(places.query) if places.query else None


def _key_in_protocols(header: str) -> str | None:
    names = (name.strip() for name in header.split(","))
    return next((n.removeprefix(KEY_IN_PROTOCOL) for n in names if n.startswith(KEY_IN_PROTOCOL)), None)
