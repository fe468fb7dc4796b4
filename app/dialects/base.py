"""What a dialect is: a typed row of functions, the contexts that they take, and a frame.

A dialect converts between one wire format and the canonical types. Surfaces and the sandbox
use its server half, providers its client half. A dialect does no input or output: JSON
values, frames, ids and times are arguments.

A row is a value, ``DIALECT`` of a module. There is a class of rows for each family of
operations, so that a type checker can follow a request: ``Dialect`` and ``CompletionDialect``
here, those of embeddings, audio and images in ``media``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any, ClassVar, NamedTuple, NoReturn, Protocol, TypeVar

from app.canonical.events import Event
from app.canonical.media import CompletionRequest, CompletionResponse, ModelEntry, ModelPage
from app.canonical.record import record
from app.canonical.request import Request, Signature
from app.canonical.response import Response, Usage
from app.dialects.shared.losses import Losses
from app.dialects.shared.rate_limits import LimitHeaders, limit_headers
from app.errors import GatewayError


class Frame(NamedTuple):
    """One message of a stream with its parsed JSON; ``data`` is None for ``[DONE]``."""

    event: str | None
    data: Any


DONE = Frame(None, None)

OptionsT = TypeVar("OptionsT")


@record
class ServerContext:
    """What the server half of a dialect needs.

    ``new_id(prefix)`` returns a new id: ``"msg"`` gives ``msg_…``; a prefix that ends with a
    hyphen (``"chatcmpl-"``) gets no underscore. ``now`` is Unix seconds. ``model`` is the model
    of a response if the upstream reports none. ``response_id`` is the id that the client sees,
    None to keep the upstream's or make a new one. ``wrap`` seals a signature into the text that
    the client sees (``encrypted_content``, ``reasoning_details[].data``); ``unwrap`` opens such a
    text, and returns None for a text that the gateway did not seal. ``leading`` are items that the gateway puts before
    a Responses answer.
    """

    new_id: Callable[[str], str]
    now: int
    model: str | None = None
    response_id: str | None = None
    wrap: Callable[[Signature], str] = lambda signature: signature.value
    unwrap: Callable[[str], Signature | None] = lambda text: None
    leading: tuple[Mapping[str, Any], ...] = ()


@record
class ClientContext:
    """What the client half of a dialect needs.

    ``new_id`` and ``now`` are those of ``ServerContext``. ``model`` is the id to send upstream.
    ``options`` is the provider's row of quirks (``ChatOptions`` …). ``realm`` names who can verify
    this target's signatures. ``provider`` is for messages only. ``request`` is the request of a
    response, for decoders that need it (which tools are custom). ``headers`` are the client's, by
    lower-case name, as far as the format has members for them. ``loads`` returns the value of JSON in an answer that may
    be something else, and raises ``ValueError`` for no JSON, or for too much of it.
    """

    model: str
    new_id: Callable[[str], str]
    now: int
    options: Any = None
    realm: str | None = None
    provider: str = ""
    losses: Losses = field(default_factory=Losses)
    request: Request | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    loads: Callable[[bytes], Any] = json.loads

    def accepts(self, signature: Signature | None, dialect: str) -> bool:
        """Tell whether ``signature`` may be sent to this target: same dialect, same realm."""
        if signature is None or signature.dialect != dialect:
            return False
        return signature.realm is None or self.realm is None or signature.realm == self.realm

    def options_as(self, kind: type[OptionsT]) -> OptionsT:
        """Return the options if they are of ``kind``, else the defaults of ``kind``."""
        return self.options if isinstance(self.options, kind) else kind()


@record
class EncodedRequest:
    """A request in its wire format: the JSON body, and the headers that it needs."""

    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamEncoder(Protocol):
    """Encodes canonical events as the frames of a surface."""

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of ``event``, in order; there may be none."""


class Patch(ABC):
    """The changes to bodies of one dialect that pass through, for one attempt.

    ``breaks_fail``: a response that the server aborted is an error, since the dialect has no finish
    reason for it. ``is_steady``: a frame that differs from the last one only in its text gives the same
    frames with the new text.
    """

    breaks_fail: ClassVar[bool] = False
    is_steady: bool = False
    decoder: StreamDecoder | None = None
    """The decoder of the stream where the two share their work: it reads each frame before ``frames`` does."""

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Return the body to send."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of the response for the client, by default unchanged."""
        return body

    def frames(self, event: str | None, data: dict[str, Any]) -> list[Frame]:
        """Return the frames for the client of an upstream's frame, by default the same one."""
        return [Frame(event, data)]

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the frames to add at the end of a complete stream with this ``usage``."""
        return []

    def fail(self, error: GatewayError, answer: Response, usage: Usage | None) -> list[Frame] | None:
        """Return the frames that end a failed stream; ``answer`` is the response so far.

        None if the dialect's encoder can encode the failure.
        """
        return None


@record
class PassThrough:
    """A request that passes through, for its dialect's patch.

    ``body`` is the client's. ``expanded`` is the body with the history that it refers to, None if it
    refers to none. ``stream``: the upstream is to stream.
    """

    body: Mapping[str, Any]
    client: ClientContext
    server: ServerContext
    expanded: Mapping[str, Any] | None = None
    stream: bool = False


class StreamDecoder(Protocol):
    """Decodes the frames of a provider as canonical events."""

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame: event name and parsed JSON. An error becomes Failed."""

    def done(self) -> list[Event]:
        """Take the ``[DONE]`` frame."""

    def eof(self) -> list[Event]:
        """Take the end of the body.

        Returns the final events if the stream is complete, else Failed with the kind ``upstream_cut``.
        Returns [] after Ended or Failed.
        """


