"""The description of the API (OpenAPI 3.1), made from what serves it.

Paths come from the URL map, request bodies from the schemas that check them at the door,
answers from ``openapi_shapes``. It is made at the first request and kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apispec import APISpec
from flask import Flask
from werkzeug.routing import Rule

from app.surfaces.mounts import MOUNTS, Mount, below_azure
from app.surfaces.openapi_shapes import FLAG, SHAPES, TEXT, TEXT_OR_NULL, WHOLE, Shape, record, ref
from app.surfaces.schemas import SCHEMAS
from app.surfaces.schemas.base import Array, Body, Either, Flag, Number, Strict, Table, Text, Whole
from app.surfaces.schemas.parts import string
from app.version import __version__

_ARGUMENT: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_ARGUMENT_NAME: Final = re.compile(r"{([^{}]+)}")
_MOUNTS: Final[Mapping[str, Mount]] = {mount.name: mount for mount in MOUNTS}
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_FORM_BODY: Final = "transcription"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one view takes and gives.

    ``body`` names the schema at the door, ``answer`` a component; ``streams``: events come
    instead where the request asks for them; ``sealed``: the answer has its surface's envelope.
    """

    answer: str
    body: str | None = None
    query: tuple[str, ...] = ()
    streams: bool = False
    sealed: bool = False
    optional_body: bool = False


_PAGE: Final = ("limit", "order", "after", "before", "include")

OPERATIONS: Final[Mapping[str, Operation]] = {
    "responses_create": Operation("Response", "responses", streams=True, sealed=True),
    "prompts_input_tokens": Operation("InputTokens", "input_tokens", sealed=True),
    "prompts_compact": Operation("Compaction", "compact", sealed=True),
    "stored_retrieve": Operation(
        "Response", query=("include", "stream", "starting_after", "include_obfuscation"), streams=True
    ),
    "stored_delete": Operation("DeletedResponse"),
    "stored_cancel": Operation("Response"),
    "stored_input_items": Operation("ItemList", query=_PAGE),
    "conversations_create": Operation("Conversation", "conversation", optional_body=True),
    "conversations_get": Operation("Conversation"),
    "conversations_update": Operation("Conversation", "conversation_update"),
    "conversations_delete": Operation("DeletedConversation"),
    "conversations_add_items": Operation("ItemList", "conversation_items", query=("include",)),
    "conversations_list_items": Operation("ItemList", query=_PAGE),
    "conversations_get_item": Operation("Item", query=("include",)),
    "conversations_delete_item": Operation("Conversation"),
    "generation_chat": Operation("ChatCompletion", "chat", streams=True, sealed=True),
    "generation_completion": Operation("TextCompletion", "completion", streams=True, sealed=True),
    "models_listed": Operation("ModelList", query=("provider", "limit", "after")),
    "models_one": Operation("Model"),
    "media_embedding": Operation("Embeddings", "embedding", sealed=True),
    "media_speech": Operation("Speech", "speech", streams=True),
    "media_transcription": Operation("Transcription", "transcription", streams=True, sealed=True),
    "operations_alive": Operation("Health"),
    "operations_ready": Operation("Health"),
    "operations_metrics": Operation("Plain"),
    "operations_description": Operation("Document"),
    "operations_docs": Operation("Plain"),
}
"""By module and name of the view; every rule of the URL map has one."""

_QUERY: Final[Mapping[str, Shape]] = {
    "limit": WHOLE,
    "order": {"enum": ["asc", "desc"]},
    "after": TEXT,
    "before": TEXT,
    "include": {"type": "array", "items": TEXT},
    "stream": FLAG,
    "starting_after": WHOLE,
    "include_obfuscation": FLAG,
    "provider": TEXT,
    "api-version": TEXT,
}

_FORM: Final[Shape] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        "model": TEXT,
        "language": TEXT,
        "prompt": TEXT,
        "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]},
        "temperature": {"type": "number"},
        "stream": FLAG,
        "timestamp_granularities[]": {"type": "array", "items": {"enum": ["word", "segment"]}},
        "fallbacks": {"type": "array", "items": TEXT},
    },
    "required": ["file"],
}

_MEDIA: Final[Mapping[str, Mapping[str, Any]]] = {
    "Speech": {"audio/*": {"schema": {"type": "string", "contentMediaType": "audio/*"}}},
    "Plain": {"text/*": {"schema": TEXT}},
    "Document": {_JSON: {"schema": {"type": "object"}}},
}
"""Answers that are no component."""


def body_shape(body: type[Body]) -> Shape:
    """Return a body's JSON Schema; unknown members are welcome."""
    fields: Mapping[str, Any] = body().fields
    shape: dict[str, Any] = {
        "type": "object",
        "properties": {name: field_shape(field) for name, field in fields.items()},
        "additionalProperties": True,
    }
    required = [name for name, field in fields.items() if field.required]
    return {**shape, "required": required} if required else shape


def field_shape(field: Strict) -> Shape:
    """Return the JSON Schema of one member: null counts as absent, unless it is required."""
    shape = _FIELDS[type(field)](field)
    return shape if field.required else {"anyOf": [shape, {"type": "null"}]}


