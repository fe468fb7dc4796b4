"""The description of the API (OpenAPI 3.1), built from what serves it.

Paths come from the URL map, request bodies from the schemas that check them, answers from ``shapes``, as the routes of
operations say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from apispec import APISpec
from flask import Flask

from app.operations import Route, resolve
from app.surfaces.body.schemas import schemas
from app.surfaces.body.schemas.base import (
    Array,
    Body,
    Boolean,
    Either,
    Integer,
    Number,
    Object,
    Strict,
    String,
)
from app.surfaces.body.schemas.batches import Endpoint, Window
from app.surfaces.body.schemas.parts import string
from app.surfaces.mounts import Mount
from app.surfaces.openapi.examples import EXAMPLES, argument
from app.surfaces.openapi.shapes import (
    BOOLEAN,
    INTEGER,
    SHAPES,
    STRING,
    STRING_OR_NULL,
    Shape,
    array_of,
    record,
    ref,
)
from app.surfaces.rules import SurfaceRule
from app.version import __version__

_ARGUMENT: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_ARGUMENT_NAME: Final = re.compile(r"{([^{}]+)}")
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_QUERY: Final[Mapping[str, Shape]] = {
    "limit": INTEGER,
    "order": {"enum": ["asc", "desc"]},
    "after": STRING,
    "after_id": STRING,
    "page_size": INTEGER,
    "page_token": STRING,
    "endpoint": STRING,
    "before_id": STRING,
    "before": STRING,
    "include": {"type": "array", "items": STRING},
    "stream": BOOLEAN,
    "starting_after": INTEGER,
    "include_obfuscation": BOOLEAN,
    "provider": STRING,
    "byProvider": STRING,
    "pageSize": INTEGER,
    "pageToken": STRING,
    "api-version": STRING,
    "purpose": STRING,
}

_MODEL: Final[Shape] = {**STRING, "example": "sandbox/echo"}


def _form_shape(fields: Mapping[str, Shape], required: tuple[str, ...] = ("file",)) -> Shape:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {"type": "object", "properties": {"file": file, **fields}, "required": [*required]}


_FORM: Final = _form_shape(
    {
        "model": _MODEL,
        "language": STRING,
        "prompt": STRING,
        "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]},
        "temperature": {"type": "number"},
        "stream": BOOLEAN,
        "timestamp_granularities[]": {"type": "array", "items": {"enum": ["word", "segment"]}},
        "fallbacks": {"type": "array", "items": STRING},
    }
)
_FORMS: Final[Mapping[str, Shape]] = {
    "File": _form_shape(
        {
            "purpose": {**STRING, "example": "batch"},
            "expires_after[anchor]": {"enum": ["created_at"]},
            "expires_after[seconds]": INTEGER,
            "provider": STRING,
            "model": STRING,
        },
        ("file", "purpose"),
    ),
    "Translation": _form_shape(
        {
            "model": _MODEL,
            "prompt": STRING,
            "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt"]},
            "temperature": {"type": "number"},
            "fallbacks": {"type": "array", "items": STRING},
        }
    ),
}
"""Multipart bodies by the component of their answer; any other answer has ``_FORM``, that of transcription."""

_MEDIA: Final[Mapping[str, Mapping[str, Any]]] = {
    "Speech": {"audio/*": {"schema": {"type": "string", "contentMediaType": "audio/*"}}},
    "Plain": {"text/*": {"schema": STRING}},
    "EventStream": {"application/vnd.amazon.eventstream": {"schema": {"type": "string"}}},
    "Content": {"application/octet-stream": {"schema": {"type": "string"}}},
    "Document": {_JSON: {"schema": {"type": "object"}}},
}
"""Answers without a component, by media type."""
_UPGRADED: Final = {
    "description": "A WebSocket. Each message of the client is a body of POST with type response.create; "
    "the events of its stream come back, one JSON object a message."
}


def body_shape(body: Body) -> Shape:
    """Return the JSON Schema of a body; unknown members are allowed."""
    fields: Mapping[str, Any] = body.fields
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


def _text(field: String) -> Shape:
    return {"type": "string", **_limits(enum=list(field.choices) or None, maxLength=field.longest)}


def _array(field: Array) -> Shape:
    return {
        "type": "array",
        "items": STRING if field.each is string else {},
        **_limits(maxItems=field.longest),
    }


_FIELDS: Final[Mapping[type[Strict], Callable[[Any], Shape]]] = {
    String: _text,
    Endpoint: _text,
    Window: _text,
    Boolean: lambda field: BOOLEAN,
    Number: lambda field: {"type": "number", **_limits(minimum=field.least, maximum=field.most)},
    Integer: lambda field: {"type": "integer", **_limits(minimum=field.least, maximum=field.most)},
    Array: _array,
    Object: lambda field: {"type": "object"},
    Either: lambda field: {"anyOf": [_FIELDS[type(option)](option) for option in field.options]},
}


def describe(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of ``app``, without its ``servers``."""
    spec = APISpec(
        title="Sluice",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "One LLM gateway, many APIs.", "license": {"name": "Apache-2.0"}},
    )
    rules = surface_rules(app)
    bodies = {name: body_shape(body) for name, body in schemas().items()}
    for name, shape in {**_shapes(rules), **bodies}.items():
        spec.components.schema(name, dict(shape))
    for name, scheme in _schemes(rules).items():
        spec.components.security_scheme(name, scheme)
    for path, by_method in _by_path(rules).items():
        spec.path(
            path,
            operations={method: _operation(rule) for method, rule in by_method.items()},
            parameters=[_argument(path, name) for name in _ARGUMENT_NAME.findall(path)],
        )
    document: dict[str, Any] = spec.to_dict()
    return document


