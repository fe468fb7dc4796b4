"""Which proxy a URL goes through: the environment's variables, read once.

``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` in both cases, the lower
one first, as curl and Python have it. Nothing here reads the process's environment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from app.canonical.record import record

_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})


@record
class ProxyRules:
    """A proxy URL (or None) for each scheme, and the hosts that go direct."""

    http: str | None = None
    https: str | None = None
    bypass: tuple[str, ...] = ()

    def proxy_for(self, scheme: str, host: str, port: int) -> str | None:
        """Return the proxy's URL for a target, or None for a direct connection."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or any(_matches(rule, host.lower(), port) for rule in self.bypass):
            return None
        return proxy


def rules_of(environ: Mapping[str, str]) -> ProxyRules:
    """Return the rules that the environment states.

    Raises ``ValueError`` for a proxy that is not a URL, without repeating it: it may hold a
    password.
    """
    every = _proxy(environ, "ALL_PROXY")
    entries = _variable(environ, "NO_PROXY").replace(",", " ").split()
    return ProxyRules(
        http=_proxy(environ, "HTTP_PROXY") or every,
        https=_proxy(environ, "HTTPS_PROXY") or every,
        bypass=tuple(entry.lower() for entry in entries),
    )


def fixed_rules(proxy: str) -> ProxyRules:
    """Return rules that send everything through one proxy; ``""`` and ``direct`` mean none."""
    url = None if proxy in ("", "direct") else proxy_url(proxy, "proxy")
    return ProxyRules(http=url, https=url)


def proxy_url(value: str, name: str) -> str:
    """Return ``value`` as a URL, with ``http://`` before a bare host; raise ``ValueError`` if it is not a URL."""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # urlsplit's own message repeats parts of the URL
        usable = False
    if not usable:
        raise ValueError(f"{name} is not a proxy URL (scheme://[user:password@]host[:port])")
    return url


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name.lower()) or environ.get(name) or "").strip()


def _proxy(environ: Mapping[str, str], name: str) -> str | None:
    value = _variable(environ, name)
    return proxy_url(value, name) if value else None


def _matches(rule: str, host: str, port: int) -> bool:
    """Tell whether a NO_PROXY entry names the target: ``*``, a host, a domain or a network, each with or without a
    port."""
    if rule == "*":
        return True
    name, colon, port_text = rule.rpartition(":")
    if colon and port_text.isdigit() and (":" not in name or name.endswith("]")):
        if int(port_text) != port:
            return False
        rule = name
    rule = rule.strip("[]")
    address = _address(host)
    if address is not None:
        network = _network(rule)
        return network is not None and address in network
    domain = rule.removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return None
