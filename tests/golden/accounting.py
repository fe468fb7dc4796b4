"""Holds a record to "nothing is dropped silently": each value of the client's body is in what goes
out, or named by a warning, or the gateway's own business.

Generic: a leaf of the body (a text, a number) must be found somewhere in the outgoing URL or body, the
fixtures' values being odd enough to tell. Words and switches that wires spell differently are in a table
of the signs by which each is known.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

CONSUMED = frozenset({"model", "stream", "stream_options", "fallbacks", "store", "stream_format"})
"""Members that the gateway itself acts on."""

OWN_WORK = frozenset(
    {
        ("responses", "metadata"),  # kept with the response, shown again
        ("responses", "include"),  # asked of every model that reasons, taken out of the answer
        ("embedding", "encoding_format"),  # vectors are coded again for the client
        ("speech", "response_format"),  # raw samples get their WAV header
        ("translation", "response_format"),
        *(
            (kind, "response_format") for kind in ("image_generation", "image_edit")
        ),  # pictures come in base64
        ("transcription", "response_format"),  # transcripts are written in the form asked for
    }
)
"""(Operation, member) where the gateway does by itself what was asked."""

NOISE = frozenset(
    """
    type role id status tool_call_id call_id index annotations filename title
    tool_use_id toolUseId media_type mimeType
    """.split()
)
"""Members of nested objects that give a wire's form or an identity that wires map."""

DEFAULTS = frozenset({("detail", "auto"), ("display", "summarized"), ("includeThoughts", True)})
"""What is so when it is not said."""

SIGNS: Mapping[str, tuple[str, ...]] = {
    # the client's member, or member=value -> words of which one shows in what goes out
    "disable_parallel_tool_use": ("parallel_tool_calls", "disable_parallel_tool_use"),
    "is_error": ("is_error", '"error"'),
    "parallel_tool_calls": ("parallel_tool_calls", "disable_parallel_tool_use"),
    "strict": ("strict", "chema"),  # a schema that is enforced
    "strict_tools": ("strict",),
    "tool_choice=REQUIRED": ("required", '"any"', "ANY", "REQUIRED"),
    "tool_choice=NONE": ('"none"', "NONE"),
    "mode=NONE": ('"none"', "NONE"),
    "responseMimeType": ("json", "JSON", "sluice_answer"),
    "responseModalities": ("modalities", "Modalities"),
    "responseLogprobs": ("logprobs", "Logprobs"),
    "tool_choice=auto": ("tools", "toolConfig", "functionDeclarations"),
    "tool_choice=required": ("required", '"any"', "ANY", "REQUIRED"),
    "tool_choice=any": ("required", '"any"', "ANY", "REQUIRED"),
    "tool_choice=none": ('"none"', "NONE"),
    "mode": ("required", '"any"', "ANY", "REQUIRED"),
    "additionalProperties": ("additionalProperties", "parameters", "schema", "Schema"),
    "reasoning_effort": ("effort", "thinking", "Effort"),
    "effort": ("effort", "thinking", "Effort"),
    "summary": ("summary", "includeThoughts", "thinking"),
    "include": ("include", "logprobs", "Logprobs"),
    "response_format": ("json", "JSON"),
    "format": ("json", "JSON", "wav", "WAV"),
    "name": ("name",),
    "detail": ("detail", "mediaResolution"),
    "logprobs": ("logprobs", "Logprobs", "log_probs"),
    "search_context_size": ("search",),
    "service_tier": ("tier", "Tier"),
    "truncation": ("truncat",),
    "verbosity": ("verbosity",),
    "echo": ("echo",),
    "quality=high": ('"high"', "premium"),
    "size=1536x1024": ("1536x1024", '"width": 1536'),
    "encoding_format": ("encoding", "base64"),
    "timestamp_granularities[]": ("timestamp", "/v1/speech-to-text"),  # there words always have times
}


