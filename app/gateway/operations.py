"""From an operation to the exchange of one attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from app.dialects.base import ClientContext, ServerContext
from app.dialects.responses.patch import ResponsesPatch
from app.dialects.responses.request_out import DEFAULT_OPTIONS
from app.dialects.shared.losses import Losses
from app.gateway.call import Call, Target
from app.gateway.exchange import Exchange
from app.gateway.passing import ChatPatch, PassExchange, Patch
from app.gateway.plan import Plan, Planned
from app.gateway.translating import TranslateExchange, decoded
from app.operations import OPERATIONS, resolve


def responses_patch(call: Call, target: Target, losses: Losses, context: ServerContext) -> Patch:
    """Return the patch of a Responses call: its state taken out, our ids and echo put in."""
    realm = target.provider.realm(target.key)
    wire = target.provider.wire("responses", target.model)
    accepting = ClientContext(target.model, context.new_id, context.now, realm=realm)
    expanded = call.upstream_body
    return ResponsesPatch(
        caller_body=call.body,
        id=call.response_id or "",
        model=target.model,
        realm=realm,
        now=context.now,
        wrap=context.wrap,
        unwrap=context.unwrap,
        accepts=lambda signature: accepting.accepts(signature, "responses"),
        losses=losses,
        options=(wire.options if wire else None) or DEFAULT_OPTIONS,
        input=expanded.get("input") if expanded is not None else None,
        created_at=call.created_at,
        new_id=context.new_id,
    )


_PATCHES: Final[Mapping[str, Callable[[Call, Target, Losses, ServerContext], Patch]]] = {
    "chat": ChatPatch,
    "responses": responses_patch,
}


def generation(call: Call, target: Target, chosen: Plan) -> Exchange:
    """Return the exchange of a chat or Responses call."""
    if chosen.way == "pass" and call.dialect in _PATCHES:
        return _passing(call, target, chosen)
    return TranslateExchange(call, target, chosen.wire, decoded(call))


def _passing(call: Call, target: Target, chosen: Plan) -> Exchange:
    def patch(losses: Losses, context: ServerContext) -> Patch:
        return _PATCHES[call.dialect](call, target, losses, context)

    return PassExchange(call, target, chosen.wire, patch, lambda: decoded(call))


def exchange(call: Call, planned: Planned) -> Exchange:
    """Return the exchange that puts ``call`` to a planned target, made as its operation's row says.

    Raises what made the plan impossible."""
    return _maker(call.operation)(call, planned.target, planned.way())


@cache
def _maker(operation: str) -> Callable[[Call, Target, Plan], Exchange]:
    found: Callable[[Call, Target, Plan], Exchange] = resolve("gateway", OPERATIONS[operation].exchange)
    return found
