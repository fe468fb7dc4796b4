"""The canonical request: what a client asks for, independent of any vendor's format.

A message has parts; one Responses item is one message, and back. Adjacent messages of one role are legal; a dialect
that needs alternating turns joins them. Values are read-only, and nothing here depends on a wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from app.canonical.record import record

Native = tuple[str, Mapping[str, Any]]
"""``(dialect name, members)``: members that only that dialect understands."""

Form = Literal["text", "summary", "hidden"]
Role = Literal["system", "developer", "user", "assistant", "tool"]


@record
class Signature:
    """Proof or cipher of a model's reasoning, readable by its maker alone.

    ``value`` is the provider's own text (a signature, encrypted or redacted content, a thought signature). ``dialect``
    is the wire format that it belongs to, ``realm`` who can verify it (provider and key name, or what the provider
    declares), None inside a decoder. ``thought`` is form and text of the reasoning that it proves, if the client did
    not see that.
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
    """Audio: base64 ``data`` and its ``format`` (wav, mp3 …), or ``audio_id`` of an earlier answer. Audio by the model
    may have a ``transcript``."""

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
    """Reasoning. ``form``: ``text`` (plain), ``summary`` (one part of a summary), ``hidden`` (a signature without text).

    Several parts may form one item; the signature of the item is that of the last part that has one.
    """

    text: str = ""
    form: Form = "text"
    signature: Signature | None = None
    native: Native | None = None


@record
class ToolCallPart:
    """A call of a client's tool. ``arguments`` is the model's text: JSON for ``function`` (``"{}"`` if empty), any text
    for ``custom``."""

    id: str
    name: str
    arguments: str = ""
    kind: Literal["function", "custom"] = "function"
    signature: Signature | None = None
    native: Native | None = None


@record
class ToolResultPart:
    """The result of the call ``call_id``; ``content`` has text, image and file parts. ``name`` is that of the tool, if
    the wire has it or the decoder found it."""

    call_id: str
    content: tuple[Part, ...] = ()
    name: str | None = None
    is_error: bool = False
    kind: Literal["function", "custom"] = "function"
    native: Native | None = None


@record
class RefusalPart:
    """The text of a model's refusal."""

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
    """Identity of a Responses item: its id, status and phase."""

    id: str | None = None
    status: str | None = None
    phase: str | None = None


@record
class Message:
    """One turn or item. Tool results have the role ``tool``; a message has one or more of them."""

    role: Role
    parts: tuple[Part, ...]
    item: Item | None = None
    name: str | None = None
    native: Native | None = None


@record
class Tool:
    """A tool that the model may call. ``function``: ``parameters`` is its JSON Schema in the client's key order, never
    sorted. ``custom``: ``format`` has the form of Responses (flat). ``hosted``: the provider runs it; ``name`` is its
    type, and ``native`` has all its members."""

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
    """Sampling parameters; None is "not set". ``max_tokens`` limits the whole output, including reasoning."""

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
    """The form of the answer. ``format``: text, ``json`` (any object) or ``schema`` (``schema`` with its ``name``,
    ``strict``, ``description``). ``modalities`` such as ("text", "audio") with ``audio`` = OpenAI's
    ``{voice, format}``, which has ``speakers`` true for several voices."""

    format: Literal["text", "json", "schema"] = "text"
    schema: Mapping[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None
    verbosity: str | None = None
    modalities: tuple[str, ...] = ()
    audio: Mapping[str, Any] | None = None

    @property
    def described_schema(self) -> Mapping[str, Any] | None:
        """The schema with the description of the form, for wires that have no member for it."""
        if self.schema is None or self.description is None or "description" in self.schema:
            return self.schema
        return {"description": self.description, **self.schema}


@record
class Reasoning:
    """How much the model reasons. ``effort``: none, minimal, low, medium, high, xhigh, max.
    ``budget``: tokens (0 off, -1 the model's choice). ``summary``: auto, concise, detailed.
    ``native`` has the other members of the client's object."""

    effort: str | None = None
    budget: int | None = None
    summary: str | None = None
    native: Native | None = None


@record
class State:
    """Members for the gateway's own store; they are never sent to a provider as they are."""

    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | None = None
    background: bool | None = None


@record
class Origin:
    """Where a request came from: the surface's dialect and the client's parsed body."""

    dialect: str
    body: Mapping[str, Any]


@record
class Request:
    """A request for a generation.

    ``hints`` are members that several dialects have under OpenAI's name and in its form (``service_tier``, ``user``,
    ``prompt_cache_key``, ``web_search_options``, ``truncation`` …); a dialect sends those that it has and reports the
    others. ``extra`` are members that no known API defines, unchanged; they are sent only to targets of the dialect
    that they came in.
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
