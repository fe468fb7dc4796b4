"""The sandbox's language, row by row, through both halves of each dialect, whole and streamed."""

import json
from dataclasses import replace

import jsonschema
import pytest

from app.canonical.events import Failed
from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Output,
    Reasoning,
    ReasoningPart,
    Request,
    Sampling,
    Signature,
    TextPart,
    Tool,
    ToolChoice,
)
from app.dialects import dialect
from app.errors import GatewayError
from tests.dialects.generic import assert_order, parts_of
from tests.providers.sandbox_calls import (
    CLOCK,
    DIALECTS,
    WEATHER,
    answer_to,
    asking,
    body_of,
    context_of,
    events_of,
    sandbox_script,
    script_of,
    sse_frames,
    summary_of,
    user,
    with_result,
)
from tests.traffic.chat_grammar import check_chat_stream
from tests.traffic.grammar import check_responses_stream

TOOLS = (WEATHER, CLOCK)
PARIS = ("get_weather", {"city": "Paris", "days": 3})
CALL_PARIS = "call tool get_weather with city=Paris, days=3"
CITY = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "people": {"type": "integer", "minimum": 1},
        "river": {"type": ["string", "null"]},
        "climate": {"enum": ["mild", "harsh"]},
    },
    "required": ["name", "people", "river", "climate"],
    "additionalProperties": False,
}
SCHEMA = Output("schema", CITY, "city", strict=True)


def choosing(mode, **members):
    return asking("hello", tools=TOOLS, tool_choice=ToolChoice(mode, **members))


EVERYWHERE = [
    # what is asked, what is told
    (asking("say exactly: Hello,  world!"), {"text": "Hello,  world!", "finish": "stop"}),
    (asking("SAY EXACTLY: a\n\n- b\nc "), {"text": "a\n\n- b\nc ", "finish": "stop"}),
    (asking("Hi. Please say exactly: x"), {"text": "x", "finish": "stop"}),
    (asking(CALL_PARIS, tools=TOOLS), {"calls": [PARIS], "finish": "tool_calls"}),
    (
        asking('call tool get_weather with city="New York, NY", detailed=true, unit=F', tools=TOOLS),
        {
            "calls": [("get_weather", {"city": "New York, NY", "detailed": True, "unit": "F"})],
            "finish": "tool_calls",
        },
    ),
    (
        asking(f"{CALL_PARIS}\ncall tool clock with zone=UTC", tools=TOOLS),
        {"calls": [PARIS, ("clock", {"zone": "UTC"})], "finish": "tool_calls"},
    ),
    (
        asking("call tool clock", tools=TOOLS),
        {"calls": [("clock", {"zone": "some zone"})], "finish": "tool_calls"},
    ),
    (
        asking(f"say exactly: one moment\n{CALL_PARIS}", tools=TOOLS),
        {"text": "one moment", "calls": [PARIS], "finish": "tool_calls"},
    ),
    (
        asking("call tool absent with a=1", tools=TOOLS),
        {
            "text": "I cannot call 'absent': the tools that I may call are: get_weather, clock.",
            "finish": "stop",
        },
    ),
    (
        with_result(asking(CALL_PARIS, tools=TOOLS), ("get_weather", "18 degrees")),
        {"text": "The tool get_weather answered: 18 degrees", "finish": "stop"},
    ),
    (
        with_result(
            asking(f"{CALL_PARIS}\ncall tool clock", tools=TOOLS), ("get_weather", "18"), ("clock", "noon")
        ),
        {"text": "The tool get_weather answered: 18\nThe tool clock answered: noon", "finish": "stop"},
    ),
    (
        asking(f"{CALL_PARIS}\ncall tool clock", tools=TOOLS, parallel_tool_calls=False),
        {"calls": [PARIS], "finish": "tool_calls"},
    ),
    (
        with_result(
            asking(f"{CALL_PARIS}\ncall tool clock with zone=UTC", tools=TOOLS, parallel_tool_calls=False),
            ("get_weather", "18"),
        ),
        {"calls": [("clock", {"zone": "UTC"})], "finish": "tool_calls"},
    ),
    (
        choosing("required"),
        {"calls": [("get_weather", {"city": "some city"})], "finish": "tool_calls"},
    ),
    (choosing("named", name="clock"), {"calls": [("clock", {"zone": "some zone"})], "finish": "tool_calls"}),
    (choosing("none"), {"text": "You said: hello", "finish": "stop"}),
    (asking("fill a=b, c=5, d=true"), {"text": '{"a": "b", "c": 5, "d": true}', "finish": "stop"}),
    (
        asking("fill name=Rome, people=3000000, river=null, climate=mild", output=SCHEMA),
        {"text": '{"name": "Rome", "people": 3000000, "river": null, "climate": "mild"}', "finish": "stop"},
    ),
    (
        asking("fill people=7", output=SCHEMA),
        {
            "text": '{"name": "some name", "people": 7, "river": "some river", "climate": "mild"}',
            "finish": "stop",
        },
    ),
    (
        asking("hello", output=SCHEMA),
        {
            "text": '{"name": "some name", "people": 1, "river": "some river", "climate": "mild"}',
            "finish": "stop",
        },
    ),
    (asking("echo history"), {"text": "user: echo history", "finish": "stop"}),
    (asking("think: 6 times 7\nsay exactly: 42"), {"reasoning": "6 times 7", "text": "42", "finish": "stop"}),
    (
        asking("think: 6 times 7, then say exactly: 42"),
        {"reasoning": "6 times 7", "text": "42", "finish": "stop"},
    ),
    (
        asking(f"think: which city?\n{CALL_PARIS}", tools=TOOLS),
        {"reasoning": "which city?", "calls": [PARIS], "finish": "tool_calls"},
    ),
    (asking("stop at length\nsay exactly: so much"), {"text": "so much", "finish": "length"}),
    (asking("stop at length"), {"text": "You said: stop at length", "finish": "length"}),
    (
        asking(f"say exactly: {'word ' * 20}", sampling=Sampling(max_tokens=16)),
        {"text": " ".join(["word"] * 16), "finish": "length"},
    ),
    (asking("What is up?"), {"text": "You said: What is up?", "finish": "stop"}),
    (
        asking("Why do people refuse to take 5 seconds?"),
        {"text": "You said: Why do people refuse to take 5 seconds?", "finish": "stop"},
    ),
]

