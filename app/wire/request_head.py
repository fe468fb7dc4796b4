"""Outgoing requests: a URL, headers and a body that mean on the wire what they say here.

A caller's value that would change the target or add a header is refused before
anything is connected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, urlsplit

from app.errors import GatewayError

PORTS: Final = {"http": 80, "https": 443}

_URL: Final = re.compile(r"[!-~]+")
_DOT_SEGMENT: Final = re.compile(r"/\.{1,2}(?:/|$)")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Headers of the transport: framing, the connection and the proxy.
_OURS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "keep-alive", "proxy-authorization"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


def split_url(url: str) -> SplitResult:
    """Return the parts of ``url``; ``provider_not_configured`` for a text that is not a URL."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises for a port that is no number
    except ValueError as error:
        raise GatewayError("provider_not_configured", "The provider's base URL is not a URL.") from error
    return parts


def check_url(url: str, parts: SplitResult) -> None:
    """Raise ``bad_request`` for a URL with a control, a space, a non-ASCII character or a dot segment."""
    if parts.scheme not in PORTS or not parts.hostname:
        raise GatewayError("provider_not_configured", "The provider's base URL is not an http or https URL.")
    if not _URL.fullmatch(url) or _DOT_SEGMENT.search(parts.path):
        raise GatewayError("bad_request", "A value in this request cannot be part of a provider's URL.")


def headers_of(
    method: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
) -> dict[str, str]:
    """Return the headers to send: the caller's, checked, with our own framing and identity encoding.

    Raises ``bad_request`` for a name or value that cannot stand in a header; the
    value is not repeated. A body in pieces keeps the declared ``content-length``.
    """
    outgoing: dict[str, str] = {"Accept-Encoding": "identity"}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise GatewayError(
                "bad_request",
                f"The value for the header {name!r} contains characters that a header cannot carry.",
            )
        if name.lower() not in _OURS:
            outgoing[name] = value
        elif name.lower() == "content-length" and not isinstance(body, bytes | None):
            outgoing["Content-Length"] = value
    if isinstance(body, bytes):
        outgoing["Content-Length"] = str(len(body))
    elif body is None and method not in _WITHOUT_BODY:
        outgoing["Content-Length"] = "0"
    return outgoing


@lru_cache(maxsize=256)
def lines_of(headers: tuple[tuple[str, str], ...], agent: str) -> str:
    """Return the lines of a head without its framing; calls of a provider mostly repeat them. ``agent`` is the user agent
    where the caller names none. Raises what ``headers_of`` raises."""
    outgoing = headers_of("GET", dict(headers), None)
    if "user-agent" not in map(str.lower, outgoing):
        outgoing["User-Agent"] = agent
    return "".join([f"{name}: {value}\r\n" for name, value in outgoing.items()])


def length_of(method: str, body: bytes | None) -> str:
    """Return the line that frames a body in one piece; "" where there is none."""
    if body is None and method in _WITHOUT_BODY:
        return ""
    return f"Content-Length: {len(body or b'')}\r\n"


def of_length(body: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield ``body`` in pieces of ``size`` bytes in all; raises ``internal`` for any other sum.

    Bytes past a declared length would pass for the next request on the connection.
    """
    count = 0
    for piece in body:
        count += len(piece)
        if count > size:
            break
        yield piece
    if count != size:
        raise GatewayError("internal", "The size of a request body differs from its declared size.")
