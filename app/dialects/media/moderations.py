"""Moderation, from both ends: does a text or picture harm, by category.

OpenAI's body is a text, texts (a judgement each), or the parts of one message (one judgement of all);
Mistral judges texts alone, under categories of its own, and does not say ``flagged``. Members: the types
``ModerationCreateParams`` and ``ModerationCreateResponse`` of openai-python 3.51, ``ClassificationRequest``
and ``ModerationResponse`` of mistralai 3.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from app.canonical.media import Judgement, ModerationInput, ModerationRequest, ModerationResponse
from app.canonical.record import record
from app.canonical.request import ImagePart, Origin, TextPart
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.media.base import WholeDialect, estimated_usage
from app.dialects.shared.lenient_json import as_dict, as_list, opt_str, rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value
from app.errors import GatewayError

NAME: Final = "moderations"
DEFAULT_MODEL: Final = "omni-moderation-latest"
"""What OpenAI takes where a body names no model."""

_KNOWN: Final = frozenset({"model", "input", "fallbacks"})


@record(kw_only=True)
class ModerationDialect(WholeDialect[ModerationRequest, ModerationResponse]):
    """A wire of moderation, one call a request."""


@record
class ModerationOptions:
    """Quirks of one wire: ``parts`` tells whether it takes the parts of a message, ``members`` what it
    knows beyond model and input."""

    parts: bool = True
    members: frozenset[str] = frozenset()


MISTRAL: Final = ModerationOptions(parts=False, members=frozenset({"metadata"}))


def decode_request(body: Mapping[str, Any], context: ServerContext) -> ModerationRequest:
    """Return what a client's body asks for; raises ``bad_request`` by path."""
    return ModerationRequest(
        model=ClientObject(body).text("model") or context.model or "",
        inputs=_inputs(body.get("input")),
        extra={name: value for name, value in rest(body, _KNOWN).items() if value is not None},
        origin=Origin(NAME, body),
    )


def _inputs(value: Any) -> tuple[ModerationInput, ...]:
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array", value)
    if not value:
        raise GatewayError(
            "bad_request", "Invalid 'input': it cannot be empty.", param="input", code="invalid_value"
        )
    if isinstance(value[0], str):
        return tuple(_text(one, f"input[{at}]") for at, one in enumerate(value))
    return (tuple(_part(one, f"input[{at}]") for at, one in enumerate(value)),)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(path, "a string, as the others are", value)
    return value


def _part(value: Any, path: str) -> TextPart | ImagePart:
    part = ClientObject.of(value, path)
    kind = part.required_text("type")
    if kind == "text":
        return TextPart(part.required_text("text"))
    if kind != "image_url":
        raise wrong_value(part.at("type"), kind, "'text' and 'image_url'")
    image = part.object("image_url")
    if image is None:
        raise missing(part.at("image_url"))
    return ImagePart(url=image.required_text("url"))


def encode_request(request: ModerationRequest, context: ClientContext) -> EncodedRequest:
    """Return the body; pictures are refused where the wire takes texts alone."""
    options = context.options if isinstance(context.options, ModerationOptions) else ModerationOptions()
    inputs = [_write_input(one, options, context) for one in request.inputs]
    body: dict[str, Any] = {"model": context.model, "input": inputs[0] if len(inputs) == 1 else inputs}
    for name, value in request.extra.items():
        if name in options.members:
            body[name] = value
        else:
            context.losses.report("extra", param=name)
    return EncodedRequest(body)


def _write_input(judged: ModerationInput, options: ModerationOptions, context: ClientContext) -> Any:
    if isinstance(judged, str):
        return judged
    if options.parts:
        return [_write_part(part) for part in judged]
    for at, part in enumerate(judged):
        if isinstance(part, ImagePart):
            context.losses.report("image", "Pictures cannot be judged by this model", param=f"input[{at}]")
    return text_of(judged)


def _write_part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url}}


def text_of(judged: ModerationInput) -> str:
    """Return the words of one input, those of its parts a line each."""
    if isinstance(judged, str):
        return judged
    return "\n".join(part.text for part in judged if isinstance(part, TextPart))


def decode_response(body: Any, request: ModerationRequest, context: ClientContext) -> ModerationResponse:
    """Read a provider's answer; raises ``upstream_invalid`` unless each input has a judgement."""
    members = as_dict(body)
    results = as_list(members.get("results"))
    if len(results) != len(request.inputs):
        raise _invalid(f"{len(request.inputs)} inputs with {len(results)} results", body)
    return ModerationResponse(
        opt_str(members.get("id")),
        opt_str(members.get("model")),
        tuple(map(_judgement, results)),
        estimated_usage(map(text_of, request.inputs)),
    )


def _judgement(result: Any) -> Judgement:
    members = as_dict(result)
    categories, scores = as_dict(members.get("categories")), as_dict(members.get("category_scores"))
    if not categories or not all(value is None or isinstance(value, bool) for value in categories.values()):
        raise _invalid("a text with categories that are none", result)
    if not all(value is None or _is_number(value) for value in scores.values()):
        raise _invalid("a text with a score that is no number", result)
    flagged = members.get("flagged")
    applied = as_dict(members.get("category_applied_input_types"))
    return Judgement(
        flagged if isinstance(flagged, bool) else any(categories.values()),
        categories,
        scores,
        {name: kinds for name, kinds in applied.items() if isinstance(kinds, list)},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _invalid(what: str, raw: Any) -> GatewayError:
    return GatewayError("upstream_invalid", f"The provider answered {what}.", raw=raw)


def encode_response(
    response: ModerationResponse, request: ModerationRequest, context: ServerContext
) -> dict[str, Any]:
    """Return OpenAI's object. OpenAI tells no usage; ours is the estimate that limits and cost go by."""
    usage = response.usage or estimated_usage(map(text_of, request.inputs))
    return {
        "id": response.id or context.new_id("modr-"),
        "model": response.model or request.model,
        "results": [_result(one) for one in response.judgements],
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total},
    }


def _result(judgement: Judgement) -> dict[str, Any]:
    applied = judgement.applied or {name: ["text"] for name in judgement.categories}
    return {
        "flagged": judgement.flagged,
        "categories": dict(judgement.categories),
        "category_scores": dict(judgement.scores),
        "category_applied_input_types": dict(applied),
    }


DIALECT: Final = ModerationDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
)
