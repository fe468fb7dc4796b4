"""CountTokens as a server speaks it: a prompt to count, and how many tokens it has."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from app.canonical.request import Request
from app.dialects.base import ServerContext
from app.dialects.converse.request_in import decode_request
from app.dialects.messages.request_in import decode_request as decode_messages
from app.dialects.shared.lenient_json import parse
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type


def decode_count_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the prompt to count: a Converse body, or the bytes of an InvokeModel body of a Claude.

    The model is the view's ``model`` beside ``input``.
    """
    members = ClientObject(body)
    wanted = members.object("input")
    if wanted is None:
        raise missing("input")
    named = {"model": body["model"]} if "model" in body else {}
    converse = wanted.mapping("converse")
    if converse is not None:
        return decode_request({"messages": [], **converse, **named}, context)
    invoke = wanted.object("invokeModel")
    if invoke is None:
        raise missing("input.converse")
    return decode_messages({**_unpack(invoke), **named}, context)


def _unpack(invoke: ClientObject) -> dict[str, Any]:
    try:
        body = parse(base64.b64decode(invoke.required_text("body"), validate=True).decode())
    except (binascii.Error, ValueError):
        body = None
    if not isinstance(body, dict):
        raise wrong_type(invoke.at("body"), "the base64 of a JSON object", body)
    return body


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count; this wire has no word for an estimate."""
    return {"inputTokens": tokens}
