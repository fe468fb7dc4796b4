"""What it costs to add something, proved by adding it to a scratch copy and using it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import (
    OPERATIONS,
    PATHS,
    PROMPTS,
    World,
    chat_body,
    good,
    raw_request,
    received,
    running_world,
)
from tests.lifecycle.house import eventually
from tests.scratch import Scratch
from tests.traffic.frames import sse
from tests.traffic.replay import Reply

ACME = '''"""Acme: chat and text completions."""

from __future__ import annotations

from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="acme",
    base_url="https://api.acme.example/v1",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.CUSTOM),
        "completion": openai_like.completion(),
        "models": openai_like.models(),
    },
    missing="Set ACME_API_KEY.",
)
'''


def test_a_provider_like_openai_is_one_file_and_one_row(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.add("app/providers/acme.py", ACME)
    scratch.insert("app/providers/__init__.py", '    "cerebras": _plain(', '    "acme": _plain("acme"),\n')
    assert scratch.changes() == {"app/providers/__init__.py": 1, "app/providers/acme.py": 19}
    assert scratch.faults() == []
    env = {"ACME_API_KEY": "acme-key", "ACME_BASE_URL": "{upstream}/acme"}
    with running_world(env, root=scratch.root) as world:
        world.upstream.add(Reply.json(chat_body("from acme")))
        answer = world.ask("responses", model="acme/x")
        assert answer.text == "from acme"
        assert answer.json["extra_fields"]["provider"] == "acme"
        (request,) = world.upstream.requests
        assert (request.path, request.headers["authorization"]) == (
            "/acme/chat/completions",
            "Bearer acme-key",
        )


SURFACE = """    Mount(
        "acme",
        ("/acme/v1", "/acme"),
        Credentials(("x-api-key", "x-bf-vk")),
        operations={
            "chat": (
                Route(
                    "POST",
                    "/messages",
                    "views.acme.create",
                    "views.acme.AcmeMessage",
                    body="views.acme.AcmeBody",
                    streams=True,
                ),
            ),
        },
        dialect="messages",
        envelope="headers",
        home_providers=("anthropic",),
        request_id="request-id",
        error_id="request_id",
    ),
"""
VIEW = '''"""Anthropic's Messages: its view, its body and the shape of its answer."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.surfaces.views.generation import generate
from app.surfaces.mounts import Mount
from app.surfaces.openapi.shapes import OBJECT, STRING, STRING_OR_NULL, Shape, always, array_of, record
from app.surfaces.body.schemas.base import Array, Body, Boolean, Either, Integer, Number, Object, String
from app.surfaces.body.schemas.chat import MOST_MESSAGES, MOST_TOKENS
from app.surfaces.body.schemas.parts import string


class AcmeBody(Body):
    """Shape and limits of the top level; what is deeper is read by the dialect."""

    model = String(longest=512)
    messages = Array(required=True, longest=MOST_MESSAGES)
    max_tokens = Integer(least=1, most=MOST_TOKENS, required=True)
    system = Either(String(), Array())
    temperature = Number(least=0, most=1)
    top_p = Number(least=0, most=1)
    top_k = Integer(least=0)
    stop_sequences = Array(each=string, longest=64)
    stream = Boolean()
    tools = Array(longest=10_000)
    tool_choice = Object()
    thinking = Object()
    output_config = Object()
    metadata = Object()
    service_tier = String()
    fallbacks = Array(each=string, longest=16)


