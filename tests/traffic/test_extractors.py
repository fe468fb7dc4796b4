"""The judge is judged: every recording has one reader, and readings agree with what a person read."""

import ast
from typing import Any

import pytest

from tests.traffic import load
from tests.traffic.answers import Answer, Failure, ToolCall, Transcript, Usage, Vectors, extract
from tests.traffic.exclusions import FAMILIES, SINGLE, exclusions, reason
from tests.traffic.frames import Frame, eventstream, ndjson, sse
from tests.traffic.load import Exchange, available, exchange, exchanges, params, require
from tests.traffic.wires import READERS

COVERED = params(item for item in exchanges() if reason(item) is None)


def answer(identifier: str) -> Answer:
    require()
    reading = extract(exchange(identifier))
    assert isinstance(reading, Answer)
    return reading


def vectors(identifier: str) -> Vectors:
    require()
    reading = extract(exchange(identifier))
    assert isinstance(reading, Vectors)
    return reading


# --- every recording -------------------------------------------------------------------------------


@pytest.mark.parametrize("recording", COVERED)
def test_every_recording_that_is_not_excluded_is_read(recording: Exchange) -> None:
    outcome = extract(recording)
    assert (recording.status >= 400) <= (outcome.error is not None)
    if outcome.error and recording.kind != "none":
        assert outcome.error.message
        assert outcome.error.status == recording.status or recording.status == 200
    if isinstance(outcome, Vectors) and not outcome.error:
        assert outcome.count >= 1 <= outcome.dimension
    if isinstance(outcome, Answer) and not outcome.error:
        check_features(recording, outcome)


def check_features(recording: Exchange, found: Answer) -> None:
    """What the recording's index of features promises must be in the reading, and the other way round."""
    choices, features = found.choices, recording.features
    held = {
        "n>1": len(choices) > 1,
        "usage": found.usage is not None or not choices,
        "refusal": any(choice.refusal or choice.finish_raw == "refusal" for choice in choices),
        "tool_call": any(choice.tool_calls or choice.opaque for choice in choices),
    }
    assert {name: held[name] for name in held if name in features and not held[name]} == {}
    if choices and choices[0].finish_raw in ("stop", "end_turn", "completed", "STOP", "COMPLETE"):
        assert any(substance(choice) for choice in choices) or recording.id in SILENT
    for choice in choices:
        for call in choice.tool_calls:
            assert call.name
            assert call.kind != "function" or isinstance(call.arguments, dict) or call.arguments is None


SILENT = {"openrouter-chat_completion-310759d7da6a"}  # content null, finish stop: as served


def substance(choice: Any) -> bool:
    return bool(choice.text or choice.tool_calls or choice.refusal or choice.opaque or choice.media)


@pytest.mark.parametrize("recording", params(i for i in exchanges() if i.streamed and reason(i) is None))
def test_the_sse_splitter_reads_lf_cr_and_crlf_alike(recording: Exchange) -> None:
    if recording.kind != "sse":
        assert eventstream(recording.content())
        return
    plain = recording.content().replace(b"\r\n", b"\n")
    frames = sse(plain)
    assert frames
    assert sse(plain.replace(b"\n", b"\r\n")) == frames
    assert sse(plain.replace(b"\n", b"\r")) == frames
    assert sse(recording.content()) == frames


def test_an_exchange_has_a_reader_or_a_reason_and_no_reason_is_idle() -> None:
    require()
    apis = {item.api for item in exchanges()}
    assert apis <= READERS.keys() | FAMILIES.keys()
    assert not READERS.keys() & FAMILIES.keys()
    assert apis >= READERS.keys() | FAMILIES.keys()
    assert {item.id for item in exchanges()} >= SINGLE.keys()
    assert len(exclusions()) < len(exchanges()) / 10
    assert all(why for _, why in exclusions())


def test_the_recordings_are_many_and_filters_pick_from_them() -> None:
    require()
    assert available()
    assert len(exchanges()) > 700
    assert {item.provider for item in exchanges(providers=["groq"])} == {"groq"}
    assert {item.api for item in exchanges(apis=["vertex.*"])} == {
        "vertex.anthropic.messages",
        "vertex.predict",
    }
    assert {item.operation for item in exchanges(operations=["speech"])} == {"speech"}
    with pytest.raises(KeyError):
        exchange("no-such-recording")


