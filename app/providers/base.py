"""What a provider is: a base URL, an authentication, and the dialect that serves each operation.

A provider's file declares a ``Spec``; ``Provider`` joins it with the operator's settings and one
long-lived transport. Deviations are data (options of a wire), then functions of the spec. Nothing
outside ``providers/`` tests for a provider's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlencode, urlsplit

from app.canonical.record import record
from app.config import ProviderKey, ProviderSettings
from app.errors import GatewayError
from app.wire.paths import segment

Framing = Literal["sse", "eventstream", "bytes"]


@record
class Wire:
    """How one operation is served: the dialect, its options, and the path below the base.

    ``path`` may hold ``{model}``, which becomes one quoted segment; other placeholders are the
    dialect's. ``stream_path`` defaults to ``path``. With ``passes``, the provider takes the whole
    dialect, so a request in this dialect is forwarded rather than translated. ``framing`` is the
    framing of its streams; without ``streams`` it has none, and a stream is made of the whole answer.
    ``base`` replaces the provider's base URL. ``realm`` names those who can verify the signatures of
    this wire's reasoning, where they are more than the account that made them. Three members name
    headers of a client: ``forwards`` those that are sent on, ``dialect_headers`` those that are sent on
    for a client that speaks this dialect, ``body_headers`` those that the dialect writes into bodies.
    """

    dialect: str
    path: str
    stream_path: str | None = None
    options: Any = None
    passes: bool = False
    framing: Framing = "sse"
    streams: bool = True
    method: str = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    stream_query: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    realm: str | None = None
    forwards: tuple[str, ...] = ()
    dialect_headers: tuple[str, ...] = ()
    body_headers: tuple[str, ...] = ()


@dataclass(slots=True)
class Outgoing:
    """One HTTP request ready to be sent; ``auth`` adds its headers last."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | Iterable[bytes] | None = None


class Auth(Protocol):
    """Who we are to a provider."""

    def headers(
        self, key: ProviderKey | None, settings: ProviderSettings, outgoing: Outgoing
    ) -> Mapping[str, str]:
        """Return the headers that prove who we are, for exactly these bytes."""
        ...


def default_url(
    settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool, *, allow: str = ""
) -> str:
    """Return the base, the wire's path with ``{model}`` filled in, and its query.

    ``allow`` lists further characters that a model's id may hold there; see ``segment``.
    """
    path = wire.stream_path if stream and wire.stream_path is not None else wire.path
    if "{model}" in path:
        path = path.replace("{model}", segment(model, allow=allow, name="model"))
    query = {**wire.query, **(wire.stream_query if stream else {})}
    return f"{(wire.base or base).rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")


def key_realm(name: str, settings: ProviderSettings, key: ProviderKey | None) -> str:
    """Return the realm of one account: provider and key name."""
    return f"{name}:{key.name if key else '-'}"


def provider_realm(name: str, settings: ProviderSettings, key: ProviderKey | None) -> str:
    """Return the one realm of all keys of the provider."""
    return name


def _recognisable_ends(path: str) -> set[str]:
    """Return patterns of the whole path of an operation, and of its part up to the model."""
    head, model, tail = map(re.escape, path.partition("{model}"))
    if model:
        return {f"{head}[^/]+", f"{head}[^/]+{tail}"}
    return {head} if len(path) > 1 else set()


_BELOW_V1: Final = frozenset({"/chat/completions", "/responses"})


def not_configured(name: str, missing: str) -> GatewayError:
    """Return the error for a provider without a setting; ``missing`` is the sentence that names it."""
    message = f"Provider '{name}' is not configured. {missing}".strip()
    return GatewayError("provider_not_configured", message, param="model")


Chooser = Callable[[ProviderSettings, str, str], "Wire | None"]
UrlMaker = Callable[[ProviderSettings, str, Wire, str, bool], str]
RealmMaker = Callable[[str, ProviderSettings, "ProviderKey | None"], str]


@record
class Spec:
    """What a provider's file declares.

    ``wires`` maps a name of ``app.operations.WIRES`` to its wire. Where the wire depends on the model,
    ``choose`` returns it, or None for an operation that the model cannot do. ``base_url`` is the default
    base, or a function of the settings. ``forwards`` names headers of any client that are sent on.
    ``price_as`` is the provider's id in the price catalogue, None where it has none.
    ``missing`` is the sentence that says what to set.
    """

    name: str
    wires: Mapping[str, Wire]
    auth: Auth
    base_url: str | Callable[[ProviderSettings], str | None] | None = None
    choose: Chooser | None = None
    url: UrlMaker = default_url
    realm: RealmMaker = key_realm
    forwards: tuple[str, ...] = ()
    price_as: str | None = None
    missing: str = ""
    needs_key: bool = True


