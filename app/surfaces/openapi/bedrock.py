"""The answers of Bedrock's API as OpenAPI schemas."""

from __future__ import annotations

from typing import Final

from app.surfaces.openapi.shapes import INTEGER, OBJECT, STRING, Shape, array_of, record

ConverseResponse: Final[Shape] = record(
    {
        "output": record({"message": record({"role": STRING, "content": array_of(OBJECT)})}),
        "stopReason": STRING,
        "usage": record({"inputTokens": INTEGER, "outputTokens": INTEGER, "totalTokens": INTEGER}),
        "metrics": OBJECT,
    }
)
InputTokenCount: Final[Shape] = record({"inputTokens": INTEGER})
_SUMMARY: Final[Shape] = record(
    {"modelArn": STRING, "modelId": STRING, "modelName": STRING, "providerName": STRING}
)
FoundationModels: Final[Shape] = record({"modelSummaries": array_of(_SUMMARY)})
FoundationModel: Final[Shape] = record({"modelDetails": _SUMMARY})
