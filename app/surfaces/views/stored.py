"""The views of stored responses: retrieve, replay as a stream, delete, cancel, list input items."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from flask import Response, g, request

from app.dialects.responses.echo import strip_encrypted
from app.errors import GatewayError
from app.gateway.call import Abort
from app.gateway.core import Gateway
from app.responses_form.errors import event_of_error
from app.responses_form.events import size_of
from app.state.records import StoredResponse
from app.surfaces.body import queries
from app.surfaces.calls import current_gateway
from app.surfaces.idempotency import claim_json
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response
from app.surfaces.replies.framing import Events
from app.wire.json import dumps_ascii
from app.wire.offload import aside
from app.wire.sse import comment, encode_frame

_POLL_SECONDS: Final = 1.0  # seconds after which a reader without events checks its abort


def retrieve(mount: Mount, response_id: str, deployment: str | None = None) -> Response:
    """Retrieve a response, whole or as a stream of its events."""
    include = queries.include()
    wants_stream = queries.boolean("stream", False) and request.method != "HEAD"
    after = queries.integer("starting_after", None, least=0)
    queries.boolean("include_obfuscation", True)
    gateway = current_gateway()
    if wants_stream:
        return follow(gateway, response_id, -1 if after is None else after)
    return json_response(show(mount, gateway.state().responses.get(g.principal.tenant, response_id), include))


def show(mount: Mount, response: StoredResponse, include: Any) -> dict[str, Any]:
    """Return a stored response in the form of ``mount``."""
    body = strip_encrypted(response.object, include)
    if mount.envelope == "provider":
        return {**body, "provider": response.provider}
    if mount.plain_retrieve:
        return body
    return {**body, "extra_fields": _extra_fields(response)}


def _extra_fields(response: StoredResponse) -> dict[str, Any]:
    """Return the ``extra_fields`` of a stored response; a failed one names the provider of its last attempt."""
    name = response.extra.get("model")
    attempts = current_gateway().attempts_of(response)
    provider, model = response.provider, response.model
    if provider is None:
        provider, model = (attempts[-1]["provider"], attempts[-1]["model"]) if attempts else (None, None)
    fields: dict[str, Any] = {
        "request_type": "responses",
        "provider": provider,
        "model_requested": name,
        "original_model_requested": name,
        "model_deployment": model,
        "resolved_model_used": model,
    }
    if len(attempts) > 1:
        fields["attempts"] = attempts
    if response.extra.get("warnings"):
        fields["warnings"] = response.extra["warnings"]
    return fields


def delete(mount: Mount, response_id: str, deployment: str | None = None) -> Response:
    """Delete a response."""
    gateway = current_gateway()
    gateway.state().responses.delete(g.principal.tenant, response_id)
    gateway.cache_store.forget_response(response_id)
    return json_response({"id": response_id, "object": "response", "deleted": True})


def cancel(mount: Mount, response_id: str, deployment: str | None = None) -> Response:
    """Cancel a background response; a body, if any, is ignored."""
    gateway = current_gateway()
    claim_json(gateway, None, 0)
    return json_response(show(mount, gateway.state().responses.cancel(g.principal.tenant, response_id), ()))


def input_items(mount: Mount, response_id: str, deployment: str | None = None) -> Response:
    """List a response's input items."""
    include, query = queries.include(), queries.page()
    page = current_gateway().state().responses.input_items(g.principal.tenant, response_id, query)
    return json_response(strip_encrypted(page, include))


def follow(
    gateway: Gateway, response_id: str, after: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a stream of the events of a background response whose numbers are above ``after``.

    Raises GatewayError for an unknown response, or one without a log of events.
    """
    batches = gateway.state().events.follow(g.principal.tenant, response_id, after, idle=_POLL_SECONDS)
    abort = Abort()
    end = gateway.begin(abort, request.environ.get("gunicorn.socket"), g.principal)
    return Response(
        _read(batches, abort, gateway.settings.comment_every, end),
        200,
        {**Events.headers, **(headers or {})},
        direct_passthrough=True,
    )


def _read(
    batches: Iterator[list[dict[str, Any]]], abort: Abort, comment_every: float, end: Any
) -> Iterator[bytes]:
    """Yield the bytes of each batch; when the server shuts down, an error event without a number ends the stream."""
    quiet_since = time.monotonic()
    try:
        yield comment("open")
        for events in batches:
            if abort.reason is not None:
                yield _encode_error(abort.reason)
                return
            if events:
                yield aside(size_of(events), partial(_encode, events))
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= comment_every:
                yield comment("keep-alive")
                quiet_since = time.monotonic()
    except GatewayError as error:
        yield _encode_error(error)
    finally:
        end()


def _encode(events: list[dict[str, Any]]) -> bytes:
    return b"".join(encode_frame(event["type"], dumps_ascii(event)) for event in events)


def _encode_error(error: GatewayError) -> bytes:
    return encode_frame("error", dumps_ascii({"type": "error", **event_of_error(error)}))
