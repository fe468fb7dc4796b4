"""Where the server may listen, and the line that invites a first call.

The rule: without client keys, and without ``SLUICE_OPEN=1``, only loopback is
bound. It is settled here, before any worker exists, so that ``gunicorn.conf.py``
and the command line agree. This module opens no socket and imports no framework.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from app.config import Settings

LOOPBACK: Final = "127.0.0.1"
ANYWHERE: Final = "0.0.0.0"


class ServingError(Exception):
    """A start-up setting that cannot be honoured; the message says what would be right."""


def has_client_keys(settings: Settings) -> bool:
    """Say whether any client key is set."""
    return bool(settings.keys) or settings.master_key is not None


def is_protected(settings: Settings) -> bool:
    """Say whether the server may listen beyond loopback: it has keys, or its operator chose to go without."""
    return settings.open or has_client_keys(settings)


def resolve_bind(settings: Settings) -> str:
    """Return gunicorn's ``host:port``.

    Raises ``ServingError`` for a host beyond loopback that nothing protects.
    """
    protected = is_protected(settings)
    host = (settings.host or "").strip("[] ") or (ANYWHERE if protected else LOOPBACK)
    if not protected and not is_loopback(host):
        raise ServingError(refusal(host))
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def refusal(host: str) -> str:
    """Return the message for an address beyond loopback that nothing protects."""
    return (
        f"listening on {host} would serve everyone who can reach it, and no client key is set. "
        "Set SLUICE_KEYS or SLUICE_MASTER_KEY, or say SLUICE_OPEN=1 to go without keys."
    )


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
