"""Whether a call is looked up and its answer cached, and for how long: by the configuration, then by its headers.

Tests: tests/governance/test_cache.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.record import record
from app.config import TTL_SENTENCE, CacheSettings, SemanticSettings, Settings, seconds_of
from app.errors import GatewayError
from app.gateway.call import Call

_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}
_LONGEST_SCOPE: Final = 256
_HEADERS: Final = frozenset(
    {
        *("cache-control", "x-bf-cache-no-store", "x-bf-cache-ttl", "x-bf-cache-key"),
        *("x-bf-cache-type", "x-bf-cache-threshold"),
    }
)
"""Headers that ``_by_headers`` reads."""


@record
class Policy:
    """How one call uses the cache; ``scope`` is the caller's own, "" for none. ``direct``: the same question is
    looked up; ``semantic``: similar ones are, from ``threshold`` on."""

    settings: CacheSettings
    reads: bool = True
    writes: bool = True
    ttl: int = 300
    scope: str = ""
    direct: bool = True
    semantic: SemanticSettings | None = None
    threshold: float = 0.8


class Policies:
    """Finds the policy of a call: its model's, else its key's, else the gateway's."""

    def __init__(self, settings: Settings) -> None:
        self._server = _without_headers(settings.cache)
        self._models = {
            name: _without_headers(one.cache)
            for name, one in settings.aliases.items()
            if one.cache is not None
        }
        self._keys = {
            (key.tenant, key.name): _without_headers(key.cache)
            for key in settings.keys
            if key.cache is not None
        }

    def __bool__(self) -> bool:
        """Tell whether a cache is configured anywhere."""
        policies = (self._server, *self._models.values(), *self._keys.values())
        return any(one is not None and one.settings.on for one in policies)

    def of(self, call: Call) -> Policy | None:
        """Return how ``call`` uses the cache, None if it does not; raises ``bad_request`` for malformed headers."""
        who = call.principal
        policy = self._models.get(call.model)
        if policy is None and who.id is None:
            policy = self._keys.get((who.tenant, who.key))
        policy = policy or self._server
        if policy is None or not policy.settings.on:
            return None
        if policy.settings.allow_per_call and not _HEADERS.isdisjoint(call.client_headers):
            policy = _by_headers(call.client_headers, policy.settings)
        return policy if policy.reads or policy.writes else None


def _without_headers(settings: CacheSettings | None) -> Policy | None:
    return None if settings is None else _by_headers({}, settings)


def _by_headers(headers: Mapping[str, str], settings: CacheSettings) -> Policy:
    semantic = settings.semantic
    control = {part.strip().lower() for part in headers.get("cache-control", "").split(",")}
    kind = _kind(headers, semantic)
    return Policy(
        settings,
        reads=not control & {"no-cache", "no-store"},
        writes="no-store" not in control and not _flag(headers, "x-bf-cache-no-store"),
        ttl=_ttl(headers, settings.ttl),
        scope=_scope(headers),
        direct=kind != "semantic",
        semantic=None if kind == "direct" else semantic,
        threshold=_threshold(headers, semantic.threshold if semantic else 0.8),
    )


def _ttl(headers: Mapping[str, str], default: int) -> int:
    text = headers.get("x-bf-cache-ttl")
    if text is None:
        return default
    seconds = seconds_of(text.strip())
    if seconds is None:
        raise _refusal("x-bf-cache-ttl", TTL_SENTENCE)
    return seconds


def _flag(headers: Mapping[str, str], name: str) -> bool:
    text = headers.get(name, "false").strip().lower()
    if text not in _FLAGS:
        raise _refusal(name, "must be 'true' or 'false'")
    return _FLAGS[text]


def _scope(headers: Mapping[str, str]) -> str:
    scope = headers.get("x-bf-cache-key", "")
    if len(scope) > _LONGEST_SCOPE:
        raise _refusal("x-bf-cache-key", f"must have {_LONGEST_SCOPE} characters at most")
    return scope


def _kind(headers: Mapping[str, str], semantic: SemanticSettings | None) -> str | None:
    """Return the only kind of look-up that the headers allow, None for all kinds."""
    kind = headers.get("x-bf-cache-type")
    if kind is None:
        return None
    kind = kind.strip().lower()
    if kind == "semantic" and semantic is None:
        raise _refusal("x-bf-cache-type", "must be 'direct': no semantic cache is configured here")
    if kind not in ("direct", "semantic"):
        raise _refusal("x-bf-cache-type", "must be 'direct' or 'semantic'")
    return kind


def _threshold(headers: Mapping[str, str], default: float) -> float:
    text = headers.get("x-bf-cache-threshold")
    try:
        threshold = default if text is None else float(text)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise _refusal("x-bf-cache-threshold", "must be a number from 0 to 1")
    return threshold


def _refusal(header: str, sentence: str) -> GatewayError:
    return GatewayError(
        "bad_request", f"The header '{header}' {sentence}.", param=header, code="invalid_value"
    )
