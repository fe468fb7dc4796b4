"""Base of patches for wires whose bodies pass nearly unchanged.

The request gets another model, stream flag and signatures; how, each wire says with a function.
The answer passes as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.canonical.request import Signature
from app.canonical.response import Usage
from app.dialects.base import Frame, PassThrough, Patch
from app.dialects.shared.lenient_json import as_dict, as_list

Body = dict[str, Any]

FOREIGN_REASONING_LOST: Final = "Reasoning made by another provider was left out."


class Opener:
    """Opens the sealed signatures of one request for its target; ``param`` is the member named in reports."""

    def __init__(self, passage: PassThrough, dialect: str, param: str) -> None:
        self._passage = passage
        self._dialect = dialect
        self._param = param

    def open(self, text: Any) -> tuple[bool, str | None]:
        """Return whether a text is one of the gateway's tokens, and the signature in it.

        The signature is None, and reported, if the target does not accept it.
        """
        signature: Signature | None = self._passage.server.unwrap(text) if isinstance(text, str) else None
        if signature is None:
            return False, None
        if self._passage.client.accepts(signature, self._dialect):
            return True, signature.value
        self._passage.client.losses.report("reasoning_signature", FOREIGN_REASONING_LOST, param=self._param)
        return True, None


def open_messages(body: Body, opener: Opener, open_block: Callable[[Any, Opener], Any]) -> None:
    """Open the signatures in the blocks of a body's ``messages``.

    ``open_block`` returns a block for the target, None to leave it out; a message that loses all its
    blocks is left out, too.
    """
    messages = []
    for message in body["messages"]:
        content = as_dict(message).get("content")
        blocks = [copy for block in as_list(content) if (copy := open_block(block, opener)) is not None]
        if not content or not isinstance(content, list):
            messages.append(message)
        elif blocks:
            messages.append({**message, "content": blocks})
    body["messages"] = messages


class PlainPatch(Patch):
    """The patch of one attempt; ``fit`` returns the request's body as the target takes it.

    If a stream has no usage, the frame that should have had it, and those behind it, are buffered
    in ``_waiting`` until the gateway's own usage is known.
    """

    def __init__(self, passage: PassThrough, fit: Callable[[Body, PassThrough], Body]) -> None:
        self._passage = passage
        self._fit = fit
        self._waiting: list[Frame] = []

    def request(self) -> Body:
        """Return the client's body for the target; ``fallbacks`` is removed if it is a list of model names."""
        body, names = dict(self._passage.body), self._passage.body.get("fallbacks")
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            del body["fallbacks"]
        return self._fit(body, self._passage)

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the buffered frames, with ``usage`` in the first. The upstream's own frames end the stream."""
        if self._waiting and usage is not None:
            self._write_usage(self._waiting[0].data, usage)
        frames, self._waiting = self._waiting, []
        return frames

    def _write_usage(self, data: Body, usage: Usage) -> None:
        """Write the usage into the data of the frame that should have had it."""

    def _forward(self, frame: Frame, *, lacks_usage: bool) -> list[Frame]:
        """Return the frame, or buffer it if it should have had the usage or follows such a frame."""
        if lacks_usage or self._waiting:
            self._waiting.append(frame)
            return []
        return [frame]