SOMEWHERE = [
    # what is asked, where, what is told
    (
        asking("refuse"),
        ("chat", "responses"),
        {"refusal": "I'm sorry, but I cannot help with that.", "finish": "stop"},
    ),
    (
        asking("refuse"),
        ("messages",),
        {"text": "I'm sorry, but I cannot help with that.", "finish": "content_filter"},
    ),
    (
        asking("say exactly: one two STOP three", sampling=Sampling(stop=("STOP",))),
        ("chat", "messages"),
        {"text": "one two ", "finish": "stop"},
    ),
    (
        asking("fill a=1", output=Output("json")),
        ("chat", "responses"),
        {"text": '{"a": 1}', "finish": "stop"},
    ),
    (
        asking("hello", output=Output("json")),
        ("chat", "responses"),
        {"text": '{"answer": "You said: hello"}', "finish": "stop"},
    ),
    (
        asking("hello", reasoning=Reasoning("low")),
        ("chat", "responses"),
        {"reasoning": "The last message is what counts.", "text": "You said: hello", "finish": "stop"},
    ),
    (
        asking("hello", reasoning=Reasoning("none")),
        ("chat", "responses"),
        {"text": "You said: hello", "finish": "stop"},
    ),
    (
        asking("call tool run with ls -l | wc", tools=(Tool("custom", "run"),)),
        ("chat", "responses"),
        {"calls": [("run", "ls -l | wc")], "finish": "tool_calls"},
    ),
    (
        asking(
            "hello",
            tools=TOOLS,
            tool_choice=ToolChoice(
                "allowed", allowed=({"type": "function", "name": "clock"},), required=True
            ),
        ),
        ("chat", "responses"),
        {"calls": [("clock", {"zone": "some zone"})], "finish": "tool_calls"},
    ),
    (
        asking(
            "say exactly: hi there",
            output=Output(modalities=("text", "audio"), audio={"voice": "alloy", "format": "wav"}),
        ),
        ("chat",),
        {"audio": "hi there", "finish": "stop"},
    ),
]

CASES = [
    *((request, name, expected) for request, expected in EVERYWHERE for name in DIALECTS),
    *((request, name, expected) for request, names, expected in SOMEWHERE for name in names),
]


def title(value):
    return (
        value.messages[0].parts[0].text[:40]
        if isinstance(value, Request)
        else value
        if isinstance(value, str)
        else ""
    )


@pytest.mark.parametrize(("request_", "name", "expected"), CASES, ids=title)
def test_a_whole_answer_obeys(request_, name, expected):
    assert summary_of(answer_to(request_, name, stream=False)) == expected


@pytest.mark.parametrize(("request_", "name", "expected"), CASES, ids=title)
def test_a_streamed_answer_obeys(request_, name, expected):
    assert summary_of(answer_to(request_, name, stream=True)) == expected


@pytest.mark.parametrize(("request_", "name", "expected"), CASES, ids=title)
def test_a_stream_keeps_the_order_of_events(request_, name, expected):
    assert_order(events_of(script_of(request_, name, stream=True), request_, name))


