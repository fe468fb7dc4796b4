"""Anthropic Messages, wherever it is hosted. A stream is joined into blocks and read like a body."""

import json
from collections.abc import Iterable

from tests.traffic.answers import Answer, Choice, Json, ToolCall, Usage, failure, spoken, total
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange

JOINED = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    if exchange.streamed:
        return from_events(payloads(exchange.content()))
    return from_message(exchange.json())


def from_message(message: Json) -> Answer:
    answer = Answer(id=message["id"], model=message["model"], usage=usage(message["usage"]))
    choice = answer.choice(0)
    choice.finish_raw = message["stop_reason"]
    choice.refusal = (message.get("stop_details") or {}).get("explanation") or ""
    for block in message["content"]:
        add_block(choice, block)
    return answer


def add_block(into: Choice, block: Json) -> None:
    kind = block["type"]
    if kind == "text":
        into.text += block["text"]
        into.citations += [
            c.get("url") or c.get("document_title") or c.get("source") or ""
            for c in block.get("citations") or []
        ]
    elif kind == "thinking":
        into.reasoning += block["thinking"]
        into.signatures += [block["signature"]] if block.get("signature") else []
    elif kind == "redacted_thinking":
        into.signatures.append(block["data"])
    elif kind == "tool_use":
        into.tool_calls.append(ToolCall(block["id"], block["name"], block["input"]))
    else:
        into.opaque.append(kind)


def from_events(events: Iterable[Json]) -> Answer:
    message: Json = {}
    blocks: list[Json] = []
    inputs: dict[int, str] = {}
    error = None
    for event in events:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            blocks.append(event["content_block"])
        elif event["type"] == "content_block_delta":
            add_delta(blocks, inputs, event["index"], event["delta"])
        elif event["type"] == "message_delta":
            message = {**message, **event["delta"]}
            message["usage"] = {**message["usage"], **event.get("usage", {})}
        elif event["type"] == "error":
            error = spoken(200, event)
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads(text or "{}")
    answer = from_message({**message, "content": blocks})
    answer.stream, answer.error = True, error
    return answer


def add_delta(blocks: list[Json], inputs: dict[int, str], index: int, delta: Json) -> None:
    if delta["type"] == "input_json_delta":
        inputs[index] = inputs.get(index, "") + delta["partial_json"]
    elif delta["type"] == "citations_delta":
        blocks[index]["citations"] = [*blocks[index].get("citations", []), delta["citation"]]
    elif delta["type"] in JOINED:
        member = JOINED[delta["type"]]
        blocks[index][member] = blocks[index].get(member, "") + delta[member]


def usage(raw: Json) -> Usage:
    """The wire's ``input_tokens`` leaves out what was read from and written to the cache."""
    read_tokens, written = raw.get("cache_read_input_tokens"), raw.get("cache_creation_input_tokens")
    before = total(raw["input_tokens"], read_tokens, written)
    return Usage(
        input=before,
        output=raw["output_tokens"],
        total=total(before, raw["output_tokens"]),
        cached=read_tokens,
        cache_write=written,
        reasoning=(raw.get("output_tokens_details") or {}).get("thinking_tokens"),
        raw=raw,
    )
