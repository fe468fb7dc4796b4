"""Chat streams out of the ordinary: what servers get wrong, and what must come of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
    replay,
)
from app.canonical.request import (
    AudioPart,
    ImagePart,
    Message,
    OpaquePart,
    Origin,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects.base import DONE, Frame, ServerContext
from app.dialects.chat.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic

Json = dict[str, Any]


def chunk(delta: Json | None = None, finish: str | None = None, index: int = 0, **members: Any) -> Json:
    choices = [{"index": index, "delta": delta or {}, "finish_reason": finish}]
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "up",
        "choices": choices,
        **members,
    }


def events(*chunks: Json, done: bool = True) -> list[Event]:
    frames = [Frame(None, data) for data in chunks] + ([DONE] if done else [])
    found = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames)
    generic.assert_order(found)
    return found


def parts(*chunks: Json, done: bool = True) -> list[Part]:
    return generic.parts_of(generic.fold(events(*chunks, done=done)).response().choices[0])


def call(
    index: int | None = 0, identifier: str | None = None, name: str | None = None, arguments: Any = None
) -> Json:
    fragment: Json = {"function": {"name": name, "arguments": arguments}, "id": identifier}
    return {"tool_calls": [fragment if index is None else {"index": index, **fragment}]}


STOP = chunk(finish="tool_calls")
CALLS: list[tuple[str, list[Json], list[tuple[str, str, str]]]] = [
    (
        "usual",
        [call(0, "a", "f", ""), call(0, arguments='{"x"'), call(0, arguments=":1}")],
        [("a", "f", '{"x":1}')],
    ),
    ("whole", [call(0, "a", "f", "{}")], [("a", "f", "{}")]),
    ("no arguments", [call(0, "a", "f")], [("a", "f", "")]),
    ("arguments as an object", [call(0, "a", "f", {"x": "é"})], [("a", "f", '{"x":"é"}')]),
    ("no index", [call(None, "a", "f", "{"), call(None, arguments="}")], [("a", "f", "{}")]),
    (
        "no index, two ids",
        [call(None, "a", "f", "{}"), call(None, "b", "g", "{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "one index for two calls",
        [call(0, "a", "f", "{}"), call(0, "b", "g", "{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    ("id and name repeated", [call(0, "a", "f", "{"), call(0, "a", "f", "}")], [("a", "f", "{}")]),
    ("another id each time", [call(0, "a", "f", "{"), call(0, "b", None, "}")], [("a", "f", "{}")]),
    ("name late", [call(0, "a", None, "{"), call(0, None, "f", "}")], [("a", "f", "{}")]),
    (
        "no id",
        [call(0, None, "f", "{}"), call(1, None, "g", "{}")],
        [("call_1", "f", "{}"), ("call_2", "g", "{}")],
    ),
    (
        "interleaved",
        [call(0, "a", "f", "{"), call(1, "b", "g", "["), call(0, arguments="}"), call(1, arguments="]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    (
        "the old form",
        [{"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}],
        [("call_1", "f", "{}")],
    ),
]


@pytest.mark.parametrize(("deltas", "wanted"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_fragments_find_their_calls(deltas: list[Json], wanted: list[tuple[str, str, str]]) -> None:
    found = parts(*(chunk(delta) for delta in deltas), STOP)
    assert [(p.id, p.name, p.arguments) for p in found if isinstance(p, ToolCallPart)] == wanted


def test_a_custom_call_keeps_its_kind() -> None:
    first = {
        "tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "g", "input": "4 "}}]
    }
    second = {"tool_calls": [{"index": 0, "custom": {"input": "+ 4"}}]}
    assert parts(chunk(first), chunk(second), STOP) == [ToolCallPart("a", "g", "4 + 4", "custom")]


def test_a_call_that_never_gets_a_name_fails_the_stream() -> None:
    last = events(chunk(call(0, "a", None, "{}")), STOP)[-1]
    assert isinstance(last, Failed)
    assert last.error.kind.name == "upstream_invalid"


def test_calls_after_the_finish_reason_still_count() -> None:
    found = events(chunk(call(0, "a", "f", "{}"), "tool_calls"), chunk(call(1, "b", "g", "{}"), "tool_calls"))
    response = generic.fold(found).response()
    assert [p.name for p in generic.parts_of(response.choices[0]) if isinstance(p, ToolCallPart)] == [
        "f",
        "g",
    ]
    assert sum(isinstance(event, Finished) for event in found) == 1


def test_a_block_closes_when_another_kind_begins() -> None:
    found = events(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "one"}),
        chunk(call(0, "a", "f", "{}")),
        chunk({"content": "two"}),
        STOP,
    )
    shape = [
        (type(event).__name__, getattr(event, "block", None), getattr(event, "item", None))
        for event in found
        if isinstance(event, BlockStarted | BlockEnded)
    ]
    assert shape == [
        ("BlockStarted", 0, 0),
        ("BlockEnded", 0, None),
        ("BlockStarted", 1, 1),
        ("BlockEnded", 1, None),
        ("BlockStarted", 2, 2),
        ("BlockEnded", 2, None),
        ("BlockStarted", 3, 3),
        ("BlockEnded", 3, None),
    ]


def test_a_call_whose_arguments_are_not_whole_stays_open() -> None:
    found = events(
        chunk(call(0, "a", "f", '{"x": ')), chunk({"content": "\n"}), chunk(call(0, None, None, "1}")), STOP
    )
    (made,) = [
        part
        for part in generic.parts_of(generic.fold(found).response().choices[0])
        if isinstance(part, ToolCallPart)
    ]
    assert made.arguments == '{"x": 1}'


DETAILS: list[tuple[str, list[Json], list[Part]]] = [
    (
        "signature after the text",
        [
            {"reasoning": "h", "reasoning_details": [{"type": "reasoning.text", "text": "h", "index": 0}]},
            {"reasoning": "m", "reasoning_details": [{"type": "reasoning.text", "text": "m", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.text", "signature": "S", "format": "x", "index": 0}]},
        ],
        [ReasoningPart("hm", "text", Signature("S", "chat", "there"), ("chat", {"format": "x", "index": 0}))],
    ),
    (
        "a cipher after a summary",
        [
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "s", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "E", "id": "rs_1", "index": 0}]},
        ],
        [
            ReasoningPart("s", "summary", native=("chat", {"index": 0})),
            ReasoningPart(
                "", "hidden", Signature("E", "chat", "there"), ("chat", {"id": "rs_1", "index": 0})
            ),
        ],
    ),
    (
        "two entries are two parts",
        [
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "a", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "b", "index": 1}]},
        ],
        [
            ReasoningPart("a", "summary", native=("chat", {"index": 0})),
            ReasoningPart("b", "summary", native=("chat", {"index": 1})),
        ],
    ),
    (
        "plain text beside an empty list",
        [{"reasoning": "h", "reasoning_details": []}, {"reasoning": "m", "reasoning_details": None}],
        [ReasoningPart("hm")],
    ),
    (
        "an unknown entry",
        [{"reasoning_details": [{"type": "reasoning.new", "x": 1}]}],
        [OpaquePart("reasoning.new", ("chat", {"reasoning_details": {"type": "reasoning.new", "x": 1}}))],
    ),
    (
        "thinking parts in the content",
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]},
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "m"}], "signature": "S"}
                ]
            },
            {"content": [{"type": "text", "text": "a"}]},
        ],
        [ReasoningPart("hm", "text", Signature("S", "chat", "there")), TextPart("a")],
    ),
    (
        "a call's own signature",
        [
            call(0, "a", "f", "{}"),
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "T", "id": "a", "format": "g"}]},
        ],
        [
            ToolCallPart(
                "a",
                "f",
                "{}",
                signature=Signature("T", "chat", "there"),
                native=("chat", {"reasoning_details": {"format": "g"}}),
            )
        ],
    ),
]


@pytest.mark.parametrize(("deltas", "wanted"), [row[1:] for row in DETAILS], ids=[row[0] for row in DETAILS])
def test_reasoning_is_read_from_every_slot(deltas: list[Json], wanted: list[Part]) -> None:
    assert parts(*(chunk(delta) for delta in deltas), chunk(finish="stop")) == wanted


def test_media_annotations_and_log_probabilities_are_kept() -> None:
    citation = {
        "type": "url_citation",
        "url_citation": {"url": "https://e", "title": "t", "start_index": 0, "end_index": 2},
    }
    row = {"token": "hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    spoken = chunk({"content": "hi"})
    spoken["choices"][0]["logprobs"] = {"content": [row], "refusal": None}
    assert parts(
        chunk({"annotations": [citation]}),
        spoken,
        chunk({"images": [{"image_url": {"url": "data:image/png;base64,iVBO"}}]}),
        chunk({"audio": {"id": "au", "transcript": "he"}}),
        chunk({"audio": {"data": "AAAA", "transcript": "y", "expires_at": 9}}),
        chunk({"refusal": "no"}),
        chunk(finish="stop"),
    ) == [
        TextPart("hi", ({"type": "url_citation", **citation["url_citation"]},), (row,)),  # type: ignore[dict-item]
        ImagePart("iVBO", "image/png"),
        AudioPart("AAAA", audio_id="au", transcript="hey", native=("chat", {"expires_at": 9})),
        RefusalPart("no"),
    ]


def test_citations_beside_the_choices_become_annotations() -> None:
    sources = {
        "citations": ["https://a", "https://b"],
        "search_results": [{"url": "https://a", "title": "A"}],
    }
    (text,) = parts(chunk({"content": "So [1]"}, **sources), chunk({"content": " it is."}, "stop", **sources))
    assert isinstance(text, TextPart)
    assert text.annotations == (
        {"type": "url_citation", "start_index": 3, "end_index": 6, "url": "https://a", "title": "A"},
        {"type": "url_citation", "start_index": 0, "end_index": 0, "url": "https://b", "title": ""},
    )


def test_a_whole_message_beside_the_delta_is_passed_over() -> None:
    doubled = chunk({"content": "a"})
    doubled["choices"][0]["message"] = {"role": "assistant", "content": "a whole"}
    assert parts(doubled, chunk(finish="stop")) == [TextPart("a")]


def test_usage_is_the_last_that_was_told_wherever_it_stood() -> None:
    first = chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
    last = {
        "id": "c1",
        "choices": [],
        "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}},
    }
    ended = events(first, chunk(finish="stop"), last)[-1]
    assert isinstance(ended, Ended)
    assert ended.usage is not None
    assert ended.usage.output_tokens == 5


def test_a_stream_may_end_without_done_after_its_finish() -> None:
    assert isinstance(events(chunk({"content": "a"}, "stop"), done=False)[-1], Ended)


ENDINGS: list[tuple[str, list[Json], bool, str]] = [
    ("cut in the middle", [chunk({"content": "a"})], False, "upstream_cut"),
    ("nothing at all", [], False, "upstream_cut"),
    ("only done", [], True, "upstream_invalid"),
    (
        "one of two choices cut",
        [chunk({"content": "a"}, "stop"), chunk({"content": "b"}, index=1)],
        False,
        "upstream_cut",
    ),
    (
        "an error chunk",
        [chunk({"content": "a"}), {"error": {"message": "x", "code": 502}}],
        True,
        "upstream_error",
    ),
    ("a numeric status", [{"error": {"message": "x", "status_code": 400}}], True, "upstream_rejected"),
    (
        "a rate limit's word",
        [{"error": {"message": "x", "code": "rate_limit_exceeded"}}],
        True,
        "upstream_rate_limited",
    ),
    ("an error as a text", [{"error": "out of memory"}], True, "upstream_error"),
    ("a flat error", [{"object": "error", "message": "x", "code": 400}], True, "upstream_rejected"),
    ("a choice that failed", [chunk(finish="error")], True, "upstream_error"),
]


@pytest.mark.parametrize(
    ("chunks", "done", "kind"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
def test_a_stream_that_does_not_end_well_has_failed(chunks: list[Json], done: bool, kind: str) -> None:
    last = events(*chunks, done=done)[-1]
    assert isinstance(last, Failed)
    assert last.error.kind.name == kind


def test_an_error_event_is_an_error_whatever_its_body() -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    (event,) = decoder.feed("error", {"message": "too much", "code": "overloaded_error"})
    assert isinstance(event, Failed)
    assert (event.error.kind.name, event.error.message) == ("upstream_overloaded", "too much")


def test_what_comes_after_the_end_is_passed_over() -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    decoder.feed(None, chunk({"content": "a"}, "stop"))
    decoder.done()
    assert (decoder.feed(None, chunk({"content": "b"})), decoder.done(), decoder.eof()) == ([], [], [])


JUNK: list[Any] = [None, 5, "x", [], {"choices": None}, {"choices": [None, 5]}, {"choices": [{"delta": []}]}]
JUNK += [
    chunk(value)
    for value in ({"content": 5}, {"content": [5, {"type": 3}]}, {"tool_calls": [1, {"function": 2}]})
]
JUNK += [chunk({"reasoning_details": [None, {"type": 5}], "audio": 3, "annotations": [1], "images": {}})]
JUNK += [
    {
        "choices": [{"index": "x", "delta": {"content": "a"}, "logprobs": 5}],
        "usage": {"prompt_tokens": "many"},
    }
]


@pytest.mark.parametrize("data", JUNK, ids=lambda value: json.dumps(value)[:60])
def test_no_shape_crashes_the_decoder(data: Any) -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    found = [*decoder.feed(None, chunk({"content": "a"})), *decoder.feed(None, data), *decoder.done()]
    assert isinstance(found[-1], Ended | Failed)


def encode(response: Response | list[Event], body: Json | None = None, **context: Any) -> list[Any]:
    """The frames' data; ``None`` is ``[DONE]``."""
    request = Request("asked", stream=True, origin=Origin("chat", body or {}))
    members: Json = {"new_id": generic.counter(), "now": 9, **context}
    encoder = DIALECT.stream_encoder(request, ServerContext(**members))
    source = replay(response) if isinstance(response, Response) else response
    return [frame.data for event in source for frame in encoder.feed(event)]


