"""The answers of Bedrock's API as OpenAPI schemas."""

from __future__ import annotations

from typing import Final

from app.surfaces.openapi.shapes import TABLE, TEXT, WHOLE, Shape, array_of, record

ConverseResponse: Final[Shape] = record(
    {
        "output": record({"message": record({"role": TEXT, "content": array_of(TABLE)})}),
        "stopReason": TEXT,
        "usage": record({"inputTokens": WHOLE, "outputTokens": WHOLE, "totalTokens": WHOLE}),
        "metrics": TABLE,
    }
)
InputTokenCount: Final[Shape] = record({"inputTokens": WHOLE})
_SUMMARY: Final[Shape] = record({"modelArn": TEXT, "modelId": TEXT, "modelName": TEXT, "providerName": TEXT})
FoundationModels: Final[Shape] = record({"modelSummaries": array_of(_SUMMARY)})
FoundationModel: Final[Shape] = record({"modelDetails": _SUMMARY})