ErrorDecoder = Callable[[int, Any, Mapping[str, str]], GatewayError]
"""Decodes a response with status 400 or above: status, parsed JSON or text, lower-case headers."""

ErrorEncoder = Callable[[GatewayError], dict[str, Any]]
"""Encodes an error as the body of a response."""


def encode_error(error: GatewayError) -> dict[str, Any]:
    """Return the error body of all of OpenAI's APIs."""
    return {"error": error.body()}


def status_of_error(error: GatewayError) -> int:
    """Return the HTTP status of an error for APIs that answer 404 for a model that does not exist."""
    return 404 if error.kind.name == "model_not_found" else error.status


def not_supported(*_: object, **__: object) -> NoReturn:
    """Take the place of a function that a dialect does not have."""
    raise NotImplementedError("The dialect does not have this half.")


@record(kw_only=True)
class Row:
    """What every dialect has: its name, errors in both directions, and facts about its frames.

    ``is_opening``: a frame only opens a stream. ``identity`` returns the members that all frames of one stream have in common.
    ``reports_cost``: the gateway adds a call's cost to its usage, as OpenAI's formats allow.
    ``reports_failure``: a response can say that the server aborted it. ``error_status`` and
    ``error_headers`` are those of an error's response. ``own_fallbacks``: ``fallbacks`` is also a
    member of the format itself, so that only a list of names is the gateway's. ``limit_headers``
    returns the headers with the state of a caller's limits.
    """

    name: str
    decode_error: ErrorDecoder
    encode_error: ErrorEncoder = encode_error
    error_headers: Callable[[GatewayError], Mapping[str, str]] = lambda error: {}
    error_status: Callable[[GatewayError], int] = lambda error: error.status
    own_fallbacks: bool = False
    limit_headers: LimitHeaders = limit_headers
    reports_cost: bool = True
    reports_failure: bool = False
    is_opening: Callable[[Frame], bool] = lambda frame: False
    identity: Callable[[Frame], dict[str, Any]] = lambda frame: {}


class CountEncoder(Protocol):
    """Encodes the token count of a prompt; ``estimated`` if no provider counted it."""

    def __call__(self, tokens: int, *, estimated: bool = False) -> dict[str, Any]: ...


@record(kw_only=True)
class Dialect(Row):
    """A dialect of generation (chat completions, Responses, Messages …).

    ``decode_request`` raises ``bad_request`` with the path of a wrong member. ``encode_request``
    reports losses to the context, and raises ``unsupported_parameter`` where one would change the
    response. ``decode_response`` raises the error that a response of status 200 holds, and
    ``upstream_invalid`` for anything else. ``encode_count`` and ``decode_count`` request the token
    count of a prompt; ``decode_count_request`` and ``encode_count_response`` are their server half.
    A function that a dialect does not have raises NotImplementedError.

    - ``patch`` makes the changes to a body that passes through; None if bodies cannot pass.
    - ``write_usage`` returns a usage in the members of the format, the value of ``usage_member``.
    - ``call_ids`` yields the ids of the tool calls in a request's history, without decoding it.
    - ``echoes``: a response repeats members of its request. Other responses can begin before the
      request was decoded.
    """

    encode_request: Callable[[Request, ClientContext], EncodedRequest]
    decode_response: Callable[[Any, ClientContext], Response]
    stream_decoder: Callable[[ClientContext], StreamDecoder]
    encode_count: Callable[[Request, ClientContext], EncodedRequest] = not_supported
    decode_count: Callable[[Any], int] = not_supported
    decode_request: Callable[[Mapping[str, Any], ServerContext], Request] = not_supported
    encode_response: Callable[[Response, Request, ServerContext], dict[str, Any]] = not_supported
    stream_encoder: Callable[[Request, ServerContext], StreamEncoder] = not_supported
    patch: Callable[[PassThrough], Patch] | None = None
    write_usage: Callable[[Usage], dict[str, Any] | None] = not_supported
    usage_member: str = "usage"
    call_ids: Callable[[Mapping[str, Any]], Iterable[str]] = lambda body: ()
    echoes: bool = False
    decode_count_request: Callable[[Mapping[str, Any], ServerContext], Request] = not_supported
    encode_count_response: CountEncoder = not_supported


@record(kw_only=True)
class CompletionDialect(Row):
    """A dialect of text completions. ``decode_response`` also takes the response's headers: some
    providers report tokens only there."""

    encode_request: Callable[[CompletionRequest, ClientContext], EncodedRequest]
    decode_response: Callable[[Any, ClientContext, Mapping[str, str]], CompletionResponse]
    stream_decoder: Callable[[ClientContext], StreamDecoder]
    decode_request: Callable[[Mapping[str, Any], ServerContext], CompletionRequest] = not_supported
    encode_response: Callable[[CompletionResponse, CompletionRequest, ServerContext], dict[str, Any]] = (
        not_supported
    )
    stream_encoder: Callable[[CompletionRequest, ServerContext], StreamEncoder] = not_supported


class ListEncoder(Protocol):
    """Encodes a list of models; ``has_more`` is None unless the client requested a page."""

    def __call__(self, models: Iterable[ModelEntry], *, has_more: bool | None = None) -> dict[str, Any]: ...


@record(kw_only=True)
class ModelListDialect(Row):
    """A dialect of model lists."""

    encode_list: ListEncoder
    encode_model: Callable[[ModelEntry], dict[str, Any]]
    decode_page: Callable[[Any, ClientContext], ModelPage]
