"""Every route of every surface refuses what a key may not use: walked from the URL map, so that none is left out."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.config import Alias, Secret, Settings, VirtualKey
from app.gateway.core import gateway_of
from app.providers.sandbox.images import draw
from app.surfaces.admin.routes import ROUTES
from app.surfaces.openapi.document import surface_rules
from app.surfaces.rules import SurfaceRule

MODEL = "sandbox/echo"
OF_NO_OPERATION = {"/v1/key"}

_TEXT = [{"role": "user", "content": "hi"}]
_PARTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
_CONTENT = {"content": {"parts": [{"text": "hi"}]}}
_CLAUDE = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": _TEXT}
_CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
BODIES: dict[str, dict[str, Any]] = {
    "ResponsesBody": {"input": "hi"},
    "CompactBody": {"input": "hi"},
    "InputTokensBody": {"input": "hi"},
    "ChatBody": {"messages": _TEXT},
    "CompletionBody": {"prompt": "hi"},
    "EmbeddingBody": {"input": "hi"},
    "RerankBody": {"query": "hi", "documents": ["hi"]},
    "ModerationBody": {"input": "hi"},
    "ImageBody": {"prompt": "hi"},
    "SpeechBody": {"input": "hi", "voice": "alloy"},
    "MessagesBody": {"max_tokens": 9, "messages": _TEXT},
    "MessagesCountBody": {"messages": _TEXT},
    "ConverseBody": _CONVERSE,
    "BedrockCountBody": {"input": {"converse": _CONVERSE}},
    "InvokeBody": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": _TEXT},
    "CohereChatBody": {"messages": _TEXT},
    "CohereEmbedBody": {"texts": ["hi"], "input_type": "search_query", "embedding_types": ["float"]},
    "GenerateContentBody": _PARTS,
    "CountTokensBody": _PARTS,
    "EmbedContentBody": _CONTENT,
    "BatchEmbedContentsBody": {"requests": [{"model": f"models/{MODEL}", **_CONTENT}]},
    "PredictBody": {"instances": [{"content": "hi"}]},
    "ClaudeBody": _CLAUDE,
    "BatchBody": {"input_file_id": "file-x", "endpoint": "/v1/embeddings", "completion_window": "24h"},
}
STORED = {"views.conversations", "views.stored", "views.batches"}
ARGUMENTS = {"verb": "generateContent", "publisher": "google"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    database = f"sqlite:///{tmp_path_factory.mktemp('allowances')}/sluice.db"
    keys = (
        VirtualKey("idle", Secret("sk-idle"), "team", operations=()),
        VirtualKey("narrow", Secret("sk-narrow"), "team", models=("nothing/*",)),
        VirtualKey("named", Secret("sk-named"), "team", models=("fast",)),
    )
    aliases = {"fast": Alias(((MODEL, 1.0),)), "slow": Alias((("sandbox/slow", 1.0),), (MODEL,))}
    made = create_app(
        Settings(database_url=database, keys=keys, aliases=aliases, master_key=Secret("sk-master-0123456789"))
    )
    yield made
    gateway_of(made).close()


def ask(app: Flask, rule: SurfaceRule, key: str, model: str = MODEL, **members: Any) -> TestResponse:
    verbs = rule.rule.endswith("/models/<model:deployment>")  # Google's, where the path ends in a verb

    def value(found: re.Match[str]) -> str:
        if found[1] != "deployment":
            return ARGUMENTS.get(found[1], "x")
        return model + (":generateContent" if verbs else "")

    path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", value, rule.rule)
    headers = {"authorization": f"Bearer {key}"}
    headers |= {"connection": "upgrade", "upgrade": "websocket"} if rule.websocket else {}
    client = app.test_client()
    if rule.route.form:
        files = {"file": (io.BytesIO(b"RIFF"), "a.wav"), "image": (io.BytesIO(draw("x", 8, 8)), "a.png")}
        form = {"model": model, "prompt": "hi", **members, **files}
        return client.post(path, data=form, headers=headers, content_type="multipart/form-data")
    body = BODIES.get((rule.route.body or "").rpartition(".")[2], {})
    json = {"model": model, **body, **members} if rule.route.method == "POST" else None
    return client.open(path, method=rule.route.method, json=json, headers=headers)


def test_every_rule_is_an_operations_or_says_why_not(app: Flask) -> None:
    without = {
        rule.rule for rule in surface_rules(app) if rule.operation is None and not rule.credentials.keyless
    }
    assert without == OF_NO_OPERATION


def test_every_route_refuses_an_operation_that_the_key_may_not_use(app: Flask) -> None:
    rules = [rule for rule in surface_rules(app) if rule.operation is not None]
    statuses = {rule.rule: ask(app, rule, "sk-idle").status_code for rule in rules}
    assert {path: status for path, status in statuses.items() if status != 403} == {}


def test_every_route_refuses_a_model_that_the_key_may_not_use(app: Flask) -> None:
    rules = [
        rule for rule in surface_rules(app) if rule.operation is not None and rule.route.method == "POST"
    ]
    rules = [rule for rule in rules if rule.route.view.rpartition(".")[0] not in STORED]
    answers = {rule.rule: ask(app, rule, "sk-narrow") for rule in rules}
    bad = {path: (a.status_code, a.text[:200]) for path, a in answers.items() if a.status_code != 403}
    assert bad == {}


def generating(app: Flask) -> list[SurfaceRule]:
    """The rules at which a model is asked for by name, in the path or in the body."""
    rules = [
        rule for rule in surface_rules(app) if rule.operation is not None and rule.route.method == "POST"
    ]
    return [
        rule
        for rule in rules
        if rule.route.view.rpartition(".")[0] not in {*STORED, "views.files"} and not rule.websocket
    ]


def test_a_name_of_the_operators_is_allowed_or_refused_alike_at_every_surface(app: Flask) -> None:
    for model, fallbacks, allowed in (
        ("fast", None, True),
        (MODEL, None, False),
        ("slow", None, False),
        ("slow", ["fast"], False),  # the one that is asked for must be allowed, whatever stands behind it
        ("fast", [MODEL], True),  # a fallback that may not be used is passed over
    ):
        found = {}
        for rule in generating(app):
            if fallbacks is not None and rule.route.form:
                continue
            members = {} if fallbacks is None else {"fallbacks": fallbacks}
            answer = ask(app, rule, "sk-named", model, **members)
            if (answer.status_code != 403) is not allowed:
                found[rule.rule] = (answer.status_code, answer.text[:200])
        assert found == {}, (model, fallbacks)


def test_a_clients_key_opens_nothing_of_the_admin_application(app: Flask) -> None:
    statuses = {}
    for route in ROUTES:
        path = "/admin" + re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", "x", route.path)
        headers = {"authorization": "Bearer sk-named"}
        body = {} if route.method in ("POST", "PUT", "PATCH") else None
        answer = app.test_client().open(path, method=route.method, json=body, headers=headers)
        statuses[f"{route.method} {route.path}"] = answer.status_code
    assert {place: status for place, status in statuses.items() if status != 403} == {}


def test_no_rule_is_left_to_flask_alone(app: Flask) -> None:
    """A rule that is no surface's says nothing of keys."""
    assert {rule.rule for rule in app.url_map.iter_rules() if not isinstance(rule, SurfaceRule)} == set()


@pytest.mark.parametrize(("model", "status"), [("fast", 200), (MODEL, 403), ("slow", 403)])
def test_a_name_of_the_operators_may_be_all_that_a_key_may_use(app: Flask, model: str, status: int) -> None:
    headers = {"authorization": "Bearer sk-named"}
    body = {"model": model, "messages": _TEXT}
    assert app.test_client().post("/v1/chat/completions", json=body, headers=headers).status_code == status
