"""Decode the chunks of streamGenerateContent (client half).

Each chunk is a GenerateContentResponse with what is new. The format has no terminal frame:
the stream ends with the body. A response that is not streamed is decoded as a single chunk.
A candidate's blocks are one message. Later chunks may repeat or change its finish reason, so
the final events wait for the end of the body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count as numbers
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
from app.dialects.gemini.options import NAME, audio_format, family_of
from app.dialects.gemini.partial_args import join_args
from app.dialects.gemini.response_in import (
    decode_error_body,
    decode_usage,
    finish_of,
    searches_of,
)
from app.dialects.gemini.sources import Sources
from app.dialects.shared.blocks import OpenBlock
from app.dialects.shared.decoder_parts import cut_stream, name_of_call
from app.dialects.shared.lenient_json import (
    JSON,
    as_dict,
    as_str,
    count,
    dicts,
    json_text,
    label,
    opt_str,
    rest,
    unix_time,
    without_nulls,
)
from app.dialects.shared.repeats import Grow, Repeats
from app.dialects.shared.tool_forms import custom_tool_names, free_text

_TEXT: Final = ("candidates", 0, "content", "parts", 0, "text")
_CANDIDATE: Final = frozenset({"index", "content", "finishReason", "logprobsResult"})
_TOP_NATIVE: Final = ("promptFeedback", "createTime", "modelStatus")
_UNSPECIFIED: Final = "BLOCKED_REASON_UNSPECIFIED"


class _Candidate:
    """One candidate as it grows: its open text or thought, and the members beside its content."""

    def __init__(self, index: int, numbers: Iterator[int], context: ClientContext) -> None:
        self.index = index
        self.raw: str | None = None
        self.has_content = False
        self.native: dict[str, Any] = {}
        self._sources = Sources()
        self._numbers = numbers
        self._context = context
        self._open: OpenBlock | None = None
        self._partial: list[JSON] = []  # the pieces of a call whose arguments are streamed
        self._late_signature: str | None = None
        self._calls_tools = False

    def feed(self, candidate: Mapping[str, Any]) -> list[Event]:
        """Take the candidate of one chunk."""
        metadata = self.native.get("citationMetadata")
        self.native.update(without_nulls(rest(candidate, _CANDIDATE)))
        self._sources.read(candidate)
        if metadata is not None and candidate.get("citationMetadata") is not None:
            self.native["citationMetadata"] = {"citations": self._sources.citations}
        self.raw = label(candidate.get("finishReason")) or self.raw
        events: list[Event] = []
        self.has_content = self.has_content or candidate.get("content") is not None
        for part in map(without_nulls, dicts(as_dict(candidate.get("content")).get("parts"))):
            reader = next((_READERS[name] for name in _READERS if name in part), _Candidate._opaque)
            events += reader(self, part)
        scores = as_dict(candidate.get("logprobsResult"))
        tokens = _logprobs(scores) if scores else None
        if tokens and self._open is not None and isinstance(self._open.part, TextPart):
            events += self._open.grow("", tokens)
        return events

    def grow(self) -> Grow | None:
        """Return the function that takes further text of the open block."""
        return None if self._open is None else self._open.pieces.append

    def finish(self) -> Finish | None:
        """Return why the candidate ended, None while it has no finish reason."""
        return finish_of(self.raw, calls_tools=self._calls_tools) if self.raw else None

    def close(self, *, last: bool = False) -> list[Event]:
        """Close the open block; a signature that came with its text follows as hidden reasoning."""
        events = self._end_call()
        block, self._open = self._open, None
        if block is not None and isinstance(block.part, TextPart):
            annotations = self._sources.annotations(block.text, last=last)
            events += [BlockDelta(block.number, annotation=annotation) for annotation in annotations]
        if block is not None:
            events.append(BlockEnded(block.number))
        signature, self._late_signature = self._late_signature, None
        return [*events, *(self._complete(ReasoningPart(form="hidden"), signature) if signature else [])]

    def _text(self, part: dict[str, Any]) -> list[Event]:
        text, signature = as_str(part.get("text")), opt_str(part.get("thoughtSignature"))
        if part.get("thought") is True:
            return self._thought(text, signature)
        if not text:
            if signature and self._open is not None and isinstance(self._open.part, TextPart):
                self._late_signature = signature
                return []
            return self._hidden_reasoning(signature)
        if self._open is not None and isinstance(self._open.part, TextPart):
            self._late_signature = signature or self._late_signature
            return self._open.grow(text)
        return [*self._hidden_reasoning(signature), *self._grow(TextPart(""), text)]

    def _hidden_reasoning(self, signature: str | None) -> list[Event]:
        """Return a signature without a text, which belongs to the next part."""
        if signature is None:
            return []
        return [*self.close(), *self._complete(ReasoningPart(form="hidden"), signature)]

    def _thought(self, text: str, signature: str | None) -> list[Event]:
        native = (NAME, {"signed": True}) if signature else None
        events = self._grow(ReasoningPart("", "summary", native=native), text)
        if signature is not None and self._open is not None:
            events.append(BlockEnded(self._open.number, signature=self._signature(signature), native=native))
            self._open = None
        return events

    def _call(self, part: JSON) -> list[Event]:
        """Take a call, or a piece of one: only the first piece has the name, and the last does not continue."""
        call = as_dict(part.get("functionCall"))
        events = [] if self._partial and not call.get("name") else self.close()
        self._partial.append(part)
        self._calls_tools = True
        return events if call.get("willContinue") is True else [*events, *self._end_call()]

    def _end_call(self) -> list[Event]:
        """Return the call that its pieces make up."""
        if not self._partial:
            return []
        pieces, self._partial = self._partial, []
        calls = [as_dict(piece.get("functionCall")) for piece in pieces]
        call_id = opt_str(calls[0].get("id")) or self._context.new_id("call")
        partial = join_args(piece for call in calls for piece in dicts(call.get("partialArgs")))
        name, text = name_of_call(calls[0].get("name")), json_text(as_dict(calls[0].get("args")) | partial)
        part = ToolCallPart(call_id, name)
        if name in custom_tool_names(self._context.request):
            part, text = replace(part, kind="custom"), free_text(text)
        signature = next(filter(None, (opt_str(piece.get("thoughtSignature")) for piece in pieces)), None)
        return self._complete(part, signature, text)

    def _data(self, part: dict[str, Any]) -> list[Event]:
        """Take media that the model made; their signature comes before them. An image of a thought is no answer."""
        blob = as_dict(part.get("inlineData"))
        media_type, data = as_str(blob.get("mimeType")), as_str(blob.get("data"))
        if part.get("thought") is True or not media_type.startswith(("audio/", "image/")):
            return self._opaque(part)
        events = [*self.close(), *self._hidden_reasoning(opt_str(part.get("thoughtSignature")))]
        if media_type.startswith("audio/"):
            audio = AudioPart(format=audio_format(media_type), native=(NAME, {"mimeType": media_type}))
            return [*events, *self._complete(audio, text=data)]
        name = opt_str(blob.get("displayName"))
        native = (NAME, {"displayName": name}) if name else None
        return [*events, *self._complete(ImagePart(data, media_type, native=native))]

    def _opaque(self, part: dict[str, Any]) -> list[Event]:
        """Take code that Google ran, its result, calls of Google's own tools; an empty part is dropped."""
        if not part:
            return []
        kind = next((name for name in part if name != "thoughtSignature"), "part")
        return [*self.close(), *self._complete(OpaquePart(kind, (NAME, part)))]

    def _grow(self, part: Part, text: str) -> list[Event]:
        """Add text to the open block if it is of the kind of ``part``, else to one that opens."""
        if self._open is not None and type(self._open.part) is type(part):
            return self._open.grow(text)
        events = self.close()
        block = self._open = OpenBlock(next(self._numbers), 0, part)
        return [*events, BlockStarted(block.number, 0, part, self.index), *block.grow(text)]

    def _complete(self, part: Part, signature: str | None = None, text: str = "") -> list[Event]:
        """Return the events of a block that comes complete."""
        number = next(self._numbers)
        delta: list[Event] = [BlockDelta(number, text)] if text else []
        seal = self._signature(signature) if signature else None
        return [BlockStarted(number, 0, part, self.index), *delta, BlockEnded(number, signature=seal)]

    def _signature(self, value: str) -> Signature:
        return Signature(value, NAME, self._context.realm)


