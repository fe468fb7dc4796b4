"""Embeddings: every recorded exchange, the server half, golden bodies, batches."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from app.canonical.media import EmbeddingRequest, EmbeddingResponse
from app.canonical.request import Origin
from app.canonical.response import Usage
from app.dialects.base import ServerContext
from app.dialects.media import embeddings_bedrock, embeddings_cohere, embeddings_gemini, embeddings_openai
from app.dialects.media.base import merge, split, vector_of
from app.dialects.media.embeddings_gemini import PREDICT, SINGLE
from app.dialects.media.embeddings_openai import LOCAL, MISTRAL, PERPLEXITY, EmbeddingOptions
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.answers import Vectors, extract
from tests.traffic.exclusions import reason
from tests.traffic.load import Exchange

OPENAI = embeddings_openai.DIALECT
GOOGLE = embeddings_gemini.DIALECT
COHERE = embeddings_cohere.DIALECT
BEDROCK = embeddings_bedrock.DIALECT

SPOKEN: dict[str, tuple[Any, Any]] = {
    "openai.embeddings": (OPENAI, None),
    "azure.openai.embeddings": (OPENAI, None),
    "openrouter.openai.embeddings": (OPENAI, None),
    "mistral.embeddings": (OPENAI, MISTRAL),
    "perplexity.openai.embeddings": (OPENAI, PERPLEXITY),
    "ollama.openai.embeddings": (OPENAI, LOCAL),
    "gemini.batchEmbedContents": (GOOGLE, None),
    "gemini.embedContent": (GOOGLE, SINGLE),
    "vertex.predict": (GOOGLE, PREDICT),
    "cohere.v2.embed": (COHERE, None),
    "cohere.v1.embed": (COHERE, None),
    "bedrock.invoke.cohere": (BEDROCK, None),
    "bedrock.invoke.titan": (BEDROCK, None),
    "bedrock.invoke.nova": (BEDROCK, None),
}
FOUND = [e for e in load.exchanges(SPOKEN, operations=["embedding"]) if reason(e) is None]
SERVER = ServerContext(generic.counter(), 1_700_000_000)


def context(exchange_api: str, model: str = "m", **members: Any) -> Any:
    return generic.client_context(model, options=SPOKEN[exchange_api][1], losses=Losses("chat"), **members)


def inputs_of(exchange: Exchange) -> tuple[Any, ...]:
    """The texts that a recorded request asked for, whatever its wire."""
    body = exchange.request["body"] or {}
    if "input" in body:
        return embeddings_openai.decode_inputs(body["input"], "input")
    texts = body.get("texts") or [entry["content"] for entry in body.get("instances", [])]
    texts = texts or [entry["content"]["parts"][0]["text"] for entry in body.get("requests", [])]
    params = body.get("singleEmbeddingParams", {}).get("text", {}).get("value")
    one = body.get("inputText") or params or body.get("content", {}).get("parts", [{}])[0].get("text")
    return tuple(texts) or (one or "unknown",)


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.status == 200]))
def test_vectors_are_read_as_the_extractor_reads_them(exchange: Exchange) -> None:
    reading = extract(exchange)
    assert isinstance(reading, Vectors)
    dialect = SPOKEN[exchange.api][0]
    request = EmbeddingRequest("m", inputs_of(exchange))
    model = exchange.model or "m"
    answer = dialect.decode_response(
        exchange.json(), request, context(exchange.api, model), exchange.response["headers"]
    )
    assert [list(vector[:3]) for vector in answer.vectors] == reading.starts
    assert {len(vector) for vector in answer.vectors} == {reading.dimension}
    assert answer.usage is not None
    if reading.usage is None:
        assert answer.usage.estimated
    else:
        assert (answer.usage.input_tokens, answer.usage.total) == (reading.usage.input, reading.usage.total)
        assert (answer.usage.cost or {}).get("total_cost") == reading.usage.cost


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.status >= 400]))
def test_errors_keep_their_words(exchange: Exchange) -> None:
    told = extract(exchange).error
    error = SPOKEN[exchange.api][0].decode_error(exchange.status, exchange.response["body"], {})
    assert told is not None
    assert error.message[:30] == told.message[:30]
    kinds = {400: "upstream_rejected", 401: "upstream_auth", 404: "upstream_rejected"}
    assert error.kind.name == kinds[exchange.status]


ASKED = [e for e in FOUND if e.request["body"] and "input" in e.request["body"]]


@pytest.mark.parametrize("exchange", load.params([e for e in ASKED if e.api != "mistral.embeddings"]))
def test_a_recorded_request_survives_both_halves(exchange: Exchange) -> None:
    body = exchange.request["body"]
    if exchange.status == 400:
        with pytest.raises(GatewayError):
            OPENAI.decode_request(body, SERVER)
        return
    request = OPENAI.decode_request(body, SERVER)
    sent = OPENAI.encode_request(request, generic.client_context(body["model"])).body
    one = isinstance(body["input"], str) or isinstance(body["input"][0], int)
    expected = [body["input"]] if one else body["input"]
    assert sent == {**body, "input": expected}


def decode(body: dict[str, Any]) -> EmbeddingRequest:
    return OPENAI.decode_request(body, SERVER)


def test_every_form_of_input() -> None:
    assert decode({"model": "m", "input": "a"}).inputs == ("a",)
    assert decode({"model": "m", "input": ["a", "b"]}).inputs == ("a", "b")
    assert decode({"model": "m", "input": [1, 2]}).inputs == ((1, 2),)
    assert decode({"model": "m", "input": [[1], [2, 3]]}).inputs == ((1,), (2, 3))


def test_all_members_are_read_and_unknown_ones_kept() -> None:
    body = {"model": "m", "input": "a", "dimensions": 3, "encoding_format": "base64", "user": "u", "x": 1}
    assert decode(body) == EmbeddingRequest(
        "m", ("a",), 3, "base64", "u", {"x": 1}, Origin("embeddings_openai", body)
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "input"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": ""}, "input"),
    ({"input": 5}, "input"),
    ({"input": ["a", ""]}, "input[1]"),
    ({"input": ["a", 3]}, "input[1]"),
    ({"input": [[]]}, "input[0]"),
    ({"input": [[1, "a"]]}, "input[0][1]"),
    ({"input": [True]}, "input[0]"),
    ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "dimensions": "3"}, "dimensions"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ({"input": "a", "user": 3}, "user"),
    ({"input": "a", "model": 3}, "model"),
]


@pytest.mark.parametrize(("body", "param"), WRONG)
def test_a_wrong_request_names_its_member(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode({"model": "m", **body})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_vectors_are_shown_as_floats_or_as_little_endian_base64() -> None:
    answer = EmbeddingResponse("up", ([0.5, -1.0], [2.0, 3.0]), Usage(4, total_tokens=4))
    floats = OPENAI.encode_response(answer, decode({"model": "m", "input": ["a", "b"]}), SERVER)
    assert floats == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 3.0]},
        ],
        "model": "up",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    asked = decode({"model": "m", "input": ["a", "b"], "encoding_format": "base64"})
    packed = OPENAI.encode_response(answer, asked, SERVER)["data"][0]["embedding"]
    assert base64.b64decode(packed) == struct.pack("<2f", 0.5, -1.0)


@pytest.mark.parametrize(
    "exchange", load.params([e for e in FOUND if e.api == "openai.embeddings" and e.status == 200])
)
def test_an_answer_shown_again_is_the_same_answer(exchange: Exchange) -> None:
    request = decode(exchange.request["body"])
    body = exchange.json()
    answer = OPENAI.decode_response(body, request, generic.client_context(), {})
    assert OPENAI.encode_response(answer, request, SERVER) == body


def test_entries_are_ordered_by_their_index() -> None:
    body = {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]}
    answer = OPENAI.decode_response(body, EmbeddingRequest("m", ("a", "b")), generic.client_context(), {})
    assert [list(v) for v in answer.vectors] == [[1.0], [2.0]]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"data": [{"embedding": [1]}, {"embedding": [2]}]},
        {"data": [{"embedding": None}]},
        {"data": [{"embedding": ["a"]}]},
        {"data": [{"embedding": "%%"}]},
        {"data": [{"embedding": "AAA="}]},
    ],
)
def test_what_is_no_vector_is_refused(body: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.decode_response(body, EmbeddingRequest("m", ("a",)), generic.client_context(), {})
    assert caught.value.kind.name == "upstream_invalid"


def test_batches_keep_order_and_sum_usage() -> None:
    request = EmbeddingRequest("m", ("a", "b", "c", "d", "e"), dimensions=2)
    pieces = split(request, 2)
    assert [piece.inputs for piece in pieces] == [("a", "b"), ("c", "d"), ("e",)]
    assert all(piece.dimensions == 2 for piece in pieces)
    answers = [
        EmbeddingResponse("m", ([1.0], [2.0]), Usage(2, total_tokens=2, cost={"total_cost": 0.25})),
        EmbeddingResponse("m", ([3.0], [4.0]), Usage(3, total_tokens=3, cost={"total_cost": 0.5})),
        EmbeddingResponse("m", ([5.0],), Usage(1, total_tokens=1, cost={"total_cost": 0.25})),
    ]
    assert merge(answers) == EmbeddingResponse(
        "m", ([1.0], [2.0], [3.0], [4.0], [5.0]), Usage(6, total_tokens=6, cost={"total_cost": 1.0})
    )
    assert split(request, 5) == [request]
    assert merge(answers[:1]) is answers[0]


TEXT = EmbeddingRequest("m", ("hi", "you"), dimensions=8, encoding_format="base64", user="u")
GOLDEN: list[tuple[Any, str, Any, EmbeddingRequest, dict[str, Any], list[str]]] = [
    (
        OPENAI, "text-embedding-3-small", None, TEXT,
        {"model": "text-embedding-3-small", "input": ["hi", "you"], "dimensions": 8, "encoding_format": "base64", "user": "u"},
        [],
    ),
    (OPENAI, "codestral-embed", MISTRAL, TEXT, {"model": "codestral-embed", "input": ["hi", "you"], "output_dimension": 8}, ["user"]),
    (OPENAI, "m", EmbeddingOptions(tokens=True), EmbeddingRequest("m", ((1, 2),)), {"model": "m", "input": [[1, 2]]}, []),
    (
        GOOGLE, "models/gemini-embedding-001", None,
        EmbeddingRequest("m", ("hi",), 8, extra={"task_type": "RETRIEVAL_QUERY", "title": "t"}),
        {
            "requests": [
                {
                    "model": "models/gemini-embedding-001",
                    "content": {"parts": [{"text": "hi"}]},
                    "taskType": "RETRIEVAL_QUERY",
                    "title": "t",
                    "outputDimensionality": 8,
                }
            ]
        },
        [],
    ),
    (
        GOOGLE, "text-embedding-004", PREDICT,
        EmbeddingRequest("m", ("hi",), 8, extra={"input_type": "search_query", "auto_truncate": False}),
        {
            "instances": [{"content": "hi", "task_type": "RETRIEVAL_QUERY"}],
            "parameters": {"outputDimensionality": 8, "autoTruncate": False},
        },
        [],
    ),
    (GOOGLE, "gemini-embedding-2", SINGLE, EmbeddingRequest("m", ("hi",)), {"content": {"parts": [{"text": "hi"}]}}, []),
    (
        COHERE, "embed-v4.0", None, EmbeddingRequest("m", ("hi",), 8, extra={"odd": 1}),
        {"model": "embed-v4.0", "input_type": "search_document", "embedding_types": ["float"], "texts": ["hi"], "output_dimension": 8},
        ["odd"],
    ),
    (
        COHERE, "embed-v4.0", None, EmbeddingRequest("m", ("hi",), extra={"input_type": "search_query", "truncate": "NONE"}),
        {"model": "embed-v4.0", "input_type": "search_query", "embedding_types": ["float"], "texts": ["hi"], "truncate": "NONE"},
        [],
    ),
    (
        BEDROCK, "us.cohere.embed-v4:0", None, EmbeddingRequest("m", ("hi",)),
        {"input_type": "search_document", "embedding_types": ["float"], "texts": ["hi"]},
        [],
    ),
    (
        BEDROCK, "amazon.titan-embed-text-v2:0", None, EmbeddingRequest("m", ("hi",), 256, extra={"normalize": True}),
        {"inputText": "hi", "dimensions": 256, "normalize": True},
        [],
    ),
    (
        BEDROCK, "amazon.nova-2-multimodal-embeddings-v1:0", None, EmbeddingRequest("m", ("hi",), 256),
        {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": "GENERIC_INDEX",
                "text": {"truncationMode": "END", "value": "hi"},
                "embeddingDimension": 256,
            },
        },
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "model", "options", "request_", "body", "warned"), GOLDEN)
def test_golden_bodies(
    dialect: Any,
    model: str,
    options: Any,
    request_: EmbeddingRequest,
    body: dict[str, Any],
    warned: list[str],
) -> None:
    target = generic.client_context(model, options=options, losses=Losses("chat"))
    assert dialect.encode_request(request_, target).body == body
    assert [loss.param for loss in target.losses.items] == warned


@pytest.mark.parametrize(
    ("dialect", "model", "options"),
    [
        (OPENAI, "mistral-embed", MISTRAL),
        (GOOGLE, "gemini-embedding-001", None),
        (COHERE, "embed-v4.0", None),
        (BEDROCK, "amazon.titan-embed-text-v1", None),
    ],
)
def test_tokens_to_a_wire_without_them_are_refused(dialect: Any, model: str, options: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect.encode_request(
            EmbeddingRequest("m", ((1, 2),)), generic.client_context(model, options=options)
        )
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", "input")


def test_batch_limits() -> None:
    limits = [
        (OPENAI, "m", None, 2_048),
        (GOOGLE, "m", None, 100),
        (GOOGLE, "m", SINGLE, 1),
        (COHERE, "m", None, 96),
        (BEDROCK, "eu.cohere.embed-multilingual-v3", None, 96),
        (BEDROCK, "amazon.titan-embed-text-v1", None, 1),
    ]
    for dialect, model, options, limit in limits:
        assert dialect.batch_limit(generic.client_context(model, options=options)) == limit
    with pytest.raises(GatewayError, match="not an embedding model"):
        BEDROCK.batch_limit(generic.client_context("meta.llama3"))


def packed_floats(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    "value",
    [
        packed_floats(0.5, float("nan")), packed_floats(float("inf")), packed_floats(-float("inf")),
        [1e300], [float("nan")], [10**400], [None], ["1"], "abc", {}, None,
    ],
)  # fmt: skip
def test_a_vector_that_no_float_can_say_is_the_providers_fault(value: Any) -> None:
    with pytest.raises(GatewayError) as raised:
        vector_of(value)
    assert raised.value.kind.name == "upstream_invalid"


QUANTIZED = EmbeddingRequest("m", ("a", "b"), quantized=("int8", "ubinary"), floats=False)


def test_types_of_whole_numbers_are_asked_for_and_read() -> None:
    body = COHERE.encode_request(QUANTIZED, context("cohere.v2.embed")).body
    assert body["embedding_types"] == ["int8", "ubinary"]
    made = {"int8": [[-128], [127]], "ubinary": [[0], [255]]}
    read = COHERE.decode_response({"embeddings": made}, QUANTIZED, context("cohere.v2.embed"), {})
    assert {name: [list(vector) for vector in vectors] for name, vectors in read.quantized.items()} == made
    joined = merge([read, read])
    assert [list(vector) for vector in joined.quantized["int8"]] == [[-128], [127], [-128], [127]]


@pytest.mark.parametrize(
    "made",
    [
        {"int8": [[1]], "ubinary": [[1], [2]]},
        {"int8": [[128], [1]], "ubinary": [[1], [2]]},
        {"int8": [[1], [2]], "ubinary": [[-1], [2]]},
        {"int8": [[0.5], [2]], "ubinary": [[1], [2]]},
        {"int8": ["x", [2]], "ubinary": [[1], [2]]},
        {"int8": [[1], [2]]},
        {},
    ],
)
def test_vectors_that_are_none_of_their_type_are_the_providers_fault(made: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as refused:
        COHERE.decode_response({"embeddings": made}, QUANTIZED, context("cohere.v2.embed"), {})
    assert refused.value.kind.name == "upstream_invalid"
