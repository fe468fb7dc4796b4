"""Google's Gemini API with a key; the models on Google Cloud are ``vertex``."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.gemini.options import GeminiOptions
from app.dialects.media.embeddings_gemini import GoogleEmbeddingOptions
from app.providers.auth import HeaderAuth
from app.providers.base import Spec, Wire, default_url

_OPTIONS = GeminiOptions()
_GENERATE = "/models/{model}:generateContent"
_STREAM = "/models/{model}:streamGenerateContent"
_SSE = {"alt": "sse"}


def _url(settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool) -> str:
    """Return the URL; the API's own ``models/`` before an id is taken off, its lists write it. Uploads
    stand beside the versions."""
    if wire.base is None and wire.path.startswith("/upload/"):
        host = urlsplit(base)
        base = host._replace(path="").geturl()
        wire = replace(wire, path=wire.path.replace("/upload", f"/upload{host.path.rstrip('/')}", 1))
    return default_url(settings, base, wire, model.removeprefix("models/"), stream)


SPEC = Spec(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    auth=HeaderAuth("x-goog-api-key"),
    wires={
        "chat": Wire(
            "gemini", _GENERATE, stream_path=_STREAM, stream_query=_SSE, options=_OPTIONS, passes=True
        ),
        "embedding": Wire(
            "embeddings_gemini",
            "/models/{model}:batchEmbedContents",
            options=GoogleEmbeddingOptions(),
            streams=False,
        ),
        "speech": Wire("gemini_speech", _GENERATE, stream_path=_STREAM, stream_query=_SSE, options=_OPTIONS),
        "transcription": Wire(
            "gemini_transcription", _GENERATE, stream_path=_STREAM, stream_query=_SSE, options=_OPTIONS
        ),
        "image_generation": Wire("images_gemini", _GENERATE, streams=False),
        "image_edit": Wire("images_gemini", _GENERATE, streams=False),
        "models": Wire(
            "models",
            "/models",
            method="GET",
            streams=False,
            query={"pageSize": "1000"},
            options=models.GEMINI,
        ),
        "file_upload": Wire("files_gemini", "/files", streams=False),
        "count_tokens": Wire("gemini", "/models/{model}:countTokens", options=_OPTIONS, streams=False),
    },
    url=_url,
    price_as="google",
    missing="Set GEMINI_API_KEY.",
)
