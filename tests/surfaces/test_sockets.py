"""Responses over WebSocket, at real sockets: messages, turns, memory, credentials, ends (docs/responses.md)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event
from time import sleep
from typing import Any

import pytest
from openai import OpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.behaviour.world import (
    ROLE,
    World,
    chat_end,
    chat_stream,
    chat_text,
    raw_request,
    received,
    running_world,
)
from tests.surfaces.conftest import KEY, NARROW_KEY
from tests.surfaces.test_mounts import PREFIXES
from tests.traffic.replay import Reply
from tests.websocket_client import ClientConnection, connect

SAID = {"model": "sandbox/echo", "input": "say exactly: hello"}
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


@contextmanager
def opened(
    world: World, path: str = "/v1/responses", *, key: str | None = KEY, **options: Any
) -> Iterator[ClientConnection]:
    """Open a WebSocket at a path of the gateway, with a key."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    headers |= options.pop("headers", {})
    url = f"ws://127.0.0.1:{world.gateway.port}{path}"
    with connect(url, additional_headers=headers, max_size=None, **options) as connection:
        yield connection


def refusal(world: World, path: str = "/v1/responses", **options: Any) -> tuple[int, dict[str, Any]]:
    """Return status and error of an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as refused, opened(world, path, **options):
        raise AssertionError("the upgrade was accepted")
    answer = refused.value.response
    return answer.status_code, json.loads(answer.body or b"")["error"]


def create(connection: ClientConnection, **members: Any) -> None:
    connection.send(json.dumps({"type": "response.create", **SAID, **members}))


def events(connection: ClientConnection) -> list[dict[str, Any]]:
    """Read the events of one turn."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] not in ENDS:
        found.append(json.loads(connection.recv(timeout=20)))
    return found


def turn(connection: ClientConnection, **members: Any) -> dict[str, Any]:
    """Take one turn and return its response, which must have been completed."""
    create(connection, **members)
    last = events(connection)[-1]
    assert last["type"] == "response.completed", last
    response: dict[str, Any] = last["response"]
    return response


def error(connection: ClientConnection) -> dict[str, Any]:
    """Read an error that is no event of a stream."""
    value = json.loads(connection.recv(timeout=20))
    assert value["type"] == "error", value
    assert set(value) == {"type", "status", "error"}
    assert set(value["error"]) >= {"message", "type", "param", "code"}
    return {"status": value["status"], **value["error"]}


def closed(connection: ClientConnection) -> int:
    """Read until the connection ends; return the code that the gateway closed it with."""
    with pytest.raises(ConnectionClosed) as end:
        while True:
            connection.recv(timeout=20)
    assert end.value.rcvd is not None
    return int(end.value.rcvd.code)


def text_of(response: Mapping[str, Any]) -> str:
    return "".join(p["text"] for i in response["output"] if i["type"] == "message" for p in i["content"])


@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_every_surface_of_responses_takes_turns_over_a_websocket(world: World, prefix: str) -> None:
    with opened(world, f"{prefix}/responses") as connection:
        for said in ("one", "two"):
            create(connection, input=f"say exactly: {said}")
            told = events(connection)
            assert told[0]["type"] == "response.created"
            assert [event["sequence_number"] for event in told] == list(range(len(told)))
            assert text_of(told[-1]["response"]) == said


def test_the_events_are_those_of_the_stream(world: World) -> None:
    posted = world.ask("responses", model="sandbox/echo", stream=True, input="say exactly: a b c")
    with opened(world) as connection:
        create(connection, input="say exactly: a b c", stream=False)
        assert [e["type"] for e in events(connection)] == [e["type"] for e in posted.events]


def test_openai_python_connects(world: World) -> None:
    client = OpenAI(base_url=f"{world.gateway.url}/v1", api_key=KEY)
    with client.responses.connect() as connection:
        connection.response.create(model="sandbox/echo", input="say exactly: hello")
        for event in connection:
            if event.type == "response.completed":
                assert event.response.output_text == "hello"
                break


def test_a_turn_that_is_not_stored_is_continued_on_its_connection_alone(world: World) -> None:
    for text in ("four", "eight"):
        world.upstream.add(Reply.sse(chat_stream(text)))
    with opened(world) as connection:
        first = turn(connection, model="groq/x", input="two and two", store=False)
        turn(connection, model="groq/x", input="twice", store=False, previous_response_id=first["id"])
        asked = json.loads(world.upstream.requests[-1].body)["messages"]
        assert [one["content"] for one in asked] == ["two and two", "four", "twice"]
    assert world.send("GET", f"/v1/responses/{first['id']}").status == 404
    with opened(world) as connection:
        create(connection, previous_response_id=first["id"])
        lost = error(connection)
        assert (lost["status"], lost["code"]) == (400, "previous_response_not_found")


