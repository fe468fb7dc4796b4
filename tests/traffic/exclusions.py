"""The recordings that the judge leaves out, each with its reason.

Whole API families that are no wire of ours go by ``FAMILIES``; single recordings by ``SINGLE``.
Everything else in the traffic folder must have a reader and be exercised.
"""

from collections.abc import Mapping

from tests.traffic.load import Exchange, exchanges

FAMILIES: Mapping[str, str] = {
    "anthropic.complete": "the legacy /v1/complete; text completion is emulated over Messages",
    "cohere.v1.chat": "Cohere's first API; we speak v2 chat",
    "cohere.v1.generate": "Cohere's first API; text completion is emulated over v2 chat",
    "ollama.chat": "Ollama's own API; chat goes over its OpenAI-compatible one",
    "ollama.generate": "Ollama's own API; completions go over its OpenAI-compatible one",
    "ollama.embed": "Ollama's own API; embeddings go over its OpenAI-compatible one",
    "ollama.embeddings": "Ollama's own, superseded API; embeddings go over its OpenAI-compatible one",
    "bedrock.invoke.openai": "chat by InvokeModel; chat on Bedrock goes over Converse",
    "openai.conversations": "the gateway keeps conversations itself and never calls this upstream",
    "openai.responses.compact": "the gateway compacts itself and never calls this upstream",
    "openai.responses.delete": "the gateway stores responses itself and never calls this upstream",
    "openai.responses.input_items": "the gateway stores responses itself and never calls this upstream",
}

SINGLE: Mapping[str, str] = {
    "azure-responses_stream-2b534b04c531": "four answers of four turns joined in one body (framing rebuilt)",
    "cerebras-chat_completion_stream-85efe1deba21": "two answers of two turns joined in one body (framing rebuilt)",
    "elevenlabs-transcription-3fedc22d7cc0": "202 of an asynchronous transcription by web hook, which we never ask for",
    "elevenlabs-speech-4a8e9a6fbc74": "vendor example whose audio member is a placeholder, not base64",
    "elevenlabs-speech_stream-77a2d104b450": "vendor example of one streamed chunk; how chunks are delimited is unknown",
    "openai-embedding-43b33892a2b6": "the scrubber took a piece of the base64 vector for a key, so it decodes no more",
    "bedrock-chat_completion-6395332ac7e2": "a rerank, which is none of our request types",
}

CHAT_BY_INVOKE = "chat by InvokeModel; chat on Bedrock goes over Converse"


def reason(exchange: Exchange) -> str | None:
    """Why this exchange is left out; ``None`` when it must be exercised."""
    if exchange.api in FAMILIES:
        return FAMILIES[exchange.api]
    if exchange.id in SINGLE:
        return SINGLE[exchange.id]
    return CHAT_BY_INVOKE if _is_chat_by_invoke(exchange) else None


def _is_chat_by_invoke(exchange: Exchange) -> bool:
    """An InvokeModel request that brings messages instead of a prompt."""
    if not exchange.api.startswith("bedrock.invoke."):
        return False
    return "messages" in (exchange.request["body"] or {})


def exclusions() -> list[tuple[str, str]]:
    """Every excluded exchange with its reason, in the order of the paths."""
    told = ((exchange.id, reason(exchange)) for exchange in exchanges())
    return [(identifier, why) for identifier, why in told if why is not None]
