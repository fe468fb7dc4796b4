"""Exchanges of embeddings, rankings, moderation, speech, transcription and pictures, over their own dialects.

Tests: tests/surfaces/test_framing.py, tests/surfaces/test_images.py, tests/golden.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from app.canonical.events import Failed
from app.canonical.images import ImageEvent, ImageResponse, PictureDone
from app.canonical.media import (
    EmbeddingRequest,
    EmbeddingResponse,
    SpeechDelta,
    SpeechDone,
    SpeechEvent,
    SpeechResponse,
    Transcript,
    TranscriptDone,
    TranscriptEvent,
)
from app.canonical.response import Response, Usage
from app.dialects import dialect_of
from app.dialects.base import Frame, Row
from app.dialects.media.audio import (
    MediaRequest,
    SpeechDialect,
    TranscriptionDialect,
    replay_speech,
    replay_transcript,
)
from app.dialects.media.base import EmbeddingDialect, WholeDialect, merge, split
from app.dialects.media.images import ImageDialect, replay_images
from app.dialects.media.moderations import ModerationDialect
from app.dialects.media.rerank import RerankDialect
from app.dialects.media.usage import estimate_speech_usage
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.event_streams import Decoder, EventStream
from app.gateway.exchange import Answer, Fetch, Received, Sent
from app.gateway.plan import Plan
from app.gateway.translation import DialectExchange, json_request, losses_of, parse_upstream
from app.providers.base import Wire
from app.wire.json import dumps
from app.wire.offload import aside
from app.wire.paths import segment

D = TypeVar("D", bound=Row)
Whole = TypeVar("Whole", bound=WholeDialect[Any, Any])
Form = TypeVar("Form", SpeechDialect, TranscriptionDialect, ImageDialect)


class MediaExchange(DialectExchange[D]):
    """What the attempts of all media operations share. ``family`` is the type of the rows of their dialects."""

    family: Any

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        super().__init__(
            dialect_of(self.family, chosen.wire.dialect),
            dialect_of(self.family, call.dialect),
            call,
            target,
            chosen.wire,
            replace(call.request, model=target.model),
            losses_of(call, target),
        )


class EmbeddingExchange(MediaExchange[EmbeddingDialect]):
    """Embeddings, in as many requests as the provider's limit needs."""

    family = EmbeddingDialect

    def send(self) -> Sent:
        """Return the first batch."""
        return self._encode_batch(self._batches()[0])

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch the batches in order and join their vectors."""
        answers, size = [], 0
        for batch in self._batches():
            received = fetch(self._encode_batch(batch))
            size += len(received.body)
            answers.append(aside(len(received.body), partial(self._decode, received, batch)))
        return aside(size, lambda: self._join(answers))

    def _decode(self, received: Received, batch: EmbeddingRequest) -> EmbeddingResponse:
        raw = parse_upstream(received.body)
        return self._client.decode_response(raw, batch, self._context, received.headers)

    def _join(self, answers: list[EmbeddingResponse]) -> Answer:
        response = merge(answers)
        body = self._server.encode_response(response, self._request, self._server_context)
        return Answer(body, usage=response.usage)

    def _batches(self) -> list[EmbeddingRequest]:
        if self._request.quantized and not self._client.quantizes(self._context):
            names = ", ".join(self._request.quantized)
            self.losses.report("embedding_types", f"Vectors of type {names} are not made by this model")
        return split(self._request, self._client.batch_limit(self._context))

    def _encode_batch(self, batch: EmbeddingRequest) -> Sent:
        return json_request(self._client.encode_request(batch, self._context))


class WholeExchange(MediaExchange[Whole]):
    """One JSON body out, one JSON answer back."""

    def send(self) -> Sent:
        """Encode the request."""
        return json_request(self._client.encode_request(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch the answer."""
        data = fetch(self.send()).body
        return aside(len(data), lambda: self._answer(data))

    def _answer(self, data: bytes) -> Answer:
        raw = parse_upstream(data)
        response = self._client.decode_response(raw, self._request, self._context)
        body = self._server.encode_response(response, self._request, self._server_context)
        return Answer(body, usage=response.usage)


class RerankExchange(WholeExchange[RerankDialect]):
    """Documents in order of their relevance to a query."""

    family = RerankDialect


class ModerationExchange(WholeExchange[ModerationDialect]):
    """Judgements of harmful content."""

    family = ModerationDialect


class FormExchange(MediaExchange[Form]):
    """What speech, transcription and pictures share: bodies that may be forms, paths that may vary."""

    def send(self) -> Sent:
        """Encode the request."""
        encoded = self._client.encode_request(self._request, self._context)
        wire = _with_path(self.wire, encoded)
        if encoded.form is None:
            return Sent(dumps(encoded.body), encoded.headers, wire=wire)
        form = encoded.form.encode(f"sluice-{secrets.token_hex(16)}")
        sizes = {"content-type": form.content_type, "content-length": str(len(form))}
        return Sent(form, {**encoded.headers, **sizes}, wire=wire)


