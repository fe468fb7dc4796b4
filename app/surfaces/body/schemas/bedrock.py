"""Bodies of Bedrock's API: the shape of the top level. What is deeper is read by the dialect."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, Table
from app.surfaces.body.schemas.chat import MOST_MESSAGES
from app.surfaces.body.schemas.parts import string


class ConverseBody(Body):
    """``converse`` and ``converse-stream``."""

    messages = Array(longest=MOST_MESSAGES)
    system = Array(longest=10_000)
    inferenceConfig = Table()
    toolConfig = Table()
    additionalModelRequestFields = Table()
    outputConfig = Table()
    fallbacks = Array(each=string, longest=16)


class InvokeBody(Body):
    """``invoke`` and ``invoke-with-response-stream``: a body of Claude, Titan or Cohere."""

    fallbacks = Array(longest=16)


class BedrockCountBody(Body):
    """``count-tokens``: a prompt of either API."""

    input = Table(required=True)
    fallbacks = Array(each=string, longest=16)
