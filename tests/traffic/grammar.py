"""The rules of Responses streams (``app.conformance.responses_stream``) over recorded frames."""

import json
from collections.abc import Iterable

from app.conformance import responses_stream
from app.conformance.grammar import Json
from app.conformance.responses_stream import CHANNELS, TERMINAL, check_responses_stream
from tests.traffic.frames import Frame

__all__ = [
    "CHANNELS",
    "DONE",
    "TERMINAL",
    "Json",
    "check_padding",
    "check_responses_frames",
    "check_responses_stream",
]

DONE = "[DONE]"


def check_responses_frames(frames: Iterable[Frame], *, ours: bool = False) -> list[str]:
    """Check the event line of every SSE message as well; ``[DONE]`` must not be there."""
    broken, messages = [], []
    for number, frame in enumerate(frames):
        if frame.data.strip() == DONE:
            broken.append(f"{number}: {DONE} has no place in a Responses stream")
        else:
            messages.append((frame.event, json.loads(frame.data)))
    return broken + responses_stream.check_responses_frames(messages, ours=ours)


def check_padding(events: list[Json]) -> list[str]:
    """Return the padded deltas whose length with their padding is no multiple of 16 characters."""
    return [
        f"{event['sequence_number']}: {len(event['delta'])} + {len(event['obfuscation'])}"
        for event in events
        if event.get("obfuscation") and (len(event["delta"]) + len(event["obfuscation"])) % 16
    ]
