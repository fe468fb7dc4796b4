"""Makes the Call of a batch line; its body is checked as at the surface of its batch.

``app.operations`` names ``line_call``, so that batch runners find it without a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from app.canonical.record import record
from app.dialects import dialect
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
from app.surfaces.views.media import decode
from app.surfaces.views.responses import require_prompt
from app.wire.offload import aside

_MOUNTS: Final[Mapping[str, Mount]] = {mount.name: mount for mount in MOUNTS}


def line_call(gateway: Gateway, line: LineCall) -> Call:
    """Return the call of a line; raise the GatewayError that its endpoint would answer."""
    row = _ENDPOINTS[line.endpoint]
    operation, mount = OPERATIONS[row.operation], _MOUNTS[row.mount or line.mount]
    aside(line.size, lambda: check(row.body, line.body))
    line.principal.check_operation(operation.name)
    return row.finish(gateway, mount, _call(gateway, mount, operation, row, line))


def _call(gateway: Gateway, mount: Mount, operation: Operation, row: _Endpoint, line: LineCall) -> Call:
    wire = row.dialect or operation.dialect
    model = model_string(line.body, None, gateway.registry.names)
    body, losses = without_forbidden(line.body, strict=False)
    return Call(
        id=line.id,
        operation=operation.name,
        dialect=wire,
        body=body,
        model=model,
        candidates=(model, *fallbacks_of(body, wire)),
        principal=line.principal,
        surface=line.mount,
        status_of=lambda error: error.status if not row.dialect else dialect(wire).error_status(error),
        abort=line.abort,
        sealing=gateway.sealing(line.principal.tenant),
        deadline=time.monotonic() + gateway.settings.timeouts.background,
        default_provider=mount.provider_of_bare_name(gateway.registry.configured),
        left_out=losses,
        size=line.size,
        names_files=True,
        signs=row.signs,
    )


Finish = Callable[[Gateway, Mount, Call], Call]
"""Completes a call for its endpoint."""


def _store_turn(gateway: Gateway, mount: Mount, call: Call) -> Call:
    """Return a Responses call as a stored turn."""
    require_prompt(call.body)
    store = wants_store(call.body, gateway.settings.store_by_default)
    return replace(call, host=RequestHost(mount.name, store))


@record
class _Endpoint:
    """How the lines of an endpoint are answered. ``dialect`` is that of bodies and answers, by default the operation's
    own; ``mount`` decides what a bare model name means, by default the mount of the batch."""

    operation: str
    body: str
    finish: Finish = lambda gateway, mount, call: call
    dialect: str = ""
    mount: str = ""
    signs: bool = False


_ENDPOINTS: Final[Mapping[str, _Endpoint]] = {
    "/v1/chat/completions": _Endpoint("chat", "body.schemas.chat.ChatBody", signs=True),
    "/v1/responses": _Endpoint("responses", "body.schemas.responses.ResponsesBody", _store_turn, signs=True),
    "/v1/embeddings": _Endpoint(
        "embedding",
        "body.schemas.media.EmbeddingBody",
        lambda gateway, mount, call: decode(call),
    ),
    "/v1/completions": _Endpoint("completion", "body.schemas.chat.CompletionBody"),
    "/v1/messages": _Endpoint(
        "chat", "views.messages.MessagesBody", dialect="messages", mount="messages", signs=True
    ),
}
