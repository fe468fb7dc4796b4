"""The exchange of pictures, whole or as a stream.

Tests: tests/surfaces/test_images.py, tests/golden.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.canonical.events import Failed
from app.canonical.images import ImageEvent, ImageResponse, PictureDone
from app.dialects.media.images import ImageDialect, replay_images
from app.gateway.exchange import Answer, Fetch
from app.gateway.media import FormExchange, MediaStream
from app.gateway.translation import parse_upstream


class ImageExchange(FormExchange[ImageDialect]):
    """Pictures from a prompt, edits and variations."""

    family = ImageDialect

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch whole pictures."""
        response = self._decode(fetch(self.send()).body)
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


class ImageStream(MediaStream[ImageEvent]):
    """A stream of pictures on its way to the caller's frames."""

    def _note(self, event: ImageEvent) -> None:
        if isinstance(event, Failed):
            self._note_failure(event)
            return
        self.content = True
        if isinstance(event, PictureDone) and event.last:
            self.ended, self.usage = True, event.usage
