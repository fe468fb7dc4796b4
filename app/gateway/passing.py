"""Pass: the caller's dialect is the one the target takes whole, so bodies are forwarded.

The request goes out as a patched copy and the answer comes back patched; every other
member stays as it was sent. The target's own decoder runs beside the stream, so usage,
finish reason, errors and the fold are the same as for a translated call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from app.canonical.events import (
    Accumulator,
    BlockDelta,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    replay,
)
from app.canonical.request import OpaquePart, Request, Signature, ToolCallPart
from app.canonical.response import Finish, Response, Usage
from app.dialects import dialect
from app.dialects.base import DONE, Frame, ServerContext, StreamDecoder, StreamEncoder
from app.dialects.chat.fit import fit
from app.dialects.chat.options import ChatOptions
from app.dialects.shared.losses import Losses
from app.dialects.shared.reading import as_dict, count, dicts
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import estimated_usage
from app.gateway.exchange import Answer, Fetch, Sent
from app.gateway.told_usage import mend_usage
from app.gateway.translating import client_context, losses_of, parse_upstream, server_context
from app.providers.base import Wire
from app.wire.json import dumps

GATEWAY_MEMBERS: Final = frozenset({"fallbacks"})
"""Members of a body that the gateway itself consumes."""


class Patch(Protocol):
    """What is changed in bodies of one dialect when they pass."""

    def request(self) -> dict[str, Any]:
        """Return the body to send."""
        ...

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the whole answer as the caller shall see it."""
        ...

    def frame(self, event: str | None, data: dict[str, Any]) -> Frame | None:
        """Return a stream frame as the caller shall see it, None to leave it out."""
        ...

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return what ends a good stream of ``usage`` beyond the upstream's own frames."""
        ...

    def fail(self, error: GatewayError, answer: Response, usage: Usage | None) -> list[Frame] | None:
        """Return what ends a broken stream after the frames that went out, ``answer`` being
        the fold of them; None where the dialect's own encoder can say it."""
        ...


class PassExchange:
    """One attempt by passing."""

    passed = True

    def __init__(
        self,
        call: Call,
        target: Target,
        wire: Wire,
        patch: Callable[[Losses, ServerContext], Patch],
        request: Callable[[], Request],
    ) -> None:
        self.wire = wire
        self.losses = losses_of(call, target)
        self._call = call
        self._server_context = server_context(call, target.model)
        self._patch = patch(self.losses, self._server_context)
        self._request = request
        self._dialect = dialect(call.dialect)
        self._context = client_context(call, target, wire, self.losses)

    def send(self) -> Sent:
        """Return the patched copy of the caller's body."""
        return Sent(dumps(self._patch.request()))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch one whole answer; it is decoded too, for the record."""
        raw = parse_upstream(fetch(self.send()).body)
        response = self._dialect.decode_response(raw, self._context)
        finish = response.choices[0].finish if response.choices else None
        usage = response.usage or estimated_usage(self._request(), response)
        answer = self._patch.answer(raw)
        mend_usage(answer, self._call.dialect, usage)
        return Answer(answer, response=response, usage=usage, finish=finish, raw=raw)

    def translator(self, headers: Mapping[str, str]) -> PassStream:
        """Return the stream's patcher and observer."""
        return PassStream(self)

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the target's error body."""
        return self._dialect.decode_error(status, body, headers)

    def estimate(self, response: Response) -> Usage:
        """Return a guessed usage for an answer whose upstream told none."""
        return estimated_usage(self._request(), response)

    def encoder(self) -> StreamEncoder:
        """Return a server half's encoder, for an ending of our own."""
        return self._dialect.stream_encoder(self._request(), self._server_context)

    def decoder(self) -> StreamDecoder:
        """Return the observing decoder."""
        return self._dialect.stream_decoder(self._context)

    def decoded(self, body: bytes) -> Iterable[Event]:
        """Return the events of a whole answer where a stream was asked for."""
        return replay(self._dialect.decode_response(parse_upstream(body), self._context))

    @property
    def dialect(self) -> str:
        """Return the name of the dialect that passes."""
        return self._call.dialect

    @property
    def patch(self) -> Patch:
        """Return this attempt's patch."""
        return self._patch


