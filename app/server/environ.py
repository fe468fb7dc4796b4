"""A request as gunicorn has read it, made ready for the application: its environ, and its body with an end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

import gevent
from gunicorn.http import errors, message
from gunicorn.http.body import Body
from gunicorn.http.wsgi import proxy_environ
from gunicorn.util import unquote_to_wsgi_str

_SKIP: Final = 65536
_CHARACTERS: Final = r"[\w.~!$&'()*+,;=%-]"
_HOST: Final = re.compile(rf"(?:{_CHARACTERS}*|\[(?:{_CHARACTERS}|:)+\])(?::\d*)?", re.ASCII)
_PORTS: Final = {"http": "80", "https": "443"}


class _Reader(Protocol):
    def read(self, size: int) -> bytes: ...


class Framing:
    """The reader below a request's body; remembers whether the framing was found broken.

    A client that sends ``Expect: 100-continue`` gets the interim answer when its body is first read, so a client that is
    refused by its head never sends the body."""

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
        self._broken = True  # and it stays so when a read is interrupted: the bytes that were taken are lost
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
        """Skip what the application left unread, for at most ``seconds``; tell whether the body ended
        well."""
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
        self.reaches_end = framing.reaches_end

    @property
    def is_uninvited(self) -> bool:
        """Whether the client still waits for a word before it sends the body."""
        value: bool = self.reader.is_uninvited
        return value

    @property
    def available(self) -> int:
        """How many bytes of the connection are here and unread."""
        return int(self._unreader.buf.tell())

    def read(self, size: int | None = None) -> bytes:
        """Return up to ``size`` bytes, all where none is given."""
        if not size or size < 0 or self.buf.tell():
            return super().read(size)
        return self.reader.read(size)


def has_bare_line_feed(data: bytes | bytearray, end: int) -> bool:
    """Tell whether a line of the head ``data[:end]`` ends in a line feed alone.

    A server in front that takes it for a part of the line would see another request than this one."""
    return data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end)


@lru_cache(maxsize=256)
def is_host(value: str) -> bool:
    """Tell whether the value of a ``Host`` header is a host and a port (RFC 9112, 3.2)."""
    return _HOST.fullmatch(value) is not None


def options_of(connection: str) -> list[str]:
    """Return the options of a ``Connection`` header, which is a list (RFC 9110, 7.6.1)."""
    return [option.strip(" \t") for option in connection.lower().split(",")]


class Request(message.Request):
    """gunicorn's request, with a body that knows whether it came to its end."""

    body: Any

    def _parse_fast(self, unreader: Any, buf: bytearray) -> bytes:
        """Parse a head by the C parser, which takes a line feed alone as the end of a line, and refuse one.

        Returns what has arrived behind the head."""
        rest: bytes = super()._parse_fast(unreader, buf)
        if has_bare_line_feed(buf, len(buf) - len(rest)):
            raise errors.InvalidHeader("a line feed without a carriage return")
        return rest

    def should_close(self) -> bool:
        """Tell whether the client wants the connection to end with the answer."""
        options = options_of(",".join([value for name, value in self.headers if name == "CONNECTION"]))
        return (
            self.must_close or "close" in options or (self.version < (1, 1) and "keep-alive" not in options)
        )

    def set_body_reader(self) -> None:
        """Make the body, with its framing beneath."""
        super().set_body_reader()
        waits = self._expected_100_continue and getattr(self.body.reader, "length", None) != 0
        framing = Framing(self.body.reader, self._invite_body if waits else None)
        self.body = Input(framing, self.unreader)

    def _invite_body(self) -> None:
        self.unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


@lru_cache(maxsize=1024)
def addresses_environ(client: Any, server: Any) -> dict[str, Any]:
    """Return what the environs of all requests of a connection share: the addresses of both sides."""
    environ = {}
    if isinstance(client, tuple):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    else:  # a Unix socket
        environ["REMOTE_ADDR"] = client.decode() if isinstance(client, bytes) else client
    if isinstance(server, tuple):
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
    return environ


def environ_of(base: dict[str, Any], request: Any) -> dict[str, Any]:
    """Return the environ of a request: ``base``, which it shares with others, and what gunicorn's
    ``wsgi.create`` says of this one, by the same rules.

    Raises gunicorn's ``ConfigurationProblem`` for a path outside of ``SCRIPT_NAME``.
    """
    environ = {
        **base,
        "wsgi.input": request.body,
        "wsgi.url_scheme": request.scheme,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query,
        "RAW_URI": request.uri,
        "SERVER_PROTOCOL": f"HTTP/{request.version[0]}.{request.version[1]}",
    }
    script = os.environ.get("SCRIPT_NAME", "")
    for name, value in request.headers:
        if name == "SCRIPT_NAME":  # of a trusted proxy alone; gunicorn drops it from others
            script = value
        key = key_of(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    path = request.path
    if not path.startswith(script):
        raise errors.ConfigurationProblem(f"Request path {path!r} does not start with SCRIPT_NAME {script!r}")
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = script, unquote_path(path[len(script) :])
    if request.proxy_protocol_info:
        environ.update(proxy_environ(request))
    if "SERVER_NAME" not in environ:
        name_host(environ)
    return environ


def name_host(environ: dict[str, Any]) -> None:
    """Name this server by the requested host, as a server at a Unix socket must."""
    name, _, port = environ.get("HTTP_HOST", "").partition(":")
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = port or _PORTS.get(environ["wsgi.url_scheme"], "")


@lru_cache(maxsize=1024)
def key_of(header: str) -> str:
    """Return the name that a header has in an environ."""
    key = header.replace("-", "_")
    return key if header in ("CONTENT-TYPE", "CONTENT-LENGTH") else f"HTTP_{key}"


def unquote_path(path: str) -> str:
    """Return a path without escapes, each byte a character."""
    value: str = unquote_to_wsgi_str(path) if "%" in path or not path.isascii() else path
    return value
