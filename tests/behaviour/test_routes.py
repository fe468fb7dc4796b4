"""Every route of the URL map, every method, many spellings: a key first, then JSON and nothing else.

The routes come from the application itself, so that a new one cannot be missed (reliability.md, A14).
"""

from __future__ import annotations

import json
import re

import gevent
import pytest

from app import create_app
from app.config import Settings
from tests.behaviour.world import Answer, World, good, raw_request, received
from tests.traffic.replay import Reply

KEY = "route-key-1234"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
PUBLIC = re.compile(
    r"/(health(/.*)?|healthz|readyz|metrics|openapi\.json|docs(/rapidoc\.js|/openapi\.json)?)?"
)


SETTING = {"env": {"SLUICE_KEYS": f"ann:{KEY}"}, "key": KEY}


def rules() -> dict[str, set[str]]:
    """Return each path of the application with example values in it, and its methods."""
    found: dict[str, set[str]] = {}
    for rule in create_app(Settings()).url_map.iter_rules():
        path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"any-\1", rule.rule)
        found.setdefault(path, set()).update(rule.methods or ())
    return found


ROUTES = rules()
LOOKS_LIKE_AN_ID = re.compile(
    r"/responses/(input_tokens|compact)$"
    r"|/models/[^/]+:[\w-]+$"  # a verb of Google's, or a model whose name ends so
    r"|^/(genai|gemini|v1beta|v1alpha)/.*models/any-\w+$"  # a model, or a path without a verb
)
"""Other methods take these for an id, and find nothing by it."""
GUARDED = sorted(path for path in ROUTES if not PUBLIC.fullmatch(path))


def ask_all(world: World, calls: list[tuple[str, str]], key: str | None = None) -> list[Answer]:
    """Ask side by side."""
    asking = World(world.gateway, world.upstream, key)
    greenlets = [gevent.spawn(asking.send, method, path) for method, path in calls]
    gevent.joinall(greenlets, raise_error=True)
    return [greenlet.value for greenlet in greenlets]


def words(answer: Answer) -> str:
    """Return what an error says, in the form of whichever surface."""
    body = answer.json
    message: str = body.get("error", body)["message"]
    return message


def test_the_map_holds_the_surfaces() -> None:
    assert len(GUARDED) > 150
    assert "/v1/responses" in GUARDED
    assert "/openai/deployments/any-deployment/chat/completions" in GUARDED


def test_a_path_without_parameters_is_served_before_the_map_is_compiled() -> None:
    app = create_app(Settings())
    assert app.test_client().get("/health").status_code == 200
    assert {rule.map for rule in app.url_map.static.values()} == {None}  # type: ignore[attr-defined]
    assert app.test_client().get("/v1/models/x/").status_code == 404
    assert {rule.map for rule in app.url_map.static.values()} == {app.url_map}  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_every_route_asks_for_a_key_whatever_the_method(method: str, world: World) -> None:
    for path, answer in zip(GUARDED, ask_all(world, [(method, p) for p in GUARDED]), strict=True):
        assert answer.status == 401, (method, path)
        assert method == "HEAD" or "API key" in words(answer)
    assert world.upstream.requests == []


def test_a_wrong_key_is_no_key(world: World) -> None:
    assert {a.status for a in ask_all(world, [("POST", p) for p in GUARDED], "wrong")} == {401}


