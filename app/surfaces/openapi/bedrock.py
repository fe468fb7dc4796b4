"""The answers of Bedrock's API as OpenAPI schemas."""

from __future__ import annotations

from typing import Final

from app.surfaces.openapi.shapes import TABLE, TEXT, WHOLE, Shape, listed, record

ConverseResponse: Final[Shape] = record(
    {
        "output": record({"message": record({"role": TEXT, "content": listed(TABLE)})}),
        "stopReason": TEXT,
        "usage": record({"inputTokens": WHOLE, "outputTokens": WHOLE, "totalTokens": WHOLE}),
        "metrics": TABLE,
    }
)
InputTokenCount: Final[Shape] = record({"inputTokens": WHOLE})
_SUMMARY: Final[Shape] = record({"modelArn": TEXT, "modelId": TEXT, "modelName": TEXT, "providerName": TEXT})
FoundationModels: Final[Shape] = record({"modelSummaries": listed(_SUMMARY)})
FoundationModel: Final[Shape] = record({"modelDetails": _SUMMARY})