class PassStream:
    """Patched frames out, events beside for the record."""

    def __init__(self, exchange: PassExchange) -> None:
        self.content = False
        self.ended = False
        self.failure: GatewayError | None = None
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self._exchange = exchange
        self._decoder = exchange.decoder()
        self._fold = Accumulator()

    def feed(self, event: str | None, data: Any) -> list[Frame]:
        """Take one upstream frame."""
        self._observe(self._decoder.feed(event, data))
        if self.failure is not None or not isinstance(data, dict):
            return []
        frame = self._exchange.patch.frame(event, data)
        if frame is None:
            return self._close([])
        ended = frame.data.get("response") if self.ended and isinstance(frame.data, dict) else None
        if ended is not None and self.usage is not None:
            mend_usage(ended, self._exchange.dialect, self.usage)
        return self._close([frame])

    def done(self) -> list[Frame]:
        """Take ``[DONE]``."""
        self._observe(self._decoder.done())
        return self._close([])

    def eof(self) -> list[Frame]:
        """Take the end of the body."""
        self._observe(self._decoder.eof())
        return self._close([])

    def whole(self, body: bytes) -> list[Frame]:
        """Take a whole JSON answer where a stream was asked for: it is encoded as one."""
        encoder = self._exchange.encoder()
        frames: list[Frame] = []
        for event in self._exchange.decoded(body):
            self._observe([event])
            frames += encoder.feed(event)
        return frames

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``, after what the fold holds."""
        patched = self._exchange.patch.fail(error, self._fold.response(), self.usage)
        if patched is not None:
            self.ended = True
            return patched
        encoder = self._exchange.encoder()
        for event in replay(self._fold.response()):
            if not isinstance(event, Finished | Ended):
                encoder.feed(event)
        self.ended = True
        return encoder.feed(Failed(error, self.usage))

    def response(self) -> Response:
        """Return the fold so far."""
        return self._fold.response()

    def _close(self, frames: list[Frame]) -> list[Frame]:
        return [*frames, *self._exchange.patch.closing(self.usage)] if self.ended else frames

    def _observe(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Failed):
                self.failure = event.error
                self.usage = event.usage or self.usage
                return
            self._fold.feed(event)
            if isinstance(event, BlockDelta):
                self.content = True
            elif isinstance(event, BlockStarted):
                self.content = self.content or isinstance(event.part, ToolCallPart | OpaquePart)
            elif isinstance(event, Finished):
                self.content = True
                self.finish = self.finish or event.finish
            elif isinstance(event, Ended):
                self.content = self.ended = True
                event.usage = event.usage or self._exchange.estimate(self._fold.response())
                self.usage = event.usage


_CONSTANT: Final = ("id", "object", "created", "model")


class ChatPatch:
    """What changes in chat bodies: the model, usage asked for, signatures' wrapping."""

    def __init__(self, call: Call, target: Target, losses: Losses, context: ServerContext) -> None:
        self._call = call
        self._model = target.model
        wire = target.provider.wire("chat", target.model)
        self._options = (wire.options if wire else None) or ChatOptions()
        self._realm = target.provider.realm(target.key)
        self._losses = losses
        self._context = context
        options = call.body.get("stream_options")
        self._usage_wanted = isinstance(options, dict) and options.get("include_usage") is True
        self._told: Any = None
        self._last: dict[str, Any] = {}
        self._finished: set[Any] = set()

    def request(self) -> dict[str, Any]:
        """Return the caller's body for the target."""
        asked = {k: v for k, v in self._call.body.items() if k not in GATEWAY_MEMBERS}
        body = fit(asked, self._options, self._losses)
        body["model"] = self._model
        if self._call.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if isinstance(body.get("messages"), list):
            body["messages"] = [self._message(message) for message in body["messages"]]
        return body

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer with its reasoning details wrapped."""
        for choice in dicts(body.get("choices")):
            self._wrap(choice.get("message"))
        return body

    def frame(self, event: str | None, data: dict[str, Any]) -> Frame | None:
        """Return a chunk. Usage is kept for the extra chunk at the end, where it belongs."""
        usage = data.pop("usage", None)
        told = dicts(data.get("choices"))
        if "choices" in data:
            data["choices"] = [choice for choice in told if self._is_news(choice)]
        if self._usage_wanted:
            data["usage"] = None
        self._last = data
        if usage is not None:
            self._told = usage
        if not data.get("choices") and (told or usage is not None):
            return None
        for choice in data.get("choices") or ():
            self._wrap(choice.get("delta"))
        return Frame(None, data)

    def _is_news(self, choice: dict[str, Any]) -> bool:
        """Tell whether a choice of a chunk says more than that it has finished once more, as the
        usage chunk of some hosts does."""
        index, delta = count(choice.get("index")), as_dict(choice.get("delta"))
        again = index in self._finished and not any(v for k, v in delta.items() if k != "role")
        if choice.get("finish_reason") is not None:
            self._finished.add(index)
        return not again

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the usage chunk, if the caller asked for one, and ``[DONE]``."""
        if not self._usage_wanted or usage is None:
            return [DONE]
        kept = self._last if not self._last.get("choices") else {n: self._last.get(n) for n in _CONSTANT}
        last = {**kept, "choices": [], "usage": self._told}
        mend_usage(last, "chat", usage)
        return [Frame(None, last), DONE]

    def fail(self, error: GatewayError, answer: Response, usage: Usage | None) -> None:
        """Leave the ending to the encoder: chunks carry no numbers that must go on."""
        return None

    def _message(self, message: Any) -> Any:
        details = message.get("reasoning_details") if isinstance(message, dict) else None
        if not isinstance(details, list):
            return message
        kept = [detail for detail in map(self._unwrap, details) if detail is not None]
        if len(kept) != len(details):
            self._losses.report(
                "reasoning_signature", "Reasoning made by another provider was left out.", param="messages"
            )
        return {**message, "reasoning_details": kept}

    def _unwrap(self, detail: Any) -> Any:
        if not isinstance(detail, dict):
            return detail
        changed = dict(detail)
        for slot in ("signature", "data"):
            text = detail.get(slot)
            signature = self._context.unwrap(text) if isinstance(text, str) else None
            if signature is None:
                continue
            if signature.dialect != "chat" or signature.realm not in (None, self._realm):
                return None
            changed[slot] = signature.value
        return changed

    def _wrap(self, message: Any) -> None:
        details = message.get("reasoning_details") if isinstance(message, dict) else None
        for detail in details if isinstance(details, list) else ():
            for slot in ("signature", "data"):
                if isinstance(detail, dict) and isinstance(detail.get(slot), str):
                    signature = Signature(detail[slot], "chat", self._realm)
                    detail[slot] = self._context.wrap(signature)
