"""Requests of the Responses dialect: recorded bodies through both halves, and the tolerances."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.request import Request
from app.dialects.base import ServerContext
from app.dialects.losses import Losses
from app.dialects.responses import DIALECT
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.load import Exchange

APIS = ("openai.responses", "azure.openai.responses", "openrouter.openai.responses")
REQUESTS = [
    exchange
    for exchange in load.exchanges(APIS)
    if isinstance(exchange.request["body"], dict) and exchange.request["method"] == "POST"
]
FORCED = {"store": False}
TAKEN_OUT = ("previous_response_id", "conversation", "background")


def decode(body: dict[str, Any], **members: Any) -> Request:
    return DIALECT.decode_request(body, ServerContext(new_id=generic.counter(), now=0, **members))


def resolved(body: dict[str, Any]) -> dict[str, Any]:
    """The body as the store hands it on: references are resolved before a body is decoded."""
    items = body.get("input")
    if not isinstance(items, list):
        return body
    return {**body, "input": [item for item in items if item.get("type") != "item_reference"]}


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_keeps_every_member_through_both_halves(exchange: Exchange) -> None:
    body = resolved(exchange.request["body"])
    request = decode(body)
    losses = Losses("responses")
    context = generic.client_context(body.get("model", ""), losses=losses)
    sent = DIALECT.encode_request(request, context).body
    expected = {k: v for k, v in body.items() if v is not None and k not in ("input", "include", *TAKEN_OUT)}
    if not body.get("stream"):
        expected.pop("stream", None)
        expected.pop("stream_options", None)
    expected["tools"] = [unnested(tool) for tool in body.get("tools") or []]
    if body.get("tools") is None:
        del expected["tools"]
    assert {k: v for k, v in sent.items() if k not in ("input", "include")} == expected | FORCED
    assert set(body.get("include") or ()) <= set(sent["include"])
    assert losses.items == []
    again = DIALECT.encode_request(decode(sent), generic.client_context(body.get("model", ""))).body
    assert again == sent


def unnested(tool: dict[str, Any]) -> dict[str, Any]:
    """One client sends its function nested and flat at once; flat is what goes out."""
    nested = tool.get("function", {})
    return nested | {k: v for k, v in tool.items() if k != "function"}


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_input_goes_out_item_by_item(exchange: Exchange) -> None:
    body = resolved(exchange.request["body"])
    if not isinstance(body.get("input"), list):
        return
    sent = DIALECT.encode_request(decode(body), generic.client_context()).body["input"]
    assert [whole(item) for item in sent] == [whole(item) for item in body["input"]]


def whole(item: dict[str, Any]) -> dict[str, Any]:
    """An item without the freedoms of the input form: no type, string content, idle members."""
    item = {"type": "message", **item}
    role = item.get("role")
    for name in ("content", "output"):
        if isinstance(item.get(name), str):
            kind = "output_text" if role == "assistant" else "input_text"
            item[name] = [{"type": kind, "text": item[name]}]
        if isinstance(item.get(name), list) and item["type"] not in HOSTED:
            item[name] = [plain(part) for part in item[name]]
    return item


HOSTED = ("tool_search_output",)


def plain(part: dict[str, Any]) -> dict[str, Any]:
    defaults = {"annotations": [], "logprobs": []} if part["type"] == "output_text" else {}
    if part["type"] == "input_image":
        defaults["detail"] = "auto"
    return {**defaults, **{k: v for k, v in part.items() if v is not None}}
