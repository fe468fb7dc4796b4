"""Text completions over Bedrock's InvokeModel (client half): each model family has its own body.

Covers the families that complete a plain prompt; chat on Bedrock uses Converse. Members and shapes are
those of recorded exchanges. A stream is an AWS event stream with the family's JSON in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Finished, Started
from app.canonical.media import CompletionChoice, CompletionRequest, CompletionResponse
from app.canonical.record import record
from app.canonical.request import TextPart
from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.base import ClientContext, CompletionDialect, EncodedRequest
from app.dialects.converse.response_in import decode_error, exception_error
from app.dialects.shared.decoder_parts import TerminalDecoder, choice_index
from app.dialects.shared.lenient_json import (
    JSON,
    as_dict,
    as_str,
    at_path,
    count,
    dicts,
    opt_str,
    parse,
    without_nulls,
)
from app.dialects.shared.sampling_paths import sampling_members
from app.dialects.shared.unmapped_members import single_prompt
from app.dialects.shared.usage_sides import sides
from app.errors import GatewayError

Path = tuple[str, ...]

NAME: Final = "bedrock_invoke"

_METRICS: Final = "amazon-bedrock-invocationMetrics"
_GUARDRAIL: Final = "amazon-bedrock-guardrailAction"
_COUNT_HEADERS: Final = ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count")
_EXCEPTION: Final = "exception:"

_FINISHES: Final[Mapping[str, FinishReason]] = {
    # finish words in lower case; others are "stop"
    "length": "length",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "error_toxic": "content_filter",
    "error": "error",
}


@record
class _Family:
    """The body of one family.

    ``prompt`` and ``paths`` are the paths of the prompt and of sampling parameters in a request.
    ``list_member`` is the member of an answer with several completions; ``text`` and ``stop`` are paths
    within one. ``counts`` are the paths of input and output tokens. ``streamed`` are members of a
    streaming request, ``wrap`` formats the prompt, ``max_tokens`` is the default of a required limit.
    """

    prompt: Path
    paths: Mapping[str, Path]
    text: Path
    stop: Path
    list_member: str | None = None
    counts: tuple[Path, Path] | None = None
    streamed: Mapping[str, Any] = field(default_factory=dict)
    wrap: Callable[[str], str] = str
    max_tokens: int | None = None


def _human(prompt: str) -> str:
    """Return the prompt in the dialogue form that the first Claude models require."""
    return prompt if "\n\nHuman:" in prompt else f"\n\nHuman: {prompt}\n\nAssistant:"


_COMMON: Final = {"max_tokens": ("max_tokens",), "temperature": ("temperature",), "top_p": ("top_p",)}

_META: Final = _Family(
    prompt=("prompt",),
    paths={**_COMMON, "max_tokens": ("max_gen_len",)},
    text=("generation",),
    stop=("stop_reason",),
    counts=(("prompt_token_count",), ("generation_token_count",)),
)
_MISTRAL: Final = _Family(
    prompt=("prompt",),
    paths={**_COMMON, "top_k": ("top_k",), "stop": ("stop",)},
    text=("text",),
    stop=("stop_reason",),
    list_member="outputs",
)
_COHERE: Final = _Family(
    prompt=("prompt",),
    paths={
        **_COMMON,
        "top_p": ("p",),
        "top_k": ("k",),
        "stop": ("stop_sequences",),
        "n": ("num_generations",),
    },
    text=("text",),
    stop=("finish_reason",),
    list_member="generations",
    streamed={"stream": True},
)
_AI21: Final = _Family(
    prompt=("prompt",),
    paths={
        "max_tokens": ("maxTokens",),
        "temperature": ("temperature",),
        "top_p": ("topP",),
        "stop": ("stopSequences",),
        "n": ("numResults",),
        "presence_penalty": ("presencePenalty", "scale"),
        "frequency_penalty": ("frequencyPenalty", "scale"),
    },
    text=("data", "text"),
    stop=("finishReason", "reason"),
    list_member="completions",
)
_ANTHROPIC: Final = _Family(
    prompt=("prompt",),
    paths={
        **_COMMON,
        "max_tokens": ("max_tokens_to_sample",),
        "top_k": ("top_k",),
        "stop": ("stop_sequences",),
    },
    text=("completion",),
    stop=("stop_reason",),
    wrap=_human,
    max_tokens=4096,  # the API requires a limit
)
_TITAN: Final = _Family(
    prompt=("inputText",),
    paths={
        "max_tokens": ("textGenerationConfig", "maxTokenCount"),
        "temperature": ("textGenerationConfig", "temperature"),
        "top_p": ("textGenerationConfig", "topP"),
        "stop": ("textGenerationConfig", "stopSequences"),
    },
    text=("outputText",),
    stop=("completionReason",),
    list_member="results",
    counts=(("inputTextTokenCount",), ("totalOutputTextTokenCount",)),
)
_SAGEMAKER: Final = _Family(
    prompt=("prompt",),
    paths={**_COMMON, "stop": ("stop",)},
    text=("text",),
    stop=("finish_reason",),
    list_member="choices",
    counts=(("usage", "prompt_tokens"), ("usage", "completion_tokens")),
)

_ROWS: Final = (
    # part of the model id and its family; the first match wins
    ("meta.llama", _META),
    ("mistral.mistral-7b", _MISTRAL),
    ("mistral.mixtral", _MISTRAL),
    ("mistral.mistral-large-2402", _MISTRAL),
    ("mistral.mistral-small", _MISTRAL),
    ("cohere.command-text", _COHERE),
    ("cohere.command-light-text", _COHERE),
    ("ai21.j2", _AI21),
    ("anthropic.claude-v2", _ANTHROPIC),
    ("anthropic.claude-instant", _ANTHROPIC),
    ("amazon.titan-text", _TITAN),
    ("amazon.titan-tg1", _TITAN),
    (":sagemaker:", _SAGEMAKER),
)


def completes_text(model: str) -> bool:
    """Tell whether a model id is of a family that completes plain prompts."""
    return any(text in model.lower() for text, _ in _ROWS)


def _family(model: str) -> _Family:
    for text, family in _ROWS:
        if text in model.lower():
            return family
    raise GatewayError(
        "unsupported_operation", f"The model '{model}' has no text completions on Bedrock.", param="model"
    )


def encode_request(request: CompletionRequest, context: ClientContext) -> EncodedRequest:
    """Return the body of the model's family; the model itself is in the URL.

    Raises ``unsupported_operation`` for a model of no such family and
    ``unsupported_parameter`` for several prompts, token arrays and a suffix.
    """
    family = _family(context.model)
    body: JSON = dict(family.streamed) if request.stream else {}
    _set_path(body, family.prompt, family.wrap(single_prompt(request, context.losses)))
    for name, value in _requested_members(request, family).items():
        if name in family.paths:
            _set_path(body, family.paths[name], value)
        else:
            context.losses.report(name)
    return EncodedRequest(body)


def decode_response(
    body: Any, context: ClientContext, headers: Mapping[str, str] | None = None
) -> CompletionResponse:
    """Return the completions of an answer. ``headers`` have the token counts, which most families
    report nowhere else. Raises ``upstream_invalid`` if there is no completion."""
    family, answer = _family(context.model), as_dict(body)
    completions = _completions(family, answer)
    if not completions:
        raise GatewayError("upstream_invalid", "The provider's answer has no completion.", raw=body)
    choices = tuple(
        CompletionChoice(
            choice_index(completion, position), _text(family, completion), _finish(family, completion, answer)
        )
        for position, completion in enumerate(completions)
    )
    usage = _usage_of(family, answer) or _usage_of_headers(headers or {})
    return CompletionResponse(context.new_id("cmpl-"), None, choices, usage)


def stream_decoder(context: ClientContext) -> InvokeDecoder:
    """Return the decoder of one stream; all blocks of its events are texts."""
    return InvokeDecoder(_family(context.model), context)


class InvokeDecoder(TerminalDecoder):
    """Decodes an InvokeModel stream; each choice is one text block."""

    def __init__(self, family: _Family, context: ClientContext) -> None:
        super().__init__()
        self._family = family
        self._new_id = context.new_id
        self._blocks: dict[int, int] = {}
        self._finishes: dict[int, Finish] = {}
        self._usage: Usage | None = None

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Decode one message: ``chunk`` with base64 JSON, or ``exception:`` and its name."""
        if self._over:
            return []
        if event is not None and event.startswith(_EXCEPTION):
            return self._fail(exception_error(event[len(_EXCEPTION) :], data))
        chunk = unwrap_chunk(data)
        if chunk is None:
            return []
        self._usage = _usage_of(self._family, chunk) or self._usage
        events: list[Event] = []
        if self._begins():
            events.append(Started(self._new_id("cmpl-")))
        for position, completion in enumerate(_completions(self._family, chunk)):
            events += self._completion(choice_index(completion, position), completion, chunk)
        return [*events, *self._end()] if _METRICS in chunk else events

    def _completion(self, index: int, completion: JSON, chunk: JSON) -> list[Event]:
        events: list[Event] = []
        if index not in self._blocks:
            self._blocks[index] = len(self._blocks)
            events.append(BlockStarted(self._blocks[index], 0, TextPart(""), index))
        if text := _text(self._family, completion):
            events.append(BlockDelta(self._blocks[index], text))
        if (finish := _finish(self._family, completion, chunk)) is not None:
            self._finishes[index] = finish
        return events

    def eof(self) -> list[Event]:
        """Read the end of the body; the answer is complete if any choice has its finish."""
        return self._end() if self._finishes and not self._over else super().eof()

    def _end(self) -> list[Event]:
        self._over = True
        last = next(reversed(self._finishes.values()), Finish("stop"))
        events: list[Event] = [BlockEnded(block) for block in self._blocks.values()]
        # the last message has one finish reason for all completions
        events += [Finished(self._finishes.get(i, Finish(last.reason)), i) for i in sorted(self._blocks)]
        return [*events, Ended(self._usage)]

    def _usage_so_far(self) -> Usage | None:
        return self._usage


