"""What of the client's answer differs from the recorded one, in words; empty when nothing does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tests.behaviour.world import Answer as Http
from tests.replay.asking import Ask
from tests.traffic.answers import (
    Answer,
    Catalogue,
    Choice,
    Count,
    Failure,
    Outcome,
    Sound,
    Transcript,
    Usage,
    Vectors,
)
from tests.traffic.load import Exchange

Faults = list[str]

FINISHES: Mapping[str, str] = {
    **dict.fromkeys(
        "stop end_turn stop_sequence completed COMPLETE complete STOP_SEQUENCE STOP 1 FINISH endoftext".split(),
        "stop",
    ),
    **dict.fromkeys("OTHER UNEXPECTED_TOOL_CALL ERROR".split(), "error"),
    **dict.fromkeys("length max_tokens max_output_tokens MAX_TOKENS LENGTH".split(), "length"),
    **dict.fromkeys("tool_calls tool_use TOOL_CALL function_call".split(), "tool_calls"),
    **dict.fromkeys(
        "refusal guardrail_intervened content_filter SAFETY RECITATION MODEL_ARMOR".split(), "content_filter"
    ),
}
"""A wire's word for the end -> chat's; ``error`` is a stop there and a failed response."""

RESPONSES_ENDS: Mapping[str, str] = {
    "stop": "completed",
    "tool_calls": "completed",
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "error": "failed",
}

STATUSES: Mapping[int, int] = {401: 502, 402: 429, 403: 502, 424: 502, 498: 429, 529: 503}
"""Upstream status -> the client's, where they differ."""


def faults(exchange: Exchange, wanted: Outcome, ask: Ask, got: Outcome, http: Http) -> Faults:
    """Compare by the kind of outcome."""
    if wanted.error is not None:
        return _failure(exchange, wanted.error, got.error, http)
    if got.error is not None and got.error.code != "server_error":
        return [f"an error: {got.error}"]
    return _COMPARERS[type(wanted)](exchange, wanted, ask, got)


def _failure(exchange: Exchange, wanted: Failure, got: Failure | None, http: Http) -> Faults:
    if got is None:
        return [f"no error, wanted {wanted}"]
    found = []
    status = corrected(exchange, wanted)
    if got.status not in (status, 200):
        found.append(f"status {got.status}, wanted {status}")
    words = " ".join(wanted.message.split())
    if wanted.status in (401, 403) and status == 502 and http.headers.get("x-should-retry") != "false":
        found.append("a client is not told that trying again is no use")
    if status == 503 and not http.headers.get("retry-after", "").isdigit():
        found.append("a client is not told when to try again")
    if wanted.code and not wanted.code.isdigit() and got.status == wanted.status in (400, 404, 422):
        if got.code not in (wanted.code, "context_length_exceeded"):
            found.append(f"code {got.code!r}, wanted {wanted.code!r}")
    if not same_words(got.message, words):
        found.append(f"message {got.message!r}, wanted {words!r}")
    return found


MISUSED: Mapping[str, int] = {
    "quota_exceeded": 429,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "API key not valid. Please pass a valid API key.": 502,
}
"""Words of vendors that say with 400, 401 or 413 what has a status of its own."""


def corrected(exchange: Exchange, wanted: Failure) -> int:
    """The status that a client is to see."""
    said = (wanted.type, wanted.code, wanted.message)
    return next(
        (MISUSED[word] for word in said if word in MISUSED), STATUSES.get(wanted.status, wanted.status)
    )


def same_words(got: str, words: str) -> bool:
    """The upstream's words, but for secrets taken out and a long tail cut off."""
    if not words:
        return got != ""
    if "[redacted]" in got:
        return all(piece.strip(" …") in words for piece in got.split("[redacted]"))
    if got.startswith(words):  # OpenRouter's own sentence, with the host's after it
        return True
    return got.rstrip("…") == words[: len(got.rstrip("…"))] and len(got) >= min(len(words), 400)


def _answer(exchange: Exchange, wanted: Answer, ask: Ask, got: Answer) -> Faults:
    found: Faults = []
    told = wanted.choices if ask.reads != "responses" else wanted.choices[:1]
    if wanted.status and not told:  # Gemini's prompt block has no candidate
        told = [Choice(finish_raw="SAFETY")]
    if [c.index for c in got.choices if not _is_bare(c)] != [c.index for c in told if not _is_bare(c)]:
        found.append(f"choices {[c.index for c in got.choices]}, wanted {[c.index for c in told]}")
    for one in told:
        found += _choice(exchange, one, got.choice(one.index), ask)
    return found + usage_faults(wanted.usage, got.usage)


def _is_bare(choice: Choice) -> bool:
    return not (choice.text or choice.tool_calls or choice.finish_raw or choice.reasoning)


def _choice(exchange: Exchange, wanted: Choice, got: Choice, ask: Ask) -> Faults:
    spoken = wanted.transcript if ask.reads == "responses" else ""  # an output item has no audio
    pairs: dict[str, tuple[Any, Any]] = {
        "text": (got.text, wanted.text or spoken),
        "reasoning": (thoughts(got), thoughts(wanted)),
        "refusal": (got.refusal, wanted.refusal),
        "calls": (calls(got), calls(wanted)),
        "finish": (got.finish_raw, finish(exchange, wanted, ask.reads) or got.finish_raw),
        "citations": (cited(got), cited(wanted)),
        "logprobs": (got.logprobs, wanted.logprobs),
    }
    return [f"{name}: {a!r:.600}, wanted {b!r:.600}" for name, (a, b) in pairs.items() if a != b]


