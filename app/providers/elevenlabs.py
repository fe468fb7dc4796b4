"""ElevenLabs: speech and transcription.

The path of speech holds the voice, not the model; the dialect says which voice by the
``model`` of what it sends. ``options.voices`` maps clients' voice names to voice ids.
"""

from __future__ import annotations

from app.providers.auth import HeaderAuth
from app.providers.base import Spec, Wire

SPEC = Spec(
    name="elevenlabs",
    base_url="https://api.elevenlabs.io",
    auth=HeaderAuth("xi-api-key"),
    wires={
        "speech": Wire(
            "elevenlabs",
            "/v1/text-to-speech/{model}",
            stream_path="/v1/text-to-speech/{model}/stream",
            framing="bytes",
        ),
        "transcription": Wire("elevenlabs", "/v1/speech-to-text", streams=False),
        "models": Wire("models", "/v1/models", method="GET", streams=False),
    },
    price_as="elevenlabs",
    missing="Set ELEVENLABS_API_KEY.",
)
