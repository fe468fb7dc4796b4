"""Pictures: one attempt, whole or as a stream.

Tests: tests/surfaces/test_images.py, tests/golden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.canonical.events import Failed
from app.canonical.images import ImageEvent, ImageRequest, ImageResponse, PictureDone
from app.canonical.response import Response
from app.dialects import dialect_of
from app.dialects.base import Frame
from app.dialects.media.images import ImageDialect, ImageEncoder, replay_images
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.event_streams import Decoder, EventStream
from app.gateway.exchange import Answer, Fetch, Sent
from app.gateway.media import FormExchange
from app.gateway.plan import Plan
from app.gateway.translation import parse_upstream


class ImageExchange(FormExchange):
    """Pictures of a prompt, edits and variations."""

    def __init__(self, call: Call, target: Target, chosen: Plan) -> None:
        super().__init__(call, target, chosen)
        self._client = dialect_of(ImageDialect, self.wire.dialect)
        self._server = dialect_of(ImageDialect, call.dialect)
        self._request: ImageRequest = call.request

    def send(self) -> Sent:
        """Encode the request."""
        return self._encode_request(self._client.encode_request(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch whole pictures."""
        response = self._whole(fetch(self.send()).body)
        body = self._server.encode_response(response, self._request, self._server_context)
        return Answer(body, usage=response.usage)

    def translator(self, headers: Mapping[str, str]) -> ImageStream:
        """Return the stream's translator."""
        return ImageStream(
            self._client.stream_decoder(self._request, self._context),
            self._server.stream_encoder(self._request, self._server_context),
            self._whole,
        )

    def _whole(self, body: bytes) -> ImageResponse:
        return self._client.decode_response(parse_upstream(body), self._request, self._context)


class ImageStream(EventStream[ImageEvent]):
    """A stream of pictures on its way to the caller's frames."""

    def __init__(
        self,
        decoder: Decoder[ImageEvent],
        encoder: ImageEncoder,
        whole: Callable[[bytes], ImageResponse],
    ) -> None:
        super().__init__(decoder, lambda body: replay_images(whole(body)))
        self._encoder = encoder

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``."""
        self.ended = True
        return self._encoder.feed(Failed(error))

    def response(self) -> Response | None:
        """Pictures have no canonical response."""
        return None

    def _write(self, event: ImageEvent) -> list[Frame]:
        return self._encoder.feed(event)

    def _note(self, event: ImageEvent) -> None:
        if isinstance(event, Failed):
            self._note_failure(event)
            return
        self.content = True
        if isinstance(event, PictureDone) and event.last:
            self.ended, self.usage = True, event.usage
