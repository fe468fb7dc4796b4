"""What a dialect is: a typed row of functions, the contexts they are given, and a frame.

A dialect translates between one wire format and the canonical vocabulary and is usable
from both ends. The server half is what surfaces (and the sandbox) speak, the client half
what providers are called with. Dialects do no input or output: JSON values, frames, ids
and times come in as arguments.

A row is a value (``DIALECT`` of the wire's module). One class of rows exists for each
family of operations, so that a type checker can follow a request: ``Dialect`` and
``CompletionDialect`` here, those of embeddings and audio in ``media``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any, NamedTuple, NoReturn, Protocol

from app.canonical.events import Event
from app.canonical.media import CompletionRequest, CompletionResponse, ModelEntry, ModelPage
from app.canonical.record import record
from app.canonical.request import Request, Signature
from app.canonical.response import Response, Usage
from app.dialects.shared.losses import Losses
from app.dialects.shared.rate_limits import LimitHeaders, limit_headers
from app.errors import GatewayError


class Frame(NamedTuple):
    """One stream message with its JSON already parsed. ``data`` None is ``[DONE]``."""

    event: str | None
    data: Any


DONE = Frame(None, None)


def _seal_nothing(signature: Signature) -> str:
    return signature.value


def _unseal_nothing(text: str) -> Signature | None:
    return None


@record
class ServerContext:
    """What a server half needs from outside.

    ``new_id(prefix)`` mints an id: the prefix is a bare word (``"msg"`` gives ``msg_…``);
    only OpenAI's two that are joined by a hyphen bring it along (``"chatcmpl-"``,
    ``"cmpl-"``). ``now`` is Unix seconds. ``model`` is shown where the upstream told none.
    ``response_id`` is the id of the answer as the client shall see it (None: mint one or
    keep the upstream's). ``wrap`` turns a signature into the text of the surface's own slot
    (``encrypted_content``, ``reasoning_details[].data``); ``unwrap`` reads such text back
    and gives None for text that we did not make, which is then a native value of the
    dialect being read.
    """

    new_id: Callable[[str], str]
    now: int
    model: str | None = None
    response_id: str | None = None
    wrap: Callable[[Signature], str] = _seal_nothing
    unwrap: Callable[[str], Signature | None] = _unseal_nothing


@record
class ClientContext:
    """What a client half needs from outside.

    ``new_id`` and ``now`` are as in ``ServerContext``; ``model`` is the id to send upstream;
    ``options`` the dialect's own row of quirks (``ChatOptions`` …), given by the provider;
    ``realm`` says whose signatures this target can verify; ``provider`` is for sentences
    only, never for decisions. ``request`` is the request being answered, for decoders whose
    wire does not say again what was asked (which tools are custom ones). ``headers`` are those of the
    client that this wire's bodies speak of, by lower-case name.
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

    def accepts(self, signature: Signature | None, dialect: str) -> bool:
        """Tell whether ``signature`` may go to this target: same dialect, same realm."""
        if signature is None or signature.dialect != dialect:
            return False
        return signature.realm is None or self.realm is None or signature.realm == self.realm


@record
class EncodedRequest:
    """A request ready for its wire: the JSON body and extra headers that it needs."""

    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamEncoder(Protocol):
    """Events to frames of a surface."""

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames that ``event`` makes, in order; may be none."""
        ...


class Patch(Protocol):
    """What is changed in bodies of one dialect when they pass, for one attempt.

    ``breaks_fail``: an answer that its server broke off is an error, since the dialect's own
    words for a finish do not say so. ``is_steady``: a frame that differs from the last one by its
    text alone makes just what that made, with its own text.
    """

    @property
    def breaks_fail(self) -> bool: ...

    @property
    def is_steady(self) -> bool: ...

    def request(self) -> dict[str, Any]:
        """Return the body to send."""
        ...

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the whole answer as the client shall see it."""
        ...

    def frames(self, event: str | None, data: dict[str, Any]) -> list[Frame]:
        """Return what the client shall see of a stream frame."""
        ...

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return what ends a good stream of ``usage`` beyond the upstream's own frames."""
        ...

    def fail(self, error: GatewayError, answer: Response, usage: Usage | None) -> list[Frame] | None:
        """Return what ends a broken stream after the frames that went out, ``answer`` being
        the fold of them; None where the dialect's own encoder can say it."""
        ...


@record
class PassThrough:
    """A request that passes: what its dialect's patch is made of.

    ``body`` is the client's own; ``expanded`` holds the history that it refers to, None
    where it refers to nothing. ``stream`` says whether a stream is asked for upstream.
    """

    body: Mapping[str, Any]
    client: ClientContext
    server: ServerContext
    expanded: Mapping[str, Any] | None = None
    stream: bool = False


class StreamDecoder(Protocol):
    """Frames of a provider to events."""

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame (event name, parsed JSON). An error frame becomes Failed."""
        ...

    def done(self) -> list[Event]:
        """Take the ``[DONE]`` frame."""
        ...

    def eof(self) -> list[Event]:
        """Take the end of the body.

        Returns the closing events when the terminal was already met or the wire ends by
        closing after its finish; else a Failed of kind ``upstream_cut``. After Ended or
        Failed was given, returns [].
        """
        ...


ErrorDecoder = Callable[[int, Any, Mapping[str, str]], GatewayError]
"""Reads an answer of status 400 and above: status, parsed JSON or text, lower-case headers."""

ErrorEncoder = Callable[[GatewayError], dict[str, Any]]
"""Writes an error as the body of an answer."""


def encode_error(error: GatewayError) -> dict[str, Any]:
    """Return the error envelope that all of OpenAI's wires share."""
    return {"error": error.body()}


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error where a wire has no other for its kind."""
    return error.status


def status_of_error(error: GatewayError) -> int:
    """Return the HTTP status of an error for APIs that answer 404 for a model that does not exist."""
    return 404 if error.kind.name == "model_not_found" else error.status


def _is_never(frame: Frame) -> bool:
    return False


def _no_members(frame: Frame) -> dict[str, Any]:
    return {}


def _no_headers(error: GatewayError) -> Mapping[str, str]:
    return {}


def _no_ids(body: Mapping[str, Any]) -> Iterable[str]:
    return ()


def not_supported(*_: object, **__: object) -> NoReturn:
    """Stand for a half that a wire does not have."""
    raise NotImplementedError("This wire lacks the half that was asked for.")


@record(kw_only=True)
class Row:
    """What every wire has: its name, errors in both directions, and how its frames look.

    ``is_opening`` knows a frame that only opens a stream, ``is_terminal`` the event that ends
    one and holds the whole answer; ``identity`` returns the members that all frames of one
    stream have alike. ``reports_cost``: as a server we put a call's cost beside its usage, as
    OpenAI's wires bear. ``reports_failure``: its answers can say that the model broke off.
    ``error_status`` and ``error_headers`` are those of an error's answer at its doors. ``own_fallbacks``:
    its bodies have a member ``fallbacks`` of their own, so only a list of names is the gateway's. ``limit_headers`` tell
    how a caller's limits stand.
    """

    name: str
    decode_error: ErrorDecoder
    encode_error: ErrorEncoder = encode_error
    error_headers: Callable[[GatewayError], Mapping[str, str]] = _no_headers
    error_status: Callable[[GatewayError], int] = error_status
    own_fallbacks: bool = False
    limit_headers: LimitHeaders = limit_headers
    reports_cost: bool = True
    reports_failure: bool = False
    is_opening: Callable[[Frame], bool] = _is_never
    is_terminal: Callable[[Frame], bool] = _is_never
    identity: Callable[[Frame], dict[str, Any]] = _no_members


class CountEncoder(Protocol):
    """Writes a prompt's token count; ``estimated`` where no provider counted it."""

    def __call__(self, tokens: int, *, estimated: bool = False) -> dict[str, Any]: ...


@record(kw_only=True)
class Dialect(Row):
    """A wire of generation (chat completions, Responses, Messages …).

    ``decode_request`` raises ``bad_request`` with the member's path. ``encode_request``
    reports losses to the context and raises ``unsupported_parameter`` where one would
    change the answer. ``decode_response`` raises the failure that a success holds, and
    ``upstream_invalid`` for what is no answer. ``encode_count`` and ``decode_count`` ask
    for the tokens of a prompt; ``decode_count_request`` and ``encode_count_response`` are the
    server's side of that. What a wire lacks raises NotImplementedError.

    What a wire alone knows of itself, where a client writes it:

    - ``patch`` makes the changes of a body that passes whole; None: nothing passes.
    - ``write_usage`` returns a usage in the wire's own members, which stands in ``usage_member``.
    - ``call_ids`` yields the ids of the tool calls that a request's history holds, without
      decoding it.
    - ``echoes``: an answer repeats members of its request. Without it an answer's head needs no decoded one.
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
    call_ids: Callable[[Mapping[str, Any]], Iterable[str]] = _no_ids
    echoes: bool = False
    decode_count_request: Callable[[Mapping[str, Any], ServerContext], Request] = not_supported
    encode_count_response: CountEncoder = not_supported


@record(kw_only=True)
class CompletionDialect(Row):
    """A wire of text completions. ``decode_response`` is given the answer's headers, too:
    some wires count tokens there only."""

    encode_request: Callable[[CompletionRequest, ClientContext], EncodedRequest]
    decode_response: Callable[[Any, ClientContext, Mapping[str, str]], CompletionResponse]
    stream_decoder: Callable[[ClientContext], StreamDecoder]
    decode_request: Callable[[Mapping[str, Any], ServerContext], CompletionRequest] = not_supported
    encode_response: Callable[[CompletionResponse, CompletionRequest, ServerContext], dict[str, Any]] = (
        not_supported
    )
    stream_encoder: Callable[[CompletionRequest, ServerContext], StreamEncoder] = not_supported


class ListEncoder(Protocol):
    """Writes a list of models; ``has_more`` is told only where a page was asked for."""

    def __call__(self, models: Iterable[ModelEntry], *, has_more: bool | None = None) -> dict[str, Any]: ...


@record(kw_only=True)
class ModelListDialect(Row):
    """A wire that lists models."""

    encode_list: ListEncoder
    encode_model: Callable[[ModelEntry], dict[str, Any]]
    decode_page: Callable[[Any, ClientContext], ModelPage]
    decode_model: Callable[[Any, ClientContext], ModelEntry]
