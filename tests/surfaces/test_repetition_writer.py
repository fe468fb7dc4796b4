"""An event that is written from its form has the bytes that writing its frame makes."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.repetitions import Original, Repetition
from app.surfaces.replies import envelope as envelopes
from app.surfaces.replies.envelope import FrameEnvelope
from app.surfaces.replies.framing import Events
from app.surfaces.replies.repetition_writer import RepetitionWriter
from app.surfaces.replies.response_shape import ResponseShape

_PLACES = (("choices", 0, "delta", "content"), ("obfuscation",))


def _original(*places: Any, event: str | None = None, **members: Any) -> Original:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    data = {
        "id": "c %d",
        "object": "chat.completion.chunk",
        "choices": [choice],
        "obfuscation": "x",
        **members,
    }
    return Original(event, data, places)


def _envelope(kind: str, monkeypatch: pytest.MonkeyPatch) -> FrameEnvelope:
    """Return an envelope whose first frame was written."""
    monkeypatch.setattr(envelopes, "time", SimpleNamespace(monotonic=lambda: 12.5))
    call = SimpleNamespace(
        started=12.0, operation="chat", stream=True, shown_stream=True, model="a/m", attempts=[None]
    )
    call.progress, call.keep_raw = SimpleNamespace(cache_debug=None), ()
    target = SimpleNamespace(provider=SimpleNamespace(name="a"), model="m")
    outcome: Any = SimpleNamespace(call=call, target=target, losses=(), upstream_ms=1)
    mount: Any = SimpleNamespace(envelope=kind, cost_object=False, summary_members=False)
    envelope = FrameEnvelope(mount, outcome)
    envelope.seal(Repetition(_original(*_PLACES), [["first", "f"]]).frames, last=False)
    return envelope


@pytest.mark.parametrize("kind", ["extra_fields", "provider", "headers"])
@pytest.mark.parametrize("places", [_PLACES[:1], _PLACES, _PLACES[::-1]])
@given(texts=st.lists(st.text(max_size=4) | st.sampled_from(["%b", '"', "\u2028"]), max_size=4))
def test_repetitions_are_written_as_frames_are(kind: str, places: Any, texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        quick, slow = _envelope(kind, monkeypatch), _envelope(kind, monkeypatch)
        writer, originals = RepetitionWriter(quick), [_original(*places), _original(*places, model="é%")]
        originals.append(_original(*places, event="content_block_delta"))
        for original in originals:
            rows = [[text, *["pad"] * (len(places) - 1)] for text in texts]
            for several in [*([row] for row in rows), rows]:
                frames = Repetition(original, several).frames
                written = writer.write(Repetition(original, several))
                assert written == Events().write(slow.seal(frames, last=False), last=False)


@pytest.mark.parametrize("kind", ["extra_fields", "provider", "headers"])
def test_frames_with_numbers_go_on_in_their_order(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow = _envelope(kind, monkeypatch), _envelope(kind, monkeypatch)
    original, writer = _original(*_PLACES[:1], sequence_number=4), RepetitionWriter(quick)
    for first, rows in ((5, [["a", 9]]), (6, [["b", 9], ["c", 9]]), (8, [["d", 9]])):
        repetitions = [Repetition(original, rows) for _ in range(2)]
        for repetition in repetitions:
            repetition.number = first
        frames = repetitions[1].frames
        assert [frame.data["sequence_number"] for frame in frames] == list(range(first, first + len(rows)))
        written = writer.write(repetitions[0])
        assert written == Events().write(slow.seal(frames, last=False), last=False)


@pytest.mark.parametrize("pads", [True, False])
@pytest.mark.parametrize("kind", ["output_text", "reasoning_text"])
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_deltas_are_written_in_the_shape_that_frames_get(kind: str, pads: bool, texts: list[str]) -> None:
    """Padding is random, so only its length is compared."""
    event = f"response.{kind}.delta"
    data = {"type": event, "sequence_number": 4, "output_index": 0, "delta": "a", "logprobs": []}
    original, rows = Original(event, data, (("delta",),)), [[text, 77] for text in texts]
    with pytest.MonkeyPatch.context() as monkeypatch:
        quick, slow = _envelope("extra_fields", monkeypatch), _envelope("extra_fields", monkeypatch)
        shape = ResponseShape({"stream_options": {"include_obfuscation": pads}})
        repetitions = [Repetition(original, rows) for _ in range(2)]
        for repetition in repetitions:
            repetition.number = 9
        written = RepetitionWriter(quick, shape.padding).write(repetitions[0])
        expected = Events().write(slow.seal(shape.apply(repetitions[1].frames), last=False), last=False)
    assert written is not None
    assert _without_padding(written) == _without_padding(expected)
    assert written.count(b'"obfuscation"') == (len(texts) if pads and kind == "output_text" else 0)


def _without_padding(written: bytes) -> list[tuple[str, int]]:
    pattern = re.compile(r'"obfuscation":"([0-9a-f]*)"')
    return [
        (pattern.sub("", event), sum(map(len, pattern.findall(event))))
        for event in written.decode().split("\n\n")
    ]


def test_a_frame_that_somebody_changed_is_not_written_from_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    repetition = Repetition(_original(*_PLACES), [["a", "b"]])
    repetition.frames[0].data["id"] = "of another attempt"
    assert RepetitionWriter(_envelope("headers", monkeypatch)).write(repetition) is None


def test_a_frame_that_holds_what_marks_a_gap_has_no_form(monkeypatch: pytest.MonkeyPatch) -> None:
    original = _original(*_PLACES, model="a gap that Sluice fills, 0")
    writer = RepetitionWriter(_envelope("headers", monkeypatch))
    assert writer.write(Repetition(original, [["a", "b"]])) is None
