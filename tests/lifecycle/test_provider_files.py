"""Files that providers keep: uploaded, named in prompts, read and deleted, by their tenant at their account."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, chat_body, responses_body, running_world
from tests.lifecycle.batches import form, jsonl, line
from tests.surfaces.test_sockets import create, events, opened
from tests.traffic.replay import Reply, Request

KEYS = {"ann": "sk-ann-0123456789", "bob": "sk-bob-0123456789"}
ENV = {
    "SLUICE_KEYS": ",".join(f"{name}:{key}" for name, key in KEYS.items()),
    "OPENAI_API_KEY": "",
    "GEMINI_API_KEY": "gemini-key",
    "GEMINI_BASE_URL": "{upstream}/gemini",
    "MISTRAL_API_KEY": "mistral-key",
    "MISTRAL_BASE_URL": "{upstream}/mistral",
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_ENDPOINT": "{upstream}/azure",
    "COHERE_API_KEY": "cohere-key",
    "COHERE_BASE_URL": "{upstream}/cohere",
}
CONFIG = """
[[providers.openai.keys]]
name = "one"
value = "openai-key-one"
[[providers.openai.keys]]
name = "two"
value = "openai-key-two"
[providers.openai]
base_url = "{upstream}/openai"
"""
PDF = b"%PDF-1.4 \x00\xff" + b"abc\r\n--" * 1000
MADE = "2026-11-28T10:00:00.123456Z"
URI = "https://generativelanguage.googleapis.com/v1beta/files/up-1"


class Keeper:
    """A provider that keeps files: what it was asked, and the files that are there."""

    def __init__(self) -> None:
        self.there = True
        self.asked: list[Request] = []
        self.url = ""

    def __call__(self, request: Request) -> Reply:
        """Answer a request of any of the providers."""
        if "files" not in request.path:
            return self.prompted(request)
        self.asked.append(request)
        if request.path.startswith("/upload/gemini/"):
            return self.google(request)
        if request.method != "POST" and not self.there:
            return Reply.json({"error": {"message": "No such file", "type": "invalid_request_error"}}, 404)
        if request.method == "DELETE":
            self.there = False
            return Reply.json({"id": "up-1", "deleted": True})
        if request.path.endswith("/content"):
            return Reply(200, PDF, {"content-type": "application/pdf"})
        self.there = True
        return Reply.json(self.file_object(request))

    def google(self, request: Request) -> Reply:
        """Take both steps of an upload."""
        if "upload_id" not in request.query:
            return Reply.json({}, headers={"x-goog-upload-url": f"{self.url}{request.path}?upload_id=7"})
        self.there = True
        return Reply.json({"file": self.file_object(request)})

    def file_object(self, request: Request) -> dict[str, Any]:
        """Return a file in the words of the provider that is asked."""
        if "/gemini/" in request.path:
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 172_800))
            state = "PROCESSING" if request.method == "POST" else "ACTIVE"
            return {"name": "files/up-1", "uri": URI, "state": state, "expirationTime": ends}
        if "/anthropic/" in request.path:
            return {"type": "file", "id": "up-1", "size_bytes": 9, "created_at": MADE}
        return {"object": "file", "id": "up-1", "bytes": 9, "created_at": 1, "status": "processed"}

    def prompted(self, request: Request) -> Reply:
        """Answer a prompt."""
        if request.path.endswith("/responses"):
            return Reply.json(responses_body())
        if request.path.endswith("/messages"):
            part = {"type": "text", "text": "good"}
            usage = {"input_tokens": 1, "output_tokens": 1}
            body = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [part]}
            return Reply.json({**body, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
        if ":generateContent" in request.path:
            content = {"parts": [{"text": "good"}], "role": "model"}
            return Reply.json({"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]})
        return Reply.json(chat_body())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world(ENV, config=CONFIG) as running:
        yield running


@pytest.fixture
def keeper(world: World) -> Keeper:
    made = Keeper()
    world.fresh().upstream.script = made
    made.url = world.upstream.url
    return made


def as_of(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


def put(world: World, provider: str = "openai", *, surface: str = "/v1", **fields: str) -> Answer:
    """Upload a document, ann's, of which the provider is told by header."""
    body, headers = form(PDF, **{"purpose": "user_data", **fields})
    named = {"x-bf-provider": provider} if provider else {}
    return world.send("POST", f"{surface}/files", body, {**headers, **as_of("ann"), **named})


