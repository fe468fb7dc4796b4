"""Measure what stream decoders cost: CPU for many deltas of one block, wire by wire.

``python -m benchmarks.decoders`` prints a row for each wire and kind of block. The frames are
those that ``tests/dialects/test_long_blocks.py`` counts the work of.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from app.canonical.events import Accumulator, Event
from app.dialects import dialect, dialect_of
from app.dialects.base import ClientContext, CompletionDialect, StreamDecoder

Frame = tuple[str | None, Any]
DELTAS: Final = 100_000


@dataclass(frozen=True)
class LongBlock:
    """One block of one wire: the frames before, one delta's frame, the frames after."""

    wire: str
    kind: str
    before: tuple[Frame, ...]
    delta: Callable[[str], Frame]
    after: tuple[Frame, ...]

    def frames(self, texts: Iterator[str]) -> Iterator[Frame]:
        """Yield the frames of a whole stream."""
        yield from self.before
        for text in texts:
            yield self.delta(text)
        yield from self.after

    def decoder(self) -> StreamDecoder:
        """Return a fresh decoder of the wire."""
        context = ClientContext("m", lambda prefix: f"{prefix}_1", 0)
        if self.wire == "completions":
            return dialect_of(CompletionDialect, self.wire).stream_decoder(context)
        return dialect(self.wire).stream_decoder(context)


def _chat(**delta: Any) -> Frame:
    return None, {"choices": [{"index": 0, "delta": delta}]}


