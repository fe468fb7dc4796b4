"""openai-python drives the gateway: every call a user of the SDK makes, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel

from app.providers.sandbox.audio import wav_file
from app.providers.sandbox.images import draw
from tests.behaviour.world import World
from tests.clients.conftest import KEY
from tests.traffic.replay import Reply

MODEL = "sandbox/echo"
WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
CHAT_TOOL: Any = {"type": "function", "function": WEATHER}
RESPONSES_TOOL: Any = {"type": "function", "strict": True, **WEATHER}


class Person(BaseModel):
    """What structured output is asked to fit."""

    name: str
    age: int


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[OpenAI]:
    """The SDK as users make it, but without retries."""
    with OpenAI(base_url=base_url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made


def user_messages(text: str) -> list[Any]:
    """Return one user message of chat."""
    return [{"role": "user", "content": text}]


# --- Responses ----------------------------------------------------------------------------------


def test_a_response_is_created_continued_fetched_and_deleted(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input="say exactly: My name is Ann")
    assert first.output_text == "My name is Ann"
    assert first.status == "completed"
    assert first.id.startswith("resp_")
    second = client.responses.create(model=MODEL, input="echo history", previous_response_id=first.id)
    assert "My name is Ann" in second.output_text
    assert client.responses.retrieve(first.id).output_text == "My name is Ann"
    listed = client.responses.input_items.list(first.id)
    assert [item.type for item in listed] == ["message"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_response_streams_event_by_event(client: OpenAI) -> None:
    with client.responses.create(model=MODEL, input="say exactly: one two three", stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "one two three"
    assert events[-1].response.output_text == text


@pytest.mark.parametrize(
    "prompt",
    ["say exactly: good morning", "think: is it morning?", "call tool get_weather with city=Rome, days=2"],
)
def test_the_stream_helper_keeps_its_own_rules(client: OpenAI, prompt: str) -> None:
    with client.responses.stream(model=MODEL, input=prompt, tools=[RESPONSES_TOOL]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert final.status == "completed"
    assert final.usage is not None
    assert final.usage.total_tokens == final.usage.input_tokens + final.usage.output_tokens


def test_a_response_fits_a_pydantic_model(client: OpenAI) -> None:
    parsed = client.responses.parse(model=MODEL, input="fill name=Ann, age=30", text_format=Person)
    assert parsed.output_parsed == Person(name="Ann", age=30)
    with client.responses.stream(model=MODEL, input="fill name=Bob, age=4", text_format=Person) as stream:
        final = stream.get_final_response()
    assert final.output_parsed == Person(name="Bob", age=4)


def test_a_tool_is_called_and_its_result_read(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "call tool get_weather with city=Rome, days=2"}]
    first = client.responses.create(model=MODEL, input=asked, tools=[RESPONSES_TOOL])
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Rome", "days": 2}
    history = [
        *asked,
        *[item.to_dict() for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "It rains"},
    ]
    second = client.responses.create(model=MODEL, input=history, tools=[RESPONSES_TOOL])
    assert "It rains" in second.output_text


def test_a_background_response_is_polled_streamed_and_cancelled(client: OpenAI) -> None:
    queued = client.responses.create(model=MODEL, input="take 30 seconds", background=True)
    assert queued.status in ("queued", "in_progress")
    assert client.responses.retrieve(queued.id).status in ("queued", "in_progress")
    assert client.responses.cancel(queued.id).status == "cancelled"
    with client.responses.create(
        model=MODEL, input="say exactly: later", background=True, stream=True
    ) as stream:
        events = list(stream)
    assert events[-1].type == "response.completed"
    again = client.responses.retrieve(events[-1].response.id, stream=True, starting_after=1)
    with again as rest:
        assert [event.sequence_number for event in rest] == list(range(2, len(events)))


def test_the_query_and_prompt_calls_of_responses(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="think: deep, then answer")
    with_include = client.responses.retrieve(response.id, include=["reasoning.encrypted_content"])
    assert with_include.id == response.id
    counted = client.responses.input_tokens.count(model=MODEL, input="one two three")
    assert counted.input_tokens >= 3
    compacted = client.responses.compact(model=MODEL, input="Remember the word banana.")
    assert compacted.output[-1].type == "compaction"
    onward: Any = [item.to_dict() for item in compacted.output]
    assert (
        client.responses.create(model=MODEL, input=[*onward, *user_messages("hello")]).status == "completed"
    )


def test_conversations_hold_turns(client: OpenAI) -> None:
    conversation = client.conversations.create(
        metadata={"topic": "names"}, items=[{"type": "message", "role": "user", "content": "I am Ann"}]
    )
    answer = client.responses.create(model=MODEL, input="echo history", conversation=conversation.id)
    assert "I am Ann" in answer.output_text
    items = list(client.conversations.items.list(conversation.id, order="asc"))
    assert [getattr(item, "role", None) for item in items] == ["user", "user", "assistant"]
    assert client.conversations.items.retrieve(items[0].id, conversation_id=conversation.id).id == items[0].id
    assert (
        client.conversations.items.delete(items[0].id, conversation_id=conversation.id).id == conversation.id
    )
    added = client.conversations.items.create(
        conversation.id, items=[{"type": "message", "role": "user", "content": "and more"}]
    )
    assert len(added.data) == 1
    assert client.conversations.update(conversation.id, metadata={"topic": "x"}).metadata == {"topic": "x"}
    assert client.conversations.retrieve(conversation.id).id == conversation.id
    assert client.conversations.delete(conversation.id).deleted


def test_the_helper_picks_a_background_stream_up_again(client: OpenAI) -> None:
    asked: Any = {"model": MODEL, "input": "say exactly: one two three", "background": True, "stream": True}
    events = list(client.responses.create(**asked))
    response_id = events[0].response.id
    with client.responses.stream(response_id=response_id) as stream:
        assert [event.type for event in stream] == [event.type for event in events]
        assert stream.get_final_response().output_text == "one two three"
    with client.responses.stream(response_id=response_id, starting_after=4) as rest:
        assert [event.sequence_number for event in rest] == list(range(5, len(events)))


def test_a_pydantic_tool_is_parsed_on_both_surfaces(client: OpenAI) -> None:
    tools: Any = [openai.pydantic_function_tool(Person)]
    prompt = "call tool Person with name=Ann, age=30"
    response = client.responses.parse(model=MODEL, input=prompt, tools=tools)
    parsed = [item.parsed_arguments for item in response.output if item.type == "function_call"]
    assert parsed == [Person(name="Ann", age=30)]
    chat = client.chat.completions.parse(model=MODEL, messages=user_messages(prompt), tools=tools)
    (call,) = chat.choices[0].message.tool_calls or ()
    assert call.function.parsed_arguments == Person(name="Ann", age=30)


# --- chat completions ---------------------------------------------------------------------------


def test_a_chat_completion_and_its_stream(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=user_messages("say exactly: hello there"))
    assert whole.choices[0].message.content == "hello there"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=user_messages("say exactly: hello there"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello there"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_the_chat_stream_helper_and_parse(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=user_messages("fill name=Ann, age=30"), response_format=Person
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.parsed == Person(name="Ann", age=30)
    parsed = client.chat.completions.parse(
        model=MODEL, messages=user_messages("fill name=Bob, age=4"), response_format=Person
    )
    assert parsed.choices[0].message.parsed == Person(name="Bob", age=4)


def test_chat_calls_tools_whole_and_streamed(client: OpenAI) -> None:
    asked = user_messages("call tool get_weather with city=Rome, days=2")
    whole = client.chat.completions.create(model=MODEL, messages=asked, tools=[CHAT_TOOL])
    assert whole.choices[0].finish_reason == "tool_calls"
    (call,) = whole.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Rome", "days": 2}
    with client.chat.completions.stream(model=MODEL, messages=asked, tools=[CHAT_TOOL]) as stream:
        final = stream.get_final_completion()
    (streamed,) = final.choices[0].message.tool_calls or ()
    assert json.loads(streamed.function.arguments) == {"city": "Rome", "days": 2}
    history = [
        *asked,
        whole.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "It rains"},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=history, tools=[CHAT_TOOL])
    assert "It rains" in (answer.choices[0].message.content or "")


def test_several_choices_whole_and_streamed(client: OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": user_messages("say exactly: a b"), "n": 2}
    whole = client.chat.completions.create(**asked)
    assert [choice.message.content for choice in whole.choices] == ["a b", "a b"]
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["a b", "a b"]


def test_text_completions_whole_and_streamed(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt="say exactly: done")
    assert whole.choices[0].text == "done"
    streamed = client.completions.create(model=MODEL, prompt="say exactly: done", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == "done"


# --- other operations ---------------------------------------------------------------------------


def test_embeddings_in_the_sdks_base64_and_as_floats(client: OpenAI) -> None:
    coded = client.embeddings.create(model="sandbox/embed", input=["one", "two"])
    plain = client.embeddings.create(model="sandbox/embed", input=["one", "two"], encoding_format="float")
    assert [row.index for row in coded.data] == [0, 1]
    for left, right in zip(coded.data, plain.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)
    assert coded.data[0].embedding != coded.data[1].embedding


def test_speech_as_bytes_as_a_streamed_file_and_as_events(client: OpenAI) -> None:
    asked: Any = {"model": "sandbox/tts", "voice": "alloy", "input": "good morning", "response_format": "wav"}
    whole = client.audio.speech.create(**asked).read()
    with wave.open(io.BytesIO(whole)) as sound:
        assert sound.getframerate() > 0
    with client.audio.speech.with_streaming_response.create(**asked) as streamed:
        assert streamed.headers["content-type"].startswith("audio/")
        assert b"".join(streamed.iter_bytes()) == whole
    with client.audio.speech.with_streaming_response.create(**asked, stream_format="sse") as events:
        lines = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: {")]
    assert {line["type"] for line in lines[:-1]} == {"speech.audio.delta"}
    assert lines[-1]["type"] == "speech.audio.done"


def test_transcription_in_every_form(client: OpenAI) -> None:
    spoken = client.audio.speech.create(
        model="sandbox/tts", voice="alloy", input="good morning", response_format="wav"
    ).read()
    file = ("speech.wav", spoken)
    plain = client.audio.transcriptions.create(model="sandbox/stt", file=file)
    assert plain.text
    verbose = client.audio.transcriptions.create(
        model="sandbox/stt", file=file, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert verbose.text == plain.text
    assert verbose.duration > 0
    lines: Any = client.audio.transcriptions.create(model="sandbox/stt", file=file, response_format="text")
    assert lines.strip() == plain.text
    cues: Any = client.audio.transcriptions.create(model="sandbox/stt", file=file, response_format="vtt")
    assert cues.startswith("WEBVTT")
    assert plain.text in cues
    subtitles: Any = client.audio.transcriptions.create(model="sandbox/stt", file=file, response_format="srt")
    assert "-->" in subtitles
    events = list(client.audio.transcriptions.create(model="sandbox/stt", file=file, stream=True))
    assert events[-1].type == "transcript.text.done"
    assert (
        "".join(e.delta for e in events if e.type == "transcript.text.delta") == events[-1].text == plain.text
    )


def test_translation_in_every_form(client: OpenAI) -> None:
    spoken = client.audio.speech.create(
        model="sandbox/tts", voice="alloy", input="good morning", response_format="wav"
    ).read()
    asked: Any = {"model": "sandbox/stt", "file": ("speech.wav", spoken)}
    assert client.audio.translations.create(**asked).text == "good morning"
    verbose = client.audio.translations.create(**asked, response_format="verbose_json")
    assert (verbose.text, verbose.language, verbose.duration > 0) == ("good morning", "english", True)
    assert verbose.segments is not None
    assert [segment.text for segment in verbose.segments] == ["good morning"]
    lines: Any = client.audio.translations.create(**asked, response_format="text")
    assert lines.strip() == "good morning"
    cues: Any = client.audio.translations.create(**asked, response_format="vtt")
    assert cues.startswith("WEBVTT")
    subtitles: Any = client.audio.translations.create(**asked, response_format="srt")
    assert "00:00:00,000 --> 00:00:00," in subtitles
    with pytest.raises(openai.BadRequestError, match="diarized_json"):
        client.audio.translations.create(**asked, response_format="diarized_json")


def test_pictures_are_drawn_edited_and_varied(client: OpenAI) -> None:
    made = client.images.generate(model=MODEL, prompt="a red barn", size="64x64", n=2)
    assert made.data is not None
    first, second = (base64.b64decode(one.b64_json or "") for one in made.data)
    assert first.startswith(b"\x89PNG")
    assert first != second
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    edited = client.images.edit(
        model=MODEL, image=[first, second], mask=first, prompt="a blue barn", size="64x64"
    )
    assert edited.data is not None
    assert base64.b64decode(edited.data[0].b64_json or "").startswith(b"\x89PNG")
    varied = client.images.create_variation(model=MODEL, image=first, n=2, response_format="url")
    assert varied.data is not None
    assert all((one.url or "").startswith("data:image/png;base64,") for one in varied.data)
    with pytest.raises(openai.BadRequestError, match="not an image"):
        client.images.edit(model=MODEL, image=b"not one", prompt="a barn")


def test_pictures_stream_event_by_event(client: OpenAI) -> None:
    asked: Any = {
        "model": MODEL,
        "prompt": "a red barn",
        "size": "64x64",
        "stream": True,
        "partial_images": 2,
    }
    drawn = list(client.images.generate(**asked))
    assert [event.type for event in drawn] == [
        *["image_generation.partial_image"] * 2,
        "image_generation.completed",
    ]
    assert drawn[-1].usage.output_tokens > 0
    edited = list(client.images.edit(**asked, image=base64.b64decode(drawn[-1].b64_json)))
    assert [event.type for event in edited] == [*["image_edit.partial_image"] * 2, "image_edit.completed"]


def test_texts_and_pictures_are_moderated(client: OpenAI) -> None:
    answer = client.moderations.create(model="sandbox/judge", input=["a quiet walk", "I will kill you"])
    calm, threat = answer.results
    assert (calm.flagged, threat.flagged) == (False, True)
    assert threat.categories.harassment_threatening
    assert 0.5 <= threat.category_scores.violence <= 1
    assert threat.category_applied_input_types.sexual_minors == ["text"]
    picture: Any = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    both = client.moderations.create(
        model="sandbox/judge", input=[{"type": "text", "text": "hello"}, picture]
    )
    assert len(both.results) == 1
    assert both.results[0].category_applied_input_types.violence == ["text", "image"]
    raw = client.moderations.with_raw_response.create(model="sandbox/judge", input="hello")
    assert (raw.headers["x-sluice-provider"], raw.headers["x-sluice-model"]) == ("sandbox", "judge")
    with pytest.raises(openai.BadRequestError, match="does not support the operation"):
        client.moderations.create(model="anthropic/claude-sonnet-4-5", input="hello")


def test_models_are_listed_and_found(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list(extra_query={"provider": "sandbox"})]
    assert ids
    assert all(name.startswith("sandbox/") for name in ids)
    assert client.models.retrieve(ids[0]).id == ids[0]


def test_the_raw_response_shows_our_headers(client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model=MODEL, input="hi")
    assert raw.parse().status == "completed"
    assert raw.headers["x-sluice-provider"] == "sandbox"
    assert raw.headers["x-sluice-model"] == "echo"
    assert raw.headers["cache-control"] == "no-store"
    assert raw.request_id == raw.headers["x-request-id"]


# --- errors and retries -------------------------------------------------------------------------

ERRORS = {
    400: openai.BadRequestError,
    401: openai.InternalServerError,  # the provider's key is the operator's business: 502
    403: openai.InternalServerError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("status", ERRORS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_error_is_the_sdks_class_by_status(client: OpenAI, status: int, stream: bool) -> None:
    with pytest.raises(ERRORS[status]) as found:
        client.chat.completions.create(
            model=MODEL, messages=user_messages(f"fail with {status}"), stream=stream
        )
    assert isinstance(found.value.body, dict)
    assert {"message", "type", "param", "code"} <= set(found.value.body)


def test_our_own_errors_are_the_sdks_classes(client: OpenAI, base_url: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        OpenAI(base_url=base_url, api_key="wrong", max_retries=0).models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError) as unknown:
        client.responses.create(model="no-such-model", input="hi")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_" + "0" * 48)
    with pytest.raises(openai.BadRequestError) as low:
        client.responses.create(model=MODEL, input="hi", max_output_tokens=1)
    assert low.value.param == "max_output_tokens"
    with pytest.raises(openai.BadRequestError) as path:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": 5}])  # type: ignore[list-item, typeddict-item]
    assert path.value.param == "messages[0].content"


def test_a_failure_in_a_stream_raises_with_its_code(client: OpenAI) -> None:
    with pytest.raises(openai.APIError) as chat:
        for _ in client.chat.completions.create(
            model=MODEL, messages=user_messages("fail midway"), stream=True
        ):
            pass
    assert chat.value.code
    with pytest.raises(openai.APIError) as responses:
        for _ in client.responses.create(model=MODEL, input="fail midway", stream=True):
            pass
    assert responses.value.code


def test_the_sdk_retries_what_may_be_retried_and_not_what_was(world: World, base_url: str) -> None:
    def tried(status: int) -> int:
        world.fresh().upstream.add(Reply.json({"error": {"message": "no"}}, status), times=float("inf"))
        with (
            OpenAI(base_url=base_url, api_key=KEY, max_retries=1, timeout=20) as sdk,
            pytest.raises(openai.APIStatusError) as found,
        ):
            sdk.chat.completions.create(model="groq/x", messages=user_messages("hi"))
        seen.append(found.value.response.headers.get("x-should-retry"))
        return len(world.upstream.requests)

    seen: list[str | None] = []
    assert tried(500) == 2  # the gateway's own retry; the SDK is told that it was spent
    assert tried(401) == 1
    assert seen == ["false", "false"]


# --- other clients of the SDK -------------------------------------------------------------------


def test_the_asynchronous_client(base_url: str) -> None:
    async def drive() -> tuple[str, str, str]:
        async with AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as sdk:
            whole = await sdk.responses.create(model=MODEL, input="say exactly: one")
            chunks = await sdk.chat.completions.create(
                model=MODEL, messages=user_messages("say exactly: two"), stream=True
            )
            text = "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])
            async with sdk.responses.stream(model=MODEL, input="say exactly: three") as stream:
                final = await stream.get_final_response()
            return whole.output_text, text, final.output_text

    assert asyncio.run(drive()) == ("one", "two", "three")


def _azure_clients(url: str) -> dict[str, AzureOpenAI]:
    common: dict[str, Any] = {"api_key": KEY, "max_retries": 0}
    dated = {**common, "api_version": "2025-04-01-preview"}
    return {
        "endpoint": AzureOpenAI(azure_endpoint=url, **dated),
        "endpoint below openai": AzureOpenAI(azure_endpoint=f"{url}/openai", **dated),
        "base url v1": AzureOpenAI(base_url=f"{url}/openai/v1/", **{**common, "api_version": "preview"}),
        "deployment": AzureOpenAI(azure_endpoint=url, azure_deployment="fast", **dated),
        "entra token": AzureOpenAI(
            azure_endpoint=url, azure_ad_token=KEY, max_retries=0, api_version="2025-04-01-preview"
        ),
    }


@pytest.mark.parametrize(
    "form", ["endpoint", "endpoint below openai", "base url v1", "deployment", "entra token"]
)
def test_azures_class_in_each_of_its_forms(world: World, form: str) -> None:
    with _azure_clients(world.gateway.url)[form] as sdk:
        chat = sdk.chat.completions.create(model="fast", messages=user_messages("say exactly: chat"))
        assert chat.choices[0].message.content == "chat"
        chunks = sdk.chat.completions.create(
            model="sandbox/x", messages=user_messages("say exactly: s"), stream=True
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "s"
        raw = sdk.responses.with_raw_response.create(model=MODEL, input="say exactly: response")
        assert raw.headers["apim-request-id"]
        made = raw.parse()
        assert made.output_text == "response"
        assert sdk.responses.retrieve(made.id).id == made.id
        with sdk.responses.stream(model=MODEL, input="say exactly: streamed") as stream:
            assert stream.get_final_response().output_text == "streamed"
        assert sdk.embeddings.create(model="sandbox/embed", input="one").data[0].embedding
        assert sdk.completions.create(model="fast", prompt="say exactly: text").choices[0].text == "text"
        spoken = sdk.audio.speech.create(
            model="fast", voice="alloy", input="hi", response_format="wav"
        ).read()
        assert spoken.startswith(b"RIFF")
        assert sdk.audio.transcriptions.create(model="fast", file=("a.wav", spoken)).text


@pytest.mark.parametrize("form", ["endpoint", "endpoint below openai", "base url v1", "entra token"])
def test_a_bare_model_of_azures_class_is_an_azure_deployment(world: World, form: str) -> None:
    with _azure_clients(world.gateway.url)[form] as sdk, pytest.raises(openai.BadRequestError) as refused:
        sdk.chat.completions.create(model="gpt-unconfigured", messages=user_messages("hi"))
    assert refused.value.code == "provider_not_configured"
    assert "AZURE_OPENAI" in refused.value.message


@pytest.mark.parametrize(
    "form", ["endpoint", "endpoint below openai", "base url v1", "deployment", "entra token"]
)
def test_azures_class_moderates_translates_and_draws(world: World, form: str) -> None:
    with _azure_clients(world.gateway.url)[form] as sdk:
        spoken = ("a.wav", wav_file("good morning"))
        assert sdk.audio.translations.create(model="fast", file=spoken).text == "good morning"
        assert sdk.moderations.create(model="sandbox/x", input="I will kill you").results[0].flagged
        for model in ("fast", "sandbox/x"):
            made = sdk.images.generate(model=model, prompt="a barn", size="256x256")
            assert made.data is not None
            drawn = base64.b64decode(made.data[0].b64_json or "")
            edited = sdk.images.edit(model=model, prompt="a blue barn", image=drawn)
            assert edited.data is not None
            assert base64.b64decode(edited.data[0].b64_json or "") != drawn


def test_a_provider_that_replays_moderates_translates_and_draws(world: World, client: OpenAI) -> None:
    usage = {"input_tokens": 3, "output_tokens": 1000, "total_tokens": 1003}
    judged = {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.5}}
    world.fresh().upstream.add(Reply.json({"text": "Hello"}), path="*/audio/translations")
    world.upstream.add(Reply.json({"id": "modr-1", "model": "m", "results": [judged]}), path="*/moderations")
    body = Reply.json({"created": 1, "data": [{"b64_json": "QUJD"}], "usage": usage})
    for path in ("generations", "edits", "variations"):
        world.upstream.add(body, path=f"*/images/{path}")
    file = ("a.wav", wav_file("hi"))
    assert client.audio.translations.create(model="openai/whisper-1", file=file).text == "Hello"
    assert client.moderations.create(input="hi").results[0].category_scores.violence == 0.5
    made = client.images.generate(model="gpt-image-2", prompt="a barn")
    assert made.usage is not None
    assert made.usage.to_dict()["cost"] == pytest.approx(3 * 5e-6 + 1000 * 30e-6)
    png = draw("x", 8, 8)
    assert client.images.edit(model="openai/gpt-image-2", prompt="a barn", image=png).data == made.data
    assert client.images.create_variation(model="openai/dall-e-2", image=png).data == made.data
    assert len(world.upstream.requests) == 5
