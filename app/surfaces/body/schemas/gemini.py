"""Bodies of Google's API: the members of the top level. The dialect reads what is deeper."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, Either, FallbackBody, Integer, Object, String
from app.surfaces.body.schemas.chat import MOST_MESSAGES

MOST_INPUTS = 2048


class GenerateContentBody(FallbackBody):
    """``generateContent`` and ``streamGenerateContent``; the dialect reads snake_case, too."""

    contents = Either(Object(), Array(longest=MOST_MESSAGES))
    systemInstruction = Either(String(), Object())
    tools = Either(Object(), Array(longest=10_000))
    toolConfig = Object()
    safetySettings = Either(Object(), Array(longest=64))
    generationConfig = Object()
    cachedContent = String()
    labels = Object()


class CountTokensBody(FallbackBody):
    """``countTokens``: contents, or a whole request."""

    contents = Either(Object(), Array(longest=MOST_MESSAGES))
    generateContentRequest = Object()


class EmbedContentBody(FallbackBody):
    """``embedContent``."""

    content = Object()
    taskType = String()
    title = String()
    outputDimensionality = Integer(least=1)


class BatchEmbedContentsBody(FallbackBody):
    """``batchEmbedContents``."""

    requests = Either(Object(), Array(longest=MOST_INPUTS), required=True)


class PredictBody(FallbackBody):
    """``predict`` of the embedding families."""

    instances = Either(Object(), Array(longest=MOST_INPUTS), required=True)
    parameters = Object()


class ClaudeBody(Body):
    """A Messages body for Vertex: the model is in the URL."""

    anthropic_version = String()
    fallbacks = Array(longest=16)
