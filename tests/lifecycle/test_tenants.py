"""Another tenant's things are missing: the same status and the same body as for ids of nobody (A11)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.surfaces.mounts import MOUNTS
from tests.behaviour.world import Answer
from tests.lifecycle.batches import chat_lines, started, uploaded
from tests.lifecycle.house import Client, House

NOBODYS = {
    **{name: f"{name}_{'0' * 48}" for name in ("resp", "conv", "msg", "batch")},
    **dict.fromkeys(("asked", "item"), f"msg_{'0' * 48}"),
    "file": "file-" + "0" * 48,
}


def things(client: Client) -> dict[str, str]:
    """Make a background response, a conversation, a file and a batch; return their ids, and those of items:
    one that the response made, one that it was asked, one of the conversation."""
    response = client.ended(client.make(background=True)["id"])
    conversation = client.post("/v1/conversations", {"items": [{"role": "user", "content": "secret"}]}).json
    file = uploaded(client, chat_lines(["say exactly: secret"]))
    batch = started(client, file)
    return {
        "resp": response["id"],
        "conv": conversation["id"],
        "msg": response["output"][0]["id"],
        "asked": client.get(f"/v1/responses/{response['id']}/input_items").json["data"][0]["id"],
        "item": client.get(f"/v1/conversations/{conversation['id']}/items").json["data"][0]["id"],
        "file": file,
        "batch": batch["id"],
    }


def same(answer: Answer) -> tuple[int, Any, set[str]]:
    """The answer without what each call has of its own: ids, and the call's length in time."""
    text = re.sub(r"(resp|conv|msg|batch|file)[_-][0-9a-f]{48}", r"\1_ID", answer.body.decode())
    body = json.loads(text)
    body.get("extra_fields", {}).pop("latency", None)
    return answer.status, body, set(answer.headers)


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "responses/{resp}", None),
    ("GET", "responses/{resp}?stream=true", None),
    ("GET", "responses/{resp}?stream=true&starting_after=3", None),
    ("GET", "responses/{resp}/input_items", None),
    ("GET", "responses/{resp}/input_items?after={asked}", None),
    ("POST", "responses/{resp}/cancel", None),
    ("DELETE", "responses/{resp}", None),
    ("GET", "conversations/{conv}", None),
    ("POST", "conversations/{conv}", {"metadata": {"a": "b"}}),
    ("DELETE", "conversations/{conv}", None),
    ("GET", "conversations/{conv}/items", None),
    ("POST", "conversations/{conv}/items", {"items": [{"role": "user", "content": "x"}]}),
    ("GET", "conversations/{conv}/items/{item}", None),
    ("DELETE", "conversations/{conv}/items/{item}", None),
    ("POST", "responses", {"previous_response_id": "{resp}"}),
    ("POST", "responses", {"conversation": "{conv}"}),
    ("POST", "responses", {"conversation": {"id": "{conv}"}, "background": True}),
    ("POST", "responses", {"input": [{"type": "item_reference", "id": "{msg}"}]}),
    ("POST", "responses/input_tokens", {"previous_response_id": "{resp}"}),
    ("POST", "responses/compact", {"previous_response_id": "{resp}"}),
    ("GET", "files/{file}", None),
    ("GET", "files/{file}/content", None),
    ("GET", "files?after={file}", None),
    ("DELETE", "files/{file}", None),
    ("GET", "batches/{batch}", None),
    ("GET", "batches?after={batch}", None),
    ("POST", "batches/{batch}/cancel", None),
    (
        "POST",
        "batches",
        {"input_file_id": "{file}", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    ),
]


SURFACES = [
    "",
    *(
        prefix.replace("<model:deployment>", "gpt")
        for mount in MOUNTS
        if "conversations" in mount.operations
        for prefix in mount.prefixes
    ),
]
"""Every prefix at which stored things are served."""


@pytest.fixture(scope="module")
def anns(running: House) -> dict[str, str]:
    """Things of ann's that nobody else can change: one of each for all tests."""
    return things(running.fresh().client("ann"))


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_not_yours_is_missing(
    anns: dict[str, str], ann: Client, bob: Client, method: str, path: str, body: Any
) -> None:
    def ask(client: Client, surface: str, ids: dict[str, str]) -> Answer:
        text = json.dumps({"model": "sandbox/echo", "input": "x", **(body or {})})
        for name, one in ids.items():
            text = text.replace(f"{{{name}}}", one)
        sent = json.loads(text) if body is not None else None
        return client.send(method, f"{surface}/{path.format(**ids)}", sent)

    for surface in SURFACES:
        theirs, nobodys = ask(bob, surface, anns), ask(bob, surface, NOBODYS)
        assert same(theirs) == same(nobodys), surface
        assert theirs.status in (404, 400), surface
        assert method != "GET" or ask(ann, surface, anns).status == 200, (
            surface
        )  # it is the id that is not found
    assert ann.get(f"/v1/responses/{anns['resp']}").status == 200
    assert ann.get(f"/v1/conversations/{anns['conv']}").json["metadata"] == {}
    assert ann.get(f"/v1/files/{anns['file']}").status == 200
    assert ann.get(f"/v1/batches/{anns['batch']}").json["status"] != "cancelled"


def test_the_keys_of_one_tenant_share_everything(ann: Client, ann_too: Client) -> None:
    ids = things(ann)
    assert ann_too.get(f"/v1/responses/{ids['resp']}").status == 200
    assert ann_too.make(previous_response_id=ids["resp"])["status"] == "completed"
    assert ann_too.make(conversation=ids["conv"])["status"] == "completed"
    assert ann_too.delete(f"/v1/responses/{ids['resp']}").status == 200
    assert ann.get(f"/v1/responses/{ids['resp']}").status == 404


def test_ids_hold_at_least_128_random_bits(ann: Client) -> None:
    made = {ann.make()["id"] for _ in range(5)} | {ann.post("/v1/conversations").json["id"] for _ in range(5)}
    assert len(made) == 10
    assert all(re.fullmatch(r"(resp|conv)_[0-9a-f]{48}", one) for one in made)
