"""Answers of media whose JSON is odd in its whole: too deep, of numbers that no double holds, of half characters.

Each is read or refused as 502, and none is a fault of ours.
"""

from __future__ import annotations

import json

import pytest

from tests.behaviour.world import World
from tests.replay.asking import BOUNDARY, form
from tests.traffic.replay import Reply

CONFIG = """
[providers.elevenlabs]
api_key = "some-key-of-elevenlabs"
base_url = "{upstream}/elevenlabs"

[providers.cohere]
api_key = "some-key-of-cohere"
base_url = "{upstream}/cohere"

[providers.gemini]
api_key = "some-key-of-gemini"
base_url = "{upstream}/gemini"

[providers.bedrock]
api_key = "some-key-of-bedrock"
base_url = "{upstream}/bedrock"
"""
WIDE = int("9" * 400)
TALK = {
    "text": "a",
    "language_code": "a",
    "duration": 1,
    "words": [{"word": "a", "text": "a", "type": "word", "start": 0, "end": 1, "logprob": 0}],
    "segments": [{"id": 0, "text": "a", "start": 0, "end": 1, "avg_logprob": 0}],
    "usage": {"type": "duration", "seconds": 1, "total_tokens": 1},
    "results": [{"index": 0, "relevance_score": 0.5}],
    "data": [{"index": 0, "embedding": [0.5], "b64_json": "AAAA", "url": "a"}],
    "input_tokens": 1,
}


def _bent(text: str, number: int) -> bytes:
    """Return ``TALK`` with another text in all of its texts and another number in place of each."""
    whole = json.dumps(TALK).replace('"a"', text)
    return whole.replace(": 0", f": {number}").replace(": 1", f": {number}").encode()


BODIES = {
    "deep arrays": b"[" * 20_000 + b"]" * 20_000,
    "deep objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "numbers that no double holds": _bent('"a"', WIDE),
    "half characters": _bent('"\\ud800"', 1),
    "no numbers": _bent('"a"', 7).replace(b": 7", b": NaN"),
}
FORMS = {
    "verbose": {"model": "openai/x", "response_format": "verbose_json"},
    "subtitles": {"model": "openai/x", "response_format": "srt"},
    "ElevenLabs": {"model": "elevenlabs/x"},
    "ElevenLabs, subtitles": {"model": "elevenlabs/x", "response_format": "vtt"},
    "Gemini": {"model": "gemini/x"},
}
CALLS = {
    "speech": ("/v1/audio/speech", {"model": "openai/x", "voice": "a", "input": "x"}),
    "speech of Gemini": ("/v1/audio/speech", {"model": "gemini/x", "voice": "a", "input": "x"}),
    "vectors": ("/v1/embeddings", {"model": "openai/x", "input": "x"}),
    "rerank": ("/v1/rerank", {"model": "cohere/x", "query": "x", "documents": ["x"]}),
    "pictures": ("/v1/images/generations", {"model": "openai/x", "prompt": "x"}),
    "count": ("/v1/responses/input_tokens", {"model": "openai/x", "input": "x"}),
}

SETTING = {"env": {"SLUICE_MAX_RETRIES": "0"}, "config": CONFIG}


@pytest.mark.parametrize("kind", BODIES)
def test_no_answer_of_media_breaks_the_gateway(kind: str, world: World) -> None:
    reply = Reply(200, BODIES[kind], {"content-type": "application/json"})
    world.upstream.script = lambda request: reply
    kind_of_form = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    before = len(world.gateway.log)

    answers = {
        name: world.send("POST", "/v1/audio/transcriptions", form(fields), kind_of_form)
        for name, fields in FORMS.items()
    }
    answers |= {name: world.send("POST", path, body) for name, (path, body) in CALLS.items()}

    assert {name: answer.status for name, answer in answers.items() if answer.status not in (200, 502)} == {}
    assert '"event":"fault"' not in world.gateway.log[before:]


def test_a_list_of_very_many_models_is_refused(world: World) -> None:
    """It would be kept, and looked through by each call."""
    world.upstream.script = lambda request: Reply.json({"data": [{"id": f"m{i}"} for i in range(10_001)]})

    answer = world.send("GET", "/v1/models?provider=openai")

    assert (answer.status, answer.error["code"]) == (502, "upstream_invalid_response")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models?provider=groq"])
def test_a_long_error_keeps_its_status(path: str, world: World) -> None:
    """What is past a bound is not read: the connection ends."""
    body = json.dumps({"error": {"message": "too many", "more": "x" * 30_000_000}}).encode()
    world.upstream.script = lambda request: Reply(
        429, body, {"content-type": "application/json"}, chunk=65536
    )
    asked = {"model": "groq/x", "messages": [{"role": "user", "content": "hi"}]}

    answer = world.send("POST", path, asked) if "chat" in path else world.send("GET", path)

    assert (answer.status, "too many" in answer.error["message"]) == (429, True)
    assert world.upstream.requests[0].sent < 20_000_000
