"""Translations at their surfaces: what goes to providers, every form, what they lack, and bad forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.providers.sandbox.audio import wav_file
from tests.behaviour.test_forms import form
from tests.behaviour.world import Answer, World, running_world
from tests.traffic.replay import Reply

HEAD = {"content-type": "multipart/form-data; boundary=b"}
SURFACES = (
    "/v1/audio/translations",
    "/audio/translations",
    "/openai/v1/audio/translations",
    "/openai/deployments/sandbox/echo/audio/translations?api-version=2024-10-21",
    "/api/llm/audio/translations",
)
SEGMENTS = [{"id": 0, "start": 0.0, "end": 1.5, "text": "Hello there", "avg_logprob": -0.5}]
VERBOSE = {
    "task": "translate",
    "language": "de",
    "duration": 1.5,
    "text": "Hello there",
    "segments": SEGMENTS,
}
ENV = {"AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_ENDPOINT": "{upstream}/azure"}


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world(ENV) as made:
        yield made


@pytest.fixture
def world(running: World) -> World:
    """The gateway, its fake provider emptied."""
    return running.fresh()


def send_form(
    world: World, model: str, *fields: tuple[str, str], path: str = SURFACES[0], **file: Any
) -> Answer:
    """Send a form with a file."""
    return world.send("POST", path, form([("model", model), *fields], **file), HEAD)


@pytest.mark.parametrize("path", SURFACES)
def test_what_is_spoken_is_written(world: World, path: str) -> None:
    answer = send_form(world, "sandbox/echo", path=path, file=wav_file("good morning"))
    assert (answer.status, answer.json["text"]) == (200, "good morning")
    if "llm" not in path:
        assert answer.json["extra_fields"]["request_type"] == "translation"
    assert answer.headers["x-sluice-provider"] == "sandbox"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("openai/whisper-1", "/openai/audio/translations"),
        ("groq/whisper-large-v3", "/groq/audio/translations"),
        ("azure/whisper", "/azure/openai/deployments/whisper/audio/translations"),
    ],
)
def test_a_provider_is_asked_at_its_path(world: World, model: str, path: str) -> None:
    world.upstream.add(Reply.json({"text": "Hello there"}))
    answer = send_form(world, model, ("prompt", "greetings"))
    assert (answer.status, answer.json["text"]) == (200, "Hello there")
    (request,) = world.upstream.requests
    assert request.path == path
    assert b'name="prompt"\r\n\r\ngreetings\r\n' in request.body
    assert request.body.count(b"RIFF") == 1


@pytest.mark.parametrize("wanted", ["verbose_json", "srt", "vtt"])
def test_timed_forms_are_made_of_the_timed_answer(world: World, wanted: str) -> None:
    world.upstream.add(Reply.json(VERBOSE))
    answer = send_form(world, "groq/whisper-large-v3", ("response_format", wanted))
    (request,) = world.upstream.requests
    assert b'name="response_format"\r\n\r\nverbose_json\r\n' in request.body
    assert b"timestamp_granularities" not in request.body
    if wanted == "verbose_json":
        assert (answer.json["task"], answer.json["language"]) == ("translate", "english")
        assert answer.json["segments"] == SEGMENTS
        assert "warnings" not in answer.json["extra_fields"]
        return
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "00:01" in answer.body.decode()
    assert "Hello there" in answer.body.decode()


def test_what_translations_lack_is_named(world: World) -> None:
    world.upstream.add(Reply.json(VERBOSE))
    fields = [("language", "de"), ("stream", "true"), ("timestamp_granularities[]", "word")]
    answer = send_form(world, "openai/whisper-1", *fields, ("response_format", "verbose_json"))
    assert answer.status == 200
    params = {warning["param"] for warning in answer.json["extra_fields"]["warnings"]}
    assert params == {"language", "stream", "timestamp_granularities"}
    (request,) = world.upstream.requests
    assert not any(name in request.body for name in (b"language", b'"stream"', b"granularities"))


@pytest.mark.parametrize(
    ("body", "param", "status"),
    [
        (form([("model", "sandbox/x")], file=None), "file", 400),
        (form([("model", "sandbox/x")], file=b""), "file", 400),
        (form([]), "model", 400),
        (form([("model", "sandbox/x"), ("response_format", "diarized_json")]), "response_format", 400),
        (form([("model", "sandbox/x"), ("temperature", "warm")]), "temperature", 400),
        (form([("model", "sandbox/x")], file=b"x" * (26 * 1024 * 1024)), None, 413),
    ],
    ids=["no file", "an empty file", "no model", "a form of transcripts", "no number", "too large"],
)
def test_a_bad_form_is_named(world: World, body: bytes, param: str | None, status: int) -> None:
    answer = world.send("POST", SURFACES[0], body, HEAD)
    assert (answer.status, answer.error["param"]) == (status, param)


def test_a_provider_without_translations_is_refused_or_passed_over(world: World) -> None:
    refused = send_form(world, "anthropic/claude-sonnet-4-5")
    assert (refused.status, refused.error["code"]) == (400, "unsupported_operation")
    answer = send_form(world, "anthropic/claude-sonnet-4-5", ("fallbacks", "sandbox/echo"))
    assert (answer.status, answer.headers["x-sluice-provider"]) == (200, "sandbox")
