"""Chat completions, Responses and Messages: a request read, obeyed and answered in its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.request import Request
from app.canonical.response import Finish
from app.dialects import dialect
from app.dialects.base import ServerContext
from app.errors import GatewayError
from app.providers.sandbox.conversation import input_words, user_text
from app.providers.sandbox.directives import Directives
from app.providers.sandbox.model import FAILURE, Voice, answer
from app.providers.sandbox.playback import Pace, tell
from app.providers.sandbox.scripts import (
    Respond,
    json_object,
    json_script,
    read_directives,
    server_context,
    stream_script,
)
from app.providers.sandbox.transport import Asked, Script

_REFUSALS: Final[Mapping[str, Finish]] = {"messages": Finish("content_filter", "refusal")}
"""How a refusal ends where that is no plain stop."""


def generation(name: str) -> Respond:
    """Return what answers requests of the generation dialect ``name``."""

    def respond(asked: Asked, words_per_second: float) -> Script:
        context = server_context()
        request, read = _read(name, asked, context)
        voice = Voice(context.new_id, context.now, name, _REFUSALS.get(name, Finish("stop")))
        response = answer(request, read, voice)
        wire = dialect(name)
        if not request.stream:
            return json_script(wire.encode_response(response, request, context), read)
        beats = tell(response, Pace(words_per_second, read.seconds, read.midway), midway_failure())
        return stream_script(beats, wire.stream_encoder(request, context).feed, read)

    return respond


def token_count(name: str) -> Respond:
    """Return what counts the words of a prompt in dialect ``name``."""

    def respond(asked: Asked, words_per_second: float) -> Script:
        request, read = _read(name, asked, server_context())
        return json_script({"object": "response.input_tokens", "input_tokens": input_words(request)}, read)

    return respond


def midway_failure() -> GatewayError:
    """Return the error that ends a stream which fails midway."""
    return GatewayError("upstream_error", FAILURE, status=500)


def _read(name: str, asked: Asked, context: ServerContext) -> tuple[Request, Directives]:
    request = dialect(name).decode_request(json_object(asked), context)
    return request, read_directives(user_text(request), request.model)
