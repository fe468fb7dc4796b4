"""The recordings that no client can get through the gateway, each with its true reason.

``exclusions`` names those that no reader or wire of ours is for; these have one, but the gateway
never asks for them. Everything else must be exercised.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.traffic import exclusions
from tests.traffic.load import Exchange

FAMILIES: Mapping[str, str] = {
    "openai.responses.retrieve": "the gateway keeps responses itself and never retrieves from an upstream",
    "openai.models.retrieve": "one model is looked up in the provider's list",
    "cohere.v1.models.get": "one model is looked up in the provider's list",
    "openai.audio.translations": "translation of speech is no operation of any surface",
}

_QUEUED = "the answer to a background request; the gateway runs background work itself"
_CONTINUED = (
    "continues a response that only its provider has, so its outputs answer no call that is known here"
)
_ARN = "an inference profile's ARN hides the family, on which the body of InvokeModel depends"

SINGLE: Mapping[str, str] = {
    "openai-responses-060781ce3323": _QUEUED,
    "openai-responses-8fbd80d2aa7e": _QUEUED,
    "openai-responses-c914f03a9ce7": _QUEUED,
    "bedrock-chat_completion-d8f4a4322b69": _ARN,
    "azure-responses-f703d42c1973": _CONTINUED,
    "openai-responses-523d832c5927": _CONTINUED,
}


def reason(exchange: Exchange) -> str | None:
    """Why the recording is not asked for; None when it must be."""
    return exclusions.reason(exchange) or FAMILIES.get(exchange.api) or SINGLE.get(exchange.id)


OFF_GRAMMAR: Mapping[str, str] = {
    "openai-responses_stream-4afcf6e630de": "in the recording itself an MCP call's events are out of order",
    "openrouter-chat_completion_stream-bc10a10eee4e": "in the recording itself each call ends the choice anew",
}
"""Streams that pass, and so break the grammar just as the recording does."""
