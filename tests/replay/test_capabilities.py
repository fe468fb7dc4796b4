"""The table of docs/providers.md is true: each of its cells is asked for, whole and as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.behaviour.test_forms_of_pictures import PNG, picture_form
from tests.behaviour.world import Answer as Http
from tests.behaviour.world import World, event_frame
from tests.documentation import DOCS, capability_rows
from tests.lifecycle.batches import form as upload_form
from tests.replay import asking, left_out, reading
from tests.replay.setting import replaying_world
from tests.traffic.answers import Answer, Sound, Transcript, Vectors, extract
from tests.traffic.load import Exchange, exchanges, require
from tests.traffic.replay import Reply, Request

PATHS = {
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
    "speech": "/v1/audio/speech",
    "transcription": "/v1/audio/transcriptions",
    "translation": "/v1/audio/translations",
    "count_tokens": "/v1/responses/input_tokens",
    "rerank": "/v1/rerank",
    "moderation": "/v1/moderations",
    "image_generation": "/v1/images/generations",
    "image_edit": "/v1/images/edits",
    "image_variation": "/v1/images/variations",
    "file_upload": "/v1/files",
}
APIS = {
    # the end of a path -> the wire that answers there, and what its recordings are of
    r"/responses": ("openai.responses", "responses"),
    r"/chat/completions|/(mistral|mistralai)/.*awPredict": ("groq.openai.chat", "chat_completion"),
    r"/completions": ("openai.completions", "text_completion"),
    r"/messages|/anthropic/models/[^/]*:(raw|streamRaw)Predict": ("anthropic.messages", "chat_completion"),
    r":generateContent": ("gemini.generateContent", "chat_completion"),
    r":streamGenerateContent": ("gemini.streamGenerateContent", "chat_completion"),
    r"/converse|/converse-stream": ("bedrock.converse", "chat_completion"),
    r"titan-text[^/]*/invoke(-with-response-stream)?": ("bedrock.invoke.titan", "chat_completion"),
    r"titan-embed[^/]*/invoke": ("bedrock.invoke.titan", "embedding"),
    r"/v2/chat": ("cohere.v2.chat", "chat_completion"),
    r"/v2/embed": ("cohere.v2.embed", "embedding"),
    r"/embeddings": ("openai.embeddings", "embedding"),
    r":batchEmbedContents": ("gemini.batchEmbedContents", "embedding"),
    r"/audio/(transcriptions|translations)": ("openai.audio.transcriptions", "transcription"),
    r"/speech-to-text": ("elevenlabs.speech_to_text", "transcription"),
    r"mistral/v1/audio/speech": ("mistral.audio.speech", "speech"),
}
COUNTS = {
    r"/responses/input_tokens": {"object": "response.input_tokens", "input_tokens": 7},
    r"/count_tokens|:rawPredict": {"input_tokens": 7},
    r":countTokens": {"totalTokens": 7},
    r"/count-tokens": {"inputTokens": 7},
    r"/v1/tokenize": {"tokens": [1, 2, 3, 4, 5, 6, 7]},
}
EMBEDDERS = {"bedrock": "amazon.titan-embed-text-v2:0", "vertex": "text-embedding-005"}
_PREDICTED = {"embeddings": {"values": [0.25, 0.5], "statistics": {"token_count": 1, "truncated": False}}}
PCM = b"\x00\x01" * 64


@cache
def good(api: str, operation: str, stream: bool) -> Exchange:
    """A recorded good answer of a wire that a plain question may get."""
    for one in exchanges(apis=(api,)):
        expected = extract(one) if left_out.reason(one) is None else None
        if expected is None or expected.error or one.status != 200 or one.streamed != stream:
            continue
        if not one.operation.startswith(operation) and not isinstance(expected, Vectors):
            continue
        if isinstance(expected, Answer) and not (expected.text and not expected.choices[0].tool_calls):
            continue
        if not isinstance(expected, Answer | Sound | Transcript | Vectors):
            continue
        if isinstance(expected, Vectors) and expected.count != 1:
            continue
        return one
    raise LookupError(f"no recorded answer for {api}, stream={stream}")


def answered(request: Request) -> Reply:
    """Answer as the wire at this place does."""
    if request.path.endswith("/files"):
        told = {"id": "up-1", "name": "files/up-1", "uri": "https://example.com/up-1"}
        address = {"x-goog-upload-url": f"http://{request.headers['host']}{request.path}"}
        return Reply.json({**told, "file": told}, headers=address)
    if "count" in request.path or "tokenize" in request.path or "input_tokens" in request.path:
        return Reply.json(_member_at(COUNTS, request.path))
    if "/images" in request.path:
        return _pictures(request)
    if b'"sampleCount"' in request.body:
        return Reply.json({"predictions": [{"bytesBase64Encoded": "QUJD", "mimeType": "image/png"}]})
    if b'"TEXT_IMAGE"' in request.body or b'"IMAGE_VARIATION"' in request.body:
        return Reply.json({"images": ["QUJD"]})
    if b'"IMAGE"' in request.body:
        part = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
        return Reply.json({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})
    if request.path.endswith(":rank"):
        return Reply.json({"records": [{"id": "0", "score": 0.5}]})
    if request.path.endswith("/rerank") or b'"documents"' in request.body:
        return Reply.json({"results": [{"index": 0, "relevance_score": 0.5}]})
    if request.path.endswith("/moderations"):
        return Reply.json({"results": [{"categories": {"pii": False}, "category_scores": {"pii": 0.25}}]})
    if request.path.endswith(("/audio/speech", "/stream")) or "/text-to-speech/" in request.path:
        if "mistral" not in request.path:
            return _speech(request)
    if b"responseModalities" in request.body or b'"AUDIO"' in request.body:
        return _gemini_speech(request)
    stream = "stream" in request.path.lower() or b'"stream":true' in request.body.replace(b" ", b"")
    stream = stream or b'name="stream"\r\n\r\ntrue' in request.body
    if request.path.endswith(":predict"):
        return Reply.json({"predictions": [_PREDICTED]})
    api, operation = _member_at(APIS, request.path)
    if api == "mistral.audio.speech":
        return _mistral_speech(stream)
    return Reply.of(good(api, operation, stream), chunk=0)


def _pictures(request: Request) -> Reply:
    """Answer with a picture, as events where a stream is asked for."""
    stream = b'"stream":true' in request.body or b'name="stream"\r\n\r\ntrue' in request.body
    if not stream:
        return Reply.json({"created": 1, "data": [{"b64_json": "QUJD"}]})
    kind = "image_edit" if request.path.endswith("/edits") else "image_generation"
    return Reply.sse(event_frame({"type": f"{kind}.completed", "b64_json": "QUJD", "created_at": 1}))


def _member_at(table: dict[str, Any], path: str) -> Any:
    for form, value in table.items():
        if re.search(f"({form})$", path):
            return value
    raise LookupError(path)


def _speech(request: Request) -> Reply:
    if b'"sse"' in request.body:
        events = b'data: {"type":"speech.audio.delta","audio":"AAEC"}\n\n'
        return Reply.sse(events + b'data: {"type":"speech.audio.done","usage":null}\n\n')
    return Reply(200, PCM, {"content-type": "audio/mpeg"})


def _mistral_speech(stream: bool) -> Reply:
    if not stream:
        return Reply.json({"audio_data": "AAEC"})
    events = b'event: speech.audio.delta\ndata: {"type":"speech.audio.delta","audio_data":"AAEC"}\n\n'
    usage = b'{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'
    return Reply.sse(
        events + b'event: speech.audio.done\ndata: {"type":"speech.audio.done","usage":' + usage + b"}\n\n"
    )


def _gemini_speech(request: Request) -> Reply:
    part = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAEC"}}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    body = {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}], "usageMetadata": usage}
    whole = Reply.json(body)
    if "stream" not in request.path:
        return whole
    assert isinstance(whole.body, bytes)
    return Reply.sse(b"data: " + whole.body + b"\r\n\r\n")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    require()
    with replaying_world() as running:
        running.upstream.script = answered
        yield running


def ask(world: World, operation: str, model: str, stream: bool) -> Http:
    path = PATHS[operation]
    if operation in ("transcription", "translation"):
        fields = {"model": model, "response_format": "json", **({"stream": "true"} if stream else {})}
        head = {"content-type": f"multipart/form-data; boundary={asking.BOUNDARY}"}
        return world.send("POST", path, asking.form(fields), head)
    if operation in ("image_edit", "image_variation"):
        fields = {"model": model, "prompt": "Hello", **({"stream": "true"} if stream else {})}
        head = {"content-type": "multipart/form-data; boundary=b"}
        return world.send("POST", path, picture_form(fields, ("image", PNG)), head)
    if operation == "file_upload":
        sent, head = upload_form(b"Hello", model=model, purpose="user_data")
        return world.send("POST", path, sent, head)
    body: dict[str, Any] = {"model": model, **_BODIES[operation]}
    if stream:
        body |= {"stream_format": "sse"} if operation == "speech" else {"stream": True}
    return world.send("POST", path, body)


_BODIES: dict[str, dict[str, Any]] = {
    "responses": {"input": "Hello"},
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "completion": {"prompt": "Hello"},
    "embedding": {"input": "Hello"},
    "speech": {"input": "Hello", "voice": "alloy"},
    "count_tokens": {"input": "Hello"},
    "rerank": {"query": "Hello", "documents": ["Hello there"]},
    "moderation": {"input": "Hello"},
    "image_generation": {"prompt": "Hello"},
}
SCORES: dict[str, tuple[str, Any]] = {
    "rerank": ("relevance_score", 0.5),
    "moderation": ("category_scores", {"pii": 0.25}),
}
READERS = {
    "speech": ("audio", "audio_events"),
    "transcription": ("transcript", "transcript_events"),
    "translation": ("transcript", "transcript"),
    "count_tokens": ("count", "count"),
}
CELLS = [
    pytest.param(name, model, operation, cell, id=f"{label}-{operation}")
    for label, name, model, cells in capability_rows()
    for operation, cell in cells.items()
    if operation not in ("models", "batch_create")  # asked for in test_catalogue and test_native_batches
]


def _read_well(http: Http, operation: str, stream: bool) -> None:
    whole, events = READERS.get(operation, (operation, operation))
    assert reading.read(events if stream else whole, http).error is None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("provider", "model", "operation", "cell"), CELLS)
def test_a_cell_is_true(
    world: World, provider: str, model: str, operation: str, cell: str, stream: bool
) -> None:
    if stream and operation in ("embedding", "count_tokens", "translation", "image_variation", *SCORES):
        return
    if stream and operation == "file_upload":
        return
    if operation == "embedding" and cell != "–":
        model = EMBEDDERS.get(provider, model)
    world.upstream.requests.clear()
    http = ask(world, operation, f"{provider}/{model}", stream)
    if cell == "–":
        assert (http.status, http.error["code"], http.error["param"]) == (
            400,
            "unsupported_operation",
            "purpose" if operation == "file_upload" else "model",
        )
        assert provider in http.error["message"]
        assert not world.upstream.requests
        return
    assert http.status == 200, http.body
    if operation in SCORES:
        ((result,), (member, score)) = http.json["results"], SCORES[operation]
        assert result[member] == score
        assert bool(world.upstream.requests)
        return
    if operation == "file_upload":
        assert http.json["object"] == "file"
        assert bool(world.upstream.requests)
        return
    if operation.startswith("image_"):
        made = http.events[-1] if stream else http.json["data"][0]
        assert made["b64_json"] == "QUJD"
    else:
        _read_well(http, operation, stream)
    assert bool(world.upstream.requests) == (cell != "estimate")
    assert reading.is_stream(http) == stream
    if operation == "count_tokens":
        assert http.json.get("estimated", False) == (cell == "estimate")
    elif operation != "speech" or stream:
        assert {fields["provider"] for fields in reading.envelopes(http)} == {provider}
    if stream:
        request = world.upstream.requests[-1]
        streamed = (
            b'"stream":true' in request.body or b'name="stream"' in request.body or "tream" in request.path
        )
        assert (streamed or b'"sse"' in request.body) == cell.endswith(", s")


def test_the_table_of_the_page_is_this_one() -> None:
    text = (DOCS / "providers.md").read_text(encoding="utf-8")
    for label, _, _, cells in capability_rows():
        assert f"| {label} | {' | '.join(cells.values())} |" in text
