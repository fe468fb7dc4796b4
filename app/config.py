"""Settings: what the operator decided, from the environment and one TOML file.

Frozen values only; loading and validation live in ``app.config_loading``. The
environment wins over the file. Secrets are of a type that
never prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from app.canonical.record import record


class Secret:
    """A secret text: ``reveal()`` gives it, everything else shows ``***``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


LIMIT_KINDS: Final = ("requests", "tokens", "concurrent")


class Limit(NamedTuple):
    """At most ``most`` of ``kind`` (``requests``, ``tokens``) in any span of ``per``, or so many calls at
    once (``concurrent``, whose ``per`` is None). ``models`` is a pattern over ``provider/model``, or over
    names of the operator's where it has no ``/``; None: whatever is asked."""

    kind: str
    most: int
    per: str | None = None
    models: str | None = None


def limits_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Limit, ...]:
    """Return the limits of validated rows of a file or of the admin API."""
    return tuple(
        Limit(kind, row[kind], row.get("per"), row.get("models"))
        for row in rows
        for kind in LIMIT_KINDS
        if kind in row
    )


def limit_rows(limits: Iterable[Limit]) -> list[dict[str, Any]]:
    """Return limits in the words of the file and the admin API."""
    rows = ({one.kind: one.most, "per": one.per, "models": one.models} for one in limits)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


NANO: Final = 1_000_000_000
_EXACT: Final = 1e12  # nano-dollars, below which a float is wrong by less than a thousandth
"""Nano-dollars of a dollar: money is summed as integers of them."""


@record
class Budget:
    """At most ``most`` nano-dollars in each ``per`` (``day``, ``week``, ``month`` of UTC, or ``total``).

    ``models`` is a pattern as that of a limit; ``denies_unpriced``: models of unknown price are refused."""

    most: int
    per: str
    models: str | None = None
    denies_unpriced: bool = False


def budgets_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Budget, ...]:
    """Return the budgets of validated rows of a file or of the admin API."""
    return tuple(
        Budget(nano_of(row["usd"]), row["per"], row.get("models"), row.get("unpriced") == "deny")
        for row in rows
    )


def budget_row(budget: Budget) -> dict[str, Any]:
    """Return a budget in the words of the file and the admin API."""
    row = {"usd": dollars_of(budget.most), "per": budget.per, "models": budget.models}
    row["unpriced"] = "deny" if budget.denies_unpriced else None
    return {name: value for name, value in row.items() if value is not None}


def nano_of(usd: float) -> int:
    """Return dollars as nano-dollars; an amount above 0 does not become 0."""
    product = usd * NANO
    nano = round(product) if product < _EXACT else 0
    if abs(product - nano) > 0.499:  # too near to a half, or too wide, for floats
        nano = round(Decimal(str(usd)) * NANO)
    return nano or (1 if usd > 0 else 0)


def dollars_of(nano: int) -> float:
    """Return nano-dollars as dollars, whole ones as a whole number."""
    whole, rest = divmod(nano, NANO)
    return whole if not rest else nano / NANO


_LONGEST_TTL: Final = 30 * 86_400  # seconds
TTL_SENTENCE: Final = "must be a time such as '30s', '5m', '2h', or whole seconds, from 1 second to 30 days"
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TTL: Final = re.compile(r"([0-9]{1,8})([smhd]?)")


def seconds_of(value: Any) -> int | None:
    """Return the seconds of a written time to live, None for an invalid one."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    match = _TTL.fullmatch(str(value))
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    return seconds if 1 <= seconds <= _LONGEST_TTL else None


@record
class SemanticSettings:
    """When questions are similar: the cosine of the vectors that ``model`` makes of the last user messages is at
    least ``threshold``. Conversations of more than ``history`` messages are not compared."""

    model: str
    threshold: float = 0.8
    history: int = 3


@record
class CacheSettings:
    """How answers are cached: for ``ttl`` seconds. ``single_flight``: of equal calls that arrive together, one
    goes out. ``deterministic_only``: only at temperature 0. ``allow_per_call``: a caller's headers count. ``on``
    is False where the operator wrote ``cache = false``. ``semantic``: like questions have one answer, too."""

    ttl: int = 300
    single_flight: bool = True
    deterministic_only: bool = False
    allow_per_call: bool = True
    on: bool = True
    semantic: SemanticSettings | None = None


@record
class ProviderKey:
    """One credential of a provider. ``models`` limits it to those model ids (None: any);
    ``weight`` is its share among the keys that fit; ``limits`` keep us below the account's own."""

    name: str
    secret: Secret
    models: tuple[str, ...] | None = None
    weight: float = 1.0
    limits: tuple[Limit, ...] = ()