def test_a_stored_turn_goes_on_from_one_that_is_not_and_holds_it(world: World) -> None:
    with opened(world) as connection:
        first = turn(connection, input="say exactly: one", store=False)
        second = turn(connection, input="say exactly: two", previous_response_id=first["id"])
        third = turn(connection, input="say exactly: 3", store=False, previous_response_id=second["id"])
        assert third["previous_response_id"] == second["id"]
    items = world.send("GET", f"/v1/responses/{second['id']}/input_items?order=asc").json["data"]
    assert [item["role"] for item in items] == ["user", "assistant", "user"]


def test_a_turn_that_fails_evicts_what_it_went_on_from(world: World) -> None:
    with opened(world) as connection:
        first = turn(connection, store=False)
        create(connection, model="nobody/knows", store=False, previous_response_id=first["id"])
        assert error(connection)["status"] == 400
        create(connection, store=False, previous_response_id=first["id"])
        assert error(connection)["code"] == "previous_response_not_found"


def test_a_turn_that_generates_nothing_calls_nobody_and_can_be_continued(world: World) -> None:
    world.upstream.add(Reply.sse(chat_stream("fine")))
    with opened(world) as connection:
        create(connection, model="groq/x", input="be brief", store=False, generate=False)
        told = events(connection)
        assert [event["type"] for event in told] == ["response.created", "response.completed"]
        assert told[-1]["response"]["output"] == []
        assert world.upstream.requests == []
        warmed = told[-1]["response"]["id"]
        turn(connection, model="groq/x", input="hi", store=False, previous_response_id=warmed)
    asked = json.loads(world.upstream.requests[-1].body)["messages"]
    assert [one["content"] for one in asked] == ["be brief", "hi"]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("{", None),
        ("", None),
        ("[]", None),
        ("null", None),
        ('"response.create"', None),
        ("{}", "type"),
        ('{"type": null}', "type"),
        ('{"type": "response.cancel"}', "type"),
        ('{"type": ["response.create"]}', "type"),
        (
            '{"type": "response.create", "model": "sandbox/echo", "input": "x", "background": true}',
            "background",
        ),
        ('{"type": "response.create", "model": "sandbox/echo", "input": "x", "generate": 1}', "generate"),
        ('{"type": "response.create", "model": "sandbox/echo", "input": 5}', "input"),
        ('{"type": "response.create", "input": "x"}', "model"),
        ('{"type": "response.create", "model": "sandbox/echo"}', "input"),
    ],
)
def test_a_bad_message_is_answered_in_words_and_the_connection_lives(
    world: World, message: str, param: str | None
) -> None:
    with opened(world) as connection:
        connection.send(message)
        told = error(connection)
        assert (told["status"], told["param"]) == (400, param)
        assert text_of(turn(connection)) == "hello"


def test_a_turn_beside_another_is_refused_and_the_other_goes_on(world: World) -> None:
    going_on = Event()
    world.upstream.add(Reply.sse(paused(going_on), framing="chunked"))
    with opened(world) as connection:
        create(connection, model="groq/x")
        world.upstream.wait_for(1)
        create(connection)
        refused = error(connection)
        assert (refused["status"], refused["code"]) == (409, "response_in_progress")
        going_on.set()
        assert text_of(events(connection)[-1]["response"]) == "slow"
        assert text_of(turn(connection)) == "hello"


def paused(going_on: Event) -> Iterator[bytes]:
    """Yield a stream that waits for a sign before its text."""
    yield ROLE
    going_on.wait(20)
    yield chat_text("slow") + chat_end()


def send_raw(connection: ClientConnection, data: bytes) -> None:
    connection.socket.sendall(data)


MASKED = b"\x80\x00\x00\x00\x00"  # the length 0, masked


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82" + MASKED, 1003),
        (b"\x02" + MASKED, 1003),
        (b"\x81\x01x", 1002),  # not masked
        (b"\xc1" + MASKED, 1002),  # a reserved bit: nothing was compressed
        (b"\x83" + MASKED, 1002),  # an unknown opcode
        (b"\x80" + MASKED, 1002),  # goes on with nothing
        (b"\x09" + MASKED, 1002),  # a ping in pieces
        (b"\x81\x82\x00\x00\x00\x00\xc3\x28", 1007),
        (b"\x81\xff\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00", 1009),
    ],
)
def test_a_frame_that_cannot_be_taken_closes_the_connection_with_its_code(
    world: World, frame: bytes, code: int
) -> None:
    with opened(world) as connection:
        send_raw(connection, frame)
        assert closed(connection) == code


