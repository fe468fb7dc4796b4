"""What another maker's answer becomes at a surface: sound, refusals, citations, thoughts that are signed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.behaviour.world import (
    CHAT_DONE,
    USAGE,
    Answer,
    World,
    chat_body,
    chat_chunk,
    event_frame,
)
from tests.traffic.frames import sse
from tests.traffic.replay import Reply

KEY = "sk-surface-0123456789"
ENV = {
    "SLUICE_KEYS": f"ann:{KEY}",
    "GEMINI_API_KEY": "gemini-key",
    "GEMINI_BASE_URL": "{upstream}/gemini",
    "AWS_BEARER_TOKEN_BEDROCK": "aws-key",
    "AWS_REGION": "us-east-1",
    "BEDROCK_BASE_URL": "{upstream}/bedrock",
}
PCM = base64.b64encode(b"\x01\x02" * 8).decode()
KORE = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
TWO = {"multiSpeakerVoiceConfig": {"speakerVoiceConfigs": [{"speaker": "A", **KORE}]}}


SETTING = {"env": ENV, "key": KEY}


def spoken(**config: Any) -> dict[str, Any]:
    """Return a body of Gemini's that wants to hear the answer."""
    expected = {"responseModalities": ["AUDIO"], **config}
    return {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": expected}


def request_body(surface: World) -> Any:
    """Return the body of the one request that went out."""
    (request,) = surface.upstream.requests
    return json.loads(request.body)


def parts(answer: Answer) -> list[dict[str, Any]]:
    """Return the parts of a Gemini answer, whole or streamed."""
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    chunks = [json.loads(frame.data) for frame in sse(answer.body)] if streamed else [answer.json]
    return [part for c in chunks for one in c["candidates"] for part in one["content"]["parts"]]


AUDIO = {"id": "audio_1", "data": PCM, "expires_at": 9, "transcript": "Good."}
SOUND = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": PCM}}


@pytest.mark.parametrize("stream", [False, True])
def test_sound_is_asked_for_and_comes_back_in_googles_words(surface: World, stream: bool) -> None:
    whole = chat_body()
    whole["choices"][0]["message"] = {"role": "assistant", "content": None, "audio": AUDIO}
    frames = [
        chat_chunk({"role": "assistant", "audio": {"id": "audio_1", "transcript": "Good."}}),
        chat_chunk({"audio": {"data": PCM}}),
        chat_chunk({"audio": {"expires_at": 9}}, "stop", usage=USAGE),
    ]
    surface.fresh().upstream.add(Reply.sse(b"".join(frames) + CHAT_DONE) if stream else Reply.json(whole))
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    path = f"/v1beta/models/openai/gpt-audio:{verb}"
    answer = surface.send("POST", path, spoken(speechConfig=KORE))
    asked = request_body(surface)
    assert asked["modalities"] == ["text", "audio"]
    assert asked["audio"] == {"voice": "Kore", "format": "pcm16"}
    assert [part for part in parts(answer) if part != {"text": ""}] == [SOUND]
    assert "x-sluice-warnings" not in answer.headers


def test_who_asks_for_text_too_gets_the_transcript(surface: World) -> None:
    whole = chat_body()
    whole["choices"][0]["message"] = {"role": "assistant", "content": None, "audio": AUDIO}
    surface.fresh().upstream.add(Reply.json(whole))
    body = spoken(speechConfig=KORE)
    body["generationConfig"]["responseModalities"] = ["TEXT", "AUDIO"]
    answer = surface.send("POST", "/v1beta/models/openai/gpt-audio:generateContent", body)
    assert parts(answer) == [SOUND, {"text": "Good."}]


def test_a_voice_that_must_be_named_is_told(surface: World) -> None:
    surface.fresh().upstream.add(Reply.json(chat_body()))
    answer = surface.send("POST", "/v1beta/models/openai/gpt-audio:generateContent", spoken())
    assert request_body(surface)["audio"] == {"voice": "alloy", "format": "pcm16"}
    (warning,) = json.loads(answer.headers["x-sluice-warnings"])
    assert warning["param"] == "generationConfig.speechConfig"


def test_several_speakers_are_refused_where_one_speaks(surface: World) -> None:
    surface.fresh()
    body = spoken(speechConfig=TWO)
    answer = surface.send("POST", "/v1beta/models/openai/gpt-audio:generateContent", body)
    assert (answer.status, surface.upstream.requests) == (400, [])
    (violation,) = answer.json["error"]["details"][0]["fieldViolations"]
    assert violation["field"] == "generationConfig.speechConfig.multiSpeakerVoiceConfig"


def test_google_is_asked_for_sound_alone(surface: World) -> None:
    made = {"content": {"parts": [SOUND], "role": "model"}, "finishReason": "STOP", "index": 0}
    surface.fresh().upstream.add(Reply.json({"candidates": [made]}))
    answer = surface.ask(
        model="gemini/gemini-2.5-flash-preview-tts",
        modalities=["text", "audio"],
        audio={"voice": "Kore", "format": "pcm16"},
    )
    assert request_body(surface)["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "speechConfig": KORE,
    }
    assert answer.json["choices"][0]["message"]["audio"]["data"] == PCM
    warnings = answer.json["extra_fields"]["warnings"]
    assert [warning["param"] for warning in warnings] == ["modalities"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_at_coheres_surface_is_no_complete_answer(surface: World, stream: bool) -> None:
    whole = chat_body()
    whole["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I will not."}
    frames = chat_chunk({"role": "assistant", "refusal": "I will not."}) + chat_chunk({}, "stop")
    surface.fresh().upstream.add(Reply.sse(frames + CHAT_DONE) if stream else Reply.json(whole))
    body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    answer = surface.send("POST", "/cohere/v2/chat", body)
    if stream:
        told = [json.loads(frame.data) for frame in sse(answer.body) if frame.data != "[DONE]"]
        finish = told[-1]["delta"]["finish_reason"]
        said = "".join(e["delta"]["message"]["content"]["text"] for e in told if e["type"] == "content-delta")
    else:
        finish, said = answer.json["finish_reason"], answer.json["message"]["content"][0]["text"]
    assert (finish, said) == ("ERROR_TOXIC", "I will not.")


def cited(url: str) -> dict[str, Any]:
    """Return a block of citations that stands behind the text that it is of."""
    return {"citationsContent": {"citations": [{"location": {"web": {"url": url, "domain": "a.example"}}}]}}


NOVA = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "One. "},
                cited("https://a.example/1"),
                cited("https://a.example/2"),
                {"text": "Two."},
            ],
        }
    },
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
}


