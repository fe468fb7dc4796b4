"""Resolve model strings to ordered targets.

The rules are those of docs/surfaces.md, "Model strings": ``provider/model`` where the left part is a
provider's name; then the operator's aliases; then the mount's default provider, or the
first configured provider that lists the model offline. The caller must be allowed to use each
candidate. No network is used.

Tests: tests/behaviour/test_routes.py, tests/surfaces/test_model_strings.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final, TypeVar

from app.config import Alias, ProviderKey, TargetMembers
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.stickiness import Stickiness, rank, stickiness_of
from app.gateway.strategies import Place, Strategies
from app.providers import PROVIDERS
from app.providers.base import Provider


class Registry:
    """The providers by name, each made at first use.

    ``make`` makes one from its name; ``names`` are those that exist, ``configured`` those
    that have what they need, in the operator's order.
    """

    def __init__(
        self, names: frozenset[str], configured: tuple[str, ...], make: Callable[[str], Provider]
    ) -> None:
        self.names = names
        self.configured = configured
        self._make = make
        self._providers: dict[str, Provider] = {}

    def get(self, name: str) -> Provider:
        """Return the provider; raise KeyError for an unknown name."""
        if name not in self.names:
            raise KeyError(name)
        if name not in self._providers:
            self._providers[name] = self._make(name)
        return self._providers[name]

    def close(self) -> None:
        """Close every transport that was opened."""
        for provider in self._providers.values():
            provider.transport.close()


def _is_refusal(target: Target | GatewayError) -> bool:
    return isinstance(target, GatewayError) and not target.kind.falls_back


def unknown_provider(name: str) -> GatewayError:
    """Return the error for a name that no provider has."""
    message = f"Invalid value: '{name[:64]}'. It is not the name of a provider."
    return GatewayError("bad_request", message, param="provider", code="invalid_value")


_SETUP_ORDER: Final = {
    name: (len(row.needs), position) for position, (name, row) in enumerate(PROVIDERS.items())
}
"""Sort keys of the providers: those that need only a key come first."""

_MOST_PLAIN: Final = 1024

T = TypeVar("T")

KnowsModel = Callable[[Provider, str], bool]


class Router:
    """Resolve the model strings of a call to targets."""

    def __init__(
        self,
        registry: Registry,
        aliases: Mapping[str, Alias],
        knows_model: KnowsModel,
        strategies: Strategies | None = None,
        sticky_prompts: bool = False,
    ) -> None:
        self.registry = registry
        self._aliases = aliases
        self._knows_model = knows_model
        self._strategies = strategies
        self._sticky_prompts = sticky_prompts
        self._plain: dict[str, Target] = {}  # of ``provider/model`` with one key, so the same for all calls
        self._has_members = any(alias.members for alias in aliases.values())

    def targets(self, call: Call) -> list[Target | GatewayError]:
        """Return the targets of a call in order; an error stands for a candidate that
        cannot be tried (unknown, not configured, forbidden). Where the key may not use the first
        candidate, that refusal is all; a forbidden fallback is skipped."""
        first, *fallbacks = call.candidates
        targets = self._of_candidate(call, first)
        if fallbacks and not (targets and all(map(_is_refusal, targets))):
            for candidate in fallbacks:
                targets += self._of_candidate(call, candidate)
        return targets

    def _of_candidate(self, call: Call, candidate: str) -> list[Target | GatewayError]:
        plain = self._plain.get(candidate)
        if plain is not None and call.principal.allows(candidate):
            return [plain]
        targets = self._resolve_candidate(call, candidate)
        if len(targets) == 1 and isinstance(one := targets[0], Target) and one.label == candidate:
            if len(self._plain) >= _MOST_PLAIN:
                self._plain.clear()
            self._plain[candidate] = one
        return targets

    def _resolve_candidate(self, call: Call, candidate: str) -> list[Target | GatewayError]:
        try:
            names = self._names(candidate, call.default_provider, call)
        except GatewayError as error:
            return [error]
        alias = candidate if self.is_alias(candidate) else None
        members = self._members(alias, call.default_provider) if alias and self._has_members else {}
        return [
            target
            if isinstance(target, GatewayError) or place not in members
            else replace(target, members=members[place])
            for place in names
            for target in self._keys(call, *place, alias)
        ]

    def _members(self, name: str, default: str | None) -> dict[Place, TargetMembers]:
        """Return the members of the places that an alias leads to; those of an outer alias win."""
        alias = self._aliases[name]
        by_place: dict[Place, TargetMembers] = {}
        for target in dict.fromkeys([*(target for target, _ in alias.targets), *alias.fallbacks]):
            own, inner = alias.members.get(target), {}
            if target != name and self.is_alias(target):
                inner = self._members(target, default)
            if own is None and not inner:
                continue
            for place in self._names(target, default) if own is not None else inner:
                deep = inner.get(place)
                by_place.setdefault(place, deep if own is None and deep is not None else own.over(deep))  # type: ignore[union-attr]
        return by_place

    def is_alias(self, model: str) -> bool:
        """Tell whether a model string is an alias of the operator's."""
        provider, slash, rest = model.partition("/")
        return model in self._aliases and not (slash and rest and provider in self.registry.names)

    def resolve(self, model: str, default_provider: str | None = None) -> tuple[str, str]:
        """Return (provider name, model id) of a model string.

        Raises GatewayError ``model_not_found``."""
        return self._names(model, default_provider)[0]

    def _names(self, model: str, default: str | None, call: Call | None = None) -> list[Place]:
        provider, slash, rest = model.partition("/")
        if slash and rest and provider in self.registry.names:
            return [(provider, rest)]
        if model in self._aliases:
            return self._of_alias(model, default, call)
        if default is not None:
            return [(default, model)]
        for name in self.registry.configured:
            if self._knows_model(self.registry.get(name), model):
                return [(name, model)]
        message = f"The requested model '{model}' does not exist.{self._advice(model)}"
        raise GatewayError("model_not_found", message, param="model")

    def _advice(self, model: str) -> str:
        """Return advice for a model that no configured provider lists: the provider that is meant, or has it, and what to set."""
        owner, slash, rest = model.partition("/")
        if slash and (closest := get_close_matches(owner, self.registry.names, n=1, cutoff=0.88)):
            return f" Did you mean '{closest[0]}/{rest}'?"
        unconfigured = self.registry.names.difference(self.registry.configured)
        for name in sorted(unconfigured & PROVIDERS.keys(), key=_SETUP_ORDER.__getitem__):
            provider = self.registry.get(name)
            if self._knows_model(provider, model):
                return (
                    f" Provider '{name}' would serve it, but is not configured. {provider.spec.missing} "
                    f"Then ask for '{name}/{model}'."
                )
        return ""

    def _of_alias(self, name: str, default: str | None, call: Call | None) -> list[Place]:
        """Return the places of an alias in the order of its strategy, then its fallbacks."""
        alias = self._aliases[name]
        models = [target for target, _ in alias.targets]
        if alias.strategy != "ordered" and len(models) > 1:
            first = self._first(alias.targets, call)
            models = [first, *(target for target in models if target != first)]
        places = self._places(name, models, default, call)
        if self._strategies is not None and call is not None and len(places) > 1:
            places = self._strategies.order(alias.strategy, call, places)
        return list(dict.fromkeys([*places, *self._places(name, alias.fallbacks, default, call)]))

    def _places(
        self, name: str, models: Iterable[str], default: str | None, call: Call | None
    ) -> list[Place]:
        places = (place for m in models if m != name for place in self._names(m, default, call))
        return list(dict.fromkeys(places))

    def _keys(self, call: Call, name: str, model: str, alias: str | None) -> Iterator[Target | GatewayError]:
        label = f"{name}/{model}"
        if not call.principal.allows(label, alias):
            yield GatewayError("forbidden", f"This key may not use the model '{label}'.", param="model")
            return
        try:
            provider = self.registry.get(name)
            keys = provider.keys(model)
        except GatewayError as error:
            yield error
            return
        ordered = self._order(keys, call)
        if call.realm is not None:
            ordered.sort(key=lambda key: provider.realm(key) != call.realm)
        for key in ordered:
            yield Target(provider, model, key)

    def stickiness(self, call: Call) -> Stickiness | None:
        """Return what ties a call to others, None for a call of its own."""
        return stickiness_of(call, self._sticky_prompts)

    def draws(self, call: Call) -> bool:
        """Tell whether weights influence the order of a call's targets."""
        return any(self._is_random(call, candidate) for candidate in call.candidates)

    def explores(self, call: Call) -> bool:
        """Tell whether one call in twenty goes to another target, to measure its latency."""
        names = {name for candidate in call.candidates for name in self._reachable_names(candidate)}
        aliases = [self._aliases[name] for name in names]
        return any(alias.strategy == "latency" and len(alias.targets) > 1 for alias in aliases)

    def strategy(self, model: str) -> str | None:
        """Return the strategy of an alias, None for one with a single target and for any other model string."""
        alias = self._aliases[model] if self.is_alias(model) else None
        return None if alias is None or len(alias.targets) < 2 else alias.strategy

    def _is_random(self, call: Call, candidate: str) -> bool:
        for name in self._reachable_names(candidate):
            alias = self._aliases[name]
            if alias.strategy == "ordered" or len(alias.targets) < 2:
                continue
            if self._is_tied(name, alias, call):
                return True
        targets = self._of_candidate(call, candidate)
        keys = {(t.provider.name, t.model, t.key.name) for t in targets if isinstance(t, Target) and t.key}
        return len(keys) > len({key[:2] for key in keys})

    def _is_tied(self, name: str, alias: Alias, call: Call) -> bool:
        """Tell whether the strategy of an alias leaves the order to the weights."""
        if self._strategies is None or alias.strategy == "weighted":
            return True
        try:
            places = self._places(name, (target for target, _ in alias.targets), call.default_provider, call)
        except GatewayError:
            return False
        return self._strategies.ties(alias.strategy, call, places)

    def _reachable_names(self, model: str) -> list[str]:
        """Return the aliases that a model string leads to, itself included."""
        names: dict[str, None] = {}
        stack = [model]
        while stack:
            name = stack.pop()
            if name not in names and self.is_alias(name):
                names[name] = None
                stack += [
                    *(target for target, _ in self._aliases[name].targets),
                    *self._aliases[name].fallbacks,
                ]
        return list(names)

    def _first(self, targets: Sequence[tuple[str, float]], call: Call | None) -> str:
        """Return the first target: by the call's stickiness, else drawn by weight."""
        stickiness = self.stickiness(call) if call is not None else None
        if stickiness is not None:
            return rank(stickiness, targets, str)[0]
        return _choose_weighted(targets)

    def _order(self, keys: tuple[ProviderKey | None, ...], call: Call) -> list[ProviderKey | None]:
        if len(keys) < 2:
            return list(keys)
        left = [(key, key.weight if key else 1.0) for key in keys]
        stickiness = self.stickiness(call)
        if stickiness is not None:
            return rank(stickiness, left, lambda key: key.name if key else "")
        ordered: list[ProviderKey | None] = []
        while left:
            chosen = _choose_weighted(left)
            ordered.append(chosen)
            left = [pair for pair in left if pair[0] is not chosen]
        return ordered


def _choose_weighted(pairs: Sequence[tuple[T, float]]) -> T:
    """Draw one of ``pairs`` by weight."""
    values, weights = zip(*pairs, strict=True)
    return random.choices(values, weights)[0]
