"""Exchanges of text completions: over a provider's own wire, else over its chat wire.

Tests: tests/behaviour, tests/golden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from app.canonical.events import Event, replay
from app.canonical.media import CompletionRequest, CompletionResponse
from app.canonical.request import Message, TextPart
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect, dialect_of
from app.dialects.base import ClientContext, CompletionDialect, Dialect, StreamDecoder
from app.dialects.completions.dialect import NAME, fold
from app.dialects.completions.over_chat import ChatToCompletion, chat_request, completion
from app.dialects.shared.answer_losses import report_losses
from app.dialects.shared.losses import Losses
from app.gateway.call import Call, Target
from app.gateway.estimates import complete_usage, estimated_completion_usage
from app.gateway.exchange import Answer, Fetch, Received, Sent
from app.gateway.offload import aside_for
from app.gateway.plan import Plan
from app.gateway.target_members import apply_to_request
from app.gateway.translation import (
    DialectExchange,
    TranslateStream,
    decode_once,
    json_request,
    losses_of,
    parse_upstream,
)
from app.gateway.truncation import Breaks, check_size, check_whole
from app.wire.offload import aside


class CompletionExchange(DialectExchange[CompletionDialect]):
    """One attempt at a completion, whatever the wire."""

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        server, wire, losses = (
            dialect_of(CompletionDialect, call.dialect),
            chosen.wire,
            losses_of(call, target),
        )
        request = decode_once(call, server.decode_request)
        if target.members is not None:
            request = apply_to_request(request, target.members, losses)
        request = replace(request, model=target.model, stream=call.stream and wire.streams)
        if chosen.serves == "completion":
            client = dialect_of(CompletionDialect, wire.dialect)
        else:
            client = _over_chat(dialect(wire.dialect), request, losses)
        super().__init__(client, server, call, target, wire, request, losses)

    def send(self) -> Sent:
        """Encode the request."""
        return aside_for(self._call, self._encode_request)

    def _encode_request(self) -> Sent:
        return json_request(self._client.encode_request(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch, decode and encode one whole answer."""
        received = fetch(self.send())
        return aside(len(received.body), lambda: self._answer(received))

    def _answer(self, received: Received) -> Answer:
        raw = parse_upstream(received.body)
        response = self._client.decode_response(raw, self._context, received.headers)
        usage = complete_usage(response.usage, lambda: self._estimate(response))
        if usage is not response.usage:
            response = replace(response, usage=usage)
        check_whole(response.choices)
        body = self._server.encode_response(response, self._request, self._server_context)
        finish = response.choices[0].finish if response.choices else None
        return Answer(body, usage=response.usage, finish=finish, raw=raw)

    def translator(self, headers: Mapping[str, str]) -> TranslateStream:
        """Return the stream's translator."""
        return TranslateStream(
            self._client.stream_decoder(self._context),
            self._server.stream_encoder(self._request, self._server_context),
            lambda body: _events_of(
                self._client.decode_response(parse_upstream(body), self._context, headers)
            ),
            self.estimate,
            breaks=Breaks(),
            report=partial(self._report_losses, streamed=True),
        )

    def estimate(self, response: Response) -> Usage:
        """Return the estimated usage of an answer without usage."""
        return self._estimate(fold(response))

    def _estimate(self, response: CompletionResponse) -> Usage:
        return estimated_completion_usage(self._request, (choice.text for choice in response.choices))


def _over_chat(chat: Dialect, request: CompletionRequest, losses: Losses) -> CompletionDialect:
    """Return a dialect of completions whose prompts are messages of ``chat``, for ``request`` alone."""

    def decode_response(raw: Any, context: ClientContext, _: Mapping[str, str]) -> CompletionResponse:
        response = chat.decode_response(raw, context)
        report_losses(response, NAME, losses)
        return completion(response, request)

    return CompletionDialect(
        name=chat.name,
        decode_error=chat.decode_error,
        encode_request=lambda _, context: chat.encode_request(chat_request(request, losses), context),
        decode_response=decode_response,
        stream_decoder=lambda context: _CompletionDecoder(
            chat.stream_decoder(context), ChatToCompletion(request)
        ),
    )


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


def _events_of(response: CompletionResponse) -> Iterator[Event]:
    """Return the events of a whole completion."""
    choices = tuple(
        Choice(c.index, (Message("assistant", (TextPart(c.text),)),), c.finish or Finish("stop"))
        for c in response.choices
    )
    answer = Response(
        response.id, response.model, choices, response.usage, response.created, native=response.native
    )
    return replay(check_size(answer))
