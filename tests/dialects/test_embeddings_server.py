"""Embeddings as Google's, Cohere's and Bedrock's servers speak them."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from cohere.types import EmbedByTypeResponse
from google.genai import types as google

from app.canonical.media import EmbeddingRequest, EmbeddingResponse
from app.canonical.response import Usage
from app.dialects import dialect_of
from app.dialects.media.base import EmbeddingDialect
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.load import Exchange

ANSWER = EmbeddingResponse("m", (array("d", [0.5, 1.0]), array("d", [2.0, 3.0])), Usage(7))
ONE = EmbeddingResponse("m", (array("d", [0.5, 1.0]),), Usage(7))


def wire(name: str) -> EmbeddingDialect:
    return dialect_of(EmbeddingDialect, f"embeddings_{name}")


def decode(name: str, body: dict[str, Any]) -> EmbeddingRequest:
    return wire(name).decode_request(body, generic.server_context(model="m"))


def content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


SETTINGS = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 5}
READ: list[tuple[str, dict[str, Any], tuple[str, ...], int | None, dict[str, Any]]] = [
    ("gemini", {"content": content("a"), **SETTINGS}, ("a",), 5, {"input_type": "search_query"}),
    (
        "gemini",
        {"content": content("a"), "embedContentConfig": {"taskType": "FACT_VERIFICATION", "title": "T"}},
        ("a",),
        None,
        {"task_type": "FACT_VERIFICATION", "title": "T"},
    ),
    (
        "gemini",
        {"requests": [{"content": content("a"), **SETTINGS}, {"content": content("b"), **SETTINGS}]},
        ("a", "b"),
        5,
        {"input_type": "search_query"},
    ),
    (
        "gemini",
        {
            "instances": [
                {"content": "a", "task_type": "CLUSTERING"},
                {"content": "b", "task_type": "CLUSTERING"},
            ],
            "parameters": {"outputDimensionality": 5, "autoTruncate": False},
        },
        ("a", "b"),
        5,
        {"input_type": "clustering", "auto_truncate": False},
    ),
    (
        "cohere",
        {
            "texts": ["a", "b"],
            "input_type": "classification",
            "embedding_types": ["float"],
            "output_dimension": 5,
        },
        ("a", "b"),
        5,
        {"input_type": "classification"},
    ),
    ("cohere", {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, ("a",), None, {}),
    ("bedrock", {"inputText": "a", "dimensions": 5, "normalize": True}, ("a",), 5, {"normalize": True}),
    ("bedrock", {"texts": ["a"], "truncate": "END"}, ("a",), None, {"truncate": "END"}),
]


@pytest.mark.parametrize(("name", "body", "inputs", "dimensions", "extra"), READ)
def test_a_body_is_read(
    name: str, body: dict[str, Any], inputs: tuple[str, ...], dimensions: int | None, extra: dict[str, Any]
) -> None:
    request = decode(name, body)
    assert (request.model, request.inputs, request.dimensions, request.extra) == (
        "m",
        inputs,
        dimensions,
        extra,
    )


FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("gemini", {}, "bad_request", "content"),
    ("gemini", {"content": {"parts": [{"inlineData": {}}]}}, "bad_request", "content.parts[0].text"),
    ("gemini", {"requests": [{}]}, "bad_request", "requests[0].content"),
    (
        "gemini",
        {"requests": [{"content": content("a")}, {"content": content("b"), "taskType": "x"}]},
        "bad_request",
        "requests[1]",
    ),
    ("gemini", {"instances": [{"content": 5}]}, "bad_request", "instances[0].content"),
    ("cohere", {}, "bad_request", "texts"),
    ("cohere", {"texts": [5]}, "bad_request", "texts[0]"),
    ("cohere", {"texts": ["a"], "embedding_types": ["x"]}, "bad_request", "embedding_types[0]"),
    ("cohere", {"images": ["https://a.example/b.png"]}, "bad_request", "images[0]"),
    ("cohere", {"images": ["data:image/png;base64,QUJD"], "texts": ["a"]}, "bad_request", "images"),
    ("cohere", {"inputs": [{"content": [{"type": "sound"}]}]}, "bad_request", "inputs[0].content[0].type"),
    (
        "cohere",
        {"inputs": [{"content": [{"type": "image_url"}]}]},
        "bad_request",
        "inputs[0].content[0].image_url",
    ),
    ("bedrock", {}, "bad_request", "inputText"),
    ("bedrock", {"inputText": 5}, "bad_request", "inputText"),
    (
        "bedrock",
        {"inputText": "a", "embeddingTypes": ["binary"]},
        "unsupported_parameter",
        "embeddingTypes[0]",
    ),
]


@pytest.mark.parametrize(("name", "body", "kind", "param"), FAULTS)
def test_a_wrong_shape_is_refused_by_its_path(name: str, body: dict[str, Any], kind: str, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(name, body)
    assert (caught.value.kind.name, caught.value.param) == (kind, param)


FLOATS = [[0.5, 1.0], [2.0, 3.0]]
WRITTEN: list[tuple[str, dict[str, Any], EmbeddingResponse, dict[str, Any]]] = [
    (
        "gemini",
        {"content": content("a")},
        ONE,
        {"embedding": {"values": FLOATS[0]}, "usageMetadata": {"promptTokenCount": 7}},
    ),
    (
        "gemini",
        {"requests": [{"content": content("a")}, {"content": content("b")}]},
        ANSWER,
        {
            "embeddings": [{"values": FLOATS[0]}, {"values": FLOATS[1]}],
            "usageMetadata": {"promptTokenCount": 7},
        },
    ),
    (
        "gemini",
        {"instances": [{"content": "a"}, {"content": "b"}]},
        ANSWER,
        {
            "predictions": [
                {"embeddings": {"values": FLOATS[0], "statistics": {"truncated": False, "token_count": 7}}},
                {"embeddings": {"values": FLOATS[1], "statistics": {"truncated": False, "token_count": 0}}},
            ]
        },
    ),
    (
        "cohere",
        {"texts": ["a", "b"], "embedding_types": ["float", "base64"]},
        ANSWER,
        {
            "id": "emb_1",
            "embeddings": {"float": FLOATS, "base64": ["AAAAPwAAgD8=", "AAAAQAAAQEA="]},
            "texts": ["a", "b"],
            "response_type": "embeddings_by_type",
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 7}},
        },
    ),
    ("bedrock", {"inputText": "a"}, ONE, {"embedding": FLOATS[0], "inputTextTokenCount": 7}),
    (
        "bedrock",
        {"texts": ["a", "b"]},
        ANSWER,
        {"id": "emb_1", "embeddings": FLOATS, "texts": ["a", "b"], "response_type": "embeddings_floats"},
    ),
    (
        "bedrock",
        {"texts": ["a", "b"], "embedding_types": ["float"]},
        ANSWER,
        {
            "id": "emb_1",
            "embeddings": {"float": FLOATS},
            "texts": ["a", "b"],
            "response_type": "embeddings_by_type",
        },
    ),
]


@pytest.mark.parametrize(("name", "body", "response", "want"), WRITTEN)
def test_an_answer_has_the_form_of_its_question(
    name: str, body: dict[str, Any], response: EmbeddingResponse, want: dict[str, Any]
) -> None:
    request = decode(name, body)
    assert wire(name).encode_response(response, request, generic.server_context()) == want


def test_the_sdks_read_what_is_written() -> None:
    cohere_body = wire("cohere").encode_response(
        ANSWER, decode("cohere", {"texts": ["a", "b"]}), generic.server_context()
    )
    assert EmbedByTypeResponse.model_validate(cohere_body).embeddings.float_ == FLOATS
    batch = decode("gemini", {"requests": [{"content": content("a")}, {"content": content("b")}]})
    google_body = wire("gemini").encode_response(ANSWER, batch, generic.server_context())
    read = google.EmbedContentResponse.model_validate({"embeddings": google_body["embeddings"]})
    assert [one.values for one in read.embeddings or []] == FLOATS


RECORDED = {
    "gemini": ("gemini.*", "vertex.*"),
    "cohere": ("cohere.*",),
    "bedrock": ("bedrock.invoke.*",),
}


def is_served(exchange: Exchange) -> bool:
    """Whether a recording asks for texts in what this surface serves: not in Nova's form."""
    body = exchange.request["body"]
    if exchange.status != 200 or not isinstance(body, dict) or "singleEmbeddingParams" in body:
        return False
    return "images" not in body


