"""Forms with pictures: edits and variations, what reaches the provider, and attacks by file and field."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from app.providers.sandbox.images import draw
from tests.behaviour.world import Answer, World, event_frame, running_world
from tests.traffic.replay import Reply, Request

EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"
HEAD = {"content-type": "multipart/form-data; boundary=b"}
PNG = draw("a barn", 16, 16)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "
DRAWN = {"created": 7, "data": [{"b64_json": "QUJD"}], "usage": {"input_tokens": 3, "output_tokens": 5}}
ENV = {
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_ENDPOINT": "{upstream}/azure",
    "OPENROUTER_API_KEY": "openrouter-key",
    "OPENROUTER_BASE_URL": "{upstream}/openrouter",
}


def picture_form(fields: Mapping[str, str], *files: tuple[str, bytes]) -> bytes:
    """Return a form of fields and files; a file's type is what openai-python says of bare bytes."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, data in files:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="upload"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n")
    return b"".join(parts) + b"--b--\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world(ENV) as made:
        yield made


@pytest.fixture
def world(running: World) -> World:
    """The gateway, its fake provider emptied."""
    return running.fresh()


def edited(world: World, fields: Mapping[str, str], *files: tuple[str, bytes], path: str = EDITS) -> Answer:
    """Send a form."""
    return world.send("POST", path, picture_form(fields, *files), HEAD)


def parts_of(request: Request) -> list[tuple[str, str, bytes]]:
    """Return name, media type and content of each part that the provider was sent."""
    mark = b"--" + request.headers["content-type"].partition("boundary=")[2].encode()
    found = []
    for part in request.body.split(mark)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        lines = head.decode().strip().split("\r\n")
        kind = next((line.partition(": ")[2] for line in lines if line.startswith("Content-Type")), "")
        found.append((lines[0].partition('name="')[2].partition('"')[0], kind, content[:-2]))
    return found


SURFACES = (EDITS, "/images/edits", "/openai/v1/images/edits", "/openai/deployments/sandbox/x/images/edits")


@pytest.mark.parametrize(
    "path", [*SURFACES, "/api/llm/images/edits", VARIATIONS, "/openai/images/variations"]
)
def test_the_sandbox_draws_another_picture(world: World, path: str) -> None:
    fields = {"model": "sandbox/echo", "prompt": "a blue barn", "size": "32x32", "n": "2"}
    answer = edited(world, fields, ("image", PNG), path=path)
    assert answer.status == 200, answer.body
    first, second = (base64.b64decode(one["b64_json"]) for one in answer.json["data"])
    assert first.startswith(b"\x89PNG")
    assert len({first, second, PNG}) == 3
    if "llm" not in path:
        kind = "image_edit" if path.endswith("edits") else "image_variation"
        assert answer.json["extra_fields"]["request_type"] == kind


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("openai/gpt-image-2", "/openai/images/edits"),
        ("azure/gpt-image-2", "/azure/openai/deployments/gpt-image-2/images/edits"),
    ],
)
def test_a_form_goes_out_with_types_that_the_bytes_tell(world: World, model: str, path: str) -> None:
    world.upstream.add(Reply.json(DRAWN))
    fields = {"model": model, "prompt": "a blue barn", "n": "1", "input_fidelity": "high"}
    answer = edited(world, fields, ("image[]", PNG), ("image[]", JPEG), ("image[]", WEBP), ("mask", PNG))
    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    assert request.path == path
    assert parts_of(request) == [
        ("model", "", b"gpt-image-2"),
        ("prompt", "", b"a blue barn"),
        ("n", "", b"1"),
        ("input_fidelity", "", b"high"),
        ("image[]", "image/png", PNG),
        ("image[]", "image/jpeg", JPEG),
        ("image[]", "image/webp", WEBP),
        ("mask", "image/png", PNG),
    ]
    if model.startswith("azure"):
        assert request.query == "api-version=2025-04-01-preview"


def test_openrouter_is_given_references(world: World) -> None:
    world.upstream.add(Reply.json(DRAWN))
    answer = edited(world, {"model": "openrouter/x/y", "prompt": "a blue barn"}, ("image", PNG))
    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert request.json() == {
        "model": "x/y",
        "prompt": "a blue barn",
        "input_references": [{"type": "image_url", "image_url": {"url": url}}],
    }
    masked = edited(
        world, {"model": "openrouter/x/y", "prompt": "a blue barn"}, ("image", PNG), ("mask", PNG)
    )
    assert (masked.status, masked.error["param"]) == (400, "mask")


