"""Answer chat completions, Responses and Messages, each in its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.request import Request
from app.canonical.response import Finish
from app.dialects import dialect
from app.dialects.base import ServerContext
from app.providers.sandbox.conversation import input_words, user_text
from app.providers.sandbox.directives import Directives
from app.providers.sandbox.model import AnswerContext, answer
from app.providers.sandbox.playback import play
from app.providers.sandbox.scripts import (
    Responder,
    json_object,
    json_script,
    read_directives,
    server_context,
    stream_script,
)
from app.providers.sandbox.transport import HttpRequest, Script

_REFUSALS: Final[Mapping[str, Finish]] = {"messages": Finish("content_filter", "refusal")}
"""How a refusal ends in dialects where that is not a plain stop."""


def generation(name: str) -> Responder:
    """Return the responder to requests of the generation dialect ``name``."""

    def respond(http_request: HttpRequest, words_per_second: float) -> Script:
        context = server_context()
        request, directives = _read(name, http_request, context)
        ending = _REFUSALS.get(name, Finish("stop"))
        response = answer(request, directives, AnswerContext(context.new_id, context.now, name, ending))
        wire = dialect(name)
        if not request.stream:
            return json_script(wire.encode_response(response, request, context), directives)
        moments = play(response, words_per_second, directives)
        return stream_script(moments, wire.stream_encoder(request, context).feed, directives)

    return respond


def token_count(name: str) -> Responder:
    """Return the responder that counts the words of a prompt in dialect ``name``."""

    def respond(http_request: HttpRequest, words_per_second: float) -> Script:
        request, directives = _read(name, http_request, server_context())
        return json_script(
            {"object": "response.input_tokens", "input_tokens": input_words(request)}, directives
        )

    return respond


def _read(name: str, http_request: HttpRequest, context: ServerContext) -> tuple[Request, Directives]:
    request = dialect(name).decode_request(json_object(http_request), context)
    return request, read_directives(user_text(request), request.model)