_READERS: Final = {
    "functionCall": _Candidate._call,
    "inlineData": _Candidate._data,
    "text": _Candidate._text,
}


class GeminiStreamDecoder:
    """Decode the chunks of one stream, or a response as a single chunk."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._numbers = numbers()
        self._candidates: dict[int, _Candidate] = {}
        self._started = False
        self._over = False
        self._block_reason: str | None = None
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._native: dict[str, Any] = {}
        self.repeats = Repeats(_TEXT, free=("usageMetadata",))

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one chunk, or the list of all chunks, as a stream without ``alt=sse`` has it."""
        if self._over:
            return []
        if isinstance(data, list):
            return [one for chunk in data for one in self.feed(event, chunk)]
        chunk = as_dict(data)
        if (delta := self.repeats.delta_of(chunk)) is not None:
            self._read_usage(chunk)
            return [delta]
        if event == "error" and chunk.get("error") is None:
            chunk = {"error": chunk}
        if chunk.get("error") is not None:
            self._over = True
            return [Failed(decode_error_body(chunk), self._usage)]
        events = self._chunk(chunk)
        self.repeats.learn(chunk, events, self._grow_of(chunk))
        return events

    def done(self) -> list[Event]:
        """Take ``[DONE]``, which only proxies send: the stream ends."""
        return self.eof()

    def end_whole(self) -> list[Event]:
        """Close a response that was not streamed: content without a finish reason is a stop, not a cut."""
        for candidate in self._candidates.values():
            if candidate.has_content and candidate.raw is None:
                candidate.raw = "STOP"
        return self.eof()

    def eof(self) -> list[Event]:
        """Close the open blocks; a candidate without a finish reason means that the stream was cut."""
        if self._over:
            return []
        self._over = True
        if not self._candidates and "promptFeedback" in self._native:
            self._block_reason = self._block_reason or _UNSPECIFIED
        if not self._is_finished():
            return [Failed(cut_stream(), self._usage)]
        block = Finish("content_filter", self._block_reason or _UNSPECIFIED)
        events: list[Event] = [] if self._candidates else [Finished(block)]
        for candidate in self._candidates.values():
            end = Finished(candidate.finish() or block, candidate.index)
            events += [*candidate.close(last=True), end]
        return [*events, Ended(self._billed_usage(), self._late_native(), self._tier)]

    def _billed_usage(self) -> Usage | None:
        """Return the usage with the web searches that are billed: each query, before Gemini 3 one per response."""
        queries = sum(searches_of(candidate.native) for candidate in self._candidates.values())
        if self._usage is None or not queries:
            return self._usage
        searches = queries if family_of(self._context.model).levels else 1
        return replace(self._usage, billing=Billing({"web_searches": searches}))

    def _is_finished(self) -> bool:
        candidates = self._candidates.values()
        return self._block_reason is not None or (
            bool(candidates) and all(c.raw is not None for c in candidates)
        )

    def _chunk(self, chunk: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self._started else [self._start(chunk)]
        self._native.update({name: chunk[name] for name in _TOP_NATIVE if chunk.get(name) is not None})
        self._read_usage(chunk)
        feedback = as_dict(chunk.get("promptFeedback"))
        if feedback.get("blockReason") is not None:
            self._block_reason = str(feedback["blockReason"])
        for position, candidate in enumerate(dicts(chunk.get("candidates"))):
            index = count(candidate.get("index"))
            events += self._candidate(position if index is None else index).feed(candidate)
        return events

    def _grow_of(self, chunk: dict[str, Any]) -> Grow | None:
        """Return the function that takes further text of a chunk's only candidate."""
        candidates = dicts(chunk.get("candidates"))
        return (
            self._candidate(count(candidates[0].get("index")) or 0).grow() if len(candidates) == 1 else None
        )

    def _read_usage(self, chunk: dict[str, Any]) -> None:
        """Read the usage so far, which most chunks report."""
        if metadata := as_dict(chunk.get("usageMetadata")):
            self._usage = decode_usage(metadata) or self._usage
            self._tier = opt_str(metadata.get("serviceTier")) or self._tier

    def _start(self, chunk: dict[str, Any]) -> Started:
        self._started = True
        response_id, model = opt_str(chunk.get("responseId")), opt_str(chunk.get("modelVersion"))
        return Started(response_id, model, unix_time(chunk.get("createTime")))

    def _candidate(self, index: int) -> _Candidate:
        if index not in self._candidates:
            self._candidates[index] = _Candidate(index, self._numbers, self._context)
        return self._candidates[index]

    def _late_native(self) -> tuple[str, Mapping[str, Any]] | None:
        candidates = [{"index": c.index, **c.native} for c in self._candidates.values() if c.native]
        members = {**self._native, **({"candidates": candidates} if candidates else {})}
        return (NAME, members) if members else None


def _logprobs(result: dict[str, Any]) -> tuple[Mapping[str, Any], ...] | None:
    """Return OpenAI's token objects of ``chosenCandidates``, with ``topCandidates`` by position; None without."""
    tops = [dicts(top.get("candidates")) for top in dicts(result.get("topCandidates"))]
    tokens = [
        {**_token(token), "top_logprobs": [_token(top) for top in (tops[at] if at < len(tops) else [])]}
        for at, token in enumerate(dicts(result.get("chosenCandidates")))
    ]
    return tuple(tokens) or None


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    text = as_str(entry.get("token"))
    return {"token": text, "logprob": entry.get("logProbability"), "bytes": list(text.encode())}