class Slots:
    """The calls that this worker may have open at a provider; entering it takes a slot, leaving frees it.

    Entering raises ``overloaded`` when all slots are in use, so that the next target is tried.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self.in_use = 0
        self._settings = settings

    def __enter__(self) -> None:
        if self.in_use >= self._settings.max_concurrency:
            raise GatewayError(
                "overloaded",
                f"Too many calls to provider '{self._settings.name}' are open; try again.",
                retry_after=1,
            )
        self.in_use += 1

    def __exit__(self, *exc_info: object) -> None:
        self.in_use -= 1


class Provider:
    """A configured provider: its spec, the operator's settings, its transport."""

    def __init__(self, spec: Spec, settings: ProviderSettings, transport: Any) -> None:
        self.spec = spec
        self.name = settings.name
        self.settings = settings
        self.transport = transport
        self.slots = Slots(settings)

    @property
    def base_url(self) -> str:
        """The base URL in force; raises ``provider_not_configured`` where there is none."""
        base = self.settings.base_url or self.spec.base_url
        if callable(base):
            base = base(self.settings)
        if not base:
            raise self.not_configured()
        return base

    def configuration_problem(self) -> str | None:
        """Return a sentence about what is not set yet; None where nothing is missing."""
        try:
            self.keys("")
            bool(self.base_url)
        except GatewayError as error:
            return error.message
        return None

    def missing_path(self) -> str | None:
        """Return the path that such APIs are usually below, where the operator's base URL has no path; else None."""
        address, default = self.settings.base_url, self.spec.base_url
        if address is None or callable(default) or urlsplit(address).path.strip("/"):
            return None
        if default is not None:
            return urlsplit(default).path.rstrip("/") or None
        return "/v1" if any(wire.path in _BELOW_V1 for wire in self.spec.wires.values()) else None

    def operation_path(self) -> str | None:
        """Return the part of an operation's path that the operator's base URL wrongly ends with; None where it has none."""
        path = urlsplit(self.settings.base_url or "").path.rstrip("/")
        ends = {end for wire in self.spec.wires.values() for end in _recognisable_ends(wire.path)}
        matches = (re.search(f"{end}$", path) for end in sorted(ends, key=len, reverse=True))
        return next((match[0] for match in matches if match is not None), None)

    def not_configured(self) -> GatewayError:
        """Return the error that says how to configure this provider."""
        return not_configured(self.name, self.spec.missing)

    def wire(self, operation: str, model: str) -> Wire | None:
        """Return the wire that serves ``operation`` for ``model``, or None."""
        if self.spec.choose is not None:
            return self.spec.choose(self.settings, operation, model)
        return self.spec.wires.get(operation)

    def keys(self, model: str) -> tuple[ProviderKey | None, ...]:
        """Return the credentials that may serve ``model`` (``""``: any model); ``(None,)`` where none is
        needed. Raises ``provider_not_configured`` where one is needed and there is none."""
        usable = tuple(k for k in self.settings.keys if not model or k.models is None or model in k.models)
        if usable:
            return usable
        if self.spec.needs_key:
            raise self.not_configured()
        return (None,)

    def realm(self, key: ProviderKey | None, wire: Wire | None = None) -> str:
        """Return the realm of an answer that was got with ``key`` (over ``wire``)."""
        if wire is not None and wire.realm is not None:
            return wire.realm
        return self.spec.realm(self.name, self.settings, key)

    def outgoing(
        self,
        wire: Wire,
        key: ProviderKey | None,
        model: str,
        body: bytes | Iterable[bytes] | None,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Outgoing:
        """Return the signed HTTP request for ``body`` over ``wire``."""
        url = self.spec.url(self.settings, self.base_url, wire, model, stream)
        base = {"content-type": "application/json"} if body is not None else {}
        all_headers = {**base, **wire.headers, **self.settings.headers, **(headers or {})}
        outgoing = Outgoing(wire.method, url, all_headers, body)
        outgoing.headers.update(self.spec.auth.headers(key, self.settings, outgoing))
        return outgoing
