"""Forms of Gemini's answers that no recording shows, or that are worth saying plainly."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.canonical.events import Ended, Event, Failed, Finished
from app.canonical.request import (
    AudioPart,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    Request,
    Signature,
    TextPart,
    Tool,
    ToolCallPart,
)
from app.canonical.response import Finish, Response, Usage
from app.dialects.base import Frame
from app.dialects.gemini.dialect import DIALECT
from app.dialects.gemini.sources import Sources
from tests.dialects import generic
from tests.dialects.test_growth import lines_run


def chunk(*parts: dict[str, Any], index: int = 0, **members: Any) -> dict[str, Any]:
    return {"candidates": [{"index": index, "content": {"role": "model", "parts": list(parts)}, **members}]}


def stream(*chunks: Any) -> list[Event]:
    events = generic.decoded(
        DIALECT.stream_decoder(generic.client_context()), [Frame(None, c) for c in chunks]
    )
    generic.assert_order(events)
    return events


def folded(*chunks: Any) -> Response:
    return generic.fold(stream(*chunks)).response()


def parts(*chunks: Any) -> list[Any]:
    return generic.parts_of(folded(*chunks).choices[0])


STOP = chunk(finishReason="STOP")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"),
        ("FINISH_REASON_UNSPECIFIED", "stop"),
        ("A_REASON_OF_TOMORROW", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "fault"),
        ("UNEXPECTED_TOOL_CALL", "fault"),
        ("OTHER", "fault"),
        (1, "stop"),
        (2, "length"),
    ],
)
def test_finish_reasons(raw: Any, reason: str) -> None:
    assert folded(chunk({"text": "x"}, finishReason=raw)).choices[0].finish == Finish(reason, str(raw))  # type: ignore[arg-type]


def test_stop_after_a_call_means_tool_calls() -> None:
    finish = folded(chunk({"functionCall": {"name": "f"}}), STOP).choices[0].finish
    assert finish == Finish("tool_calls", "STOP")


def test_a_call_arrives_as_one_delta_with_compact_json() -> None:
    (call,) = parts(chunk({"functionCall": {"name": "f", "args": {"b": "ü", "a": [1]}}}, finishReason="STOP"))
    assert call == ToolCallPart("call_1", "f", '{"b":"ü","a":[1]}')


def piece(*values: Any, goes_on: bool = True, **members: Any) -> dict[str, Any]:
    rows = [{"jsonPath": path, **value} for path, value in values]
    call = {"partialArgs": rows} if rows else {}
    return chunk({"functionCall": {**call, **({"willContinue": True} if goes_on else {})}, **members})


def test_a_call_whose_arguments_are_streamed_comes_whole() -> None:
    start = chunk({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "c2ln"})
    city = [("$.city", {"stringValue": word, "willContinue": True}) for word in ("Par", "is")]
    rows = [("$.rows[0]['a b']", {"numberValue": 2}), ("$.rows[1]", {"nullValue": "NULL_VALUE"}), ("x", {})]
    chunks = start, piece(city[0]), piece(city[1]), piece(*rows, ("$.ok", {"boolValue": False}))
    want = ToolCallPart(
        "call_1",
        "f",
        '{"city":"Paris","rows":[{"a b":2},null],"ok":false}',
        signature=Signature("c2ln", "gemini", "there"),
    )
    assert parts(*chunks, piece(goes_on=False), STOP) == [want]
    cut = folded(*chunks, chunk(finishReason="MAX_TOKENS")).choices[0]
    assert (generic.parts_of(cut), cut.finish) == ([want], Finish("length", "MAX_TOKENS"))
    assert parts(*chunks, chunk({"text": "x"}), STOP) == [want, TextPart("x")]


def test_a_deep_or_broken_path_of_a_streamed_argument_crashes_nothing() -> None:
    start = chunk({"functionCall": {"name": "f", "willContinue": True}})
    odd = [
        ("$.a", {"numberValue": 1}),
        ("$.a.b", {"numberValue": 2}),
        ("$" + ".n" * 5000, {"numberValue": 3}),
    ]
    (call,) = parts(start, piece(*odd, ("$.l[999999999]", {"stringValue": "x"}), goes_on=False), STOP)
    assert json.loads(call.arguments)["a"] == {"b": 2}
    assert json.loads(call.arguments)["l"] == ["x"]


def test_a_member_that_is_null_is_absent() -> None:
    text = {"text": "a", "functionCall": None, "inlineData": None, "thought": None, "executableCode": None}
    assert parts(chunk(text), STOP) == [TextPart("a")]


def test_the_call_of_a_custom_tool_turns_back_into_its_text() -> None:
    request = Request("m", tools=(Tool("custom", "shell"),))
    decoder = DIALECT.stream_decoder(generic.client_context(request=request))
    call = {"functionCall": {"name": "shell", "args": {"input": "ls -l"}}}
    events = generic.decoded(decoder, [Frame(None, chunk(call, finishReason="STOP"))])
    (part,) = generic.parts_of(generic.fold(events).response().choices[0])
    assert part == ToolCallPart("call_1", "shell", "ls -l", "custom")


def test_a_blocked_prompt_is_a_content_filter_and_no_error() -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "no"}
    response = folded({"promptFeedback": feedback})
    assert response.choices[0].finish == Finish("content_filter", "SAFETY")
    assert response.native == ("gemini", {"promptFeedback": feedback})


def test_a_chunk_with_usage_alone_is_no_fault_and_the_last_usage_counts() -> None:
    first = {**chunk({"text": "a"}), "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    counts = {
        "promptTokenCount": 3,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 5,
        "toolUsePromptTokenCount": 6,
        "cachedContentTokenCount": 2,
        "totalTokenCount": 18,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
        "serviceTier": "standard",
    }
    response = folded(first, STOP, {"usageMetadata": counts})
    details = {"input.audio_tokens": 3, "input.tool_use_tokens": 6}
    assert response.usage == Usage(9, 9, 18, 2, 0, 5, details, native=("gemini", counts))
    assert response.service_tier == "standard"


def test_absurd_counts_are_no_counts() -> None:
    usage = {"promptTokenCount": -1, "candidatesTokenCount": "7", "totalTokenCount": 1e300}
    assert folded({**STOP, "usageMetadata": usage}).usage is None


def test_a_finish_may_be_followed_by_more() -> None:
    events = stream(chunk({"text": "a"}, finishReason="STOP"), chunk({"text": "b"}, finishReason="SAFETY"))
    finishes = [event.finish for event in events if isinstance(event, Finished)]
    assert finishes == [Finish("content_filter", "SAFETY")]
    assert generic.fold(events).response().choices[0].messages[0].parts == (TextPart("ab"),)


def test_several_candidates_are_choices() -> None:
    response = folded(
        {"candidates": [*chunk({"text": "a"})["candidates"], *chunk({"text": "b"}, index=1)["candidates"]]},
        chunk({"text": "B"}, index=1, finishReason="STOP"),
        chunk({"text": "A"}, finishReason="MAX_TOKENS"),
    )
    assert [(c.index, generic.parts_of(c)) for c in response.choices] == [
        (0, [TextPart("aA")]),
        (1, [TextPart("bB")]),
    ]


def test_one_candidate_unfinished_is_a_cut_stream() -> None:
    events = stream(chunk({"text": "a"}, finishReason="STOP"), chunk({"text": "b"}, index=1))
    assert isinstance(events[-1], Failed)
    assert events[-1].error.kind.name == "upstream_cut"


def test_thoughts_and_their_signatures() -> None:
    signed = {"text": "hm", "thought": True, "thoughtSignature": "c2ln"}
    thought, text = parts(chunk(signed), chunk({"text": "yes"}, finishReason="STOP"))
    assert thought == ReasoningPart(
        "hm", "summary", Signature("c2ln", "gemini", "there"), ("gemini", {"signed": True})
    )
    assert text == TextPart("yes")
    context = generic.client_context("gemini-2.5-flash")
    body = DIALECT.encode_request(Request("m", (Message("assistant", (thought, text)),)), context).body
    assert body["contents"][0]["parts"] == [signed, {"text": "yes"}]


def test_pictures_and_speech_in_the_answer() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    sound = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAA="}}
    native = ("gemini", {"mimeType": "audio/L16;codec=pcm;rate=24000"})
    assert parts(chunk(picture, sound, {}), STOP) == [
        ImagePart(data="aGk=", media_type="image/png"),
        AudioPart("AAA=", "pcm16", native=native),
    ]


def test_a_picture_of_a_thought_is_no_answer() -> None:
    sketch = {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True}
    assert parts(chunk(sketch), STOP) == [OpaquePart("inlineData", ("gemini", sketch))]


def test_citations_count_characters_and_find_their_block() -> None:
    """Google counts bytes over all visible text; ours count characters of one text."""
    first, second = "Grüße – ", "naïve Café."
    segment = {"startIndex": len((first + "naïve ").encode()), "endIndex": len((first + second).encode())}
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
        "groundingSupports": [
            {"segment": {**segment, "text": "Café."}, "groundingChunkIndices": [0, 7, None]}
        ],
    }
    code = {"executableCode": {"code": "1", "language": "PYTHON"}}
    texts = [
        part
        for part in parts(
            chunk({"text": first}, code, {"text": second}, groundingMetadata=metadata, finishReason="STOP")
        )
        if isinstance(part, TextPart)
    ]
    assert texts[0] == TextPart(first)
    assert texts[1].annotations == (
        {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 6, "end_index": 11},
        {"type": "url_citation", "url": "https://b", "title": "", "start_index": 11, "end_index": 11},
    )


@given(st.text("aé€😀", min_size=1, max_size=3_000), st.data())
def test_bytes_of_a_segment_are_counted_in_characters(text: str, data: st.DataObject) -> None:
    first, last = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True)))
    begin, end = (len(text[:place].encode()) for place in (first, last))
    (part,) = parts(
        chunk({"text": text}, **grounding({"startIndex": begin, "endIndex": end}), finishReason="STOP")
    )
    (annotation,) = part.annotations
    assert (annotation["start_index"], annotation["end_index"]) == (first, last)


def grounding(*segments: dict[str, Any]) -> dict[str, Any]:
    supports = [{"segment": segment, "groundingChunkIndices": [0]} for segment in segments]
    sources = [{"web": {"uri": "https://a"}}]
    return {"groundingMetadata": {"groundingChunks": sources, "groundingSupports": supports}}


def test_a_segment_is_cited_once_and_where_its_position_says_if_its_text_is_there() -> None:
    code = {"executableCode": {"code": "1"}}
    here, lost = {"startIndex": 5, "endIndex": 9, "text": "fact"}, {"startIndex": 90, "text": "much"}
    later = chunk(
        {"text": "fact "}, code, {"text": "fact much"}, code, {"text": "much"}, **grounding(here, lost)
    )
    texts = [part for part in parts(later, STOP) if isinstance(part, TextPart)]
    spans = [[(one["start_index"], one["end_index"]) for one in text.annotations] for text in texts]
    assert spans == [[], [(0, 4)], [(0, 4)]]


class Text(str):
    """Counts what it is asked for."""

    asked: Counter[str]

    def encode(self, *arguments: Any) -> bytes:
        self.asked["encode"] += 1
        return super().encode(*arguments)

    def find(self, *arguments: Any) -> int:
        self.asked["find"] += 1
        return super().find(*arguments)


def test_a_text_is_looked_through_a_few_times_however_many_segments_it_has() -> None:
    text = Text("word " * 20_000)
    text.asked = Counter()
    located = [{"startIndex": 5 * i, "endIndex": 5 * i + 4, "text": "word"} for i in range(5_000)]
    strange = [{"text": f"quote {i}"} for i in range(5_000)]
    sources = Sources()
    sources.read(grounding(*located, *strange))
    annotations = sources.annotations(text, last=True)
    assert [(one["start_index"], one["end_index"]) for one in annotations] == [
        (5 * i, 5 * i + 4) for i in range(5_000)
    ]
    assert text.asked["encode"] == 1
    assert text.asked["find"] <= 20


def test_citations_of_many_chunks_are_compared_once() -> None:
    def lines(count: int) -> int:
        chunks = [
            chunk({"text": "a"}, citationMetadata={"citations": [{"uri": f"https://{i // 2}"}]})
            for i in range(count)
        ]
        return lines_run(lambda: stream(*chunks, STOP))

    lines(2)
    assert lines(400) < 2.2 * lines(200)


def test_logprobs_become_openais_token_objects() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}],
    }
    (text,) = parts(chunk({"text": "é"}, logprobsResult=result, finishReason="STOP"))
    token = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert text.logprobs == ({**token, "top_logprobs": [token]},)


def test_an_error_after_content_fails_the_stream() -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    events = stream(chunk({"text": "a"}), error, STOP)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind.name, events[-1].error.message) == ("upstream_overloaded", "overloaded")


def test_the_wait_that_google_asks_for_is_told() -> None:
    body = {
        "error": {"code": 429, "message": "slow", "details": [{"@type": "RetryInfo", "retryDelay": "34.4s"}]}
    }
    assert DIALECT.decode_error(429, body, {}).retry_after == 35
    assert DIALECT.decode_error(429, [body], {"retry-after": "3"}).retry_after == 3


@pytest.mark.parametrize("body", [None, [], [[]], {"error": {"details": [1], "message": 5}}])
def test_strange_error_bodies_still_are_errors(body: Any) -> None:
    assert DIALECT.decode_error(500, body, {}).message == "The provider answered with status 500."


@pytest.mark.parametrize("body", ["no", {"error": "no"}])
def test_a_proxys_words_are_told(body: Any) -> None:
    assert DIALECT.decode_error(500, body, {}).message == "no"


STRANGE: list[Any] = [
    "text",
    5,
    [],
    {"candidates": {}},
    {"candidates": [{"content": [], "finishReason": {}}]},
    {
        "candidates": [
            {
                "content": {
                    "parts": [
                        None,
                        {"text": 5},
                        {"functionCall": {"name": "f", "args": 3}},
                        {"inlineData": 3},
                    ]
                }
            }
        ]
    },
    {"candidates": [{"index": "x", "groundingMetadata": 1, "citationMetadata": [], "logprobsResult": 2}]},
    {"usageMetadata": [], "promptFeedback": "x", "createTime": 4, "responseId": 5, "modelVersion": []},
    chunk(
        {"text": "é"},
        groundingMetadata={"groundingChunks": [{"web": 1}], "groundingSupports": [{"segment": 1}]},
    ),
]


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_chunk_never_crashes_the_decoder(strange: Any) -> None:
    events = stream(chunk({"text": "a"}), strange, STOP)
    assert isinstance(events[-1], Ended)