def test_members_that_no_api_defines_are_in_the_last_chunk_of_their_choice() -> None:
    def tool(number: int) -> Json:
        return {"executed_tools": [{"index": number, "type": "search"}]}

    same = chunk({"content": "a"})
    same["choices"][0] |= {"token_ids": [5], "filter": {"hate": {"filtered": False}}}
    last = chunk({"message": "odd"}, "stop")
    last["choices"][0] |= {"matched_stop": 7, "filter": {"sexual": {"filtered": True}}}
    found = events(chunk(tool(0)), same, same, chunk(tool(1)), last)
    *_, end, done = encode(found)
    assert done is None
    assert end["choices"] == [
        {
            "index": 0,
            "delta": {
                **tool(0),
                "message": "odd",
                "executed_tools": [*tool(0).popitem()[1], *tool(1).popitem()[1]],
            },
            "logprobs": None,
            "finish_reason": "stop",
            "token_ids": [5, 5],
            "filter": {"hate": {"filtered": False}, "sexual": {"filtered": True}},
            "matched_stop": 7,
        }
    ]
    whole = DIALECT.encode_response(
        generic.fold(found).response(), Request("asked"), ServerContext(generic.counter(), now=9)
    )
    assert whole["choices"][0]["message"]["executed_tools"] == end["choices"][0]["delta"]["executed_tools"]
    again = encode(DIALECT.decode_response(whole, generic.client_context()))
    assert again[-2]["choices"][0] == {**end["choices"][0]}


