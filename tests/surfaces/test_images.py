"""Pictures at their surfaces: the sandbox's drawings, what goes to providers, streams, cost, and bad bodies."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, event_frame, running_world
from tests.traffic.frames import sse
from tests.traffic.replay import Reply

SURFACES = (
    "/v1/images/generations",
    "/images/generations",
    "/openai/v1/images/generations",
    "/openai/images/generations?api-version=2025-04-01-preview",
    "/openai/deployments/sandbox/echo/images/generations?api-version=2025-04-01-preview",
    "/api/llm/images/generations",
    "/api/llm/api/inference/openai/images/generations",
)
PATH = SURFACES[0]
ASKED: dict[str, Any] = {"model": "sandbox/echo", "prompt": "a red barn", "size": "64x32"}
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    "output_tokens": 1000,
    "total_tokens": 1010,
}
DRAWN = {"created": 7, "data": [{"b64_json": "QUJD"}], "size": "1024x1024", "usage": USAGE}
ENV = {
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_ENDPOINT": "{upstream}/azure",
    "OPENROUTER_API_KEY": "openrouter-key",
    "OPENROUTER_BASE_URL": "{upstream}/openrouter",
}
CONFIG = """
[providers.openai.prices."dear"]
input = 1000000
output = 2000000

[providers.openai.prices."by-picture"]
image = 0.25
"""


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world(ENV, config=CONFIG) as made:
        yield made


@pytest.fixture
def world(running: World) -> World:
    """The gateway, its fake provider emptied."""
    return running.fresh()


def pixels_of(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG, every chunk of it checked and every line unpacked."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(png):
        (length,), name = struct.unpack_from(">I", png, at), png[at + 4 : at + 8]
        content = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(name + content)
        found[name] = content
        at += 12 + length
    width, height, depth, colours = struct.unpack_from(">IIBB", found[b"IHDR"])
    lines = zlib.decompress(found[b"IDAT"])
    assert (depth, colours, len(lines)) == (8, 3, (width + 1) * height)
    assert max(lines) < len(found[b"PLTE"]) // 3
    assert list(found)[-1] == b"IEND"
    return width, height


def picture(entry: dict[str, Any]) -> bytes:
    return base64.b64decode(entry["b64_json"], validate=True)


@pytest.mark.parametrize("path", SURFACES)
def test_a_picture_is_drawn_at_every_surface(world: World, path: str) -> None:
    answer = world.send("POST", path, ASKED)
    assert answer.status == 200, answer.body
    (one,) = answer.json["data"]
    assert pixels_of(picture(one)) == (64, 32)
    assert b"a red barn" in picture(one)
    assert answer.json["usage"]["output_tokens_details"]["image_tokens"] == 1
    assert answer.headers["x-sluice-provider"] == "sandbox"
    if "llm" not in path:
        assert answer.json["extra_fields"]["request_type"] == "image_generation"


def test_several_pictures_differ_and_the_same_prompt_draws_the_same(world: World) -> None:
    first, again = (world.send("POST", PATH, {**ASKED, "n": 3}).json["data"] for _ in range(2))
    assert len({one["b64_json"] for one in first}) == 3
    assert first == again


def test_a_url_holds_the_picture_where_it_is_asked_for(world: World) -> None:
    (one,) = world.send("POST", PATH, {**ASKED, "response_format": "url"}).json["data"]
    head, _, data = one["url"].partition(",")
    assert head == "data:image/png;base64"
    assert pixels_of(base64.b64decode(data)) == (64, 32)


def events_of(answer: Answer) -> list[dict[str, Any]]:
    frames = sse(answer.body)
    assert [frame.event for frame in frames] == [json.loads(frame.data)["type"] for frame in frames]
    return answer.events


def test_a_stream_grows_to_the_whole_picture(world: World) -> None:
    whole = world.send("POST", PATH, ASKED).json["data"][0]["b64_json"]
    events = events_of(world.send("POST", PATH, {**ASKED, "stream": True, "partial_images": 2}))
    *parts, last = events
    assert [event["type"] for event in parts] == ["image_generation.partial_image"] * 2
    assert [event["partial_image_index"] for event in parts] == [0, 1]
    assert all(pixels_of(picture(event)) == (64, 32) for event in parts)
    assert (last["type"], last["b64_json"]) == ("image_generation.completed", whole)
    assert len({event["b64_json"] for event in events}) == 3
    assert last["usage"]["output_tokens"] == 1
    assert last["size"] == "64x32"
    assert {type(last[name]) for name in ("created_at", "background", "quality", "output_format")} == {
        int,
        str,
    }
    assert last["extra_fields"]["request_type"] == "image_generation_stream"


# --- providers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("openai/gpt-image-2", "/openai/images/generations"),
        ("azure/gpt-image-2", "/azure/openai/deployments/gpt-image-2/images/generations"),
        ("openrouter/openai/gpt-image-2", "/openrouter/images"),
    ],
)
def test_a_provider_is_asked_at_its_path(world: World, model: str, path: str) -> None:
    world.upstream.add(Reply.json(DRAWN))
    body = {"model": model, "prompt": "a barn", "n": 1, "quality": "low", "response_format": "b64_json"}
    answer = world.send("POST", PATH, body)
    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    assert request.path == path
    name = model.partition("/")[2]
    assert request.json() == {"model": name, "prompt": "a barn", "n": 1, "quality": "low"}
    assert answer.json["data"] == DRAWN["data"]
    assert (answer.json["created"], answer.json["size"]) == (7, "1024x1024")
    if not model.startswith("openrouter"):
        assert "warnings" not in answer.json["extra_fields"]


def test_members_that_openai_alone_knows_pass_there_and_are_named_elsewhere(world: World) -> None:
    world.upstream.add(Reply.json(DRAWN), times=2)
    body = {"prompt": "a barn", "moderation": "low", "style": "vivid", "complexity": "high"}
    world.send("POST", PATH, {**body, "model": "openai/gpt-image-2"})
    answer = world.send("POST", PATH, {**body, "model": "openrouter/x/y"})
    here, there = (request.json() for request in world.upstream.requests)
    assert here == {**body, "model": "gpt-image-2"}
    assert there == {"model": "x/y", "prompt": "a barn"}
    params = {warning["param"] for warning in answer.json["extra_fields"]["warnings"]}
    assert params == {"moderation", "style", "complexity"}


def test_an_older_model_is_told_the_form_and_a_newer_one_warns(world: World) -> None:
    world.upstream.add(
        Reply.json({"created": 1, "data": [{"url": "https://x/y.png", "revised_prompt": "z"}]})
    )
    world.upstream.add(Reply.json(DRAWN))
    asked = {"prompt": "a barn", "response_format": "url"}
    old = world.send("POST", PATH, {**asked, "model": "openai/dall-e-3"})
    new = world.send("POST", PATH, {**asked, "model": "openai/gpt-image-2"})
    first, second = (request.json() for request in world.upstream.requests)
    assert first["response_format"] == "url"
    assert "response_format" not in second
    assert old.json["data"] == [{"url": "https://x/y.png", "revised_prompt": "z"}]
    assert (old.json["usage"]["cost"], old.json["usage"]["estimated"]) == (None, True)
    assert [w["param"] for w in new.json["extra_fields"]["warnings"]] == ["response_format"]


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("gpt-image-2", 10 * 5e-6 + 1000 * 30e-6),  # its one rate of output is that of pictures
        ("gpt-image-1.5", 10 * 5e-6 + 1000 * 32e-6),  # text would cost a third
        ("dear", 10 * 1.0 + 1000 * 2.0),
        ("unheard-of", None),
    ],
)
def test_pictures_cost_what_their_tokens_cost(world: World, model: str, cost: float | None) -> None:
    world.upstream.add(Reply.json(DRAWN))
    answer = world.send("POST", PATH, {"model": f"openai/{model}", "prompt": "a barn"})
    usage = answer.json["usage"]
    assert usage["cost"] == (None if cost is None else pytest.approx(cost))
    if cost is not None:
        assert usage["cost_details"]["total_cost"] == usage["cost"]
        assert float(answer.headers["x-sluice-cost"]) == pytest.approx(cost)


def test_a_picture_has_the_operators_price_where_no_tokens_are_told(world: World) -> None:
    urls = [{"url": "https://example.com/a.png"}, {"url": "https://example.com/b.png"}]
    for model, cost in (("by-picture", 0.5), ("dear", None)):
        world.fresh().upstream.add(Reply.json({"created": 1, "data": urls}))
        answer = world.send("POST", PATH, {"model": f"openai/{model}", "prompt": "a barn", "n": 2})
        assert answer.json["usage"]["cost"] == cost


def test_openrouter_says_what_it_cost(world: World) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13, "cost": 0.25}
    world.upstream.add(Reply.json({**DRAWN, "usage": usage}))
    told = world.send("POST", PATH, {"model": "openrouter/x/y", "prompt": "a barn"}).json["usage"]
    assert (told["cost"], told["cost_details"]["source"]) == (0.25, "provider")
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (4, 9, 13)


def event(name: str, **members: Any) -> bytes:
    return event_frame({"type": f"image_generation.{name}", "b64_json": "QUJD", "created_at": 5, **members})


def test_a_providers_stream_passes_on_with_its_cost_in_the_last_event(world: World) -> None:
    frames = event("partial_image", partial_image_index=0, size="auto") + event("completed", usage=USAGE)
    world.upstream.add(Reply.sse(frames, hang=None))
    body = {"model": "openai/gpt-image-2", "prompt": "a barn", "stream": True, "partial_images": 1}
    answer = world.send("POST", PATH, body)
    (request,) = world.upstream.requests
    assert request.json() == {**body, "model": "gpt-image-2"}
    part, last = events_of(answer)
    assert (part["type"], part["partial_image_index"]) == ("image_generation.partial_image", 0)
    assert last["usage"]["cost"] == pytest.approx(10 * 5e-6 + 1000 * 30e-6)
    assert last["created_at"] == 5


def test_a_stream_of_several_pictures_ends_with_the_last(world: World) -> None:
    world.upstream.add(Reply.sse(event("completed", usage=USAGE) * 2))
    body = {"model": "openai/gpt-image-2", "prompt": "a barn", "stream": True, "n": 2}
    first, last = events_of(world.send("POST", PATH, body))
    assert first["usage"]["output_tokens"] == 1000
    assert last["usage"]["output_tokens"] == 2000


def test_a_whole_answer_becomes_a_stream(world: World) -> None:
    world.upstream.add(Reply.json(DRAWN))
    (last,) = events_of(
        world.send("POST", PATH, {"model": "openrouter/x/y", "prompt": "a barn", "stream": True})
    )
    assert (last["type"], last["b64_json"]) == ("image_generation.completed", "QUJD")
    assert last["usage"]["output_tokens"] == 1000


@pytest.mark.parametrize(
    "frames",
    [b"", event("partial_image", partial_image_index=0), event("completed", b64_json=None)],
    ids=["nothing", "a part alone", "no picture"],
)
def test_a_stream_without_a_picture_is_an_error(world: World, frames: bytes) -> None:
    world.upstream.add(Reply.sse(frames), times=2)
    answer = world.send("POST", PATH, {"model": "openai/gpt-image-2", "prompt": "a barn", "stream": True})
    if answer.status == 200:
        assert "error" in answer.events[-1]
        assert answer.events[-1]["type"] == "error"
    else:
        assert answer.status in (502, 503)


@pytest.mark.parametrize(
    "answered",
    [{}, {"data": []}, {"data": [{}]}, {"data": [{"b64_json": ""}]}, {"data": [{"b64_json": 7}]}, [], None],
)
def test_what_holds_no_picture_is_the_providers_fault(world: World, answered: Any) -> None:
    world.upstream.add(Reply.json(answered), times=2)
    answer = world.send("POST", PATH, {"model": "openai/gpt-image-2", "prompt": "a barn"})
    assert (answer.status, answer.error["code"]) == (502, "upstream_invalid_response")


def test_a_fallback_draws_where_the_first_cannot(world: World) -> None:
    body = {**ASKED, "model": "anthropic/claude-sonnet-4-5"}
    refused = world.send("POST", PATH, body)
    assert (refused.status, refused.error["code"]) == (400, "unsupported_operation")
    answer = world.send("POST", PATH, {**body, "fallbacks": ["sandbox/echo"]})
    assert (answer.status, answer.headers["x-sluice-provider"]) == (200, "sandbox")


# --- attacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"model": None}, "model"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": 10**15}, "n"),
        ({"n": "2"}, "n"),
        ({"n": 1.5}, "n"),
        ({"size": "1x"}, "size"),
        ({"size": "0x10"}, "size"),
        ({"size": "99999x99999"}, "size"),
        ({"size": "1024x1024x1024"}, "size"),
        ({"size": "1٣x3"}, "size"),
        ({"size": "9" * 100_000}, "size"),
        ({"size": 1024}, "size"),
        ({"size": "16384x16384"}, "size"),  # more than the sandbox draws
        ({"size": "4096x4096", "n": 10}, "size"),
        ({"size": "2048x2048", "n": 2, "stream": True, "partial_images": 3}, "size"),
        ({"partial_images": 4}, "partial_images"),
        ({"output_compression": 101}, "output_compression"),
        ({"output_format": "exe"}, "output_format"),
        ({"output_format": "webp"}, "output_format"),  # the sandbox has no codec
        ({"background": "red"}, "background"),
        ({"response_format": "file"}, "response_format"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_bad_body_is_named(world: World, change: dict[str, Any], param: str) -> None:
    body = {name: value for name, value in {**ASKED, **change}.items() if value is not None}
    answer = world.send("POST", PATH, body)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body[:300]
    assert len(answer.error["message"]) < 400
    assert not world.upstream.requests


@pytest.mark.parametrize(("prompt", "status"), [("fail with 429", 429), ("fail with 503", 503)])
def test_the_sandbox_fails_when_it_is_told_to(world: World, prompt: str, status: int) -> None:
    assert world.send("POST", PATH, {**ASKED, "prompt": prompt}).status == status
    midway = world.send("POST", PATH, {**ASKED, "prompt": "fail midway", "stream": True, "partial_images": 2})
    assert (midway.status, midway.events[-1]["type"]) == (200, "error")
