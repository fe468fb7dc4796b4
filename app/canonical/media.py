"""Canonical requests and answers of the operations that are not generation:
embeddings, rankings, moderation, speech, transcription, text completion and model lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.canonical.events import Failed
from app.canonical.record import record
from app.canonical.request import ImagePart, Native, Origin, Sampling, TextPart
from app.canonical.response import Finish, Usage


@record
class MixedInput:
    """Texts and images, at least one of them an image, that are embedded as one vector."""

    parts: tuple[TextPart | ImagePart, ...]

    @property
    def text(self) -> str:
        """Return the texts, one per line."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """Return the images."""
        return tuple(part for part in self.parts if isinstance(part, ImagePart))


@record
class EmbeddingRequest:
    """Texts (or token arrays, or texts with images) to embed, in order. ``encoding_format``: float or base64.

    ``quantized`` are requested types of integer vectors (``int8``, ``ubinary`` …), which only the model's provider
    computes; ``floats`` says whether vectors of floats are requested as well.
    """

    model: str
    inputs: tuple[str | tuple[int, ...] | MixedInput, ...]
    dimensions: int | None = None
    encoding_format: str = "float"
    user: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    quantized: tuple[str, ...] = ()
    floats: bool = True


@record
class EmbeddingResponse:
    """One vector of floats for each input, in order; ``quantized`` has the integer vectors by type."""

    model: str | None
    vectors: tuple[Sequence[float], ...]
    usage: Usage | None = None
    native: Native | None = None
    quantized: Mapping[str, tuple[Sequence[int], ...]] = field(default_factory=dict)


@record
class RerankRequest:
    """Documents to sort by their relevance to ``query``. ``top_n``: the most results."""

    model: str
    query: str
    documents: tuple[str, ...]
    top_n: int | None = None
    tokens_per_document: int | None = None
    return_documents: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


@record
class RankedDocument:
    """A document by its index in the request, and its relevance (0 to 1 at most providers)."""

    index: int
    score: float


@record
class RerankResponse:
    """The results, most relevant first. ``search_units`` are Cohere's unit of billing, None if unknown."""

    model: str | None
    results: tuple[RankedDocument, ...]
    usage: Usage | None = None
    search_units: int | None = None


ModerationInput = str | tuple[TextPart | ImagePart, ...]
"""One input of moderation: a text, or the texts and images of one message."""


@record
class ModerationRequest:
    """Inputs to moderate, each by itself."""

    model: str
    inputs: tuple[ModerationInput, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


@record
class Judgement:
    """The result for one input, by the provider's own categories.

    ``scores`` are from 0 to 1. A category that the model does not know is None. ``applied``: for each category the
    kinds of input (``text``, ``image``) that it applies to, empty if unknown.
    """

    flagged: bool
    categories: Mapping[str, bool | None]
    scores: Mapping[str, float | None]
    applied: Mapping[str, Sequence[str]] = field(default_factory=dict)


@record
class ModerationResponse:
    """One judgement for each input, in order. ``id`` is the provider's, or None."""

    id: str | None
    model: str | None
    judgements: tuple[Judgement, ...]
    usage: Usage | None = None


@record
class SpeechRequest:
    """Text to speak. ``format``: mp3, opus, aac, flac, wav or pcm; None is the default (mp3).
    ``voice`` is a name or id, or OpenAI's ``{"id": …}`` reduced to the id."""

    model: str
    text: str
    voice: str | None = None
    format: str | None = None
    speed: float | None = None
    instructions: str | None = None
    language: str | None = None
    stream: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


@record
class SpeechResponse:
    """Whole audio: bytes and their media type, the usage, and the number of characters that are billed."""

    audio: bytes
    media_type: str
    usage: Usage | None = None
    characters: int | None = None
    native: Native | None = None


@record
class Upload:
    """An uploaded file, its bytes whole in ``data``."""

    filename: str
    media_type: str
    data: bytes


@record
class TranscriptionRequest:
    """Audio to transcribe. ``format``: json, verbose_json, text, srt, vtt, diarized_json."""

    model: str
    file: Upload
    language: str | None = None
    prompt: str | None = None
    format: str = "json"
    temperature: float | None = None
    granularities: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    stream: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


@record
class Segment:
    """A part of a transcript with its times in seconds. ``native`` has OpenAI's other members."""

    start: float
    end: float
    text: str
    speaker: str | None = None
    native: Mapping[str, Any] = field(default_factory=dict)


@record
class Word:
    """One word with its times in seconds. ``spaced``: there is white space before it in the text."""

    start: float
    end: float
    text: str
    speaker: str | None = None
    spaced: bool = True


@record
class Transcript:
    """A whole transcript. ``duration`` is in seconds; lists are empty if the wire has none."""

    text: str
    language: str | None = None
    duration: float | None = None
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    usage: Usage | None = None
    native: Native | None = None


@dataclass(slots=True)
class SpeechDelta:
    """A chunk of the audio, in the format of the whole answer."""

    audio: bytes


@dataclass(slots=True)
class SpeechDone:
    """The audio is complete."""

    usage: Usage | None = None
    characters: int | None = None


SpeechEvent = SpeechDelta | SpeechDone | Failed
"""A speech stream: deltas, then one SpeechDone or Failed."""


@dataclass(slots=True)
class TranscriptDelta:
    """A piece of the text; ``segment_id`` is that of its segment, if the wire says."""

    text: str
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    segment_id: str | None = None


@dataclass(slots=True)
class TranscriptSegment:
    """A finished segment."""

    segment: Segment


@dataclass(slots=True)
class TranscriptDone:
    """The transcript is complete; it has all that the stream contained."""

    transcript: Transcript


TranscriptEvent = TranscriptDelta | TranscriptSegment | TranscriptDone | Failed
"""A transcription stream: deltas and segments, then one TranscriptDone or Failed."""


@record
class CompletionRequest:
    """A legacy text completion. ``prompts`` are texts or token arrays."""

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    sampling: Sampling = Sampling()
    suffix: str | None = None
    echo: bool = False
    best_of: int | None = None
    logprobs: int | None = None
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


@record
class CompletionChoice:
    """One completion; ``logprobs`` in the legacy object's own form."""

    index: int
    text: str
    finish: Finish | None = None
    logprobs: Mapping[str, Any] | None = None


@record
class CompletionResponse:
    """Whole completions, by index."""

    id: str | None
    model: str | None
    choices: tuple[CompletionChoice, ...]
    usage: Usage | None = None
    created: int | None = None
    native: Native | None = None


@record
class ModelEntry:
    """One model of a provider's list: its id there, and the other members of the list."""

    id: str
    created: int | None = None
    owned_by: str | None = None
    name: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    native: Mapping[str, Any] = field(default_factory=dict)


@record
class ModelPage:
    """One page of a model list and the query members that fetch the next, or None."""

    models: tuple[ModelEntry, ...]
    next_query: Mapping[str, str] | None = None
