"""Text completions (``POST /completions``), both halves.

OpenAI's first API, which Azure, SGLang, Ollama and routers still serve. Streams are in ``stream``;
``over_chat`` serves this operation on providers without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import CompletionChoice, CompletionRequest, CompletionResponse
from app.canonical.record import record
from app.canonical.request import Origin, RefusalPart, TextPart
from app.canonical.response import Response
from app.dialects.base import ClientContext, CompletionDialect, EncodedRequest, ServerContext
from app.dialects.chat.chunks import identity
from app.dialects.chat.errors import decode_error, failure_in
from app.dialects.chat.response_in import native_members
from app.dialects.chat.response_out import split_choices
from app.dialects.chat.usage import decode_choice_finish, decode_usage, encode_finish, encode_usage
from app.dialects.completions.stream import CompletionStreamDecoder, CompletionStreamEncoder, legacy_logprobs
from app.dialects.shared.decoder_parts import choice_index
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, opt_str, rest, without_nulls
from app.dialects.shared.members import as_native, own_members
from app.dialects.shared.sampling_paths import decode_sampling, sampling_members
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type
from app.errors import GatewayError

NAME: Final = "completions"

MEMBERS: Final = frozenset(
    {
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
        "user",
    }
)
_READ: Final = MEMBERS | {"model", "prompt", "stream", "top_k", "fallbacks"}
_TOP: Final = frozenset({"id", "object", "created", "model", "choices", "usage"})


@record
class CompletionOptions:
    """A provider's variant: the members of its request besides model, prompt and stream."""

    members: frozenset[str] = MEMBERS