def _limits(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, ())}


def _text(field: Text) -> Shape:
    return {"type": "string", **_limits(enum=list(field.choices) or None, maxLength=field.longest)}


def _number(field: Number) -> Shape:
    kind = "integer" if isinstance(field, Whole) else "number"
    return {"type": kind, **_limits(minimum=field.least, maximum=field.most)}


def _array(field: Array) -> Shape:
    items = TEXT if field.each is string else {}
    return {"type": "array", "items": items, **_limits(maxItems=field.longest)}


_FIELDS: Final[Mapping[type[Strict], Callable[[Any], Shape]]] = {
    Text: _text,
    Flag: lambda field: FLAG,
    Number: _number,
    Whole: _number,
    Array: _array,
    Table: lambda field: {"type": "object"},
    Either: lambda field: {"anyOf": [_FIELDS[type(option)](option) for option in field.options]},
}


def describe(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of ``app``, without its ``servers``."""
    spec = APISpec(
        title="Sluice",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "One LLM gateway, many doors.", "license": {"name": "Apache-2.0"}},
    )
    for name, shape in SHAPES.items():
        spec.components.schema(name, dict(shape))
    for name, body in SCHEMAS.items():
        spec.components.schema(_component(name), dict(body_shape(body)))
    for name, scheme in _schemes().items():
        spec.components.security_scheme(name, scheme)
    for path, rules in _by_path(app).items():
        spec.path(
            path,
            operations={method: _operation(app, rule) for method, rule in rules.items()},
            parameters=[_member("path", name, TEXT) for name in _ARGUMENT_NAME.findall(path)],
        )
    document: dict[str, Any] = spec.to_dict()
    return document


def _by_path(app: Flask) -> dict[str, dict[str, Rule]]:
    """Return the rules by path and method, in the order of their paths."""
    found: dict[str, dict[str, Rule]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        path = _ARGUMENT.sub(r"{\1}", rule.rule)
        found.setdefault(path, {}).update((method.lower(), rule) for method in sorted(methods))
    return found


def operation_of(endpoint: str) -> tuple[Operation, Mount | None]:
    """Return what serves an endpoint of the URL map, and at which mount (None: none)."""
    blueprint, _, name = endpoint.partition(".")
    view = name.rstrip("0123456789").rstrip("_")
    mount = _MOUNTS.get(blueprint)
    return OPERATIONS[view if mount else f"{blueprint}_{view}"], mount


def _operation(app: Flask, rule: Rule) -> dict[str, Any]:
    operation, mount = operation_of(rule.endpoint)
    names = [*operation.query, *(["api-version"] if below_azure(rule.rule) else [])]
    described: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": _summary(app.view_functions[rule.endpoint]),
        "security": [{name: []} for name in ("bearer", *mount.credentials)] if mount else [],
        "parameters": [_member("query", name, _QUERY[name]) for name in names],
        "responses": {"200": _answer(operation, mount)},
    }
    if mount:
        described["responses"]["default"] = _described("An error.", ref("Error"))
    if operation.body is not None:
        described["requestBody"] = _request(operation, mount)
    return described


def _request(operation: Operation, mount: Mount | None) -> dict[str, Any]:
    name = operation.body or ""
    if name == _FORM_BODY:
        content = {"multipart/form-data": {"schema": _FORM}}
    else:
        chat_shaped = mount is not None and mount.chat_shaped and f"chat_shaped_{name}" in SCHEMAS
        content = {_JSON: {"schema": ref(_component(f"chat_shaped_{name}" if chat_shaped else name))}}
    return {"required": not operation.optional_body, "content": content}


def _answer(operation: Operation, mount: Mount | None) -> dict[str, Any]:
    content = dict(_MEDIA.get(operation.answer) or {_JSON: {"schema": _sealed(operation, mount)}})
    if operation.streams:
        content[_EVENTS] = {"schema": TEXT}
    return {"description": "The answer.", "content": content}


def _sealed(operation: Operation, mount: Mount | None) -> Shape:
    """Return the schema of an answer with what its surface adds."""
    shape = ref(operation.answer)
    if mount is None or not operation.sealed:
        return shape
    if mount.envelope == "provider":
        return {"allOf": [shape, record({"provider": TEXT_OR_NULL})]}
    added = [ref("PageMembers")] if mount.page_members and operation.body == "responses" else []
    return {"allOf": [shape, record({"extra_fields": ref("ExtraFields")}), *added]}


def _described(description: str, shape: Shape) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": shape}}}


def _member(place: str, name: str, shape: Shape) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": shape}


def _summary(view: Any) -> str:
    """Return the first sentence of a view's docstring, without its ticks."""
    lines = (getattr(view, "func", view).__doc__ or "").strip().split("\n\n")[0]
    return " ".join(lines.replace("``", "").split())


def _component(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_")) + "Body"


def _schemes() -> dict[str, dict[str, str]]:
    keys = {name: {"type": "apiKey", "in": "header", "name": name} for m in MOUNTS for name in m.credentials}
    return {"bearer": {"type": "http", "scheme": "bearer"}, **keys}