def answer(*parts: Part, finish: str = "stop", **members: Any) -> Response:
    return Response(
        "up", "model", (Choice(0, (Message("assistant", parts),), Finish(finish)),), created=7, **members
    )  # type: ignore[arg-type]


def deltas(frames: list[Any]) -> list[Json]:
    return [row["delta"] for data in frames if data for row in data["choices"]]


def test_a_stream_begins_with_the_role_and_ends_with_done() -> None:
    base = {"id": "up", "object": "chat.completion.chunk", "created": 7, "model": "model"}
    base |= {"system_fingerprint": None}
    rows = [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        },
        {"index": 0, "delta": {"content": "hi"}, "logprobs": None, "finish_reason": None},
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"},
    ]
    frames = encode(answer(TextPart("hi"), usage=Usage(1, 2)))
    assert frames == [*({**base, "choices": [row]} for row in rows), None]


def test_usage_has_a_chunk_of_its_own_when_asked_for() -> None:
    asked = {"stream_options": {"include_usage": True}}
    frames = encode(answer(TextPart("hi"), usage=Usage(1, 2, cached_tokens=1)), asked)
    assert [data["usage"] for data in frames[:-2]] == [None, None, None]
    assert frames[-2]["choices"] == []
    assert (
        frames[-2]["usage"]["total_tokens"],
        frames[-2]["usage"]["prompt_tokens_details"]["cached_tokens"],
    ) == (3, 1)


