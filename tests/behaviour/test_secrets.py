"""Canaries: no secret leaves, whatever the provider, the proxy or the client says (reliability.md, A10).

Every secret the gateway holds is a word that stands nowhere else; then everything that came out of it
is searched: answers, headers, streams, the log, the command line, the store's files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.behaviour.surfaces import EVERY as EVERY_SURFACE
from tests.behaviour.surfaces import Surface
from tests.behaviour.world import (
    ROLE,
    Answer,
    World,
    chat_text,
    data_frame,
    good,
    running_world,
)
from tests.running import ROOT
from tests.traffic.replay import Reply, Request

SECRETS = {
    "GROQ_API_KEY": "cnry-groq-5d1f77c09e",
    "OPENAI_API_KEY": "cnryopenaib02c4a61",
    "ANTHROPIC_API_KEY": "sk-ant-cnry-18f6ab9d24",
    "SLUICE_MASTER_KEY": "cnry-master-91b7e0aa",
    "SLUICE_SECRET_KEY": "cnry-sealing-secret-0123456789abcdef",
}
VIRTUAL = "cnry-virtual-6a0d3c"
PROXY = "cnry-proxy-pass"
HEADER = "cnry-operators-header"
EVERY = (*SECRETS.values(), VIRTUAL, PROXY, HEADER)
CONFIG = f"""
[keys.ann]
key = "{VIRTUAL}"

[providers.proxied]
dialect = "chat"
base_url = "http://provider.example/v1"
api_key = "cnry-custom-key-77"
proxy = "http://user:{PROXY}@127.0.0.1:1"

[providers.blocked]
dialect = "chat"
base_url = "http://provider.example/v1"
api_key = "cnry-custom-key-78"
proxy = "http://user:{PROXY}@{{proxy}}"