@pytest.mark.parametrize(("request_", "name", "expected"), CASES, ids=title)
def test_usage_adds_up_alike_whole_and_streamed(request_, name, expected):
    whole, streamed = (answer_to(request_, name, stream=stream).usage for stream in (False, True))
    assert whole is not None
    assert streamed is not None
    said = [expected.get(part, "") for part in ("text", "reasoning", "refusal", "audio")]
    said += [json.dumps(a) if isinstance(a, dict) else a for _, a in expected.get("calls", [])]
    assert whole.output_tokens == sum(len(text.split()) for text in said)
    assert whole.total == whole.input_tokens + whole.output_tokens
    if name != "messages":  # tells its reasoning tokens only where the newest models do
        assert whole.reasoning_tokens == len(expected.get("reasoning", "").split())
    assert (streamed.input_tokens, streamed.output_tokens) == (whole.input_tokens, whole.output_tokens)


def test_input_tokens_are_the_words_of_all_that_was_said():
    request = with_result(
        asking("call tool clock with zone=UTC", tools=TOOLS, instructions="be very kind"),
        ("clock", "it is noon"),
    )
    for name in DIALECTS:
        usage = answer_to(request, name, stream=False).usage
        assert usage is not None
        assert usage.input_tokens == 3 + 5 + 1 + 3


def test_history_is_told_as_the_model_sees_it():
    request = Request(
        "some-model",
        (
            Message("user", (TextPart("look"), ImagePart(data="AAAA", media_type="image/png"))),
            Message(
                "assistant", (ReasoningPart("hm", "text", Signature("s", "messages")), TextPart("I see"))
            ),
            user("echo history"),
        ),
        instructions="Be kind.",
    )
    assert summary_of(answer_to(request, "messages", stream=False))["text"] == (
        "system: Be kind.\nuser: look [image]\nassistant: [reasoning, signed: hm] I see\nuser: echo history"
    )


def test_what_came_with_the_words_is_told():
    request = Request(
        "some-model",
        (
            Message(
                "user",
                (
                    TextPart("look"),
                    ImagePart(data="AAAA", media_type="image/png"),
                    ImagePart(url="https://example.com/a.png"),
                    FilePart(data="AAAA", filename="a.pdf", media_type="application/pdf"),
                    AudioPart(data="AAAA", format="wav"),
                ),
            ),
        ),
    )
    assert summary_of(answer_to(request, "chat", stream=False))["text"] == (
        "You said: look\nYou sent 2 images, 1 file and 1 recording (a.pdf)."
    )


def test_a_long_message_is_restated_in_short():
    text = summary_of(answer_to(asking("word " * 500), "chat", stream=False))["text"]
    assert text == f"You said: {' '.join(['word'] * 30)} … (470 more words)"


def test_each_of_several_choices_is_told_and_counted():
    request = asking("say exactly: a b", sampling=Sampling(n=3))
    for stream in (False, True):
        response = answer_to(request, "chat", stream=stream)
        assert [summary_of(replace(response, choices=(choice,)))["text"] for choice in response.choices] == [
            "a b"
        ] * 3
        assert response.usage is not None
        assert response.usage.output_tokens == 6


@pytest.mark.parametrize("name", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_are_one_a_token(name, stream):
    request = asking("say exactly: one two", sampling=Sampling(logprobs=True, top_logprobs=2))
    (part,) = parts_of(answer_to(request, name, stream=stream).choices[0])
    assert isinstance(part, TextPart)
    assert part.logprobs is not None
    assert [row["token"] for row in part.logprobs] == ["one", " two"]
    assert all(row["logprob"] <= 0 and len(row["top_logprobs"]) == 2 for row in part.logprobs)


def test_reasoning_is_signed_and_the_signature_comes_back():
    for name in ("chat", "messages"):
        response = answer_to(asking("think: hm\nsay exactly: ok"), name, stream=True)
        again = Request(
            "some-model",
            (user("think: hm\nsay exactly: ok"), *response.choices[0].messages, user("echo history")),
        )
        text = summary_of(answer_to(again, name, stream=False))["text"]
        assert "[reasoning, signed: hm]" in text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("summary", "form"), [(None, "text"), ("auto", "summary")])
def test_reasoning_is_told_in_the_form_asked_for(stream, summary, form):
    request = asking("think: hm", reasoning=Reasoning("low", summary=summary))
    thought = parts_of(answer_to(request, "responses", stream=stream).choices[0])[0]
    assert isinstance(thought, ReasoningPart)
    assert (thought.form, thought.text) == (form, "hm")


def test_the_answer_to_one_request_is_always_the_same():
    request = asking(f"think: a\n{CALL_PARIS}", tools=TOOLS)
    first, second = (answer_to(request, "responses", stream=True) for _ in range(2))
    assert summary_of(first) == summary_of(second)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 418, 429, 500, 502, 503, 529])
