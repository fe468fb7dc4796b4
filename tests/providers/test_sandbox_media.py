"""The sandbox's other operations, over both halves of their dialects."""

import io
import json
import math
import wave

import pytest

from app.canonical.media import (
    CompletionRequest,
    EmbeddingRequest,
    SpeechDelta,
    SpeechDone,
    SpeechRequest,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionRequest,
    Upload,
)
from app.canonical.request import Sampling
from app.dialects import dialect_of
from app.dialects.base import ClientContext, Row
from app.providers.sandbox import WIRES
from app.providers.sandbox.audio import RATE, read_recording, wav_file
from app.providers.sandbox.vectors import embed
from tests.dialects.generic import counter, decoded, fold, sse_frames
from tests.providers.sandbox_calls import body_of, sandbox_script

BOUNDARY = "boundary-of-the-test"


def context(operation):
    return ClientContext("some-model", counter(), 1_700_000_000, options=WIRES[operation].options)


def put(operation, request):
    """The script for a canonical request, and its dialect."""
    wire = WIRES[operation]
    encoded = dialect_of(Row, wire.dialect).encode_request(request, context(operation))
    if getattr(encoded, "form", None) is not None:
        form = encoded.form.encode(BOUNDARY)
        script = sandbox_script("POST", wire.path, b"".join(form), content_type=form.content_type)
    else:
        script = sandbox_script("POST", wire.path, json.dumps(encoded.body).encode())
    return script, dialect_of(Row, wire.dialect)


def near(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


# --- embeddings


def vectors(*texts, **members):
    request = EmbeddingRequest("some-model", texts, **members)
    script, half = put("embedding", request)
    return half.decode_response(json.loads(body_of(script)), request, context("embedding"), {})


def test_vectors_have_length_one_and_come_in_order():
    response = vectors("the cat", "a dog", dimensions=64)
    assert [len(vector) for vector in response.vectors] == [64, 64]
    assert all(math.isclose(near(vector, vector), 1.0, abs_tol=1e-6) for vector in response.vectors)
    assert list(response.vectors[0]) == pytest.approx(embed("the cat", 64))
    assert response.usage.input_tokens == 4


def test_like_texts_are_near_and_others_far():
    one, like, other = vectors(
        "The cat sat on the warm mat", "A cat was sitting on a warm mat", "Interest rates rose again in March"
    ).vectors
    assert near(one, like) > 0.4
    assert near(one, other) < 0.25


def test_packed_vectors_and_tokens_are_taken():
    plain, packed = vectors("a b"), vectors("a b", encoding_format="base64")
    assert list(packed.vectors[0]) == pytest.approx(list(plain.vectors[0]), abs=1e-6)
    assert len(vectors((1, 2, 3)).vectors[0]) == 256


def test_an_empty_text_still_has_a_vector():
    assert math.isclose(near(embed(" "), embed(" ")), 1.0)
    assert all(math.isclose(near(v, v), 1.0) for v in (embed("a", 1), embed("a b c", 2)))


@pytest.mark.parametrize("dimensions", [4097, 10**9])
def test_too_many_dimensions_are_refused(dimensions):
    script, _ = put("embedding", EmbeddingRequest("some-model", ("a",), dimensions=dimensions))
    assert (script.status, json.loads(body_of(script))["error"]["param"]) == (400, "dimensions")


# --- speech and transcription


def spoken(text, **members):
    request = SpeechRequest("some-model", text, voice="alloy", **members)
    script, _ = put("speech", request)
    return script


def test_speech_is_a_true_wav_that_grows_with_the_words():
    short, long = (body_of(spoken(text)) for text in ("one two", "one two three four"))
    with wave.open(io.BytesIO(long)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        seconds = file.getnframes() / RATE
        assert any(file.readframes(1000))
    with wave.open(io.BytesIO(short)) as file:
        assert file.getnframes() / RATE == pytest.approx(seconds / 2, rel=0.05)
    assert seconds == pytest.approx(1.0, rel=0.05)
    assert spoken("one").headers["content-type"] == "audio/wav"


def test_raw_samples_are_those_of_the_wav():
    raw = body_of(spoken("one two", format="pcm"))
    assert body_of(spoken("one two", format="wav")).endswith(raw)
    assert spoken("one", format="pcm").headers["content-type"] == "audio/pcm"


def test_a_greater_speed_is_shorter():
    assert len(wav_file("a b c", 2.0)) < 0.6 * len(wav_file("a b c"))


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac"])
def test_a_format_that_needs_a_codec_is_refused(form):
    script = spoken("one", format=form)
    error = json.loads(body_of(script))["error"]
    assert (script.status, error["param"]) == (400, "response_format")
    assert form in error["message"]


def test_streamed_speech_is_the_same_audio():
    request = SpeechRequest("some-model", "one two three", voice="alloy", stream=True)
    script, half = put("speech", request)
    events = decoded(half.stream_decoder(request, context("speech")), sse_frames(body_of(script), 1 << 20))
    assert b"".join(e.audio for e in events if isinstance(e, SpeechDelta)) == wav_file("one two three")
    assert isinstance(events[-1], SpeechDone)
    assert events[-1].usage.input_tokens == 3


def transcribing(data, filename="a.wav", **members):
    request = TranscriptionRequest("some-model", Upload(filename, "audio/wav", data), **members)
    script, half = put("transcription", request)
    return script, half, request


def test_what_was_spoken_is_written_down_again():
    script, half, request = transcribing(
        wav_file("Grüße, world!"), format="verbose_json", granularities=("word",)
    )
    transcript = half.decode_response(body_of(script), request, context("transcription"), script.headers)
    assert transcript.text == "Grüße, world!"
    assert transcript.duration == pytest.approx(0.5, rel=0.05)
    assert [(word.text, round(word.start, 1)) for word in transcript.words] == [
        ("Grüße,", 0.0),
        ("world!", 0.2),
    ]


def test_another_file_is_described():
    script, half, request = transcribing(b"ID3" + b"x" * 97, "song.mp3")
    transcript = half.decode_response(body_of(script), request, context("transcription"), script.headers)
    assert transcript.text == "A recording named song.mp3, of 100 bytes."


def test_a_streamed_transcript_comes_word_by_word():
    script, half, request = transcribing(wav_file("one two three"), stream=True)
    events = decoded(
        half.stream_decoder(request, context("transcription")), sse_frames(body_of(script), 1 << 20)
    )
    assert [e.text for e in events if isinstance(e, TranscriptDelta)] == ["one", " two", " three"]
    assert isinstance(events[-1], TranscriptDone)
    assert events[-1].transcript.text == "one two three"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"RIFF\x00\x00\x00\x00WAVEfmt \x01\x00\x00\x00",
        b"RIFF\x00\x00\x00\x00WAVELIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\x7fabc",
        wav_file("x")[:30],
        wav_file("x").replace(b"\xc0\x5d\x00\x00", b"\0\0\0\0"),
    ],
)
def test_a_broken_recording_is_read_as_far_as_it_goes(data):
    found = read_recording(data)
    assert found.seconds is None or found.seconds >= 0


