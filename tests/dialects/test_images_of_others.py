"""Pictures by Gemini, Imagen and Bedrock: what goes out, what is named or refused, what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.images import ImageRequest
from app.canonical.media import Upload
from app.dialects import dialect_of
from app.dialects.media.bedrock_images import draws
from app.dialects.media.images import ImageDialect
from app.errors import GatewayError
from tests.dialects import generic

ASKED = ImageRequest("m", "generation", "a barn")
PNG = Upload("a.png", "image/png", b"ABC")
NOVA, STABLE = "amazon.nova-canvas-v1:0", "us.stability.stable-image-core-v1:1"
PROMPT = {"role": "user", "parts": [{"text": "a barn"}]}
GEMINI = {"contents": [PROMPT], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}


def encoded(dialect: str, request: ImageRequest, model: str = "m") -> tuple[dict[str, Any], list[str | None]]:
    """Return the body that goes out, and the params of the warnings."""
    context = generic.client_context(model)
    sent = dialect_of(ImageDialect, dialect).encode_request(request, context)
    assert sent.body is not None
    return sent.body, [loss.param for loss in context.losses.items]


@pytest.mark.parametrize(
    ("size", "config", "warned"),
    [
        (None, {}, []),
        ("auto", {}, []),
        ("1024x1024", {"aspectRatio": "1:1"}, []),
        ("1536x1024", {"aspectRatio": "3:2"}, ["size"]),
        ("1792x1024", {"aspectRatio": "16:9"}, ["size"]),
        ("1x16384", {"aspectRatio": "9:16"}, ["size"]),
        ("2K", {"imageSize": "2K"}, []),
    ],
)
def test_gemini_is_told_a_ratio_or_a_tier(
    size: str | None, config: dict[str, str], warned: list[str]
) -> None:
    body, params = encoded("images_gemini", replace(ASKED, size=size))
    drawn = {"imageConfig": config} if config else {}
    assert body == {**GEMINI, "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], **drawn}}
    assert params == warned


def test_gemini_edits_what_is_inline() -> None:
    body, _ = encoded("images_gemini", replace(ASKED, kind="edit", images=(PNG, PNG)))
    shown = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    assert body["contents"] == [{"role": "user", "parts": [shown, shown, {"text": "a barn"}]}]


@pytest.mark.parametrize(
    ("dialect", "model", "request_", "param"),
    [
        ("images_gemini", "m", replace(ASKED, n=2), "n"),
        ("images_gemini", "m", replace(ASKED, kind="edit", images=(PNG,), mask=PNG), "mask"),
        ("images_imagen", "m", replace(ASKED, kind="edit", images=(PNG,), mask=PNG), "mask"),
        ("images_imagen", "m", replace(ASKED, kind="edit", images=(PNG, PNG)), "image"),
        ("images_bedrock", STABLE, replace(ASKED, n=2), "n"),
    ],
)
def test_what_would_change_the_picture_is_refused(
    dialect: str, model: str, request_: ImageRequest, param: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded(dialect, request_, model)
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", param)


FORMED = replace(
    ASKED,
    size="1536x1024",
    quality="high",
    background="transparent",
    output_format="jpeg",
    compression=37,
    form="url",
    user="ann",
    extra={"style": "vivid"},
)


def test_what_each_lacks_is_named() -> None:
    _, gemini = encoded("images_gemini", FORMED)
    assert gemini == [
        *("response_format", "quality", "background", "output_format", "output_compression", "user"),
        *("style", "size"),
    ]
    body, imagen = encoded("images_imagen", replace(FORMED, n=3))
    assert body == {
        "instances": [{"prompt": "a barn"}],
        "parameters": {
            "sampleCount": 3,
            "aspectRatio": "4:3",
            "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 37},
        },
    }
    assert imagen == ["response_format", "quality", "background", "user", "style", "size"]


def test_imagen_edits_a_picture_of_which_it_keeps_the_size() -> None:
    body, params = encoded("images_imagen", replace(FORMED, kind="edit", images=(PNG,), n=2))
    assert body == {
        "instances": [
            {
                "prompt": "a barn",
                "referenceImages": [
                    {
                        "referenceType": "REFERENCE_TYPE_RAW",
                        "referenceId": 1,
                        "referenceImage": {"bytesBase64Encoded": "QUJD"},
                    }
                ],
            }
        ],
        "parameters": {
            "editMode": "EDIT_MODE_DEFAULT",
            "sampleCount": 2,
            "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 37},
        },
    }
    assert params == ["response_format", "size", "quality", "background", "user", "style"]


def test_bedrocks_families_have_bodies_of_their_own() -> None:
    body, params = encoded("images_bedrock", replace(FORMED, n=2, extra={"seed": 7}), NOVA)
    assert body == {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": "a barn"},
        "imageGenerationConfig": {
            "numberOfImages": 2,
            "width": 1536,
            "height": 1024,
            "quality": "premium",
            "seed": 7,
        },
    }
    assert params == ["response_format", "background", "output_format", "output_compression", "user"]
    body, params = encoded("images_bedrock", replace(FORMED, extra={"seed": 7}), STABLE)
    assert body == {"prompt": "a barn", "aspect_ratio": "3:2", "output_format": "jpeg", "seed": 7}
    assert params == ["response_format", "quality", "background", "output_compression", "user", "size"]
    assert encoded("images_bedrock", ASKED, NOVA)[0] == {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": "a barn"},
    }


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (NOVA, True),
        (STABLE, True),
        ("amazon.titan-image-generator-v2:0", True),
        ("stability.sd3-5-large-v1:0", True),
        ("amazon.titan-embed-image-v1", False),
        ("amazon.nova-lite-v1:0", False),
    ],
)
def test_bedrocks_models_that_draw_are_known(model: str, known: bool) -> None:
    assert draws(model) is known


_PART = {"inlineData": {"mimeType": "image/jpeg", "data": "QUJD"}}
_COUNTS = {
    "promptTokenCount": 4,
    "candidatesTokenCount": 1290,
    "totalTokenCount": 1294,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}


def gemini(parts: list[Any], finish: str = "STOP") -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": _COUNTS}


@pytest.mark.parametrize(
    ("dialect", "body", "counted"),
    [
        ("images_gemini", gemini([{"text": "Here it is."}, _PART]), True),
        ("images_imagen", {"predictions": [{"bytesBase64Encoded": "QUJD", "mimeType": "image/jpeg"}]}, False),
        (
            "images_imagen",
            {
                "predictions": [
                    {"raiFilteredReason": "no"},
                    {"bytesBase64Encoded": "QUJD", "mimeType": "image/jpeg"},
                ]
            },
            False,
        ),
        ("images_bedrock", {"images": ["QUJD"], "error": None}, False),
        ("images_bedrock", {"seeds": [1], "finish_reasons": [None], "images": ["QUJD"]}, False),
    ],
)
def test_pictures_are_found(dialect: str, body: dict[str, Any], counted: bool) -> None:
    asked = replace(ASKED, output_format="jpeg")
    answer = dialect_of(ImageDialect, dialect).decode_response(body, asked, generic.client_context("m"))
    assert [picture.data for picture in answer.pictures] == ["QUJD"]
    assert answer.members == {"output_format": "jpeg"}
    assert answer.usage is not None
    assert answer.usage.estimated is not counted
    if counted:
        assert answer.usage.details["output.image_tokens"] == 1290
    else:
        assert answer.usage.billing.units == {"generated_images": 1}


@pytest.mark.parametrize(
    ("dialect", "body", "kind"),
    [
        ("images_gemini", gemini([{"text": "I cannot draw."}]), "upstream_invalid"),
        ("images_gemini", gemini([], "IMAGE_SAFETY"), "content_filter"),
        ("images_gemini", {"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
        ("images_gemini", [], "upstream_invalid"),
        ("images_imagen", {"predictions": [{"raiFilteredReason": "no"}]}, "content_filter"),
        ("images_imagen", {}, "upstream_invalid"),
        ("images_imagen", {"predictions": [{}]}, "upstream_invalid"),
        ("images_bedrock", {"error": "blocked by our filters"}, "content_filter"),
        ("images_bedrock", {"finish_reasons": ["Filter reason: prompt"], "images": [""]}, "content_filter"),
        ("images_bedrock", {"images": [7]}, "upstream_invalid"),
        ("images_bedrock", None, "upstream_invalid"),
    ],
)
def test_an_answer_without_a_picture_says_why(dialect: str, body: Any, kind: str) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect_of(ImageDialect, dialect).decode_response(body, ASKED, generic.client_context("m"))
    assert caught.value.kind.name == kind
