"""Chat completions and all that look like them: a body is read as one chunk with ``message``."""

from collections.abc import Iterable

from tests.traffic.answers import Answer, Choice, Json, ToolCall, Usage, failure, parsed, spoken
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    if exchange.streamed:
        return fold(payloads(exchange.content()), "delta")
    return fold([exchange.json()], "message")


def fold(chunks: Iterable[Json], member: str) -> Answer:
    """Join chunks; ``member`` is where a choice keeps its content: ``delta`` or ``message``."""
    answer = Answer(stream=member == "delta")
    for chunk in chunks:
        answer.id = answer.id or chunk.get("id")
        answer.model = answer.model or chunk.get("model")
        answer.usage = usage(chunk.get("usage") or chunk.get("x_groq", {}).get("usage")) or answer.usage
        if chunk.get("error"):
            answer.error = spoken(200, chunk)
        for choice in chunk.get("choices") or []:
            into = answer.choice(choice["index"])
            add(into, choice.get(member) or {})
            into.finish_raw = choice.get("finish_reason") or into.finish_raw
            into.logprobs += len((choice.get("logprobs") or {}).get("content") or [])
        if chunk.get("citations"):  # Perplexity: the whole list, on every chunk
            answer.choice(0).citations = list(chunk["citations"])
    for choice in answer.choices:
        for call in choice.tool_calls:
            call.arguments = call.arguments if call.kind == "custom" else parsed(call.arguments)
    return answer


def add(into: Choice, message: Json) -> None:
    content(into, message.get("content"))
    into.reasoning += message.get("reasoning") or message.get("reasoning_content") or ""
    into.refusal += message.get("refusal") or ""
    for detail in message.get("reasoning_details") or []:
        into.summaries += [detail["summary"]] if detail.get("summary") else []
        into.signatures += [detail[key] for key in ("signature", "data") if detail.get(key)]
    for annotation in message.get("annotations") or []:
        into.citations.append(annotation.get("url_citation", {}).get("url", ""))
    if google := message.get("extra_content", {}).get("google", {}).get("thought_signature"):
        into.signatures.append(google)
    if audio := message.get("audio"):
        into.media.append("audio")
        into.transcript += audio.get("transcript", "")
    for position, call in enumerate(message.get("tool_calls") or []):
        add_call(into, call, call.get("index", position))
    if legacy := message.get("function_call"):
        into.tool_calls.append(ToolCall(None, legacy["name"], legacy["arguments"], "legacy"))


def content(into: Choice, value: str | list[Json] | None) -> None:
    """Text, or Mistral's list of ``text`` and ``thinking`` parts."""
    if isinstance(value, str):
        into.text += value
    for part in value if isinstance(value, list) else []:
        into.text += part.get("text", "")
        into.reasoning += "".join(piece["text"] for piece in part.get("thinking", []))


def add_call(into: Choice, call: Json, index: int) -> None:
    """A fragment belongs to the call of its index; a further index opens the next call."""
    kind = "custom" if "custom" in call else "function"
    fragment = call[kind]
    if index == len(into.tool_calls):
        into.tool_calls.append(ToolCall(call.get("id"), fragment["name"], "", kind))
    into.tool_calls[index].arguments += fragment.get("arguments") or fragment.get("input") or ""


def usage(raw: Json | None) -> Usage | None:
    """``prompt_tokens`` holds the cached ones, ``completion_tokens`` the reasoning."""
    if not raw:
        return None
    prompt = raw.get("prompt_tokens_details") or {}
    completion = raw.get("completion_tokens_details") or {}
    cost = raw.get("cost")
    return Usage(
        input=raw.get("prompt_tokens"),
        output=raw.get("completion_tokens"),
        total=raw.get("total_tokens"),
        cached=prompt.get("cached_tokens", raw.get("num_cached_tokens")),
        cache_write=prompt.get("cache_write_tokens"),
        reasoning=completion.get("reasoning_tokens", raw.get("reasoning_tokens")),
        cost=cost.get("total_cost") if isinstance(cost, dict) else cost,
        raw=raw,
    )
