"""Each recorded chat, asked for at the doors of Anthropic and Cohere, comes back in the form of the door."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.behaviour.world import Answer as Http
from tests.behaviour.world import World
from tests.replay import asking, comparing, left_out
from tests.replay.setting import replaying_world
from tests.traffic.answers import Answer, Choice
from tests.traffic.frames import payloads, sse
from tests.traffic.load import Exchange, absent, exchanges
from tests.traffic.replay import NEVER, Reply
from tests.traffic.wires import cohere, messages

Json = dict[str, Any]
SAID = [{"role": "user", "content": "Go on."}]


def messages_body(names: list[str]) -> Json:
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"max_tokens": 4096, "messages": SAID, **({"tools": tools} if tools else {})}


def cohere_body(names: list[str]) -> Json:
    functions = [{"name": name, "parameters": {"type": "object"}} for name in names]
    tools = [{"type": "function", "function": function} for function in functions]
    return {"messages": SAID, **({"tools": tools} if tools else {})}


def cohere_answer(body: Json) -> Answer:
    answer = Answer(id=body["id"], usage=cohere.usage(body.get("usage")))
    choice = answer.choice(0)
    choice.finish_raw = body["finish_reason"]
    cohere.add(choice, body["message"])
    return answer


def messages_grammar(kinds: list[str], events: list[Json]) -> None:
    """Blocks come one after another, each opened, grown and closed under its own number."""
    assert kinds == [event["type"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    blocks = [(event["type"], event["index"]) for event in events[1:-2] if event["type"] != "ping"]
    count = sum(kind == "content_block_start" for kind, _ in blocks)
    merged = [block for at, block in enumerate(blocks) if at == 0 or block != blocks[at - 1]]
    steps = ("content_block_start", "content_block_delta", "content_block_stop")
    assert [block for block in merged if block[0] != steps[1]] == [
        (kind, number) for number in range(count) for kind in (steps[0], steps[2])
    ]
    assert [number for _, number in merged] == sorted(number for _, number in merged)


def cohere_grammar(kinds: list[str], events: list[Json]) -> None:
    """What is opened is closed, under its number."""
    assert kinds == [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("message-start", "message-end")
    open_now: set[tuple[str, int]] = set()
    for event in events[1:-1]:
        thing, _, step = event["type"].rpartition("-")
        place = (thing, event.get("index", 0))
        if step == "start":
            assert place not in open_now
            open_now.add(place)
        elif thing != "tool-plan":
            assert place in open_now
            open_now -= {place} if step == "end" else set()
    assert open_now == set()


@dataclass(frozen=True)
class Door:
    """A door, how it is asked, how its answers are read, and the API whose bodies pass there."""

    path: str
    home: str
    body: Callable[[list[str]], Json]
    whole: Callable[[Json], Answer]
    streamed: Callable[[list[Json]], Answer]
    grammar: Callable[[list[str], list[Json]], None]


DOORS: Mapping[str, Door] = {
    "anthropic": Door(
        "/anthropic/v1/messages",
        ".messages",
        messages_body,
        messages.from_message,
        messages.from_events,
        messages_grammar,
    ),
    "cohere": Door(
        "/cohere/v2/chat", "cohere.v2.chat", cohere_body, cohere_answer, cohere.from_events, cohere_grammar
    ),
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with replaying_world() as running:
        yield running


def cases() -> list[Any]:
    found = []
    for one in exchanges(operations=("chat_completion", "chat_completion_stream")):
        if left_out.reason(one) or one.api.startswith("bedrock.invoke.") or one.status != 200:
            continue
        wanted = asking.outcome(one)
        if isinstance(wanted, Answer) and _is_common(wanted):
            found += [pytest.param(one, name, id=f"{one.id}-{name}") for name in DOORS]
    return found or [absent(2)]


def _is_common(wanted: Answer) -> bool:
    """Whether every door can say it: one good answer, without calls of OpenAI's custom tools."""
    if wanted.error is not None or len(wanted.choices) != 1:
        return False
    (choice,) = wanted.choices
    broken_off = comparing.FINISHES.get(str(choice.finish_raw)) == "error"
    return not broken_off and all(call.kind != "custom" for call in choice.tool_calls)


@pytest.mark.parametrize(("recording", "name"), cases())
def test_a_client_of_another_door_gets_the_recorded_answer(
    world: World, recording: Exchange, name: str
) -> None:
    door, wanted = DOORS[name], asking.outcome(recording)
    assert isinstance(wanted, Answer)
    stream = recording.operation.endswith("_stream")
    world.fresh().upstream.add(Reply.of(recording, chunk=0), times=NEVER)
    names = sorted({call.name for call in wanted.choices[0].tool_calls})
    body = {**door.body(names), "model": asking.model_of(recording), **({"stream": True} if stream else {})}
    http = world.send("POST", door.path, body)
    assert http.status == 200, http.body
    got = read(door, http, recording, stream)
    assert faults(door, recording, wanted.choices[0], got.choices[0]) == []
    assert got.usage is not None
    assert counts(wanted) in (None, (got.usage.input, got.usage.output))


def read(door: Door, http: Http, recording: Exchange, stream: bool) -> Answer:
    if not stream:
        return door.whole(http.json)
    events = [event for event in payloads(http.body) if event != "[DONE]"]
    if door.home not in recording.api:
        door.grammar([str(f.event) for f in sse(http.body) if f.data != "[DONE]"], events)
    return door.streamed(events)


def faults(door: Door, recording: Exchange, wanted: Choice, got: Choice) -> list[str]:
    """Name what differs: text with what was refused, thoughts, calls, and the kind of end."""
    pairs = {
        "text": (got.text or got.refusal, wanted.text or wanted.refusal),
        "thoughts": (comparing.thoughts(got), comparing.thoughts(wanted)),
        "calls": (comparing.calls(got), comparing.calls(wanted)),
    }
    return [f"{name}: {a!r:.300}, wanted {b!r:.300}" for name, (a, b) in pairs.items() if a != b]


def counts(answer: Answer) -> tuple[int | None, int | None] | None:
    """The counts that every one of these wires has, where the answer tells any."""
    usage = answer.usage
    return None if usage is None or usage.total is None else (usage.input, usage.output)
