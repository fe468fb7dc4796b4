"""Pictures as wires tell of them: usage in each form, sizes, files, and the end of a stream."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.images import ImageRequest, PictureDone, PicturePart
from app.canonical.media import Upload
from app.canonical.response import Usage
from app.dialects.media.images import validate_image, validate_size
from app.dialects.media.openai_images import decode_response, stream_decoder
from app.dialects.media.usage import decode_image_usage, encode_image_usage
from app.errors import GatewayError
from tests.dialects import generic

ASKED = ImageRequest("m", "generation", "a barn", n=2)
COUNTS = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}


def details(usage: Usage | None) -> tuple[int, int, dict[str, int]]:
    assert usage is not None
    return usage.input_tokens, usage.output_tokens, dict(usage.details)


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (COUNTS, (10, 100, {"output.image_tokens": 100})),
        (
            {
                **COUNTS,
                "input_tokens_details": {"text_tokens": 4, "image_tokens": 6},
                "output_tokens_details": {"text_tokens": 30, "image_tokens": 70},
            },
            (
                10,
                100,
                {
                    "input.text_tokens": 4,
                    "input.image_tokens": 6,
                    "output.text_tokens": 30,
                    "output.image_tokens": 70,
                },
            ),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 100, "cost": 0.5},
            (10, 100, {"output.image_tokens": 100}),
        ),
    ],
)
def test_each_form_of_usage_is_read(raw: dict[str, Any], read: tuple[int, int, dict[str, int]]) -> None:
    assert details(decode_image_usage(raw)) == read


@pytest.mark.parametrize("raw", [None, {}, [], {"input_tokens": "many"}, {"output_tokens": -1}])
def test_what_counts_nothing_is_no_usage(raw: Any) -> None:
    assert decode_image_usage(raw) is None


def test_the_author_of_an_svg_is_charged_besides() -> None:
    authored = {"model": "gpt-6-luna", "input_tokens": 3, "output_tokens": 4, "reasoning_tokens": 1}
    usage = decode_image_usage(COUNTS, svg=authored)
    assert usage is not None
    ((model, run),) = usage.billing.further
    assert (model, run.input_tokens, run.output_tokens) == ("gpt-6-luna", 3, 4)


def test_usage_is_written_with_all_its_details() -> None:
    assert encode_image_usage(Usage(10, 100, details={"output.image_tokens": 100})) == {
        **COUNTS,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
        "output_tokens_details": {"image_tokens": 100, "text_tokens": 0},
    }


def test_an_answer_without_counts_has_a_guess_and_its_pictures() -> None:
    body = {"data": [{"url": "https://example.com/a.png"}, {"url": "https://example.com/b.png"}]}
    answer = decode_response(body, ASKED, generic.client_context("m"))
    assert answer.usage is not None
    assert (answer.usage.estimated, answer.usage.billing.units) == (True, {"generated_images": 2})


@pytest.mark.parametrize("size", [None, "auto", "2K", "1024x1536", "1x1", "16384x16384"])
def test_a_size_is_kept_as_it_is_written(size: str | None) -> None:
    assert validate_size(size) == size


@pytest.mark.parametrize("size", ["", "x", "1x", "01x1", "-1x1", "1X1", "16385x1", "1e3x1", " 1x1", "8K"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(GatewayError) as caught:
        validate_size(size)
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", "size")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xdb", "image/jpeg"),
        (b"RIFF1234WEBP", "image/webp"),
    ],
)
def test_the_first_bytes_tell_the_type(data: bytes, media_type: str) -> None:
    assert validate_image(Upload("a.exe", "text/html", data), "image").media_type == media_type


def completed(**more: Any) -> dict[str, Any]:
    return {"type": "image_generation.completed", "b64_json": "QUJD", **more}


def test_the_last_picture_ends_a_stream_with_the_usage_of_all() -> None:
    decoder = stream_decoder(ASKED, generic.client_context("m"))
    (part,) = decoder.feed(None, {"type": "image_generation.partial_image", "b64_json": "QQ=="})
    assert isinstance(part, PicturePart)
    (first,) = decoder.feed(None, completed(usage=COUNTS))
    (last,) = decoder.feed(None, completed(usage=COUNTS))
    assert isinstance(first, PictureDone)
    assert isinstance(last, PictureDone)
    assert (first.last, last.last) == (False, True)
    assert details(last.usage) == (20, 200, {"output.image_tokens": 200})
    assert list(decoder.eof()) == []


def test_a_stream_that_brings_fewer_ends_well_with_what_it_brought() -> None:
    decoder = stream_decoder(ASKED, generic.client_context("m"))
    decoder.feed(None, completed(usage=COUNTS))
    (last,) = decoder.eof()
    assert isinstance(last, PictureDone)
    assert (last.last, details(last.usage)[1]) == (True, 100)
