"""Rules for browsers: allowed origins, and who may use a gateway without keys.

A web page can send requests to any address that the browser reaches, and its owner can point a host name there to read
the answers. Without client keys the gateway therefore serves only its developer: under a loopback name, not for pages of
other sites, and not through a proxy (docs/surfaces.md, "The surfaces").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Response
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request

from app.bind_address import has_client_keys, is_loopback
from app.config import Settings
from app.errors import GatewayError

_LIMITED: Final = ("requests", "tokens")
_FIGURES: Final = ("limit", "remaining", "reset")
EXPOSED: Final = ", ".join(
    (
        *("x-request-id", "request-id", "apim-request-id", "retry-after", "x-should-retry", "server-timing"),
        *("x-sluice-provider", "x-sluice-model", "x-sluice-attempts", "x-sluice-cost", "x-sluice-cache"),
        *("x-sluice-warnings", "x-tfy-resolved-model", "idempotent-replayed"),
        *(f"x-ratelimit-{what}-{kind}" for kind in _LIMITED for what in _FIGURES),
        *(f"anthropic-ratelimit-{kind}-{what}" for kind in _LIMITED for what in _FIGURES),
    )
)
"""The response headers that a page may read."""

_MAX_AGE: Final = "600"  # seconds that a preflight answer is cached
_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,2048}")
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_PROTECT: Final = "Set SLUICE_KEYS, or SLUICE_OPEN=1 to serve everyone who can reach this address."
_ALLOW: Final = "SLUICE_ALLOWED_ORIGINS lists the origins that may."


class Browsers:
    """The rules by the settings of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(settings.allowed_origins)
        self._alone = not has_client_keys(settings) and not settings.open

    def check(self, request: Request) -> None:
        """Raise ``forbidden`` for requests to a gateway without keys that may not come from its developer."""
        if not self._alone:
            return
        headers = request.headers
        for name in _FORWARDED:
            if name in headers:
                raise _refusal(f"the request came through a proxy (header '{name}')")
        host = headers.get("host", "")
        if host and not _is_loopback_host(host):
            raise _refusal(f"its host is '{host[:100]}', which is not a loopback name")
        self._check_origin(headers, host)
        names_type = request.mimetype or "authorization" in headers  # of a page, either has a preflight
        if request.method == "POST" and not names_type and _has_body(request):
            raise GatewayError("unsupported_media", "The body has no Content-Type; send application/json.")

    def _check_origin(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin")
        if origin is not None:
            if _netloc(origin) != host and not self.allows(origin):
                raise _refusal(f"a page of '{origin[:100]}' sent the request", _ALLOW)
        elif headers.get("sec-fetch-site") == "cross-site":
            raise _refusal("a page of another site sent the request", _ALLOW)

    def check_upgrade(self, request: Request) -> None:
        """Raise ``forbidden`` for a page of another origin that is not allowed; WebSockets have no preflight."""
        origin = request.headers.get("origin")
        if origin is not None and _netloc(origin) != request.headers.get("host", ""):
            self._require(origin)

    def _require(self, origin: str) -> None:
        if not self.allows(origin):
            raise GatewayError("forbidden", f"Pages of '{origin[:100]}' may not call this gateway. {_ALLOW}")

    def allows(self, origin: str) -> bool:
        """Tell whether pages of ``origin`` may read answers."""
        return "*" in self._allowed or origin in self._allowed

    def preflight(self, request: Request, methods: Callable[[Any], list[str]]) -> Response | None:
        """Return the answer to a preflight, None for any other OPTIONS; ``methods`` returns those of its path."""
        origin, method = request.headers.get("origin"), request.headers.get("access-control-request-method")
        if origin is None or method is None:
            return None
        self._require(origin)
        names = request.headers.get("access-control-request-headers", "")
        response = Response(status=204, headers={"access-control-max-age": _MAX_AGE})
        response.headers["access-control-allow-methods"] = ", ".join(methods(request))
        if names and _NAMES.fullmatch(names):
            response.headers["access-control-allow-headers"] = names
        return response

    def mark(self, request: Request, response: Response) -> None:
        """Add the headers that allow a page to read the answer."""
        if not self._allowed:
            return
        response.headers.add("vary", "Origin")
        origin = request.headers.get("origin")
        if origin is not None and self.allows(origin):
            response.headers["access-control-allow-origin"] = "*" if "*" in self._allowed else origin
            response.headers["access-control-expose-headers"] = EXPOSED


def _refusal(why: str, remedy: str = _PROTECT) -> GatewayError:
    return GatewayError(
        "forbidden", f"Without client keys this gateway serves only its own machine, and {why}. {remedy}"
    )


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # brackets without an address
        return None


def _is_loopback_host(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets without an address
        return False
    return is_loopback(name) or name.endswith(".localhost")


def _has_body(request: Request) -> bool:
    return bool(request.content_length) or "HTTP_TRANSFER_ENCODING" in request.environ
