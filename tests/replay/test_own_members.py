"""What one provider alone tells: Perplexity's sources, OpenRouter's price, ElevenLabs' voices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import Answer as Http
from tests.behaviour.world import World
from tests.replay import asking, left_out
from tests.replay.asking import CHAT, CHAT_SHAPED, RESPONSES
from tests.traffic.answers import Answer, extract
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange, absent, exchanges
from tests.traffic.replay import NEVER, Reply

Json = dict[str, Any]


def recorded(*apis: str) -> list[Any]:
    found = [one for one in exchanges(apis=apis) if left_out.reason(one) is None and one.status == 200]
    good = [one for one in found if isinstance(extract(one), Answer) and not extract(one).error]
    return [pytest.param(one, id=one.id) for one in good] or [absent()]


def upstream_bodies(one: Exchange) -> list[Json]:
    return payloads(one.content()) if one.streamed else [one.json()]


def _calls(body: Json) -> list[Json]:
    found: list[Json] = [call for c in body["choices"] for call in c["delta"].get("tool_calls") or ()]
    return found


def _streams_calls(row: Any) -> bool:
    one = row.values[0] if row.values else None
    return isinstance(one, Exchange) and one.streamed and any(map(_calls, upstream_bodies(one)))


def ask(world: World, one: Exchange, path: str) -> Http:
    stream = one.operation.endswith("_stream")
    chat = {"messages": [{"role": "user", "content": "Go on."}]}
    body: Json = {"model": asking.model_of(one), **({"input": "Go on."} if path == RESPONSES else chat)}
    if stream:
        body |= {"stream": True, **({"stream_options": {"include_usage": True}} if path == CHAT else {})}
    world.fresh().upstream.add(Reply.of(one, chunk=0), times=NEVER)
    http = world.send("POST", path, body)
    assert http.status == 200, http.body
    return http


def bodies(http: Http) -> list[Json]:
    return [event for event in http.events if event != "[DONE]"] if _streams(http) else [http.json]


def final(http: Http) -> Json:
    """The whole answer: of a Responses stream the terminal event's, of chat's the usage chunk."""
    last = bodies(http)[-1]
    found: Json = last.get("response", last)
    return found


def _streams(http: Http) -> bool:
    return http.headers["content-type"].startswith("text/event-stream")


SOURCES = ("citations", "search_results", "videos")


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize("recording", recorded("perplexity.openai.chat"))
def test_perplexitys_sources_are_at_the_top(world: World, recording: Exchange, path: str) -> None:
    http = ask(world, recording, path)
    told = {name: body[name] for body in upstream_bodies(recording) for name in SOURCES if body.get(name)}
    assert {name: final(http).get(name) for name in told} == told
    if path == CHAT and _streams(http):
        named = [set(told) <= set(body) for body in upstream_bodies(recording)]
        assert all(named)
        assert all(set(told) <= set(chunk) for chunk in bodies(http))
    urls = told.get("citations", [])
    annotations = _annotations(final(http) if path == RESPONSES else None, http)
    assert {a["type"] for a in annotations} <= {"url_citation"}
    assert {a.get("url") or a["url_citation"]["url"] for a in annotations} <= set(urls)
    assert bool(annotations) == bool(urls)


def _annotations(response: Json | None, http: Http) -> list[Json]:
    if response is not None:
        return [a for item in response["output"] for p in item.get("content") or () for a in p["annotations"]]
    holders = [c.get("message") or c.get("delta") for body in bodies(http) for c in body["choices"]]
    return [annotation for holder in holders for annotation in holder.get("annotations") or ()]


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize("recording", recorded("perplexity.openai.chat"))
def test_perplexitys_counts_and_price_are_told(world: World, recording: Exchange, path: str) -> None:
    usage = final(ask(world, recording, path))["usage"]
    raw = next(body["usage"] for body in reversed(upstream_bodies(recording)) if body.get("usage"))
    details = usage["completion_tokens_details" if path == CHAT else "output_tokens_details"]
    for name in ("citation_tokens", "num_search_queries", "reasoning_tokens"):
        if raw.get(name) is not None:
            assert details[name] == raw[name]
    if raw.get("cost"):
        assert usage["cost_details"]["source"] == "provider"
        assert usage["cost"] == pytest.approx(raw["cost"]["total_cost"])


@pytest.mark.parametrize("recording", recorded("openrouter.openai.chat", "openrouter.openai.responses"))
def test_openrouters_price_is_the_cost(world: World, recording: Exchange) -> None:
    expected = extract(recording)
    assert isinstance(expected, Answer)
    responses = recording.api.endswith("responses")
    for path in (RESPONSES,) if responses else (CHAT, CHAT_SHAPED):
        usage = final(ask(world, recording, path))["usage"]
        if expected.usage is not None and expected.usage.cost is not None:
            assert usage["cost_details"]["source"] == "provider"
            assert usage["cost"] == pytest.approx(expected.usage.cost)


def test_elevenlabs_is_asked_with_the_voice_of_the_operators_table(world: World) -> None:
    for voice, sent in (("alloy", "JBFqnCBsd6RMkjVDRZzb"), ("someVoiceId", "someVoiceId")):
        world.fresh().upstream.add(Reply(200, b"ID3audio", {"content-type": "audio/mpeg"}))
        body = {"model": "elevenlabs/eleven_multilingual_v2", "input": "Hello", "voice": voice}
        http = world.send("POST", "/v1/audio/speech", body)
        assert (http.status, http.body) == (200, b"ID3audio")
        assert world.upstream.requests[0].path == f"/elevenlabs/v1/text-to-speech/{sent}"


@pytest.mark.parametrize(
    "one", [row for row in recorded("mistral.chat") if _streams_calls(row)] or [absent()]
)
def test_a_call_that_mistral_sends_whole_arrives_whole(world: World, one: Exchange) -> None:
    """Mistral's SDK reads each entry as a call: it refuses one without a name."""
    recorded_calls = [call for body in upstream_bodies(one) for call in _calls(body)]
    world.fresh().upstream.add(Reply.of(one))
    calls = [call for body in bodies(ask(world, one, CHAT)) for call in _calls(body)]
    assert [(call["id"], call["function"]) for call in calls] == [
        (call["id"], call["function"]) for call in recorded_calls
    ]


def _vectors_with_ids() -> list[Any]:
    found = exchanges(operations=("embedding",), providers=("mistral", "openrouter", "perplexity"))
    named = [one for one in found if one.status == 200 and "id" in one.json()]
    return [pytest.param(one, id=one.id) for one in named] or [absent()]


@pytest.mark.parametrize("one", _vectors_with_ids())
def test_vectors_keep_the_id_that_their_provider_gave(world: World, one: Exchange) -> None:
    """Mistral's SDK refuses an answer without it."""
    world.fresh().upstream.add(Reply.of(one))
    body = next(row.body for row in asking.asks(one) if row.path == "/v1/embeddings")
    assert world.send("POST", "/v1/embeddings", body).json["id"] == one.json()["id"]