class SpeechExchange(FormExchange[SpeechDialect]):
    """Text to speech."""

    family = SpeechDialect

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch whole audio."""
        received = fetch(self.send())
        body, headers = received.body, received.headers
        response = aside(len(body), lambda: self._decode(body, headers))
        usage = response.usage or estimate_speech_usage(self._request)
        return Answer(response.audio, response.media_type, usage=usage)

    def translator(self, headers: Mapping[str, str]) -> MediaStream[SpeechEvent]:
        """Return the stream's translator: events, or the bytes of the audio."""
        return MediaStream(
            self._client.stream_decoder(self._request, self._context),
            self._server.stream_encoder().feed if self._request.stream else _bare_audio,
            lambda body: replay_speech(self._decode(body, headers)),
            self._client.media_type(self._request, headers),
            lambda: estimate_speech_usage(self._request),
        )

    def _decode(self, body: bytes, headers: Mapping[str, str]) -> SpeechResponse:
        return self._client.decode_response(body, self._request, self._context, headers)


class TranscriptionExchange(FormExchange[TranscriptionDialect]):
    """Speech to text."""

    family = TranscriptionDialect

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch a whole transcript in the format that the client wants."""
        received = fetch(self.send())
        return aside(len(received.body), lambda: self._answer(received))

    def _answer(self, received: Received) -> Answer:
        transcript = self._decode(received.body, received.headers)
        body = self._server.encode_response(transcript, self._request)
        if isinstance(body, str):
            return Answer(body.encode(), "text/plain; charset=utf-8", usage=transcript.usage)
        return Answer(body, usage=transcript.usage)

    def translator(self, headers: Mapping[str, str]) -> MediaStream[TranscriptEvent]:
        """Return the stream's translator."""
        return MediaStream(
            self._client.stream_decoder(self._request, self._context),
            self._server.stream_encoder().feed,
            lambda body: replay_transcript(
                self._decode(body, headers), speakers=self._request.format == "diarized_json"
            ),
        )

    def _decode(self, body: bytes, headers: Mapping[str, str]) -> Transcript:
        return self._client.decode_response(body, self._request, self._context, headers)


class ImageExchange(FormExchange[ImageDialect]):
    """Pictures from a prompt, edits and variations."""

    family = ImageDialect

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch whole pictures."""
        data = fetch(self.send()).body
        return aside(len(data), lambda: self._answer(data))

    def _answer(self, data: bytes) -> Answer:
        response = self._decode(data)
        body = self._server.encode_response(response, self._request, self._server_context)
        return Answer(body, usage=response.usage)

    def translator(self, headers: Mapping[str, str]) -> ImageStream:
        """Return the stream's translator."""
        return ImageStream(
            self._client.stream_decoder(self._request, self._context),
            self._server.stream_encoder(self._request, self._server_context).feed,
            lambda body: replay_images(self._decode(body)),
        )

    def _decode(self, body: bytes) -> ImageResponse:
        return self._client.decode_response(parse_upstream(body), self._request, self._context)


E = TypeVar("E")


class MediaStream(EventStream[E]):
    """A stream of speech, of a transcript or of pictures on its way to the caller's frames."""

    def __init__(
        self,
        decoder: Decoder[E],
        encode: Callable[[E | Failed], list[Frame]],
        whole: Callable[[bytes], Iterable[E]],
        media_type: str | None = None,
        estimate: Callable[[], Usage | None] = lambda: None,
    ) -> None:
        super().__init__(decoder, whole)
        self.media_type = media_type
        self._estimate = estimate
        self._encode = encode

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``."""
        self.ended = True
        return self._encode(Failed(error))

    def response(self) -> Response | None:
        """Return None: media have no canonical response."""
        return None

    def _write(self, event: E) -> list[Frame]:
        return self._encode(event)

    def _note(self, event: E) -> None:
        if isinstance(event, Failed):
            self._note_failure(event)
        elif isinstance(event, SpeechDone) and not self.content:
            self.failure = GatewayError("upstream_invalid", "The provider sent no audio.")
        elif isinstance(event, SpeechDone):
            self.ended, self.usage = True, event.usage or self._estimate()
        else:
            self.content = True
            if isinstance(event, TranscriptDone):
                self.ended, self.usage = True, event.transcript.usage


class ImageStream(MediaStream[ImageEvent]):
    """A stream of pictures on its way to the caller's frames."""

    def _note(self, event: ImageEvent) -> None:
        if isinstance(event, Failed):
            self._note_failure(event)
            return
        self.content = True
        if isinstance(event, PictureDone) and event.last:
            self.ended, self.usage = True, event.usage


def _bare_audio(event: SpeechEvent) -> list[Frame]:
    """Return the audio of a delta as a frame; raises the error of a failure, which cuts the audio short."""
    if isinstance(event, Failed):
        raise event.error
    return [Frame(None, event.audio)] if isinstance(event, SpeechDelta) else []


def _with_path(wire: Wire, encoded: MediaRequest) -> Wire:
    """Return the wire with this request's own path, query and framing."""
    stream_path = wire.stream_path if wire.stream_path is not None else wire.path
    framing = encoded.framing
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
