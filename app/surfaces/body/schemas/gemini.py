"""Bodies of Google's API: the members of the top level. The dialect reads what is deeper."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, Either, FallbackBody, Table, Text, Whole
from app.surfaces.body.schemas.chat import MOST_MESSAGES

MOST_INPUTS = 2048


class GenerateContentBody(FallbackBody):
    """``generateContent`` and ``streamGenerateContent``; the dialect reads snake_case, too."""

    contents = Either(Table(), Array(longest=MOST_MESSAGES))
    systemInstruction = Either(Text(), Table())
    tools = Either(Table(), Array(longest=10_000))
    toolConfig = Table()
    safetySettings = Either(Table(), Array(longest=64))
    generationConfig = Table()
    cachedContent = Text()
    labels = Table()


class CountTokensBody(FallbackBody):
    """``countTokens``: contents, or a whole request."""

    contents = Either(Table(), Array(longest=MOST_MESSAGES))
    generateContentRequest = Table()


class EmbedContentBody(FallbackBody):
    """``embedContent``."""

    content = Table()
    taskType = Text()
    title = Text()
    outputDimensionality = Whole(least=1)


class BatchEmbedContentsBody(FallbackBody):
    """``batchEmbedContents``."""

    requests = Either(Table(), Array(longest=MOST_INPUTS), required=True)


class PredictBody(FallbackBody):
    """``predict`` of the embedding families."""

    instances = Either(Table(), Array(longest=MOST_INPUTS), required=True)
    parameters = Table()


class ClaudeBody(Body):
    """A Messages body for Vertex: the model is in the URL."""

    anthropic_version = Text()
    fallbacks = Array(longest=16)