def unwrap_chunk(data: Any) -> JSON | None:
    """Return the JSON object in a message of an InvokeModel stream, None if it has none."""
    try:
        value = parse(base64.b64decode(as_str(as_dict(data).get("bytes"))).decode())
    except ValueError:  # binascii.Error is one
        return None
    return value if isinstance(value, dict) else None


def _requested_members(request: CompletionRequest, family: _Family) -> JSON:
    """Return the members beside the prompt that are set, by canonical name."""
    sampling = request.sampling
    members = {
        **sampling_members(sampling),
        "max_tokens": sampling.max_tokens if sampling.max_tokens is not None else family.max_tokens,
        "n": sampling.n if sampling.n != 1 else None,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "suffix": request.suffix or None,
        "echo": request.echo or None,
        "best_of": request.best_of if request.best_of != 1 else None,
        "logprobs": request.logprobs,
        "user": request.user,
    }
    return without_nulls(members)


def _set_path(body: JSON, path: Path, value: Any) -> None:
    for step in path[:-1]:
        body = body.setdefault(step, {})
    body[path[-1]] = value


def _completions(family: _Family, answer: JSON) -> list[JSON]:
    """Return the completions of an answer or chunk: those of the list, or the object itself."""
    if family.list_member in answer:
        return dicts(answer[family.list_member])
    marks = (family.text[0], family.stop[0], _METRICS)
    return [answer] if any(name in answer for name in marks) else []


