"""What a call takes of which limits: at admission by an estimate, at its end by what it really used.

Tests: tests/gateway/test_limits.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from app.config import Limit
from app.gateway import allowances
from app.gateway.call import Attempt, Call, Principal, Target
from app.gateway.limits.windows import Charge
from app.gateway.plan import Route

SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_CALLERS: Final = 4_096  # whose limits stay in memory


@dataclass(slots=True)
class Touch:
    """A limit that a call touches. ``level`` and ``owner`` say whose it is, ``words`` and ``name`` for people. ``key`` is
    what is counted, in spans of ``seconds``: changing how much is allowed keeps what was used."""

    level: str
    owner: str
    words: str
    limit: Limit
    name: str = ""
    key: str = field(init=False)
    seconds: int = field(init=False)
    counts_tokens: bool = field(init=False)
    _one: Charge = field(init=False)

    def __post_init__(self) -> None:
        limit = self.limit
        self.key = f"{self.level}:{self.owner}:{limit.kind}:{limit.per or ''}:{limit.models or ''}"
        self.seconds = SECONDS[limit.per] if limit.per else 0
        self.counts_tokens = limit.kind == "tokens"
        self._one = Charge(self.key, limit.most, self.seconds, 1)

    def charge(self, tokens: int) -> Charge:
        """Return what a call of so many estimated tokens takes."""
        return Charge(self.key, self.limit.most, self.seconds, tokens) if self.counts_tokens else self._one


def touches_of_call(call: Call, gateway: Sequence[Limit], plan: Callable[[Call], Route]) -> Sequence[Touch]:
    """Return the limits of key, tenant and gateway that ``call`` touches, those of a kind, span and pattern
    that stand twice at one level once, as the lowest. ``plan`` is asked where one depends on the model."""
    every, whatever_is_asked = _of_caller(call.principal, gateway)
    if whatever_is_asked is not None:
        return whatever_is_asked
    labels = _labels(call, plan)
    return lowest_of_each(touch for touch in every if fits(touch.limit, labels, call.candidates))


def touches_of_caller(principal: Principal, gateway: Sequence[Limit]) -> Sequence[Touch]:
    """Return all limits of key, tenant and gateway that a caller is subject to, whatever the request."""
    return _of_caller(principal, gateway)[0]


def _of_caller(principal: Principal, gateway: Sequence[Limit]) -> _Touched:
    if not (principal.limits or principal.tenant_limits or gateway):
        return _NOTHING
    own, of_tenant = principal.limits, principal.tenant_limits
    return _of_levels(principal.tenant, principal.id or principal.key, own, of_tenant, tuple(gateway))


_Touched = tuple[Sequence[Touch], Sequence[Touch] | None]
"""All limits that hold a caller, and the lowest of them where none depends on the model."""

_NOTHING: Final[_Touched] = ((), ())


@lru_cache(_CALLERS)
def _of_levels(
    tenant: str,
    identity: str,
    own: tuple[Limit, ...],
    of_tenant: tuple[Limit, ...],
    gateway: tuple[Limit, ...],
) -> _Touched:
    """Return the limits of these levels; they are worked out once for each caller, and again after a change."""
    levels = (
        ("key", f"{tenant}/{identity}", "this key", own),
        ("tenant", tenant, f"the tenant '{tenant}'", of_tenant),
        ("gateway", "", "the whole gateway", gateway),
    )
    every = [Touch(level, owner, words, one) for level, owner, words, limits in levels for one in limits]
    depends = any(touch.limit.models is not None for touch in every)
    return every, None if depends else lowest_of_each(every)


def touches_of_target(target: Target) -> list[Touch]:
    """Return the limits of an attempt's provider and of its key there."""
    settings, key, label = target.provider.settings, target.key, target.label
    name = settings.name
    rows = [Touch("provider", name, f"the provider '{name}'", one) for one in settings.limits]
    if key is not None:
        words = f"the key '{key.name}' of the provider '{name}'"
        rows += [Touch("provider-key", f"{name}/{key.name}", words, one) for one in key.limits]
    return lowest_of_each(touch for touch in rows if fits(touch.limit, (label,), (label, target.model)))


def lowest_of_each(touches: Iterable[Touch]) -> list[Touch]:
    """Return one touch for each thing that is counted."""
    lowest: dict[str, Touch] = {}
    for touch in touches:
        other = lowest.get(touch.key)
        if other is None or touch.limit.most < other.limit.most:
            lowest[touch.key] = touch
    return list(lowest.values())


def fits(limit: Limit, labels: Iterable[str], names: Iterable[str]) -> bool:
    """Tell whether a limit is about one of these targets (``provider/model``), or about a name that the
    client asked for where its pattern has no ``/``."""
    pattern = limit.models
    if pattern is None or pattern == "*":
        return True
    return any(allowances.fits(pattern, text) for text in (labels if "/" in pattern else names))


def used_of(touches: Iterable[Touch], call: Call, estimate: int, least: int = 0) -> list[int]:
    """Return what ``call`` took of each limit in the end, over its attempts at the models that the limit is about.

    ``least`` is the fewest tokens that it may have taken."""
    every, used = call.attempts, []
    for touch in touches:
        attempts = every
        if touch.limit.models is not None:
            attempts = [one for one in every if fits(touch.limit, (one.target.label,), call.candidates)]
        amount = 1 if attempts or not every else 0
        if touch.counts_tokens:
            amount = 0
            for attempt in attempts:
                amount += tokens_of(attempt, estimate)
            amount = max(least, amount)
        used.append(amount)
    return used


def tokens_of(attempt: Attempt, estimate: int) -> int:
    """Return the tokens that an attempt used up; one that broke off unheard may have used its input."""
    usage = attempt.usage
    if attempt.refused:
        return 0
    if usage is not None:
        return usage.input_tokens + usage.output_tokens
    return estimate if attempt.maybe_charged else 0


def _labels(call: Call, plan: Callable[[Call], Route]) -> list[str]:
    route = plan(call)
    if call.host is None:
        call.progress.route = route
    return [planned.target.label for planned in route.targets]
