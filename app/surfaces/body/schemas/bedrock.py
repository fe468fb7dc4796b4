"""Bodies of Bedrock's API: the members of the top level. The dialect reads what is deeper."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, FallbackBody, Object
from app.surfaces.body.schemas.chat import MOST_MESSAGES


class ConverseBody(FallbackBody):
    """``converse`` and ``converse-stream``."""

    messages = Array(longest=MOST_MESSAGES)
    system = Array(longest=10_000)
    inferenceConfig = Object()
    toolConfig = Object()
    additionalModelRequestFields = Object()
    outputConfig = Object()


class InvokeBody(Body):
    """``invoke`` and ``invoke-with-response-stream``: a body of Claude, Titan or Cohere."""

    fallbacks = Array(longest=16)


class BedrockCountBody(FallbackBody):
    """``count-tokens``: a prompt of either API."""

    input = Object(required=True)
