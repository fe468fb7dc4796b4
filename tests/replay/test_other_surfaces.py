"""Each recorded chat, asked for at the surfaces of other APIs than OpenAI's, comes back in the form of the surface."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from app.wire.eventstream import EventStreamDecoder
from tests.behaviour.world import Answer as Http
from tests.behaviour.world import World
from tests.replay import asking, comparing, left_out
from tests.traffic.answers import Answer, Choice
from tests.traffic.frames import sse
from tests.traffic.load import Exchange, absent, exchanges
from tests.traffic.replay import NEVER, Reply
from tests.traffic.wires import cohere, converse, gemini, messages

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


def gemini_body(names: list[str]) -> Json:
    functions = [{"name": name, "parameters": {"type": "OBJECT"}} for name in names]
    tools = [{"functionDeclarations": functions}] if functions else []
    shown = {"thinkingConfig": {"includeThoughts": True}}
    return {
        "contents": [{"role": "user", "parts": [{"text": "Go on."}]}],
        "tools": tools,
        "generationConfig": shown,
    }


def converse_body(names: list[str]) -> Json:
    tools = [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in names]
    said = [{"role": "user", "content": [{"text": "Go on."}]}]
    return {"messages": said, **({"toolConfig": {"tools": tools}} if tools else {})}


def gemini_grammar(kinds: list[str], events: list[Json]) -> None:
    """Every chunk has the identity of the answer; the last alone says why it ended, and counts."""
    assert len({(event["responseId"], event["modelVersion"]) for event in events}) == 1
    ends = ["finishReason" in event["candidates"][0] for event in events]
    assert ends == [False] * (len(events) - 1) + [True]
    assert ["usageMetadata" in event for event in events] == ends
    assert all(part for event in events for part in event["candidates"][0]["content"]["parts"])


def converse_grammar(kinds: list[str], events: list[Json]) -> None:
    """Blocks come one after another, each grown and closed under its own number."""
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    numbers = [event["contentBlockIndex"] for event in events[1:-2]]
    assert numbers == sorted(numbers)
    stops = [
        event["contentBlockIndex"]
        for kind, event in zip(kinds, events, strict=True)
        if kind == "contentBlockStop"
    ]
    assert stops == sorted(set(numbers)) == list(range(len(stops)))


def sse_frames(body: bytes) -> list[tuple[str, Json]]:
    return [(str(frame.event), json.loads(frame.data)) for frame in sse(body) if frame.data != "[DONE]"]


def aws_frames(body: bytes) -> list[tuple[str, Json]]:
    messages = EventStreamDecoder().feed(body)
    return [(message.headers[":event-type"], json.loads(message.payload)) for message in messages]


def events_of(body: bytes) -> list[Json]:
    return [event for _, event in sse_frames(body)]


@dataclass(frozen=True)
class Surface:
    """A surface, how it is asked, how its answers are read, and the API whose bodies pass there."""

    path: str
    home: str
    body: Callable[[list[str]], Json]
    whole: Callable[[Json], Answer]
    streamed: Callable[[bytes], Answer]
    grammar: Callable[[list[str], list[Json]], None]
    stream_path: str | None = None
    frames: Callable[[bytes], list[tuple[str, Json]]] = sse_frames


SURFACES: Mapping[str, Surface] = {
    "anthropic": Surface(
        "/anthropic/v1/messages",
        ".messages",
        messages_body,
        messages.from_message,
        lambda body: messages.from_events(events_of(body)),
        messages_grammar,
    ),
    "cohere": Surface(
        "/cohere/v2/chat",
        "cohere.v2.chat",
        cohere_body,
        cohere_answer,
        lambda body: cohere.from_events(events_of(body)),
        cohere_grammar,
    ),
    "gemini": Surface(
        "/v1beta/models/{model}:generateContent",
        "enerateContent",
        gemini_body,
        lambda body: gemini.fold([body], stream=False),
        lambda body: gemini.fold(events_of(body), stream=True),
        gemini_grammar,
        stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
    ),
    "bedrock": Surface(
        "/bedrock/model/{model}/converse",
        "bedrock.converse",
        converse_body,
        lambda body: converse.from_blocks(
            body["output"]["message"]["content"], body["stopReason"], body["usage"]
        ),
        converse.from_events,
        converse_grammar,
        stream_path="/bedrock/model/{model}/converse-stream",
        frames=aws_frames,
    ),
}


def cases() -> list[Any]:
    found = []
    for one in exchanges(operations=("chat_completion", "chat_completion_stream")):
        if left_out.reason(one) or one.api.startswith("bedrock.invoke.") or one.status != 200:
            continue
        expected = asking.outcome(one)
        if isinstance(expected, Answer) and _is_common(expected):
            found += [pytest.param(one, name, id=f"{one.id}-{name}") for name in SURFACES]
    return found or [absent(2)]


def _is_common(wanted: Answer) -> bool:
    """Whether every surface can say it: one good answer, without calls of OpenAI's custom tools."""
    if wanted.error is not None or len(wanted.choices) != 1:
        return False
    (choice,) = wanted.choices
    broken_off = comparing.FINISHES.get(str(choice.finish_raw)) == "error"
    return not broken_off and all(call.kind != "custom" for call in choice.tool_calls)


