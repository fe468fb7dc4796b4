"""Text completions on a provider that only chats: the prompt is one user message.

``chat_request`` makes the canonical chat request, ``completion`` reads a whole answer
back, ``ChatToCompletion`` maps the events of a stream. ``echo`` is done here; what a
chat has no form for (a suffix, token arrays, several prompts) is a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Failed, Finished, Started
from app.canonical.media import CompletionRequest, CompletionResponse
from app.canonical.request import Message, RefusalPart, Request, TextPart
from app.canonical.response import Finish, Response
from app.dialects.completions.dialect import fold
from app.dialects.shared.losses import Losses

_ECHO_BLOCKS: Final = 1 << 40
"""Block numbers of our own begin here, above any decoder's."""


def chat_request(request: CompletionRequest, losses: Losses) -> Request:
    """Return the chat request that stands for ``request``.

    Raises ``unsupported_parameter`` for a suffix, token arrays or several prompts.
    """
    if len(request.prompts) != 1:
        losses.report("prompts", "several prompts at once are not supported by this model", param="prompt")
    prompt = request.prompts[0]
    if not isinstance(prompt, str):
        losses.report("tokens_input", "token arrays are not supported by this model", param="prompt")
    if request.suffix:
        losses.report("suffix")
    if request.best_of is not None and request.best_of > (request.sampling.n or 1):
        losses.report("best_of")
    if request.echo and request.logprobs is not None:
        losses.report("prompt_logprobs", "'logprobs' of the echoed prompt were left out", param="echo")
    sampling = request.sampling
    if request.logprobs is not None:
        sampling = replace(sampling, logprobs=True, top_logprobs=request.logprobs or None)
    return Request(
        model=request.model,
        messages=(Message("user", (TextPart(str(prompt)),)),),
        sampling=sampling,
        stream=request.stream,
        hints={} if request.user is None else {"user": request.user},
        extra={name: value for name, value in request.extra.items() if name != "stream_options"},
        origin=request.origin,
    )


def completion(response: Response, request: CompletionRequest) -> CompletionResponse:
    """Return the completion that a chat answer stands for, with the prompt before it if
    it was to be echoed."""
    answer = fold(response)
    choices = tuple(
        replace(choice, text=echo_of(request) + choice.text, finish=_finish(choice.finish))
        for choice in answer.choices
    )
    return replace(answer, choices=choices)


def echo_of(request: CompletionRequest) -> str:
    """Return the text that goes before each answer."""
    prompt = request.prompts[0]
    return prompt if request.echo and isinstance(prompt, str) else ""


def _finish(finish: Finish | None) -> Finish | None:
    """A completion has no calls: such an ending is a stop."""
    return replace(finish, reason="stop") if finish is not None and finish.reason == "tool_calls" else finish


class ChatToCompletion:
    """Map the events of a chat stream to those of a completion: texts alone, the echo first."""

    def __init__(self, request: CompletionRequest) -> None:
        self._echo = echo_of(request)
        self._texts: set[int] = set()
        self._spoke: set[int] = set()

    def feed(self, event: Event) -> list[Event]:
        """Return the completion's events for one chat event; none for thoughts and calls."""
        return _MAPPERS[type(event)](self, event)

    def _keep(self, event: Event) -> list[Event]:
        return [event]

    def _open(self, event: BlockStarted) -> list[Event]:
        if not isinstance(event.part, TextPart | RefusalPart):
            return []
        self._texts.add(event.block)
        return [*self._echo_once(event.choice), replace(event, part=TextPart(""))]

    def _echo_once(self, choice: int) -> list[Event]:
        """The prompt as a block of its own, once a choice."""
        if choice in self._spoke:
            return []
        self._spoke.add(choice)
        if not self._echo:
            return []
        block = _ECHO_BLOCKS + choice
        return [
            BlockStarted(block, 0, TextPart(""), choice),
            BlockDelta(block, self._echo),
            BlockEnded(block),
        ]

    def _grow(self, event: BlockDelta) -> list[Event]:
        return [BlockDelta(event.block, event.text, event.logprobs)] if event.block in self._texts else []

    def _close(self, event: BlockEnded) -> list[Event]:
        return [BlockEnded(event.block)] if event.block in self._texts else []

    def _finished(self, event: Finished) -> list[Event]:
        return [*self._echo_once(event.choice), Finished(_finish(event.finish) or event.finish, event.choice)]


_MAPPERS: Final[Mapping[type, Callable[[ChatToCompletion, Any], list[Event]]]] = {
    Started: ChatToCompletion._keep,
    BlockStarted: ChatToCompletion._open,
    BlockDelta: ChatToCompletion._grow,
    BlockEnded: ChatToCompletion._close,
    Finished: ChatToCompletion._finished,
    Ended: ChatToCompletion._keep,
    Failed: ChatToCompletion._keep,
}
