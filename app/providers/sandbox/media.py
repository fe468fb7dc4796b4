"""The sandbox's other operations: completions, embeddings, speech, transcription, translation, models.

Their texts are searched for directives, too. Directives about failure and time hold everywhere, the
others where the answer is in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.media import (
    CompletionRequest,
    EmbeddingResponse,
    ModelEntry,
    Segment,
    SpeechDelta,
    SpeechDone,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionRequest,
    Word,
)
from app.canonical.request import Message, Request, TextPart
from app.canonical.response import Choice, Response, Usage
from app.dialects import dialect_of
from app.dialects.base import CompletionDialect, ModelListDialect
from app.dialects.completions.dialect import fold
from app.dialects.media.audio import MEDIA_TYPES, SpeechDialect, TranscriptionDialect
from app.dialects.media.base import EmbeddingDialect
from app.dialects.media.transcripts import media_type_of
from app.errors import GatewayError
from app.providers.sandbox.audio import MAX_BYTES, RATE, read_recording, sound_bytes, speak, wav_head
from app.providers.sandbox.limits import MAX_CHARACTERS, check_size, count_words, split_tokens
from app.providers.sandbox.model import MAX_CHOICES, AnswerContext, answer
from app.providers.sandbox.multipart import read_form
from app.providers.sandbox.playback import play, schedule
from app.providers.sandbox.scripts import (
    json_object,
    json_script,
    read_directives,
    server_context,
    spread,
    stream_script,
    whole_script,
)
from app.providers.sandbox.transport import HttpRequest, Script
from app.providers.sandbox.vectors import DIMENSIONS, MAX_DIMENSIONS, MAX_NUMBERS, embed

FORMATS: Final = ("wav", "pcm")
MODELS: Final = (
    "echo",
    "chat-echo",
    "responses-echo",
    "messages-echo",
    "embedding",
    "speech",
    "transcription",
    "moderation",
    "picture",
)
"""Names on the list; any other works as well."""

_CREATED: Final = 1_767_225_600  # 2026-01-01


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError("bad_request", message, param=param, code="invalid_value")


# --- text completions ---------------------------------------------------------------------------


def complete(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer legacy text completions; each prompt is a message of its own."""
    context, wire = server_context(), dialect_of(CompletionDialect, "completions")
    request = wire.decode_request(json_object(http_request), context)
    texts = [_prompt_text(prompt) for prompt in request.prompts]
    check_size("choices", len(texts) * (request.sampling.n or 1), MAX_CHOICES, "prompt")
    directives = read_directives(texts[0], request.model)
    answer_context = AnswerContext(context.new_id, context.now)
    answers = [
        answer(_as_chat(request, text), read_directives(text, request.model), answer_context)
        for text in texts
    ]
    if request.echo:
        answers = [_with_echo(one, text) for one, text in zip(answers, texts, strict=True)]
    response = _join(answers)
    if not request.stream:
        body = wire.encode_response(fold(response), request, context)
        return json_script(body, directives)
    moments = play(response, words_per_second, directives)
    return stream_script(moments, wire.stream_encoder(request, context).feed, directives)


def _prompt_text(prompt: str | tuple[int, ...]) -> str:
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))


def _as_chat(request: CompletionRequest, text: str) -> Request:
    sampling = request.sampling
    if request.logprobs is not None:
        sampling = replace(sampling, logprobs=True, top_logprobs=request.logprobs)
    return Request(request.model, (Message("user", (TextPart(text),)),), sampling=sampling)


def _with_echo(response: Response, prompt: str) -> Response:
    """Return the response with the prompt before each text."""
    choices = [
        replace(choice, messages=(Message("assistant", (TextPart(prompt),)), *choice.messages))
        for choice in response.choices
    ]
    return replace(response, choices=tuple(choices))


def _join(answers: list[Response]) -> Response:
    """Return one response with the choices of all, numbered through."""
    choices = [choice for one in answers for choice in one.choices]
    usages = [one.usage for one in answers if one.usage is not None]
    return replace(
        answers[0],
        choices=tuple(Choice(index, choice.messages, choice.finish) for index, choice in enumerate(choices)),
        usage=Usage(sum(u.input_tokens for u in usages), sum(u.output_tokens for u in usages)),
    )


# --- embeddings ---------------------------------------------------------------------------------


