"""What a provider is: a base URL, an auth, and which dialect serves which operation.

A provider's own file declares a ``Spec``; ``Provider`` joins it with the operator's
settings and one long-lived transport. Deviations are data (options of a wire), then
functions of the spec; nothing outside ``providers/`` asks for a name.
"""

from __future__ import annotations

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

    ``path`` may hold ``{model}``, filled with one quoted segment (other placeholders are the
    dialect's to fill). ``stream_path`` defaults
    to ``path``. ``passes`` says that the provider takes the dialect whole, so that a request
    in that very dialect is forwarded rather than translated. ``framing`` is the framing of
    its streams; ``streams`` False means that it has none and a stream is made of the whole.
    ``base`` replaces the provider's base URL. ``realm`` says who can verify the signatures of
    this wire's reasoning, where that is more than the account that made them. ``forwards`` names headers
    of a client that reach this wire, ``terms`` those that do where the client speaks its dialect,
    ``reads`` those that its dialect writes into bodies.
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
    terms: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


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


def default_url(settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool) -> str:
    """Return base + the wire's path with ``{model}`` filled and its query."""
    path = wire.stream_path if stream and wire.stream_path is not None else wire.path
    if "{model}" in path:
        path = path.replace("{model}", segment(model))
    query = {**wire.query, **(wire.stream_query if stream else {})}
    return f"{(wire.base or base).rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")


def key_realm(name: str, settings: ProviderSettings, key: ProviderKey | None) -> str:
    """Return the realm of state that lives in one account: provider and key name."""
    return f"{name}:{key.name if key else '-'}"


def provider_realm(name: str, settings: ProviderSettings, key: ProviderKey | None) -> str:
    """Return a realm that all keys of the provider share."""
    return name


_BELOW_V1: Final = frozenset({"/chat/completions", "/responses"})

Chooser = Callable[[ProviderSettings, str, str], "Wire | None"]
UrlMaker = Callable[[ProviderSettings, str, Wire, str, bool], str]
RealmMaker = Callable[[str, ProviderSettings, "ProviderKey | None"], str]


@record
class Spec:
    """What a provider's file declares.

    ``wires`` maps a name of ``app.operations.WIRES`` to its wire; ``choose`` decides instead where the model
    matters and may return None for "cannot". ``base_url`` is the default base, or a
    function of the settings. ``forwards`` names client headers that reach this provider,
    whatever the client speaks.
    ``price_as`` is the provider's id in the price catalogue, None where it lists none.
    ``missing`` is the sentence that names what to set.
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
    """The calls that this worker may have open at a provider: one for each time that this is entered.

    Entering raises ``overloaded`` when all are taken, so that the next target is tried.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self.taken = 0
        self._settings = settings

    def __enter__(self) -> None:
        if self.taken >= self._settings.max_concurrency:
            raise GatewayError(
                "overloaded",
                f"Too many calls to provider '{self._settings.name}' are open; try again.",
                retry_after=1,
            )
        self.taken += 1

    def __exit__(self, *raised: object) -> None:
        self.taken -= 1


class Provider:
    """A configured provider: its spec, the operator's settings, its transport."""

    def __init__(self, spec: Spec, settings: ProviderSettings, transport: Any) -> None:
        self.spec = spec
        self.name = settings.name
        self.settings = settings
        self.transport = transport
        self._slots = Slots(settings)

    def slot(self) -> Slots:
        """Return what holds, while it is entered, one of the calls that this worker may have open at the provider."""
        return self._slots

    @property
    def open_calls(self) -> int:
        """Return how many calls this worker has open at the provider."""
        return self._slots.taken

    @property
    def base_url(self) -> str:
        """Return the base URL in force; GatewayError ``provider_not_configured`` without one."""
        base = self.settings.base_url or self.spec.base_url
        if callable(base):
            base = base(self.settings)
        if not base:
            raise self.not_configured()
        return base

    def lack(self) -> str | None:
        """Return the sentence that says what is not set yet; None where nothing is missing."""
        try:
            self.keys("")
            bool(self.base_url)
        except GatewayError as error:
            return error.message
        return None

    def missing_path(self) -> str | None:
        """Return the path that APIs like this stand below, where the operator's base URL has none."""
        address, usual = self.settings.base_url, self.spec.base_url
        if address is None or callable(usual) or urlsplit(address).path.strip("/"):
            return None
        if usual is not None:
            return urlsplit(usual).path.rstrip("/") or None
        return "/v1" if any(wire.path in _BELOW_V1 for wire in self.spec.wires.values()) else None

    def operation_path(self) -> str | None:
        """Return the path of an operation that the operator's base URL ends with by mistake."""
        path = urlsplit(self.settings.base_url or "").path.rstrip("/")
        paths = (wire.path for wire in self.spec.wires.values() if len(wire.path) > 1)
        return next((one for one in paths if path.endswith(one)), None)

    def not_configured(self) -> GatewayError:
        """Return the error that says which variable configures this provider."""
        return GatewayError(
            "provider_not_configured",
            f"Provider '{self.name}' is not configured. {self.spec.missing}".strip(),
            param="model",
        )

    def wire(self, operation: str, model: str) -> Wire | None:
        """Return the wire that serves ``operation`` for ``model``, or None."""
        if self.spec.choose is not None:
            return self.spec.choose(self.settings, operation, model)
        return self.spec.wires.get(operation)

    def keys(self, model: str) -> tuple[ProviderKey | None, ...]:
        """Return the credentials that may serve ``model`` (``""``: whatever the model);
        ``(None,)`` where none is needed."""
        fitting = tuple(k for k in self.settings.keys if not model or k.models is None or model in k.models)
        if fitting:
            return fitting
        if self.spec.needs_key:
            raise self.not_configured()
        return (None,)

    def realm(self, key: ProviderKey | None, wire: Wire | None = None) -> str:
        """Return the realm of state that an answer by ``key`` (over ``wire``) belongs to."""
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
        base: dict[str, str] = {"content-type": "application/json"} if body is not None else {}
        base |= {**wire.headers, **self.settings.headers, **(headers or {})}
        outgoing = Outgoing(wire.method, url, base, body)
        outgoing.headers.update(self.spec.auth.headers(key, self.settings, outgoing))
        return outgoing
