"""What audio costs: by the second or the character where the model is charged so, and never nothing for want of a price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import World, running_world
from tests.replay.asking import BOUNDARY, form
from tests.traffic.replay import Reply

TEXT = "Sluice keeps water where it belongs. "
TOKENS = {"type": "tokens", "input_tokens": 30, "output_tokens": 5, "total_tokens": 35}
PRICES = """
[providers.openai.prices."own-model"]
input = 1.0
"""


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"SLUICE_MAX_RETRIES": "0"}, config=PRICES) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def seconds(count: float) -> dict[str, Any]:
    return {"usage": {"type": "duration", "seconds": count}}


TRANSCRIPTS = {
    # model, the answer beside its text, usage.seconds, usage.cost
    "seconds": ("openai/whisper-1", seconds(61), 61, 61 * 0.36 / 3600),
    "a duration": ("groq/whisper-large-v3", {"duration": 120.0}, 120.0, 120 * 0.111 / 3600),
    "both": ("groq/whisper-large-v3", {"duration": 9.0, **seconds(120)}, 120, 120 * 0.111 / 3600),
    "tokens": ("openai/gpt-4o-transcribe", {"usage": TOKENS, "duration": 9.0}, None, 0.000125),
    "tokens without a price": ("openai/whisper-1", {"usage": TOKENS}, None, None),
    "seconds without a price": ("openai/gpt-4o-transcribe", seconds(61), 61, None),
    "seconds and a price of tokens": ("openai/own-model", seconds(61), 61, None),
}


@pytest.mark.parametrize(("model", "members", "count", "cost"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_costs_what_its_model_is_charged_by(
    model: str, members: dict[str, Any], count: float | None, cost: float | None, world: World
) -> None:
    world.upstream.add(Reply.json({"text": "good", **members}))

    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = world.send("POST", "/v1/audio/transcriptions", form({"model": model}), headers)

    usage = answer.json["usage"]
    assert usage.get("seconds") == count
    assert usage["cost"] == (None if cost is None else pytest.approx(cost))


@pytest.mark.parametrize("stream", [False, True], ids=["file", "events"])
@pytest.mark.parametrize(
    ("model", "rate"), [("openai/tts-1", 15.0), ("openai/gpt-4o-mini-tts", None), ("openai/own-model", None)]
)
def test_speech_costs_what_its_model_is_charged_by(
    model: str, rate: float | None, stream: bool, world: World
) -> None:
    world.upstream.add(Reply(200, b"ID3\x04" + b"\0" * 500, {"content-type": "audio/mpeg"}))
    body = {"model": model, "input": TEXT, "voice": "alloy", **({"stream_format": "sse"} if stream else {})}

    answer = world.send("POST", "/v1/audio/speech", body)

    assert answer.status == 200
    call = json.loads(world.gateway.log.splitlines()[-1])
    assert (call["event"], call["sent_model"]) == ("call", model.partition("/")[2])
    assert call["cost"] == (None if rate is None else pytest.approx(rate * len(TEXT) / 1_000_000))
