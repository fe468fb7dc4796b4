"""Speech and transcription of OpenAI's shape, of Mistral, Cohere and ElevenLabs."""

import base64
import hashlib
from typing import Any

from tests.traffic.answers import Json, Sound, Transcript, Usage, failure
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange

CODED = ("audio_base64", "audio_data", "audio")


def speech(exchange: Exchange) -> Sound:
    """Raw bytes, base64 within JSON, or SSE deltas of base64."""
    if error := failure(exchange):
        return Sound(error=error)
    if exchange.kind == "base64":
        return sound(exchange.content())
    if exchange.kind == "json":
        body = exchange.json()
        coded = next(body[key] for key in CODED if key in body)
        characters = len((body.get("alignment") or {}).get("characters", []))
        return sound(base64.b64decode(coded), characters)
    events = payloads(exchange.content())
    result = sound(b"".join(base64.b64decode(e["audio"]) for e in events if "audio" in e))
    result.usage = next((usage(event["usage"]) for event in events if event.get("usage")), None)
    return result


def sound(data: bytes, characters: int = 0) -> Sound:
    digest = hashlib.sha256(data).hexdigest()
    return Sound(None, len(data), digest, data[:8], characters)


def transcription(exchange: Exchange) -> Transcript:
    """One body, or SSE events of which the last says the whole text."""
    if error := failure(exchange):
        return Transcript(error=error)
    if exchange.streamed:
        events = payloads(exchange.content())
        done = next(event for event in events if event["type"] == "transcript.text.done")
        segments = sum(event["type"] == "transcript.text.segment" for event in events)
        return Transcript(None, done["text"], segments=segments, usage=usage(done.get("usage")))
    body: Json = exchange.json()
    return Transcript(
        None,
        body.get("text", ""),
        body.get("language") or body.get("language_code"),
        len(body.get("segments") or []),
        len(body.get("words") or []),
        body.get("duration"),
        usage(body.get("usage")),
    )


def usage(raw: dict[str, Any] | None) -> Usage | None:
    """OpenAI names input and output; Groq and Mistral name prompt and completion."""
    if not raw:
        return None
    return Usage(
        input=raw.get("input_tokens", raw.get("prompt_tokens")),
        output=raw.get("output_tokens", raw.get("completion_tokens")),
        total=raw.get("total_tokens"),
        cost=raw.get("cost"),
        raw=raw,
    )
