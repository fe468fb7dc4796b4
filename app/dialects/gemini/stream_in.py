"""Chunks of streamGenerateContent as canonical events.

Each chunk is a whole GenerateContentResponse, and there is no terminal frame: the body
ends. A JSON answer is one such chunk, so it is read by the same code. A candidate's
blocks make one message; its finish reason may be repeated and changed by later chunks,
so the closing events wait for the end of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
)
from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Billing, Finish, Usage
from app.dialects.base import ClientContext
from app.dialects.gemini.contents_out import NAME
from app.dialects.gemini.errors import decode_error_body
from app.dialects.gemini.grounding import annotations_of, citations, searches_of
from app.dialects.gemini.options import family_of
from app.dialects.gemini.usage import decode_usage, finish_of, finish_of_block, raw_reason
from app.dialects.shared.decoder_parts import cut_stream, name_of_call
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, json_text, opt_str
from app.dialects.shared.repeats import Grow, Repeats
from app.dialects.shared.tool_forms import custom_tool_names, free_text

_TEXT: Final = ("candidates", 0, "content", "parts", 0, "text")
_PART_KINDS: Final = ("functionCall", "inlineData", "text")
_CANDIDATE_NATIVE: Final = (
    "safetyRatings",
    "groundingMetadata",
    "citationMetadata",
    "urlContextMetadata",
    "finishMessage",
    "avgLogprobs",
)
_TOP_NATIVE: Final = ("promptFeedback", "createTime", "modelStatus")


class _Blocks:
    """Numbers blocks over the whole stream."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        """Return the next free number."""
        self._next += 1
        return self._next - 1


class _Candidate:
    """One answer as it grows: its open text or thought, and what arrived beside it."""

    def __init__(self, index: int, blocks: _Blocks, context: ClientContext) -> None:
        self.index = index
        self.raw: str | None = None
        self.spoke = False
        self.native: dict[str, Any] = {}
        self._blocks = blocks
        self._context = context
        self._open: int | None = None
        self._open_thought = False
        self._pieces: list[str] = []
        self._bytes_before = 0
        self._late_signature: str | None = None
        self._calls_tools = False

    def feed(self, candidate: Mapping[str, Any]) -> list[Event]:
        """Take one chunk's candidate."""
        before = citations(as_dict(self.native.get("citationMetadata")))
        self.native.update({k: candidate[k] for k in _CANDIDATE_NATIVE if candidate.get(k) is not None})
        if before and (now := citations(as_dict(candidate.get("citationMetadata")))):
            both = [*before, *(citation for citation in now if citation not in before)]
            self.native["citationMetadata"] = {"citations": both}
        self.raw = raw_reason(candidate) or self.raw
        events: list[Event] = []
        self.spoke = self.spoke or candidate.get("content") is not None
        for part in dicts(as_dict(candidate.get("content")).get("parts")):
            kind = next((name for name in _PART_KINDS if name in part), None)
            events += _READERS[kind](self, part) if kind else self._opaque(part)
        scores = as_dict(candidate.get("logprobsResult"))
        tokens = _logprobs(scores) if scores else None
        if tokens and self._open is not None and not self._open_thought:
            events.append(BlockDelta(self._open, logprobs=tokens))
        return events

    def grow(self) -> Grow:
        """Return what takes further text of the open block."""
        return str if self._open_thought else self._pieces.append  # of a thought nothing is kept

    def finish(self) -> Finish | None:
        """Return why it ended, None while no chunk said so."""
        return finish_of(self.raw, calls_tools=self._calls_tools) if self.raw else None

    def close(self, *, last: bool = False) -> list[Event]:
        """End the open block; a signature that came with its text follows as hidden reasoning."""
        events: list[Event] = []
        if self._open is not None:
            if not self._open_thought:
                text = "".join(self._pieces)
                found = annotations_of(self.native, text, self._bytes_before, last=last)
                events += [BlockDelta(self._open, annotation=annotation) for annotation in found]
                self._bytes_before += len(text.encode())
            events.append(BlockEnded(self._open))
        self._open, self._pieces = None, []
        if self._late_signature is not None:
            events += self._whole_part(ReasoningPart(form="hidden"), self._signature(self._late_signature))
            self._late_signature = None
        return events

    def _text(self, part: dict[str, Any]) -> list[Event]:
        text, signature = as_str(part.get("text")), opt_str(part.get("thoughtSignature"))
        if part.get("thought") is True:
            return self._thought(text, signature)
        if not text:
            if signature and self._open is not None and not self._open_thought:
                self._late_signature = signature
                return []
            return self._hidden_reasoning(signature)
        events: list[Event] = []
        if self._open is None or self._open_thought:
            events += [*self._hidden_reasoning(signature), *self._start(TextPart(""), thought=False)]
        else:
            self._late_signature = signature or self._late_signature
        self._pieces.append(text)
        return [*events, BlockDelta(self._number(), text)]

    def _hidden_reasoning(self, signature: str | None) -> list[Event]:
        """A signature without words of its own, before what it belongs to."""
        if signature is None:
            return []
        return [*self.close(), *self._whole_part(ReasoningPart(form="hidden"), self._signature(signature))]

    def _thought(self, text: str, signature: str | None) -> list[Event]:
        events: list[Event] = []
        if self._open is None or not self._open_thought:
            native = (NAME, {"signed": True}) if signature else None
            events += self._start(ReasoningPart("", "summary", native=native), thought=True)
        if text:
            events.append(BlockDelta(self._number(), text))
        if signature is not None:
            native = (NAME, {"signed": True})
            events.append(BlockEnded(self._number(), signature=self._signature(signature), native=native))
            self._open = None
        return events

    def _call(self, part: dict[str, Any]) -> list[Event]:
        call = as_dict(part.get("functionCall"))
        self._calls_tools = True
        identifier = opt_str(call.get("id")) or self._context.new_id("call")
        name, arguments = name_of_call(call.get("name")), as_dict(call.get("args"))
        signature = opt_str(part.get("thoughtSignature"))
        text = json_text(arguments)
        if name in custom_tool_names(self._context.request):
            started, text = ToolCallPart(identifier, name, kind="custom"), free_text(text)
        else:
            started = ToolCallPart(identifier, name)
        return [
            *self.close(),
            *self._whole_part(started, self._signature(signature) if signature else None, text),
        ]

    def _data(self, part: dict[str, Any]) -> list[Event]:
        """Media that the model made; its signature, if any, stays beside it."""
        blob = as_dict(part.get("inlineData"))
        media_type, data = as_str(blob.get("mimeType")), as_str(blob.get("data"))
        signature = opt_str(part.get("thoughtSignature"))
        events = [*self.close(), *self._hidden_reasoning(signature)]
        if media_type.startswith("audio/"):
            sound = AudioPart(format=audio_format(media_type), native=(NAME, {"mimeType": media_type}))
            return [*events, *self._whole_part(sound, None, data)]
        if media_type.startswith("image/"):
            return [*events, *self._whole_part(ImagePart(data=data, media_type=media_type), None)]
        return [*events, *self._opaque(part)]

    def _opaque(self, part: dict[str, Any]) -> list[Event]:
        """Code run by Google, its result, its own tool calls; an empty part says nothing."""
        if not part:
            return []
        kind = next((name for name in part if name != "thoughtSignature"), "part")
        return [*self.close(), *self._whole_part(OpaquePart(kind, (NAME, part)), None)]

    def _start(self, part: Part, *, thought: bool) -> list[Event]:
        events = self.close()
        self._open, self._open_thought = self._blocks.take(), thought
        return [*events, BlockStarted(self._open, 0, part, self.index)]

    def _whole_part(self, part: Part, signature: Signature | None, text: str = "") -> list[Event]:
        number = self._blocks.take()
        delta: list[Event] = [BlockDelta(number, text)] if text else []
        return [BlockStarted(number, 0, part, self.index), *delta, BlockEnded(number, signature=signature)]

    def _number(self) -> int:
        return self._open if self._open is not None else -1

    def _signature(self, value: str) -> Signature:
        return Signature(value, NAME, self._context.realm)


