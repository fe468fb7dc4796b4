"""From a model string to ordered targets.

The rules are contract/surfaces.md 2: ``provider/model`` only when the left part is a
provider's name; then the operator's aliases; then the mount's default provider, or the
first configured provider whose offline list knows the model. Each candidate must be
allowed for the caller. No network is used.

Tests: tests/behaviour/test_routes.py, tests/surfaces/test_model_strings.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from app.config import Alias, ProviderKey, TargetMembers
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.stickiness import Stickiness, bond_of, rank
from app.gateway.strategies import Place, Strategies
from app.providers import PROVIDERS
from app.providers.base import Provider


class Registry:
    """The providers by name, made when first asked for.

    ``make`` builds one from its name; ``names`` are those that exist; ``configured`` those
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
        """Return the provider; raises KeyError for a name that is none."""
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


_EASE: Final = {name: (len(row.needs), position) for position, (name, row) in enumerate(PROVIDERS.items())}
"""The providers in order: those first that want a key alone."""

T = TypeVar("T")

KnowsModel = Callable[[Provider, str], bool]


class Router:
    """Resolve the model strings of a call to targets."""

    def __init__(
        self,
        registry: Registry,
        aliases: Mapping[str, Alias],
        knows_model: KnowsModel,
        choose: Callable[[], float] = random.random,
        strategies: Strategies | None = None,
        sticky_prompts: bool = False,
    ) -> None:
        self.registry = registry
        self._aliases = aliases
        self._knows_model = knows_model
        self._choose = choose
        self._strategies = strategies
        self._sticky_prompts = sticky_prompts
        self._has_members = any(alias.members for alias in aliases.values())

    def targets(self, call: Call) -> Iterator[Target | GatewayError]:
        """Yield the targets of a call in order; an error stands for a candidate that
        cannot be tried (unknown, not configured, forbidden). A key that may not use the
        model it asks for gets that refusal alone; a forbidden fallback is passed over."""
        for position, candidate in enumerate(call.candidates):
            found = self._of_candidate(call, candidate)
            yield from found
            if position == 0 and found and all(_is_refusal(target) for target in found):
                return

    def _of_candidate(self, call: Call, candidate: str) -> list[Target | GatewayError]:
        try:
            names = self._names(candidate, call.default_provider, call)
        except GatewayError as error:
            return [error]
        alias = candidate if self.is_alias(candidate) else None
        members = (
            self._members(alias, call.default_provider) if alias is not None and self._has_members else {}
        )
        return [
            target
            if isinstance(target, GatewayError) or place not in members
            else replace(target, members=members[place])
            for place in names
            for target in self._keys(call, *place, alias)
        ]

    def _members(self, name: str, default: str | None) -> dict[Place, TargetMembers]:
        """Return the members of the places that a name leads to; those of an outer name win."""
        alias = self._aliases[name]
        found: dict[Place, TargetMembers] = {}
        for target in dict.fromkeys([*(target for target, _ in alias.targets), *alias.fallbacks]):
            own, inner = alias.members.get(target), {}
            if target != name and self.is_alias(target):
                inner = self._members(target, default)
            if own is None and not inner:
                continue
            for place in self._names(target, default) if own is not None else inner:
                deep = inner.get(place)
                found.setdefault(place, deep if own is None and deep is not None else own.over(deep))  # type: ignore[union-attr]
        return found

    def is_alias(self, model: str) -> bool:
        """Tell whether a model string is a name of the operator's."""
        provider, slash, rest = model.partition("/")
        return model in self._aliases and not (slash and rest and provider in self.registry.names)

    def resolve(self, model: str, default_provider: str | None = None) -> tuple[str, str]:
        """Return (provider name, model id) of a model string.

        Raises GatewayError ``model_not_found``."""
        found = self._names(model, default_provider)[0]
        return found[0], found[1]

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
        """Return what would serve a model that no configured provider lists: who, which variable, which form."""
        unset = self.registry.names.difference(self.registry.configured)
        for name in sorted(unset & PROVIDERS.keys(), key=_EASE.__getitem__):
            provider = self.registry.get(name)
            if self._knows_model(provider, model):
                return (
                    f" Provider '{name}' would serve it, but is not configured. {provider.spec.missing} "
                    f"Then ask for '{name}/{model}'."
                )
        return ""

    def _of_alias(self, name: str, default: str | None, call: Call | None) -> list[Place]:
        """Return the places of a name in the order of its strategy, then its fallbacks."""
        alias = self._aliases[name]
        models = [target for target, _ in alias.targets]
        if alias.strategy != "ordered":
            chosen = self._chosen(alias.targets, call)
            models = [chosen, *(target for target in models if target != chosen)]
        places = self._places(name, models, default, call)
        if self._strategies is not None and call is not None and len(places) > 1:
            places = self._strategies.order(alias.strategy, call, places)
        return list(dict.fromkeys([*places, *self._places(name, alias.fallbacks, default, call)]))

    def _places(
        self, name: str, models: Iterable[str], default: str | None, call: Call | None
    ) -> list[Place]:
        found = (place for m in models if m != name for place in self._names(m, default, call))
        return list(dict.fromkeys(found))

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
        """Return what keeps a call with others, None for one of its own."""
        return bond_of(call, self._sticky_prompts)

    def draws(self, call: Call) -> bool:
        """Tell whether weights have a say in the order of a call's targets: by draw, or by its bond."""
        return any(self._is_random(call, candidate) for candidate in call.candidates)

    def explores(self, call: Call) -> bool:
        """Tell whether one call in twenty goes elsewhere, to see how fast that is."""
        reached = (
            self._aliases[name] for candidate in call.candidates for name in self._reachable_names(candidate)
        )
        return any(alias.strategy == "latency" and len(alias.targets) > 1 for alias in reached)

    def strategy(self, model: str) -> str | None:
        """Return the strategy that orders the targets of a name, None for a model string that is none of several."""
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
        """Tell whether the strategy of a name leaves its order to the weights."""
        if self._strategies is None or alias.strategy == "weighted":
            return True
        try:
            places = self._places(name, (target for target, _ in alias.targets), call.default_provider, call)
        except GatewayError:
            return False
        return self._strategies.ties(alias.strategy, call, places)

    def _reachable_names(self, model: str) -> list[str]:
        """Return the names of the operator's that a model string leads to, itself included."""
        found: dict[str, None] = {}
        waiting = [model]
        while waiting:
            name = waiting.pop()
            if name not in found and self.is_alias(name):
                found[name] = None
                waiting += [
                    *(target for target, _ in self._aliases[name].targets),
                    *self._aliases[name].fallbacks,
                ]
        return list(found)

    def _chosen(self, targets: Sequence[tuple[str, float]], call: Call | None) -> str:
        """Return the target that comes first: that of the call's bond, else one drawn by weight."""
        stickiness = self.stickiness(call) if call is not None and len(targets) > 1 else None
        if stickiness is not None:
            return rank(stickiness, targets, str)[0]
        return _choose_weighted(list(targets), self._choose())

    def _order(self, keys: tuple[ProviderKey | None, ...], call: Call) -> list[ProviderKey | None]:
        if len(keys) < 2:
            return list(keys)
        left = [(key, key.weight if key else 1.0) for key in keys]
        stickiness = self.stickiness(call)
        if stickiness is not None:
            return rank(stickiness, left, lambda key: key.name if key else "")
        ordered: list[ProviderKey | None] = []
        while left:
            chosen = _choose_weighted(left, self._choose())
            ordered.append(chosen)
            left = [pair for pair in left if pair[0] is not chosen]
        return ordered


def _choose_weighted(pairs: list[tuple[T, float]], draw: float) -> T:
    """Return one of ``pairs`` by weight; ``draw`` is in [0, 1)."""
    total = sum(weight for _, weight in pairs)
    point = draw * total
    for value, weight in pairs:
        point -= weight
        if point < 0:
            return value
    return pairs[-1][0]
