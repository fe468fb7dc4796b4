"""The canonical request: what a client asked for, in no vendor's words.

One message holds parts; one Responses item is one message, both ways. Adjacent
messages of one role are legal; a dialect that needs alternating turns joins them itself.
Values are frozen; nothing here knows a wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from app.canonical.record import record

Native = tuple[str, Mapping[str, Any]]
"""``(dialect name, members)``: what only that dialect understands."""

Form = Literal["text", "summary", "hidden"]
Role = Literal["system", "developer", "user", "assistant", "tool"]


@record
class Signature:
    """Proof or cipher of a model's reasoning, readable by its maker alone.

    ``value`` is the provider's own text (a signature, encrypted or redacted
    content, a thought signature). ``dialect`` names the wire format that reads it,
    ``realm`` who can verify it (provider and key name, or what the provider
    declares); None while it has not left the decoder. ``thought`` is the form and the text
    of the reasoning that it proves, where the client was not shown that.
    """

    value: str
    dialect: str
    realm: str | None = None
    thought: tuple[Form, str] | None = None


@record
class TextPart:
    """Text. ``annotations`` are OpenAI Responses annotation objects (flat
    ``url_citation`` etc.); ``logprobs`` OpenAI token logprob objects or None."""

    text: str
    annotations: tuple[Mapping[str, Any], ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    native: Native | None = None


@record
class ImagePart:
    """An image: exactly one of ``data`` (base64 text), ``url`` or ``file_id``."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    native: Native | None = None


@record
class AudioPart:
    """Audio: base64 ``data`` and its ``format`` (wav, mp3 …), or ``audio_id`` of an
    earlier answer. ``transcript`` where the model spoke it."""

    data: str | None = None
    format: str | None = None
    audio_id: str | None = None
    transcript: str | None = None
    native: Native | None = None


@record
class FilePart:
    """A document: exactly one of ``data`` (base64 text), ``text`` (plain text
    document), ``url`` or ``file_id``."""

    data: str | None = None
    text: str | None = None
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    media_type: str | None = None
    native: Native | None = None


@record
class ReasoningPart:
    """Reasoning. ``form``: ``text`` (open thought), ``summary`` (one summary part),
    ``hidden`` (nothing to show, a signature only).

    Several parts may make one item; the item's signature sits on its last part
    that has one.
    """

    text: str = ""
    form: Form = "text"
    signature: Signature | None = None
    native: Native | None = None


@record
class ToolCallPart:
    """A call of a client's tool. ``arguments`` is the text as the model wrote it:
    JSON text for ``function`` (``"{}"`` when empty), free text for ``custom``."""

    id: str
    name: str
    arguments: str = ""
    kind: Literal["function", "custom"] = "function"
    signature: Signature | None = None
    native: Native | None = None


@record
class ToolResultPart:
    """The result of the call ``call_id``; ``content`` holds text, image and file parts.
    ``name`` of the tool where the wire gives it or a decoder could look it up."""

    call_id: str
    content: tuple[Part, ...] = ()
    name: str | None = None
    is_error: bool = False
    kind: Literal["function", "custom"] = "function"
    native: Native | None = None


@record
class RefusalPart:
    """The model's refusal in words."""

    text: str
    native: Native | None = None


@record
class OpaquePart:
    """A block that only its dialect understands (hosted tools, search results,
    compaction). ``native`` is never None here; ``type`` is the block's own type."""

    type: str
    native: Native


Part = (
    TextPart
    | ImagePart
    | AudioPart
    | FilePart
    | ReasoningPart
    | ToolCallPart
    | ToolResultPart
    | RefusalPart
    | OpaquePart
)


@record
class Item:
    """Identity of a Responses item: the id and status it was given, and its phase."""

    id: str | None = None
    status: str | None = None
    phase: str | None = None


@record
class Message:
    """One turn or item. Tool results have role ``tool``, one or more of them a message."""

    role: Role
    parts: tuple[Part, ...]
    item: Item | None = None
    name: str | None = None
    native: Native | None = None


@record
class Tool:
    """A tool on offer. ``function``: ``parameters`` is its JSON Schema in the client's
    key order (never sorted). ``custom``: ``format`` as Responses has it (flat). ``hosted``:
    run by the provider; ``name`` is its type and ``native`` holds it whole."""

    kind: Literal["function", "custom", "hosted"]
    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    format: Mapping[str, Any] | None = None
    native: Native | None = None


@record
class ToolChoice:
    """Which tool must or may be called.

    ``mode``: auto, none, required, ``named`` (``name`` and ``kind`` say which) or
    ``allowed`` (``allowed`` lists tools, ``required`` whether one must be called).
    """

    mode: Literal["auto", "none", "required", "named", "allowed"]
    name: str | None = None
    kind: Literal["function", "custom", "hosted"] = "function"
    allowed: tuple[Mapping[str, Any], ...] = ()
    required: bool = False
    native: Native | None = None


@record
class Sampling:
    """Sampling parameters; None is "not given". ``max_tokens`` bounds the whole output,
    reasoning included."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None


@record
class Output:
    """The form of the answer. ``format``: text, ``json`` (any object) or ``schema``
    (``schema`` with its ``name``, ``strict``, ``description``). ``modalities`` such as
    ("text", "audio") with ``audio`` = OpenAI's ``{voice, format}``, ``speakers`` true in it where
    several are to speak."""

    format: Literal["text", "json", "schema"] = "text"
    schema: Mapping[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None
    verbosity: str | None = None
    modalities: tuple[str, ...] = ()
    audio: Mapping[str, Any] | None = None


@record
class Reasoning:
    """How much to think. ``effort``: none, minimal, low, medium, high, xhigh, max.
    ``budget``: tokens (0 off, -1 the model's choice). ``summary``: auto, concise, detailed.
    ``native`` keeps the rest of the client's own object."""

    effort: str | None = None
    budget: int | None = None
    summary: str | None = None
    native: Native | None = None


@record
class State:
    """What the gateway's own store was asked to do; never sent to a provider as is."""

    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | None = None
    background: bool | None = None


@record
class Origin:
    """Where a request came from: the surface's dialect and the client's body, as parsed."""

    dialect: str
    body: Mapping[str, Any]


@record
class Request:
    """One generation asked for.

    ``hints`` are known members that several dialects share under OpenAI's name and in its
    form (``service_tier``, ``user``, ``prompt_cache_key``, ``web_search_options``,
    ``truncation`` …); a dialect sends those it has and reports the rest. ``extra`` are
    members no API we know defines, verbatim: they go out only where the target speaks
    the dialect they came in.
    """

    model: str
    messages: tuple[Message, ...] = ()
    instructions: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    output: Output = Output()
    reasoning: Reasoning | None = None
    stream: bool = False
    metadata: Mapping[str, Any] | None = None
    state: State = State()
    hints: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
