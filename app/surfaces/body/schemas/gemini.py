"""Bodies of Google's API: the shape of the top level. What is deeper is read by the dialect."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, Either, Table, Text, Whole
from app.surfaces.body.schemas.chat import MOST_MESSAGES
from app.surfaces.body.schemas.parts import string

MOST_INPUTS = 2048


class GenerateContentBody(Body):
    """``generateContent`` and ``streamGenerateContent``; snake_case is read, too."""

    contents = Either(Table(), Array(longest=MOST_MESSAGES))
    systemInstruction = Either(Text(), Table())
    tools = Either(Table(), Array(longest=10_000))
    toolConfig = Table()
    safetySettings = Either(Table(), Array(longest=64))
    generationConfig = Table()
    cachedContent = Text()
    labels = Table()
    fallbacks = Array(each=string, longest=16)


class CountTokensBody(Body):
    """``countTokens``: contents, or a whole request."""

    contents = Either(Table(), Array(longest=MOST_MESSAGES))
    generateContentRequest = Table()
    fallbacks = Array(each=string, longest=16)


class EmbedContentBody(Body):
    """``embedContent``."""

    content = Table()
    taskType = Text()
    title = Text()
    outputDimensionality = Whole(least=1)
    fallbacks = Array(each=string, longest=16)


class BatchEmbedContentsBody(Body):
    """``batchEmbedContents``."""

    requests = Either(Table(), Array(longest=MOST_INPUTS), required=True)
    fallbacks = Array(each=string, longest=16)


class PredictBody(Body):
    """``predict`` of the embedding families."""

    instances = Either(Table(), Array(longest=MOST_INPUTS), required=True)
    parameters = Table()
    fallbacks = Array(each=string, longest=16)


class ClaudeBody(Body):
    """A Messages body as Vertex and Bedrock take it: the model is in the URL."""

    anthropic_version = Text()
    fallbacks = Array(longest=16)