def test_it_fails_with_the_status_asked_for(name, stream, status):
    script = script_of(asking(f"fail with {status}"), name, stream=stream)
    assert script.status == status
    error = json.loads(body_of(script))["error"]
    assert str(status) in error["message"]
    assert script.headers.get("retry-after") == ("1" if status in (429, 503) else None)


@pytest.mark.parametrize("name", DIALECTS)
def test_it_fails_midway_after_some_content(name):
    request = asking("fail midway\nsay exactly: one two three four")
    events = events_of(script_of(request, name, stream=True), request, name)
    assert isinstance(events[-1], Failed)
    assert "".join(getattr(event, "text", "") for event in events).startswith("one two")
    assert script_of(request, name, stream=False).status == 500


@pytest.mark.parametrize("name", DIALECTS)
def test_a_cut_stream_ends_without_its_terminal(name):
    request = asking("cut\nsay exactly: one two three four")
    events = events_of(script_of(request, name, stream=True), request, name)
    assert isinstance(events[-1], Failed)
    assert events[-1].error.kind.name == "upstream_cut"


def test_a_failure_may_be_meant_for_one_model_only():
    request = asking("fail with 503 for primary\nsay exactly: ok")
    assert script_of(replace(request, model="primary"), "chat", stream=False).status == 503
    assert summary_of(answer_to(replace(request, model="backup"), "chat", stream=False))["text"] == "ok"


def test_streams_keep_the_grammar_of_their_wire():
    for request, _ in EVERYWHERE:
        chunks = [
            frame.data or "[DONE]"
            for frame in sse_frames(body_of(script_of(request, "chat", stream=True)), 1 << 20)
        ]
        assert check_chat_stream(chunks) == []
        events = [
            frame.data for frame in sse_frames(body_of(script_of(request, "responses", stream=True)), 1 << 20)
        ]
        assert check_responses_stream([event for event in events if event is not None]) == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 2, "maximum": 1}, "no value"),
        ({"$ref": "#/nowhere"}, "'#/$ref=#/nowhere'"),
        ({"properties": {"a": {"if": {}}}}, "'if' at '#/properties/a'"),
    ],
)
def test_a_schema_that_nothing_fits_or_is_not_supported_is_refused(schema, words):
    with pytest.raises(GatewayError) as caught:
        answer_to(asking("hello", output=Output("schema", schema, "x")), "chat", stream=False)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json_schema")
    assert words in caught.value.message
    tool = replace(CLOCK, parameters=schema, strict=True)
    with pytest.raises(GatewayError) as caught:
        answer_to(asking("call tool clock with a=1", tools=(tool,)), "chat", stream=False)
    assert (caught.value.status, caught.value.code) == (400, "invalid_function_parameters")
    lenient = replace(tool, strict=None)
    answer = answer_to(asking("call tool clock with a=1", tools=(lenient,)), "chat", stream=False)
    assert summary_of(answer)["calls"] == [("clock", {"a": 1})]


@pytest.mark.parametrize("count", [0, 129, 10**6])
def test_too_many_choices_are_refused(count):
    body = {"model": "x", "messages": [{"role": "user", "content": "hi"}], "n": count}
    script = sandbox_script("POST", "/chat/completions", json.dumps(body).encode())
    assert script.status == 400


def test_a_strict_tool_gets_what_its_schema_wants():
    tool = replace(
        WEATHER, strict=True, parameters={**(WEATHER.parameters or {}), "additionalProperties": False}
    )
    response = answer_to(
        asking("call tool get_weather with city=Rome, days=soon, other=1", tools=(tool,)),
        "chat",
        stream=False,
    )
    ((_, arguments),) = summary_of(response)["calls"]
    jsonschema.validate(arguments, dict(tool.parameters or {}))
    assert arguments == {"city": "Rome"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"{",
        b"\xff",
        b"[" * 5000,
        b'{"messages": 5}',
        b'{"input": {"a": 1}}',
        b'{"model": 5, "messages": [{"role": "user", "content": 7}]}',
        b'{"model": "x", "messages": [{"role": "robot"}], "input": [{"type": "nothing"}]}',
        b'{"model": "x", "input": "say exactly: \\ud800"}',
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/responses",
        "/messages",
        "/completions",
        "/embeddings",
        "/audio/speech",
        "/audio/transcriptions",
        "/nowhere",
    ],
)
def test_no_body_breaks_it(path, body):
    script = sandbox_script("POST", path, body)
    assert 200 <= script.status < 500
    assert json.loads(body_of(script))


def test_no_directive_is_found_in_a_message_without_text():
    request = Request("x", (Message("user", ()),))
    context = context_of(request, "chat")
    assert dialect("chat").encode_request(request, context).body["messages"]
    assert summary_of(
        answer_to(Request("x", (Message("system", (TextPart("refuse"),)),)), "chat", stream=False)
    ) == {
        "text": "You said nothing.",
        "finish": "stop",
    }
