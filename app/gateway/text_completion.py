"""Exchanges of text completions: over a provider's own wire, else over its chat wire.

Tests: tests/behaviour, tests/golden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import Event
from app.canonical.media import CompletionRequest, CompletionResponse
from app.canonical.request import Message, TextPart
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect, dialect_of
from app.dialects.base import CompletionDialect, EncodedRequest, Row, StreamDecoder
from app.dialects.completions.dialect import fold
from app.dialects.completions.over_chat import ChatToCompletion, chat_request, completion
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import estimated_completion_usage
from app.gateway.exchange import Answer, Fetch, Sent
from app.gateway.plan import Plan
from app.gateway.target_members import apply_to_request
from app.gateway.translation import (
    TranslateStream,
    client_context,
    decode_once,
    losses_of,
    parse_upstream,
    server_context,
)
from app.gateway.truncation import Breaks, check_whole, replay_answer
from app.providers.base import Wire
from app.wire.json import dumps

SERVER: Final = "completions"


def make_exchange(call: Call, target: Target, chosen: Plan) -> _Completion:
    """Return the exchange of a text-completion call."""
    make = CompletionExchange if chosen.serves == "completion" else ChatCompletionExchange
    request = decode_once(call, dialect_of(CompletionDialect, SERVER).decode_request)
    return make(call, target, chosen.wire, request)


class _Completion:
    """One attempt at a completion, whatever the wire."""

    passed = False

    def __init__(self, call: Call, target: Target, wire: Wire, request: CompletionRequest) -> None:
        self.wire = wire
        self.losses = losses_of(call, target)
        if target.members is not None:
            request = apply_to_request(request, target.members, self.losses)
        self._request = replace(request, model=target.model, stream=call.stream and wire.streams)
        self._server = dialect_of(CompletionDialect, SERVER)
        self._server_context = server_context(call, target.model)
        self._context = client_context(call, target, wire, self.losses)

    def send(self) -> Sent:
        """Encode the request."""
        encoded = self._encode()
        return Sent(dumps(encoded.body), encoded.headers)

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch, decode and encode one whole answer."""
        received = fetch(self.send())
        raw = parse_upstream(received.body)
        response = self._decode(raw, received.headers)
        if response.usage is None:
            response = replace(response, usage=estimated_completion_usage(self._request, texts_of(response)))
        check_whole(choice.finish for choice in response.choices)
        body = self._server.encode_response(response, self._request, self._server_context)
        finish = response.choices[0].finish if response.choices else None
        return Answer(body, usage=response.usage, finish=finish, raw=raw)

    def translator(self, headers: Mapping[str, str]) -> TranslateStream:
        """Return the stream's translator."""
        return TranslateStream(
            self._decoder(),
            self._server.stream_encoder(self._request, self._server_context),
            lambda body: _events_of(self._decode(parse_upstream(body), headers)),
            self.estimate,
            breaks=Breaks(),
        )

    def estimate(self, response: Response) -> Usage:
        """Return the estimated usage of an answer without usage."""
        return estimated_completion_usage(self._request, texts_of(fold(response)))

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the target's error body."""
        return dialect_of(Row, self.wire.dialect).decode_error(status, body, headers)

    def _encode(self) -> EncodedRequest:
        raise NotImplementedError

    def _decode(self, raw: Any, headers: Mapping[str, str]) -> CompletionResponse:
        """Read a whole answer; ``headers`` hold the token counts where the body has none."""
        raise NotImplementedError

    def _decoder(self) -> StreamDecoder:
        raise NotImplementedError


class CompletionExchange(_Completion):
    """One attempt over a wire that has completions."""

    def __init__(self, call: Call, target: Target, wire: Wire, request: CompletionRequest) -> None:
        super().__init__(call, target, wire, request)
        self._client = dialect_of(CompletionDialect, wire.dialect)

    def _encode(self) -> EncodedRequest:
        return self._client.encode_request(self._request, self._context)

    def _decode(self, raw: Any, headers: Mapping[str, str]) -> CompletionResponse:
        return self._client.decode_response(raw, self._context, headers)

    def _decoder(self) -> StreamDecoder:
        return self._client.stream_decoder(self._context)


class ChatCompletionExchange(_Completion):
    """One attempt over a chat wire: the prompt becomes a message."""

    def __init__(self, call: Call, target: Target, wire: Wire, request: CompletionRequest) -> None:
        super().__init__(call, target, wire, request)
        self._client = dialect(wire.dialect)

    def _encode(self) -> EncodedRequest:
        request = replace(chat_request(self._request, self.losses), origin=self._request.origin)
        return self._client.encode_request(request, self._context)

    def _decode(self, raw: Any, headers: Mapping[str, str]) -> CompletionResponse:
        return completion(self._client.decode_response(raw, self._context), self._request)

    def _decoder(self) -> StreamDecoder:
        return _CompletionDecoder(self._client.stream_decoder(self._context), ChatToCompletion(self._request))


class _CompletionDecoder:
    """A chat decoder whose events become a completion's."""

    def __init__(self, decoder: StreamDecoder, mapper: ChatToCompletion) -> None:
        self._decoder = decoder
        self._mapper = mapper

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame."""
        return self._map(self._decoder.feed(event, data))

    def done(self) -> list[Event]:
        """Take ``[DONE]``."""
        return self._map(self._decoder.done())

    def eof(self) -> list[Event]:
        """Take the end of the body."""
        return self._map(self._decoder.eof())

    def _map(self, events: list[Event]) -> list[Event]:
        return [mapped for event in events for mapped in self._mapper.feed(event)]


def texts_of(response: CompletionResponse) -> list[str]:
    """Return the texts of all choices."""
    return [choice.text for choice in response.choices]


def _events_of(response: CompletionResponse) -> Iterator[Event]:
    """Return the events of a whole completion."""
    choices = tuple(
        Choice(c.index, (Message("assistant", (TextPart(c.text),)),), c.finish or Finish("stop"))
        for c in response.choices
    )
    return replay_answer(Response(response.id, response.model, choices, response.usage, response.created))