def upload(world: World, provider: str = "openai") -> str:
    """Upload a document that must be taken; return its id."""
    answer = put(world, provider)
    assert answer.status == 200, answer.body
    return str(answer.json["id"])


def ask(world: World, path: str, body: Any, name: str = "ann") -> Answer:
    return world.send("POST", path, body, as_of(name))


def last(world: World) -> Request:
    """Return the last request that a provider saw."""
    found: Request = world.upstream.requests[-1]
    return found


UPLOADS = [
    ("openai", "/openai/files", b'name="purpose"\r\n\r\nuser_data'),
    ("azure", "/azure/openai/files", b'name="purpose"\r\n\r\nuser_data'),
    ("mistral", "/mistral/v1/files", b'name="purpose"\r\n\r\nocr'),
    ("anthropic", "/anthropic/v1/files", b'name="file"; filename="lines.jsonl"'),
]


@pytest.mark.parametrize("provider, path, holds", UPLOADS)
def test_an_upload_is_a_form_at_its_provider(
    world: World, keeper: Keeper, provider: str, path: str, holds: bytes
) -> None:
    answer = put(world, provider)
    (sent,) = keeper.asked
    assert (sent.method, sent.path) == ("POST", path)
    assert sent.headers["content-type"].startswith("multipart/form-data; boundary=sluice-")
    assert int(sent.headers["content-length"]) == len(sent.body)
    assert holds in sent.body
    assert PDF in sent.body
    body = answer.json
    assert re.fullmatch("file-[0-9a-f]{48}", body["id"])
    assert (body["bytes"], body["purpose"], body["filename"]) == (len(PDF), "user_data", "lines.jsonl")
    assert body["extra_fields"]["provider"] == provider
    assert body["extra_fields"]["request_type"] == "file_upload"
    assert b"up-1" not in answer.body


def test_google_tells_where_the_bytes_go(world: World, keeper: Keeper) -> None:
    answer = put(world, "gemini")
    begun, sent = keeper.asked
    assert begun.path == "/upload/gemini/files"
    assert begun.json()["file"]["displayName"] == "lines.jsonl"
    assert begun.headers["x-goog-upload-header-content-length"] == str(len(PDF))
    assert (sent.path, sent.query, sent.body) == ("/upload/gemini/files", "upload_id=7", PDF)
    assert sent.headers["x-goog-upload-command"] == "upload, finalize"
    assert {one.headers["x-goog-api-key"] for one in keeper.asked} == {"gemini-key"}
    assert answer.json["status"] == "uploaded"
    assert 172_000 < answer.json["expires_at"] - time.time() < 173_000
    body = world.send("GET", f"/v1/files/{answer.json['id']}", headers=as_of("ann")).json
    assert body["status"] == "processed"


def test_an_address_at_another_host_gets_no_bytes(world: World, keeper: Keeper) -> None:
    keeper.url = "https://elsewhere.example"
    answer = put(world, "gemini")
    assert (answer.status, len(keeper.asked)) == (502, 1)


@pytest.mark.parametrize("named", ["query", "field", "model", "surface"])
def test_a_provider_is_named_in_any_of_four_ways(world: World, keeper: Keeper, named: str) -> None:
    fields = {"field": {"provider": "mistral"}, "model": {"model": "mistral/x"}}.get(named, {})
    body, headers = form(PDF, purpose="user_data", **fields)
    path = {"query": "/v1/files?provider=mistral", "surface": "/openai/v1/files"}.get(named, "/v1/files")
    answer = world.send("POST", path, body, {**headers, **as_of("ann")})
    assert answer.json["extra_fields"]["provider"] == ("openai" if named == "surface" else "mistral")