def test_citations_behind_a_text_are_of_it(surface: World) -> None:
    surface.fresh().upstream.add(Reply.json(NOVA), times=3)
    model = "bedrock/us.amazon.nova-premier-v1:0"
    message = surface.ask(model=model).json["choices"][0]["message"]
    assert message["content"] == "One. Two."
    places = [note["url_citation"] for note in message["annotations"]]
    assert [(p["url"], p["start_index"], p["end_index"]) for p in places] == [
        ("https://a.example/1", 0, 5),
        ("https://a.example/2", 0, 5),
    ]
    texts = [p for item in surface.ask("responses", model=model).json["output"] for p in item["content"]]
    assert [(p["text"], len(p["annotations"])) for p in texts] == [("One. ", 2), ("Two.", 0)]
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    answer = surface.send("POST", f"/v1beta/models/{model}:generateContent", body)
    grounding = answer.json["candidates"][0]["groundingMetadata"]
    assert [support["segment"]["text"] for support in grounding["groundingSupports"]] == ["One. ", "One. "]


CLAUDE = {
    "id": "msg_up",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [
        {"type": "thinking", "thinking": "It is in Rome.", "signature": "SIGNED"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def claude_stream() -> bytes:
    """Return the same answer as a stream."""
    frames: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}}
    ]
    grown: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "It is in Rome."},
                {"type": "signature_delta", "signature": "SIGNED"},
            ],
        ),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "I look."}]),
        (
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            [{"type": "input_json_delta", "partial_json": '{"a":1}'}],
        ),
    ]
    for index, (block, deltas) in enumerate(grown):
        frames.append({"type": "content_block_start", "index": index, "content_block": block})
        frames += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        frames.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": "tool_use", "stop_sequence": None}
    frames += [
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return b"".join(map(event_frame, frames))


@pytest.mark.parametrize("stream", [False, True])
def test_a_thought_that_was_not_shown_comes_back_with_its_call(surface: World, stream: bool) -> None:
    """The client drops ids and thoughts and keeps the signature on the call, as Google asks it to."""
    surface.fresh().upstream.add(Reply.sse(claude_stream()) if stream else Reply.json(CLAUDE))
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    message = {"role": "user", "parts": [{"text": "hi"}]}
    config = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}, "maxOutputTokens": 4096}}
    tools = {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]}
    body = {"contents": [message], **config, **tools}
    path = f"/v1beta/models/anthropic/claude-sonnet-4-5:{verb}"
    first = parts(surface.send("POST", path, body))
    assert not any(part.get("thought") for part in first)
    assert "It is in Rome." not in json.dumps(first)
    kept = [part for part in first if part != {"text": ""}]
    del kept[-1]["functionCall"]["id"]
    result = {"functionResponse": {"name": "f", "response": {"output": "sunny"}}}
    body["contents"] = [message, {"role": "model", "parts": kept}, {"role": "user", "parts": [result]}]
    surface.fresh().upstream.add(Reply.json(CLAUDE))
    surface.send("POST", path.replace("streamGenerateContent?alt=sse", "generateContent"), body)
    _, turn, _ = request_body(surface)["messages"]
    assert turn["content"][0] == CLAUDE["content"][0]
    assert [block["type"] for block in turn["content"]] == ["thinking", "text", "tool_use"]