def test_a_body_that_is_no_form_is_refused():
    assert sandbox_script("POST", "/audio/transcriptions", b"{}").status == 400
    form = sandbox_script(
        "POST", "/audio/transcriptions", b"x", content_type="multipart/form-data; boundary=b"
    )
    assert (form.status, json.loads(body_of(form))["error"]["param"]) == (400, "file")


# --- completions


def completing(*prompts, **members):
    request = CompletionRequest("some-model", prompts, **members)
    script, half = put("completion", request)
    return script, half


def test_each_prompt_is_completed_as_often_as_asked_for():
    script, half = completing("say exactly: a b", "hello", sampling=Sampling(n=2))
    response = half.decode_response(json.loads(body_of(script)), context("completion"))
    assert [(choice.index, choice.text) for choice in response.choices] == [
        (0, "a b"),
        (1, "a b"),
        (2, "You said: hello"),
        (3, "You said: hello"),
    ]
    assert (response.usage.input_tokens, response.usage.output_tokens) == (5, 10)


def test_a_prompt_is_echoed_and_its_answer_measured():
    script, half = completing("say exactly: a b", echo=True, logprobs=1)
    (choice,) = half.decode_response(json.loads(body_of(script)), context("completion")).choices
    assert choice.text == "say exactly: a b" + "a b"
    assert choice.logprobs["tokens"] == ["a", " b"]


def test_a_streamed_completion_says_the_same():
    script, half = completing("say exactly: a b c", stream=True, sampling=Sampling(max_tokens=2))
    response = fold(
        decoded(half.stream_decoder(context("completion")), sse_frames(body_of(script), 1 << 20))
    ).response()
    (choice,) = response.choices
    assert choice.messages[0].parts[0].text == "a b"
    assert choice.finish.reason == "length"


# --- failures and lists


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("embedding", EmbeddingRequest("some-model", ("fail with 429",))),
        ("speech", SpeechRequest("some-model", "fail with 429", voice="alloy")),
        ("completion", CompletionRequest("some-model", ("fail with 429",))),
        (
            "transcription",
            TranscriptionRequest("some-model", Upload("a.wav", "audio/wav", b"x"), prompt="fail with 429"),
        ),
    ],
)
def test_every_operation_fails_when_asked_to(operation, request_):
    script, _ = put(operation, request_)
    assert (script.status, script.headers["retry-after"]) == (429, "1")
    assert json.loads(body_of(script))["error"]["code"] == "rate_limit_exceeded"


def test_the_list_names_models_that_show_what_it_does():
    page = dialect_of(Row, "models").decode_page(
        json.loads(body_of(sandbox_script("GET", "/models"))), context("models")
    )
    assert {"echo", "embedding", "speech", "transcription"} <= {model.id for model in page.models}


def test_words_are_counted_as_the_usage_counts_them():
    body = json.dumps({"model": "x", "input": "one two three", "instructions": "four five"}).encode()
    script = sandbox_script("POST", "/responses/input_tokens", body)
    assert json.loads(body_of(script)) == {"object": "response.input_tokens", "input_tokens": 5}
