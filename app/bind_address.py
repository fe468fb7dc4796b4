"""Where the server may listen, and the line that invites a first call.

The rule: without client keys, and without ``SLUICE_OPEN=1``, only loopback is
bound. It is settled here, before any worker exists, so that ``gunicorn.conf.py``
and the command line agree. This module opens no socket and imports no framework.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from app.config import Settings

Address = str | bytes | tuple[Any, ...]
"""The address of a socket: a path, or host and port with what IPv6 adds."""

LOOPBACK: Final = "127.0.0.1"
ANYWHERE: Final = "0.0.0.0"
_PORTS: Final = {"http": 80, "https": 443}


_SO_ATTACH_FILTER: Final = 26  # Linux: asm-generic/socket.h
#: Classic BPF over the TCP header: a segment that opens a connection (SYN without ACK) is dropped.
_NO_NEWCOMERS: Final = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # take
)


class ServingError(Exception):
    """A start-up setting that cannot be honoured; the message says what would be right."""


def has_client_keys(settings: Settings) -> bool:
    """Tell whether any client key is set."""
    return bool(settings.keys) or settings.master_key is not None


def is_protected(settings: Settings) -> bool:
    """Tell whether the server may listen beyond loopback: it has keys, or its operator chose to go
    without."""
    return settings.open or has_client_keys(settings)


def resolve_bind(settings: Settings) -> str:
    """Return gunicorn's ``host:port``.

    Raises ``ServingError`` for a host beyond loopback that nothing protects.
    """
    host = resolve_host(settings)
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def resolve_host(settings: Settings) -> str:
    """Return the address to bind; raises ``ServingError`` for one beyond loopback that nothing protects."""
    protected = is_protected(settings)
    host = (settings.host or "").strip("[] ") or (ANYWHERE if protected else LOOPBACK)
    if not protected and not is_loopback(host):
        raise ServingError(refusal(host))
    return host


def refusal(host: str) -> str:
    """Return the message for an address beyond loopback that nothing protects."""
    return (
        f"listening on {host} would serve everyone who can reach it, and no client key is set. "
        "Set SLUICE_KEYS or SLUICE_MASTER_KEY, or say SLUICE_OPEN=1 to go without keys."
    )


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` (a name or an address) is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, which may resolve to anything
        return False


def is_own(settings: Settings, url: str) -> bool:
    """Tell whether ``url`` leads to this server itself: to its port on this machine."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    return port == settings.port and (is_loopback(host) or host == settings.host)


def listening_fault(host: str, port: int) -> tuple[str, str] | None:
    """Return why nothing can listen on an address, and the remedy; None if a listener could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "stop the process that holds it, or set PORT")
            return f"{host}:{port} cannot be listened on: {error.strerror or error}", remedy
    return None


_REMEDIES: Final = {
    errno.EADDRNOTAVAIL: "set SLUICE_HOST to an address of this machine, or to 0.0.0.0",
    errno.EACCES: "set PORT to 1024 or more; a proxy can listen on the lower one",
}


def shown_address(address: Address) -> str:
    """Return a listener's address in readable form."""
    return f"unix:{_path_of(address)}" if isinstance(address, str | bytes) else f"{address[0]}:{address[1]}"


def curl_line(address: Address, *, keyed: bool) -> str:
    """Return a shell line that gets an answer from the sandbox of the server at ``address``."""
    if isinstance(address, str | bytes):
        return _curl(f"--unix-socket {shlex.quote(_path_of(address))} http://localhost", keyed)
    return _curl(url(address), keyed)


def url(address: Address) -> str:
    """Return the URL by which this machine reaches the listener at ``address``."""
    if isinstance(address, str | bytes):
        return "http://localhost"
    host, port = address[0], address[1]
    reachable = {ANYWHERE: LOOPBACK, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}:{port}"


def is_private(addresses: Sequence[Address], output: TextIO) -> bool:
    """Tell whether only the person who starts the server sees a printed link: all listeners are on loopback,
    or the output is a terminal. A socket with a path is for a server in front, which is no browser's."""
    loopback = all(not isinstance(one, str | bytes) and is_loopback(one[0]) for one in addresses)
    return loopback or output.isatty()


def _path_of(address: str | bytes) -> str:
    """Return the path of a unix socket; Linux gives one without a file a name that begins with NUL."""
    return os.fsdecode(address).replace("\0", "@", 1)


def _curl(server: str, needs_key: bool) -> str:
    credential = ' -H "Authorization: Bearer $SLUICE_KEY"' if needs_key else ""
    return (
        f"curl {server}/v1/responses{credential} -H 'Content-Type: application/json'"
        """ -d '{"model": "sandbox/echo", "input": "Hello"}'"""
    )


def turn_newcomers_away(listener: socket.socket) -> None:
    """Accept no new connections at a listener of a server that is ending; connections that have
    begun still come through.

    Closing a listener resets what the kernel has accepted and nobody has taken yet, a request
    and all. After this and a moment all that is there can be taken. Who comes now tries again
    after a second and finds the port closed. Does nothing where the system has no such filter.
    """
    if not sys.platform.startswith("linux") or listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in _NO_NEWCOMERS))
    program = struct.pack("HL", len(_NO_NEWCOMERS), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
