"""Make a Call of a batch line; its body is validated as at the door of its batch.

`app.operations` names ``line_call``, so that batch runners find it without a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from app.canonical.record import record
from app.dialects import dialect
from app.errors import GatewayError
from app.gateway.batch_run import LineCall
from app.gateway.call import Call
from app.gateway.core import Gateway
from app.gateway.request_turn import RequestHost
from app.gateway.stored_turn import wants_store
from app.operations import OPERATIONS, Operation
from app.surfaces.body.forbidden_members import without_forbidden
from app.surfaces.body.schemas import check
from app.surfaces.calls import fallbacks_of, model_string
from app.surfaces.mounts import MOUNTS, Mount
from app.surfaces.views.media import decode_embedding
from app.surfaces.views.responses import require_prompt
from app.wire.offload import aside

_DOORS: Final[Mapping[str, Mount]] = {mount.name: mount for mount in MOUNTS}


def line_call(gateway: Gateway, asked: LineCall) -> Call:
    """Return the call of a line; raise the GatewayError that its endpoint would answer."""
    row = _ENDPOINTS[asked.endpoint]
    operation, mount = OPERATIONS[row.operation], _DOORS[row.door or asked.mount]
    aside(asked.size, lambda: check(row.body, asked.body))
    principal, name = asked.principal, operation.request_type or operation.name
    if not principal.permits(name):
        raise GatewayError("forbidden", f"This key may not make requests of the type '{name}'.")
    return row.finish(gateway, mount, _call(gateway, mount, operation, row, asked))


def _call(gateway: Gateway, mount: Mount, operation: Operation, row: _Endpoint, asked: LineCall) -> Call:
    spoken = row.dialect or operation.dialect
    model = model_string(asked.body, None, gateway.registry.names)
    body, left_out = without_forbidden(asked.body, strict=False)
    return Call(
        id=asked.id,
        operation=operation.name,
        dialect=spoken,
        body=body,
        model=model,
        candidates=(model, *fallbacks_of(body, spoken)),
        principal=asked.principal,
        door=asked.mount,
        status_of=lambda error: error.status if not row.dialect else dialect(spoken).error_status(error),
        abort=asked.abort,
        sealing=gateway.sealing(asked.principal.tenant),
        deadline=time.monotonic() + gateway.background_timeout(),
        default_provider=mount.bare_means(gateway.registry.configured),
        left_out=left_out,
        size=asked.size,
        names_files=True,
        signs=row.signs,
    )


Finish = Callable[[Gateway, Mount, Call], Call]
"""Completes a call for its endpoint."""


def _as_it_is(gateway: Gateway, mount: Mount, call: Call) -> Call:
    return call


def _decode(gateway: Gateway, mount: Mount, call: Call) -> Call:
    return decode_embedding(call)


def _as_turn(gateway: Gateway, mount: Mount, call: Call) -> Call:
    """Return a Responses call as a stored turn."""
    require_prompt(call.body)
    store = wants_store(call.body, gateway.settings.store_by_default)
    return replace(call, host=RequestHost(mount.name, store))


@record
class _Endpoint:
    """What answers the lines of an endpoint. ``dialect`` is read and written where that is not the
    operation's own; ``door``: what a bare model name means is that door's affair."""

    operation: str
    body: str
    finish: Finish = _as_it_is
    dialect: str = ""
    door: str = ""
    signs: bool = False


_ENDPOINTS: Final[Mapping[str, _Endpoint]] = {
    "/v1/chat/completions": _Endpoint("chat", "body.schemas.chat.ChatBody", signs=True),
    "/v1/responses": _Endpoint("responses", "body.schemas.responses.ResponsesBody", _as_turn, signs=True),
    "/v1/embeddings": _Endpoint("embedding", "body.schemas.media.EmbeddingBody", _decode),
    "/v1/completions": _Endpoint("completion", "body.schemas.completions.CompletionBody"),
    "/v1/messages": _Endpoint(
        "chat", "views.messages.MessagesBody", dialect="messages", door="messages", signs=True
    ),
}
