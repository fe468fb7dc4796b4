"""Reads that are taken for repetitions make what taking each of them apart makes."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.canonical.request import Reasoning, Request
from app.canonical.response import Usage
from app.dialects import dialect
from app.dialects.base import Dialect, PassThrough
from app.gateway.framing import SSEReader
from app.gateway.pass_through import PassStream
from app.gateway.repetitions import Repetition, RepetitionReader
from app.gateway.run import Batch, Run
from app.gateway.translation import TranslateStream
from app.wire.sse import encode_frame
from benchmarks.decoders import BLOCKS
from tests.dialects import generic

CHAT = dialect("chat")

_TEXTS = st.sampled_from(["a", "b c", 'quo"ted', "line\n", "é", "\U0001f600", "\u2028", "", "%d", "index"])
_DELTAS = (
    st.builds(lambda text: {"content": text}, _TEXTS)
    | st.builds(lambda text: {"reasoning_content": text}, _TEXTS)
    | st.builds(lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}, _TEXTS)
    | st.just({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]})
    | st.sampled_from([{}, {"role": "assistant", "content": ""}, {"content": None}])
)
_CHUNKS = st.builds(
    lambda delta, created, padding, more: {
        "id": "c",
        "created": created,
        "model": "m",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        **({} if padding is None else {"obfuscation": padding}),
        **more,
    },
    _DELTAS,
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from([None, None, "x", "yz", ""]),
    st.sampled_from([{}, {}, {}, {"usage": None}, {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}]),
)
_READS = st.tuples(
    st.lists(_CHUNKS, min_size=1, max_size=2),
    st.sampled_from([1, 2, 5]),  # times
    st.sampled_from([0, 0, 0, 3]),  # bytes of it that come with the next read
    st.booleans(),  # how it is written
)


def _chunk(text: str, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    constant = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    return {**constant, "choices": [choice], **members}


def _passing(asks_usage: bool = False, wire: Dialect = CHAT) -> PassStream:
    body = {"stream_options": {"include_usage": asks_usage}}
    context, server = generic.client_context(), generic.server_context()
    assert wire.patch is not None
    patch = wire.patch(PassThrough(body, context, server, None, True))
    exchange: Any = SimpleNamespace(
        patch=patch, dialect=wire, context=context, estimate=lambda _: Usage(1, 2)
    )
    return PassStream(exchange)


def _translating(server: str, wire: Dialect = CHAT, summary: str | None = None) -> TranslateStream:
    request = Request(model="m", messages=(), reasoning=Reasoning(summary=summary))
    encoder = dialect(server).stream_encoder(request, generic.server_context(response_id="resp_1"))
    return TranslateStream(
        wire.stream_decoder(generic.client_context()),
        encoder,
        lambda body: (),
        lambda _: Usage(1, 2),
        report=lambda _: None,
    )


def _read(translator: Any, reads: list[bytes], quick: bool) -> tuple[list[Any], int]:
    """Return the frames of all reads, and how many of these were repetitions."""
    reader = SSEReader()
    repetitions, found = RepetitionReader(reader, translator), 0
    run = Run(SimpleNamespace(dialect="responses"), None, None)  # type: ignore[arg-type]  # numbers what goes out
    run.content = True
    frames: list[Any] = []
    for data in reads:
        batch = repetitions.read(data) if quick else None
        if batch is None:
            taken = [f for event, value in reader.feed(data) for f in translator.feed(event, value)]
            repetitions.follow(data, taken)
        else:
            found += 1
        flow = (
            batch if isinstance(batch, Repetition) else Batch(taken if batch is None else batch, last=False)
        )
        taken = run._flow(flow).frames
        frames += json.loads(json.dumps(taken))  # as they are now: who writes them may change them
        for frame in taken:
            if isinstance(frame.data, dict):
                frame.data["extra_fields"] = "of an envelope"
    return [*frames, *run._number(translator.done())], found


def _bytes(reads: list[tuple[list[dict[str, Any]], int, int, bool]]) -> list[bytes]:
    pieces, carried = [], b""
    for chunks, times, held, ascii_only in reads:
        written = [
            encode_frame(None, json.dumps(chunk, ensure_ascii=ascii_only).encode()) for chunk in chunks
        ]
        for _ in range(times):
            data = carried + b"".join(written)
            carried = data[len(data) - held :]
            pieces.append(data[: len(data) - held])
    return [*pieces, carried] if carried else pieces


@pytest.mark.parametrize("server", ["pass", "pass with usage", "responses", "responses summary", "messages"])
@settings(max_examples=150)
@given(reads=st.lists(_READS, max_size=6))
@example(
    reads=[
        ([_chunk("a")], 3, 0, True),
        ([_chunk("b", created=2)] * 2, 1, 0, True),
        ([_chunk("c")], 2, 0, True),
    ]
)
@example(reads=[([_chunk(t, obfuscation=p)], 1, 0, True) for t, p in zip("abcdef", "uvwxyz", strict=True)])
def test_every_order_of_reads_makes_the_same_on_both_ways(server: str, reads: list[Any]) -> None:
    outcomes = []
    for quick in (True, False):
        name, _, more = server.partition(" ")
        translator: Any = (
            _passing(bool(more)) if name == "pass" else _translating(name, summary="auto" if more else None)
        )
        frames, _ = _read(translator, _bytes(reads), quick)
        outcomes.append((frames, repr(translator.response()), translator.content, translator.usage))
    assert outcomes[0] == outcomes[1]


_PADDING = st.sampled_from([b"", b"", b" ", b"    "])  # as Anthropic has before the last bracket


_TIMES = st.sampled_from([1, 1, 4])


def _padded(frame: tuple[str | None, Any], padding: bytes) -> bytes:
    event, data = frame
    return encode_frame(event, json.dumps(data).encode()[:-1] + padding + b"}")


def _numbered(frames: list[tuple[str | None, Any]], first: int, step: int) -> list[tuple[str | None, Any]]:
    """Return frames with numbers, of which some are missing where ``step`` is 0."""
    numbers = [{"sequence_number": first + step * at} if step or at % 3 else {} for at in range(len(frames))]
    return [(event, {**data, **number}) for (event, data), number in zip(frames, numbers, strict=True)]


@pytest.mark.parametrize("wire", ["messages", "cohere", "responses"])
@pytest.mark.parametrize("way", ["pass", "chat", "messages", "responses"])
@settings(max_examples=60)
@given(data=st.data())
def test_named_events_in_every_order_make_the_same_on_both_ways(wire: str, way: str, data: Any) -> None:
    blocks = [block for block in BLOCKS if block.wire == wire]
    if wire == "responses":  # whose blocks have the same index, which no item has
        blocks = [data.draw(st.sampled_from(blocks))]
    texts = [block.delta(text) for block in blocks for text in ("a", "b }\n\n", "") for _ in range(3)]
    start, *more = blocks[0].before
    more = more if wire == "responses" else []
    first, step = data.draw(st.sampled_from([(0, 1), (8, 1), (7, 0), (98, 7)]))
    others = [f for block in blocks for f in block.before + block.after if f[0] != start[0]]
    runs = data.draw(st.lists(st.tuples(st.sampled_from([*others, *texts]), _TIMES, _PADDING), max_size=12))
    named = [
        *((frame, b"") for frame in (start, *more)),
        *((frame, padding) for frame, times, padding in runs for _ in range(times)),
    ]
    if wire == "responses":
        frames = _numbered([frame for frame, _ in named], first, step)
        named = [(frame, padding) for frame, (_, padding) in zip(frames, named, strict=True)]
    events = [_padded(frame, padding) for frame, padding in named]
    joined = data.draw(st.integers(1, 3))
    reads = [b"".join(events[at : at + joined]) for at in range(0, len(events), joined)]
    outcomes = []
    for quick in (True, False):
        translator: Any = _passing(wire=dialect(wire)) if way == "pass" else _translating(way, dialect(wire))
        frames_made, _ = _read(translator, reads, quick)
        outcomes.append((frames_made, repr(translator.response()), translator.content))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("translator", [_passing, _translating])
@pytest.mark.parametrize("wire", ["messages", "cohere"])
def test_text_after_text_of_named_events_is_found_to_repeat(translator: Any, wire: str) -> None:
    for block in (block for block in BLOCKS if block.wire == wire and block.kind != "signature"):
        deltas = [block.delta(f"text {number}") for number in range(20)]
        reads = [_padded(frame, b" " * (number % 3)) for number, frame in enumerate([*block.before, *deltas])]
        made = translator(wire=dialect(wire)) if translator is _passing else translator("chat", dialect(wire))
        assert _read(made, reads, quick=True)[1] == 18, block


@pytest.mark.parametrize("translator", [_passing, lambda: _translating("responses")])
@pytest.mark.parametrize("members", [{}, {"obfuscation": "pad"}])
def test_text_after_text_is_found_to_repeat(translator: Any, members: dict[str, Any]) -> None:
    chunks = [_chunk(f"text {number}", **members) for number in range(20)]
    _, found = _read(translator(), _bytes([([chunk], 1, 0, True) for chunk in chunks]), quick=True)
    assert found == 17  # the first opens the block, two more are learnt from


@pytest.mark.parametrize("ways", [_passing, lambda wire: _translating("chat", wire)])
@pytest.mark.parametrize("padding", [{}, {"obfuscation": "pad"}])
def test_text_after_text_of_events_with_numbers_is_found_to_repeat(
    ways: Any, padding: dict[str, Any]
) -> None:
    for block in (block for block in BLOCKS if block.wire == "responses"):
        deltas = [(event, data | padding) for event, data in (block.delta(f"text {n}") for n in range(20))]
        reads = [_padded(frame, b"") for frame in _numbered([*block.before, *deltas], 0, 1)]
        quick, slow = (_read(ways(wire=dialect("responses")), reads, quick) for quick in (True, False))
        opens_part = block.kind != "arguments"  # with the first delta, which is not learnt from
        assert quick == (slow[0], 17 if opens_part else 18), block


def test_a_stream_in_which_nothing_repeats_is_not_learnt_from_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learnt: list[bytes] = []
    monkeypatch.setattr("app.gateway.repetitions._template_of", lambda chunk, repeats: learnt.append(chunk))
    reads = _bytes([([_chunk("a", created=number)], 1, 0, True) for number in range(50)])
    _read(_passing(), reads, quick=True)
    assert len(learnt) == 5


_SAID = _bytes([([_chunk("again")], 3, 0, True)])
_ODD = [  # a read after those, and what is between
    b': a comment that goes on data: {"id": "x"}',  # the next read belongs to its line
    encode_frame(None, json.dumps(_chunk("")).encode()),
    encode_frame("named", json.dumps(_chunk("again")).encode()),
    *[data.replace(b'"again"', b'"\\ud83d"') for data in _SAID[:1]],
]


@pytest.mark.parametrize("odd", _ODD)
@pytest.mark.parametrize("translator", [_passing, lambda: _translating("responses")])
def test_what_only_looks_like_a_repetition_is_read_as_any_other(translator: Any, odd: bytes) -> None:
    reads = [*_SAID, odd, *_SAID]
    quick, slow = (_read(translator(), reads, quick)[0] for quick in (True, False))
    assert quick == slow


@pytest.mark.parametrize("translator", [_passing, lambda: _translating("responses")])
def test_a_string_that_stands_elsewhere_is_not_taken_for_the_text(translator: Any) -> None:
    written = json.dumps(_chunk("TEXT", system_fingerprint="elsewhere")).encode()
    data = encode_frame(None, written.replace(b"TEXT", b"\\u0065lsewhere"))
    reads = [data, data, data, data.replace(b'"elsewhere"', b'"other"')]
    quick, slow = (_read(translator(), reads, quick)[0] for quick in (True, False))
    assert quick == slow


@pytest.mark.parametrize("translator", [_passing, lambda: _translating("responses")])
def test_several_events_of_one_read_are_a_repetition_too(translator: Any) -> None:
    more = [_chunk(f"text {number}") for number in range(4)]
    reads = [
        *_SAID,
        *_bytes([(more, 1, 0, True), ([*more, _chunk("", choices=[])], 1, 0, True), (more, 1, 3, True)]),
    ]
    (quick, found), (slow, _) = (_read(translator(), reads, quick) for quick in (True, False))
    assert quick == slow
    assert found == 1
