"""A request as gunicorn has read it, made ready for the application: its environ, and its body with an end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final, Protocol

import gevent
from gunicorn.http import errors, message
from gunicorn.http.body import Body
from gunicorn.http.wsgi import proxy_environ
from gunicorn.util import unquote_to_wsgi_str

_SKIP: Final = 65536
_PORTS: Final = {"http": "80", "https": "443"}
_PLAIN_URI: Final = re.compile(r"/(?!/)[!-\"$-~]*")  # its path and query are as they stand


class _Reader(Protocol):
    def read(self, size: int) -> bytes: ...


class Framing:
    """The reader below a request's body; remembers whether the framing was found broken.

    A client that asks first (``Expect: 100-continue``) is told that its body may come when that is read
    first, so that one who is refused by the head alone never sends it."""

    def __init__(self, reader: _Reader, invite: Callable[[], None] | None = None) -> None:
        self._reader = reader
        self._invite = invite
        self._broken = False

    @property
    def is_uninvited(self) -> bool:
        """Whether the client still waits for a word before it sends the body."""
        return self._invite is not None

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end; ``OSError`` where the framing is broken."""
        if self._broken:
            raise OSError("the body's framing is broken")
        self._broken = True  # and so it stays when a read is interrupted: what it had taken is lost
        if (invite := self._invite) is not None:
            self._invite = None
            invite()
        try:
            data = self._reader.read(size)
        except (OSError, errors.ParseException) as error:
            raise OSError("the body's framing is broken") from error
        self._broken = False
        return data

    def reaches_end(self, seconds: float) -> bool:
        """Skip what the application left unread, for so long at most; say whether the body ended well."""
        if not self._broken and getattr(self._reader, "length", None) == 0:
            return True
        try:
            with gevent.Timeout(seconds):
                while self.read(_SKIP):
                    continue
        except (OSError, gevent.Timeout):
            return False
        return True


class Input(Body):
    """gunicorn's body, but read in pieces as large as they are asked for."""

    def __init__(self, framing: Framing, unreader: Any) -> None:
        super().__init__(framing)
        self._unreader = unreader

    @property
    def arrived(self) -> int:
        """How many bytes of the connection are here and unread."""
        return int(self._unreader.buf.tell())

    def read(self, size: int | None = None) -> bytes:
        """Return up to ``size`` bytes, all where none is given."""
        if not size or size < 0 or self.buf.tell():
            return super().read(size)
        return self.reader.read(size)


class Request(message.Request):
    """gunicorn's request. A head that came whole is read in one pass: gunicorn's rules are asked for the
    headers that have one, and its own way is taken for whatever is not plain."""

    framing: Framing
    body: Any

    def _parse_fast(self, unreader: Any, buf: bytearray) -> bytes:
        data = bytes(buf)
        try:
            head = _parse_head()(
                data,
                limit_request_line=self._fast_limit_request_line,
                limit_request_fields=self.limit_request_fields,
                limit_request_field_size=self.limit_request_field_size,
                permit_unconventional_http_method=self.cfg.permit_unconventional_http_method,
                permit_unconventional_http_version=self.cfg.permit_unconventional_http_version,
            )
        except Exception:  # noqa: BLE001 - gunicorn meets it again, and says what it is
            return super()._parse_fast(unreader, buf)
        headers = [(str(name, "latin-1").upper(), str(value, "latin-1")) for name, value in head["headers"]]
        names = {name for name, _ in headers}
        uri = str(head["path"], "latin-1")
        if len(names) < len(headers) or not _PLAIN_URI.fullmatch(uri) or self.cfg.casefold_http_method:
            return super()._parse_fast(unreader, buf)
        self.method, self.uri, self.version = str(head["method"], "latin-1"), uri, (1, head["minor_version"])
        self.path, _, self.query = uri.partition("?")
        self.fragment = ""
        if "EXPECT" in names or "_" in "".join(names) or not names.isdisjoint(self.cfg.secure_scheme_headers):
            headers = self._by_rules(headers)
        self.headers = headers
        return data[head["consumed"] :]

    def _by_rules(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the headers that gunicorn's rules keep, with what those say of the request noted in it."""
        scheme: list[bool] = [False]
        trusted = self._peer_trusted_for_forwarded()
        allowed = [self._apply_header_policy(name, value, scheme, set(), *trusted) for name, value in headers]
        return [header for header in allowed if header is not None]

    def set_body_reader(self) -> None:
        """Make the body, with its framing beneath."""
        super().set_body_reader()
        waits = self._expected_100_continue and getattr(self.body.reader, "length", None) != 0
        self.framing = Framing(self.body.reader, self._invite_body if waits else None)
        self.body = Input(self.framing, self.unreader)

    def _invite_body(self) -> None:
        self.unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


@cache
def _parse_head() -> Callable[..., dict[str, Any]]:
    """Return the C parser, which is there where gunicorn takes the fast way."""
    import gunicorn_h1c

    found: Callable[..., dict[str, Any]] = gunicorn_h1c.parse_request
    return found


def environ_of(base: dict[str, Any], request: Any, sock: Any, client: Any, server: Any) -> dict[str, Any]:
    """Return the environ of a request: ``base``, which all of a worker share, and what gunicorn's
    ``wsgi.create`` says of this one, by the same rules.

    Raises gunicorn's ``ConfigurationProblem`` for a path outside of ``SCRIPT_NAME``.
    """
    environ = {
        **base,
        "wsgi.input": request.body,
        "wsgi.url_scheme": request.scheme,
        "gunicorn.socket": sock,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query,
        "RAW_URI": request.uri,
        "SERVER_PROTOCOL": f"HTTP/{request.version[0]}.{request.version[1]}",
    }
    script = os.environ.get("SCRIPT_NAME", "")
    for name, value in request.headers:
        if name == "SCRIPT_NAME":  # of a trusted proxy alone; gunicorn drops it from others
            script = value
        key = _key_of(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if isinstance(client, tuple):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    else:  # a Unix socket
        environ["REMOTE_ADDR"] = client.decode() if isinstance(client, bytes) else client
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _server_of(server, environ)
    path = request.path
    if not path.startswith(script):
        raise errors.ConfigurationProblem(f"Request path {path!r} does not start with SCRIPT_NAME {script!r}")
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = script, unquote_to_wsgi_str(path[len(script) :])
    if request.proxy_protocol_info:
        environ.update(proxy_environ(request))
    return environ


@lru_cache(maxsize=1024)
def _key_of(header: str) -> str:
    """Return the name that a header has in an environ."""
    key = header.replace("-", "_")
    return key if header in ("CONTENT-TYPE", "CONTENT-LENGTH") else f"HTTP_{key}"


def _server_of(listener: Any, environ: dict[str, Any]) -> tuple[str, str]:
    """Return name and port of this server: its listener's, behind a Unix socket those of the host asked for."""
    if isinstance(listener, tuple):
        return listener[0], str(listener[1])
    name, _, port = environ.get("HTTP_HOST", "").partition(":")
    return name, port or _PORTS.get(environ["wsgi.url_scheme"], "")