def test_the_gateways_own_id_and_a_missing_time_and_model() -> None:
    response = Response(None, None, (Choice(0, (), Finish("stop")),))
    first = encode(response, response_id="chatcmpl-ours")[0]
    assert (first["id"], first["created"], first["model"]) == ("chatcmpl-ours", 9, "asked")
    assert encode(response)[0]["id"] == "chatcmpl-_1"


def test_calls_are_numbered_and_never_end_with_empty_arguments() -> None:
    frames = encode(answer(TextPart("x"), ToolCallPart("a", "f", '{"x":1}'), ToolCallPart("b", "g", "")))
    assert deltas(frames)[2:] == [
        {
            "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert frames[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_reasoning_is_shown_and_its_secrets_are_wrapped() -> None:
    thought = ReasoningPart("hm", "text", Signature("S", "messages", "r"))
    cipher = ReasoningPart("", "hidden", Signature("E", "responses", "r"))
    called = ToolCallPart("a", "f", "{}", signature=Signature("T", "gemini", "r"))
    frames = encode(answer(thought, cipher, called), wrap=lambda s: f"sealed:{s.value}")
    shown = [delta for delta in deltas(frames) if "reasoning_details" in delta]
    assert shown == [
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "sealed:S", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "sealed:E", "index": 1}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "sealed:T", "id": "a", "index": 2}]},
    ]


