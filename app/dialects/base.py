"""What a dialect is: the two halves, the contexts they are given, and a frame.

A dialect translates between one wire format and the canonical vocabulary and is usable
from both ends. The server half is what surfaces (and the sandbox) speak, the client half
what providers are called with. Dialects do no input or output: JSON values, frames, ids
and times come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from app.canonical.events import Event
from app.canonical.request import Request, Signature
from app.canonical.response import Response
from app.dialects.shared.losses import Losses
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What a client half needs from outside.

    ``new_id`` and ``now`` are as in ``ServerContext``; ``model`` is the id to send upstream;
    ``options`` the dialect's own row of quirks (``ChatOptions`` …), given by the provider;
    ``realm`` says whose signatures this target can verify; ``provider`` is for sentences
    only, never for decisions. ``request`` is the request being answered, for decoders whose
    wire does not say again what was asked (which tools are custom ones).
    """

    model: str
    new_id: Callable[[str], str]
    now: int
    options: Any = None
    realm: str | None = None
    provider: str = ""
    losses: Losses = field(default_factory=Losses)
    request: Request | None = None

    def accepts(self, signature: Signature | None, dialect: str) -> bool:
        """Tell whether ``signature`` may go to this target: same dialect, same realm."""
        if signature is None or signature.dialect != dialect:
            return False
        return signature.realm is None or self.realm is None or signature.realm == self.realm


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request ready for its wire: the JSON body and extra headers that it needs."""

    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamEncoder(Protocol):
    """Events to frames of a surface."""

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames that ``event`` makes, in order; may be none."""
        ...


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


class ServerHalf(Protocol):
    """What a surface, the sandbox or a fake upstream speaks."""

    name: str

    def decode_request(self, body: Mapping[str, Any], context: ServerContext) -> Request: ...

    def encode_response(
        self, response: Response, request: Request, context: ServerContext
    ) -> dict[str, Any]: ...

    def stream_encoder(self, request: Request, context: ServerContext) -> StreamEncoder: ...

    def encode_error(self, error: GatewayError) -> dict[str, Any]: ...


class ClientHalf(Protocol):
    """What a provider is called with."""

    name: str

    def encode_request(self, request: Request, context: ClientContext) -> Encoded: ...

    def decode_response(self, body: Any, context: ClientContext) -> Response: ...

    def stream_decoder(self, context: ClientContext) -> StreamDecoder: ...

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError: ...
