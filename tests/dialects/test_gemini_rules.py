"""What Google's API refuses never goes out to it, and what it says is read, from both surfaces.

The rules and their sources: docs/contract/providers.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.events import replay
from app.canonical.request import Request, Signature
from app.canonical.response import Response
from app.dialects import dialect
from app.dialects.base import ServerContext
from app.dialects.gemini.contents_out import SKIP_SIGNATURE
from app.dialects.gemini.dialect import DIALECT
from tests.dialects import generic
from tests.dialects.surfaces import both, translate

Json = dict[str, Any]
USER = {"role": "user", "content": "hi"}
FLAT = {
    "type": "function",
    "name": "f",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
}
NESTED = {"type": "function", "function": {name: value for name, value in FLAT.items() if name != "type"}}
OLD, NEW = "gemini-2.5-flash", "gemini-3.5-flash"


@pytest.mark.parametrize("tools", [[], [{"type": "web_search"}], None])
@pytest.mark.parametrize("choice, params", [("auto", []), ("none", []), ("required", ["tool_choice"])])
def test_no_function_calling_is_configured_without_a_function(
    tools: list[Json] | None, choice: str, params: list[str]
) -> None:
    for surface, body in both([USER], tool_choice=choice, **({} if tools is None else {"tools": tools})):
        out, warned = translate(surface, body, "gemini", OLD)
        assert ("toolConfig" in out, [param for param, _ in warned]) == (False, params)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FORMS: list[tuple[str, Json]] = [
    ("chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}),
    ("responses", {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}),
]


@pytest.mark.parametrize("surface, form", FORMS)
@pytest.mark.parametrize("search", [True, False])
def test_json_beside_tools_is_asked_for_in_words_where_it_is_refused(
    surface: str, form: Json, search: bool
) -> None:
    tool = {"type": "web_search"} if search else FLAT if surface == "responses" else NESTED
    body = dict(both([USER], tools=[tool], **form))[surface]
    out, warned = translate(surface, body, "gemini", OLD)
    assert "responseMimeType" not in out.get("generationConfig", {})
    assert '"required":["a"]' in out["systemInstruction"]["parts"][-1]["text"]
    assert [param for param, _ in warned] == [next(iter(form)) if surface == "chat" else "text.format"]
    out, warned = translate(surface, body, "gemini", NEW)
    assert (out["generationConfig"]["responseMimeType"], warned) == ("application/json", [])


LEVELS = [
    ("gemini-3.5-flash", "minimal", "minimal"),
    ("gemini-3.7-flash", "minimal", "low"),
    ("gemini-3.8-flash", "minimal", "low"),
    ("gemini-3.8-flash", "none", "low"),
    ("gemini-3.8-flash-preview-10-2026", "medium", "medium"),
    ("gemini-3.1-flash-image-preview", "low", "high"),
    ("gemini-3.1-flash-image", "minimal", "minimal"),
    ("gemini-3.1-flash-lite", "minimal", "minimal"),
]


@pytest.mark.parametrize("model, effort, level", LEVELS)
def test_an_effort_is_a_level_that_the_model_takes(model: str, effort: str, level: str) -> None:
    bodies = [
        ("chat", {"model": "m", "messages": [USER], "reasoning_effort": effort}),
        ("responses", {"model": "m", "input": "hi", "reasoning": {"effort": effort}}),
    ]
    for surface, body in bodies:
        out, warned = translate(surface, body, "gemini", model)
        assert out["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level
        assert bool(warned) == (effort != level)


def test_cache_marks_and_unknown_members_are_told() -> None:
    part = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}, "fancy": 1}
    messages = [{"role": "user", "content": [part], "strange": 2}]
    _, warned = translate("chat", {"model": "m", "messages": messages}, "gemini", NEW)
    assert sorted(param for param, _ in warned) == [
        "messages[0].content[0].cache_control", "messages[0].content[0].fancy", "messages[0].strange",
    ]  # fmt: skip


# pictures that the model made

PAINTER = "gemini-3-pro-image"
PNG = "iVBORw0KGgo="
PICTURE = {"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": "SVNJRw=="}
PAINTED = [
    {"text": "hm", "thought": True},
    {"text": "here", "thoughtSignature": "VFNJRw=="},
    PICTURE,
    {**PICTURE, "thoughtSignature": "TkVYVA=="},
]


def answer(parts: list[Json]) -> Response:
    body = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    return DIALECT.decode_response(body, generic.client_context(PAINTER))


def sealing() -> ServerContext:
    def wrap(signature: Signature) -> str:
        return f"w|{signature.dialect}|{signature.realm}|{signature.value}"

    def unwrap(text: str) -> Signature | None:
        kind, *rest = text.split("|")
        return Signature(rest[2], rest[0], rest[1]) if kind == "w" else None

    return generic.server_context(wrap=wrap, unwrap=unwrap)


def back(surface: str, body: Json) -> list[Json]:
    """The model's turn as it goes out again."""
    request = dialect(surface).decode_request(body, sealing())
    out = DIALECT.encode_request(request, generic.client_context(PAINTER)).body
    parts: list[Json] = out["contents"][1]["parts"]
    return parts