def test_a_file_is_looked_at_read_and_deleted_at_its_account(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    account = keeper.asked[0].headers["authorization"]
    assert world.send("GET", f"/v1/files/{file_id}", headers=as_of("ann")).json["id"] == file_id
    read = world.send("GET", f"/v1/files/{file_id}/content", headers=as_of("ann"))
    assert (read.status, read.body) == (200, PDF)
    listed = world.send("GET", "/v1/files?purpose=user_data", headers=as_of("ann")).json["data"]
    assert listed[0]["id"] == file_id
    answer = world.send("DELETE", f"/v1/files/{file_id}", headers=as_of("ann"))
    assert answer.json["deleted"] is True
    assert world.send("GET", f"/v1/files/{file_id}", headers=as_of("ann")).status == 404
    assert [(one.method, one.path) for one in keeper.asked[1:]] == [
        ("GET", "/openai/files/up-1"),
        ("GET", "/openai/files/up-1/content"),
        ("DELETE", "/openai/files/up-1"),
    ]
    assert {one.headers["authorization"] for one in keeper.asked} == {account}


def test_a_file_that_its_provider_lost_can_be_deleted(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    keeper.there = False
    answer = world.send("GET", f"/v1/files/{file_id}", headers=as_of("ann"))
    assert (answer.status, file_id in answer.error["message"]) == (404, True)
    assert world.send("DELETE", f"/v1/files/{file_id}", headers=as_of("ann")).status == 200


def test_uploads_that_cannot_be_read_again_say_so(world: World, keeper: Keeper) -> None:
    file_id = upload(world, "anthropic")
    answer = world.send("GET", f"/v1/files/{file_id}/content", headers=as_of("ann"))
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")
    assert len(keeper.asked) == 1


@pytest.mark.parametrize("provider", ["cohere", ""])
def test_who_keeps_no_files_is_told(world: World, keeper: Keeper, provider: str) -> None:
    answer = put(world, provider)
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")
    assert keeper.asked == []


@pytest.mark.parametrize("provider, taken", [("openai", True), ("anthropic", True), ("gemini", False)])
def test_a_file_that_shall_end_does_so_at_its_provider(
    world: World, keeper: Keeper, provider: str, taken: bool
) -> None:
    ends = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"}
    answer = put(world, provider, **ends)
    assert (answer.status, b"7200" in b"".join(one.body for one in keeper.asked)) == (
        (200, True) if taken else (400, False)
    )
    if taken:
        assert 7100 < answer.json["expires_at"] - time.time() < 7300


def test_a_refused_upload_is_the_callers_error(world: World, keeper: Keeper) -> None:
    world.fresh()
    told = {"error": {"message": "Invalid purpose, of openai-key-one", "type": "invalid_request_error"}}
    world.upstream.add(Reply.json(told, 400))
    answer = put(world)
    assert (answer.status, "Invalid purpose" in answer.error["message"]) == (400, True)
    assert b"openai-key-one" not in answer.body


def input_file(file_id: str) -> list[dict[str, Any]]:
    part = {"type": "input_file", "file_id": file_id}
    return [{"role": "user", "content": [part, {"type": "input_text", "text": "What is it?"}]}]


def chat_file(file_id: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "file", "file": {"file_id": file_id}}]}]


