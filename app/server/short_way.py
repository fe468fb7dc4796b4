"""The short way of a request: a plain head that came whole is read to an environ in one pass.

Whatever has a rule of its own (a body in chunks, ``Expect``, a header twice or with an underscore, HTTP/1.0, a
PROXY line) takes gunicorn's way. tests/wire/test_server.py holds both ways together, head by head.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Final

from gunicorn.http import message
from gunicorn.http.body import LengthReader
from gunicorn.http.parser import RequestParser

from app.server.environ import Framing, Input, has_bare_line_feed, is_host, key_of, options_of, unquote_path

_PLAIN_URI: Final = re.compile(r"/(?!/)[!-\"$-~]*")  # its path and query are as they stand
_MOST_DIGITS: Final = 15  # of a length
_RULED: Final = frozenset({"", "EXPECT", "TRANSFER-ENCODING"})
"""Names of headers, beside those with an underscore, that gunicorn has rules for; a folded line has none."""


class WholeBody(BytesIO):
    """The body of a request that came whole."""

    is_uninvited: Final = False

    @property
    def available(self) -> int:
        """How many bytes are here and unread."""
        return len(self.getbuffer()) - self.tell()

    def reaches_end(self, seconds: float) -> bool:
        """Tell that the body ended well."""
        return True


class PlainRequest:
    """A request that took the short way. ``environ`` lacks what all requests of a connection share."""

    __slots__ = ("body", "closes", "environ", "method", "proxy_protocol_info")
    version: Final = (1, 1)

    def __init__(self, environ: dict[str, Any], body: WholeBody | Input, closes: bool) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.body = body
        self.closes = closes
        self.proxy_protocol_info: Any = None

    def should_close(self) -> bool:
        """Tell whether the client wants the connection to end with the answer."""
        return self.closes


class Requests(RequestParser):
    """The requests of one connection."""

    def __init__(self, cfg: Any, source: Any, source_addr: Any) -> None:
        super().__init__(cfg, source, source_addr)
        self._short = ShortWay(cfg, source_addr) if ShortWay.serves(cfg) else None

    def __next__(self) -> Any:
        """Return the next request; raises ``StopIteration`` at the end of the connection."""
        if self._short is None:
            return super().__next__()
        data = self.unreader.read_next()
        if data and (request := self._short.read(data, self.unreader)) is not None:
            return request
        self.unreader.unread(data)
        self.mesg = None  # the worker has read its body to the end
        return super().__next__()


class ShortWay:
    """Reads plain heads from one peer."""

    def __init__(self, cfg: Any, peer: Any) -> None:
        limit = cfg.limit_request_line
        self._limits = {
            "limit_request_line": min(limit, message.MAX_REQUEST_LINE)
            if limit > 0
            else message.MAX_REQUEST_LINE,
            "limit_request_fields": cfg.limit_request_fields,
            "limit_request_field_size": cfg.limit_request_field_size,
            "permit_unconventional_http_method": cfg.permit_unconventional_http_method,
            "permit_unconventional_http_version": cfg.permit_unconventional_http_version,
        }
        self._secure = {key_of(name): value for name, value in cfg.secure_scheme_headers.items()}
        self._is_trusted = _is_trusted(cfg, peer)

    @staticmethod
    def serves(cfg: Any) -> bool:
        """Tell whether heads can be plain under a configuration."""
        plain = cfg.proxy_protocol == "off" and cfg.http2_cleartext not in ("upgrade", "both")
        has_limits = cfg.limit_request_fields > 0 and cfg.limit_request_field_size > 0
        usual = not cfg.casefold_http_method and not os.environ.get("SCRIPT_NAME")
        return plain and has_limits and usual and bool(message._check_fast_parser(cfg))

    def read(self, data: bytes, unreader: Any) -> PlainRequest | None:
        """Return the request that ``data`` begins with, None where its head is not plain or not all here.

        What comes after it is given back to ``unreader``."""
        try:
            head = _parse_head()(data, **self._limits)
        except Exception:  # noqa: BLE001 - gunicorn meets it again, and says what it is
            return None
        place = _plain_place(head["path"])
        if place is None or head["minor_version"] != 1 or has_bare_line_feed(data, head["consumed"]):
            return None
        environ: dict[str, Any] = {"REQUEST_METHOD": head["method"].decode("latin-1"), **place}
        for name, value in head["headers"]:
            key = _plain_key(name)
            if key is None or key in environ:
                return None
            environ[key] = value.decode("latin-1")
        length = environ.get("CONTENT_LENGTH", "0")
        if not (length.isdecimal() and len(length) <= _MOST_DIGITS):
            return None
        if "HTTP_HOST" not in environ or not is_host(environ["HTTP_HOST"]) or not self._take_scheme(environ):
            return None
        closes = "HTTP_CONNECTION" in environ and "close" in options_of(environ["HTTP_CONNECTION"])
        body = _body(data, head["consumed"], int(length), unreader)
        environ["wsgi.input"] = body
        return PlainRequest(environ, body, closes)

    def _take_scheme(self, environ: dict[str, Any]) -> bool:
        """Note the scheme that a trusted proxy states; False if it states two."""
        if environ.keys().isdisjoint(self._secure):
            return True
        secure = {environ[key] == value for key, value in self._secure.items() if key in environ}
        if self._is_trusted:
            environ["wsgi.url_scheme"] = "https" if True in secure else "http"
        return len(secure) == 1


def _is_trusted(cfg: Any, peer: Any) -> bool:
    """Tell whether a peer is a proxy that may state the scheme."""
    policy = message.HeaderPolicy()
    policy.cfg, policy.peer_addr = cfg, peer
    return bool(policy._peer_is_trusted_proxy())


def _body(data: bytes, start: int, length: int, unreader: Any) -> WholeBody | Input:
    """Return the body that begins at ``start`` of ``data``; all that is behind it goes back."""
    end = start + length
    if end <= len(data):
        if end < len(data):
            unreader.unread(data[end:])
        return WholeBody(data[start:end])
    unreader.unread(data[start:])
    return Input(Framing(LengthReader(unreader, length)), unreader)


@lru_cache(maxsize=256)
def _plain_place(target: bytes) -> dict[str, str] | None:
    """Return the environ members of a request's target, None for one that gunicorn has a rule for."""
    uri = target.decode("latin-1")
    if not _PLAIN_URI.fullmatch(uri):
        return None
    path, _, query = uri.partition("?")
    return {
        "RAW_URI": uri,
        "PATH_INFO": unquote_path(path),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
    }


@lru_cache(maxsize=1024)
def _plain_key(name: bytes) -> str | None:
    """Return the name that a header has in an environ, None for one that gunicorn has a rule for."""
    header = name.decode("latin-1").upper()
    return None if header in _RULED or "_" in header else key_of(header)


@cache
def _parse_head() -> Callable[..., dict[str, Any]]:
    """Return the C parser, which is there where ``ShortWay.serves`` says so."""
    import gunicorn_h1c

    parse: Callable[..., dict[str, Any]] = gunicorn_h1c.parse_request
    return parse