AcmeMessage: Final[Shape] = record(
    {
        "id": STRING,
        "type": always("message"),
        "role": always("assistant"),
        "model": STRING,
        "content": array_of(OBJECT),
        "stop_reason": STRING_OR_NULL,
        "stop_sequence": STRING_OR_NULL,
        "usage": OBJECT,
    }
)


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a message."""
    return generate(mount, deployment)
'''
KEY = "sk-surface-0123456789"
ASKED = {
    "model": "sandbox/x",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "say exactly: hello"}],
}


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway with a surface for a dialect that had both halves: three files, of which one is a row."""
    scratch = Scratch(tmp_path_factory.mktemp("surface"))
    scratch.insert("app/surfaces/mounts.py", '    Mount(\n        "truefoundry"', SURFACE)
    scratch.add("app/surfaces/views/acme.py", VIEW)
    changes = scratch.changes()
    assert len(changes) <= 4
    assert sum(changes.values()) <= 80
    assert scratch.faults() == []
    with running_world({"SLUICE_KEYS": f"ann:{KEY}"}, root=scratch.root) as world:
        yield world


@pytest.mark.parametrize("prefix", ["/acme/v1", "/acme"])
def test_a_new_surface_answers_in_its_own_dialect(surface: World, prefix: str) -> None:
    answer = surface.send("POST", f"{prefix}/messages", ASKED, {"x-api-key": KEY})
    assert answer.status == 200
    assert set(answer.json) == {
        *("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"),
    }
    assert answer.json["content"] == [{"type": "text", "text": "hello"}]
    assert answer.json["stop_reason"] == "end_turn"
    assert "cost" not in answer.json["usage"]
    assert answer.headers["x-sluice-provider"] == "sandbox"
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


def test_a_new_surface_streams_in_its_own_dialect(surface: World) -> None:
    answer = surface.send("POST", "/acme/v1/messages", {**ASKED, "stream": True}, {"x-api-key": KEY})
    events = [json.loads(frame.data) for frame in sse(answer.body)]
    assert [event["type"] for event in events][:2] == ["message_start", "content_block_start"]
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
    assert "extra_fields" not in str(events)
    assert "cost" not in str(events)
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == "hello"


def test_a_new_surface_tells_what_was_lost_in_a_header(surface: World) -> None:
    answer = surface.send("POST", "/acme/v1/messages", {**ASKED, "api_base": "http://x"}, {"x-api-key": KEY})
    (warning,) = json.loads(answer.headers["x-sluice-warnings"])
    assert warning["param"] == "api_base"


def test_a_header_of_warnings_is_cut_between_entries_and_says_how_many_are_left_out(surface: World) -> None:
    extra = {f"unknown_member_{number}": 1 for number in range(200)}
    answer = surface.send("POST", "/acme/v1/messages", {**ASKED, **extra}, {"x-api-key": KEY})
    header = answer.headers["x-sluice-warnings"]
    assert len(header) <= 4096
    *entries, last = json.loads(header)
    assert last["param"] is None
    assert {entry["param"] for entry in entries} < set(extra)
    assert last["message"].startswith("and ")
    assert len(header) > 3500