_READERS: Final = {
    "functionCall": _Candidate._call,
    "inlineData": _Candidate._data,
    "text": _Candidate._text,
}


class GeminiStreamDecoder:
    """Chunks to events; also reads a whole answer, which is a single chunk."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._blocks = _Blocks()
        self._candidates: dict[int, _Candidate] = {}
        self._started = False
        self._over = False
        self._blocked: str | None = None
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._native: dict[str, Any] = {}
        self.repeats = Repeats(_TEXT, free=("usageMetadata",))

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one chunk, or the list of chunks that a stream without ``alt=sse`` is."""
        if self._over:
            return []
        if isinstance(data, list):
            return [made for chunk in data for made in self.feed(event, chunk)]
        chunk = as_dict(data)
        if (delta := self.repeats.delta_of(chunk)) is not None:
            self._note_usage(chunk)
            return [delta]
        if chunk.get("error") is not None:
            self._over = True
            return [Failed(decode_error_body(chunk), self._usage)]
        events = self._chunk(chunk)
        self.repeats.learn(chunk, events, self._grow_of(chunk))
        return events

    def done(self) -> list[Event]:
        """This wire has no terminal frame; a ``[DONE]`` from a proxy before it is its end."""
        return self.eof()

    def end_whole(self) -> list[Event]:
        """Close a whole answer, which cannot have been cut: content without a finish reason is a stop."""
        for answer in self._candidates.values():
            if answer.spoke and answer.raw is None:
                answer.raw = "STOP"
        return self.eof()

    def eof(self) -> list[Event]:
        """Close what is open; without any finish reason the stream was cut."""
        if self._over:
            return []
        self._over = True
        if not self._candidates and "promptFeedback" in self._native:
            self._blocked = self._blocked or "BLOCKED_REASON_UNSPECIFIED"
        if not self._finished():
            return [Failed(cut_stream(), self._usage)]
        events: list[Event] = []
        for candidate in self._candidates.values():
            finish = candidate.finish() or finish_of_block(self._blocked or "BLOCKED_REASON_UNSPECIFIED")
            events += [*candidate.close(last=True), Finished(finish, candidate.index)]
        if not self._candidates and self._blocked:
            events.append(Finished(finish_of_block(self._blocked)))
        return [*events, Ended(self._billed_usage(), self._late_native(), self._tier)]

    def _billed_usage(self) -> Usage | None:
        """The usage with the searches that grounded the answer: by query, before Gemini 3 by answer."""
        queries = sum(searches_of(candidate.native) for candidate in self._candidates.values())
        if self._usage is None or not queries:
            return self._usage
        searches = queries if family_of(self._context.model).levels else 1
        return replace(self._usage, billing=Billing({"web_searches": searches}))

    def _finished(self) -> bool:
        answers = self._candidates.values()
        return self._blocked is not None or (bool(answers) and all(a.raw is not None for a in answers))

    def _chunk(self, chunk: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self._started else [self._start(chunk)]
        self._native.update({name: chunk[name] for name in _TOP_NATIVE if chunk.get(name) is not None})
        self._note_usage(chunk)
        feedback = as_dict(chunk.get("promptFeedback"))
        if feedback.get("blockReason") is not None:
            self._blocked = str(feedback["blockReason"])
        for position, answer in enumerate(dicts(chunk.get("candidates"))):
            index = count(answer.get("index"))
            events += self._candidate(position if index is None else index).feed(answer)
        return events

    def _grow_of(self, chunk: dict[str, Any]) -> Grow | None:
        """Return what takes further text of the one answer in a chunk."""
        answers = dicts(chunk.get("candidates"))
        return self._candidate(count(answers[0].get("index")) or 0).grow() if len(answers) == 1 else None

    def _note_usage(self, chunk: dict[str, Any]) -> None:
        """Keep the usage so far, which most chunks tell."""
        if metadata := as_dict(chunk.get("usageMetadata")):
            self._usage = decode_usage(metadata) or self._usage
            self._tier = opt_str(metadata.get("serviceTier")) or self._tier

    def _start(self, chunk: dict[str, Any]) -> Started:
        self._started = True
        return Started(
            opt_str(chunk.get("responseId")),
            opt_str(chunk.get("modelVersion")),
            _unix(chunk.get("createTime")),
        )

    def _candidate(self, index: int) -> _Candidate:
        if index not in self._candidates:
            self._candidates[index] = _Candidate(index, self._blocks, self._context)
        return self._candidates[index]

    def _late_native(self) -> tuple[str, Mapping[str, Any]] | None:
        answers = [{"index": c.index, **c.native} for c in self._candidates.values() if c.native]
        members = {**self._native, **({"candidates": answers} if answers else {})}
        return (NAME, members) if members else None


def audio_format(media_type: str) -> str:
    """Return the name of a sound's format: ``audio/L16;rate=24000`` is raw 16 bit PCM; other types name their format."""
    name = media_type.partition(";")[0].partition("/")[2].lower()
    return {"l16": "pcm16", "pcm": "pcm16", "mpeg": "mp3", "x-wav": "wav"}.get(name, name)


def _logprobs(result: dict[str, Any]) -> tuple[Mapping[str, Any], ...] | None:
    """``chosenCandidates`` and, by position, ``topCandidates`` as OpenAI's token objects."""
    tops = dicts(result.get("topCandidates"))
    tokens = []
    for position, chosen in enumerate(dicts(result.get("chosenCandidates"))):
        others = dicts(tops[position].get("candidates")) if position < len(tops) else []
        tokens.append({**_token(chosen), "top_logprobs": [_token(other) for other in others]})
    return tuple(tokens) or None


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    text = as_str(entry.get("token"))
    return {"token": text, "logprob": entry.get("logProbability"), "bytes": list(text.encode())}


def _unix(value: Any) -> int | None:
    """RFC 3339 time as Unix seconds (``createTime``, Vertex only)."""
    try:
        return int(datetime.fromisoformat(as_str(value)).timestamp())
    except ValueError:
        return None
