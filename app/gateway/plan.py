"""One decision: which wire serves a call at a target, and whether it passes or is translated.

``pass`` when the caller's dialect is the very one the target takes whole; else translate. A call's
targets are planned once, before anything is written or sent. Tests: tests/behaviour/test_routes.py,
tests/golden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from app.canonical.record import record
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.operations import OPERATIONS
from app.providers.base import Wire

_ESTIMATED: Final[Mapping[str, tuple[str, ...]]] = {"count_tokens": OPERATIONS["responses"].wires}
"""Wires of another operation, for a model whose provider cannot do this one: then we estimate."""

_MOST_ROUTES: Final = 1024


@record
class Plan:
    """``wire`` serves the call as operation ``serves``, by passing or by translating."""

    way: Literal["pass", "translate"]
    wire: Wire
    serves: str


class Planned(NamedTuple):
    """A target with its plan, or with the error for which it cannot be asked."""

    target: Target
    plan: Plan | GatewayError

    def way(self) -> Plan:
        """Return the plan; raises the error in its place."""
        if isinstance(self.plan, GatewayError):
            raise self.plan
        return self.plan


class Route(NamedTuple):
    """The planned targets of a call in order; an error takes the place of a candidate that cannot be used."""

    steps: tuple[Planned | GatewayError, ...]

    @property
    def targets(self) -> tuple[Planned, ...]:
        """Return what can be tried."""
        return tuple(step for step in self.steps if isinstance(step, Planned))

    def first(self, call: Call, check: Callable[[Planned], object] = Planned.way) -> Planned:
        """Return the first target that can be used; raise the first error if there is none.

        ``check`` raises for a target that cannot; an error that forbids a fallback ends the search."""
        first: GatewayError | None = None
        for step in self.steps:
            if isinstance(step, GatewayError):
                first = first or step
                continue
            try:
                check(step)
            except GatewayError as error:
                first = first or error
                if not error.kind.falls_back:
                    break
            else:
                return step
        raise first or no_target(call)


class Routes:
    """Plans the targets of calls. The route of a single target is the same for all calls of a kind: it is planned once."""

    def __init__(self) -> None:
        self._single: dict[tuple[Any, ...], Route] = {}

    def plan(self, call: Call, targets: Sequence[Target | GatewayError]) -> Route:
        """Plan each target of ``call``."""
        target = targets[0] if len(targets) == 1 else None
        if not isinstance(target, Target) or target.members is not None:
            return plan_route(call, targets)
        key_name = None if target.key is None else target.key.name
        kind = (target.provider, target.model, key_name, call.operation, call.dialect, call.prefer)
        route = self._single.get(kind)
        if route is None:
            if len(self._single) >= _MOST_ROUTES:
                self._single.clear()
            route = plan_route(call, targets)
            if isinstance(route.targets[0].plan, Plan):
                self._single[kind] = route
        return route


def plan_route(call: Call, targets: Iterable[Target | GatewayError]) -> Route:
    """Plan each target of ``call``."""
    return Route(tuple(t if isinstance(t, GatewayError) else Planned(t, _plan(call, t)) for t in targets))


def _plan(call: Call, target: Target) -> Plan | GatewayError:
    """Return how ``call`` is put to ``target``, or the error that says why it cannot be."""
    wires = OPERATIONS[call.operation].wires + _ESTIMATED.get(call.operation, ())
    for operation in call.prefer or wires:
        wire = target.provider.wire(operation, target.model)
        if wire is not None:
            same = wire.dialect == call.dialect and operation == call.operation
            return Plan("pass" if same and wire.passes else "translate", wire, operation)
    return unsupported(call.operation, target.provider.name)


def no_target(call: Call) -> GatewayError:
    """Return the error of a call for which there is nothing to try."""
    return GatewayError("model_not_found", f"No target for '{call.model}'.", param="model")


def unsupported(operation: str, provider: str) -> GatewayError:
    """Return the error for an operation that a provider cannot do."""
    return GatewayError(
        "unsupported_operation",
        f"Provider '{provider}' does not support the operation '{operation}'.",
        param="model",
    )
