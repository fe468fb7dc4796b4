"""Speech: recorded exchanges, the server half, golden requests of every wire, WAV headers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import wave
from typing import Any

import pytest

from app.canonical.events import Failed
from app.canonical.media import SpeechDelta, SpeechDone, SpeechEvent, SpeechRequest, SpeechResponse
from app.canonical.request import Origin
from app.canonical.response import Usage
from app.dialects.base import Frame, ServerContext
from app.dialects.media import elevenlabs_speech, gemini_speech, openai_speech
from app.dialects.media.audio import MediaRequest, replay_speech, wav, wav_header
from app.dialects.media.elevenlabs_speech import ElevenLabsOptions
from app.dialects.media.openai_speech import GROQ, MISTRAL
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.answers import Sound, extract
from tests.traffic.exclusions import reason
from tests.traffic.load import Exchange

OPENAI = openai_speech.DIALECT
ELEVEN = elevenlabs_speech.DIALECT
GEMINI = gemini_speech.DIALECT

SPOKEN: dict[str, tuple[Any, Any]] = {
    "openai.audio.speech": (OPENAI, None),
    "mistral.audio.speech": (OPENAI, MISTRAL),
    "elevenlabs.text_to_speech": (ELEVEN, None),
}
FOUND = [exchange for exchange in load.exchanges(SPOKEN) if reason(exchange) is None]
GOOD = [exchange for exchange in FOUND if exchange.status == 200]
SERVER = ServerContext(generic.counter(), 1_700_000_000)
HELLO = SpeechRequest("m", "Hello", "alloy")


def target(model: str = "m", options: Any = None) -> Any:
    return generic.client_context(model, options=options, losses=Losses("chat"))


def drained(decoder: Any, frames: list[Any]) -> list[SpeechEvent]:
    events: list[SpeechEvent] = []
    for frame in frames:
        events += decoder.feed(None, frame.data if isinstance(frame, Frame) else frame)
    return events + decoder.eof() + decoder.eof()


def audio(events: list[SpeechEvent]) -> bytes:
    return b"".join(event.audio for event in events if isinstance(event, SpeechDelta))


@pytest.mark.parametrize("exchange", load.params([e for e in GOOD if not e.streamed]))
def test_whole_audio_is_read_byte_for_byte(exchange: Exchange) -> None:
    reading = extract(exchange)
    assert isinstance(reading, Sound)
    dialect, options = SPOKEN[exchange.api]
    answer = dialect.decode_response(
        exchange.content(), HELLO, target(options=options), exchange.response["headers"]
    )
    assert (len(answer.audio), hashlib.sha256(answer.audio).hexdigest()) == (reading.length, reading.sha256)
    assert answer.media_type == "audio/mpeg"


@pytest.mark.parametrize("exchange", load.params([e for e in GOOD if e.streamed]))
def test_streamed_audio_is_read_however_it_is_cut(exchange: Exchange) -> None:
    reading = extract(exchange)
    assert isinstance(reading, Sound)
    for size in generic.CHUNK_SIZES:
        events = drained(
            SPOKEN[exchange.api][0].stream_decoder(HELLO, target()),
            list(generic.sse_frames(exchange.content(), size)),
        )
        assert hashlib.sha256(audio(events)).hexdigest() == reading.sha256
        assert isinstance(events[-1], SpeechDone)
        assert reading.usage is not None
        assert events[-1].usage is not None
        assert (events[-1].usage.input_tokens, events[-1].usage.total) == (
            reading.usage.input,
            reading.usage.total,
        )


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.status >= 400]))
def test_errors_keep_their_words(exchange: Exchange) -> None:
    told = extract(exchange).error
    error = SPOKEN[exchange.api][0].decode_error(exchange.status, exchange.response["body"], {})
    assert told is not None
    assert error.message == told.message
    assert (error.kind.name, error.status, error.code) == ("upstream_quota", 429, "insufficient_quota")


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.api == "openai.audio.speech"]))
def test_a_recorded_request_survives_both_halves(exchange: Exchange) -> None:
    body = exchange.request["body"]
    encoded = OPENAI.encode_request(OPENAI.decode_request(body, SERVER), target(body["model"]))
    assert encoded.body == body
    assert encoded.framing == ("sse" if exchange.streamed else "bytes")


def test_all_members_are_read() -> None:
    body = {
        "model": "m",
        "input": "Hello",
        "voice": {"id": "voice_1"},
        "response_format": "wav",
        "speed": 1.5,
        "instructions": "slowly",
        "language": "en",
        "stream_format": "sse",
        "seed": 3,
    }
    assert OPENAI.decode_request(body, SERVER) == SpeechRequest(
        "m", "Hello", "voice_1", "wav", 1.5, "slowly", "en", True, {"seed": 3}, Origin("openai_speech", body)
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"voice": "a"}, "input"),
        ({"input": ""}, "input"),
        ({"input": 5}, "input"),
        ({"input": "x", "voice": 3}, "voice"),
        ({"input": "x", "voice": {"name": "a"}}, "voice"),
        ({"input": "x", "response_format": "ogg"}, "response_format"),
        ({"input": "x", "stream_format": "ws"}, "stream_format"),
        ({"input": "x", "speed": "fast"}, "speed"),
    ],
)
def test_a_wrong_request_names_its_member(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.decode_request({"model": "m", **body}, SERVER)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_events_go_out_as_openais_frames_and_come_back() -> None:
    events = [SpeechDelta(b"abc"), SpeechDelta(b"def"), SpeechDone(Usage(3, 4, 7))]
    encoder = OPENAI.stream_encoder()
    frames = [frame for event in events for frame in encoder.feed(event)]
    assert frames[0] == Frame(None, {"type": "speech.audio.delta", "audio": "YWJj"})
    assert frames[-1].data["usage"] == {
        "type": "tokens",
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
    }
    back = drained(OPENAI.stream_decoder(HELLO, target()), frames)
    assert audio(back) == b"abcdef"
    assert isinstance(back[-1], SpeechDone)


def test_whole_audio_replays_as_one_delta() -> None:
    response = SpeechResponse(b"abc", "audio/mpeg", Usage(1), 5)
    assert list(replay_speech(response)) == [SpeechDelta(b"abc"), SpeechDone(Usage(1), 5)]


def test_a_stream_of_events_without_its_end_was_cut_and_one_of_bytes_was_not() -> None:
    frame = {"type": "speech.audio.delta", "audio": "YWJj"}
    cut = drained(OPENAI.stream_decoder(HELLO, target()), [frame])
    assert isinstance(cut[-1], Failed)
    assert cut[-1].error.kind.name == "upstream_cut"
    assert drained(OPENAI.stream_decoder(HELLO, target()), [b"ab", b"", b"c"]) == [
        SpeechDelta(b"ab"),
        SpeechDelta(b"c"),
        SpeechDone(),
    ]


def test_an_error_event_fails_the_stream() -> None:
    events = drained(OPENAI.stream_decoder(HELLO, target()), [{"error": {"message": "no", "code": 503}}])
    assert [type(event) for event in events] == [Failed]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"audio_data": 5}', b'{"audio_data": "%%"}', b"\xff"]
)
def test_json_without_audio_is_refused(content: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.decode_response(content, HELLO, target(options=MISTRAL), {})
    assert caught.value.kind.name == "upstream_invalid"


@pytest.mark.parametrize(
    ("told", "asked", "shown"),
    [
        ("audio/mpeg", None, "audio/mpeg"),
        ("audio/opus", "opus", "audio/ogg"),
        ("audio/x-wav; rate=1", "wav", "audio/wav"),
        ("application/octet-stream", "flac", "audio/flac"),
        ("", "aac", "audio/aac"),
        ("", "pcm", "audio/pcm"),
        ("audio/wav", "mp3", "audio/wav"),
    ],
)
def test_content_types(told: str, asked: str | None, shown: str) -> None:
    request = SpeechRequest("m", "Hello", "alloy", asked)
    answer = OPENAI.decode_response(b"x", request, target(), {"content-type": told})
    assert answer.media_type == shown


@pytest.mark.parametrize(
    ("dialect", "asked", "shown"),
    [
        (ELEVEN, "wav", "audio/wav"),
        (ELEVEN, None, "audio/mpeg"),
        (GEMINI, None, "audio/wav"),
        (GEMINI, "pcm", "audio/pcm"),
        (OPENAI, None, "audio/mpeg"),
    ],
)
def test_a_streams_content_type_is_that_of_the_bytes_we_send(
    dialect: Any, asked: str | None, shown: str
) -> None:
    headers = {"content-type": "audio/pcm" if dialect is ELEVEN else "text/event-stream"}
    assert dialect.media_type(SpeechRequest("m", "Hello", "v", asked), headers) == shown


SETTINGS = {"voice_settings": {"style": 0.2}, "stability": 0.9, "seed": 4, "enable_logging": False, "odd": 1}
GOLDEN: list[tuple[Any, str, Any, SpeechRequest, MediaRequest, list[str]]] = [
    (
        OPENAI, "tts-1", None, SpeechRequest("m", "Hello", "alloy", "opus", 1.5, stream=True),
        MediaRequest({"model": "tts-1", "input": "Hello", "voice": "alloy", "response_format": "opus", "speed": 1.5}, framing="bytes"),
        [],
    ),
    (
        OPENAI, "gpt-4o-mini-tts", None, SpeechRequest("m", "Hello", "alloy", instructions="calm", stream=True),
        MediaRequest({"model": "gpt-4o-mini-tts", "input": "Hello", "voice": "alloy", "instructions": "calm", "stream_format": "sse"}, framing="sse"),
        [],
    ),
    (
        OPENAI, "orpheus", GROQ, SpeechRequest("m", "Hello", "autumn", "wav", instructions="calm", stream=True),
        MediaRequest({"model": "orpheus", "input": "Hello", "voice": "autumn", "response_format": "wav"}, framing="bytes"),
        ["instructions"],
    ),
    (
        OPENAI, "voxtral-mini-tts-latest", MISTRAL, SpeechRequest("m", "Hello", "en_paul_neutral", speed=2.0),
        MediaRequest({"model": "voxtral-mini-tts-latest", "input": "Hello", "voice": "en_paul_neutral"}, framing="json"),
        ["speed"],
    ),
    (
        OPENAI, "voxtral-mini-tts-latest", MISTRAL, SpeechRequest("m", "Hello", "en_paul_neutral", stream=True),
        MediaRequest({"model": "voxtral-mini-tts-latest", "input": "Hello", "voice": "en_paul_neutral", "stream": True}, framing="sse"),
        [],
    ),
    (
        ELEVEN, "eleven_multilingual_v2", ElevenLabsOptions({"alloy": "JBF"}), HELLO,
        MediaRequest(
            {"text": "Hello", "model_id": "eleven_multilingual_v2"},
            query={"output_format": "mp3_44100_128"}, path={"voice": "JBF"}, framing="bytes",
        ),
        [],
    ),
    (
        ELEVEN, "eleven_v3", None,
        SpeechRequest("m", "Hello", "JBF", "opus", 2.0, "calm", "de", True, SETTINGS),
        MediaRequest(
            {
                "text": "Hello",
                "model_id": "eleven_v3",
                "language_code": "de",
                "voice_settings": {"style": 0.2, "stability": 0.9, "speed": 1.2},
                "seed": 4,
            },
            query={"output_format": "opus_48000_128", "enable_logging": "false"},
            path={"voice": "JBF"}, suffix="/stream", framing="bytes",
        ),
        ["instructions", "speed", "odd"],
    ),
    (
        ELEVEN, "eleven_v3", None, SpeechRequest("m", "Hello", "JBF", "wav", extra={"with_timestamps": True}),
        MediaRequest(
            {"text": "Hello", "model_id": "eleven_v3"},
            query={"output_format": "pcm_44100"}, path={"voice": "JBF"}, suffix="/with-timestamps", framing="json",
        ),
        [],
    ),
    (
        GEMINI, "gemini-2.5-flash-preview-tts", None,
        SpeechRequest("m", "Hello", "Kore", "wav", instructions="Say calmly", language="de-DE"),
        MediaRequest(
            {
                "contents": [{"role": "user", "parts": [{"text": "Say calmly: Hello"}]}],
                "generationConfig": {
                    "responseModalities": ["AUDIO"],
                    "speechConfig": {
                        "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}},
                        "languageCode": "de-DE",
                    },
                },
            },
            framing="json",
        ),
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "model", "options", "request_", "sent", "warned"), GOLDEN)
def test_golden_requests(
    dialect: Any, model: str, options: Any, request_: SpeechRequest, sent: MediaRequest, warned: list[str]
) -> None:
    context = target(model, options)
    assert dialect.encode_request(request_, context) == sent
    assert [loss.param for loss in context.losses.items] == warned


@pytest.mark.parametrize(
    ("dialect", "name"), [(ELEVEN, "flac"), (ELEVEN, "aac"), (GEMINI, "mp3"), (GEMINI, "opus")]
)
def test_a_format_that_a_wire_cannot_make_is_refused(dialect: Any, name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect.encode_request(SpeechRequest("m", "Hello", "v", name), target())
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", "response_format")


@pytest.mark.parametrize("dialect", [OPENAI, ELEVEN])
def test_a_voice_must_be_named(dialect: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect.encode_request(SpeechRequest("m", "Hello"), target())
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "voice")


def test_raw_samples_become_a_wav_file_that_plays() -> None:
    with wave.open(io.BytesIO(wav(b"\x01\x00" * 240, rate=24_000))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
        assert sound.readframes(1_000) == b"\x01\x00" * 240
    assert wav_header(None, rate=24_000)[4:8] == b"\xff\xff\xff\xff"
    assert wav(b"", rate=8_000)[:4] == b"RIFF"


def test_elevenlabs_wav_is_raw_samples_with_a_header() -> None:
    request = SpeechRequest("m", "Hello", "v", "wav")
    whole = ELEVEN.decode_response(b"\x01\x00" * 10, request, target(), {"character-cost": "7"})
    assert (whole.audio[:4], len(whole.audio), whole.media_type, whole.characters) == (
        b"RIFF",
        64,
        "audio/wav",
        7,
    )
    assert struct.unpack("<I", whole.audio[24:28]) == (44_100,)
    events = drained(ELEVEN.stream_decoder(request, target()), [b"\x01\x00", b"\x02\x00"])
    assert audio(events)[44:] == b"\x01\x00\x02\x00"
    assert events[-1] == SpeechDone(characters=5)


def test_elevenlabs_json_is_no_sound() -> None:
    request = SpeechRequest("eleven_multilingual_v2", "Hi", "v")
    with pytest.raises(GatewayError, match="no audio"):
        elevenlabs_speech.decode_response(
            b'{"detail": "no"}', request, generic.client_context(), {"content-type": "application/json"}
        )


def test_elevenlabs_timestamps_are_kept() -> None:
    body = {"audio_base64": "YWJj", "alignment": {"characters": ["a"]}, "normalized_alignment": None}
    request = SpeechRequest("m", "Hello", "v", extra={"with_timestamps": True})
    answer = ELEVEN.decode_response(json.dumps(body).encode(), request, target(), {})
    native = ("elevenlabs_speech", {"alignment": {"characters": ["a"]}})
    assert answer == SpeechResponse(b"abc", "audio/mpeg", characters=5, native=native)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, 401, "upstream_auth"),
        ({"detail": {"status": "voice_not_found", "message": "No voice"}}, 400, "upstream_rejected"),
        ({"detail": [{"loc": ["body", "text"], "msg": "field required"}]}, 422, "upstream_rejected"),
        ({"detail": "Not Found"}, 404, "upstream_rejected"),
        (
            {"detail": {"status": "too_many_concurrent_requests", "message": "wait"}},
            400,
            "upstream_rate_limited",
        ),
        (None, 500, "upstream_error"),
    ],
)
def test_elevenlabs_error_shapes(body: Any, status: int, kind: str) -> None:
    error = ELEVEN.decode_error(status, body, {})
    assert error.kind.name == kind
    assert error.message


def gemini_chunk(data: bytes, **members: Any) -> dict[str, Any]:
    blob = {"mimeType": "audio/L16;codec=pcm;rate=16000", "data": base64.b64encode(data).decode()}
    part = {"inlineData": blob}
    return {"candidates": [{"content": {"role": "model", "parts": [part]}, **members}]}


def test_gemini_samples_become_a_wav_file_unless_pcm_was_asked_for() -> None:
    body = json.dumps(gemini_chunk(b"\x01\x00" * 4, finishReason="STOP")).encode()
    whole = GEMINI.decode_response(body, HELLO, target(), {})
    assert (whole.audio[:4], whole.media_type) == (b"RIFF", "audio/wav")
    assert struct.unpack("<I", whole.audio[24:28]) == (16_000,)
    raw = GEMINI.decode_response(body, SpeechRequest("m", "Hello", format="pcm"), target(), {})
    assert raw == SpeechResponse(b"\x01\x00" * 4, "audio/pcm")


def test_gemini_speech_streams_with_one_header() -> None:
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 9, "totalTokenCount": 12}
    chunks = [gemini_chunk(b"ab"), {**gemini_chunk(b"cd", finishReason="STOP"), "usageMetadata": counts}]
    events = drained(GEMINI.stream_decoder(HELLO, target()), chunks)
    assert audio(events)[44:] == b"abcd"
    assert isinstance(events[-1], SpeechDone)
    assert events[-1].usage is not None
    assert events[-1].usage.total == 12
    cut = drained(GEMINI.stream_decoder(HELLO, target()), chunks[:1])
    assert isinstance(cut[-1], Failed)


@pytest.mark.parametrize(("reason_", "kind"), [("SAFETY", "content_filter"), ("STOP", "upstream_invalid")])
def test_gemini_without_audio_is_refused(reason_: str, kind: str) -> None:
    body = {"candidates": [{"finishReason": reason_}]}
    with pytest.raises(GatewayError) as caught:
        GEMINI.decode_response(json.dumps(body).encode(), HELLO, target(), {})
    assert caught.value.kind.name == kind