def _chat_call(**function: Any) -> Frame:
    return _chat(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": function}])


def _typed(kind: str, **members: Any) -> Frame:
    return kind, {"type": kind, **members}


def _messages(block: dict[str, Any], delta: str, member: str) -> dict[str, Any]:
    return {
        "before": (
            _typed("message_start", message={"id": "msg_1", "model": "m"}),
            _typed("content_block_start", index=0, content_block=block),
        ),
        "delta": lambda text: _typed("content_block_delta", index=0, delta={"type": delta, member: text}),
        "after": (
            _typed("content_block_stop", index=0),
            _typed("message_delta", delta={"stop_reason": "end_turn"}),
            _typed("message_stop"),
        ),
    }


def _responses(item: dict[str, Any], delta: str, **place: Any) -> dict[str, Any]:
    return {
        "before": (
            _typed("response.created", response={"id": "resp_1"}),
            _typed("response.output_item.added", output_index=0, item=item),
        ),
        "delta": lambda text: _typed(f"response.{delta}.delta", output_index=0, delta=text, **place),
        "after": (_typed("response.completed", response={"id": "resp_1", "status": "completed"}),),
    }


def _gemini(part: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    def decoder_row(parts: list[dict[str, Any]], **members: Any) -> Frame:
        return None, {"candidates": [{"content": {"parts": parts}, **members}]}

    return {
        "before": (),
        "delta": lambda text: decoder_row([part(text)]),
        "after": (decoder_row([], finishReason="STOP"),),
    }


def _converse(delta: Callable[[str], dict[str, Any]], start: dict[str, Any] | None = None) -> dict[str, Any]:
    opening = (("contentBlockStart", {"contentBlockIndex": 0, "start": start}),) if start else ()
    return {
        "before": (("messageStart", {"role": "assistant"}), *opening),
        "delta": lambda text: ("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta(text)}),
        "after": (
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
        ),
    }


def _cohere(kind: str, message: Callable[[Any], dict[str, Any]], opening: Any) -> dict[str, Any]:
    def decoder_row(event: str, value: Any) -> Frame:
        return _typed(event, index=0, delta={"message": message(value)})

    return {
        "before": (_typed("message-start", id="c_1"), decoder_row(f"{kind}-start", opening)),
        "delta": lambda text: decoder_row(f"{kind}-delta", text),
        "after": (
            _typed(f"{kind}-end", index=0),
            _typed("message-end", delta={"finish_reason": "COMPLETE"}),
        ),
    }


def _cohere_call(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"tool_calls": value}
    return {"tool_calls": {"function": {"arguments": value}}}


_STOP: Final = ((None, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), (None, None))
_CALL: Final = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""}

BLOCKS: Final = (
    LongBlock("chat", "text", (), lambda text: _chat(content=text), _STOP),
    LongBlock("chat", "thought", (), lambda text: _chat(reasoning_content=text), _STOP),
    LongBlock("chat", "arguments", (_chat_call(name="f"),), lambda text: _chat_call(arguments=text), _STOP),
    LongBlock(
        "completions",
        "text",
        (),
        lambda text: (None, {"choices": [{"index": 0, "text": text}]}),
        ((None, {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}), (None, None)),
    ),
    LongBlock(
        "responses",
        "text",
        **_responses({"id": "msg_1", "type": "message", "content": []}, "output_text", content_index=0),
    ),
    LongBlock(
        "responses",
        "thought",
        **_responses({"id": "rs_1", "type": "reasoning"}, "reasoning_summary_text", summary_index=0),
    ),
    LongBlock("responses", "arguments", **_responses(_CALL, "function_call_arguments")),
    LongBlock("messages", "text", **_messages({"type": "text", "text": ""}, "text_delta", "text")),
    LongBlock(
        "messages", "thought", **_messages({"type": "thinking", "thinking": ""}, "thinking_delta", "thinking")
    ),
    LongBlock(
        "messages",
        "signature",
        **_messages({"type": "thinking", "thinking": ""}, "signature_delta", "signature"),
    ),
    LongBlock(
        "messages",
        "arguments",
        **_messages(
            {"type": "tool_use", "id": "t_1", "name": "f", "input": {}}, "input_json_delta", "partial_json"
        ),
    ),
    LongBlock("gemini", "text", **_gemini(lambda text: {"text": text})),
    LongBlock("gemini", "thought", **_gemini(lambda text: {"text": text, "thought": True})),
    LongBlock("converse", "text", **_converse(lambda text: {"text": text})),
    LongBlock("converse", "thought", **_converse(lambda text: {"reasoningContent": {"text": text}})),
    LongBlock(
        "converse",
        "arguments",
        **_converse(
            lambda text: {"toolUse": {"input": text}}, {"toolUse": {"toolUseId": "t_1", "name": "f"}}
        ),
    ),
    LongBlock("cohere", "text", **_cohere("content", lambda text: {"content": {"text": text}}, "")),
    LongBlock("cohere", "thought", **_cohere("content", lambda text: {"content": {"thinking": text}}, "")),
    LongBlock(
        "cohere",
        "arguments",
        **_cohere("tool-call", _cohere_call, {"id": "call_1", "function": {"name": "f", "arguments": ""}}),
    ),
)


def decoded(block: LongBlock, texts: Iterator[str]) -> list[Event]:
    """Return all events of a stream of ``texts``."""
    decoder, events = block.decoder(), list[Event]()
    for event, data in block.frames(texts):
        events += decoder.done() if data is None else decoder.feed(event, data)
    return events + decoder.eof()


def main() -> None:
    """Print a row for each block: CPU seconds of decoding, and of folding what came."""
    print(f"CPU seconds for {DELTAS:,} deltas of one block")
    print(f"{'wire':<12} {'block':<10} {'decode':>7} {'fold':>7}")
    for block in BLOCKS:
        begun = time.process_time()
        events = decoded(block, itertools.repeat("some words ", DELTAS))
        middle, fold = time.process_time(), Accumulator()
        for event in events:
            fold.feed(event)
        fold.response()
        spent = (middle - begun, time.process_time() - middle)
        print(f"{block.wire:<12} {block.kind:<10} {spent[0]:>7.2f} {spent[1]:>7.2f}")


if __name__ == "__main__":
    main()
