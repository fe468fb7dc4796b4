"""Text completions on a provider that has only chat completions: the prompt is one user message.

``chat_request`` returns the chat request, ``completion`` converts an answer back, ``ChatToCompletion``
the events of a stream. ``echo`` is done here. A suffix, token arrays and several prompts are losses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Event, Finished
from app.canonical.media import CompletionRequest, CompletionResponse
from app.canonical.request import Message, Request, TextPart
from app.canonical.response import Finish, Response
from app.dialects.completions.dialect import fold
from app.dialects.shared.lenient_json import rest
from app.dialects.shared.losses import Losses
from app.dialects.shared.unmapped_members import single_prompt

_ECHO_BLOCKS: Final = 1 << 40
"""First block number of echoed prompts, above those of any decoder."""


def chat_request(request: CompletionRequest, losses: Losses) -> Request:
    """Return the chat request for a completion.

    Raises ``unsupported_parameter`` for a suffix, token arrays or several prompts.
    """
    prompt = single_prompt(request, losses)
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
        messages=(Message("user", (TextPart(prompt),)),),
        sampling=sampling,
        stream=request.stream,
        hints={} if request.user is None else {"user": request.user},
        extra=rest(request.extra, frozenset({"stream_options"})),
        origin=request.origin,
    )


def completion(response: Response, request: CompletionRequest) -> CompletionResponse:
    """Return a chat answer as a completion, behind the prompt if ``echo`` is set."""
    answer = fold(response)
    choices = tuple(
        replace(choice, text=echo_of(request) + choice.text, finish=_finish(choice.finish))
        for choice in answer.choices
    )
    return replace(answer, choices=choices)


def echo_of(request: CompletionRequest) -> str:
    """Return the text to write before each answer, empty unless ``echo`` is set."""
    prompt = request.prompts[0]
    return prompt if request.echo and isinstance(prompt, str) else ""


def _finish(finish: Finish | None) -> Finish | None:
    """Return the finish without ``tool_calls``, which completions do not have."""
    return replace(finish, reason="stop") if finish is not None and finish.reason == "tool_calls" else finish


class ChatToCompletion:
    """Converts the events of a chat stream to those of a completion: the echo stands before each choice."""

    def __init__(self, request: CompletionRequest) -> None:
        self._echo = echo_of(request)
        self._choices: set[int] = set()

    def feed(self, event: Event) -> list[Event]:
        """Return the completion's events for one chat event."""
        if isinstance(event, BlockStarted):
            return [*self._echo_once(event.choice), event]
        if isinstance(event, Finished):
            finish = _finish(event.finish) or event.finish
            return [*self._echo_once(event.choice), Finished(finish, event.choice)]
        return [event]

    def _echo_once(self, choice: int) -> list[Event]:
        """Return the echoed prompt as a block of its own, for the first event of a choice."""
        if choice in self._choices or not self._echo:
            return []
        self._choices.add(choice)
        block = _ECHO_BLOCKS + choice
        return [
            BlockStarted(block, 0, TextPart(""), choice),
            BlockDelta(block, self._echo),
            BlockEnded(block),
        ]
