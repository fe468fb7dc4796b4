"""Where the server may listen, and the line that invites a first call.

The rule: without client keys, and without ``SLUICE_OPEN=1``, only loopback is
bound. It is settled here, before any worker exists, so that ``gunicorn.conf.py``
and the command line agree. This module opens no socket and imports no framework.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

DEFAULT_PORT = 8080
LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"
CONFIG_FILE = "sluice.toml"


class ServingError(Exception):
    """A start-up setting that cannot be honoured; the message says what would be right."""


def resolve_bind(environ: Mapping[str, str], *, protected: bool) -> str:
    """Return gunicorn's ``host:port`` for the variables ``PORT`` and ``SLUICE_HOST``.

    ``protected`` says that client keys are set, or that the operator has chosen to
    go without. Raises ``ServingError`` for a port that is none, and for a host
    beyond loopback that nothing protects.
    """
    host = environ.get("SLUICE_HOST", "").strip("[] ") or (ANYWHERE if protected else LOOPBACK)
    if not protected and not is_loopback(host):
        raise ServingError(refusal(host))
    return f"[{host}]:{resolve_port(environ)}" if ":" in host else f"{host}:{resolve_port(environ)}"


def refusal(host: str) -> str:
    """Return the message for an address beyond loopback that nothing protects."""
    return (
        f"listening on {host} would serve everyone who can reach it, and no client key is set. "
        "Set SLUICE_KEYS or SLUICE_MASTER_KEY, or say SLUICE_OPEN=1 to go without keys."
    )


def resolve_port(environ: Mapping[str, str]) -> int:
    """Return ``PORT`` as a number, 8080 when unset; 0 lets the system choose."""
    text = environ.get("PORT", "").strip()
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise ServingError(f"PORT={text} is not a port number between 0 and 65535.")
    return int(text)


def is_open(environ: Mapping[str, str]) -> bool:
    """Say whether the operator chose to serve without client keys."""
    return environ.get("SLUICE_OPEN", "").strip() == "1"


def has_client_keys(environ: Mapping[str, str]) -> bool:
    """Say whether any client key is set, in the environment or in the configuration file.

    The file is read for the presence of a key only; its contents are checked where
    the settings are loaded. An unreadable file raises ``ServingError``.
    """
    if environ.get("SLUICE_KEYS", "").strip() or environ.get("SLUICE_MASTER_KEY", "").strip():
        return True
    path = Path(environ.get("SLUICE_CONFIG") or CONFIG_FILE)
    if not path.exists() and not environ.get("SLUICE_CONFIG"):
        return False
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ServingError(f"The configuration file {path} cannot be read: {error}") from error
    return bool(document.get("keys") or document.get("master_key"))


def is_loopback(host: str) -> bool:
    """Say whether ``host`` (a name or an address) is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, which may resolve to anything
        return False


def curl_line(host: str, port: int, *, keyed: bool) -> str:
    """Return a shell line that gets an answer from the sandbox of the server at ``host:port``."""
    reachable = {ANYWHERE: LOOPBACK, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    credential = ' -H "Authorization: Bearer $SLUICE_KEY"' if keyed else ""
    return (
        f"curl http://{reachable}:{port}/v1/responses{credential} -H 'Content-Type: application/json'"
        """ -d '{"model": "sandbox/echo", "input": "Hello"}'"""
    )