REQUESTS = [
    pytest.param(name, exchange, id=exchange.id)
    for name, apis in RECORDED.items()
    for exchange in load.exchanges(apis)
    if exchange.operation == "embedding" and is_served(exchange)
]


@pytest.mark.parametrize(("name", "exchange"), REQUESTS or [load.absent(2)])
def test_a_recorded_request_is_read(name: str, exchange: Exchange) -> None:
    body = exchange.request["body"]
    told = [text for member in TEXTS for text in words(body, member)]
    assert list(decode(name, body).inputs) == told


TEXTS = ("text", "inputText", "texts", "content")


def words(value: Any, member: str) -> list[str]:
    """Every text under a member of that name, anywhere in a body."""
    if isinstance(value, list):
        return [text for item in value for text in words(item, member)]
    if not isinstance(value, dict):
        return []
    held = value.get(member)
    own = [text for text in (held if isinstance(held, list) else [held]) if isinstance(text, str)]
    return own + [text for item in value.values() for text in words(item, member)]


def test_what_another_dialect_said_beside_is_reported_by_openais() -> None:
    request = decode("gemini", {"content": content("a"), "taskType": "CLUSTERING"})
    context = generic.client_context()
    wire("openai").encode_request(request, context)
    assert [loss.param for loss in context.losses.items] == ["input_type"]