def test_messages_may_come_in_pieces_and_pings_are_answered_between_them(world: World) -> None:
    with opened(world) as connection:
        text = json.dumps(
            {"type": "response.create", **SAID, "input": "say exactly: h\u00e9"}, ensure_ascii=False
        )
        connection.send(iter([text[:40], text[40:-3], text[-3:]]))
        assert connection.ping().wait(10)
        assert text_of(events(connection)[-1]["response"]) == "h\u00e9"


def test_no_compression_is_agreed_on(world: World) -> None:
    with opened(world, compression="deflate") as connection:
        assert connection.response is not None
        assert "sec-websocket-extensions" not in connection.response.headers
        assert connection.response.headers["x-request-id"].startswith("req_")


def test_a_key_may_come_as_a_subprotocol_that_is_not_the_one_chosen(world: World) -> None:
    secret = f"openai-insecure-api-key.{KEY}"
    with opened(world, key=None, subprotocols=[secret, "realtime"]) as connection:
        assert connection.subprotocol == "realtime"
        assert text_of(turn(connection)) == "hello"
    with opened(world, key=None, subprotocols=["realtime", secret]) as connection:
        assert connection.subprotocol == "realtime"
    with opened(world, key=None, subprotocols=[secret]) as connection:
        assert connection.subprotocol is None
    assert KEY not in world.gateway.log
    status, told = refusal(world, key=None, subprotocols=["openai-insecure-api-key.wrong"])
    assert (status, told["code"]) == (401, "invalid_api_key")


def test_a_key_counts_as_everywhere(world: World) -> None:
    assert refusal(world, key=None)[0] == 401
    assert refusal(world, key="wrong")[0] == 401
    with opened(world, key=NARROW_KEY) as connection:
        create(connection)
        assert error(connection)["status"] == 403


def test_a_page_of_another_origin_is_refused(world: World) -> None:
    status, told = refusal(world, origin="https://evil.example")
    assert (status, told["code"]) == (403, "permission_denied")
    assert refusal(world, origin="http://[")[0] == 403
    with opened(world, origin=f"http://127.0.0.1:{world.gateway.port}") as connection:
        assert text_of(turn(connection)) == "hello"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses/resp_1", "/anthropic/v1/messages"])
def test_an_upgrade_elsewhere_is_refused_in_words(world: World, path: str) -> None:
    assert refusal(world, path)[1]["message"].startswith("WebSocket connections are not supported here")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_upgrade_by_another_method_is_refused_in_words(world: World, prefix: str, method: str) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket", "authorization": f"Bearer {KEY}"}
    answer = world.send(method, f"{prefix}/responses", SAID, headers)

    assert (answer.status, answer.error["code"]) == (426, "websocket_not_supported")


def test_no_websocket_is_opened_by_http_1_0(world: World) -> None:
    headers = ["Connection: Upgrade", "Upgrade: websocket"]
    headers += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
    request = raw_request("GET", "/v1/responses", key=KEY, headers=headers)
    with world.connect() as connection:
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert b" 400 " in received(connection, b"\r\n")