def variants(path: str) -> list[str]:
    head, _, tail = path.rpartition("/")
    return [
        path + "/",
        path + "//",
        path + "/..",
        path + "/.",
        path + "%20",
        path + "%00",
        path + "%0a",
        path + ";x=1",
        path + ".json",
        path.replace("/", "//", 1),
        f"{head}//{tail}",
        f"{head}/%2e/{tail}",
        f"{head}/./{tail}",
        f"{head}/x/../{tail}",
        f"{head}%2f{tail}",
        f"{head}%2F{tail}",
        f"{head}\\{tail}".replace("\\", "%5c"),
        path.upper(),
        path.title(),
        f"http://other.example{path}",
        f"{path}?key={KEY}",
    ]


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/models", "/openai/v1/responses/resp_x", "/api/llm/responses"]
)
def test_no_other_spelling_of_a_path_gets_around_the_key(path: str, world: World) -> None:
    calls = [(method, spelled) for spelled in variants(path) for method in ("GET", "POST", "DELETE")]

    for (_method, spelled), answer in zip(calls, ask_all(world, calls), strict=True):
        assert answer.status in (400, 401, 404), (spelled, answer.status)
        assert answer.status == 400 or answer.error["type"] == "invalid_request_error"
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    "header",
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"],
)
def test_a_method_or_path_by_header_does_not_count(header: str, world: World) -> None:
    keyless = World(world.gateway, world.upstream)

    assert keyless.send("POST", "/v1/responses", {}, {header: "GET"}).status == 401
    assert keyless.send("GET", "/health", None, {header: "/v1/models"}).json["status"] == "ok"


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_method_is_405_in_json_and_names_the_right_ones(method: str, world: World) -> None:
    wrong = [
        path
        for path, methods in ROUTES.items()
        if method not in methods and not LOOKS_LIKE_AN_ID.search(path)
    ]

    for path, answer in zip(wrong, ask_all(world, [(method, p) for p in wrong], KEY), strict=True):
        assert answer.status == 405, (method, path)
        allowed = set(answer.headers["allow"].replace(" ", "").split(","))
        assert allowed in (ROUTES[path], ROUTES[path] - {"GET", "HEAD"}), path  # GET responses only upgrades
        assert method == "HEAD" or words(answer).startswith(f"Not allowed to {method}")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v2/responses",
        "/openai",
        "/openai/nothing",
        "/openai/deployments",
        "/openai/deployments//chat/completions",
        "/openai/deployments/x/nothing",
        "/api/llm/nothing",
        "/v1/responses/",
        "/v1/responses/x/nothing",
        "/v1/chat/completions/",
        "/favicon.ico",
        "/robots.txt",
        "/.env",
        "/static/x",
        "/v1/%ff",
        "/%E2%80%A8",
        "/" + "a" * 3000,
        "/<script>alert(1)</script>",
    ],
    ids=lambda path: path[:30],
)
def test_an_unknown_url_is_404_in_json(path: str, world: World) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = world.send(method, path)
        assert answer.status == 404
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["x-request-id"]


def test_every_answer_of_the_map_is_json_with_an_id_and_never_a_trace(world: World) -> None:
    answers = {"GET": Reply.json({"data": []}), "POST": good("chat", "groq/x", stream=False)}
    world.upstream.script = lambda request: answers[request.method]
    calls = [(m, path) for path, methods in ROUTES.items() for m in sorted(methods) if m != "HEAD"]

    for (method, path), answer in zip(calls, ask_all(world, calls, KEY), strict=True):
        where = (method, path, answer.status, answer.body[:200])
        assert answer.status < 500, where
        assert answer.headers["x-request-id"], where
        assert path == "/docs" or b"<html" not in answer.body.lower(), where
        assert b"Traceback" not in answer.body, where
        if not PUBLIC.fullmatch(path):
            assert json.loads(answer.body) is not None, where
            assert "no-store" in answer.headers["cache-control"], where
            assert ("apim-request-id" in answer.headers) is path.startswith("/openai"), where


def test_head_has_the_head_of_get_and_no_body(world: World) -> None:
    for path in ("/health", "/v1/responses/resp_x"):
        connection = world.connect()
        connection.sendall(raw_request("HEAD", path, key=KEY) + raw_request("GET", "/health"))
        data = received(connection, b'"ok"')
        assert data.count(b"HTTP/1.1 ") == 2
        assert data.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/xml",
        "x",
        "application/json-seq",
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        p
        for p in GUARDED
        if "POST" in ROUTES[p] and p.startswith("/v1/") and not re.search("cancel|any-verb", p)
    ],
)
def test_another_content_type_is_415(path: str, content_type: str, world: World) -> None:
    expected = (
        "multipart/form-data"
        if path.endswith(("transcriptions", "translations", "files", "edits", "variations"))
        else "application/json"
    )
    if content_type == expected:
        return

    answer = world.send("POST", path, b"x=1", {"content-type": content_type})

    assert (answer.status, "is not supported here" in words(answer)) == (415, True)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "",
    ],
)
def test_json_is_known_by_its_names(content_type: str, world: World) -> None:
    world.upstream.script = lambda request: good("chat", "groq/x", stream=False)

    assert world.ask(headers={"content-type": content_type}).status == 200


@pytest.mark.parametrize("version", ["v1", "preview", "2024-10-21", "2025-04-01-preview", None])
def test_an_api_version_that_exists_is_fine(version: str | None, world: World) -> None:
    query = "" if version is None else f"?api-version={version}"

    assert world.send("GET", f"/openai/responses/resp_x{query}").status == 404


@pytest.mark.parametrize(
    "version", ["", "v2", "2024-13-01", "2024-02-30", "latest", "2024-10-21-beta", "x" * 3000]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_another_api_version_is_400(method: str, version: str, world: World) -> None:
    answer = world.send(method, f"/openai/responses/resp_x?api-version={version}")

    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        400,
        "invalid_value",
        "api-version",
    )
    assert len(answer.error["message"]) < 300
    assert answer.headers["apim-request-id"]
