"""From an operation to the exchange of one attempt.

Tests: tests/golden, tests/test_additions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from app.dialects import dialect
from app.gateway.call import Call, Target
from app.gateway.exchange import Exchange, Sent
from app.gateway.passing import PassExchange
from app.gateway.plan import Plan, Planned
from app.gateway.translating import TranslateExchange, decoded
from app.operations import OPERATIONS, resolve


def generation(call: Call, target: Target, chosen: Plan) -> Exchange:
    """Return the exchange of a chat or Responses call."""
    spoken = dialect(call.dialect)
    if chosen.way == "pass" and spoken.patch is not None:
        return PassExchange(call, target, chosen.wire, spoken, spoken.patch, lambda: decoded(call))
    return TranslateExchange(call, target, chosen.wire, decoded(call))


def exchange(call: Call, planned: Planned) -> Exchange:
    """Return the exchange that puts ``call`` to a planned target, made as its operation's row says.

    Raises what made the plan impossible."""
    return _maker(call.operation)(call, planned.target, planned.way())


def encoded(call: Call, planned: Planned) -> tuple[Exchange, Sent]:
    """Return the exchange with the request it sends; raises for what the target cannot take."""
    made = exchange(call, planned)
    return made, made.send()


@cache
def _maker(operation: str) -> Callable[[Call, Target, Plan], Exchange]:
    found: Callable[[Call, Target, Plan], Exchange] = resolve("gateway", OPERATIONS[operation].exchange)
    return found
