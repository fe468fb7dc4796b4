"""The answers of Google's API as OpenAPI schemas."""

from __future__ import annotations

from typing import Final

from app.surfaces.openapi.shapes import INTEGER, NUMBER, OBJECT, STRING, Shape, array_of, record

GenerateContentResponse: Final[Shape] = record(
    {
        "candidates": array_of(
            record(
                {"content": OBJECT, "finishReason": STRING, "index": INTEGER, "groundingMetadata": OBJECT},
                optional=("content", "finishReason", "index", "groundingMetadata"),
            )
        ),
        "usageMetadata": OBJECT,
        "modelVersion": STRING,
        "responseId": STRING,
    },
    optional=("usageMetadata", "modelVersion", "responseId"),
)
TokenCount: Final[Shape] = record({"totalTokens": INTEGER})
_VECTOR: Final[Shape] = record({"values": array_of(NUMBER)})
EmbedContentResponse: Final[Shape] = record({"embedding": _VECTOR})
BatchEmbedContentsResponse: Final[Shape] = record({"embeddings": array_of(_VECTOR)})
Predictions: Final[Shape] = record({"predictions": array_of(OBJECT)})
GeminiModel: Final[Shape] = record({"name": STRING, "displayName": STRING}, optional=("displayName",))
GeminiModels: Final[Shape] = record(
    {"models": array_of(GeminiModel), "nextPageToken": STRING}, optional=("nextPageToken",)
)
PublisherModels: Final[Shape] = record(
    {"publisherModels": array_of(GeminiModel), "nextPageToken": STRING}, optional=("nextPageToken",)
)