RESPONSES = ["openai.responses", "azure.openai.responses", "openrouter.openai.responses"]


def test_the_judge_imports_nothing_of_the_gateway_but_the_grammars_of_streams() -> None:
    """``app.conformance`` judges other servers, too; the house rules keep it apart from what makes streams."""
    folder = load.ROOT / "tests" / "traffic"
    for source in folder.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
        named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        named += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        ours = [name for name in named if name.split(".")[0] == "app"]
        assert [name for name in ours if not f"{name}.".startswith("app.conformance.")] == [], source


def test_missing_recordings_skip_at_home_and_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "FOLDER", load.ROOT / "no-such-folder")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("SLUICE_CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        load.require()
    assert load.absent().marks
    for name, value in (("CI", "true"), ("SLUICE_CI", "1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(pytest.fail.Exception):
                load.require()
            assert not load.absent().marks


# --- two roads to one value ------------------------------------------------------------------------


@pytest.mark.parametrize("recording", params(i for i in exchanges(RESPONSES) if i.streamed))
def test_a_responses_stream_says_by_deltas_what_its_terminal_object_says(recording: Exchange) -> None:
    from tests.traffic.frames import payloads
    from tests.traffic.wires.responses import from_events, from_object

    events = payloads(recording.content())
    terminal = [event["response"] for event in events if event["type"] in TERMINAL]
    if len(terminal) != 1:
        assert recording.id in SINGLE
        return
    joined, whole = from_events(events), from_object(terminal[0])
    for member in ("text", "refusal", "reasoning", "summaries", "tool_calls", "citations", "opaque"):
        assert getattr(joined.choice(), member) == getattr(whole.choice(), member), member


TERMINAL = ("response.completed", "response.incomplete", "response.failed")
MESSAGES = ["anthropic.messages", "azure.anthropic.messages", "vertex.anthropic.messages"]


@pytest.mark.parametrize("recording", params(i for i in exchanges(MESSAGES) if i.streamed))
def test_messages_usage_is_cumulative_so_the_last_number_is_also_the_largest(recording: Exchange) -> None:
    from tests.traffic.frames import payloads

    events = payloads(recording.content())
    first = next(event["message"]["usage"] for event in events if event["type"] == "message_start")
    last = [event["usage"] for event in events if event["type"] == "message_delta"][-1]
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert last.get(name, first.get(name)) == max(last.get(name, 0), first.get(name, 0))


CACHED_APART = {"azure.inference.chat": "Grok behind Azure reports more cached than prompt tokens"}
SUMS_APART = {
    "mistral-transcription-9aa6c13135f9": "Mistral leaves audio tokens out of prompt_tokens",
    "gemini-chat_completion-386a222c54ad": "Google's OpenAI surface leaves thoughts out of completion_tokens",
    "mistral-chat_completion-ed59f29fbac3": "Mistral leaves audio tokens out of prompt_tokens",
}


@pytest.mark.parametrize(
    "recording", [p for p in COVERED if p.id != "traffic-missing" and "usage" in p.values[0].features]
)
def test_normalised_input_and_output_add_up_to_the_total_that_the_wire_says(recording: Exchange) -> None:
    usage = getattr(extract(recording), "usage", None)
    if usage is None or None in (usage.input, usage.output, usage.total) or recording.id in SUMS_APART:
        return
    assert usage.input + usage.output == usage.total
    if recording.api not in CACHED_APART:
        assert (usage.cached or 0) + (usage.cache_write or 0) <= usage.input


# --- read by a person --------------------------------------------------------------------------------


def test_chat_by_hand() -> None:
    streamed = answer("openai-chat_completion_stream-2973750d78f7")
    assert streamed.id == "chatcmpl-DcaU5cAdvcx6yFgAxroVKOc5DaGOL"
    assert streamed.model == "gpt-5.4-2026-03-05"
    assert streamed.choice().tool_calls == [ToolCall("call_bLP743M1TSxf0G53mH0qLJef", "get_date", {})]
    assert streamed.choice().finish_raw == "tool_calls"
    assert streamed.usage is not None
    assert (streamed.usage.input, streamed.usage.output, streamed.usage.total) == (207, 13, 220)

    custom = answer("openai-chat_completion-9f5d29b25a1c")
    assert custom.choice().tool_calls == [
        ToolCall("call_QpgJRI5C9DcjExMNU6lrJPcu", "math_exp", "4 + 4", "custom")
    ]
    assert custom.usage is not None
    assert custom.usage.reasoning == 192

    two = answer("openai-chat_completion_stream-d4eecdce9407")
    assert [(c.index, c.text, c.finish_raw) for c in two.choices] == [(0, "c", "length"), (1, "c", "length")]


def test_chat_dialects_of_other_providers_by_hand() -> None:
    groq = answer("groq-chat_completion_stream-2ccacb824ded")
    arguments = {"age": 32, "name": "Alex Thompson", "occupation": "software engineer"}
    assert groq.choice().tool_calls == [
        ToolCall("functions.structured_output:0", "structured_output", arguments)
    ]
    assert groq.usage is not None
    assert (groq.usage.input, groq.usage.output, groq.usage.total) == (169, 33, 202)

    failed = answer("groq-chat_completion_stream-b2f34518007c")
    assert failed.choice().text == "maybe"
    assert failed.error == Failure(
        400,
        "Tool choice is required, but model did not call a tool",
        "tool_use_failed",
        "invalid_request_error",
    )

    perplexity = answer("perplexity-chat_completion-f900a02059fe")
    assert perplexity.text == "5 + 3 = **8**."
    assert len(perplexity.choice().citations) == 6
    assert perplexity.choice().citations[1] == "https://www.youtube.com/watch?v=ovQqzTZXuEs"
    assert perplexity.usage is not None
    assert perplexity.usage.cost == 0.00609

    router = answer("openrouter-chat_completion-6519b26213c0")
    assert router.text == "ok"
    assert router.choice().reasoning.startswith(
        'The user is asking me to reply with just the single word "ok".'
    )
    assert [signature[:12] for signature in router.choice().signatures] == ["EuQCCkgIDRAB"]
    assert router.usage is not None
    assert (router.usage.reasoning, router.usage.cost) == (47, 0.000894)


def test_mistral_by_hand() -> None:
    thinking = answer("mistral-chat_completion-6b13078d808e")
    assert thinking.text == "5 + 3 equals 8."
    assert thinking.choice().reasoning == (
        "The user is asking for the sum of 5 and 3. This is a straightforward arithmetic problem."
    )
    assert answer("mistral-chat_completion-281660f5261d").error == Failure(
        400, "Invalid model: mistral-does-not-exist", "1500", "invalid_model"
    )
    assert answer("mistral-chat_completion-335c7958dccb").error == Failure(401, "Invalid API Key")
    assert answer("mistral-chat_completion-d082b61ab62c").error == Failure(
        429, "Requests rate limit exceeded"
    )


def test_responses_by_hand() -> None:
    call = answer("openai-responses_stream-c6c50e37d3a1")
    assert call.id == "resp_04696de197f830510068e45a2fd474819993c2a5f41c92bcc4"
    assert call.choice().tool_calls == [ToolCall("call_iGowK2AdAmOrFtAYh1M2bXEN", "structured_output", {})]
    assert call.usage is not None
    assert (call.usage.input, call.usage.output, call.usage.total) == (40, 2, 42)

    shell = answer("openai-responses_stream-c6c7e8c57d23")
    assert (shell.choice().opaque, shell.choice().summaries, shell.text) == (["local_shell_call"], [], "")
    assert shell.usage is not None
    assert shell.usage.reasoning == 128

    refused = answer("openai-responses-8a112ba8ee9f")
    assert refused.choice().refusal == "I'm sorry, I can't assist with that."
    assert (refused.text, refused.status) == ("", "completed")

    llama = answer("openai-responses-f74132d1d1f9")
    assert llama.choice().reasoning == (
        "The user asked for current weather, so I need to call get_weather before answering."
    )
    assert llama.choice().signatures == ["encrypted_content_REDACTED_1"]
    assert llama.choice().tool_calls == [ToolCall("call_REDACTED_1", "get_weather", {"city": "Tokyo, Japan"})]

    router = answer("openrouter-responses-3d0c35ce8a4c")
    assert router.text == "OpenRouter functions correctly via the OpenAI Responses provider."
    assert router.usage is not None
    assert (router.usage.cost, router.usage.total) == (4.05e-05, 31)

    broken = answer("openai-responses_stream-f5b25b626098")
    assert (broken.status, broken.error and broken.error.code) == ("failed", "insufficient_quota")


def test_messages_by_hand() -> None:
    call = answer("anthropic-chat_completion_stream-e83afe7e7d35")
    assert call.choice().tool_calls == [
        ToolCall("toolu_01G1V5xzPYXZ2XTDfpbZfo5n", "get_book_info", {"isbn": "0-7653-1178-X"})
    ]
    assert call.choice().finish_raw == "tool_use"
    assert call.usage is not None
    assert (call.usage.input, call.usage.output, call.usage.total) == (589, 48, 637)

    advised = answer("anthropic-chat_completion_stream-2900483a8f9f")
    assert advised.text == (
        'The task asks "What\'s 2+2?" — a trivial arithmetic question; my initial read is that the answer is '
        "simply 4, but I'll consult the advisor as instructed before finalizing.The answer is **4**."
    )
    assert advised.choice().opaque == ["server_tool_use", "advisor_tool_result"]
    assert [signature[:10] for signature in advised.choice().signatures] == ["EpADCokBCA"]
    assert advised.usage is not None
    assert advised.usage.input == 2411

    usage = answer("anthropic-chat_completion-4c52a92dd758").usage
    assert usage is not None
    assert (usage.input, usage.cached, usage.cache_write, usage.total) == (1076, 0, 1069, 1136)

    hidden = answer("anthropic-chat_completion-0299e4516e47")
    assert (hidden.text, hidden.choice().signatures) == ("OK", ["redacted_thinking_REDACTED_1"])
    assert answer("anthropic-chat_completion_stream-b98aa6715bd3").error == Failure(
        529, "Overloaded", None, "overloaded_error"
    )


def test_gemini_by_hand() -> None:
    calls = answer("vertex-chat_completion_stream-593506a621b8")
    assert calls.choice().tool_calls == [
        ToolCall(None, "add", {"a": 2, "b": 3}),
        ToolCall(None, "multiply", {"a": 2, "b": 3}),
    ]
    assert len(calls.choice().signatures) == 1
    assert calls.usage is not None
    assert (calls.usage.input, calls.usage.output, calls.usage.total) == (57, 52, 109)

    sure = answer("vertex-chat_completion-a40420077b26")
    assert (sure.text, sure.choice().logprobs, sure.choice().finish_raw) == ("2 + 2 = 4", 7, "STOP")

    executed = answer("gemini-chat_completion-c8784e5d3d52")
    assert executed.choice().opaque == ["executableCode", "codeExecutionResult"]
    assert executed.text == "54173879"
    assert executed.usage is not None
    assert (executed.usage.input, executed.usage.output, executed.usage.cached) == (
        1107 + 1171,
        21 + 41,
        1081,
    )

    blocked = answer("vertex-chat_completion_stream-ed5f07294b16")
    assert (blocked.choices, blocked.status) == ([], "SAFETY")
    error = answer("gemini-chat_completion_stream-f43c805fedc6").error
    assert error == Failure(400, "API key not valid. Please pass a valid API key.", "400", "INVALID_ARGUMENT")


def test_converse_by_hand() -> None:
    dice = answer("bedrock-chat_completion-d97fcbf5f796")
    assert [(call.id, call.name, call.arguments) for call in dice.choice().tool_calls] == [
        ("tooluse_KGkwW6RLa3r1oGyLaekMWX", "dice_roll", {}),
        ("tooluse_RxTEFUCDcU0b100USoALao", "dice_roll", {}),
        ("tooluse_0hXOsJ2KJs7RznhtuvIN0z", "dice_roll", {}),
    ]
    greeted = answer("bedrock-chat_completion_stream-409c7d21336b")
    assert greeted.choice().reasoning.startswith(
        'The user has greeted me with a simple "Hello". I should respond'
    )
    assert len(greeted.choice().signatures) == 1
    assert greeted.choice().finish_raw == "end_turn"
    assert greeted.usage is not None
    assert (greeted.usage.input, greeted.usage.output, greeted.usage.total) == (36, 73, 109)

    image = answer("bedrock-chat_completion-0d579786cd73").usage
    assert image is not None
    assert (image.input, image.output, image.cache_write, image.total) == (2077, 288, 2074, 2365)

    searched = answer("bedrock-chat_completion_stream-88af36856bc1").choice()
    assert (searched.opaque, searched.tool_calls) == (["server_tool_use", "toolResult"], [])
    assert searched.citations[1] == "https://mac.install.guide/ruby/"


def test_cohere_by_hand() -> None:
    call = answer("cohere-chat_completion_stream-619af41f3084")
    assert call.id == "a7e48140-56c7-47e1-930a-26a8987e7d47"
    assert call.choice().tool_calls == [
        ToolCall("best_language_to_learn_wgdyg5frjc39", "best_language_to_learn", {})
    ]
    assert call.choice().finish_raw == "TOOL_CALL"
    assert call.usage is not None
    assert (call.usage.input, call.usage.output, call.usage.cached) == (1591, 38, 992)

    planned = answer("cohere-chat_completion-0cb893a799e0").choice()
    assert planned.reasoning == (
        "I have found that Barack Obama is 60 years old. I will now use Python to find the square root of 60."
    )
    assert planned.tool_calls[0].arguments["code"].startswith("import math\n\nage = 60")

    assert answer("cohere-chat_completion_stream-82822a4161ff").error == Failure(
        200,
        "your request resulted in an invalid tool generation. Try updating the messages or tool definitions",
        None,
        "INVALID_TOOL_GENERATION",
    )


def test_completions_by_hand() -> None:
    two = answer("openai-text_completion-75043221fcd0")
    assert [(choice.text, choice.finish_raw) for choice in two.choices] == [
        (", relax!” I said to my laptop", "length"),
        (" (1", "stop"),
    ]
    assert answer("sgl-text_completion-db7c1af91683").text == "!" * 30
    mistral = answer("bedrock-chat_completion-268ca7a49ef9")
    assert mistral.text == "\n\nA man stands before a crowd of people"
    assert mistral.choice().finish_raw == "length"
    titan = answer("bedrock-chat_completion-f2b0496014af")
    assert titan.text == "\nThe four cardinal directions are north, south, east, and west."
    assert titan.usage == Usage(8, 15, 23)
    llama = answer("bedrock-chat_completion_stream-6212c2f60921")
    assert llama.text.startswith("\n\nThe four cardinal directions are:")
    assert llama.usage == Usage(9, 26, 35)


def test_embeddings_by_hand() -> None:
    plain = vectors("openai-embedding-613138a78b92")
    assert (plain.count, plain.dimension) == (1, 256)
    assert plain.starts == [[-0.0039325873, -0.092870116, 0.039631173]]
    coded = vectors("openai-embedding-77ada0d843e4")
    assert coded.dimension == 1536
    assert coded.starts[0][0] == pytest.approx(-0.0315463543)
    small = vectors("perplexity-embedding-35525cc00516")
    assert (small.count, small.dimension, small.starts[0]) == (3, 256, [-41.0, -1.0, 0.0])
    assert vectors("gemini-embedding-f5bcd2b14241").starts == [[0.11, 0.22, 0.33]]
    google = vectors("vertex-embedding-f8c784910bff")
    assert (google.count, google.usage) == (3, Usage(input=4, total=4))
    assert vectors("bedrock-embedding-e27a097514e8").starts == [[-0.033675402, 0.039512474, -0.05238396]]
    assert vectors("cohere-embedding-058f06ac44ed").starts == [[0.02832291, 0.019051284, -0.016511114]]


def test_small_operations_by_hand() -> None:
    require()
    read = {
        "cohere-list_models-172a30e246c5": ("ids", ["command-r"]),
        "cohere-count_tokens-9beb6e172961": ("tokens", 4),
        "bedrock-count_tokens-4909a8adce16": ("tokens", 19),
        "vertex-count_tokens-8b10a27b2787": ("tokens", 6),
        "openai-count_tokens-10912a19014d": ("tokens", 15),
        "mistral-speech-9e2ddb37605f": ("head", b"ID3\x04\x00\x00\x00\x00"),
        "openai-speech_stream-f1040a8a4ee4": ("length", 10),
        "openai-transcription-39c4aa3d0471": ("text", "Hello friend."),
        "elevenlabs-transcription-741b3a1cf0e4": ("text", "Hello from the Vercel AI SDK."),
        "openrouter-transcription-feb416736ded": (
            "text",
            "The sun was setting slowly, casting long shadows across the empty field.",
        ),
    }
    assert {
        name: (member, getattr(extract(exchange(name)), member)) for name, (member, _) in read.items()
    } == read
    tags: Any = extract(exchange("ollama-list_models-82626b260062"))
    assert tags.ids[0] == "all-minilm:latest"
    timed = extract(exchange("groq-transcription-c1c0602adedb"))
    assert timed == Transcript(None, "Complex transcription with metadata.", "en", 2, 0, 5.2)
    diarised = extract(exchange("openai-transcription_stream-aebea9b3f622"))
    assert isinstance(diarised, Transcript)
    assert diarised.text == "Ruby is a programming language designed for developer happiness."
    assert diarised.usage is not None
    assert (diarised.segments, diarised.usage.output) == (1, 145)


def test_errors_of_odd_shapes_by_hand() -> None:
    assert answer("azure-chat_completion-47e7cf48935e").error == Failure(
        400,
        "The response was filtered due to the prompt triggering Azure Content management policy. Please modify "
        "your prompt and retry. To learn more about our content filtering policies please read our documentation: "
        "https://go.microsoft.com/fwlink/?linkid=21298766",
        "content_filter",
        None,
        "prompt",
    )
    assert answer("cerebras-chat_completion-2d2d8bf37b6b").error == Failure(
        429,
        "Requests per minute limit exceeded - too many requests sent.",
        "request_quota_exceeded",
        "too_many_requests_error",
        "quota",
    )
    assert answer("bedrock-chat_completion-725ca6043b73").error == Failure(
        403, "The security token included in the request is expired", None, "ExpiredTokenException"
    )
    broken = answer("openrouter-chat_completion_stream-bc10a10eee4e").error
    assert broken == Failure(502, "Provider returned error", "502")
    assert answer("openai-chat_completion_stream-01a022450fc3").error == Failure(500, "")
    quota = extract(exchange("elevenlabs-speech-27ec4152dea6")).error
    assert (quota and quota.status, quota and quota.type) == (401, "quota_exceeded")


# --- the splitters -----------------------------------------------------------------------------------


def test_sse_follows_the_standard() -> None:
    body = b"\xef\xbb\xbf: comment\r\nevent: a\ndata: one\ndata:  two\rid: 7\n\n\ndata\n\ndata:last\xe2\x80\xa8line"
    assert sse(body) == [Frame("a", "one\n two"), Frame("", ""), Frame("", "last\u2028line")]


def test_ndjson_is_one_object_a_line() -> None:
    assert ndjson(b'{"a":1}\r\n\n{"b":"\xc2\x85"}') == [{"a": 1}, {"b": "\x85"}]


def test_an_event_stream_with_a_wrong_byte_is_refused() -> None:
    require()
    body = exchange("bedrock-chat_completion_stream-409c7d21336b").content()
    assert eventstream(body)[0].headers[":event-type"] == "messageStart"
    for position in (1, 5, 40, 140):
        with pytest.raises(ValueError, match="checksum|unpack"):
            eventstream(body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :])
