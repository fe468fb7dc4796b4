"""The sandbox: a built-in provider that obeys the last user message, for free and offline.

Its transport, under ``sandbox://``, is made of the dialects' server halves; the gateway does not know
that no network is behind it. The language is in docs/sandbox.md.

It speaks chat completions, so that everything else is translated. A model name that
begins with ``chat-``, ``responses-`` or ``messages-`` chooses a dialect, which then passes
whole where the caller speaks it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.config import ProviderSettings
from app.dialects.chat.options import COMMON_MEMBERS, PLATFORM_MEMBERS, ChatOptions
from app.dialects.media.openai_transcription import TranscriptionOptions
from app.dialects.messages.options import MessagesOptions
from app.dialects.responses.compatibility import ResponsesOptions
from app.errors import GatewayError
from app.providers import openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec, Wire, provider_realm
from app.providers.sandbox.routes import Sandbox
from app.providers.sandbox.transport import ScriptedTransport
from app.wire.egress import Egress

SCHEME: Final = "sandbox"
WORDS_PER_SECOND: Final = 500.0

CHAT: Final = ChatOptions(
    members=COMMON_MEMBERS | PLATFORM_MEMBERS,
    max_tokens="max_completion_tokens",
    history="reasoning_details",
    developer_role=True,
    file_ids=True,
    file_urls=True,
    refusals=True,
    custom_tools=True,
    tool_choices=frozenset({"auto", "none", "required", "named", "allowed"}),
)
"""A chat wire that can say all that chat completions can."""

TRANSCRIPTION: Final = TranscriptionOptions(
    formats=frozenset({"json", "verbose_json", "diarized_json"}), no_streams=r"$^"
)

_CHAT_WIRE: Final = Wire("chat", "/chat/completions", options=CHAT)

WIRES: Final[Mapping[str, Wire]] = {
    "chat": _CHAT_WIRE,
    "completion": openai_like.completion(),
    "embedding": openai_like.embedding(),
    "rerank": openai_like.rerank(),
    "moderation": openai_like.moderation(),
    "speech": openai_like.speech(),
    "transcription": openai_like.transcription(TRANSCRIPTION),
    "translation": openai_like.translation(),
    **openai_like.images(),
    "image_variation": openai_like.variation(),
    "models": openai_like.models(),
    "count_tokens": Wire("responses", "/responses/input_tokens", options=ResponsesOptions(), streams=False),
}

DIALECT_WIRES: Final[Mapping[str, Mapping[str, Wire]]] = {
    # prefix of a model's name: its wires of generation
    "chat-": {"chat": replace(_CHAT_WIRE, passes=True)},
    "responses-": {"responses": Wire("responses", "/responses", options=ResponsesOptions(), passes=True)},
    "messages-": {"chat": Wire("messages", "/messages", options=MessagesOptions(), passes=True)},
}

_GENERATION: Final = frozenset({"chat", "responses"})


def choose(settings: ProviderSettings, operation: str, model: str) -> Wire | None:
    """Return the wire of ``operation``; the beginning of a model's name may choose its dialect."""
    for prefix, wires in DIALECT_WIRES.items() if operation in _GENERATION else ():
        if model.startswith(prefix):
            return wires.get(operation)
    return WIRES.get(operation)


SPEC = Spec(
    name="sandbox",
    base_url=f"{SCHEME}://local",
    auth=BearerAuth(),
    wires=WIRES,
    choose=choose,
    realm=provider_realm,
    needs_key=False,
)


def bind(settings: ProviderSettings, egress: Egress, transport: Any) -> Spec:
    """Mount the sandbox's transport under its scheme and return its spec.

    ``options.words_per_second`` is the speed of streams (0: no pauses). Raises
    ``provider_not_configured`` for anything but a number of 0 or above.
    """
    speed = settings.options.get("words_per_second", WORDS_PER_SECOND)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed < 1e9:
        raise GatewayError(
            "provider_not_configured",
            "The sandbox's 'words_per_second' must be a number of 0 or above.",
            param="model",
        )
    egress.register(SCHEME, ScriptedTransport(Sandbox(float(speed)).write).open)
    return SPEC
