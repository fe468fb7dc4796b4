"""OpenAI Responses. A stream is read by its deltas; what only the finished item has, from the item.

Real servers encrypt reasoning anew for each snapshot: a stream's signatures are those of
``output_item.done``, and differ from those in the terminal object.
"""

from collections import defaultdict

from tests.traffic.answers import Answer, Choice, Failure, Json, ToolCall, Usage, failure, parsed
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange

CITED = ("url", "file_id")
PLAIN = ("message", "reasoning", "function_call", "custom_tool_call")


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    if exchange.streamed:
        return from_events(payloads(exchange.content()))
    return from_object(exchange.json())


def from_object(response: Json) -> Answer:
    answer = Answer(id=response["id"], model=response.get("model"), status=response.get("status"))
    answer.usage = usage(response.get("usage"))
    if error := response.get("error"):
        answer.error = Failure(200, error.get("message", ""), error.get("code"))
    choice = answer.choice(0)
    for item in response.get("output") or []:
        add_item(choice, item)
    choice.finish_raw = (response.get("incomplete_details") or {}).get("reason") or answer.status
    return answer


def add_item(into: Choice, item: Json) -> None:
    kind = item["type"]
    if item.get("encrypted_content"):
        into.signatures.append(item["encrypted_content"])
    if kind == "message":
        for part in item.get("content") or []:
            add_part(into, part)
    elif kind == "reasoning":
        into.summaries += [part["text"] for part in item.get("summary") or []]
        into.reasoning += "".join(part["text"] for part in item.get("content") or [])
    elif kind == "function_call":
        into.tool_calls.append(ToolCall(item["call_id"], item["name"], parsed(item["arguments"])))
    elif kind == "custom_tool_call":
        into.tool_calls.append(ToolCall(item["call_id"], item["name"], item["input"], "custom"))
    if kind not in PLAIN:
        into.opaque.append(kind)


def add_part(into: Choice, part: Json) -> None:
    into.text += part.get("text", "")
    into.refusal += part.get("refusal", "")
    into.logprobs += len(part.get("logprobs") or [])
    for annotation in part.get("annotations") or []:
        into.citations.append(next((annotation[key] for key in CITED if key in annotation), ""))


def from_events(events: list[Json]) -> Answer:
    """Text and arguments from the deltas, in order of the items; the rest from the finished items."""
    joined: dict[tuple[str, int], str] = defaultdict(str)
    items: dict[int, Json] = {}
    last: Json = {}
    error: Failure | None = None
    for event in events:
        kind = event["type"]
        if kind.endswith(".delta"):
            joined[kind, event["output_index"]] += event["delta"]
        elif kind == "response.output_item.done":
            items[event["output_index"]] = event["item"]
        elif kind == "error":
            words = event.get("error") or event
            error = Failure(200, words["message"], words.get("code"), words.get("type"), words.get("param"))
        last = event.get("response") or last
    answer = from_object({**last, "output": [items[index] for index in sorted(items)]})
    answer.stream, answer.error = True, error or answer.error
    choice = answer.choice(0)
    choice.text = in_order(joined, "response.output_text.delta")
    choice.refusal = in_order(joined, "response.refusal.delta")
    choice.reasoning = in_order(joined, "response.reasoning_text.delta")
    return answer


def in_order(joined: dict[tuple[str, int], str], kind: str) -> str:
    return "".join(text for (name, _), text in sorted(joined.items()) if name == kind)


def usage(raw: Json | None) -> Usage | None:
    if not raw:
        return None
    before, after = raw.get("input_tokens_details") or {}, raw.get("output_tokens_details") or {}
    return Usage(
        input=raw["input_tokens"],
        output=raw["output_tokens"],
        total=raw["total_tokens"],
        cached=before.get("cached_tokens"),
        cache_write=before.get("cache_write_tokens"),
        reasoning=after.get("reasoning_tokens"),
        cost=raw.get("cost"),
        raw=raw,
    )
