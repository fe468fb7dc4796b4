"""Pictures at the surface of Cohere's embeddings: passed to who embeds them, refused by all others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.world import Answer, World
from tests.traffic.replay import Reply

KEY = "sk-surface-0123456789"
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


SETTING = {"env": ENV, "key": KEY}


def embed(surface: World, model: str, body: dict[str, Any]) -> Answer:
    return surface.send("POST", "/cohere/v2/embed", {"model": model, "embedding_types": ["float"], **body})


def request_body(surface: World) -> Any:
    """Return the body of the one request that went out."""
    (request,) = surface.upstream.requests
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
def test_coheres_models_get_pictures_as_they_were_given(surface: World, model: str) -> None:
    surface.fresh().upstream.add(Reply.json(by_type([0.5, 0.25])))
    answer = embed(surface, model, IMAGES)
    body = request_body(surface)
    assert (body["images"], body["input_type"]) == ([URI], "image")
    assert not {"texts", "inputs"} & set(body)
    assert answer.json["embeddings"] == {"float": [[0.5, 0.25]]}
    assert answer.json["images"] == by_type()["images"]
    assert answer.json["meta"]["billed_units"]["images"] == 1

    surface.fresh().upstream.add(Reply.json(by_type([0.5], [0.25])))
    assert embed(surface, model, MIXED).json["embeddings"]["float"] == [[0.5], [0.25]]
    assert request_body(surface)["inputs"] == MIXED["inputs"]


def test_gemini_embeds_pictures_among_texts(surface: World) -> None:
    surface.fresh().upstream.add(Reply.json({"embeddings": [{"values": [0.5]}, {"values": [0.25]}]}))
    answer = embed(surface, "gemini/gemini-embedding-2", MIXED)
    assert answer.json["embeddings"]["float"] == [[0.5], [0.25]]
    picture = {"inlineData": {"mimeType": "image/png", "data": "UElDVFVSRQ=="}}
    assert [one["content"]["parts"] for one in request_body(surface)["requests"]] == [
        [{"text": "a cat"}, picture],
        [{"text": "a dog"}],
    ]


def test_titan_embeds_a_picture_with_its_text(surface: World) -> None:
    surface.fresh().upstream.add(Reply.json({"embedding": [0.5], "inputTextTokenCount": 2}), times=2)
    answer = embed(surface, "bedrock/amazon.titan-embed-image-v1", MIXED)
    assert answer.json["embeddings"]["float"] == [[0.5], [0.5]]
    assert [json.loads(request.body) for request in surface.upstream.requests] == [
        {"inputText": "a cat", "inputImage": "UElDVFVSRQ=="},
        {"inputText": "a dog"},
    ]


def test_nova_embeds_a_picture_alone(surface: World) -> None:
    model = "bedrock/amazon.nova-2-multimodal-embeddings-v1:0"
    surface.fresh().upstream.add(Reply.json({"embeddings": [{"embedding": [0.5]}]}))
    assert embed(surface, model, ALONE).json["embeddings"]["float"] == [[0.5]]
    params = request_body(surface)["singleEmbeddingParams"]
    assert params["image"] == {"format": "png", "source": {"bytes": "UElDVFVSRQ=="}}
    assert "text" not in params
    answer = embed(surface.fresh(), model, MIXED)
    assert (answer.status, surface.upstream.requests) == (400, [])


BLIND = [
    "openai/text-embedding-3-small",
    "gemini/gemini-embedding-001",
    "bedrock/amazon.titan-embed-text-v2:0",
    "sandbox/echo",
]


@pytest.mark.parametrize("model", BLIND)
@pytest.mark.parametrize("body, param", [(IMAGES, "images"), (MIXED, "inputs")])
def test_who_embeds_texts_alone_refuses_pictures(
    surface: World, model: str, body: dict[str, Any], param: str
) -> None:
    answer = embed(surface.fresh(), model, body)
    assert (answer.status, surface.upstream.requests) == (400, [])
    assert "embed images" in answer.json["message"]
    assert param in answer.json["message"] or model in answer.json["message"]


def test_a_fallback_embeds_what_the_first_cannot(surface: World) -> None:
    surface.fresh().upstream.add(Reply.json(by_type([0.5, 0.25])))
    body = {**IMAGES, "fallbacks": ["cohere/embed-v4.0"]}
    answer = embed(surface, "openai/text-embedding-3-small", body)
    assert (answer.status, answer.headers["x-sluice-provider"]) == (200, "cohere")


@pytest.mark.parametrize("body", [{**IMAGES, "texts": ["a"]}, {"images": ["https://a.example/b.png"]}])
def test_a_wrong_body_is_refused(surface: World, body: dict[str, Any]) -> None:
    assert embed(surface.fresh(), "cohere/embed-v4.0", body).status == 400
    assert surface.upstream.requests == []


def test_bedrocks_surface_takes_coheres_pictures(surface: World) -> None:
    surface.fresh().upstream.add(Reply.json(by_type([0.5, 0.25])))
    body = {**IMAGES, "embedding_types": ["float"]}
    answer = surface.send("POST", "/bedrock/model/cohere%2Fembed-v4.0/invoke", body)
    assert (answer.status, answer.json["embeddings"]["float"]) == (200, [[0.5, 0.25]])
    assert request_body(surface)["images"] == [URI]