[providers.groq]
headers = {{ "x-operator" = "{HEADER}" }}
"""


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {**SECRETS, "SLUICE_RAW_ALLOWED": "1", "SLUICE_TIMEOUT_CONNECT": "2"}
    with running_world(env, config=CONFIG.replace("{proxy}", "{upstream_host}"), key=VIRTUAL) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def all_secrets(request: Request) -> str:
    """Return what a hostile provider might echo: every header and secret it knows of."""
    return json.dumps(request.headers) + " " + " ".join(EVERY)


def clean(answer: Answer) -> None:
    shown = json.dumps(answer.headers) + answer.body.decode(
        errors="replace"
    )  # AWS's frames have bytes between
    assert [secret for secret in EVERY if secret in shown] == []
    assert "cnry-custom-key" not in shown


def echo(status: int, stream: bool) -> object:
    def reply(request: Request) -> Reply:
        error = {
            "message": f"Incorrect API key provided: {all_secrets(request)}",
            "type": "x",
            "code": all_secrets(request),
            "param": all_secrets(request),
        }
        if status == 200 and stream:
            return Reply.sse(ROLE + chat_text("hi") + data_frame({"error": error}))
        return Reply.json({"error": error, "debug": all_secrets(request)}, status)

    return reply


RAW = {"x-bf-send-back-raw-request": "true", "x-bf-send-back-raw-response": "true"}


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("surface", EVERY_SURFACE, ids=lambda surface: surface.name)
@pytest.mark.parametrize("model", ["groq/x", "openai/x", "anthropic/x"])
def test_a_provider_that_echoes_what_it_was_sent_gives_nothing_away(
    model: str, surface: Surface, stream: bool, status: int, world: World
) -> None:
    world.upstream.script = echo(status, stream)  # type: ignore[assignment]

    clean(surface.ask(world, model, stream=stream, headers=RAW))


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500])
@pytest.mark.parametrize("model", ["groq/x", "openai/x", "anthropic/x"])
@pytest.mark.parametrize(
    "piece", [slice(0, -6), slice(6, None), slice(3, -3)], ids=["head", "tail", "middle"]
)
def test_a_long_piece_of_a_secret_stays_out_of_every_member_and_the_log(
    piece: slice, model: str, status: int, world: World
) -> None:
    secret = SECRETS["SLUICE_SECRET_KEY"][piece]
    error = dict.fromkeys(("type", "code", "param"), secret) | {"message": f"No: {secret}; try again"}
    world.upstream.script = lambda request: Reply.json({"error": error, "type": "error"}, status)
    answer = world.ask(model=model, headers=RAW)

    assert answer.status >= 400
    assert secret not in json.dumps(answer.headers) + answer.body.decode() + world.gateway.log


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"null"])
def test_a_provider_that_echoes_in_headers_and_text_gives_nothing_away(body: bytes, world: World) -> None:
    def reply(request: Request) -> Reply:
        echoed = {f"x-echo-{n}": secret for n, secret in enumerate(EVERY)}
        text = body + all_secrets(request).encode()
        return Reply(
            500,
            text,
            {"content-type": "text/plain", "retry-after": EVERY[0], "x-request-id": EVERY[1], **echoed},
        )

    world.upstream.script = reply

    clean(world.ask(headers=RAW))


@pytest.mark.parametrize("model", ["proxied/x", "blocked/x"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_proxy_that_fails_gives_nothing_away(stream: bool, model: str, world: World) -> None:
    world.upstream.script = lambda request: Reply(
        407, all_secrets(request).encode(), {"proxy-authenticate": "Basic", "content-type": "text/html"}
    )

    answer = world.ask(model=model, stream=stream)

    assert (answer.status, answer.error["code"]) == (502, "egress_proxy")
    clean(answer)
    assert "provider.example" not in answer.body.decode()


def test_raw_bodies_are_shown_when_asked_for_without_a_credential(world: World) -> None:
    world.upstream.script = lambda request: good("chat", "groq/x", stream=False)

    answer = world.ask(headers=RAW)

    fields = answer.json["extra_fields"]
    assert fields["raw_request"]["model"] == "x"
    assert fields["raw_response"]["id"] == "up-1"
    clean(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/models?provider=groq",
        "/health",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/nothing",
    ],
)
def test_no_other_answer_holds_a_secret(path: str, world: World) -> None:
    world.upstream.script = echo(401, stream=False)  # type: ignore[assignment]

    clean(world.send("GET", path))


def test_a_refused_key_is_not_repeated(world: World) -> None:
    for given in ("sk-my-own-real-key-123456", VIRTUAL + "x"):
        answer = world.ask(headers={"authorization": f"Bearer {given}"})
        assert answer.status == 401
        assert given not in answer.body.decode()
    assert "sk-my-own-real-key" not in world.gateway.log


def test_a_secret_in_a_stored_answer_stays_out_of_the_store_and_the_log(world: World) -> None:
    world.upstream.script = echo(500, stream=False)  # type: ignore[assignment]
    for stream in (False, True):
        world.ask("responses", stream=stream, headers=RAW)
    world.upstream.script = lambda request: good("chat", "groq/x", stream=False)
    stored = world.ask("responses", headers=RAW).json["id"]
    clean(world.send("GET", f"/v1/responses/{stored}"))

    files = [path for path in world.gateway.folder.iterdir() if path.name.startswith("sluice.db")]
    assert files
    for path in [*files, world.gateway.folder / "gateway.log"]:
        data = path.read_bytes()
        assert [secret for secret in EVERY if secret.encode() in data] == [], path.name
    log = world.gateway.log
    assert "Traceback" not in log
    assert '"event":"fault"' not in log


def test_the_environment_of_the_workers_python_holds_no_secret() -> None:
    script = "import os\nfrom app import create_app\nimport wsgi\nprint(dict(os.environ))"
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **SECRETS, "SLUICE_KEYS": f"ann:{VIRTUAL}"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert [secret for secret in EVERY if secret in result.stdout + result.stderr] == []


@pytest.mark.parametrize("arguments", [("check-config",), ("doctor",), ("models",)])
def test_the_commands_print_no_secret(arguments: tuple[str, ...], world: World) -> None:
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        **SECRETS,
        "SLUICE_KEYS": f"ann:{VIRTUAL}",
        "SLUICE_CONFIG": str(world.gateway.folder / "sluice.toml"),
    }
    env |= {f"{name}_BASE_URL": f"{world.upstream.url}/x" for name in ("GROQ", "OPENAI", "ANTHROPIC")}
    world.upstream.script = echo(401, stream=False)  # type: ignore[assignment]
    result = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=env,
        cwd=world.gateway.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert [secret for secret in EVERY if secret in result.stdout + result.stderr] == []
