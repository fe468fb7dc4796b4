"""Pictures at the door of Cohere's embeddings: passed to who embeds them, refused by all others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.traffic.replay import Reply

KEY = "sk-door-0123456789"
ENV = {
    "SLUICE_KEYS": f"ann:{KEY}",
    "COHERE_API_KEY": "cohere-key",
    "COHERE_BASE_URL": "{upstream}/cohere",
    "GEMINI_API_KEY": "gemini-key",
    "GEMINI_BASE_URL": "{upstream}/gemini",
    "AWS_BEARER_TOKEN_BEDROCK": "aws-key",
    "AWS_REGION": "us-east-1",
    "BEDROCK_BASE_URL": "{upstream}/bedrock",
}
URI = "data:image/png;base64,UElDVFVSRQ=="
TEXT = {"type": "text", "text": "a cat"}
PICTURE = {"type": "image_url", "image_url": {"url": URI}}
IMAGES = {"images": [URI], "input_type": "image"}
MIXED = {"inputs": [{"content": [TEXT, PICTURE]}, {"content": [{"type": "text", "text": "a dog"}]}]}
ALONE = {"inputs": [{"content": [PICTURE]}]}


@pytest.fixture(scope="module")
def door() -> Iterator[World]:
    with running_world(ENV, key=KEY) as world:
        yield world


def embed(door: World, model: str, body: dict[str, Any]) -> Answer:
    return door.send("POST", "/cohere/v2/embed", {"model": model, "embedding_types": ["float"], **body})


def sent(door: World) -> Any:
    """Return the body of the one request that went out."""
    (request,) = door.upstream.requests
    return json.loads(request.body)


def by_type(*vectors: list[float]) -> dict[str, Any]:
    shown = [{"width": 4, "height": 3, "format": "png", "bit_depth": 24}]
    units = {"input_tokens": 2, "images": 1}
    return {
        "id": "e",
        "embeddings": {"float": list(vectors)},
        "texts": [],
        "images": shown,
        "meta": {"billed_units": units},
    }


@pytest.mark.parametrize("model", ["cohere/embed-v4.0", "bedrock/cohere.embed-v4:0"])
def test_coheres_models_get_pictures_as_they_were_given(door: World, model: str) -> None:
    door.fresh().upstream.add(Reply.json(by_type([0.5, 0.25])))
    answer = embed(door, model, IMAGES)
    body = sent(door)
    assert (body["images"], body["input_type"]) == ([URI], "image")
    assert not {"texts", "inputs"} & set(body)
    assert answer.json["embeddings"] == {"float": [[0.5, 0.25]]}
    assert answer.json["images"] == by_type()["images"]
    assert answer.json["meta"]["billed_units"]["images"] == 1

    door.fresh().upstream.add(Reply.json(by_type([0.5], [0.25])))
    assert embed(door, model, MIXED).json["embeddings"]["float"] == [[0.5], [0.25]]
    assert sent(door)["inputs"] == MIXED["inputs"]


def test_gemini_embeds_pictures_among_texts(door: World) -> None:
    door.fresh().upstream.add(Reply.json({"embeddings": [{"values": [0.5]}, {"values": [0.25]}]}))
    answer = embed(door, "gemini/gemini-embedding-2", MIXED)
    assert answer.json["embeddings"]["float"] == [[0.5], [0.25]]
    picture = {"inlineData": {"mimeType": "image/png", "data": "UElDVFVSRQ=="}}
    assert [one["content"]["parts"] for one in sent(door)["requests"]] == [
        [{"text": "a cat"}, picture],
        [{"text": "a dog"}],
    ]


def test_titan_embeds_a_picture_with_its_text(door: World) -> None:
    door.fresh().upstream.add(Reply.json({"embedding": [0.5], "inputTextTokenCount": 2}), times=2)
    answer = embed(door, "bedrock/amazon.titan-embed-image-v1", MIXED)
    assert answer.json["embeddings"]["float"] == [[0.5], [0.5]]
    assert [json.loads(request.body) for request in door.upstream.requests] == [
        {"inputText": "a cat", "inputImage": "UElDVFVSRQ=="},
        {"inputText": "a dog"},
    ]


def test_nova_embeds_a_picture_alone(door: World) -> None:
    model = "bedrock/amazon.nova-2-multimodal-embeddings-v1:0"
    door.fresh().upstream.add(Reply.json({"embeddings": [{"embedding": [0.5]}]}))
    assert embed(door, model, ALONE).json["embeddings"]["float"] == [[0.5]]
    params = sent(door)["singleEmbeddingParams"]
    assert params["image"] == {"format": "png", "source": {"bytes": "UElDVFVSRQ=="}}
    assert "text" not in params
    answer = embed(door.fresh(), model, MIXED)
    assert (answer.status, door.upstream.requests) == (400, [])


BLIND = [
    "openai/text-embedding-3-small",
    "gemini/gemini-embedding-001",
    "bedrock/amazon.titan-embed-text-v2:0",
    "sandbox/echo",
]


@pytest.mark.parametrize("model", BLIND)
@pytest.mark.parametrize("body, param", [(IMAGES, "images"), (MIXED, "inputs")])
def test_who_embeds_texts_alone_refuses_pictures(
    door: World, model: str, body: dict[str, Any], param: str
) -> None:
    answer = embed(door.fresh(), model, body)
    assert (answer.status, door.upstream.requests) == (400, [])
    assert "embed images" in answer.json["message"]
    assert param in answer.json["message"] or model in answer.json["message"]


def test_a_fallback_embeds_what_the_first_cannot(door: World) -> None:
    door.fresh().upstream.add(Reply.json(by_type([0.5, 0.25])))
    body = {**IMAGES, "fallbacks": ["cohere/embed-v4.0"]}
    answer = embed(door, "openai/text-embedding-3-small", body)
    assert (answer.status, answer.headers["x-sluice-provider"]) == (200, "cohere")


@pytest.mark.parametrize("body", [{**IMAGES, "texts": ["a"]}, {"images": ["https://a.example/b.png"]}])
def test_a_wrong_body_is_refused(door: World, body: dict[str, Any]) -> None:
    assert embed(door.fresh(), "cohere/embed-v4.0", body).status == 400
    assert door.upstream.requests == []


def test_bedrocks_surface_takes_coheres_pictures(door: World) -> None:
    door.fresh().upstream.add(Reply.json(by_type([0.5, 0.25])))
    body = {**IMAGES, "embedding_types": ["float"]}
    answer = door.send("POST", "/bedrock/model/cohere%2Fembed-v4.0/invoke", body)
    assert (answer.status, answer.json["embeddings"]["float"]) == (200, [[0.5, 0.25]])
    assert sent(door)["images"] == [URI]
