"""The answers of Google's API as OpenAPI schemas."""

from __future__ import annotations

from typing import Final

from app.surfaces.openapi.shapes import NUMBER, TABLE, TEXT, WHOLE, Shape, array_of, record

GenerateContentResponse: Final[Shape] = record(
    {
        "candidates": array_of(
            record(
                {"content": TABLE, "finishReason": TEXT, "index": WHOLE, "groundingMetadata": TABLE},
                optional=("content", "finishReason", "index", "groundingMetadata"),
            )
        ),
        "usageMetadata": TABLE,
        "modelVersion": TEXT,
        "responseId": TEXT,
    },
    optional=("usageMetadata", "modelVersion", "responseId"),
)
TokenCount: Final[Shape] = record({"totalTokens": WHOLE})
_VECTOR: Final[Shape] = record({"values": array_of(NUMBER)})
EmbedContentResponse: Final[Shape] = record({"embedding": _VECTOR})
BatchEmbedContentsResponse: Final[Shape] = record({"embeddings": array_of(_VECTOR)})
Predictions: Final[Shape] = record({"predictions": array_of(TABLE)})
GeminiModel: Final[Shape] = record({"name": TEXT, "displayName": TEXT}, optional=("displayName",))
GeminiModels: Final[Shape] = record(
    {"models": array_of(GeminiModel), "nextPageToken": TEXT}, optional=("nextPageToken",)
)
PublisherModels: Final[Shape] = record(
    {"publisherModels": array_of(GeminiModel), "nextPageToken": TEXT}, optional=("nextPageToken",)
)
