"""Answers that a model broke off: they are errors in a dialect that has no word for them.

A Responses object can say ``failed`` itself. In other dialects an answer whose finish is an error (an
aborted server, a call that it could not write) becomes its provider's error, so that a fallback is tried
before anything was sent. Tests: tests/gateway/test_truncation.py, tests/behaviour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from app.canonical.events import Ended, Event, Failed, Finished
from app.canonical.media import CompletionChoice
from app.canonical.response import Choice, Finish, Response
from app.errors import GatewayError
from app.gateway.nested_json import has_too_much

MAX_BLOCKS: Final = 100_000
"""Choices and parts of a whole answer; this many take three seconds, off the loop."""

MAX_STREAMED: Final = 10_000
"""The same of a stream, whose blocks end on the loop, many in one event, and are six events each at the Responses API."""


def error_of(finish: Finish | None) -> GatewayError | None:
    """Return the error for a finish, None for a finish that is not an error."""
    if finish is None or finish.reason != "error":
        return None
    word = f" ({finish.raw})" if finish.raw else ""
    return GatewayError(
        "upstream_error", f"The model ended its answer in an error{word}.", code="server_error"
    )


def check_whole(choices: Iterable[Choice | CompletionChoice]) -> None:
    """Raise the error of an answer that was broken off."""
    for choice in choices:
        if (error := error_of(choice.finish)) is not None:
            raise error


def check_size(response: Response) -> Response:
    """Return a whole answer; raise ``upstream_invalid`` if it has more than ``MAX_BLOCKS`` choices and parts, or its calls too
    much JSON."""
    parts = sum(len(message.parts) for choice in response.choices for message in choice.messages)
    if len(response.choices) + parts > MAX_BLOCKS:
        raise too_many(MAX_BLOCKS)
    if has_too_much(message for choice in response.choices for message in choice.messages):
        raise GatewayError(
            "upstream_invalid", "The JSON within the provider's tool calls has too many members and elements."
        )
    return response


def too_many(most: int) -> GatewayError:
    """Return the error of an answer with more than ``most`` choices and parts."""
    return GatewayError("upstream_invalid", f"The provider's answer has more than {most} choices and parts.")


class Breaks:
    """Turns the end of a stream that was broken off into a failure with its usage."""

    def __init__(self) -> None:
        self._error: GatewayError | None = None

    def ended(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events, with Failed in place of the end of a broken-off stream."""
        for event in events:
            error = error_of(event.finish) if isinstance(event, Finished) else None
            self._error = self._error or error
            if isinstance(event, Ended) and self._error is not None:
                yield Failed(self._error, event.usage)
            elif error is None:
                yield event
