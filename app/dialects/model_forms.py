"""Model lists in the forms of the doors that are not OpenAI's: Anthropic, Gemini, Bedrock, Cohere.

Each form is a row of two functions of one shape. What is not known of a model is null or left
out, as the form has it. Paging is that of each API: by id, or by an opaque token, which is an id
here, so that a list that grows meanwhile neither repeats nor skips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from app.canonical.media import ModelEntry
from app.canonical.record import record
from app.dialects.shared.lenient_json import as_list, without_nulls
from app.errors import GatewayError

Models = Sequence[ModelEntry]
Query = Mapping[str, str]
Members = dict[str, Any]


@record
class ModelForm:
    """One API's form. ``encode_list`` takes all models and the query of the request; it raises
    ``bad_request`` that names a member of the query. ``encode_model`` writes one model alone."""

    encode_list: Callable[[Models, Query], Members]
    encode_model: Callable[[ModelEntry], Members]


def _size(query: Query, name: str, default: int, most: int) -> int:
    """Return how many entries a page may have."""
    text = query.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        message = f"Invalid '{name}': expected an integer from 1 to {most}."
        raise GatewayError("bad_request", message, param=name, code="invalid_value")
    return min(int(text), most)


def _position(models: Models, query: Query, name: str) -> int | None:
    """Return where the model stands that a query names, None where it names none."""
    identifier = query.get(name)
    if not identifier:
        return None
    place = next((at for at, model in enumerate(models) if model.id == identifier), None)
    if place is None:
        message = f"Invalid '{name}': no model '{identifier}' is in the list."
        raise GatewayError("bad_request", message, param=name, code="invalid_value")
    return place


def _token_page(models: Models, query: Query, size: int, token: str) -> tuple[Models, str | None]:
    """Return a page that begins after the model that the token names, and the next token."""
    after = _position(models, query, token)
    start = 0 if after is None else after + 1
    page = models[start : start + size]
    return page, page[-1].id if page and start + size < len(models) else None


# Anthropic


def _anthropic_list(models: Models, query: Query) -> Members:
    size = _size(query, "limit", 20, 1000)
    after, before = _position(models, query, "after_id"), _position(models, query, "before_id")
    if before is not None and after is None:
        page, more = models[max(0, before - size) : before], before > size
    else:
        start, end = 0 if after is None else after + 1, len(models) if before is None else before
        page, more = models[start : min(start + size, end)], start + size < end
    data = [_anthropic_model(model) for model in page]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return {"data": data, "has_more": more, "first_id": first, "last_id": last}


def _anthropic_model(model: ModelEntry) -> Members:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name or model.id,
        "created_at": datetime.fromtimestamp(model.created or 0, UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": model.context_length,
        "max_tokens": model.max_output_tokens,
        "capabilities": model.native.get("capabilities"),
    }


# Gemini


def _gemini_list(models: Models, query: Query) -> Members:
    page, token = _token_page(models, query, _size(query, "pageSize", 50, 1000), "pageToken")
    body: Members = {"models": [_gemini_model(model) for model in page]}
    return {**body, **({"nextPageToken": token} if token else {})}


def _gemini_model(model: ModelEntry) -> Members:
    known = {
        "displayName": model.name or model.id,
        "description": model.native.get("description"),
        "inputTokenLimit": model.context_length,
        "outputTokenLimit": model.max_output_tokens,
    }
    methods = as_list(model.native.get("supportedGenerationMethods")) or _methods(model)
    return {"name": f"models/{model.id}", **without_nulls(known), "supportedGenerationMethods": methods}


def _methods(model: ModelEntry) -> list[str]:
    if "embed" in model.id:
        return ["embedContent", "batchEmbedContents"]
    return ["generateContent", "streamGenerateContent", "countTokens"]


# Vertex: models by their publishers, a provider's as its own


def _publisher_list(models: Models, query: Query) -> Members:
    page, token = _token_page(models, query, _size(query, "pageSize", 100, 1000), "pageToken")
    body: Members = {"publisherModels": [_publisher_model(model) for model in page]}
    return {**body, **({"nextPageToken": token} if token else {})}


def _publisher_model(model: ModelEntry) -> Members:
    provider, _, name = model.id.partition("/")
    publisher = "google" if model.owned_by == "google" else provider
    known = {"displayName": model.name, "versionId": model.native.get("versionId")}
    return {"name": f"publishers/{publisher}/models/{name.removeprefix('google/')}", **without_nulls(known)}


# Bedrock


def _bedrock_list(models: Models, query: Query) -> Members:
    wanted = query.get("byProvider")
    found = [model for model in models if not wanted or (model.owned_by or "").lower() == wanted.lower()]
    return {"modelSummaries": [_bedrock_summary(model) for model in found]}


def _bedrock_summary(model: ModelEntry) -> Members:
    own = {name: model.native.get(name) for name in _BEDROCK_KEPT}
    return {
        "modelArn": f"arn:aws:bedrock:::foundation-model/{model.id}",
        "modelId": model.id,
        "modelName": model.name or model.id,
        "providerName": model.owned_by or "",
        "responseStreamingSupported": "embed" not in model.id,
        "modelLifecycle": {"status": "ACTIVE"},
        **without_nulls(own),
    }


_BEDROCK_KEPT: Final = (
    "modelArn",
    "inputModalities",
    "outputModalities",
    "responseStreamingSupported",
    "customizationsSupported",
    "inferenceTypesSupported",
    "modelLifecycle",
)


def _bedrock_model(model: ModelEntry) -> Members:
    return {"modelDetails": _bedrock_summary(model)}


# Cohere


def _cohere_list(models: Models, query: Query) -> Members:
    endpoint = query.get("endpoint")
    found = [model for model in models if not endpoint or endpoint in _endpoints(model)]
    page, token = _token_page(found, query, _size(query, "page_size", 20, 1000), "page_token")
    body: Members = {"models": [_cohere_model(model) for model in page]}
    return {**body, **({"next_page_token": token} if token else {})}


def _cohere_model(model: ModelEntry) -> Members:
    return {
        "name": model.id,
        "is_deprecated": False,
        "endpoints": _endpoints(model),
        "finetuned": bool(model.native.get("finetuned")),
        **without_nulls({"context_length": model.context_length}),
    }


def _endpoints(model: ModelEntry) -> list[str]:
    names = [name for name in as_list(model.native.get("endpoints")) if isinstance(name, str)]
    kind = "embed" if "embed" in model.id else "rerank" if "rerank" in model.id else "chat"
    return names or [kind]


MODEL_FORMS: Final[Mapping[str, ModelForm]] = {
    "messages": ModelForm(_anthropic_list, _anthropic_model),
    "gemini": ModelForm(_gemini_list, _gemini_model),
    "converse": ModelForm(_bedrock_list, _bedrock_model),
    "publishers": ModelForm(_publisher_list, _publisher_model),
    "cohere": ModelForm(_cohere_list, _cohere_model),
}
"""The form of each door, by the dialect that it speaks; ``publishers`` is Vertex's."""
