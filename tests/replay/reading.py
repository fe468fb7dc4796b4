"""A client's reading of the gateway's answers: OpenAI's objects and events, by the shortest way.

Imports nothing of app/. Chat, Responses and completions are read by the readers that also read
OpenAI's own recordings; what the gateway adds is checked in ``comparing``.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from tests.behaviour.world import Answer as Http
from tests.traffic.answers import Answer, Catalogue, Count, Failure, Outcome, Sound, Transcript, Vectors
from tests.traffic.frames import payloads, sse
from tests.traffic.wires import audio, chat, completions, embeddings, responses

Json = dict[str, Any]


def read(reads: str, answer: Http) -> Outcome:
    """Read an HTTP answer; one of status 400 and up is an error whatever was asked for."""
    if answer.status >= 400:
        return Answer(error=_failure(answer.status, answer.error))
    return _READERS[reads](answer)


def _failure(status: int, error: Mapping[str, Any]) -> Failure:
    return Failure(status, error["message"], error["code"], error["type"], error["param"])


def is_stream(answer: Http) -> bool:
    """Whether the answer came as events."""
    return answer.headers["content-type"].startswith("text/event-stream")


def _chat(answer: Http) -> Answer:
    return (
        chat.fold(payloads(answer.body), "delta")
        if is_stream(answer)
        else chat.fold([answer.json], "message")
    )


def _responses(answer: Http) -> Answer:
    if is_stream(answer):
        return responses.from_events(payloads(answer.body))
    return responses.from_object(answer.json)


def _completion(answer: Http) -> Answer:
    return completions.fold(payloads(answer.body) if is_stream(answer) else [answer.json], is_stream(answer))


def _vectors(answer: Http) -> Vectors:
    body = answer.json
    vectors = [_numbers(entry["embedding"]) for entry in body["data"]]
    assert [entry["index"] for entry in body["data"]] == list(range(len(vectors)))
    return embeddings.vectors_of(vectors, chat.usage(body["usage"]), body["model"])


def _numbers(vector: str | list[float]) -> list[float]:
    if isinstance(vector, list):
        return vector
    data = base64.b64decode(vector)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _audio(answer: Http) -> Sound:
    return audio.sound(answer.body)


def _audio_events(answer: Http) -> Sound:
    events = payloads(answer.body)
    assert events[-1]["type"] == "speech.audio.done", events[-1]
    pieces = [base64.b64decode(e["audio"]) for e in events if e["type"] == "speech.audio.delta"]
    result = audio.sound(b"".join(pieces))
    result.usage = audio.usage(events[-1].get("usage"))
    return result


def _transcript(answer: Http) -> Transcript:
    body: Json = answer.json
    return Transcript(
        None,
        body["text"],
        body.get("language"),
        len(body.get("segments") or []),
        len(body.get("words") or []),
        body.get("duration"),
        audio.usage(body.get("usage")),
    )


def _transcript_text(answer: Http) -> Transcript:
    assert answer.headers["content-type"].startswith("text/plain")
    return Transcript(None, answer.body.decode())


def _transcript_events(answer: Http) -> Transcript:
    events = payloads(answer.body)
    deltas = "".join(e["delta"] for e in events if e["type"] == "transcript.text.delta")
    done = events[-1]
    assert done["type"] == "transcript.text.done", done
    segments = sum(e["type"] == "transcript.text.segment" for e in events)
    assert not deltas or deltas == done["text"]
    return Transcript(None, done["text"], segments=segments, usage=audio.usage(done.get("usage")))


def _models(answer: Http) -> Catalogue:
    return Catalogue(ids=[entry["id"] for entry in answer.json["data"]])


def _count(answer: Http) -> Count:
    return Count(tokens=answer.json["input_tokens"])


_READERS: Mapping[str, Callable[[Http], Outcome]] = {
    "chat": _chat,
    "responses": _responses,
    "completion": _completion,
    "embedding": _vectors,
    "audio": _audio,
    "audio_events": _audio_events,
    "transcript": _transcript,
    "transcript_text": _transcript_text,
    "transcript_events": _transcript_events,
    "models": _models,
    "count": _count,
}


def envelopes(answer: Http) -> list[Json]:
    """Every ``extra_fields`` of an answer, in order."""
    bodies = (
        [json.loads(f.data) for f in sse(answer.body) if f.data != "[DONE]"]
        if is_stream(answer)
        else [answer.json]
    )
    return [body["extra_fields"] for body in bodies if "extra_fields" in body]


def members(answer: Http) -> set[str]:
    """The top-level members of the answer, of all its chunks, and of the terminal event's response."""
    if not is_stream(answer):
        return set(answer.json)
    found: set[str] = set()
    for event in payloads(answer.body):
        found |= set(event) | set(event.get("response") or ())
    return found
