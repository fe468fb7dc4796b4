"""The sandbox as a model: it answers a canonical request with a canonical response.

Deterministic but for the ids, which come from outside. ``playback`` decides when each part arrives.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import (
    AudioPart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    Tool,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, FinishReason, Response, Usage
from app.errors import GatewayError
from app.providers.sandbox import conversation
from app.providers.sandbox.assignments import infer_values, parse_assignments
from app.providers.sandbox.audio import MAX_BYTES, sound_bytes, speak, wav_file
from app.providers.sandbox.directives import CallDirective, Directives
from app.providers.sandbox.limits import (
    MAX_CHARACTERS,
    MAX_LOGPROBS,
    check_size,
    count_words,
    cut_at_stop,
    cut_at_words,
    first_words,
    part_text,
    size_of,
    with_logprobs,
)
from app.providers.sandbox.schema_instances import ABSENT, make_arguments, make_instance
from app.providers.sandbox.schemas import UnsupportedSchema, WorkLimit

MAX_CHOICES: Final = 128
MAX_CALLS: Final = 128
_QUOTED_WORDS: Final = 30  # words of a plain message that are said again

REFUSAL: Final = "I'm sorry, but I cannot help with that."

_THOUGHTS: Final = (
    "The last message is what counts.",
    "It holds words, and words can be answered.",
    "A short answer that shows what was read will do.",
    "Nothing else needs to be looked up.",
)
_EFFORTS: Final[Mapping[str, int]] = {"none": 0, "minimal": 1, "low": 1, "medium": 2, "high": 3}
"""The number of sentences of reasoning for an effort; higher efforts have them all."""


@record
class AnswerContext:
    """What an answer needs from outside: ids (by prefix), the time in Unix seconds, the dialect in which
    it goes out, and how a refusal ends there."""

    new_id: Callable[[str], str]
    now: int
    dialect: str = "chat"
    refusal: Finish = Finish("stop")


def answer(request: Request, directives: Directives, context: AnswerContext) -> Response:
    """Return the answer to ``request``, whose last user message holds ``directives``.

    Raises ``bad_request`` for what no model could do: more than 128 choices, a schema that
    no value fits, an answer that is too large.
    """
    count = _count(request)
    parts, finish = _answer_parts(request, directives, context, count)
    choices = tuple(_choice(index, parts, finish, context) for index in range(count))
    return Response(
        id=None,
        model=request.model,
        choices=choices,
        usage=_usage(request, choices),
        created=context.now,
    )


def _count(request: Request) -> int:
    count = 1 if request.sampling.n is None else request.sampling.n
    if not 1 <= count <= MAX_CHOICES:
        raise GatewayError(
            "bad_request",
            f"Invalid 'n': expected 1 to {MAX_CHOICES}, got {count}.",
            param="n",
            code="invalid_value",
        )
    return count


def _answer_parts(
    request: Request, directives: Directives, context: AnswerContext, count: int
) -> tuple[list[Part], Finish]:
    """Return the parts of each of ``count`` choices, and how it ends."""
    parts = [*_thinking(request, directives, context), *_speech(request, directives, context, count)]
    finish = _finish(parts, directives, context)
    parts, stop = cut_at_stop(parts, request.sampling.stop)
    if stop is not None:
        finish = Finish("stop", stop_sequence=stop)
    parts, is_cut = cut_at_words(parts, request.sampling.max_tokens)
    if is_cut:
        finish = Finish("length")
    check_size("characters", size_of(parts) * count, MAX_CHARACTERS)
    if request.sampling.logprobs:
        parts = _with_logprobs(parts, min(request.sampling.top_logprobs or 0, 20), count)
    return parts, finish


def _with_logprobs(parts: list[Part], alternatives: int, count: int) -> list[Part]:
    tokens = sum(count_words(part.text) for part in parts if isinstance(part, TextPart))
    check_size("log probabilities", tokens * (1 + alternatives) * count, MAX_LOGPROBS, "logprobs")
    return [with_logprobs(part, alternatives) for part in parts]


def _choice(index: int, parts: list[Part], finish: Finish, context: AnswerContext) -> Choice:
    parts = parts if index == 0 else [_with_own_id(part, context) for part in parts]
    return Choice(index, tuple(Message("assistant", (part,)) for part in parts), finish)


def _with_own_id(part: Part, context: AnswerContext) -> Part:
    if isinstance(part, ToolCallPart):
        return replace(part, id=context.new_id("call"))
    return replace(part, audio_id=context.new_id("audio")) if isinstance(part, AudioPart) else part


def _finish(parts: list[Part], directives: Directives, context: AnswerContext) -> Finish:
    if directives.at_length:
        return Finish("length")
    if any(isinstance(part, RefusalPart) for part in parts):
        return context.refusal
    reason: FinishReason = "tool_calls" if any(isinstance(part, ToolCallPart) for part in parts) else "stop"
    return Finish(reason)


def _usage(request: Request, choices: tuple[Choice, ...]) -> Usage:
    parts = [part for choice in choices for message in choice.messages for part in message.parts]
    thought_words = sum(count_words(part.text) for part in parts if isinstance(part, ReasoningPart))
    spoken_words = sum(count_words(part.transcript or "") for part in parts if isinstance(part, AudioPart))
    return Usage(
        input_tokens=conversation.input_words(request),
        output_tokens=spoken_words + sum(count_words(part_text(part)) for part in parts),
        reasoning_tokens=thought_words,
    )


# --- reasoning ----------------------------------------------------------------------------------


def _thinking(request: Request, directives: Directives, context: AnswerContext) -> Iterator[Part]:
    thought = _thought(request) if directives.think is None else directives.think
    if thought:
        digest = hashlib.sha256(thought.encode("utf-8", "replace")).hexdigest()
        summary = request.reasoning is not None and request.reasoning.summary is not None
        signature = Signature(f"sandbox-{digest[:24]}", context.dialect)
        yield ReasoningPart(thought, "summary" if summary else "text", signature)


def _thought(request: Request) -> str:
    """Return the text of reasoning that the request asks for; empty where it asks for none."""
    effort, budget = (
        (request.reasoning.effort, request.reasoning.budget) if request.reasoning else (None, None)
    )
    if (effort is None and budget is None) or effort == "none" or budget == 0:
        return ""
    thought = " ".join(_THOUGHTS[: _EFFORTS.get(effort or "medium", len(_THOUGHTS))])
    return thought if budget is None or budget < 0 else first_words(thought, budget)


# --- what is said -------------------------------------------------------------------------------


def _speech(request: Request, directives: Directives, context: AnswerContext, count: int) -> Iterator[Part]:
    if directives.refuse:
        yield RefusalPart(REFUSAL)
        return
    calls, missing = _calls(request, directives, context)
    text = _text(request, directives, missing, calling=bool(calls))
    if text is not None:
        speaks = "audio" in request.output.modalities
        yield _speak(text, request, context, count) if speaks else TextPart(text)
    yield from calls


def _speak(text: str, request: Request, context: AnswerContext, count: int) -> AudioPart:
    """Return ``text`` as audio, in the two formats that need no codec."""
    form = (request.output.audio or {}).get("format", "wav")
    if form not in ("wav", "pcm16"):
        raise GatewayError(
            "bad_request",
            f"Invalid 'audio.format': the sandbox makes wav and pcm16, not '{form}'.",
            param="audio.format",
            code="invalid_value",
        )
    check_size("bytes of sound", sound_bytes(text) * count, MAX_BYTES)
    data = wav_file(text) if form == "wav" else b"".join(speak(text))
    return AudioPart(base64.b64encode(data).decode("ascii"), form, context.new_id("audio"), text)


def _text(request: Request, directives: Directives, missing: list[str], *, calling: bool) -> str | None:
    """Return the text of the answer, None for none; ``calling`` tells whether tool calls go with it."""
    if directives.say is not None:
        return directives.say
    if directives.echo:
        return conversation.history(request)
    if missing:
        return _no_tool(request, missing)
    if calling:
        return None
    if request.output.format != "text":
        return _structured_text(request, directives)
    if directives.fill is not None:
        return _json(infer_values(parse_assignments(directives.fill)))
    return _quote_results(request) or _restate(request)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _structured_text(request: Request, directives: Directives) -> str:
    """Return JSON that fits the requested schema, or an object where only JSON was asked for."""
    values = parse_assignments(directives.fill) if directives.fill else {}
    if request.output.format == "json" or request.output.schema is None:
        return _json(infer_values(values) or {"answer": _restate(request)})
    try:
        return _json(make_instance(request.output.schema, values or ABSENT))
    except UnsupportedSchema as error:
        raise _bad_schema("the response", error, "response_format", "invalid_json_schema") from error


def _bad_schema(what: str, error: UnsupportedSchema, param: str, code: str) -> GatewayError:
    return GatewayError("bad_request", f"Invalid schema for {what}: {error}.", param=param, code=code)


def _quote_results(request: Request) -> str:
    names = conversation.tool_names(request)
    lines = []
    for result in conversation.results(request):
        text = " ".join(conversation.describe_part(part) for part in result.content) or "(nothing)"
        verb = "failed with" if result.is_error else "answered"
        lines.append(f"The tool {result.name or names.get(result.call_id) or result.call_id} {verb}: {text}")
    return "\n".join(lines)


def _restate(request: Request) -> str:
    """Return a short text that visibly answers a message without directives."""
    text, attachments = conversation.user_text(request).strip(), conversation.attachments(request)
    lines = []
    if text:
        short = first_words(text, _QUOTED_WORDS)
        rest = count_words(text) - count_words(short)
        lines.append(f"You said: {short}{f' … ({rest} more words)' if rest else ''}")
    if attachments:
        lines.append(f"You sent {attachments}.")
    return "\n".join(lines) or "You said nothing."


# --- tool calls ---------------------------------------------------------------------------------


def _calls(request: Request, directives: Directives, context: AnswerContext) -> tuple[list[Part], list[str]]:
    """Return the calls to make now, and the names of tools that the message asks for and that may not be called."""
    tools = _callable(request)
    calls = directives.calls[:MAX_CALLS]
    missing = [call.name for call in calls if call.name not in tools]
    ready = [call for call in calls if call.name in tools]
    count = conversation.count_calls(request)
    pending = ready[count:]
    if request.parallel_tool_calls is False:
        pending = pending[:1]
    if not pending and not ready:
        pending = _forced_call(request, tools, directives.fill or "")
    work = WorkLimit()
    parts: list[Part] = [_call(tools[call.name], call, context, work) for call in pending]
    return parts, [] if parts or count else missing


def _callable(request: Request) -> dict[str, Tool]:
    """Return the client's tools that the tool choice lets the model call, by name."""
    tools = {tool.name: tool for tool in request.tools if tool.kind != "hosted"}
    choice = request.tool_choice
    if choice is None or choice.mode in ("auto", "required"):
        return tools
    names = {choice.name} if choice.mode == "named" else {tool.get("name") for tool in choice.allowed}
    return {name: tool for name, tool in tools.items() if choice.mode != "none" and name in names}


