"""What the tests of every server half share: an answer written and read again, whole and streamed,
and signatures that travel sealed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.canonical.events import BlockEnded, BlockStarted, Ended, Event, Finished, Started, replay
from app.canonical.request import (
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response
from app.dialects.base import Frame, ServerContext
from app.dialects.shared.tool_forms import call_object
from tests.dialects import generic

_TAG = "slr1."


def seal(signature: Signature) -> str:
    """A token that names its maker, known by how it begins, as the gateway's are."""
    return _TAG + json.dumps([signature.dialect, signature.realm, signature.value])


def unseal(text: str) -> Signature | None:
    """The signature in a token, None for text that is none."""
    if not text.startswith(_TAG):
        return None
    dialect, realm, value = json.loads(text.removeprefix(_TAG))
    return Signature(value, dialect, realm)


def sealing_context(**members: Any) -> ServerContext:
    """A server context whose signatures travel sealed."""
    return generic.server_context(wrap=seal, unwrap=unseal, **members)


def over_json(value: Any) -> Any:
    """A value as it is after the wire."""
    return json.loads(json.dumps(value))


def frames_of(encoder: Any, events: Iterable[Event]) -> list[Frame]:
    """All frames of a stream, after the wire."""
    frames = [frame for event in events for frame in encoder.feed(event)]
    return [Frame(frame.event, over_json(frame.data)) for frame in frames]


def read_again(dialect: Any, frames: Iterable[Frame], **members: Any) -> list[Event]:
    """The events of frames that a server half wrote, held to the grammar of events."""
    events = generic.decoded(dialect.stream_decoder(generic.client_context(**members)), frames)
    generic.assert_order(events)
    return events


def streamed(dialect: Any, response: Response, request: Request, context: ServerContext) -> Response:
    """An answer as a client has it who reads a stream."""
    frames = frames_of(dialect.stream_encoder(request, context), replay(response))
    return generic.fold(read_again(dialect, frames)).response()


def whole(dialect: Any, response: Response, request: Request, context: ServerContext) -> Response:
    """An answer as a client has it who asked for JSON."""
    body = over_json(dialect.encode_response(response, request, context))
    answer: Response = dialect.decode_response(body, generic.client_context())
    return answer


def essence(choice: Choice) -> dict[str, Any]:
    """What every wire can say of a choice: its words, thoughts, calls and end."""
    parts = generic.parts_of(choice)
    return {
        "text": "".join(p.text for p in parts if isinstance(p, TextPart | RefusalPart)),
        "reasoning": "".join(p.text for p in parts if isinstance(p, ReasoningPart)),
        "calls": [(p.name, call_object(p)) for p in parts if isinstance(p, ToolCallPart)],
        "finish": choice.finish.reason if choice.finish else None,
    }


def overlapping(response: Response) -> list[Event]:
    """The events of a response of one choice whose blocks are all open at once and end backwards."""
    events = list(replay(response))
    starts = [event for event in events if isinstance(event, BlockStarted)]
    ends = [event for event in events if isinstance(event, BlockEnded)]
    edges = [event for event in events if isinstance(event, Started | Finished | Ended)]
    placed = (BlockStarted, BlockEnded, Started, Finished, Ended)
    deltas = [event for event in events if not isinstance(event, placed)]
    return [edges[0], *starts, *deltas, *reversed(ends), *edges[1:]]


OTHERS = Signature("sig", "gemini", "r")


def signed_response(own: str) -> Response:
    """Return an answer with three signed thoughts: of two other makers, one of them hidden, and of the wire ``own``."""
    thoughts = (
        ReasoningPart("Hm", signature=OTHERS),
        ReasoningPart(form="hidden", signature=Signature("c", "responses", "r")),
        ReasoningPart("T", signature=Signature("s", own, "r")),
    )
    messages = tuple(Message("assistant", (thought,)) for thought in thoughts)
    return Response("id", "model", (Choice(0, messages, Finish("stop")),))