def embeddings(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer with a unit vector for each input; like texts are near."""
    context, wire = server_context(), dialect_of(EmbeddingDialect, "embeddings_openai")
    request = wire.decode_request(json_object(http_request), context)
    dimensions = request.dimensions or DIMENSIONS
    if dimensions > MAX_DIMENSIONS:
        raise _invalid(f"Invalid 'dimensions': at most {MAX_DIMENSIONS} are made here.", "dimensions")
    texts = [_prompt_text(text) for text in request.inputs]
    check_size("numbers", len(texts) * dimensions, MAX_NUMBERS, "input")
    check_size("embedded characters", sum(map(len, texts)), MAX_CHARACTERS, "input")
    directives = read_directives(texts[0] if texts else "", request.model)
    response = EmbeddingResponse(
        request.model,
        tuple(embed(text, dimensions) for text in texts),
        Usage(sum(map(count_words, texts))),
    )
    return json_script(wire.encode_response(response, request, context), directives)


# --- speech -------------------------------------------------------------------------------------


def speech(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer with a tone for each word, as WAV (the default) or raw PCM."""
    wire = dialect_of(SpeechDialect, "openai_speech")
    request = wire.decode_request(json_object(http_request), server_context())
    form = request.format or FORMATS[0]
    if form not in FORMATS:
        raise _invalid(
            f"Invalid 'response_format': the sandbox makes {' and '.join(FORMATS)}, not '{form}'.",
            "response_format",
        )
    if request.speed is not None and not 0.25 <= request.speed <= 4.0:
        raise _invalid("Invalid 'speed': expected 0.25 to 4.0.", "speed")
    directives = read_directives(request.text, request.model)
    check_size("bytes of sound", sound_bytes(request.text, request.speed or 1.0), MAX_BYTES, "input")
    tones = list(speak(request.text, request.speed or 1.0))
    head = [wav_head(request.text, sum(map(len, tones)))] if form == "wav" else []
    if request.stream:
        events = [(SpeechDelta(piece),) for piece in (*head, *tones)]
        end = SpeechDone(Usage(count_words(request.text), len(tones)))
        moments = schedule(events, end, words_per_second, directives)
        return stream_script(moments, wire.stream_encoder().feed, directives)
    headers = {"content-type": MEDIA_TYPES[form]}
    if directives.midway is not None or directives.seconds is None:
        return whole_script(b"".join((*head, *tones)), headers, directives)
    return Script(200, headers, spread([*head, *tones], directives.seconds), directives.silence)


# --- transcription ------------------------------------------------------------------------------


def transcription(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer with the text that a recording of the sandbox carries, or with a description of the file."""
    return _transcript_script("openai_transcription", http_request, words_per_second)


def translation(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer as a transcription does; all that the sandbox speaks counts as English."""
    return _transcript_script("openai_translation", http_request, words_per_second)


def _transcript_script(dialect: str, http_request: HttpRequest, words_per_second: float) -> Script:
    fields, file = read_form(http_request.body, http_request.headers.get("content-type", ""))
    wire = dialect_of(TranscriptionDialect, dialect)
    request = wire.decode_request(fields, file, server_context())
    directives = read_directives(request.prompt or "", request.model)
    transcript = _transcript(request)
    if request.stream:
        deltas = [(TranscriptDelta(piece),) for piece in split_tokens(transcript.text)]
        moments = schedule(deltas, TranscriptDone(transcript), words_per_second, directives)
        return stream_script(moments, wire.stream_encoder().feed, directives)
    body = wire.encode_response(transcript, request)
    if isinstance(body, str):
        return whole_script(body.encode(), {"content-type": media_type_of(request.format)}, directives)
    return json_script(body, directives)


_SEGMENT: Final[Mapping[str, Any]] = {
    "seek": 0,
    "tokens": [],
    "temperature": 0.0,
    "avg_logprob": -0.1,
    "compression_ratio": 1.0,
    "no_speech_prob": 0.0,
}


def _transcript(request: TranscriptionRequest) -> Transcript:
    size = len(request.file.data)
    recording = read_recording(request.file.data)
    seconds = recording.seconds if recording.seconds is not None else size / (RATE * 2)
    text = recording.text
    if text is None:
        text = f"A recording named {request.file.filename}, of {size} bytes."
    prompt_words = count_words(request.prompt or "")
    return Transcript(
        text,
        language=request.language or "english",
        duration=round(seconds, 3),
        segments=(Segment(0.0, round(seconds, 3), text, "A", _SEGMENT),) if text else (),
        words=tuple(_time_words(text, seconds)),
        usage=Usage(prompt_words, count_words(text), details={"input.text_tokens": prompt_words}),
    )


def _time_words(text: str, seconds: float) -> Iterator[Word]:
    words = text.split()
    step = seconds / max(len(words), 1)
    for index, word in enumerate(words):
        yield Word(round(index * step, 3), round((index + 1) * step, 3), word, "A")


# --- the list of models -------------------------------------------------------------------------


def models(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer with names that show what the sandbox does; any other name works, too."""
    entries = [ModelEntry(name, _CREATED, "sandbox", f"Sandbox: {name}") for name in MODELS]
    return json_script(dialect_of(ModelListDialect, "models").encode_list(entries), read_directives("", ""))