_INCLUDE_USAGE: Final = frozenset({"include_usage"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> CompletionRequest:
    """Return the request of a client's body; raises ``bad_request`` with the path of a wrong member."""
    members = ClientObject(body)
    options = members.mapping("stream_options") or {}
    others = rest(options, _INCLUDE_USAGE)
    return CompletionRequest(
        model=members.text("model") or "",
        prompts=_prompts(members),
        sampling=decode_sampling(members),
        suffix=members.text("suffix"),
        echo=members.flag("echo") or False,
        best_of=members.integer("best_of"),
        logprobs=_read_logprobs(members),
        stream=members.flag("stream") or False,
        include_usage=ClientObject(options, "stream_options").flag("include_usage") or False,
        user=members.text("user"),
        extra={**({"stream_options": others} if others else {}), **rest(body, _READ)},
        origin=Origin(NAME, body),
    )


def encode_response(
    response: CompletionResponse, request: CompletionRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the ``text_completion`` object of an answer."""
    top, rows = split_choices(own_members(response.native, NAME))
    body: dict[str, Any] = {
        "id": context.response_id or response.id or context.new_id("cmpl-"),
        "object": "text_completion",
        "created": response.created if response.created is not None else context.now,
        "model": response.model or context.model or request.model,
        "choices": [_write_choice(choice) | rows.get(choice.index, {}) for choice in response.choices],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage)
    return {**body, **rest(top, frozenset(body))}


def encode_request(request: CompletionRequest, context: ClientContext) -> EncodedRequest:
    """Return the body for a provider; members that it does not have are reported."""
    options = context.options_as(CompletionOptions)
    prompts = [prompt if isinstance(prompt, str) else list(prompt) for prompt in request.prompts]
    prompt = prompts[0] if len(prompts) == 1 else prompts
    body: dict[str, Any] = {"model": context.model, "prompt": prompt}
    for name, value in without_nulls(_request_members(request)).items():
        if name in options.members:
            body[name] = value
        else:
            context.losses.report(name)
    if request.stream:
        body["stream"] = True
        if "stream_options" in options.members:
            body["stream_options"] = {**(request.extra.get("stream_options") or {}), "include_usage": True}
    return EncodedRequest({**_extra(request, context), **body})


def decode_response(
    body: Any, context: ClientContext, headers: Mapping[str, str] | None = None
) -> CompletionResponse:
    """Return the completion of a provider's answer; its ``headers`` are not used.

    Raises the error in the body if it has one, and ``upstream_invalid`` if it has no choices.
    """
    if (error := failure_in(body)) is not None:
        raise error
    members = as_dict(body)
    choices = dicts(members.get("choices"))
    if not choices:
        raise GatewayError("upstream_invalid", "The provider's answer has no choices.", raw=body)
    return CompletionResponse(
        id=opt_str(members.get("id")),
        model=opt_str(members.get("model")),
        choices=tuple(_read_choice(choice, index) for index, choice in enumerate(choices)),
        usage=decode_usage(members.get("usage")),
        created=count(members.get("created")),
        native=as_native(NAME, native_members(members, _TOP)),
    )


def fold(response: Response) -> CompletionResponse:
    """Return the completion of a stream's folded events (``Accumulator.response``)."""
    choices = []
    for choice in response.choices:
        parts = choice.parts
        text = "".join(part.text for part in parts if isinstance(part, TextPart | RefusalPart))
        rows = [row for part in parts if isinstance(part, TextPart) for row in part.logprobs or ()]
        choices.append(CompletionChoice(choice.index, text, choice.finish, legacy_logprobs(rows)))
    native = as_native(NAME, own_members(response.native, NAME))
    return CompletionResponse(
        response.id, response.model, tuple(choices), response.usage, response.created, native
    )


def _prompts(members: ClientObject) -> tuple[str | tuple[int, ...], ...]:
    """Return the prompts of a string, an array of strings, an array of tokens or an array of such arrays."""
    value = members.members.get("prompt")
    if value is None:
        raise missing("prompt")
    if isinstance(value, str):
        return (value,)
    items = members.items("prompt") or []
    if items and all(_is_token(item) for item in items):
        return (tuple(items),)
    return tuple(_prompt(item, f"prompt[{index}]") for index, item in enumerate(items)) or ("",)


def _prompt(item: Any, path: str) -> str | tuple[int, ...]:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and all(_is_token(token) for token in item):
        return tuple(item)
    raise wrong_type(path, "a string or an array of tokens", item)


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _read_logprobs(members: ClientObject) -> int | None:
    """Return the requested number of alternatives; ``true``, as chat completions have it, is 0."""
    value = members.members.get("logprobs")
    if isinstance(value, bool):
        return 0 if value else None
    return members.integer("logprobs")


def _request_members(request: CompletionRequest) -> dict[str, Any]:
    return {
        **sampling_members(request.sampling),
        "suffix": request.suffix,
        "echo": request.echo or None,
        "best_of": request.best_of,
        "logprobs": request.logprobs,
        "user": request.user,
    }


def _extra(request: CompletionRequest, context: ClientContext) -> dict[str, Any]:
    """Return unknown members unchanged if the client's body is a text completion; otherwise report them."""
    extra = rest(request.extra, frozenset({"stream_options"}))
    if request.origin is None or request.origin.dialect == NAME:
        return extra
    for name in extra:
        context.losses.report(name)
    return {}


def _read_choice(choice: Mapping[str, Any], position: int) -> CompletionChoice:
    return CompletionChoice(
        choice_index(choice, position),
        as_str(choice.get("text")),
        decode_choice_finish(choice, calls=False),
        logprobs if isinstance(logprobs := choice.get("logprobs"), dict) else None,
    )


def _write_choice(choice: CompletionChoice) -> dict[str, Any]:
    return {
        "text": choice.text,
        "index": choice.index,
        "logprobs": None if choice.logprobs is None else dict(choice.logprobs),
        "finish_reason": encode_finish(choice.finish, calls=False),
    }


DIALECT: Final = CompletionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=CompletionStreamDecoder,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=CompletionStreamEncoder,
    identity=identity,
)