def test_a_handshake_that_is_none_is_refused_in_words(world: World) -> None:
    asked = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "AAAA"}
    assert (
        world.send("GET", "/v1/responses", None, asked).error["message"].startswith("This is not a WebSocket")
    )
    asked |= {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==", "sec-websocket-version": "8"}
    other = world.send("GET", "/v1/responses", None, asked)
    assert (other.status, other.headers["sec-websocket-version"]) == (426, "13")
    assert other.error["message"].startswith("This is not a WebSocket")
    assert world.send("GET", "/v1/responses", {}, asked).status == 400
    assert world.send("GET", "/v1/responses").status == 405


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_a_client_that_leaves_ends_the_call_of_its_turn(world: World, says_goodbye: bool) -> None:
    world.upstream.add(Reply.sse(ROLE, hang=len(ROLE)))
    with opened(world) as connection:
        create(connection, model="groq/x")
        (request,) = world.upstream.wait_for(1)
        if not says_goodbye:
            connection.socket.shutdown(socket.SHUT_RDWR)
    assert request.closed.wait(3)


def test_a_drain_closes_idle_connections_and_lets_turns_end() -> None:
    going_on = Event()
    with running_world({"SLUICE_DRAIN_AFTER": "10"}) as world:
        world.upstream.add(Reply.sse(paused(going_on), framing="chunked"))
        with opened(world, key=None) as idle, opened(world, key=None) as busy:
            turn(idle)
            create(busy, model="groq/x")
            world.upstream.wait_for(1)
            world.gateway.terminate()
            assert closed(idle) == 1001
            going_on.set()
            assert text_of(events(busy)[-1]["response"]) == "slow"
            assert closed(busy) == 1001
        assert world.gateway.stop() == 0


def test_a_drain_ends_a_turn_that_takes_too_long() -> None:
    with running_world({"SLUICE_DRAIN_AFTER": "0.5"}) as world, opened(world, key=None) as connection:
        world.upstream.add(Reply.sse(ROLE, hang=len(ROLE)))
        create(connection, model="groq/x")
        world.upstream.wait_for(1)
        world.gateway.terminate()
        last = events(connection)[-1]
        assert (last.get("response") or last)["error"]["code"] == "server_shutdown"
        assert closed(connection) == 1001


def test_a_client_that_stops_reading_is_let_go() -> None:
    asked = json.dumps({"type": "response.create", "model": "groq/x", "input": "hi"}).encode()
    with running_world({"SLUICE_TIMEOUT_IDLE": "1"}) as world, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", world.gateway.port))
        slow.sendall(
            raw_request("GET", "/v1/responses", headers=HANDSHAKE).replace(b"Content-Length: 0\r\n", b"")
        )
        assert received(slow, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        world.upstream.add(Reply.sse(flood(), framing="chunked"))
        slow.sendall(b"\x81" + bytes([0x80 | len(asked)]) + b"\x00\x00\x00\x00" + asked)
        (request,) = world.upstream.wait_for(1)
        assert request.closed.wait(10)
        assert request.sent < 50_000_000
        assert "Traceback" not in world.gateway.log


HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def flood() -> Iterator[bytes]:
    """Yield a stream that does not end."""
    yield ROLE
    while True:
        yield chat_text("x" * 1000)


def test_frames_are_limited_as_bodies_are() -> None:
    with running_world({"SLUICE_MAX_BODY_BYTES": "2000"}) as world, opened(world, key=None) as connection:
        create(connection, input="x" * 1000)
        assert events(connection)[-1]["type"] == "response.completed"
        create(connection, input="x" * 3000)
        assert closed(connection) == 1009


@pytest.mark.parametrize(
    "begin", [b"\x01" + MASKED, b"\x81\xfe\x10\x00\x00\x00\x00\x00"], ids=["pieces", "frame"]
)
def test_a_message_has_the_deadline_of_a_body(begin: bytes) -> None:
    """However little comes at a time, and whatever comes between; a connection may be idle for longer."""
    more = b"\x00" + MASKED if begin.startswith(b"\x01") else b"x"
    with running_world({"SLUICE_BODY_DEADLINE": "1"}) as world, opened(world, key=None) as connection:
        assert turn(connection)
        sleep(1.5)
        assert turn(connection)
        send_raw(connection, begin)
        with suppress(OSError):
            for _ in range(300):
                send_raw(connection, more)
                sleep(0.1)
        assert closed(connection) == 1008


def test_a_revoked_key_ends_its_connections() -> None:
    master = "master-0123456789"
    with running_world({"SLUICE_MASTER_KEY": master, "SLUICE_SECRET_KEY": "of this test"}) as world:
        office = World(world.gateway, world.upstream, master)
        assert office.send("POST", "/admin/tenants", {"name": "team"}).status == 201
        body = office.send("POST", "/admin/keys", {"tenant": "team", "name": "ann"}).json
        with opened(world, key=body["key"]) as connection, opened(world, key=master) as other:
            turn(connection)
            office.send("DELETE", f"/admin/keys/{body['id']}?now=true")
            assert closed(connection) == 1008
            assert text_of(turn(other)) == "hello"


def test_each_turn_is_logged_as_a_call_with_an_id_of_its_own(world: World) -> None:
    with opened(world) as connection:
        made = [turn(connection)["id"] for _ in range(2)]
        create(connection, model="nobody/knows")
        error(connection)
        turn(connection)  # begins once the one before has ended
    lines = [json.loads(line) for line in world.gateway.log.splitlines() if '"event":"call"' in line]
    calls = [line for line in lines if line["response_id"] in made]
    assert [line["status"] for line in calls] == [200, 200]
    assert len({line["request_id"] for line in calls}) == 2
    assert [line["status"] for line in lines if line["model"] == "nobody/knows"][-1] == 400