@record
class ProviderSettings:
    """One configured provider. ``dialect`` is set for custom ones. ``options`` holds the
    provider's own settings (api_version, project, location, region, voices …): texts, flags,
    tables, and ``Secret`` where one is. ``prices`` maps a model to USD per million tokens:
    input, output, cached, and per request, image, search_unit. ``client_cert`` is a PEM file with certificate and key, or the pair.
    ``chain``: without a key, the vendor's own chain of credentials is used."""

    name: str
    base_url: str | None = None
    keys: tuple[ProviderKey, ...] = ()
    dialect: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    client_cert: str | tuple[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    models: tuple[str, ...] = ()
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    max_concurrency: int = 1000
    chain: bool = False
    limits: tuple[Limit, ...] = ()


@record
class VirtualKey:
    """A client's key. ``models`` are patterns (``provider/model`` with ``*``, or a name of
    ``Settings.aliases``) it may use, ``operations`` types of requests; None allows all.
    ``expires_at`` is in Unix seconds."""

    name: str
    secret: Secret
    tenant: str
    models: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None
    expires_at: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    cache: CacheSettings | None = None


@record
class TenantSettings:
    """A tenant: what all of its keys may use at most, in the words of ``VirtualKey``."""

    name: str
    models: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


@record
class TargetMembers:
    """What a target of a name is asked with: ``max_tokens`` caps the answer, and is sent if the client names no
    limit; ``defaults`` are sampling parameters (``TARGET_DEFAULTS``) for clients that give none; ``headers`` go out
    with each request; ``timeouts`` replace those of the server, in its words."""

    max_tokens: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeouts: Mapping[str, float] = field(default_factory=dict)

    def over(self, inner: TargetMembers | None) -> TargetMembers:
        """Return these members, completed by those of the name that the target leads to."""
        if inner is None:
            return self
        return TargetMembers(
            inner.max_tokens if self.max_tokens is None else self.max_tokens,
            {**inner.defaults, **self.defaults},
            {**inner.headers, **self.headers},
            {**inner.timeouts, **self.timeouts},
        )


STRATEGIES: Final = ("weighted", "ordered", "latency", "cheapest", "least-busy")
"""How the targets of one name are ordered."""


@record
class Alias:
    """A model name of the operator's: weighted targets, then fallbacks in order.

    ``strategy`` orders the targets: one of ``STRATEGIES``. ``members`` are those of targets that have any."""

    targets: tuple[tuple[str, float], ...]
    fallbacks: tuple[str, ...] = ()
    cache: CacheSettings | None = None
    strategy: str = "weighted"
    members: Mapping[str, TargetMembers] = field(default_factory=dict)


@record
class Timeouts:
    """The four clocks in seconds; ``first_byte`` None follows ``total`` for JSON answers
    and is 120 for streams. ``background`` is the total of a background run."""

    connect: float = 10.0
    first_byte: float | None = None
    idle: float = 120.0
    total: float = 600.0
    background: float = 3600.0


@record
class Settings:
    """All that the operator decided.

    What each member means, its variable and its bounds are the rows of
    ``app.config_loading.members``. ``environ`` holds the variables that say how to get out
    (proxies, authorities) and nothing else; ``secret_variables`` names those that held a
    secret, for the server's entry to remove. ``generated_key`` is what a start made in place of a
    ``master_key`` (``app.master_key``); no surface accepts it.
    """

    host: str | None = None
    port: int = 8080
    workers: int = 1
    keepalive: int = 5
    database_url: str = field(default="sqlite:///sluice.db", repr=False)
    database_pool: int | None = None
    database_wait: float | None = None
    listen_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    master_key: Secret | None = None
    generated_key: Secret | None = None
    keys: tuple[VirtualKey, ...] = ()
    tenants: Mapping[str, TenantSettings] = field(default_factory=dict)
    open: bool = False
    secret_keys: tuple[Secret, ...] = ()
    encrypt: bool = False
    timeouts: Timeouts = Timeouts()
    max_retries: int = 1
    background: str = "embedded"
    batch_lines: int = 8
    native_batches: tuple[str, ...] = ("openai", "groq")
    worker_port: int | None = None
    worker_grace: float = 900.0
    status_after: float = 25.0
    hold: float = 2.0
    comment_every: float = 15.0
    breaker: bool = False
    sticky_prompts: bool = False
    allowed_origins: tuple[str, ...] = ()
    sandbox: bool = True
    store_by_default: bool = True
    retention_days: float | None = 30.0
    raw_allowed: bool = False
    responses_done: bool = False
    max_body_bytes: int = 32 * 1024 * 1024
    max_upload_bytes: int = 25 * 1024 * 1024
    body_deadline: float = 30.0
    drain_after: float = 20.0
    models_kept: float = 300.0
    proxy_hops: int = 0
    docs: bool = True
    metrics: bool = False
    otlp_endpoint: str | None = None
    traces_content: bool = False
    log: str = "auto"
    call_log: str = "on"
    admin_reads_content: bool = False
    log_days: float = 90.0
    log_rows: int = 1_000_000
    log_bodies: bool = False
    log_bodies_days: float = 7.0
    limits_fail: str = "share"
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    cache: CacheSettings | None = None
    budget_lease: int = 600
    budget_output: int = 8_192
    ledger_days: float = 400.0
    spool: str | None = None
    alert_url: str | None = field(default=None, repr=False)
    alert_secret: Secret | None = None
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_variables: tuple[str, ...] = ()


def has_limits(settings: Settings) -> bool:
    """Tell whether the configuration has any limit."""
    providers = settings.providers.values()
    rows = [settings.limits, *(key.limits for key in settings.keys)]
    rows += [tenant.limits for tenant in settings.tenants.values()]
    rows += [provider.limits for provider in providers]
    rows += [key.limits for provider in providers for key in provider.keys]
    return any(rows)
