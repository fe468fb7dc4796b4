"""Stored responses and conversations in the window: found, drawn as a tree, and read only where that is allowed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.behaviour.world import running_world
from tests.lifecycle.house import Client, eventually
from tests.surfaces.visitor import ENV, EVIL, Visitor, logged_in

CONFIG = """
[keys.ann]
key = "sk-ann-0123456789"
tenant = "red"
"""


@dataclass
class Place:
    """A gateway, who looks at it, and a client whose words are stored."""

    visitor: Visitor
    client: Client
    reads: bool

    def page(self, path: str) -> str:
        answer = self.visitor.get(f"/ui{path}")
        assert answer.status == 200, answer.body
        assert EVIL.encode() not in answer.body
        return html.unescape(answer.body.decode())


@pytest.fixture(scope="module", params=[False, True], ids=["members", "content"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    reads = {"SLUICE_ADMIN_READS_CONTENT": "on"} if request.param else {}
    with running_world({**ENV, "WEB_CONCURRENCY": "1", **reads}, config=CONFIG) as world:
        visitor = logged_in(world)
        yield Place(visitor, Client(world.gateway.port, "sk-ann-0123456789"), request.param)


def test_a_thread_is_a_tree_of_its_turns(place: Place) -> None:
    root = place.client.make("say exactly: root")["id"]
    left, right = (place.client.make(word, previous_response_id=root)["id"] for word in ("left", "right"))
    leaf = place.client.make("leaf", previous_response_id=left)["id"]
    page = place.page(f"/responses/{right}")
    turns = re.findall(r'<li class="depth-(\d)"><a class="code" href="/ui/responses/(resp_[^"]+)"', page)
    assert turns == [("0", root), ("1", left), ("2", leaf), ("1", right)]
    assert f'href="/ui/responses/{right}" aria-current="true"' in page
    assert leaf in place.page("/responses?tenant=red")
    assert leaf not in place.page("/responses?tenant=blue")


def test_contents_are_text_and_shown_only_where_that_is_allowed(place: Place) -> None:
    made = place.client.make(f"say exactly: {EVIL}")["id"]
    page = place.page(f"/responses/{made}")
    assert (EVIL in page) is place.reads
    assert ("SLUICE_ADMIN_READS_CONTENT" in page) is not place.reads


def test_the_events_of_a_background_response_can_be_replayed(place: Place) -> None:
    response = place.client.create("say exactly: one two", background=True, stream=True)
    match = re.search(rb'"id":\s*"(resp_[^"]+)"', response.body)
    assert match is not None
    page = place.page(f"/responses/{match[1].decode()}")
    assert ("data-replay" in page) is place.reads
    assert ("response.output_text.delta" in page) is place.reads


def test_a_conversation_has_its_turns_and_items(place: Place) -> None:
    item = {"type": "message", "role": "user", "content": EVIL}
    made = place.client.post("/v1/conversations", {"metadata": {"topic": EVIL}, "items": [item]}).json["id"]
    turn = place.client.make("say exactly: yes", conversation=made)["id"]
    assert made in place.page("/conversations")
    page = eventually(lambda: place.page(f"/conversations/{made}"))
    assert turn in page
    assert (EVIL in page) is place.reads
    assert "message, user" in page


def test_what_is_not_there_is_said(place: Place) -> None:
    for path in ("/responses/resp_nobody", "/conversations/conv_nobody"):
        assert place.visitor.get(f"/ui{path}").status == 404
    assert place.visitor.get("/ui/responses?after=resp_nobody").status == 400