def test_a_second_summary_begins_after_a_blank_line() -> None:
    frames = encode(answer(ReasoningPart("one", "summary"), ReasoningPart("two", "summary")))
    assert "".join(delta.get("reasoning", "") for delta in deltas(frames)) == "one\n\ntwo"


def test_the_old_functions_are_answered_in_their_own_form() -> None:
    old = {"functions": [{"name": "f"}]}
    frames = encode(answer(ToolCallPart("a", "f", '{"x":1}'), finish="tool_calls"), old)
    assert deltas(frames)[1:3] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"x":1}'}},
    ]
    assert frames[-2]["choices"][0]["finish_reason"] == "function_call"


def test_each_choice_has_its_own_role_and_finish() -> None:
    choices = tuple(Choice(i, (Message("assistant", (TextPart(str(i)),)),), Finish("stop")) for i in (0, 1))
    frames = encode(Response("up", "model", choices))
    roles = [row["index"] for data in frames[:-1] for row in data["choices"] if "role" in row["delta"]]
    ends = [row["index"] for data in frames[:-1] for row in data["choices"] if row["finish_reason"]]
    assert (roles, ends) == ([0, 1], [0, 1])


def test_a_failed_stream_says_so_and_is_not_done() -> None:
    frames = encode([Started("up"), Failed(GatewayError("upstream_cut", "It broke off."))])
    assert frames[-1] == {
        "error": {
            "message": "It broke off.",
            "type": "server_error",
            "param": None,
            "code": "upstream_invalid_response",
        }
    }


