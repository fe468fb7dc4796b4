"""A chunk that is taken for a repetition, or for more text, makes just what reading all of it makes."""

import copy
import json
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.canonical.events import Accumulator, BlockDelta
from app.canonical.response import Usage
from app.dialects import dialect
from app.dialects.base import PassThrough, ServerContext
from app.dialects.chat import patch
from app.dialects.chat.dialect import DIALECT
from app.dialects.chat.patch import ChatPatch
from app.dialects.shared.repeats import Repeats
from benchmarks.decoders import BLOCKS, Frame
from tests.dialects import generic

_DELTAS = st.sampled_from(
    [{"content": "a"}, {"content": "b c"}, {"content": ""}, {"content": None}, {}, {"role": "assistant"}]
    + [{"content": "d", "role": "assistant"}, {"reasoning": "t"}, {"refusal": "no"}, {"content": [1]}]
    + [
        {"reasoning_content": "t"},
        {"reasoning": "u", "content": "e"},
        {"annotations": [{"type": "url_citation"}]},
    ]
    + [{"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{"}}]}]
    + [{"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in ("1", " 2", "")]
    + [{"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "custom", "arguments": "x"}}]}]
    + [{"tool_calls": [{"function": {"arguments": "y"}}]}]
)
_CHOICES = st.fixed_dictionaries(
    {"index": st.sampled_from([0, 0, 0, 1]), "delta": _DELTAS},
    optional={
        "finish_reason": st.sampled_from([None, None, None, "stop", "error"]),
        "logprobs": st.sampled_from([None, None, {"content": [{"token": "a", "logprob": -1.0}]}]),
        "native_finish_reason": st.sampled_from([None, "x"]),
    },
)
_CHUNKS = st.fixed_dictionaries(
    {
        "id": st.just("c"),
        "choices": st.lists(_CHOICES, min_size=1, max_size=1) | st.lists(_CHOICES, max_size=2),
    },
    optional={
        "created": st.integers(1, 3),
        "model": st.just("m"),
        "usage": st.sampled_from([None, None, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "obfuscation": st.text(max_size=2),
        "system_fingerprint": st.sampled_from(["fp", "fp", "fq"]),
        "service_tier": st.sampled_from(["default", "default", "flex"]),
        "error": st.sampled_from([None, None, None, {"message": "bad"}]),
    },
)
_PLAIN = {"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}}], "obfuscation": "x", "created": 1}

_OPENED = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}
_CALL = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [_OPENED]}}]}
_FRAGMENT = {"index": 0, "function": {"arguments": "12"}}
_ARGUMENTS = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [_FRAGMENT]}}]}


@settings(max_examples=400)
@given(st.lists(st.tuples(_CHUNKS, st.integers(1, 3)), max_size=6))
@example([(_PLAIN, 3), ({**_PLAIN, "created": 2, "obfuscation": "yz"}, 3)])
@example([(_PLAIN, 2), ({**_PLAIN, "service_tier": "flex"}, 2), (_PLAIN, 2)])
@example([(_CALL, 1), (_PLAIN, 2), (_ARGUMENTS, 3), (_PLAIN, 2), (_ARGUMENTS, 2)])
def test_repetitions_are_read_as_if_they_were_none(runs: list[tuple[dict[str, Any], int]]) -> None:
    chunks = [json.loads(json.dumps(chunk)) for chunk, times in runs for _ in range(times)]
    quick = DIALECT.stream_decoder(generic.client_context())
    slow: Any = DIALECT.stream_decoder(generic.client_context())
    slow.repeats.delta_of = lambda chunk: None
    quick_fold, slow_fold = Accumulator(), Accumulator()
    for chunk in chunks:
        quick_events = quick.feed(None, copy.deepcopy(chunk))
        slow_events = slow.feed(None, chunk)
        assert repr(quick_events) == repr(slow_events)
        for one, other in zip(quick_events, slow_events, strict=True):
            quick_fold.feed(one)
            slow_fold.feed(other)
    assert repr(quick.done()) == repr(slow.done())
    assert repr(quick_fold.response()) == repr(slow_fold.response())


