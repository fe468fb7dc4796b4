"""From an HTTP request to the script of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.record import record
from app.errors import GatewayError
from app.providers.sandbox import media, moderation, rerank
from app.providers.sandbox.generation import generation, token_count
from app.providers.sandbox.images import image_generation
from app.providers.sandbox.scripts import Respond, answer_script
from app.providers.sandbox.transport import Asked, Script

ROUTES: Final[Mapping[tuple[str, str], tuple[str, Respond]]] = {
    # method, path: the dialect of its errors, what answers
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


def _not_found(asked: Asked, words_per_second: float) -> Script:
    raise GatewayError("not_found", f"Unknown request URL: {asked.method} {asked.path}.")


@record
class Sandbox:
    """Writes the script of every answer. ``words_per_second`` is the pace of its streams."""

    words_per_second: float

    def write(self, asked: Asked) -> Script:
        """Return the script that answers ``asked``; a refused request gets its 4xx."""
        name, respond = ROUTES.get((asked.method, asked.path), ("chat", _not_found))
        return answer_script(name, respond, asked, self.words_per_second)