def surface_rules(app: Flask) -> list[SurfaceRule]:
    """Return the rules of the URL map in the order of their paths."""
    rules = (rule for rule in app.url_map.iter_rules() if isinstance(rule, SurfaceRule))
    return sorted(rules, key=lambda rule: rule.rule)


def path_of(rule: SurfaceRule) -> str:
    """Return a rule's path in OpenAPI's form: ``/models/{model_id}``."""
    return _ARGUMENT.sub(r"{\1}", rule.rule)


def methods_of(rule: SurfaceRule) -> list[str]:
    """Return the methods that the description shows for a rule, in lower case."""
    return sorted(method.lower() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"})


def _by_path(rules: Iterable[SurfaceRule]) -> dict[str, dict[str, SurfaceRule]]:
    """Return the rules by path and method."""
    paths: dict[str, dict[str, SurfaceRule]] = {}
    for rule in rules:
        paths.setdefault(path_of(rule), {}).update(dict.fromkeys(methods_of(rule), rule))
    return paths


def _operation(rule: SurfaceRule) -> dict[str, Any]:
    route, mount, places = rule.route, rule.mount, rule.credentials
    parameters = [*route.query, *(["api-version"] if mount is not None and mount.versioned else [])]
    keys = ("bearer", *places.headers, *([places.query] if places.query else []))
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": _summary(resolve("surfaces", route.view)),
        "security": [] if places.keyless else [{name: []} for name in keys],
        "parameters": [_parameter("query", name, _QUERY[name]) for name in parameters],
        "responses": {"101": _UPGRADED} if route.upgrades else {"200": _answer(route, mount)},
    }
    if mount:
        error = {_JSON: {"schema": ref(mount.error)}}
        operation["responses"]["default"] = {"description": "An error.", "content": error}
    if (route.body is not None or route.form) and not route.upgrades:
        operation["requestBody"] = _request(rule)
    return operation


def _request(rule: SurfaceRule) -> dict[str, Any]:
    route = rule.route
    if route.form:
        return {"required": True, "content": {"multipart/form-data": {"schema": _form(route)}}}
    name = _component(rule.body or "")
    example = {"example": EXAMPLES[name]} if name in EXAMPLES else {}
    content = {_JSON: {"schema": ref(name), **example}}
    return {"required": not route.optional_body, "content": content}


def _form(route: Route) -> Shape:
    """Return the schema of a form: a row of ``_FORMS``, or the members of its body with image files."""
    if route.body is None:
        return _FORMS.get(route.answer, _FORM)
    file = {"type": "string", "contentMediaType": "image/*"}
    image = {"anyOf": [file, array_of(file)]}
    files = record({"image": image, "mask": file, "model": _MODEL}, ("mask", "model"))
    return {"allOf": [ref(_component(route.body)), files]}


def _answer(route: Route, mount: Mount | None) -> dict[str, Any]:
    content = dict(_MEDIA.get(route.answer) or {_JSON: {"schema": _envelope_schema(route, mount)}})
    if route.streams:
        content[_EVENTS] = {"schema": STRING}
    return {"description": "The answer.", "content": content}


def _envelope_schema(route: Route, mount: Mount | None) -> Shape:
    """Return the schema of an answer with what its surface adds."""
    shape = ref(_component(route.answer))
    if mount is None or not route.sealed or mount.envelope == "headers":
        return shape
    if mount.envelope == "provider":
        return {"allOf": [shape, record({"provider": STRING_OR_NULL})]}
    page = [ref("PageMembers")] if mount.summary_members and route.answer == "Response" else []
    return {"allOf": [shape, record({"extra_fields": ref("ExtraFields")}), *page]}


def _parameter(place: str, name: str, shape: Shape) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": shape}


def _argument(path: str, name: str) -> dict[str, Any]:
    example = argument(path, name)
    return {**_parameter("path", name, STRING), **({} if example is None else {"example": example})}


def _summary(view: Any) -> str:
    """Return the first paragraph of a view's docstring, without backticks."""
    paragraph = (getattr(view, "func", view).__doc__ or "").strip().split("\n\n")[0]
    return " ".join(paragraph.replace("``", "").split())


def _component(place: str) -> str:
    """Return the name of the component for the schema or shape at ``place``: its last word."""
    return place.rpartition(".")[2]


def _shapes(rules: Iterable[SurfaceRule]) -> dict[str, Shape]:
    """Return the shapes of answers: those of ``shapes``, then those that routes name by their place."""
    places = dict.fromkeys(rule.route.answer for rule in rules if "." in rule.route.answer)
    return {**SHAPES, **{_component(place): resolve("surfaces", place) for place in places}}


def _schemes(rules: Iterable[SurfaceRule]) -> dict[str, dict[str, str]]:
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}}
    for rule in rules:
        places = rule.credentials
        schemes |= {name: {"type": "apiKey", "in": "header", "name": name} for name in places.headers}
        if places.query is not None:
            schemes[places.query] = {"type": "apiKey", "in": "query", "name": places.query}
    return schemes
