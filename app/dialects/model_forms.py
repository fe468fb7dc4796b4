"""Encode model lists in the formats of Anthropic, Gemini, Bedrock, Cohere and Vertex (server half).

What is not known of a model is null or left out, as in each API. Pages are requested by id or
by a token. A token is the id of a model here, so that a list that grows between two pages
neither repeats nor skips a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from app.canonical.media import ModelEntry
from app.canonical.record import record
from app.dialects.shared.lenient_json import JSON, as_list, small_integer, without_nulls
from app.dialects.shared.strict_json import invalid

Models = Sequence[ModelEntry]
Query = Mapping[str, str]


@record
class ModelForm:
    """The format of one API.

    ``encode_list`` takes all models and the query of the request, and raises ``bad_request`` with the
    name of a wrong parameter. ``encode_model`` encodes a single model.
    """

    encode_list: Callable[[Models, Query], JSON]
    encode_model: Callable[[ModelEntry], JSON]


def _size(query: Query, name: str, default: int) -> int:
    """Return the number of models in a page."""
    text = query.get(name)
    size = small_integer(text, digits=9) if text else default
    if not size:
        raise invalid(name, f"expected an integer from 1 to {_MAX_SIZE}.")
    return min(size, _MAX_SIZE)


def _position(models: Models, query: Query, name: str) -> int | None:
    """Return the index of the model whose id is the value of a parameter, None without the parameter."""
    model_id = query.get(name)
    if not model_id:
        return None
    position = next((at for at, model in enumerate(models) if model.id == model_id), None)
    if position is None:
        raise invalid(name, f"no model '{model_id}' is in the list.")
    return position


@record
class _Paging:
    """Paging by token: the parameters of size and token, the member of the next token, the default size."""

    size: str
    token: str
    next: str
    default: int

    def body(self, models: Models, query: Query, member: str, encode: Callable[[ModelEntry], JSON]) -> JSON:
        """Return a page of models in ``member``, with the next token if more follow."""
        size, after = _size(query, self.size, self.default), _position(models, query, self.token)
        start = 0 if after is None else after + 1
        page = models[start : start + size]
        more = {self.next: page[-1].id} if page and start + size < len(models) else {}
        return {member: [encode(model) for model in page], **more}


_MAX_SIZE: Final = 1000
_GEMINI: Final = _Paging("pageSize", "pageToken", "nextPageToken", 50)
_VERTEX: Final = replace(_GEMINI, default=100)
_COHERE: Final = _Paging("page_size", "page_token", "next_page_token", 20)


# Anthropic


def _anthropic_list(models: Models, query: Query) -> JSON:
    size = _size(query, "limit", 20)
    after, before = _position(models, query, "after_id"), _position(models, query, "before_id")
    if before is not None and after is None:
        page, more = models[max(0, before - size) : before], before > size
    else:
        start, end = 0 if after is None else after + 1, len(models) if before is None else before
        page, more = models[start : min(start + size, end)], start + size < end
    data = [_anthropic_model(model) for model in page]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return {"data": data, "has_more": more, "first_id": first, "last_id": last}


def _anthropic_model(model: ModelEntry) -> JSON:
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


def _gemini_model(model: ModelEntry) -> JSON:
    members = {
        "displayName": model.name or model.id,
        "description": model.native.get("description"),
        "inputTokenLimit": model.context_length,
        "outputTokenLimit": model.max_output_tokens,
    }
    methods = as_list(model.native.get("supportedGenerationMethods")) or _methods(model)
    return {"name": f"models/{model.id}", **without_nulls(members), "supportedGenerationMethods": methods}


def _methods(model: ModelEntry) -> list[str]:
    if "embed" in model.id:
        return ["embedContent", "batchEmbedContents"]
    return ["generateContent", "streamGenerateContent", "countTokens"]


# Vertex: a model's publisher is Google or the provider


def _publisher_model(model: ModelEntry) -> JSON:
    provider, _, name = model.id.partition("/")
    publisher = "google" if model.owned_by == "google" else provider
    members = {"displayName": model.name, "versionId": model.native.get("versionId")}
    return {"name": f"publishers/{publisher}/models/{name.removeprefix('google/')}", **without_nulls(members)}


# Bedrock


def _bedrock_list(models: Models, query: Query) -> JSON:
    provider = query.get("byProvider")
    rows = [one for one in models if not provider or (one.owned_by or "").lower() == provider.lower()]
    return {"modelSummaries": [_bedrock_summary(model) for model in rows]}


def _bedrock_summary(model: ModelEntry) -> JSON:
    own = {name: model.native.get(name) for name in _BEDROCK_MEMBERS}
    return {
        "modelArn": f"arn:aws:bedrock:::foundation-model/{model.id}",
        "modelId": model.id,
        "modelName": model.name or model.id,
        "providerName": model.owned_by or "",
        "responseStreamingSupported": "embed" not in model.id,
        "modelLifecycle": {"status": "ACTIVE"},
        **without_nulls(own),
    }


_BEDROCK_MEMBERS: Final = (
    "modelArn",
    "inputModalities",
    "outputModalities",
    "responseStreamingSupported",
    "customizationsSupported",
    "inferenceTypesSupported",
    "modelLifecycle",
)


# Cohere


def _cohere_list(models: Models, query: Query) -> JSON:
    endpoint = query.get("endpoint")
    rows = [model for model in models if not endpoint or endpoint in _endpoints(model)]
    return _COHERE.body(rows, query, "models", _cohere_model)


def _cohere_model(model: ModelEntry) -> JSON:
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
    "gemini": ModelForm(partial(_GEMINI.body, member="models", encode=_gemini_model), _gemini_model),
    "converse": ModelForm(_bedrock_list, lambda model: {"modelDetails": _bedrock_summary(model)}),
    "publishers": ModelForm(
        partial(_VERTEX.body, member="publisherModels", encode=_publisher_model), _publisher_model
    ),
    "cohere": ModelForm(_cohere_list, _cohere_model),
}
"""The format of model lists on the surface of each dialect; ``publishers`` is Vertex's."""
