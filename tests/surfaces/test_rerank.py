"""Rerank at its surfaces, with the sandbox behind: order, documents, envelopes, and bad bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.config import ProviderSettings, Settings
from tests.behaviour.world import running_world
from tests.traffic.replay import Reply

SURFACES = (
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/openai/v1/rerank",
    "/openai/rerank",
    "/openai/deployments/sandbox/echo/rerank",
    "/api/llm/rerank",
    "/cohere/v2/rerank",
)
BODY: dict[str, Any] = {
    "model": "sandbox/echo",
    "query": "red fruit",
    "documents": ["a blue car", "a red fruit", "fruit"],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    folder: Path = tmp_path_factory.mktemp("rerank")
    return create_app(Settings(database_url=f"sqlite:///{folder}/sluice.db")).test_client()


@pytest.mark.parametrize("path", SURFACES)
def test_the_nearest_document_comes_first(client: FlaskClient, path: str) -> None:
    answer = client.post(path, json=BODY)
    assert answer.status_code == 200, answer.text
    results = answer.json["results"]  # type: ignore[index]
    assert [one["index"] for one in results] == [1, 2, 0]
    scores = [one["relevance_score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert "document" not in results[0]


def test_the_envelope_names_the_request_type(client: FlaskClient) -> None:
    body = client.post("/v1/rerank", json=BODY).json
    assert body is not None
    assert body["extra_fields"]["request_type"] == "rerank"
    assert body["usage"]["search_units"] == 1


def test_search_units_have_the_operators_price(tmp_path: Path) -> None:
    prices = {"priced": {"search_unit": 0.002}, "by-tokens": {"input": 1.0}}
    providers = {"sandbox": ProviderSettings("sandbox", prices=prices)}
    settings = Settings(database_url=f"sqlite:///{tmp_path}/sluice.db", providers=providers)
    client = create_app(settings).test_client()
    documents = ["x"] * 101
    for model, cost in (("priced", 0.004), ("by-tokens", None)):
        body = client.post(
            "/v1/rerank", json={**BODY, "model": f"sandbox/{model}", "documents": documents}
        ).json
        assert body is not None
        assert body["usage"]["cost"] == cost


def test_cohere_bills_search_units(client: FlaskClient) -> None:
    body = client.post("/cohere/v2/rerank", json=BODY).json
    assert body is not None
    assert set(body) == {"id", "results", "meta"}
    assert body["meta"]["billed_units"] == {"search_units": 1}


def test_documents_are_returned_and_cut_where_asked(client: FlaskClient) -> None:
    documents = ["a blue car", {"text": "a red fruit"}]
    body = client.post(
        "/v1/rerank", json={**BODY, "documents": documents, "top_n": 1, "return_documents": True}
    ).json
    assert body is not None
    (one,) = body["results"]
    assert (one["index"], one["document"]) == (1, {"text": "a red fruit"})


@pytest.mark.parametrize("path", ["/v1/rerank", "/cohere/v2/rerank"])
@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"query": None}, "query"),
        ({"query": 7}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": "text"}, "documents"),
        ({"documents": ["one", 2]}, "documents[1]"),
        ({"documents": [{"title": "one"}]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "3"}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
    ],
)
def test_a_bad_body_is_named(client: FlaskClient, path: str, change: dict[str, Any], names: str) -> None:
    answer = client.post(path, json={**BODY, **change})
    assert answer.status_code == 400, answer.text
    assert names in answer.text


def test_google_ranks_records_by_their_places() -> None:
    env = {
        "VERTEX_ACCESS_TOKEN": "vertex-token",
        "VERTEX_PROJECT": "pp",
        "VERTEX_LOCATION": "us-east5",
        "VERTEX_BASE_URL": "{upstream}/vertex",
    }
    with running_world(env) as world:
        told = {"records": [{"id": "1", "score": 0.9}, {"id": "0", "score": 0.0001}]}
        world.upstream.add(Reply.json(told))
        body = {**BODY, "model": "vertex/semantic-ranker-default@latest", "top_n": 2, "max_tokens_per_doc": 9}
        answer = world.send("POST", "/v1/rerank", body)
        results = answer.json["results"]
        assert [(one["index"], one["relevance_score"]) for one in results] == [(1, 0.9), (0, 0.0001)]
        assert [warning["param"] for warning in answer.json["extra_fields"]["warnings"]] == [
            "max_tokens_per_doc"
        ]
        (request,) = world.upstream.requests
        place = "/vertex/v1/projects/pp/locations/global/rankingConfigs/default_ranking_config:rank"
        assert (request.path, request.headers["authorization"]) == (place, "Bearer vertex-token")
        assert request.json() == {
            "model": "semantic-ranker-default@latest",
            "query": "red fruit",
            "records": [{"id": str(at), "content": text} for at, text in enumerate(BODY["documents"])],
            "ignoreRecordDetailsInResponse": True,
            "topN": 2,
        }

        for bad in ({"id": "3", "score": 1}, {"id": "x", "score": 1}, {"id": "0"}):
            world.fresh().upstream.add(Reply.json({"records": [bad]}), times=2)
            assert world.send("POST", "/v1/rerank", body).status == 502

        fault = {"error": {"code": 400, "message": "Too many records", "status": "INVALID_ARGUMENT"}}
        world.fresh().upstream.add(Reply.json(fault, 400))
        refused = world.send("POST", "/v1/rerank", body)
        assert (refused.status, "Too many records" in refused.error["message"]) == (400, True)