@pytest.mark.parametrize(
    "members, key, path, status, kind",
    [
        ({}, None, "/acme/v1/messages", 401, "authentication_error"),
        ({}, None, "/acme/nothing", 401, "authentication_error"),
        ({}, KEY, "/acme/nothing", 404, "not_found_error"),
        ({"max_tokens": 0}, KEY, "/acme/v1/messages", 400, "invalid_request_error"),
        ({"messages": [5]}, KEY, "/acme/v1/messages", 400, "invalid_request_error"),
        ({"model": "no-such-model"}, KEY, "/acme/v1/messages", 404, "not_found_error"),
        ({"stream": True, "model": "no-such-model"}, KEY, "/acme/messages", 404, "not_found_error"),
    ],
)
def test_a_new_surface_errs_in_its_own_form(
    surface: World, members: dict, key: str | None, path: str, status: int, kind: str
) -> None:
    unknown = {"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}
    surface.fresh().upstream.add(Reply.json(unknown, 404), path="*/messages")
    answer = surface.send("POST", path, {**ASKED, **members}, {"x-api-key": key} if key else {})
    assert answer.status == status, answer.body
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == kind
    assert set(answer.json) == {"type", "error", "request_id"}
    assert answer.json["request_id"] == answer.headers["request-id"]


def test_a_new_surface_is_in_the_description_of_the_api(surface: World) -> None:
    document = surface.send("GET", "/openapi.json").json
    described = document["paths"]["/acme/v1/messages"]["post"]
    assert described["summary"] == "Create a message."
    assert described["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/AcmeBody"
    }
    assert document["components"]["schemas"]["AcmeBody"]["required"] == ["messages", "max_tokens"]
    assert document["components"]["schemas"]["AcmeMessage"]["properties"]["type"]["const"] == "message"


RANK_ROW = """    Operation(
        "rank",
        request_type="ranking",
        wires=("rank",),
        dialect="rank",
        exchange="ranking.RankExchange",
        routes=(
            Route("POST", "/rank", "views.ranking.rank", "views.ranking.Ranking", body="views.ranking.RankBody", sealed=True),
        ),
    ),
"""
RANK_DIALECT = '''"""Ranking of documents: what is asked and answered, and the wire that both sides speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.dialects.base import ClientContext, EncodedRequest, Row, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.shared.lenient_json import as_dict, as_list, as_str


@record
class RankRequest:
    """Documents to put in the order of their nearness to a query."""

    model: str
    query: str
    documents: tuple[str, ...]


@record(kw_only=True)
class RankDialect(Row):
    """A wire of ranking. An answer is the documents' numbers in order."""

    encode_request: Callable[[RankRequest, ClientContext], EncodedRequest]
    decode_response: Callable[[Any], list[int]]
    decode_request: Callable[[Mapping[str, Any], ServerContext], RankRequest]
    encode_response: Callable[[list[int]], dict[str, Any]]


def encode_request(request: RankRequest, context: ClientContext) -> EncodedRequest:
    """Return the body to send."""
    return EncodedRequest(
        {"model": context.model, "query": request.query, "documents": list(request.documents)}
    )


def decode_response(body: Any) -> list[int]:
    """Read the order."""
    return [as_dict(row).get("index", 0) for row in as_list(as_dict(body).get("results"))]


def decode_request(body: Mapping[str, Any], context: ServerContext) -> RankRequest:
    """Read what a client asks."""
    documents = tuple(as_str(one) for one in as_list(body.get("documents")))
    return RankRequest(as_str(body.get("model")), as_str(body.get("query")), documents)


def encode_response(order: list[int]) -> dict[str, Any]:
    """Return the answer's body."""
    return {"results": [{"index": index} for index in order]}


DIALECT: Final = RankDialect(
    name="rank",
    encode_request=encode_request,
    decode_response=decode_response,
    decode_request=decode_request,
    encode_response=encode_response,
    decode_error=decode_error,
)
'''
RANK_EXCHANGE = '''"""Ranking: one attempt."""

from __future__ import annotations

from app.dialects.media.rank import RankDialect
from app.gateway.exchange import Answer, Fetch, Sent
from app.gateway.media import MediaExchange
from app.gateway.translation import parse_upstream
from app.wire.json import dumps


class RankExchange(MediaExchange[RankDialect]):
    """Documents in order, by one call."""

    family = RankDialect

    def send(self) -> Sent:
        """Return the request."""
        return Sent(dumps(self._client.encode_request(self._request, self._context).body))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch the order."""
        order = self._client.decode_response(parse_upstream(fetch(self.send()).body))
        return Answer(self._server.encode_response(order))
'''
RANK_SURFACE = '''"""Ranking: its view, its body and the shape of its answer."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.surfaces.views.media import answer_json
from app.surfaces.mounts import Mount
from app.surfaces.openapi.shapes import INTEGER, Shape, array_of, record
from app.surfaces.body.schemas.base import Array, Body, String
from app.surfaces.body.schemas.parts import string


class RankBody(Body):
    """``POST rank``."""

    model = String(longest=512)
    query = String(required=True)
    documents = Array(each=string, longest=1000, required=True)


Ranking: Final[Shape] = record({"results": array_of(record({"index": INTEGER}))})


def rank(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST rank``."""
    return answer_json(mount, deployment)
'''


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway that has one operation more, with a wire of its own: six files, of which three are rows."""
    scratch = Scratch(tmp_path_factory.mktemp("operation"))
    scratch.insert("app/operations.py", '    Operation(\n        "speech",', RANK_ROW)
    scratch.insert(
        "app/dialects/__init__.py", '    "models": "app', '    "rank": "app.dialects.media.rank",\n'
    )
    scratch.add("app/dialects/media/rank.py", RANK_DIALECT)
    scratch.add("app/gateway/ranking.py", RANK_EXCHANGE)
    scratch.add("app/surfaces/views/ranking.py", RANK_SURFACE)
    wire = '        "rank": Wire("rank", "/rank", streams=False),\n'
    scratch.insert("app/providers/groq.py", '        "models": openai', wire)
    scratch.replace("app/providers/groq.py", "import Spec\n", "import Spec, Wire\n")
    assert len(scratch.changes()) <= 6
    assert scratch.faults() == []
    with running_world(root=scratch.root) as world:
        yield world


RANKED = {"model": "groq/ranker", "query": "q", "documents": ["a", "b"]}


@pytest.mark.parametrize("prefix", ["/v1", "/openai", "/api/llm"])
def test_a_new_operation_is_served_at_every_surface(ranking: World, prefix: str) -> None:
    order = [{"index": 1}, {"index": 0}]
    ranking.fresh().upstream.add(Reply.json({"results": order}), path="*/rank")
    answer = ranking.send("POST", f"{prefix}/rank", RANKED)
    assert answer.json["results"] == order
    (request,) = ranking.upstream.requests
    assert request.json() == {**RANKED, "model": "ranker"}
    assert answer.headers["x-sluice-provider"] == "groq"
    if prefix == "/api/llm":
        assert answer.json["provider"] == "groq"
    else:
        assert answer.json["extra_fields"]["request_type"] == "ranking"


def test_the_body_of_a_new_operation_is_checked_and_described(ranking: World) -> None:
    answer = ranking.send("POST", "/v1/rank", {**RANKED, "documents": ["a", 5]})
    assert (answer.status, answer.error["param"]) == (400, "documents[1]")
    assert answer.json["extra_fields"]["request_type"] == "ranking"
    document = ranking.send("GET", "/openapi.json").json
    assert document["components"]["schemas"]["RankBody"]["required"] == ["query", "documents"]
    assert "/openai/deployments/{deployment}/rank" in document["paths"]


def test_a_new_operation_is_refused_for_a_provider_that_lacks_it(ranking: World) -> None:
    answer = ranking.send("POST", "/v1/rank", {**RANKED, "model": "anthropic/x"})
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")
    assert "'rank'" in answer.error["message"]


BUDGET_LAYER = '''"""A budget: a purse of its own for each target, charged for what each attempt used up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import GatewayError
from app.gateway.call import Attempt
from app.gateway.attempt_scope import AttemptLayer
from app.gateway.layers.base import Services
from app.gateway.layers.log import log_line


def make(services: Services) -> AttemptLayer:
    """Return the layer."""
    return _budget


@contextmanager
def _budget(attempt: Attempt) -> Iterator[None]:
    if attempt.model == "poor":
        raise GatewayError("budget_exceeded", "Nothing is left to spend at this target.")
    try:
        yield
    finally:
        tokens = attempt.usage.output_tokens if attempt.usage else None
        log_line(event="charge", request_id=attempt.call.id, tokens=tokens, error=attempt.error)
'''
QUOTA_LAYER = '''"""A quota of calls, of which one model has none."""

from __future__ import annotations

from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.layers.base import CallLayer, Services, Proceed
from app.gateway.run import Run


def make(services: Services) -> CallLayer:
    """Return the layer."""
    return _quota


def _quota(call: Call, proceed: Proceed) -> Run:
    if call.model.endswith("/none"):
        raise GatewayError("rate_limited", "No calls are left.", retry_after=7)
    return proceed(call)
'''
LAYERS = "app/gateway/layers/__init__.py"


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway with one layer more in each ring: a module and a row."""
    scratch = Scratch(tmp_path_factory.mktemp("layers"))
    scratch.add("app/gateway/layers/budget.py", BUDGET_LAYER)
    scratch.add("app/gateway/layers/quota.py", QUOTA_LAYER)
    scratch.insert(LAYERS, "    job_limits,\n", "    budget,\n")
    scratch.insert(LAYERS, "    signatures,\n", "    quota,\n")
    scratch.insert(LAYERS, "    provider_limits.make,\n", "    budget.make,\n")
    scratch.insert(LAYERS, "    turn.make,\n    cache.make", "    quota.make,\n")
    assert set(scratch.changes()) == {
        LAYERS,
        "app/gateway/layers/budget.py",
        "app/gateway/layers/quota.py",
    }
    assert scratch.faults() == []
    with running_world(root=scratch.root) as world:
        yield world


def lines_of(world: World, event: str, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in world.gateway.log.split("\n") if line.startswith("{")]
    return [line for line in lines if line["event"] == event and line.get("request_id") == request_id]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_call_layer_refuses_with_429(operation: str, stream: bool, layered: World) -> None:
    request_id = f"quota-{operation}-{stream}"
    headers = {"x-request-id": request_id}
    answer = layered.fresh().ask(operation, model="groq/none", stream=stream, headers=headers, store=True)
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert (answer.headers["retry-after"], answer.headers["x-sluice-attempts"]) == ("7", "0")
    assert [line["status"] for line in lines_of(layered, "call", request_id)] == [429]
    assert layered.upstream.requests == []


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_attempt_layer_makes_the_driver_pass_over_a_target(
    operation: str, stream: bool, layered: World
) -> None:
    layered.fresh().upstream.add(good(operation, "groq/rich", stream=stream))
    answer = layered.ask(operation, model="groq/poor", stream=stream, fallbacks=["groq/rich"])
    assert (answer.status, answer.text) == (200, "good")
    assert answer.headers["x-sluice-model"] == "rich"
    assert len(layered.upstream.requests) == 1


def test_what_every_target_is_refused_for_is_the_answer(layered: World) -> None:
    answer = layered.fresh().ask("responses", model="groq/poor", store=True)
    assert (answer.status, answer.error["code"]) == (402, "budget_exceeded")
    with sqlite3.connect(layered.gateway.folder / "sluice.db") as store:
        rows = store.execute("SELECT count(*) FROM response WHERE model = 'groq/poor'").fetchone()
    assert rows == (0,)  # nothing went out, so nothing was written


def test_an_attempt_layer_charges_a_stream_whose_client_left(layered: World) -> None:
    whole = good("chat", "groq/rich", stream=True)
    assert isinstance(whole.body, bytes)
    first = whole.body.index(b"\n\n", whole.body.index(b"good")) + 2
    layered.fresh().upstream.add(replace(whole, hang=first))
    body = json.dumps({"model": "groq/rich", **PROMPTS["chat"], "stream": True}).encode()
    request_id = "left-and-charged"
    connection = layered.connect()
    connection.sendall(raw_request("POST", PATHS["chat"], body, headers=[f"x-request-id: {request_id}"]))
    received(connection, b"good")
    connection.close()
    (charge,) = eventually(lambda: lines_of(layered, "charge", request_id))
    assert (charge["error"], charge["tokens"] > 0) == ("client_gone", True)
    assert [line["status"] for line in eventually(lambda: lines_of(layered, "call", request_id))] == [499]