def thoughts(choice: Choice) -> str:
    """The reasoning's text, its summaries where that is all there is; how they are parted is free."""
    return "".join((choice.reasoning or "".join(choice.summaries)).split())


def cited(choice: Choice) -> list[str]:
    """The pages that are cited, each once; files have no form on chat."""
    return sorted({url for url in choice.citations if url.startswith("http")})


def calls(choice: Choice) -> list[tuple[str, str, Any]]:
    """The calls without their ids; the old ``function_call`` counts as one."""
    return [
        (call.kind.replace("legacy", "function"), call.name, call.arguments) for call in choice.tool_calls
    ]


def finish(exchange: Exchange, wanted: Choice, reads: str) -> str | None:
    """The end as the surface says it, None where the wire left it out; a body that passes keeps its word."""
    raw = str(wanted.finish_raw)
    if wanted.finish_raw is None or reads == PASSES.get(exchange.api):
        return None if wanted.finish_raw is None else raw
    reason = FINISHES[raw]
    if reason == "stop" and wanted.tool_calls:
        reason = "tool_calls"
    if reads == "responses":
        return RESPONSES_ENDS[reason]
    return "stop" if reason == "error" else reason


PASSES: Mapping[str, str] = {
    **dict.fromkeys(("openai.chat", "azure.openai.chat", "openrouter.openai.chat"), "chat"),
    **dict.fromkeys(
        ("openai.responses", "azure.openai.responses", "openrouter.openai.responses"), "responses"
    ),
}
"""Wires that are forwarded -> the surface on which they are."""


def usage_faults(wanted: Usage | None, got: Usage | None) -> Faults:
    """Each count that the wire told; where it told none, an estimate."""
    if got is None:
        return ["no usage"]
    if wanted is None or wanted.total is None:
        return []
    told = {k: v for k, v in asdict(wanted).items() if k not in ("raw", "cost") and v is not None}
    return [
        f"usage.{k}: {getattr(got, k)}, wanted {v}" for k, v in told.items() if (getattr(got, k) or 0) != v
    ]


def _vectors(exchange: Exchange, wanted: Vectors, ask: Ask, got: Vectors) -> Faults:
    found = []
    if (got.count, got.dimension) != (wanted.count, wanted.dimension):
        found.append(f"{got.count}×{got.dimension}, wanted {wanted.count}×{wanted.dimension}")
    for ours, theirs in zip(got.starts, wanted.starts, strict=False):
        if any(abs(a - b) > 1e-6 * max(1, abs(b)) for a, b in zip(ours, theirs, strict=True)):
            found.append(f"numbers {ours}, wanted {theirs}")
    if wanted.usage is not None and (got.usage is None or got.usage.input != wanted.usage.input):
        found.append(f"usage {got.usage}, wanted {wanted.usage}")
    return found


def _sound(exchange: Exchange, wanted: Sound, ask: Ask, got: Sound) -> Faults:
    found = []
    if (got.length, got.sha256) != (wanted.length, wanted.sha256):
        found.append(f"{got.length} bytes {got.head!r}, wanted {wanted.length} {wanted.head!r}")
    if wanted.usage is not None and ask.reads == "audio_events":
        found += usage_faults(wanted.usage, got.usage)
    return found


def _transcript(exchange: Exchange, wanted: Transcript, ask: Ask, got: Transcript) -> Faults:
    found = [] if got.text.strip() == wanted.text.strip() else [f"text {got.text!r}, wanted {wanted.text!r}"]
    if ask.reads == "transcript_text":
        return found
    told = {name: getattr(wanted, name) for name in ("language", "segments", "duration")}
    told["words"] = _spoken_words(exchange) or wanted.words
    for name, theirs in told.items():
        ours = getattr(got, name)
        if theirs and ours != theirs:
            found.append(f"{name}: {ours!r}, wanted {theirs!r}")
    return found + (usage_faults(wanted.usage, got.usage) if wanted.usage and wanted.usage.total else [])


def _spoken_words(exchange: Exchange) -> int:
    """How many of ElevenLabs' entries are words: blanks and noises are entries, too."""
    rows = exchange.json().get("words") or [] if exchange.kind == "json" else []
    return sum(row.get("type") == "word" for row in rows)


def _catalogue(exchange: Exchange, wanted: Catalogue, ask: Ask, got: Catalogue) -> Faults:
    once = dict.fromkeys(identifier.removeprefix("models/") for identifier in wanted.ids)
    named = [f"{exchange.provider}/{identifier}" for identifier in once]
    return [] if got.ids == named else [f"ids {got.ids[:5]}, wanted {named[:5]}"]


def _count(exchange: Exchange, wanted: Count, ask: Ask, got: Count) -> Faults:
    return [] if got.tokens == wanted.tokens else [f"{got.tokens} tokens, wanted {wanted.tokens}"]


_COMPARERS: Mapping[type, Callable[[Exchange, Any, Ask, Any], Faults]] = {
    Answer: _answer,
    Vectors: _vectors,
    Sound: _sound,
    Transcript: _transcript,
    Catalogue: _catalogue,
    Count: _count,
}
