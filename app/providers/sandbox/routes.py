"""Find the responder to an HTTP request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.record import record
from app.errors import GatewayError
from app.providers.sandbox import media, moderation, rerank
from app.providers.sandbox.generation import generation, token_count
from app.providers.sandbox.images import image_generation
from app.providers.sandbox.scripts import Responder, answer_script
from app.providers.sandbox.transport import HttpRequest, Script

ROUTES: Final[Mapping[tuple[str, str], tuple[str, Responder]]] = {
    # method, path: the dialect of its errors, its responder
    ("POST", "/chat/completions"): ("chat", generation("chat")),
    ("POST", "/responses"): ("responses", generation("responses")),
    ("POST", "/messages"): ("messages", generation("messages")),
    ("POST", "/responses/input_tokens"): ("responses", token_count("responses")),
    ("POST", "/completions"): ("completions", media.complete),
    ("POST", "/embeddings"): ("chat", media.embeddings),
    ("POST", "/rerank"): ("chat", rerank.rerank),
    ("POST", "/moderations"): ("chat", moderation.moderate),
    ("POST", "/audio/speech"): ("chat", media.speech),
    ("POST", "/audio/transcriptions"): ("chat", media.transcription),
    ("POST", "/audio/translations"): ("chat", media.translation),
    ("POST", "/images/generations"): ("chat", image_generation("generation")),
    ("POST", "/images/edits"): ("chat", image_generation("edit")),
    ("POST", "/images/variations"): ("chat", image_generation("variation")),
    ("GET", "/models"): ("chat", media.models),
}


def _not_found(http_request: HttpRequest, words_per_second: float) -> Script:
    raise GatewayError("not_found", f"Unknown request URL: {http_request.method} {http_request.path}.")


@record
class Sandbox:
    """Writes the script of every answer. ``words_per_second`` is the speed of its streams."""

    words_per_second: float

    def write(self, http_request: HttpRequest) -> Script:
        """Return the script that answers ``http_request``; a refused request gets its 4xx."""
        name, respond = ROUTES.get((http_request.method, http_request.path), ("chat", _not_found))
        return answer_script(name, respond, http_request, self.words_per_second)
