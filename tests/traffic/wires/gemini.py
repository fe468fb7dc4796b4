"""Gemini generateContent, of both Google hosts. A stream's chunks are bodies; joined one by one."""

from collections.abc import Iterable

from tests.traffic.answers import Answer, Choice, Json, ToolCall, Usage, failure, total
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange


def read(exchange: Exchange) -> Answer:
    """A stream asked for without ``alt=sse`` is a JSON list of chunks."""
    if error := failure(exchange):
        return Answer(error=error)
    if exchange.streamed:
        return fold(payloads(exchange.content()), stream=True)
    body = exchange.json()
    return fold(body, stream=True) if isinstance(body, list) else fold([body], stream=False)


def fold(chunks: Iterable[Json], stream: bool) -> Answer:
    answer = Answer(stream=stream)
    for chunk in chunks:
        answer.id = answer.id or chunk.get("responseId")
        answer.model = answer.model or chunk.get("modelVersion")
        answer.usage = usage(chunk.get("usageMetadata")) or answer.usage
        answer.status = chunk.get("promptFeedback", {}).get("blockReason") or answer.status
        for candidate in chunk.get("candidates") or []:
            into = answer.choice(candidate.get("index", 0))
            for part in candidate.get("content", {}).get("parts") or []:
                add_part(into, part)
            into.finish_raw = candidate.get("finishReason") or into.finish_raw
            into.logprobs += len(candidate.get("logprobsResult", {}).get("chosenCandidates", []))
            into.citations += cited(candidate)
    return answer


def add_part(into: Choice, part: Json) -> None:
    if part.get("thought"):
        into.reasoning += part.get("text", "")
    else:
        into.text += part.get("text", "")
    if part.get("thoughtSignature"):
        into.signatures.append(part["thoughtSignature"])
    if call := part.get("functionCall"):
        into.tool_calls.append(ToolCall(call.get("id"), call["name"], call.get("args") or {}))
    if media := part.get("inlineData"):
        into.media.append(media["mimeType"])
    into.opaque += [key for key in ("executableCode", "codeExecutionResult") if key in part]


def cited(candidate: Json) -> list[str]:
    """Grounding chunks (web pages, retrieved files), then recited sources."""
    chunks = candidate.get("groundingMetadata", {}).get("groundingChunks", [])
    recited = candidate.get("citationMetadata", {}).get("citations", [])
    return [chunk.get("web", {}).get("uri", "") for chunk in chunks] + [c.get("uri", "") for c in recited]


def usage(raw: Json | None) -> Usage | None:
    """Thoughts are counted beside the candidates, tool results beside the prompt; all are in the total."""
    if not raw or "totalTokenCount" not in raw:
        return None
    return Usage(
        input=total(raw.get("promptTokenCount"), raw.get("toolUsePromptTokenCount")),
        output=total(raw.get("candidatesTokenCount"), raw.get("thoughtsTokenCount")),
        total=raw["totalTokenCount"],
        cached=raw.get("cachedContentTokenCount"),
        reasoning=raw.get("thoughtsTokenCount"),
        raw=raw,
    )