def _text(family: _Family, completion: JSON) -> str:
    return as_str(at_path(completion, family.text))


def _finish(family: _Family, completion: JSON, answer: JSON) -> Finish | None:
    raw = opt_str(at_path(completion, family.stop))
    if answer.get(_GUARDRAIL) == "INTERVENED":
        return Finish("content_filter", raw)
    if raw is None:
        return None
    return Finish(_FINISHES.get(raw.lower(), "stop"), raw, opt_str(completion.get("stop")))


def _usage_of(family: _Family, answer: JSON) -> Usage | None:
    metrics = as_dict(answer.get(_METRICS))
    before, after = count(metrics.get("inputTokenCount")), count(metrics.get("outputTokenCount"))
    if before is None and family.counts is not None:
        before, after = (count(at_path(answer, path)) for path in family.counts)
        if after is None:
            each = [count(completion.get("tokenCount")) for completion in dicts(answer.get("results"))]
            after = sum(tokens for tokens in each if tokens is not None)
    counts = sides(before, after)
    return (
        None if before is None and not after else Usage(counts.input, counts.output, missing=counts.missing)
    )


def _usage_of_headers(headers: Mapping[str, str]) -> Usage | None:
    before, after = (headers.get(name, "") for name in _COUNT_HEADERS)
    if not (before.isdecimal() and after.isdecimal()):
        return None
    return Usage(int(before), int(after))


DIALECT: Final = CompletionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
