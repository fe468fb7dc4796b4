"""Embeddings, rankings, moderation, speech and transcription: one attempt each, over their own dialects.

Tests: tests/surfaces/test_framing.py, tests/golden.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from app.canonical.events import Failed
from app.canonical.media import (
    EmbeddingRequest,
    EmbeddingResponse,
    SpeechDelta,
    SpeechDone,
    SpeechEvent,
    SpeechRequest,
    SpeechResponse,
    Transcript,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from app.canonical.response import Response
from app.dialects import dialect_of
from app.dialects.base import Frame, Row
from app.dialects.media.audio import (
    AudioEncoder,
    MediaRequest,
    SpeechDialect,
    TranscriptionDialect,
    replay_speech,
    replay_transcript,
)
from app.dialects.media.base import EmbeddingDialect, WholeDialect, merge, split
from app.dialects.media.moderations import ModerationDialect
from app.dialects.media.rerank import RerankDialect
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.event_streams import Decoder, EventStream
from app.gateway.exchange import Answer, Fetch, Received, Sent
from app.gateway.plan import Plan
from app.gateway.translation import client_context, losses_of, parse_upstream, server_context
from app.providers.base import Wire
from app.wire.json import dumps
from app.wire.offload import aside
from app.wire.paths import segment


class MediaExchange:
    """What the attempts of all media operations share."""

    passed = False

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        self.wire: Wire = chosen.wire
        self.losses = losses_of(call, target)
        self._server_context = server_context(call, target.model)
        self._context = client_context(call, target, self.wire, self.losses)
        self._model = target.model

    def estimate(self, response: Response) -> None:
        """Nothing is guessed for media."""
        return None

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the target's error body."""
        return dialect_of(Row, self.wire.dialect).decode_error(status, body, headers)


class EmbeddingExchange(MediaExchange):
    """Embeddings in as many calls as the provider's limit asks for."""

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        super().__init__(call, target, chosen)
        self._client = dialect_of(EmbeddingDialect, self.wire.dialect)
        self._server = dialect_of(EmbeddingDialect, call.dialect)
        self._request: EmbeddingRequest = replace(call.request, model=target.model)

    def send(self) -> Sent:
        """Return the first batch."""
        return self._encode_request(self._batches()[0])

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch each batch in order and join the vectors."""
        answers, size = [], 0
        for batch in self._batches():
            received = fetch(self._encode_request(batch))
            size += len(received.body)
            answers.append(aside(len(received.body), partial(self._read, received, batch)))
        return aside(size, lambda: self._joined(answers))

    def _read(self, received: Received, batch: EmbeddingRequest) -> EmbeddingResponse:
        raw = parse_upstream(received.body)
        return self._client.decode_response(raw, batch, self._context, received.headers)

    def _joined(self, answers: list[EmbeddingResponse]) -> Answer:
        response = merge(answers)
        body = self._server.encode_response(response, self._request, self._server_context)
        return Answer(body, usage=response.usage)

    def translator(self, headers: Mapping[str, str]) -> Any:
        """Embeddings have no streams."""
        raise GatewayError("unsupported_operation", "Embeddings are not streamed.", param="stream")

    def _batches(self) -> list[EmbeddingRequest]:
        if self._request.quantized and not self._client.quantizes(self._context):
            names = ", ".join(self._request.quantized)
            self.losses.report("embedding_types", f"Vectors of type {names} are not made by this model")
        return split(self._request, self._client.batch_limit(self._context))

    def _encode_request(self, batch: EmbeddingRequest) -> Sent:
        encoded = self._client.encode_request(batch, self._context)
        return Sent(dumps(encoded.body), encoded.headers)


class WholeExchange(MediaExchange):
    """One JSON body out, one JSON answer back, over wires that ``row`` finds by name."""

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        super().__init__(call, target, chosen)
        self._client = self.row(self.wire.dialect)
        self._server = self.row(call.dialect)
        self._request = replace(call.request, model=target.model)

    def row(self, name: str) -> WholeDialect[Any, Any]:
        """Return the dialect called ``name``."""
        raise NotImplementedError

    def send(self) -> Sent:
        """Encode the request."""
        encoded = self._client.encode_request(self._request, self._context)
        return Sent(dumps(encoded.body), encoded.headers)

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch the answer."""
        data = fetch(self.send()).body
        return aside(len(data), lambda: self._answer(data))

    def _answer(self, data: bytes) -> Answer:
        raw = parse_upstream(data)
        response = self._client.decode_response(raw, self._request, self._context)
        body = self._server.encode_response(response, self._request, self._server_context)
        return Answer(body, usage=response.usage)

    def translator(self, headers: Mapping[str, str]) -> Any:
        """These operations have no streams."""
        raise GatewayError("unsupported_operation", "This operation is not streamed.", param="stream")


class RerankExchange(WholeExchange):
    """Documents by their relevance to a query."""

    def row(self, name: str) -> RerankDialect:
        """Return the dialect called ``name``."""
        return dialect_of(RerankDialect, name)


class ModerationExchange(WholeExchange):
    """Judgements of what harms."""

    def row(self, name: str) -> ModerationDialect:
        """Return the dialect called ``name``."""
        return dialect_of(ModerationDialect, name)


