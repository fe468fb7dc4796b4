"""What a recording's answer holds, as plain values, and the table of the readers that say so.

A reader takes an exchange and returns one of the outcomes below. It reads the wire by the shortest
way and imports nothing of app/, so that a dialect's decoder can be held against it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.traffic.load import Exchange

Json = dict[str, Any]


@dataclass(slots=True)
class ToolCall:
    """One call; ``arguments`` parsed when they are JSON (``{}`` when empty), else the raw text.

    ``kind`` is ``function``, ``custom`` or ``legacy`` (the old ``function_call`` member, no id).
    """

    id: str | None
    name: str
    arguments: Any
    kind: str = "function"


@dataclass(slots=True)
class Usage:
    """Token counts in OpenAI's sense: input holds cached and written tokens, output holds reasoning.

    ``None`` means that the wire did not report it. ``raw`` is the wire's own object (for a stream:
    the last value reported for each member), ``cost`` the provider's own figure in US dollars.
    """

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost: float | None = None
    raw: Json = field(default_factory=dict)


@dataclass(slots=True)
class Failure:
    """An error answer: HTTP status (or the body's own, inside a 200), words, and the wire's labels."""

    status: int
    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None


@dataclass(slots=True)
class Choice:
    """One candidate answer. Lists are in wire order; ``opaque`` names blocks only this wire knows."""

    index: int = 0
    text: str = ""
    reasoning: str = ""
    summaries: list[str] = field(default_factory=list)
    refusal: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_raw: str | int | None = None
    signatures: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    logprobs: int = 0
    opaque: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    transcript: str = ""


@dataclass(slots=True)
class Outcome:
    """What all answers share."""

    error: Failure | None = None


@dataclass(slots=True)
class Answer(Outcome):
    """A generated answer: chat, Responses, messages, text completion."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] = field(default_factory=list)
    usage: Usage | None = None
    status: str | None = None
    stream: bool = False

    def choice(self, index: int = 0) -> Choice:
        """The choice with this index, made when it is new."""
        for known in self.choices:
            if known.index == index:
                return known
        self.choices.append(Choice(index))
        self.choices.sort(key=lambda choice: choice.index)
        return self.choice(index)

    @property
    def text(self) -> str:
        """The first choice's text (``""`` without choices)."""
        return self.choices[0].text if self.choices else ""


@dataclass(slots=True)
class Vectors(Outcome):
    """Embeddings: how many, their size, and the first three numbers of each."""

    count: int = 0
    dimension: int = 0
    starts: list[list[float]] = field(default_factory=list)
    model: str | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Catalogue(Outcome):
    """Model ids, in wire order."""

    ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Sound(Outcome):
    """Speech: the audio's length in bytes, its SHA-256 in hex, its first bytes, and timings."""

    length: int = 0
    sha256: str = ""
    head: bytes = b""
    characters: int = 0
    usage: Usage | None = None


@dataclass(slots=True)
class Transcript(Outcome):
    """A transcription."""

    text: str = ""
    language: str | None = None
    segments: int = 0
    words: int = 0
    duration: float | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Count(Outcome):
    """A counted prompt."""

    tokens: int = 0


Reader = Callable[[Exchange], Outcome]


def parsed(arguments: Any) -> Any:
    """Tool arguments as a value: JSON text is parsed, empty text is ``{}``, other text stays."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments


def text_or_none(value: Any) -> str | None:
    """A label as text: ``429`` and ``"429"`` are one."""
    return None if value is None else str(value)


def total(*counts: int | None) -> int | None:
    """The sum of the counts that were reported; ``None`` when none was."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def failure(exchange: Exchange) -> Failure | None:
    """The error of an exchange whose answer is a JSON (or empty) body that says one."""
    if exchange.streamed or exchange.kind not in ("json", "none"):
        return None
    body = exchange.json() if exchange.kind == "json" else {}
    if exchange.status < 400 and not _says_error(body):
        return None
    error = spoken(exchange.status, body)
    if named := exchange.response["headers"].get("x-amzn-errortype"):
        error.type = named.partition(":")[0]
    return error


def _says_error(body: Any) -> bool:
    """A 200 that holds nothing but an error; a Responses object has a null or own ``error``."""
    return isinstance(body, dict) and isinstance(body.get("error"), dict) and "object" not in body


def spoken(status: int, body: Any) -> Failure:
    """Read every error shape seen: nested or flat, ``detail``, text, and Google's one-item list."""
    if isinstance(body, list):
        body = body[0]
    error = body.get("error", body.get("detail", body))
    if not isinstance(error, dict):
        return Failure(status, str(error))
    inner = error.get("status_code") or error.get("status") or error.get("code")
    if status < 400 and isinstance(inner, int):
        status = inner
    return Failure(
        status,
        error.get("message", ""),
        text_or_none(error.get("code")),
        error.get("type") or error.get("error_type") or _label(error),
        error.get("param"),
    )


def _label(error: Mapping[str, Any]) -> str | None:
    """Google and ElevenLabs name the kind of an error in ``status``."""
    status = error.get("status")
    return status if isinstance(status, str) else None


def extract(exchange: Exchange) -> Outcome:
    """Read an exchange by its api's reader; ``KeyError`` for an api without one."""
    from tests.traffic.wires import READERS

    return READERS[exchange.api](exchange)
