"""Text completions by Bedrock's InvokeModel, client half: every family has a body of its own.

Only families that complete a plain prompt; chat on Bedrock goes over Converse. Members
and shapes are those of the recorded exchanges. Streams are AWS event streams whose
payload holds the family's JSON in base64.
"""

from __future__ import annotations

import base64
import binascii
import json
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
from app.dialects.shared.decoder_parts import TerminalDecoder
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, opt_str, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.sampling import sampling_members
from app.errors import GatewayError

Members = dict[str, Any]
Path = tuple[str, ...]

NAME: Final = "bedrock_invoke"

_METRICS: Final = "amazon-bedrock-invocationMetrics"
_GUARDRAIL: Final = "amazon-bedrock-guardrailAction"
_COUNT_HEADERS: Final = ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count")
_EXCEPTION: Final = "exception:"

_FINISHES: Final[Mapping[str, FinishReason]] = {
    # the wires' words, lower case; others are a plain stop
    "length": "length",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "error_toxic": "content_filter",
    "error": "error",
}


@record
class _Family:
    """One family's members: ``paths`` says where a canonical value goes, ``listed`` which
    member holds several completions, ``text`` and ``stop`` the paths in one of them."""

    prompt: Path
    paths: Mapping[str, Path]
    text: Path
    stop: Path
    listed: str | None = None
    counts: tuple[Path, Path] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    streamed: Mapping[str, Any] = field(default_factory=dict)
    wrap: Callable[[str], str] = str
    max_tokens: int | None = None


def _human(prompt: str) -> str:
    """The first Claudes complete a dialogue."""
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
    listed="outputs",
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
    listed="generations",
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
    listed="completions",
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
    max_tokens=4096,  # the wire demands one
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
    listed="results",
    counts=(("inputTextTokenCount",), ("totalOutputTextTokenCount",)),
)
_SAGEMAKER: Final = _Family(
    prompt=("prompt",),
    paths={**_COMMON, "stop": ("stop",)},
    text=("text",),
    stop=("finish_reason",),
    listed="choices",
    counts=(("usage", "prompt_tokens"), ("usage", "completion_tokens")),
)

