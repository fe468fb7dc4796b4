"""Moderation, server and client half: whether a text or image is harmful, by category.

OpenAI's input is a text, texts (a result for each), or the parts of one message (one result). Mistral takes
texts only, has categories of its own, and no ``flagged``. Sources: ``ModerationCreateParams`` and
``ModerationCreateResponse`` of openai-python 3.51, ``ClassificationRequest`` and ``ModerationResponse`` of
mistralai 3.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import Judgement, ModerationInput, ModerationRequest, ModerationResponse
from app.canonical.record import record
from app.canonical.request import ImagePart, Origin, TextPart
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.media.base import WholeDialect, estimate_usage
from app.dialects.shared.lenient_json import as_dict, as_list, number, opt_str, rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, invalid, missing, wrong_type
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

NAME: Final = "moderations"
DEFAULT_MODEL: Final = "omni-moderation-latest"
"""OpenAI's default model."""

_CANONICAL: Final = frozenset({"model", "input", "fallbacks"})
_PARTS: Final = ("text", "image_url")


@record(kw_only=True)
class ModerationDialect(WholeDialect[ModerationRequest, ModerationResponse]):
    """A dialect of moderation, with one call per request."""


@record
class ModerationOptions:
    """Quirks of one provider. ``parts``: takes the parts of a message. ``members``: its members beside
    model and input."""

    parts: bool = True
    members: frozenset[str] = frozenset()


MISTRAL: Final = ModerationOptions(parts=False, members=frozenset({"metadata"}))


def decode_request(body: Mapping[str, Any], context: ServerContext) -> ModerationRequest:
    """Return the canonical request; raises ``bad_request`` with the path of a wrong member."""
    return ModerationRequest(
        model=ClientObject(body).text("model") or context.model or "",
        inputs=_inputs(body.get("input")),
        extra=without_nulls(rest(body, _CANONICAL)),
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
        raise invalid("input", "it cannot be empty.")
    if isinstance(value[0], str):
        return tuple(_text(one, f"input[{at}]") for at, one in enumerate(value))
    return (tuple(_part(one, f"input[{at}]") for at, one in enumerate(value)),)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(path, "a string, as the others are", value)
    return value


def _part(value: Any, path: str) -> TextPart | ImagePart:
    part = ClientObject.of(value, path)
    if part.required_word("type", _PARTS, "'text' and 'image_url'") == "text":
        return TextPart(part.required_text("text"))
    return ImagePart(url=part.required_object("image_url").required_text("url"))


def encode_request(request: ModerationRequest, context: ClientContext) -> EncodedRequest:
    """Return the request; images are refused if the provider takes texts only."""
    options = context.options_as(ModerationOptions)
    inputs = [_encode_input(one, options, context) for one in request.inputs]
    extras = known_extras(request.extra, options.members, context.losses)
    single = inputs[0] if len(inputs) == 1 else inputs
    return EncodedRequest({"model": context.model, "input": single, **extras})


def _encode_input(value: ModerationInput, options: ModerationOptions, context: ClientContext) -> Any:
    if options.parts and not isinstance(value, str):
        return [_encode_part(part) for part in value]
    for at, part in enumerate(value):
        if isinstance(part, ImagePart):
            context.losses.report("image", "This model does not moderate images", param=f"input[{at}]")
    return text_of(value)


def _encode_part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url}}


def text_of(value: ModerationInput) -> str:
    """Return the text of one input, with the texts of its parts on lines of their own."""
    if isinstance(value, str):
        return value
    return "\n".join(part.text for part in value if isinstance(part, TextPart))


def decode_response(body: Any, request: ModerationRequest, context: ClientContext) -> ModerationResponse:
    """Return the results of a response; raises ``upstream_invalid`` unless each input has one."""
    members = as_dict(body)
    results = as_list(members.get("results"))
    if len(results) != len(request.inputs):
        raise _invalid(f"{len(request.inputs)} inputs with {len(results)} results", body)
    return ModerationResponse(
        opt_str(members.get("id")),
        opt_str(members.get("model")),
        tuple(map(_judgement, results)),
        estimate_usage(map(text_of, request.inputs)),
    )


def _judgement(result: Any) -> Judgement:
    members = as_dict(result)
    categories, scores = as_dict(members.get("categories")), as_dict(members.get("category_scores"))
    if not categories or not all(value is None or isinstance(value, bool) for value in categories.values()):
        raise _invalid("a text with categories that are none", result)
    if not all(value is None or number(value) is not None for value in scores.values()):
        raise _invalid("a text with a score that is no number", result)
    flagged = members.get("flagged")
    input_types = as_dict(members.get("category_applied_input_types"))
    return Judgement(
        flagged if isinstance(flagged, bool) else any(categories.values()),
        categories,
        scores,
        {name: kinds for name, kinds in input_types.items() if isinstance(kinds, list)},
    )


def _invalid(what: str, raw: Any) -> GatewayError:
    return GatewayError("upstream_invalid", f"The provider answered {what}.", raw=raw)


def encode_response(
    response: ModerationResponse, request: ModerationRequest, context: ServerContext
) -> dict[str, Any]:
    """Return OpenAI's object, with the estimated usage that limits and cost are based on."""
    usage = response.usage or estimate_usage(map(text_of, request.inputs))
    return {
        "id": response.id or context.new_id("modr-"),
        "model": response.model or request.model,
        "results": [_result(one) for one in response.judgements],
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total},
    }


def _result(judgement: Judgement) -> dict[str, Any]:
    input_types = judgement.applied or {name: ["text"] for name in judgement.categories}
    return {
        "flagged": judgement.flagged,
        "categories": dict(judgement.categories),
        "category_scores": dict(judgement.scores),
        "category_applied_input_types": dict(input_types),
    }


DIALECT: Final = ModerationDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
)
