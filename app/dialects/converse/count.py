"""CountTokens as a server handles it: decode the prompt to count, encode the number of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.canonical.request import Request
from app.dialects.base import ServerContext
from app.dialects.converse.request_in import decode_request
from app.dialects.messages.request_in import decode_request as decode_messages
from app.dialects.shared.base64_text import decode_base64
from app.dialects.shared.lenient_json import parse
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type


def decode_count_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the prompt to count: a Converse body, or Claude's InvokeModel body in base64.

    The view puts the model of the URL into ``model``, beside ``input``. Raises ``bad_request`` for
    an ``input`` with neither body.
    """
    prompt = ClientObject(body).required_object("input")
    model = {"model": body["model"]} if "model" in body else {}
    converse = prompt.mapping("converse")
    if converse is not None:
        return decode_request({"messages": [], **converse, **model}, context)
    invoke = prompt.object("invokeModel")
    if invoke is None:
        raise missing("input.converse")
    decoded = parse(decode_base64(invoke.required_text("body")) or "")
    if not isinstance(decoded, dict):
        raise wrong_type(invoke.at("body"), "the base64 of a JSON object", decoded)
    return decode_messages({**decoded, **model}, context)


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count; CountTokens has no member that marks an estimate."""
    return {"inputTokens": tokens}