def test_an_edit_streams(world: World) -> None:
    frame = {"type": "image_edit.completed", "b64_json": "QUJD", "created_at": 1}
    world.upstream.add(Reply.sse(event_frame(frame)))
    fields = {"model": "openai/gpt-image-2", "prompt": "a barn", "stream": "true", "partial_images": "1"}
    (last,) = edited(world, fields, ("image", PNG)).events
    assert (last["type"], last["b64_json"]) == ("image_edit.completed", "QUJD")
    (request,) = world.upstream.requests
    assert {name: value for name, _, value in parts_of(request)[:-1]} == {
        "model": b"gpt-image-2",
        "prompt": b"a barn",
        "partial_images": b"1",
        "stream": b"true",
    }


def test_a_variation_has_no_prompt_and_no_stream(world: World) -> None:
    world.upstream.add(Reply.json(DRAWN))
    fields = {"model": "openai/dall-e-2", "n": "2", "size": "256x256", "response_format": "b64_json"}
    answer = edited(world, fields, ("image", PNG), path=VARIATIONS)
    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    assert request.path == "/openai/images/variations"
    assert {name for name, _, _ in parts_of(request)} == {"model", "n", "size", "response_format", "image"}


GOOD = {"model": "sandbox/echo", "prompt": "a barn", "size": "16x16"}
BIG = PNG + b"x" * (26 * 1024 * 1024)


@pytest.mark.parametrize(
    ("fields", "files", "status", "param"),
    [
        ({}, [], 400, "image"),
        ({}, [("file", PNG)], 400, "image"),
        ({}, [("mask", PNG)], 400, "image"),
        ({}, [("image", b"")], 400, "image"),
        ({}, [("image", b"%PDF-1.4")], 400, "image"),
        ({}, [("image", b"<svg/>")], 400, "image"),
        ({}, [("image", b"RIFF\0\0\0\0WAVE")], 400, "image"),
        ({}, [("image[]", PNG), ("image[]", b"GIF89a")], 400, "image[1]"),
        ({}, [("image[]", PNG)] * 17, 400, "image"),
        ({}, [("image[]", PNG)] * 40, 413, None),
        ({}, [("image", PNG), ("mask", b"x")], 400, "mask"),
        ({}, [("image", BIG)], 413, None),
        ({}, [("image[]", BIG[: 9 * 1024 * 1024])] * 3, 413, None),
        ({"prompt": None}, [("image", PNG)], 400, "prompt"),
        ({"prompt": " "}, [("image", PNG)], 400, "prompt"),
        ({"prompt": "x" * 32_001}, [("image", PNG)], 400, "prompt"),
        ({"model": None}, [("image", PNG)], 400, "model"),
        ({"n": "11"}, [("image", PNG)], 400, "n"),
        ({"n": "-1"}, [("image", PNG)], 400, "n"),
        ({"n": "9" * 5000}, [("image", PNG)], 400, "n"),
        ({"n": "two"}, [("image", PNG)], 400, "n"),
        ({"n": "²"}, [("image", PNG)], 400, "n"),
        ({"size": "9x"}, [("image", PNG)], 400, "size"),
        ({"stream": "maybe"}, [("image", PNG)], 400, "stream"),
        ({"partial_images": "9"}, [("image", PNG)], 400, "partial_images"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_form_is_named(
    world: World, fields: dict[str, Any], files: list[tuple[str, bytes]], status: int, param: str | None
) -> None:
    sent = {name: value for name, value in {**GOOD, **fields}.items() if value is not None}
    answer = edited(world, sent, *files)
    assert (answer.status, answer.error["param"]) == (status, param), answer.body[:300]
    assert len(answer.error["message"]) < 400


def test_json_is_no_form(world: World) -> None:
    answer = world.send("POST", EDITS, {**GOOD, "image": "x"})
    assert answer.status == 415


def test_fields_that_would_redirect_a_call_do_nothing(world: World) -> None:
    world.upstream.add(Reply.json(DRAWN))
    fields = {**GOOD, "model": "openai/gpt-image-2", "api_base": "http://evil.example", "api_key": "evil"}
    answer = edited(world, fields, ("image", PNG))
    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    assert b"evil" not in request.body
    assert request.headers["authorization"] == "Bearer openai-key"


def test_an_idempotency_key_holds_the_files_too(world: World) -> None:
    world.upstream.add(Reply.json(DRAWN), times=2)
    head = HEAD | {"idempotency-key": "edit-1"}
    fields = {"model": "openai/gpt-image-2", "prompt": "a barn"}
    first, again, other = (
        world.send("POST", EDITS, picture_form(fields, ("image", data)), head) for data in (PNG, PNG, JPEG)
    )
    assert (first.status, again.status, again.json["data"]) == (200, 200, first.json["data"])
    assert other.status == 422
    assert len(world.upstream.requests) == 1