class FormExchange(MediaExchange):
    """What speech, transcription and pictures share: bodies that may be forms, paths that may vary."""

    def _encode_request(self, encoded: MediaRequest) -> Sent:
        wire = _with_path(self.wire, encoded)
        if encoded.form is None:
            return Sent(dumps(encoded.body), encoded.headers, wire=wire)
        form = encoded.form.encode(f"sluice-{secrets.token_hex(16)}")
        sizes = {"content-type": form.content_type, "content-length": str(len(form))}
        return Sent(form, {**encoded.headers, **sizes}, wire=wire)


class SpeechExchange(FormExchange):
    """Text to speech."""

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        super().__init__(call, target, chosen)
        self._client = dialect_of(SpeechDialect, self.wire.dialect)
        self._server = dialect_of(SpeechDialect, call.dialect)
        self._request: SpeechRequest = replace(call.request, model=target.model)

    def send(self) -> Sent:
        """Encode the request."""
        return self._encode_request(self._client.encode_request(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch whole audio."""
        received = fetch(self.send())
        response = self._whole(received.body, received.headers)
        return Answer(response.audio, response.media_type, usage=response.usage)

    def translator(self, headers: Mapping[str, str]) -> AudioStream[SpeechEvent]:
        """Return the stream's translator: events of ours, or the bare bytes."""
        encoder: AudioEncoder[SpeechEvent] = (
            self._server.stream_encoder() if self._request.stream else _BareAudio()
        )
        return AudioStream(
            self._client.stream_decoder(self._request, self._context),
            encoder.feed,
            lambda body: replay_speech(self._whole(body, headers)),
            self._client.media_type(self._request, headers),
        )

    def _whole(self, body: bytes, headers: Mapping[str, str]) -> SpeechResponse:
        return self._client.decode_response(body, self._request, self._context, headers)


class TranscriptionExchange(FormExchange):
    """Speech to text."""

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        super().__init__(call, target, chosen)
        self._client = dialect_of(TranscriptionDialect, self.wire.dialect)
        self._server = dialect_of(TranscriptionDialect, call.dialect)
        self._request: TranscriptionRequest = replace(call.request, model=target.model)

    def send(self) -> Sent:
        """Encode the form."""
        return self._encode_request(self._client.encode_request(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch a whole transcript in the form that the client asked for."""
        received = fetch(self.send())
        transcript = self._decode(received.body, received.headers)
        body = self._server.encode_response(transcript, self._request)
        if isinstance(body, str):
            return Answer(body.encode(), "text/plain; charset=utf-8", usage=transcript.usage)
        return Answer(body, usage=transcript.usage)

    def translator(self, headers: Mapping[str, str]) -> AudioStream[TranscriptEvent]:
        """Return the stream's translator."""
        return AudioStream(
            self._client.stream_decoder(self._request, self._context),
            self._server.stream_encoder().feed,
            lambda body: replay_transcript(
                self._decode(body, headers), speakers=self._request.format == "diarized_json"
            ),
            None,
        )

    def _decode(self, body: bytes, headers: Mapping[str, str]) -> Transcript:
        return self._client.decode_response(body, self._request, self._context, headers)


E = TypeVar("E", bound=SpeechEvent | TranscriptEvent)


class AudioStream(EventStream[E]):
    """A speech or transcription stream on its way to the caller's frames."""

    def __init__(
        self,
        decoder: Decoder[E],
        encode: Callable[[E | Failed], list[Frame]],
        whole: Callable[[bytes], Iterable[E]],
        media_type: str | None,
    ) -> None:
        super().__init__(decoder, whole)
        self.media_type = media_type
        self._encode = encode

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``."""
        self.ended = True
        return self._encode(Failed(error))

    def response(self) -> Response | None:
        """Audio has no canonical response."""
        return None

    def _write(self, event: E) -> list[Frame]:
        return self._encode(event)

    def _note(self, event: E) -> None:
        if isinstance(event, Failed):
            self._note_failure(event)
        elif isinstance(event, SpeechDone) and not self.content:
            self.failure = GatewayError("upstream_invalid", "The provider sent no audio.")
        elif isinstance(event, SpeechDone):
            self.ended, self.usage = True, event.usage
        else:
            self.content = True
            if isinstance(event, TranscriptDone):
                self.ended, self.usage = True, event.transcript.usage


class _BareAudio:
    """Encodes speech as its bytes; a failure can only cut it short."""

    def feed(self, event: SpeechEvent) -> list[Frame]:
        """Return the audio of a delta as a frame; raises the error of a failure."""
        if isinstance(event, Failed):
            raise event.error
        return [Frame(None, event.audio)] if isinstance(event, SpeechDelta) else []


def _with_path(wire: Wire, encoded: MediaRequest) -> Wire:
    """Return the wire with this request's own path, query and framing."""
    stream_path = wire.stream_path if wire.stream_path is not None else wire.path
    framing: Final = encoded.framing
    return replace(
        wire,
        path=_fill(wire.path, encoded.path) + encoded.suffix,
        stream_path=_fill(stream_path, encoded.path) + encoded.suffix,
        query={**wire.query, **encoded.query},
        framing="sse" if framing == "json" else framing,
        streams=wire.streams and framing != "json",
    )


def _fill(path: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        path = path.replace("{" + name + "}", segment(value, name=name))
    return path
