"""Model lists: decode the list of every vendor, encode OpenAI's list object.

Vendors' lists differ in names only: a ``ListForm`` has the names of their members and the query
of the next page. Sources: recorded traffic; for Azure, Cohere, ElevenLabs and Vertex the
vendors' references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from app.canonical.media import ModelEntry, ModelPage
from app.canonical.record import record
from app.dialects.base import ClientContext, ModelListDialect
from app.dialects.chat import errors as chat_errors
from app.dialects.gemini import response_in as gemini_response
from app.dialects.media import elevenlabs_errors
from app.dialects.shared.lenient_json import (
    as_dict,
    at_path,
    count,
    dicts,
    opt_str,
    unix_time,
    without_nulls,
)
from app.errors import GatewayError

NAME: Final = "models"

Path = tuple[str, ...]
Query = dict[str, str]


def _token(member: str, parameter: str) -> Callable[[Mapping[str, Any]], Query | None]:
    """Return a function that finds the query of the next page by the token in ``member``."""

    return lambda body: {parameter: token} if (token := opt_str(body.get(member))) is not None else None


def _last_id(body: Mapping[str, Any]) -> Query | None:
    last = opt_str(body.get("last_id"))
    return {"after_id": last} if body.get("has_more") is True and last is not None else None


@record
class ListForm:
    """One vendor's list.

    ``member`` has the entries (None: the body is the list). The other fields are the names, or
    paths, of an entry's id, name, owner, time of creation and limits; the first with a value
    counts. ``status``: entries with another status are left out.
    """

    member: str | None = "data"
    id: tuple[str, ...] = ("id",)
    prefix: str = ""
    name: tuple[str, ...] = ("name", "display_name")
    owner: tuple[str, ...] = ("owned_by",)
    created: tuple[str, ...] = ("created", "created_at")
    context: tuple[Path, ...] = (
        ("context_length",),
        ("context_window",),
        ("max_context_length",),
        ("max_model_len",),
    )
    output: tuple[Path, ...] = (
        ("max_output_tokens",),
        ("max_completion_tokens",),
        ("max_output_length",),
        ("top_provider", "max_completion_tokens"),
    )
    status: str | None = None
    next: Callable[[Mapping[str, Any]], Query | None] = lambda body: None


OPENAI: Final = ListForm()
"""Also Groq, Cerebras, Mistral, OpenRouter, Perplexity, SGLang, Parasail."""
AZURE: Final = ListForm(status="succeeded")
ANTHROPIC: Final = ListForm(context=(("max_input_tokens",),), output=(("max_tokens",),), next=_last_id)
GEMINI: Final = ListForm(
    member="models",
    id=("name",),
    prefix="models/",
    name=("displayName",),
    context=(("inputTokenLimit",),),
    output=(("outputTokenLimit",),),
    next=_token("nextPageToken", "pageToken"),
)
VERTEX: Final = ListForm(
    member="publisherModels",
    id=("name",),
    prefix="publishers/google/models/",
    name=("displayName",),
    next=_token("nextPageToken", "pageToken"),
)
COHERE: Final = ListForm(member="models", id=("name",), next=_token("next_page_token", "page_token"))
BEDROCK: Final = ListForm(
    member="modelSummaries",
    id=("modelId",),
    name=("modelName",),
    owner=("providerName",),
    output=(("converse", "maxTokensMaximum"),),
)
OLLAMA: Final = ListForm(member="models", id=("model", "name"), created=("modified_at",))
ELEVENLABS: Final = ListForm(member=None, id=("model_id",))

_CATALOGUE_MEMBERS: Final = (
    "description",
    "canonical_slug",
    "hugging_face_id",
    "architecture",
    "pricing",
    "top_provider",
    "per_request_limits",
    "supported_parameters",
    "default_parameters",
)
"""Members that clients see as the vendor sends them."""


def encode_list(models: Iterable[ModelEntry], *, has_more: bool | None = None) -> dict[str, Any]:
    """Return OpenAI's list object; without ``has_more`` it has no members of paging."""
    data = [encode_model(model) for model in models]
    body: dict[str, Any] = {"object": "list", "data": data}
    if has_more is None:
        return body
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {**body, "first_id": first, "last_id": last, "has_more": has_more}


def encode_model(model: ModelEntry) -> dict[str, Any]:
    """Return OpenAI's model object with further members that are known."""
    members = {
        "name": model.name,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "supported_methods": model.native.get("supportedGenerationMethods"),
        **{name: model.native.get(name) for name in _CATALOGUE_MEMBERS},
    }
    return {
        "id": model.id,
        "object": "model",
        "created": model.created or 0,
        "owned_by": model.owned_by or "",
        **without_nulls(members),
    }


