"""What each surface answers: a body and a stream for each trait that an answer may have.

The answers are canonical, so that what a provider's decoder makes is left aside; ids are counted,
signatures are sealed readably, and values are odd, so that one can find them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.canonical.events import replay
from app.canonical.request import (
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    Sampling,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect
from app.dialects.base import Frame
from tests.dialects.generic import server_context
from tests.golden.making import wrap

SURFACES: Final = ("messages", "gemini", "converse", "cohere")
FOLDER: Final = Path(__file__).parent / "records" / "answers"
STOP: Final = Finish("stop")
USAGE: Final = Usage(input_tokens=1101, output_tokens=71, cached_tokens=203, reasoning_tokens=37)
CLAUDE: Final = Signature("CLAUDESIGNATURE", "messages", "claude")
GEMINI: Final = Signature("GEMINISIGNATURE", "gemini", "gemini:default")
CITATION: Final = {
    "type": "url_citation",
    "url": "https://example.com/CITEWORD",
    "title": "TITLEWORD",
    "start_index": 0,
    "end_index": 8,
}
LOGPROB: Final = {"token": "TEXTWORD", "logprob": -0.37, "bytes": [84], "top_logprobs": []}
ROME: Final = '{"city":"ROMEWORD"}'
OSLO: Final = '{"city":"OSLOWORD"}'


def _answer(*parts: Part, finish: Finish = STOP, usage: Usage | None = USAGE) -> Response:
    return Response("up_1", "served-model", (Choice(0, (Message("assistant", parts),), finish),), usage)


ANSWERS: Mapping[str, Response] = {
    "text": _answer(TextPart("TEXTWORD")),
    "empty": _answer(),
    "no_usage": _answer(TextPart("TEXTWORD"), usage=None),
    "texts": _answer(TextPart("TEXTWORD"), TextPart("MOREWORD")),
    "reasoning": _answer(ReasoningPart("THOUGHTWORD"), TextPart("TEXTWORD")),
    "reasoning_signed": _answer(ReasoningPart("THOUGHTWORD", signature=CLAUDE), TextPart("TEXTWORD")),
    "reasoning_summary": _answer(ReasoningPart("THOUGHTWORD", "summary"), TextPart("TEXTWORD")),
    "reasoning_hidden": _answer(ReasoningPart("", "hidden", CLAUDE), TextPart("TEXTWORD")),
    "tool_call": _answer(ToolCallPart("call_1", "get_weather", ROME), finish=Finish("tool_calls")),
    "tool_calls": _answer(
        TextPart("TEXTWORD"),
        ToolCallPart("call_1", "get_weather", ROME),
        ToolCallPart("call_2", "get_weather", OSLO),
        finish=Finish("tool_calls"),
    ),
    "tool_call_signed": _answer(
        ToolCallPart("call_1", "get_weather", ROME, signature=GEMINI), finish=Finish("tool_calls")
    ),
    "tool_call_broken": _answer(
        ToolCallPart("call_1", "get_weather", '{"city": "ROMEW'), finish=Finish("length", "max_tokens")
    ),
    "cited": _answer(TextPart("TEXTWORD", annotations=(CITATION,))),
    "logprobs": _answer(TextPart("TEXTWORD", logprobs=(LOGPROB,))),
    "refused": _answer(RefusalPart("REFUSALWORD")),
    "filtered": _answer(TextPart("TEXTWORD"), finish=Finish("content_filter", "SAFETY")),
    "cut": _answer(TextPart("TEXTWORD"), finish=Finish("length", "max_tokens")),
    "stopped": _answer(TextPart("TEXTWORD"), finish=Finish("stop", "stop_sequence", "STOPWORD")),
    "two_choices": Response(
        "up_1",
        "served-model",
        tuple(
            Choice(number, (Message("assistant", (TextPart(word),)),), Finish("stop"))
            for number, word in enumerate(("TEXTWORD", "MOREWORD"))
        ),
        USAGE,
    ),
}


def record(name: str) -> dict[str, Any]:
    """Return what each surface answers for one trait."""
    return {surface: _record(surface, ANSWERS[name]) for surface in SURFACES}


def _record(surface: str, response: Response) -> dict[str, Any]:
    row = dialect(surface)
    request = Request(
        "asked-model", (), sampling=Sampling(logprobs=True), reasoning=Reasoning(summary="auto")
    )
    context = server_context(model="asked-model", wrap=wrap)
    body = row.encode_response(response, request, context)
    encoder = row.stream_encoder(request, server_context(model="asked-model", wrap=wrap))
    frames = [frame for event in replay(response) for frame in encoder.feed(event)]
    return {"body": body, "stream": [_frame_json(frame) for frame in frames]}


def _frame_json(frame: Frame) -> Any:
    return {frame.event: frame.data} if frame.event else frame.data


def path(name: str) -> Path:
    """Where a trait's record lies."""
    return FOLDER / f"{name}.json"


def write() -> int:
    """Write all records anew and drop those of no trait; return how many were written."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in set(FOLDER.glob("*.json")) - set(map(path, ANSWERS)):
        file.unlink()
    for name in ANSWERS:
        path(name).write_text(json.dumps(record(name), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(ANSWERS)
