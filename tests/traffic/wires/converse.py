"""Bedrock Converse. A stream's events are joined into content blocks and read like a body."""

import json

from tests.traffic.answers import Answer, Choice, Json, ToolCall, Usage, failure, total
from tests.traffic.frames import eventstream
from tests.traffic.load import Exchange


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    if exchange.streamed:
        return from_events(exchange.content())
    body = exchange.json()
    return from_blocks(body["output"]["message"]["content"], body["stopReason"], body["usage"])


def from_blocks(blocks: list[Json], stop: str | None, raw: Json) -> Answer:
    answer = Answer(usage=usage(raw))
    choice = answer.choice(0)
    choice.finish_raw = stop
    for block in blocks:
        add_block(choice, block)
    return answer


def add_block(into: Choice, block: Json) -> None:
    into.text += block.get("text", "")
    if thought := block.get("reasoningContent"):
        text = thought.get("reasoningText", {})
        into.reasoning += text.get("text", "")
        into.signatures += [v for v in (text.get("signature"), thought.get("redactedContent")) if v]
    if cited := block.get("citationsContent"):
        into.text += "".join(part["text"] for part in cited.get("content", []))
        into.citations += [c.get("location", {}).get("web", {}).get("url", "") for c in cited["citations"]]
    if call := block.get("toolUse"):
        if call.get("type") == "server_tool_use":
            into.opaque.append("server_tool_use")
        else:
            into.tool_calls.append(ToolCall(call["toolUseId"], call["name"], call["input"]))
    if "toolResult" in block:
        into.opaque.append("toolResult")


def from_events(body: bytes) -> Answer:
    blocks: dict[int, Json] = {}
    inputs: dict[int, str] = {}
    stop, raw = None, {}
    for message in eventstream(body):
        event = json.loads(message.payload)
        index = event.get("contentBlockIndex")
        kind = message.headers[":event-type"]
        if kind == "contentBlockStart":
            blocks[index] = event["start"]
        elif kind == "contentBlockDelta":
            add_delta(blocks.setdefault(index, {}), inputs, index, event["delta"])
        elif kind == "messageStop":
            stop = event["stopReason"]
        elif kind == "metadata":
            raw = event["usage"]
    for index, block in blocks.items():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(inputs.get(index) or "{}")
    answer = from_blocks([blocks[index] for index in sorted(blocks)], stop, raw)
    answer.stream = True
    return answer


def add_delta(block: Json, inputs: dict[int, str], index: int, delta: Json) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    if "toolUse" in delta:
        inputs[index] = inputs.get(index, "") + delta["toolUse"]["input"]
    if "citation" in delta:
        block.setdefault("citationsContent", {"citations": []})["citations"].append(delta["citation"])
    thought = delta.get("reasoningContent", {})
    for key in thought.keys() & {"text", "signature"}:
        held = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {})
        held[key] = held.get(key, "") + thought[key]
    if "redactedContent" in thought:
        block.setdefault("reasoningContent", {})["redactedContent"] = thought["redactedContent"]


def usage(raw: Json) -> Usage:
    """The wire's ``inputTokens`` leaves out the cached and written ones; its total holds them."""
    read_tokens, written = raw.get("cacheReadInputTokens"), raw.get("cacheWriteInputTokens")
    return Usage(
        input=total(raw["inputTokens"], read_tokens, written),
        output=raw["outputTokens"],
        total=raw["totalTokens"],
        cached=read_tokens,
        cache_write=written,
        raw=raw,
    )
