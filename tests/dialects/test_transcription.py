"""Transcription: recorded exchanges, forms in and out, golden requests of every wire, streams."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from openai.types.audio import TranscriptionDiarized, TranscriptionVerbose
from werkzeug.formparser import parse_form_data

from app.canonical.events import Failed
from app.canonical.media import (
    Segment,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
    TranscriptSegment,
    Upload,
    Word,
)
from app.canonical.request import Origin
from app.canonical.response import SECONDS, Usage
from app.dialects.base import DONE, Frame, ServerContext
from app.dialects.media import elevenlabs_transcription, gemini_transcription, openai_transcription
from app.dialects.media.audio import replay_transcript
from app.dialects.media.multipart import Form
from app.dialects.media.openai_transcription import COHERE, GROQ, MISTRAL, OPENROUTER
from app.dialects.media.openai_transcription import OPENAI as OPENAI_OPTIONS
from app.dialects.media.transcripts import media_type_of, render, segments_of
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import answers, load
from tests.traffic.answers import extract
from tests.traffic.exclusions import reason
from tests.traffic.load import Exchange

OPENAI = openai_transcription.DIALECT
ELEVEN = elevenlabs_transcription.DIALECT
GEMINI = gemini_transcription.DIALECT

SPOKEN: dict[str, tuple[Any, Any]] = {
    "openai.audio.transcriptions": (OPENAI, OPENAI_OPTIONS),
    "openai.audio.translations": (OPENAI, OPENAI_OPTIONS),
    "groq.openai.audio.transcriptions": (OPENAI, GROQ),
    "openrouter.openai.audio.transcriptions": (OPENAI, OPENROUTER),
    "mistral.audio.transcriptions": (OPENAI, MISTRAL),
    "cohere.v2.audio.transcriptions": (OPENAI, COHERE),
    "elevenlabs.speech_to_text": (ELEVEN, None),
}
FOUND = [exchange for exchange in load.exchanges(SPOKEN) if reason(exchange) is None]
SERVER = ServerContext(generic.counter(), 1_700_000_000)
FILE = Upload("say.wav", "audio/wav", b"RIFF....")
ASK = TranscriptionRequest("m", FILE)


def target(model: str = "m", options: Any = None) -> Any:
    return generic.client_context(model, options=options, losses=Losses("chat"))


def drained(decoder: Any, frames: list[Any]) -> list[TranscriptEvent]:
    events: list[TranscriptEvent] = []
    for frame in frames:
        data = frame.data if isinstance(frame, Frame) else frame
        events += decoder.done() if data is None else decoder.feed(None, data)
    return events + decoder.eof()


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if not e.streamed]))
def test_a_whole_transcript_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    reading = extract(exchange)
    assert isinstance(reading, answers.Transcript)
    dialect, options = SPOKEN[exchange.api]
    got = dialect.decode_response(
        exchange.content(), ASK, target(options=options), exchange.response["headers"]
    )
    assert (got.text, got.language) == (reading.text, reading.language)
    if dialect is ELEVEN:
        spoken = [word for word in exchange.json()["words"] if word["type"] == "word"]
        assert [word.text for word in got.words] == [word["text"] for word in spoken]
        assert got.segments
        return
    assert (got.duration, len(got.segments), len(got.words)) == (
        reading.duration,
        reading.segments,
        reading.words,
    )
    if reading.usage is None:  # its duration is counted
        seconds = {} if got.usage is None else got.usage.details
        assert seconds == ({SECONDS: math.ceil(got.duration)} if got.duration else {})
        return
    assert got.usage is not None
    assert (got.usage.input_tokens, got.usage.output_tokens) == (
        reading.usage.input or 0,
        reading.usage.output or 0,
    )
    assert got.usage.total == (reading.usage.total or 0)
    assert (got.usage.cost or {}).get("total_cost") == reading.usage.cost


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.streamed]))
def test_a_streamed_transcript_is_read_however_it_is_cut(exchange: Exchange) -> None:
    reading = extract(exchange)
    assert isinstance(reading, answers.Transcript)
    for size in generic.CHUNK_SIZES:
        events = drained(
            OPENAI.stream_decoder(ASK, target()), list(generic.sse_frames(exchange.content(), size))
        )
        assert isinstance(events[-1], TranscriptDone)
        whole = events[-1].transcript
        assert (whole.text, len(whole.segments)) == (reading.text, reading.segments)
        assert reading.usage is not None
        assert whole.usage is not None
        assert (whole.usage.input_tokens, whole.usage.total) == (reading.usage.input, reading.usage.total)


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.streamed]))
def test_a_recorded_stream_shown_again_is_the_same_stream(exchange: Exchange) -> None:
    frames = list(generic.sse_frames(exchange.content(), 1 << 30))
    encoder = OPENAI.stream_encoder()
    events = drained(OPENAI.stream_decoder(ASK, target()), frames)
    assert [frame for event in events for frame in encoder.feed(event)] == frames


FORMS = [e for e in FOUND if e.request["body_kind"] == "multipart"]


def fields_of(exchange: Exchange) -> list[tuple[str, str]]:
    return [(part["name"], part["value"]) for part in exchange.request["body"] if "value" in part]


@pytest.mark.parametrize("exchange", load.params([e for e in FORMS if e.provider != "elevenlabs"]))
def test_a_recorded_form_survives_both_halves(exchange: Exchange) -> None:
    """Field by field; a default that was not written may be added, never taken away."""
    request = OPENAI.decode_request(fields_of(exchange), FILE, SERVER)
    encoded = OPENAI.encode_request(request, target(request.model, SPOKEN[exchange.api][1]))
    assert encoded.form is not None
    missing = [field for field in fields_of(exchange) if field not in encoded.form.fields]
    assert missing == []
    assert encoded.framing == ("sse" if request.stream else "json")


def test_all_fields_are_read() -> None:
    fields = [
        ("model", "whisper-1"),
        ("language", "en"),
        ("prompt", "p"),
        ("response_format", "verbose_json"),
        ("temperature", "0.5"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("include[]", "logprobs"),
        ("stream", "true"),
        ("chunking_strategy", "auto"),
        ("known_speaker_names[]", "a"),
        ("known_speaker_names[]", "b"),
    ]
    assert OPENAI.decode_request(fields, FILE, SERVER) == TranscriptionRequest(
        "whisper-1",
        FILE,
        "en",
        "p",
        "verbose_json",
        0.5,
        ("word", "segment"),
        ("logprobs",),
        True,
        {"chunking_strategy": "auto", "known_speaker_names[]": ["a", "b"]},
        Origin("openai_transcription", dict(fields)),
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([("response_format", "xml")], "response_format"),
        ([("temperature", "hot")], "temperature"),
        ([("temperature", "nan")], "temperature"),
        ([("stream", "maybe")], "stream"),
        ([("timestamp_granularities[]", "letter")], "timestamp_granularities"),
    ],
)
def test_a_wrong_field_is_named(fields: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.decode_request([("model", "m"), *fields], FILE, SERVER)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("file", [None, Upload("a.wav", "audio/wav", b"")])
def test_a_file_must_be_there(file: Upload | None) -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.decode_request([("model", "m")], file, SERVER)
    assert (caught.value.status, caught.value.param) == (400, "file")


def request_for(form: str, *granularities: str, **members: Any) -> TranscriptionRequest:
    return TranscriptionRequest("m", FILE, format=form, granularities=granularities, **members)


G = "timestamp_granularities[]"
GOLDEN: list[tuple[str, Any, TranscriptionRequest, list[tuple[str, str]], list[str]]] = [
    ("whisper-1", OPENAI_OPTIONS, request_for("srt", stream=True), [("response_format", "verbose_json"), (G, "segment")], []),
    ("whisper-1", OPENAI_OPTIONS, request_for("verbose_json", "word"), [("response_format", "verbose_json"), (G, "word")], []),
    ("gpt-4o-transcribe", OPENAI_OPTIONS, request_for("text", stream=True), [("response_format", "json"), ("stream", "true")], []),
    ("gpt-4o-transcribe-diarize", OPENAI_OPTIONS, request_for("diarized_json"), [("response_format", "diarized_json")], []),
    (
        "whisper-large-v3", GROQ, request_for("vtt", language="en", prompt="p", temperature=0.0, include=("logprobs",)),
        [("language", "en"), ("prompt", "p"), ("temperature", "0"), ("response_format", "verbose_json"), (G, "segment")],
        ["include"],
    ),
    ("voxtral-mini-latest", MISTRAL, request_for("srt", prompt="p"), [(G, "segment")], ["prompt"]),
    ("voxtral-mini-latest", MISTRAL, request_for("diarized_json"), [("diarize", "true"), (G, "segment")], []),
    ("voxtral-mini-latest", MISTRAL, request_for("json", stream=True), [("stream", "true")], []),
    ("cohere-transcribe-03-2026", COHERE, request_for("json"), [("language", "en")], ["language"]),
    ("openai/whisper-1", OPENROUTER, request_for("text", "word", language="de"), [("language", "de")], ["timestamp_granularities"]),
]  # fmt: skip


@pytest.mark.parametrize(("model", "options", "request_", "fields", "warned"), GOLDEN)
def test_golden_forms(
    model: str, options: Any, request_: TranscriptionRequest, fields: list[tuple[str, str]], warned: list[str]
) -> None:
    context = target(model, options)
    encoded = OPENAI.encode_request(request_, context)
    assert encoded.form == Form([("model", model), *fields], FILE)
    assert [loss.param for loss in context.losses.items] == warned


@pytest.mark.parametrize(
    ("dialect", "model", "options", "form"),
    [
        (OPENAI, "gpt-4o-transcribe", OPENAI_OPTIONS, "srt"),
        (OPENAI, "gpt-4o-transcribe", OPENAI_OPTIONS, "diarized_json"),
        (OPENAI, "cohere-transcribe", COHERE, "vtt"),
        (OPENAI, "m", OPENROUTER, "verbose_json"),
        (GEMINI, "gemini-2.5-flash", None, "srt"),
    ],
)
def test_a_form_without_its_times_is_refused(dialect: Any, model: str, options: Any, form: str) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect.encode_request(request_for(form), target(model, options))
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", "response_format")


def test_elevenlabs_form() -> None:
    context = target("scribe_v1")
    extra = {"num_speakers": "2", "keyterms[]": ["a", "b"], "no_verbatim": "true", "odd": "1"}
    request = request_for("diarized_json", language="en", temperature=0.2, prompt="p", extra=extra)
    encoded = ELEVEN.encode_request(request, context)
    assert encoded.form == Form(
        [
            ("model_id", "scribe_v1"),
            ("language_code", "en"),
            ("temperature", "0.2"),
            ("diarize", "true"),
            ("num_speakers", "2"),
            ("keyterms", "a"),
            ("keyterms", "b"),
            ("no_verbatim", "true"),
        ],
        FILE,
    )
    assert [loss.param for loss in context.losses.items] == ["prompt", "odd"]


def test_gemini_gets_the_audio_inline_and_a_prompt() -> None:
    upload = Upload("say.mp3", "application/octet-stream", b"ID3")
    request = TranscriptionRequest("m", upload, "de", "Names: Ruby", temperature=0.0)
    body = GEMINI.encode_request(request, target()).body
    assert body is not None
    prompt, audio = body["contents"][0]["parts"]
    assert prompt["text"].endswith("The language is 'de'.\nNames: Ruby")
    assert audio == {"inlineData": {"mimeType": "audio/mp3", "data": base64.b64encode(b"ID3").decode()}}
    assert body["generationConfig"] == {"temperature": 0.0}


def test_gemini_transcripts_whole_and_streamed() -> None:
    counts = {"promptTokenCount": 30, "candidatesTokenCount": 3, "totalTokenCount": 33}
    first = {"candidates": [{"content": {"parts": [{"text": "t", "thought": True}, {"text": "Ruby "}]}}]}
    last = {
        "candidates": [{"content": {"parts": [{"text": "is.\n"}]}, "finishReason": "STOP"}],
        "usageMetadata": counts,
    }
    events = drained(GEMINI.stream_decoder(ASK, target()), [first, last])
    assert events[:2] == [TranscriptDelta("Ruby "), TranscriptDelta("is.\n")]
    assert isinstance(events[-1], TranscriptDone)
    assert events[-1].transcript.text == "Ruby is."
    whole = GEMINI.decode_response(json.dumps(last).encode(), ASK, target(), {})
    assert (whole.text, whole.usage and whole.usage.total) == ("is.", 33)


def test_a_multipart_body_is_read_by_werkzeug_and_not_copied() -> None:
    fields = [("model", "m"), ('odd "name"\r\n', "ü\n"), (G, "word"), (G, "segment")]
    file = Upload('na"me.wav', "audio/wav", bytes(range(256)) * 10)
    body = Form(fields, file).encode("b0undary")
    pieces = list(body)
    assert any(piece is file.data for piece in pieces)
    assert len(body) == sum(map(len, pieces))
    assert list(body) == pieces
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": body.content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": __import__("io").BytesIO(b"".join(pieces)),
    }
    _, form, files = parse_form_data(environ)
    assert form.getlist(G) == ["word", "segment"]
    assert form["model"] == "m"
    assert "ü\n" in form.values()
    assert files["file"].read() == file.data
    assert files["file"].mimetype == "audio/wav"


TALK = Transcript(
    "Hello there. Bye -->",
    "en",
    3661.5,
    (
        Segment(0.0, 1.25, " Hello there.", native={"id": 0, "seek": 0}),
        Segment(3600.5, 3661.5, "Bye -->", "A"),
    ),
    (Word(0.0, 0.5, "Hello"), Word(0.6, 1.25, "there.")),
    usage=Usage(
        details={"input.audio_seconds": 4}, native=("openai_audio", {"type": "duration", "seconds": 3.25})
    ),
)


def test_subtitles_and_text() -> None:
    assert render(TALK, "text") == "Hello there. Bye -->\n"
    assert render(TALK, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n2\n01:00:00,500 --> 01:01:01,500\nBye -->\n\n"
    )
    assert render(TALK, "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello there.\n\n01:00:00.500 --> 01:01:01.500\nBye ->\n\n"
    )
    assert render(Transcript("Hi", duration=2.0), "srt") == "1\n00:00:00,000 --> 00:00:02,000\nHi\n\n"
    assert [media_type_of(form) for form in ("srt", "json")] == [
        "text/plain; charset=utf-8",
        "application/json",
    ]


def test_json_forms_fit_openais_types() -> None:
    usage = {"type": "duration", "seconds": 3.25}
    assert render(TALK, "json") == {"text": TALK.text, "usage": usage}
    verbose = render(TALK, "verbose_json", ("word", "segment"))
    assert isinstance(verbose, dict)
    assert verbose["words"] == [
        {"word": "Hello", "start": 0.0, "end": 0.5},
        {"word": "there.", "start": 0.6, "end": 1.25},
    ]
    assert verbose["segments"][0] == {"id": 0, "start": 0.0, "end": 1.25, "text": " Hello there.", "seek": 0}
    assert "words" not in render(TALK, "verbose_json")
    TranscriptionVerbose.construct(**verbose)
    diarized = render(TALK, "diarized_json")
    assert isinstance(diarized, dict)
    assert TranscriptionDiarized.model_validate(diarized).segments[1].speaker == "A"


def test_a_transcript_shown_whole_reads_back_the_same() -> None:
    body = OPENAI.encode_response(TALK, request_for("verbose_json", "word", "segment"))
    back = OPENAI.decode_response(json.dumps(body).encode(), ASK, target(), {})
    assert (back.text, back.language, back.duration, back.words) == (TALK.text, "en", 3661.5, TALK.words)
    assert [(one.start, one.end, one.text, one.speaker) for one in back.segments] == [
        (one.start, one.end, one.text, one.speaker) for one in TALK.segments
    ]


def test_words_are_joined_by_sentence_speaker_and_pause() -> None:
    words = [Word(0, 1, "One."), Word(1, 2, "Two"), Word(2, 3, "three", "B"), Word(5, 6, "four", "B")]
    words += [Word(6 + n, 7 + n, "word" * 5, "B") for n in range(6)]
    assert [(s.text, s.speaker) for s in segments_of(words)] == [
        ("One.", None),
        ("Two", None),
        ("three", "B"),
        ("four wordwordwordwordword wordwordwordwordword wordwordwordwordword", "B"),
        ("wordwordwordwordword wordwordwordwordword wordwordwordwordword", "B"),
    ]
    assert segments_of([]) == ()


def test_a_whole_transcript_replays_as_a_stream() -> None:
    assert list(replay_transcript(TALK)) == [TranscriptDelta(TALK.text), TranscriptDone(TALK)]
    assert list(replay_transcript(TALK, speakers=True)) == [
        *(TranscriptSegment(segment) for segment in TALK.segments),
        TranscriptDone(TALK),
    ]


def test_events_go_out_as_openais_frames() -> None:
    encoder = OPENAI.stream_encoder()
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    done = TranscriptDone(Transcript("Hi", usage=Usage(3, 2, 5, details={"input.audio_tokens": 3})))
    frames = [*encoder.feed(TranscriptDelta("Hi", (token,), "seg_0")), *encoder.feed(done)]
    assert frames == [
        Frame(
            None, {"type": "transcript.text.delta", "delta": "Hi", "logprobs": [token], "segment_id": "seg_0"}
        ),
        Frame(
            None,
            {
                "type": "transcript.text.done",
                "text": "Hi",
                "usage": {
                    "type": "tokens",
                    "input_tokens": 3,
                    "output_tokens": 2,
                    "total_tokens": 5,
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 3},
                },
            },
        ),
        DONE,
    ]


def test_mistrals_events() -> None:
    frames = [
        {"type": "transcription.language", "audio_language": "en"},
        {"type": "transcription.text.delta", "text": "Ruby "},
        {"type": "transcription.text.delta", "text": "is."},
        {
            "type": "transcription.segment",
            "text": "Ruby is.",
            "start": 0.1,
            "end": None,
            "speaker_id": "speaker_1",
        },
        {"type": "transcription.tomorrow"},
        {
            "type": "transcription.done",
            "text": "Ruby is.",
            "language": None,
            "usage": {"prompt_tokens": 5, "total_tokens": 9},
        },
    ]
    segment = Segment(0.1, 0.0, "Ruby is.", "speaker_1")
    events = drained(OPENAI.stream_decoder(ASK, target()), frames)
    assert events[:3] == [TranscriptDelta("Ruby "), TranscriptDelta("is."), TranscriptSegment(segment)]
    assert isinstance(events[3], TranscriptDone)
    whole = events[3].transcript
    assert (whole.text, whole.language, whole.segments) == ("Ruby is.", "en", (segment,))
    assert whole.usage is not None
    assert whole.usage.total == 9


def test_a_stream_without_its_end_was_cut_and_an_error_event_fails_it() -> None:
    delta = {"type": "transcript.text.delta", "delta": "a"}
    for frames, kind in (
        ([delta], "upstream_cut"),
        ([delta, None], "upstream_cut"),
        ([{"error": {"message": "x", "code": 503}}], "upstream_overloaded"),
    ):
        events = drained(OPENAI.stream_decoder(ASK, target()), frames)
        assert isinstance(events[-1], Failed)
        assert events[-1].error.kind.name == kind


@pytest.mark.parametrize("content", [b'{"x": 1}', b'{"text": null}'])
@pytest.mark.parametrize("dialect", [OPENAI, ELEVEN])
def test_an_object_without_text_is_refused(dialect: Any, content: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect.decode_response(content, ASK, target(), {})
    assert caught.value.kind.name == "upstream_invalid"


def test_plain_text_is_a_transcript() -> None:
    assert OPENAI.decode_response(b"Ruby is.\n", ASK, target(), {}) == Transcript("Ruby is.")


def test_elevenlabs_channels_are_joined() -> None:
    channel = {"language_code": "eng", "words": [{"text": "b", "start": 2, "end": 3, "type": "word"}]}
    body = {
        "transcripts": [
            {**channel, "text": "b"},
            {"text": "a", "words": [{"text": "a", "start": 0, "end": 1}, {"text": " ", "type": "spacing"}]},
        ]
    }
    got = ELEVEN.decode_response(json.dumps(body).encode(), ASK, target(), {})
    assert (got.text, got.language, [word.text for word in got.words], got.duration) == (
        "b\na",
        "eng",
        ["a", "b"],
        3,
    )


def test_further_members_of_a_transcript_are_shown_in_every_json_form() -> None:
    own = {"language_probability": 0.98, "transcription_id": "t", "audio_duration_secs": 1.5}
    word = {"text": "Hi", "start": 0, "end": 1, "type": "word", "speaker_id": "s1"}
    got = ELEVEN.decode_response(
        json.dumps({"text": "Hi", "words": [word], **own}).encode(), ASK, target(), {}
    )
    assert own.pop("audio_duration_secs") == got.duration
    for form in ("json", "verbose_json", "diarized_json"):
        body = render(got, form, ("word",))
        assert isinstance(body, dict)
        assert body.items() >= own.items()
        assert body["usage"] == {"type": "duration", "seconds": 1.5}
    assert render(got, "verbose_json", ("word",))["words"] == [  # type: ignore[index]
        {"word": "Hi", "start": 0, "end": 1, "speaker": "s1"}
    ]


def test_elevenlabs_answers_a_stream_by_its_whole_answer() -> None:
    events = drained(ELEVEN.stream_decoder(ASK, target()), [{"text": "Hi", "words": []}])
    assert events == [TranscriptDelta("Hi"), TranscriptDone(Transcript("Hi"))]