def _forced_call(request: Request, tools: Mapping[str, Tool], values: str) -> list[CallDirective]:
    """Return the call that the tool choice demands where the message asks for none, with the values to fill in."""
    choice = request.tool_choice
    forces = choice is not None and (choice.mode in ("required", "named") or choice.required)
    return [CallDirective(name, values) for name in list(tools)[:1]] if forces else []


def _call(tool: Tool, directive: CallDirective, context: AnswerContext, work: WorkLimit) -> ToolCallPart:
    if tool.kind == "custom":
        return ToolCallPart(context.new_id("call"), tool.name, directive.arguments or "some input", "custom")
    return ToolCallPart(context.new_id("call"), tool.name, _json(_arguments(tool, directive, work)))


def _arguments(tool: Tool, directive: CallDirective, work: WorkLimit) -> Any:
    arguments = parse_assignments(directive.arguments)
    if not tool.strict:
        return make_arguments(tool.parameters, arguments, work=work)
    try:
        return make_instance(tool.parameters or {}, arguments, optional=False, work=work)
    except UnsupportedSchema as error:
        raise _bad_schema(f"the tool '{tool.name}'", error, "tools", "invalid_function_parameters") from error


def _no_tool(request: Request, missing: list[str]) -> str:
    names = ", ".join(f"'{name}'" for name in dict.fromkeys(missing))
    tools = ", ".join(_callable(request)) or "none"
    return f"I cannot call {names}: the tools that I may call are: {tools}."