def test_a_prompt_names_a_file_in_openais_words(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    account = keeper.asked[0].headers["authorization"]
    for _ in range(4):
        answer = ask(world, "/v1/responses", {"model": "openai/gpt-5", "input": input_file(file_id)})
        assert answer.status == 200, answer.body
        assert last(world).json()["input"][0]["content"][0] == {"type": "input_file", "file_id": "up-1"}
        assert last(world).headers["authorization"] == account
    ask(world, "/v1/chat/completions", {"model": "openai/gpt-4o", "messages": chat_file(file_id)})
    assert last(world).json()["messages"][0]["content"][0]["file"] == {"file_id": "up-1"}


def test_a_later_turn_still_knows_the_file_and_its_account(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    account = keeper.asked[0].headers["authorization"]
    first = ask(world, "/v1/responses", {"model": "openai/gpt-5", "input": input_file(file_id)}).json
    for _ in range(4):
        body = {"model": "openai/gpt-5", "input": "And now?", "previous_response_id": first["id"]}
        answer = ask(world, "/v1/responses", body)
        assert answer.status == 200, answer.body
        assert last(world).json()["input"][0]["content"][0]["file_id"] == "up-1"
        assert last(world).headers["authorization"] == account
    items = world.send("GET", f"/v1/responses/{first['id']}/input_items", headers=as_of("ann")).json["data"]
    assert items[0]["content"][0]["file_id"] == file_id


def test_a_background_turn_names_its_file(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    body = {"model": "openai/gpt-5", "input": input_file(file_id), "background": True}
    made = ask(world, "/v1/responses", body).json
    limit = time.monotonic() + 30
    while (found := world.send("GET", f"/v1/responses/{made['id']}", headers=as_of("ann")).json)[
        "status"
    ] in ("queued", "in_progress"):
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert found["status"] == "completed", found
    assert last(world).json()["input"][0]["content"][0]["file_id"] == "up-1"


def test_a_background_turn_that_no_account_can_read_is_refused_when_it_is_asked_for(
    world: World, keeper: Keeper
) -> None:
    file_id, other = upload(world), upload(world, "anthropic")
    asked = {"model": "anthropic/claude-x", "input": input_file(file_id), "background": True}
    both = {**asked, "input": [*input_file(file_id), *input_file(other)]}
    refused = [
        *(ask(world, "/v1/responses", body) for body in (asked, both)),
        ask(world, "/v1/responses", asked, "bob"),
    ]

    assert [answer.status for answer in refused] == [400, 400, 404]
    assert all(file_id in answer.error["message"] for answer in refused[::2])


@pytest.mark.parametrize("surface", ["messages", "chat"])
def test_a_document_at_anthropic_is_a_file_of_its_own(world: World, keeper: Keeper, surface: str) -> None:
    file_id = upload(world, "anthropic")
    source = {"type": "file", "file_id": file_id}
    spoken = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    body = {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 9}
    if surface == "messages":
        answer = ask(world, "/anthropic/v1/messages", {**body, "messages": spoken})
    else:
        answer = ask(world, "/v1/chat/completions", {**body, "messages": chat_file(file_id)})
    assert answer.status == 200, answer.body
    (block,) = last(world).json()["messages"][0]["content"]
    assert block["source"] == {"type": "file", "file_id": "up-1"}
    if surface == "chat":
        assert last(world).headers["anthropic-beta"] == "files-api-2025-04-14"


@pytest.mark.parametrize("surface", ["gemini", "chat"])
def test_a_file_at_google_is_named_by_its_address(world: World, keeper: Keeper, surface: str) -> None:
    file_id = upload(world, "gemini")
    model = "gemini/gemini-2.5-flash"
    if surface == "gemini":
        data = {"fileData": {"mimeType": "application/pdf", "fileUri": file_id}}
        body = {"contents": [{"role": "user", "parts": [data]}]}
        answer = ask(world, f"/v1beta/models/{model}:generateContent", body)
        wanted: dict[str, Any] = {"mimeType": "application/pdf", "fileUri": URI}
    else:
        answer = ask(world, "/v1/chat/completions", {"model": model, "messages": chat_file(file_id)})
        wanted = {"fileUri": URI}
    assert answer.status == 200, answer.body
    assert last(world).json()["contents"][0]["parts"][0]["fileData"] == wanted


def test_a_document_at_mistral_is_named_by_its_id(world: World, keeper: Keeper) -> None:
    body = {"model": "mistral/mistral-large-latest", "messages": chat_file(upload(world, "mistral"))}
    assert ask(world, "/v1/chat/completions", body).status == 200
    assert last(world).json()["messages"][0]["content"][0] == {"type": "file", "file_id": "up-1"}


def test_another_provider_is_refused_and_a_fallback_goes_home(world: World, keeper: Keeper) -> None:
    body: dict[str, Any] = {"model": "mistral/x", "messages": chat_file(upload(world))}
    answer = ask(world, "/v1/chat/completions", body)
    assert (answer.status, answer.error["param"]) == (400, "file_id")
    assert "'openai'" in answer.error["message"]
    answer = ask(world, "/v1/chat/completions", {**body, "fallbacks": ["openai/gpt-4o"]})
    assert (answer.status, answer.json["extra_fields"]["provider"]) == (200, "openai")


def test_files_of_two_accounts_are_no_one_prompt(world: World, keeper: Keeper) -> None:
    messages = chat_file(upload(world)) + chat_file(upload(world, "mistral"))
    answer = ask(world, "/v1/chat/completions", {"model": "openai/gpt-4o", "messages": messages})
    assert (answer.status, answer.error["param"]) == (400, "file_id")


def test_another_tenant_has_no_such_file(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert world.send(method, f"/v1/files/{file_id}{path}", headers=as_of("bob")).status == 404
    answer = ask(
        world, "/v1/chat/completions", {"model": "openai/gpt-4o", "messages": chat_file(file_id)}, "bob"
    )
    assert (answer.status, len(keeper.asked), len(world.upstream.requests)) == (404, 1, 1)


def test_a_file_for_batches_is_for_batches_alone(world: World, keeper: Keeper) -> None:
    body, headers = form(b"{}\n", purpose="batch")
    made = world.send("POST", "/v1/files", body, {**headers, **as_of("ann")}).json
    answer = ask(world, "/v1/chat/completions", {"model": "openai/gpt-4o", "messages": chat_file(made["id"])})
    assert (answer.status, "batches" in answer.error["message"]) == (400, True)


def test_what_only_looks_like_a_file_is_sent_as_it_is(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    messages = [{"role": "user", "content": f"What is {file_id}?"}, *chat_file("file-abc")]
    answer = ask(world, "/v1/chat/completions", {"model": "openai/gpt-4o", "messages": messages})
    assert answer.status == 200
    assert last(world).json()["messages"][0]["content"] == f"What is {file_id}?"
    assert json.dumps(last(world).json()).count("file-abc") == 1


def test_a_line_of_a_batch_names_its_file(world: World, keeper: Keeper) -> None:
    asked = {"model": "openai/gpt-4o", "messages": chat_file(upload(world))}
    body, headers = form(jsonl([line("a", asked)]), purpose="batch")
    made = world.send("POST", "/v1/files", body, {**headers, **as_of("ann")}).json
    wish = {"input_file_id": made["id"], "endpoint": "/v1/chat/completions", "completion_window": "1h"}
    batch = ask(world, "/v1/batches", wish).json
    limit = time.monotonic() + 30
    while not (found := world.send("GET", f"/v1/batches/{batch['id']}", headers=as_of("ann")).json)[
        "completed_at"
    ]:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert found["request_counts"]["completed"] == 1
    assert last(world).json()["messages"][0]["content"][0]["file"] == {"file_id": "up-1"}


def test_a_turn_over_a_socket_names_its_file(world: World, keeper: Keeper) -> None:
    file_id = upload(world)
    with opened(world, key=KEYS["ann"]) as connection:
        create(connection, model="openai/gpt-5", input=input_file(file_id))
        assert events(connection)[-1]["type"] == "response.completed"
    assert last(world).json()["input"][0]["content"][0]["file_id"] == "up-1"
