"""One small reader per wire, and the table of which ``api`` is read by which."""

from tests.traffic.answers import Outcome, Reader
from tests.traffic.load import Exchange
from tests.traffic.wires import (
    audio,
    chat,
    cohere,
    completions,
    converse,
    counts,
    embeddings,
    gemini,
    invoke,
    messages,
    models,
    responses,
)


def _cohere_on_bedrock(exchange: Exchange) -> Outcome:
    return _by_operation(exchange, embeddings.cohere)


def _amazon_on_bedrock(exchange: Exchange) -> Outcome:
    return _by_operation(exchange, embeddings.invoke)


def _by_operation(exchange: Exchange, vectors: Reader) -> Outcome:
    """Bedrock tells embeddings and text only by the model; an ARN hides even that, the body not."""
    body = exchange.response["body"]
    is_vector = exchange.operation == "embedding" or (isinstance(body, dict) and "embedding" in body)
    return vectors(exchange) if is_vector else invoke.read(exchange)


READERS: dict[str, Reader] = {
    **dict.fromkeys(
        (
            "openai.chat",
            "azure.openai.chat",
            "azure.inference.chat",
            "cerebras.openai.chat",
            "gemini.openai_compat.chat",
            "groq.openai.chat",
            "mistral.chat",
            "ollama.openai.chat",
            "openrouter.openai.chat",
            "parasail.openai.chat",
            "perplexity.openai.chat",
            "sgl.openai.chat",
        ),
        chat.read,
    ),
    **dict.fromkeys(
        ("openai.completions", "azure.openai.completions", "sgl.openai.completions"), completions.read
    ),
    **dict.fromkeys(
        (
            "openai.responses",
            "openai.responses.retrieve",
            "azure.openai.responses",
            "openrouter.openai.responses",
        ),
        responses.read,
    ),
    **dict.fromkeys(
        ("anthropic.messages", "azure.anthropic.messages", "vertex.anthropic.messages"), messages.read
    ),
    **dict.fromkeys(("gemini.generateContent", "gemini.streamGenerateContent"), gemini.read),
    "bedrock.converse": converse.read,
    "cohere.v2.chat": cohere.read,
    "bedrock.invoke.cohere": _cohere_on_bedrock,
    **dict.fromkeys(
        ("bedrock.invoke.titan", "bedrock.invoke.nova", "bedrock.invoke.other"), _amazon_on_bedrock
    ),
    **dict.fromkeys(
        ("bedrock.invoke.anthropic", "bedrock.invoke.meta", "bedrock.invoke.mistral", "bedrock.invoke.ai21"),
        invoke.read,
    ),
    **dict.fromkeys(
        (
            "openai.embeddings",
            "azure.openai.embeddings",
            "mistral.embeddings",
            "ollama.openai.embeddings",
            "openrouter.openai.embeddings",
            "perplexity.openai.embeddings",
        ),
        embeddings.openai,
    ),
    **dict.fromkeys(("cohere.v2.embed", "cohere.v1.embed"), embeddings.cohere),
    **dict.fromkeys(
        ("gemini.embedContent", "gemini.batchEmbedContents", "vertex.predict"), embeddings.google
    ),
    **dict.fromkeys(
        (
            "openai.models",
            "openai.models.retrieve",
            "anthropic.models",
            "bedrock.list_foundation_models",
            "cerebras.openai.models",
            "cohere.v1.models.get",
            "gemini.models",
            "groq.openai.models",
            "mistral.models",
            "ollama.tags",
            "openrouter.openai.models",
            "perplexity.openai.models",
            "sgl.openai.models",
        ),
        models.read,
    ),
    **dict.fromkeys(
        (
            "anthropic.count_tokens",
            "bedrock.count_tokens",
            "cohere.v1.tokenize",
            "gemini.countTokens",
            "openai.responses.input_tokens",
        ),
        counts.read,
    ),
    **dict.fromkeys(
        ("openai.audio.speech", "mistral.audio.speech", "elevenlabs.text_to_speech"), audio.speech
    ),
    **dict.fromkeys(
        (
            "openai.audio.transcriptions",
            "openai.audio.translations",
            "groq.openai.audio.transcriptions",
            "openrouter.openai.audio.transcriptions",
            "mistral.audio.transcriptions",
            "cohere.v2.audio.transcriptions",
            "elevenlabs.speech_to_text",
        ),
        audio.transcription,
    ),
}
