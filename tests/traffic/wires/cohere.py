"""Cohere v2 chat. ``tool_plan`` is reasoning; a stream ends with ``message-end``."""

from tests.traffic.answers import Answer, Choice, Json, ToolCall, Usage, failure, parsed, spoken, total
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    if exchange.streamed:
        return from_events(payloads(exchange.content()))
    body = exchange.json()
    answer = Answer(id=body["id"], usage=usage(body.get("usage")))
    choice = answer.choice(0)
    choice.finish_raw = body["finish_reason"]
    add(choice, body["message"])
    return answer


def add(into: Choice, message: Json) -> None:
    into.reasoning += message.get("tool_plan") or ""
    for part in message.get("content") or []:
        into.text += part.get("text", "")
        into.reasoning += part.get("thinking", "")
    for call in message.get("tool_calls") or []:
        function = call["function"]
        into.tool_calls.append(ToolCall(call["id"], function["name"], parsed(function["arguments"])))
    into.citations += [citation["sources"][0]["id"] for citation in message.get("citations") or []]


def from_events(events: list[Json]) -> Answer:
    """Streamed members hold one object where the body holds a list of them."""
    answer = Answer(stream=True)
    choice = answer.choice(0)
    for event in events:
        delta = event.get("delta", {})
        message = delta.get("message", {})
        if event["type"] == "message-start":
            answer.id = event["id"]
        elif event["type"] == "tool-call-delta":
            choice.tool_calls[-1].arguments += message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "tool-call-start":
            call = message["tool_calls"]
            choice.tool_calls.append(ToolCall(call["id"], call["function"]["name"], ""))
        elif event["type"] == "citation-start":
            add(choice, {"citations": [message["citations"]]})
        elif event["type"] == "message-end":
            choice.finish_raw, answer.usage = delta["finish_reason"], usage(delta.get("usage"))
            if "error" in delta:
                answer.error = spoken(200, {"message": delta["error"], "error_type": delta["error_type"]})
        elif message:
            add(choice, message | {"content": [message["content"]] if "content" in message else []})
    for call in choice.tool_calls:
        call.arguments = parsed(call.arguments)
    return answer


def usage(raw: Json | None) -> Usage | None:
    """``tokens`` is what the model saw; ``billed_units`` is what is paid, and smaller."""
    if not raw:
        return None
    tokens = raw["tokens"]
    return Usage(
        input=tokens["input_tokens"],
        output=tokens["output_tokens"],
        total=total(tokens["input_tokens"], tokens["output_tokens"]),
        cached=raw.get("cached_tokens"),
        reasoning=tokens.get("reasoning_tokens"),
        raw=raw,
    )