def test_hosted_items_of_other_dialects_show_nothing() -> None:
    item = OpaquePart("web_search_call", ("responses", {"type": "web_search_call"}))
    assert deltas(encode(answer(item, TextPart("hi")))) == deltas(encode(answer(TextPart("hi"))))


def test_log_probabilities_annotations_audio_and_refusals_have_their_members() -> None:
    row = {"token": "hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    note = {"type": "url_citation", "url": "https://e", "title": "t", "start_index": 0, "end_index": 2}
    frames = encode(
        answer(
            TextPart("hi", (note,), (row,)),
            RefusalPart("no"),
            AudioPart("AAAA", audio_id="au", transcript="hey"),
        )
    )
    assert frames[1]["choices"][0]["logprobs"] == {"content": [row], "refusal": None}
    nested = {"type": "url_citation", "url_citation": {k: v for k, v in note.items() if k != "type"}}
    assert deltas(frames)[1:-1] == [
        {"content": "hi"},
        {"annotations": [{**nested, "index": 0}]},
        {"refusal": "no"},
        {"audio": {"id": "au"}},
        {"audio": {"data": "AAAA", "transcript": "hey"}},
    ]


def test_a_delta_of_nothing_makes_no_chunk() -> None:
    quiet: list[Event] = [Started("up"), BlockStarted(0, 0, TextPart("")), BlockDelta(0, ""), BlockEnded(0)]
    assert len(encode(quiet)) == 1


ODD_BODIES: list[Json] = [
    {
        "tool_calls": [{"id": [1], "function": {"name": "f"}}],
        "reasoning_details": [{"id": {}, "type": "reasoning.text"}],
    },
    {"content": 5, "refusal": [], "annotations": {}, "audio": "x", "images": [1], "function_call": "f"},
    {
        "content": [None, {"type": 4}, {"type": "thinking", "thinking": 7}],
        "reasoning": 9,
        "extra_content": [],
    },
]


@pytest.mark.parametrize("message", ODD_BODIES, ids=lambda value: json.dumps(value)[:40])
def test_no_shape_crashes_the_reading_of_a_whole_answer(message: Json) -> None:
    body = {
        "choices": [{"message": message, "logprobs": [], "finish_reason": 3}],
        "usage": [],
        "created": "now",
    }
    response = DIALECT.decode_response(body, generic.client_context())
    assert response.choices[0].finish is not None
    assert encode(response)[-1] is None


LATE = Ended(Usage(1, 1), ("chat", {"x_trace": 1, "choices": [{"index": 0, "native_finish_reason": "gone"}]}))


@pytest.mark.parametrize("late", [LATE, Ended(Usage(1, 1), ("chat", {"x_trace": 1}))], ids=["choice", "top"])
@pytest.mark.parametrize("finished", [None, 0, 1])
def test_late_members_of_an_answer_are_written_whichever_choices_finished(
    late: Ended, finished: int | None
) -> None:
    request = Request(model="m", messages=())
    encoder = DIALECT.stream_encoder(request, generic.server_context())
    told: list[Event] = [Started("c1", "up", 7)]
    told += [] if finished is None else [Finished(Finish("stop", "stop"), finished)]
    frames = [frame.data for event in [*told, late] for frame in encoder.feed(event)]

    assert frames.pop() == DONE.data
    assert [data["x_trace"] for data in frames if "x_trace" in data] == [1]
    words = [row.get("native_finish_reason") for data in frames for row in data["choices"]]
    assert words.count("gone") == (late is LATE)
    assert not {"object", "id", "model", "created", "choices"} - frames[-1].keys()