@pytest.mark.parametrize(("recording", "name"), cases())
def test_a_client_of_another_surface_gets_the_recorded_answer(
    world: World, recording: Exchange, name: str
) -> None:
    surface, wanted = SURFACES[name], asking.outcome(recording)
    assert isinstance(wanted, Answer)
    stream = recording.operation.endswith("_stream")
    world.fresh().upstream.add(Reply.of(recording, chunk=0), times=NEVER)
    names = sorted({call.name for call in wanted.choices[0].tool_calls})
    model = asking.model_of(recording)
    body = {**surface.body(names), "model": model, **({"stream": True} if stream else {})}
    path = surface.stream_path if stream and surface.stream_path is not None else surface.path
    http = world.send("POST", path.format(model=quote(model, safe="")), body)
    assert http.status == 200, http.body
    got = read(surface, http, recording, stream)
    assert faults(surface, recording, wanted.choices[0], got.choices[0]) == []
    if counts(wanted) is None and surface.home in recording.api:
        return  # what passes tells what its provider told
    assert got.usage is not None
    assert counts(wanted) in (None, (got.usage.input, got.usage.output))


def read(surface: Surface, http: Http, recording: Exchange, stream: bool) -> Answer:
    if not stream:
        return surface.whole(http.json)
    if surface.home not in recording.api:
        frames = surface.frames(http.body)
        surface.grammar([kind for kind, _ in frames], [event for _, event in frames])
    return surface.streamed(http.body)


def faults(surface: Surface, recording: Exchange, wanted: Choice, got: Choice) -> list[str]:
    """Name what differs: text, or what was refused or spoken, thoughts, calls, and the kind of end."""
    pairs = {
        "text": (got.text or got.refusal, wanted.text or wanted.refusal or wanted.transcript),
        "thoughts": (comparing.thoughts(got), comparing.thoughts(wanted)),
        "calls": (calls_of(got), calls_of(wanted)),
    }
    return [f"{name}: {a!r:.300}, wanted {b!r:.300}" for name, (a, b) in pairs.items() if a != b]


def calls_of(choice: Choice) -> list[Any]:
    """The calls; Google's wire has no call without arguments, only one with none."""
    return [(*call[:-1], call[-1] or {}) for call in comparing.calls(choice)]


def counts(answer: Answer) -> tuple[int | None, int | None] | None:
    """The counts that every one of these wires has, where the answer tells any."""
    usage = answer.usage
    return None if usage is None or usage.total is None else (usage.input, usage.output)
