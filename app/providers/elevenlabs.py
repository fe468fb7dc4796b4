"""ElevenLabs: speech and transcription.

The path of speech holds the voice. ``options.voices`` maps clients' voice names (``alloy``)
to voice ids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.media.elevenlabs_speech import ElevenLabsOptions
from app.providers.auth import HeaderAuth
from app.providers.base import Spec, Wire

_SPEECH = Wire("elevenlabs_speech", "/v1/text-to-speech/{voice}", framing="bytes")

SPEC = Spec(
    name="elevenlabs",
    base_url="https://api.elevenlabs.io",
    auth=HeaderAuth("xi-api-key"),
    wires={
        "speech": replace(_SPEECH, options=ElevenLabsOptions()),
        "transcription": Wire("elevenlabs_transcription", "/v1/speech-to-text", streams=False),
        "models": Wire("models", "/v1/models", method="GET", streams=False, options=models.ELEVENLABS),
    },
    price_as="elevenlabs",
    missing="Set ELEVENLABS_API_KEY.",
)


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec with the operator's table of voices."""
    voices = ElevenLabsOptions(voices=settings.options.get("voices", {}))
    return replace(SPEC, wires={**SPEC.wires, "speech": replace(_SPEECH, options=voices)})
