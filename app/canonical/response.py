"""The canonical response: the answer of a model, with its usage and finish reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final, Literal

from app.canonical.record import record
from app.canonical.request import Message, Native, Part, RefusalPart

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "fault", "error"]


@record
class Finish:
    """Why a choice ended: the unified ``reason``, the wire's own word in ``raw``, and the stop sequence, if the wire names
    it. A ``fault`` is the model's (an invalid tool call), an ``error`` its server's (an aborted answer). ``details``
    describe a refusal (Anthropic's ``stop_details``: type, category, explanation)."""

    reason: FinishReason
    raw: str | None = None
    stop_sequence: str | None = None
    details: Mapping[str, Any] | None = None


SECONDS: Final = "input.audio_seconds"
"""The detail of a usage that counts seconds of audio, rounded up."""
CHARACTERS: Final = "input_characters"
"""The unit of a text that is read aloud."""


@record
class Billing:
    """What a call is charged for besides the tokens that its caller sees.

    ``units``: things that are counted (``web_searches``, ``storage_searches``, ``code_executions``,
    ``generated_images``, ``input_characters``). ``terms``: members of the answer that change its price (``speed``: fast). ``further``: other
    runs within the call that the counts omit, with the name of their model if it is another one.
    """

    units: Mapping[str, int] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    further: tuple[tuple[str | None, Usage], ...] = ()


@record
class Usage:
    """Tokens of one call, counted the OpenAI way.

    ``input_tokens`` INCLUDES ``cached_tokens`` (read from a cache) and
    ``cache_write_tokens``; Anthropic's and Bedrock's wires exclude both, so their
    decoders add them. ``output_tokens`` INCLUDES ``reasoning_tokens``; Gemini's
    candidates exclude thoughts, so its decoder adds them. ``total_tokens`` is the sum of
    input and output unless the wire gives its own. ``details`` holds further named counts
    (audio_tokens, image_tokens, accepted_prediction_tokens, citation_tokens,
    num_search_queries …) keyed ``input.NAME`` or ``output.NAME``. ``cost`` is the
    provider's own figure as the wire gives it, with at least ``total_cost`` in US dollars.
    ``estimated`` marks counts that we made because the wire gave none. ``missing`` names the sides,
    ``input`` or ``output``, that the wire did not count; what stands here is the least they can be.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    details: Mapping[str, int] = field(default_factory=dict)
    cost: Mapping[str, Any] | None = None
    estimated: bool = False
    missing: tuple[str, ...] = ()
    billing: Billing = Billing()
    native: Native | None = None

    @property
    def total(self) -> int:
        """Return the wire's total, else input plus output."""
        if self.total_tokens is not None:
            return self.total_tokens
        return self.input_tokens + self.output_tokens


def add_usages(one: Usage | None, other: Usage | None) -> Usage | None:
    """Return the usage of two calls together, with the native members of the second; ``cost`` is left out."""
    if one is None or other is None:
        return one or other
    units = _add_counts(one.billing.units, other.billing.units)
    further = (*one.billing.further, *other.billing.further)
    return replace(
        other,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        total_tokens=one.total + other.total,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
        details=_add_counts(one.details, other.details),
        cost=None,
        estimated=one.estimated or other.estimated,
        billing=replace(other.billing, units=units, further=further),
    )


def _add_counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


@record
class Choice:
    """One of the ``n`` answers; its messages are items in order."""

    index: int
    messages: tuple[Message, ...]
    finish: Finish | None = None

    @property
    def parts(self) -> list[Part]:
        """Return the parts of all messages, in order."""
        return [part for message in self.messages for part in message.parts]

    @property
    def refused(self) -> bool:
        """Tell whether the model refused, in part at least."""
        return any(isinstance(part, RefusalPart) for part in self.parts)


@record
class Response:
    """A whole answer. ``id`` and ``model`` are the upstream's own (None if the wire has none), ``created`` is Unix seconds
    or None. ``native`` has top-level members of its dialect (system_fingerprint, citations, search_results …)."""

    id: str | None
    model: str | None
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    native: Native | None = None

    @property
    def first(self) -> Choice:
        """Return the first choice, for formats that have only one; one without messages if there is none."""
        return self.choices[0] if self.choices else Choice(0, ())