def unaccounted(operation: str, body: Json, outgoing: Any, warnings: list[Json]) -> list[str]:
    """The paths of the body that are nowhere."""
    text = json.dumps(outgoing, ensure_ascii=False)
    warned = [warning["param"] for warning in warnings]
    lost = []
    for path, value in leaves(body):
        if path[0] in CONSUMED or (operation, path[0]) in OWN_WORK or any(_covers(p, path) for p in warned):
            continue
        if (path[-1], value) in DEFAULTS:
            continue
        if any(step in NOISE for step in path[1:] if isinstance(step, str)) or _is_moot(body, path, text):
            continue
        if not _shows(path, value, text):
            lost.append(".".join(map(str, path)) + f"={value!r}")
    return lost


def _is_moot(body: Json, path: tuple[str | int, ...], text: str) -> bool:
    """What another word of the same body makes void: tools that must not be called, reasoning that is
    not to be, the further inputs of a call that is split."""
    if path == ("max_tool_calls",) and "tools" not in body:  # it is about tools that the provider runs
        return True
    if path[-2:] == ("document", "name"):  # a file's name, which not every wire has
        return True
    choice = _choice(body)
    if choice == "none" and "get_weather" not in text:
        return path[0] in ("tools", "tool_choice", "toolConfig")
    if choice == "some" and "get_time" not in text:
        return 1 in path and str(path[0]).startswith("tool")
    if path[-1] in ("effort", "reasoning_effort") and "none" in (
        body.get("reasoning_effort"),
        *_efforts(body),
    ):
        return not any(word in text for word in ('"enabled"', "thinkingConfig", "reasoning"))
    return path[0] == "input" and isinstance(body["input"], list) and path[1:] == (1,)


def _choice(body: Json) -> str | None:
    """ "none" where no tool may be called, "some" where one of several must be, by any API's words."""
    text = json.dumps([body.get("tool_choice"), body.get("toolConfig")]).lower()
    if '"none"' in text:
        return "none"
    return "some" if "get_weather" in json.dumps(body.get("tool_choice")) or _names_one(body) else None


def _names_one(body: Json) -> bool:
    config = body.get("toolConfig") or {}
    return "toolChoice" in config or "allowedFunctionNames" in config.get("functionCallingConfig", {})


def _efforts(body: Json) -> list[Any]:
    return [body["reasoning"].get("effort")] if isinstance(body.get("reasoning"), dict) else []


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every scalar of a body with its path."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif value is not None and value != "":
        yield path, value


def _covers(param: str, path: tuple[str | int, ...]) -> bool:
    """Whether a warning's ``param`` names the path or what it is part of; where a model does not
    reason, one word about ``reasoning`` is enough."""
    steps = [step for step in param.replace("[", ".").replace("]", "").split(".") if step]
    about = ({"reasoning"}, {"thinking", "output_config"})
    return [str(step) for step in path[: len(steps)]] == steps or any(
        steps[0] in names and path[0] in names for names in about
    )


def _shows(path: tuple[str | int, ...], value: Any, text: str) -> bool:
    member = next(step for step in reversed(path) if isinstance(step, str))
    for sign in (f"{member}={value}", member, str(path[0])):
        if sign in SIGNS and any(word in text for word in SIGNS[sign]):
            return True
    if isinstance(value, bool):
        return f'"{member}": {json.dumps(value)}' in text
    if isinstance(value, int | float):
        return f": {json.dumps(value)}" in text or f"{value:g}" in text
    if member == "thoughtSignature":
        value = base64.b64decode(value).decode()
    return any(_plain(form) in _plain(text) for form in (value, base64.b64encode(value.encode()).decode()))


def _plain(text: str) -> str:
    """A text without what coding adds: data URL heads, quotes and blanks of nested JSON."""
    bare = text.partition(";base64,")[2] if text.startswith("data:") else text
    bare = bare.rpartition("|")[2] if bare.startswith("sealed|") else bare
    return bare.replace("\\", "").replace(" ", "").replace('"', "")
