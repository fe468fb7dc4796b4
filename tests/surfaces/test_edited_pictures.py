"""Pictures made of pictures by Bedrock's families: variations, edits by a prompt, and what they refuse."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.test_forms_of_pictures import PNG, picture_form
from tests.behaviour.world import Answer, World, running_world
from tests.traffic.replay import Reply

ENV = {
    "AWS_BEARER_TOKEN_BEDROCK": "aws-key",
    "AWS_REGION": "us-east-1",
    "BEDROCK_BASE_URL": "{upstream}/bedrock",
}
HEAD = {"content-type": "multipart/form-data; boundary=b"}
AMAZON = ["amazon.nova-canvas-v1:0", "us.amazon.titan-image-generator-v2:0"]
SD = "stability.sd3-5-large-v1:0"
DATA = base64.b64encode(PNG).decode()


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world(ENV) as made:
        yield made


@pytest.fixture
def world(running: World) -> World:
    return running.fresh()


def draw(world: World, what: str, model: str, *files: tuple[str, bytes], **fields: str) -> Answer:
    form = picture_form({"model": f"bedrock/{model}", **fields}, *(files or (("image", PNG),)))
    return world.send("POST", f"/v1/images/{what}", form, HEAD)


def request_body(world: World) -> Any:
    (request,) = world.upstream.requests
    assert request.path.endswith("/invoke")
    return json.loads(request.body)


@pytest.mark.parametrize("model", AMAZON)
def test_amazons_families_vary_pictures(world: World, model: str) -> None:
    world.upstream.add(Reply.json({"images": ["QUJD", "REVG"]}))
    answer = draw(world, "variations", model, n="2", size="512x512")
    assert [one["b64_json"] for one in answer.json["data"]] == ["QUJD", "REVG"]
    assert request_body(world) == {
        "taskType": "IMAGE_VARIATION",
        "imageVariationParams": {"images": [DATA]},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 512, "height": 512},
    }


@pytest.mark.parametrize("model", AMAZON)
def test_amazons_families_edit_by_a_prompt(world: World, model: str) -> None:
    world.upstream.add(Reply.json({"images": ["QUJD"]}))
    answer = draw(world, "edits", model, ("image[]", PNG), ("image[]", PNG), prompt="at night")
    assert answer.json["data"][0]["b64_json"] == "QUJD"
    expected = {"images": [DATA, DATA], "text": "at night"}
    assert request_body(world) == {"taskType": "IMAGE_VARIATION", "imageVariationParams": expected}


def test_stable_diffusion_draws_a_picture_anew(world: World) -> None:
    world.upstream.add(Reply.json({"images": ["QUJD"], "finish_reasons": [None]}))
    answer = draw(world, "edits", SD, prompt="at night", strength="0.6", size="512x512")
    assert answer.json["data"][0]["b64_json"] == "QUJD"
    assert request_body(world) == {
        "prompt": "at night",
        "mode": "image-to-image",
        "image": DATA,
        "strength": 0.6,
    }
    assert [warning["param"] for warning in answer.json["extra_fields"]["warnings"]] == ["size"]


REFUSED = [
    (AMAZON[0], "edits", (("image", PNG), ("mask", PNG)), {"prompt": "x"}, "mask"),
    (AMAZON[0], "edits", (("image[]", PNG),) * 6, {"prompt": "x"}, "image"),
    (SD, "edits", (("image[]", PNG),) * 2, {"prompt": "x", "strength": "1"}, "image"),
    (SD, "edits", (), {"prompt": "x"}, "strength"),
    (SD, "variations", (), {}, "model"),
    ("stability.stable-image-core-v1:1", "edits", (), {"prompt": "x"}, "model"),
    ("anthropic.claude-3-haiku-20240307-v1:0", "edits", (), {"prompt": "x"}, "model"),
]


@pytest.mark.parametrize("model, what, files, fields, param", REFUSED)
def test_what_a_family_cannot_do_is_refused(
    world: World,
    model: str,
    what: str,
    files: tuple[tuple[str, bytes], ...],
    fields: dict[str, str],
    param: str,
) -> None:
    answer = draw(world, what, model, *files, **fields)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert world.upstream.requests == []
