"""Make the exchange of an attempt from its operation.

Tests: tests/golden, tests/test_additions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from app.dialects import dialect
from app.gateway.call import Call, Target
from app.gateway.exchange import Exchange, Sent
from app.gateway.pass_through import PassExchange
from app.gateway.plan import Plan, Planned
from app.gateway.target_members import apply_to_body, apply_to_request
from app.gateway.translation import TranslateExchange, decode_call, losses_of
from app.operations import OPERATIONS, resolve


def generation(call: Call, target: Target, chosen: Plan) -> Exchange:
    """Return the exchange of a chat or Responses call."""
    row, losses, members = dialect(call.dialect), losses_of(call, target), target.members
    if chosen.way == "pass" and row.patch is not None and not call.leading:
        target_call = call if members is None else apply_to_body(call, members, losses)
        return PassExchange(target_call, target, chosen.wire, row, row.patch, losses)
    request = decode_call(call)
    if members is not None:
        request = apply_to_request(request, members, losses)
    return TranslateExchange(call, target, chosen.wire, request, losses)


def exchange(call: Call, planned: Planned) -> Exchange:
    """Return the exchange of ``call`` with a planned target.

    Raises the error that makes the plan impossible."""
    return _maker(call.operation)(call, planned.target, planned.way())


def encode(call: Call, planned: Planned) -> tuple[Exchange, Sent]:
    """Return the exchange and the request that it sends; raises for what the target cannot take."""
    new = exchange(call, planned)
    return new, new.send()


@cache
def _maker(operation: str) -> Callable[[Call, Target, Plan], Exchange]:
    maker: Callable[[Call, Target, Plan], Exchange] = resolve("gateway", OPERATIONS[operation].exchange)
    return maker