def by_chat(response: Response, stream: bool) -> list[Json]:
    request = Request("m")
    if not stream:
        message = dialect("chat").encode_response(response, request, sealing())["choices"][0]["message"]
    else:
        encoder = dialect("chat").stream_encoder(request, sealing())
        frames = [frame for event in replay(response) for frame in encoder.feed(event) if frame.data]
        message = {"role": "assistant", "content": "", "reasoning_details": [], "images": []}
        for frame in frames:
            for choice in frame.data["choices"]:
                delta = choice["delta"]
                message["content"] += delta.get("content") or ""
                for name in ("reasoning_details", "images"):
                    message[name] += delta.get(name) or []
    return back("chat", {"model": "m", "messages": [USER, message, USER]})


def by_hand(response: Response) -> list[Json]:
    output = dialect("responses").encode_response(response, Request("m"), sealing())["output"]
    return back("responses", {"model": "m", "input": [USER, *output, USER]})


def test_pictures_go_back_with_their_own_signatures() -> None:
    response = answer(PAINTED)
    assert by_hand(response) == PAINTED
    assert by_chat(response, stream=False) == PAINTED
    assert by_chat(response, stream=True) == PAINTED


def test_a_picture_without_a_signature_goes_back_with_the_placeholder() -> None:
    unsigned = [{"inlineData": PICTURE["inlineData"]}]
    want = [{**unsigned[0], "thoughtSignature": SKIP_SIGNATURE}]
    assert by_hand(answer(unsigned)) == want
    assert by_chat(answer(unsigned), stream=False) == want


def test_a_models_picture_is_not_sent_to_those_who_take_none() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    message = {"role": "assistant", "content": "here", "images": [image]}
    body = {"model": "m", "messages": [USER, message, USER]}
    for wire, model in (("messages", "claude-sonnet-4-5"), ("converse", "us.amazon.nova-pro-v1:0")):
        out, warned = translate("chat", body, wire, model)
        assert len(out["messages"][1]["content"]) == 1
        assert [param for param, _ in warned] == ["messages"]


# answers


SOURCE = {"startIndex": 0, "endIndex": 4, "uri": "https://a.b", "license": "mit"}
CITED = {
    "type": "url_citation",
    "url": "https://a.b",
    "title": "",
    "start_index": 0,
    "end_index": 4,
}


def chunks(*candidates: Json) -> Response:
    decoder = DIALECT.stream_decoder(generic.client_context())
    events = [event for one in candidates for event in decoder.feed(None, {"candidates": [one]})]
    return generic.fold([*events, *decoder.eof()]).response()


def test_citation_sources_are_citations() -> None:
    metadata = {"citationSources": [SOURCE, {"uri": "https://c.d"}]}
    whole = {"content": {"parts": [{"text": "word"}]}, "finishReason": "STOP", "citationMetadata": metadata}
    end = {**CITED, "url": "https://c.d", "start_index": 4}
    first = {"content": {"parts": [{"text": "wo"}]}, "citationMetadata": {"citationSources": [SOURCE]}}
    last = {
        "content": {"parts": [{"text": "rd"}]},
        "finishReason": "STOP",
        "citationMetadata": {"citationSources": [{"uri": "https://c.d"}]},
    }
    for response in (
        DIALECT.decode_response({"candidates": [whole]}, generic.client_context()),
        chunks(first, last),
    ):
        (text,) = generic.parts_of(response.choices[0])
        assert list(text.annotations) == [CITED, end]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body, reason",
    [
        ({"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
        ({"candidates": [], "promptFeedback": {}, "usageMetadata": {"totalTokenCount": 1}}, "content_filter"),
        ({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, "stop"),
        ({"candidates": [{"content": {"role": "model"}}]}, "stop"),
        ({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}, "tool_calls"),
    ],
)
def test_an_answer_without_a_finish_is_whole(body: Json, reason: str) -> None:
    finish = DIALECT.decode_response(body, generic.client_context()).choices[0].finish
    assert finish is not None
    assert finish.reason == reason