_ROWS: Final = (
    # a piece of the model id; the first that is found decides
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
    """Tell whether a model id names a family that completes plain prompts here."""
    return any(text in model.lower() for text, _ in _ROWS)


def _family(model: str) -> _Family:
    for text, family in _ROWS:
        if text in model.lower():
            return family
    raise GatewayError(
        "unsupported_operation", f"The model '{model}' has no text completions on Bedrock.", param="model"
    )


def encode_request(request: CompletionRequest, context: ClientContext) -> EncodedRequest:
    """Return the family's body; the model is in the URL.

    Raises ``unsupported_operation`` for a model of no text family and
    ``unsupported_parameter`` for several prompts, token arrays and a suffix.
    """
    family = _family(context.model)
    body: Members = {**family.fixed, **(family.streamed if request.stream else {})}
    _set_path(body, family.prompt, family.wrap(_prompt(request, context.losses)))
    for name, value in _requested_members(request, family).items():
        if name in family.paths:
            _set_path(body, family.paths[name], value)
        else:
            context.losses.report(name)
    return EncodedRequest(body)


def decode_response(
    body: Any, context: ClientContext, headers: Mapping[str, str] | None = None
) -> CompletionResponse:
    """Return the completions of a body; ``headers`` hold the token counts that most
    families tell nowhere else."""
    family, answer = _family(context.model), as_dict(body)
    completions = _completions(family, answer)
    if not completions:
        raise GatewayError("upstream_invalid", "The provider's answer has no completion.", raw=body)
    choices = tuple(
        CompletionChoice(
            _index(completion, position), _text(family, completion), _finish(family, completion, answer)
        )
        for position, completion in enumerate(completions)
    )
    usage = _usage_of(family, answer) or _usage_of_headers(headers or {})
    return CompletionResponse(context.new_id("cmpl-"), None, choices, usage)


def stream_decoder(context: ClientContext) -> InvokeDecoder:
    """Return the decoder of one stream: events whose blocks are texts."""
    return InvokeDecoder(_family(context.model), context)


class InvokeDecoder(TerminalDecoder):
    """Payloads of an invoke stream to events, one text block a choice."""

    def __init__(self, family: _Family, context: ClientContext) -> None:
        super().__init__()
        self._family = family
        self._new_id = context.new_id
        self._blocks: dict[int, int] = {}
        self._finishes: dict[int, Finish] = {}
        self._usage: Usage | None = None
        self._begun = False

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one message: ``chunk`` with base64 JSON, or ``exception:`` and its name."""
        if self._over:
            return []
        if event is not None and event.startswith(_EXCEPTION):
            return self._fail(exception_error(event[len(_EXCEPTION) :], data))
        chunk = unwrap_chunk(data)
        if chunk is None:
            return []
        self._usage = _usage_of(self._family, chunk) or self._usage
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events.append(Started(self._new_id("cmpl-")))
        for position, completion in enumerate(_completions(self._family, chunk)):
            events += self._completion(_index(completion, position), completion, chunk)
        return [*events, *self._end()] if _METRICS in chunk else events

    def _completion(self, index: int, completion: Members, chunk: Members) -> list[Event]:
        events: list[Event] = []
        if index not in self._blocks:
            self._blocks[index] = len(self._blocks)
            events.append(BlockStarted(self._blocks[index], 0, TextPart(""), index))
        if text := _text(self._family, completion):
            events.append(BlockDelta(self._blocks[index], text))
        finish = _finish(self._family, completion, chunk)
        if finish is not None:
            self._finishes[index] = finish
        return events

    def eof(self) -> list[Event]:
        """Take the end of the body: the answer is whole once a choice had its finish."""
        return self._end() if self._finishes and not self._over else super().eof()

    def _end(self) -> list[Event]:
        self._over = True
        last = next(reversed(self._finishes.values()), Finish("stop"))
        events: list[Event] = [BlockEnded(block) for block in self._blocks.values()]
        # the last message of several completions says one reason for all
        events += [Finished(self._finishes.get(i, Finish(last.reason)), i) for i in sorted(self._blocks)]
        return [*events, Ended(self._usage)]

    def _usage_so_far(self) -> Usage | None:
        return self._usage


def unwrap_chunk(data: Any) -> Members | None:
    """Return the JSON object inside an invoke stream's message, None where there is none."""
    try:
        value = json.loads(base64.b64decode(as_str(as_dict(data).get("bytes"))))
    except (ValueError, binascii.Error):
        return None
    return value if isinstance(value, dict) else None


def _prompt(request: CompletionRequest, losses: Losses) -> str:
    if len(request.prompts) != 1:
        losses.report("prompts", "several prompts at once are not supported by this model", param="prompt")
    prompt = request.prompts[0]
    if not isinstance(prompt, str):
        losses.report("tokens_input", "token arrays are not supported by this model", param="prompt")
    return str(prompt)


def _requested_members(request: CompletionRequest, family: _Family) -> Members:
    """Return what was asked for beside the prompt, by canonical name."""
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


def _set_path(body: Members, path: Path, value: Any) -> None:
    for step in path[:-1]:
        body = body.setdefault(step, {})
    body[path[-1]] = value


def _get_path(value: Any, path: Path) -> Any:
    for step in path:
        value = as_dict(value).get(step)
    return value


def _completions(family: _Family, answer: Members) -> list[Members]:
    """Return the completions of an answer or chunk: a list's, or the whole as the only one."""
    if family.listed in answer:
        return dicts(answer[family.listed])
    known = (family.text[0], family.stop[0], _METRICS)
    return [answer] if any(name in answer for name in known) else []


def _index(completion: Members, position: int) -> int:
    index = count(completion.get("index"))
    return position if index is None else index


def _text(family: _Family, completion: Members) -> str:
    return as_str(_get_path(completion, family.text))


def _finish(family: _Family, completion: Members, answer: Members) -> Finish | None:
    raw = opt_str(_get_path(completion, family.stop))
    if answer.get(_GUARDRAIL) == "INTERVENED":
        return Finish("content_filter", raw)
    if raw is None:
        return None
    return Finish(_FINISHES.get(raw.lower(), "stop"), raw, opt_str(completion.get("stop")))


def _usage_of(family: _Family, answer: Members) -> Usage | None:
    metrics = as_dict(answer.get(_METRICS))
    before, after = count(metrics.get("inputTokenCount")), count(metrics.get("outputTokenCount"))
    if before is None and family.counts is not None:
        before, after = (count(_get_path(answer, path)) for path in family.counts)
        if after is None:
            each = [count(completion.get("tokenCount")) for completion in dicts(answer.get("results"))]
            after = sum(tokens for tokens in each if tokens is not None)
    return None if before is None else Usage(before, after or 0)


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