def decode_page(body: Any, context: ClientContext) -> ModelPage:
    """Return one page, read by the ``ListForm`` of ``context.options`` or that of its members.

    Raises the error that a response of status 200 holds, and ``upstream_invalid`` for anything else.
    """
    form = _form(context, body)
    if (failure := chat_errors.failure_in(body)) is not None:
        raise failure
    entries = body if form.member is None else as_dict(body).get(form.member)
    if not isinstance(entries, list):
        raise GatewayError("upstream_invalid", "The provider's answer is not a list of models.", raw=body)
    ready = (
        one for one in dicts(entries) if form.status is None or one.get("status", form.status) == form.status
    )
    models = tuple(model for entry in ready if (model := _entry(entry, form)) is not None)
    return ModelPage(models, form.next(as_dict(body)))


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response with status 400 or above, in the format of any vendor."""
    members = as_dict(body)
    if isinstance(as_dict(members.get("error")).get("status"), str):
        return gemini_response.decode_error(status, body, headers)
    if isinstance(members.get("detail"), dict):
        return elevenlabs_errors.decode_error(status, body, headers)
    return chat_errors.decode_error(status, body, headers)


def page(
    models: Sequence[ModelEntry], limit: int | None, after: str | None
) -> tuple[Sequence[ModelEntry], bool | None]:
    """Return at most ``limit`` models, those behind the one with the id ``after``, and whether more follow.

    Without either all models and None. Raises ``bad_request`` if no model has the id ``after``.
    """
    if limit is None and after is None:
        return models, None
    ids = [model.id for model in models]
    if after is not None and after not in ids:
        raise GatewayError(
            "bad_request",
            f"Invalid 'after': there is no model '{after}' in this list.",
            param="after",
            code="invalid_value",
        )
    start = 0 if after is None else ids.index(after) + 1
    end = len(models) if limit is None else start + limit
    return models[start:end], end < len(models)


def _entry(entry: Mapping[str, Any], form: ListForm) -> ModelEntry | None:
    """Return the model of one entry, None without an id."""
    model_id = _first_text(entry, form.id)
    if model_id is None:
        return None
    return ModelEntry(
        id=model_id.removeprefix(form.prefix),
        created=next(filter(None, (_unix(entry.get(name)) for name in form.created)), None),
        owned_by=_first_text(entry, form.owner),
        name=_first_text(entry, form.name),
        context_length=_first_count(entry, form.context),
        max_output_tokens=_first_count(entry, form.output),
        native=dict(entry),
    )


def _first_text(entry: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((text for text in (opt_str(entry.get(name)) for name in names) if text), None)


def _first_count(entry: Mapping[str, Any], paths: Iterable[Path]) -> int | None:
    return next((number for number in (count(at_path(entry, path)) for path in paths) if number), None)


def _unix(value: Any) -> int | None:
    """Return a time in Unix seconds, which may be an RFC 3339 text."""
    return unix_time(value) or count(value)


def _form(context: ClientContext, body: Any) -> ListForm:
    if isinstance(context.options, ListForm):
        return context.options
    if isinstance(body, list):
        return ELEVENLABS
    return next((form for form, fits in _SHAPES if fits(as_dict(body))), OPENAI)


def _has_mark(member: str, *marks: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return a test for a body with the list ``member`` whose first entry has one of ``marks``, if there are any."""

    def fits(body: Mapping[str, Any]) -> bool:
        entries = dicts(body.get(member))
        return member in body and (not marks or any(mark in entry for entry in entries[:1] for mark in marks))

    return fits


_SHAPES: Final[tuple[tuple[ListForm, Callable[[Mapping[str, Any]], bool]], ...]] = (
    (VERTEX, _has_mark("publisherModels")),
    (BEDROCK, _has_mark("modelSummaries")),
    (GEMINI, _has_mark("models", "supportedGenerationMethods", "inputTokenLimit")),
    (OLLAMA, _has_mark("models", "digest", "modified_at")),
    (COHERE, _has_mark("models")),
    (ANTHROPIC, _has_mark("data", "max_input_tokens")),
    (ANTHROPIC, lambda body: "first_id" in body and "has_more" in body),
    (AZURE, _has_mark("data", "lifecycle_status")),
)
"""The form of a list by its members, the most distinctive first; any other is OpenAI's."""


DIALECT: Final = ModelListDialect(
    name=NAME,
    encode_list=encode_list,
    encode_model=encode_model,
    decode_page=decode_page,
    decode_error=decode_error,
)