def test_the_text_of_a_repetition_is_found() -> None:
    kept: list[str] = []
    repeats = Repeats(("choices", 0, "delta", "content"), free=("created", "obfuscation"))
    assert repeats.delta_of(_PLAIN) is None
    repeats.learn(_PLAIN, [BlockDelta(7, "a")], kept.append)
    later = {**_PLAIN, "created": 9, "obfuscation": "", "choices": [{"index": 0, "delta": {"content": "é"}}]}
    assert repeats.delta_of(later) == BlockDelta(7, "é")
    assert repeats.delta_of({**later, "choices": [{"index": 1, "delta": {"content": "é"}}]}) is None
    assert repeats.delta_of({**later, "usage": {}}) is None
    assert kept == ["é"]


def test_events_that_are_named_in_their_lines_alone_are_told_apart() -> None:
    decoder = dialect("responses").stream_decoder(generic.client_context())
    decoder.feed("response.output_item.added", {"output_index": 0, "item": {"type": "reasoning", "id": "rs"}})
    names = [
        f"response.{form}.delta" for form in ("reasoning_text", "reasoning_text", "reasoning_summary_text")
    ]
    for name in names:
        decoder.feed(name, {"output_index": 0, "delta": "thought"})
        assert decoder.ordered[-1][0] == name  # type: ignore[attr-defined]


def _passed(chunks: list[dict[str, Any]], asked: bool) -> list[Any]:
    body = {"stream_options": {"include_usage": asked}}
    server = ServerContext(generic.counter(), 0, wrap=lambda signature: f"sealed:{signature.value}")
    passing = ChatPatch(PassThrough(body, generic.client_context(), server, None, True))
    frames = [frame for chunk in copy.deepcopy(chunks) for frame in passing.frames(None, chunk)]
    return [*frames, *passing.closing(Usage(1, 2))]


@settings(max_examples=400)
@given(st.lists(_CHUNKS, max_size=6), st.booleans())
@example([_PLAIN, {**_PLAIN, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}, _PLAIN], True)
@example([{"choices": [{"delta": {"content": "a", "reasoning_details": [{"data": "s"}]}}]}], False)
def test_chunks_of_more_text_pass_as_any_other(chunks: list[dict[str, Any]], asked: bool) -> None:
    quick = _passed(chunks, asked)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(patch, "_is_more_text", lambda choices: False)
        assert _passed(chunks, asked) == quick


_WIRES = ("chat", "completions", "gemini", "messages", "cohere")
_USAGES = tuple({"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": n}} for n in (2, 3))


def _frames_of(wire: str) -> list[Frame]:
    """Return what streams of a wire are made of: the frames of its blocks, some with a usage."""
    blocks = [block for block in BLOCKS if block.wire == wire]
    texts = [block.delta(text) for block in blocks for text in ("a", " b", "c")]
    told = [(name, {**data, **usage}) for name, data in texts for usage in _USAGES if wire == "gemini"]
    return [*(frame for block in blocks for frame in block.before + block.after), *texts * 3, *told * 2]


@pytest.mark.parametrize("wire", _WIRES)
@settings(max_examples=300)
@given(st.data())
def test_every_order_of_frames_is_read_alike_by_both_ways(wire: str, data: st.DataObject) -> None:
    block = next(block for block in BLOCKS if block.wire == wire)
    quick, slow = block.decoder(), cast(Any, block.decoder())
    slow.repeats.delta_of = lambda frame: None
    for event, frame in data.draw(st.lists(st.sampled_from(_frames_of(wire)), max_size=25)):
        if frame is not None:
            assert repr(quick.feed(event, copy.deepcopy(frame))) == repr(slow.feed(event, frame))
    assert repr(quick.eof()) == repr(slow.eof())
