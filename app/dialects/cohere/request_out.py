"""Encode a canonical request as a Cohere v2 chat request (client half).

Sources: docs/contract/providers.md (Others), the request types of the cohere SDK's
``V2Client.chat``, recorded traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.cohere.options import NAME, output_limit
from app.dialects.shared.alternation import merge_turns
from app.dialects.shared.claude_thinking import with_thinking
from app.dialects.shared.effort import budget_of
from app.dialects.shared.lenient_json import JSON, as_dict, data_url, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import own_members, report_members
from app.dialects.shared.sampling_paths import capped_temperature
from app.dialects.shared.tool_forms import (
    ANSWER_DESCRIPTION,
    ANSWER_TOOL,
    call_text,
    custom_schema,
    forces_call,
    is_allowed,
    object_schema,
)
from app.dialects.shared.tool_results import pair_results
from app.dialects.shared.unmapped_members import (
    report_call_signature,
    report_opaque,
    report_unsupported,
    sendable_extras,
)

_OWN: Final = frozenset({"citation_options", "documents", "priority", "safety_mode", "thinking"})
"""Members of Cohere's API that clients of other APIs may add to their requests."""

_SUPPORTED: Final = frozenset({"seed", "presence_penalty", "frequency_penalty", "logprobs", "top_k"})


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of ``/v2/chat``; losses are reported to the context.

    Raises ``unsupported_parameter`` where leaving something out would change the response.
    """
    losses = context.losses
    request = pair_results(request, losses)
    own = "thinking" in request.extra and "budget_tokens" not in as_dict(request.extra["thinking"])
    request = with_thinking(request, foreign=not own)  # Cohere also has a member of that name
    report_members(request, NAME, {}, losses)
    body: JSON = {
        **sendable_extras(request, NAME, _OWN, losses),
        "model": context.model,
        "messages": _messages(request, context),
        **_documents(request),
        **_sampling(request, losses),
        **_tools_and_form(request, losses),
    }
    if "thinking" not in body:
        body.update(_thinking(request, context))
    if request.stream:
        body["stream"] = True
    report_unsupported(request, _SUPPORTED, losses)
    return EncodedRequest(body)


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of ``/v1/tokenize``, which counts the tokens of a prompt.

    It takes plain text: the instructions and all texts, one per line.
    """
    texts = [request.instructions] if request.instructions else []
    texts += [
        part.text for message in request.messages for part in message.parts if isinstance(part, TextPart)
    ]
    return EncodedRequest({"model": context.model, "text": "\n".join(texts)})


# messages


def _messages(request: Request, context: ClientContext) -> list[JSON]:
    opening = [Message("system", (TextPart(request.instructions),))] if request.instructions else []
    turns: list[JSON] = []
    for message in merge_turns([*opening, *request.messages], roles={"developer": "system"}):
        if message.name is not None and message.role != "tool":
            context.losses.report("message_name", "Messages have no names here; the name was left out")
        turns += _ROLES[message.role](message, context.losses)
    return turns


def _documents(request: Request) -> JSON:
    """Return the documents that a Cohere client sent beside its messages."""
    parts = (part for message in request.messages if message.role == "user" for part in message.parts)
    documents = [document for part in parts if (document := _own_document(part)) is not None]
    return {"documents": documents} if documents else {}


def _plain_messages(message: Message, losses: Losses) -> list[JSON]:
    """Return a system or user message: plain text, or a list of blocks; none if it is empty."""
    content = _content(message.parts, message.role, losses)
    return [{"role": message.role, "content": content}] if content else []


def _content(parts: Iterable[Part], role: str, losses: Losses) -> str | list[JSON]:
    blocks = [block for part in parts if (block := _block(part, role, losses)) is not None]
    return blocks[0]["text"] if [block["type"] for block in blocks] == ["text"] else blocks


def _assistant(message: Message, losses: Losses) -> list[JSON]:
    """Return an assistant message: with tool calls its reasoning is the plan, else thinking blocks."""
    calls = [_call(part, losses) for part in message.parts if isinstance(part, ToolCallPart)]
    reasoning = [part for part in message.parts if isinstance(part, ReasoningPart)]
    thoughts = [text for part in reasoning if (text := _reasoning_text(part, losses))]
    others = [part for part in message.parts if not isinstance(part, ToolCallPart | ReasoningPart)]
    content = [block for part in others if (block := _block(part, "assistant", losses)) is not None]
    if not calls:
        content = [{"type": "thinking", "thinking": thought} for thought in thoughts] + content
    optional = {
        "tool_calls": calls,
        "tool_plan": "".join(thoughts) if calls else "",
        "content": content,
        "citations": [citation for part in others for citation in _own(part).get("citations") or ()],
    }
    members = {name: value for name, value in optional.items() if value}
    return [{"role": "assistant", **members}] if members else []


def _reasoning_text(part: ReasoningPart, losses: Losses) -> str:
    if not part.text:
        losses.report("reasoning_signature", "Earlier reasoning that only its maker can read was left out")
    elif part.signature is not None:
        losses.report("reasoning_signature", "The signature of earlier reasoning was left out")
    return part.text


def _own(part: Part) -> Mapping[str, Any]:
    """Return the members that a Cohere client wrote on a text."""
    return own_members(part.native, NAME) if isinstance(part, TextPart) else {}


def _call(part: ToolCallPart, losses: Losses) -> JSON:
    report_call_signature(part, losses)
    function = {"name": part.name, "arguments": call_text(part, losses)}
    return {"id": part.id, "type": "function", "function": function}


def _results(message: Message, losses: Losses) -> list[JSON]:
    """Return a message for each result."""
    return [_result(part, losses) for part in message.parts if isinstance(part, ToolResultPart)]


def _result(part: ToolResultPart, losses: Losses) -> JSON:
    if part.is_error:
        losses.report("tool_result", "This API cannot mark a tool result as failed; only its text was sent")
    content = _content(part.content, "tool", losses)
    return {"role": "tool", "tool_call_id": part.call_id, "content": content or ""}


_ROLES: Final[Mapping[str, Callable[[Message, Losses], list[JSON]]]] = {
    "system": _plain_messages,
    "user": _plain_messages,
    "assistant": _assistant,
    "tool": _results,
}


def _block(part: Part, role: str, losses: Losses) -> JSON | None:
    if isinstance(part, ImagePart) and role == "assistant":
        losses.report("hosted_item", "Images that a model made cannot be sent to this one")
        return None
    writer = _BLOCKS.get(type(part))
    if writer is None:
        losses.report("content", f"A '{role}' message cannot hold this content here")
        return None
    return writer(part, role, losses)


def _text(part: TextPart | RefusalPart, role: str, losses: Losses) -> JSON | None:
    if (document := _own_document(part)) is not None:
        return {"type": "document", "document": document} if role == "tool" else None
    return {"type": "text", "text": part.text} if part.text else None


def _own_document(part: Part) -> Any:
    """Return the document that a text was made of, as the Cohere client wrote it, or None."""
    return _own(part).get("as_document")


def _image(part: ImagePart, role: str, losses: Losses) -> JSON | None:
    if role != "user" or part.file_id is not None:
        losses.report("image", "Images can be shown in user messages, by URL or inline")
    url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
    detail = {"detail": part.detail} if part.detail in ("auto", "low", "high") else {}
    return {"type": "image_url", "image_url": {"url": url or "", **detail}}


def _file(part: FilePart, role: str, losses: Losses) -> JSON | None:
    """Return a tool result's document; in other messages files are refused."""
    if role != "tool" or part.text is None:
        losses.report(
            "file", "Files are not supported here; send their text, or 'documents' beside the messages"
        )
    data = {"text": part.text or "", **({"title": part.filename} if part.filename else {})}
    return {"type": "document", "document": {"data": data}}


def _audio(part: AudioPart, role: str, losses: Losses) -> JSON | None:
    if part.transcript and not part.data:
        return {"type": "text", "text": part.transcript}
    losses.report("audio")
    return None


def _opaque(part: OpaquePart, role: str, losses: Losses) -> JSON | None:
    report_opaque(part, role, losses)
    return None


_BLOCKS: Final[Mapping[type, Callable[[Any, str, Losses], JSON | None]]] = {
    TextPart: _text,
    RefusalPart: _text,
    ImagePart: _image,
    FilePart: _file,
    AudioPart: _audio,
    OpaquePart: _opaque,
}


# sampling and thinking


def _sampling(request: Request, losses: Losses) -> JSON:
    sampling = request.sampling
    members = {
        "max_tokens": sampling.max_tokens,
        "temperature": capped_temperature(sampling.temperature, 1, losses),
        "p": sampling.top_p,
        "k": sampling.top_k if (sampling.top_k or 0) >= 0 else None,
        "stop_sequences": list(sampling.stop) or None,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logprobs": sampling.logprobs or None,
    }
    if sampling.top_logprobs:
        losses.report("top_logprobs", "Only the chosen tokens have log probabilities here")
    return without_nulls(members)


def _thinking(request: Request, context: ClientContext) -> JSON:
    reasoning, losses = request.reasoning, context.losses
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        return {}
    limit = output_limit(context.model)
    off = reasoning.budget == 0 or (reasoning.budget is None and reasoning.effort == "none")
    if limit is None:
        if not off:
            losses.report("reasoning_effort" if reasoning.budget is None else "reasoning_budget")
        return {}
    if off:
        return {"thinking": {"type": "disabled"}}
    budget = reasoning.budget
    if budget is None:
        budget = budget_of(reasoning.effort or "medium", request.sampling.max_tokens or limit)
    return {"thinking": {"type": "enabled", **({"token_budget": budget} if budget > 0 else {})}}


# tools and the output format


def _tools_and_form(request: Request, losses: Losses) -> JSON:
    choice = request.tool_choice or ToolChoice("auto")
    tools = [
        entry
        for tool in request.tools
        if _is_offered(tool, choice) and (entry := _KINDS[tool.kind](tool, losses)) is not None
    ]
    mode = _mode(choice, bool(tools), losses)
    output, body = request.output, JSON()
    if output.format == "schema" and tools and mode != "REQUIRED":
        # Cohere takes no response_format beside tools: a tool that must be called has the schema instead
        tools = tools if mode is None else []
        warning = "The schema was sent as a required tool: this API has no JSON format together with tools"
        losses.report("output_json", warning)
        tools.append(_function(ANSWER_TOOL, ANSWER_DESCRIPTION, as_dict(output.described_schema)))
        mode = "REQUIRED"
    elif output.format != "text" and tools:
        losses.report("output_json", "This API has no JSON format together with tools; it was left out")
    elif output.format != "text":
        described_schema = output.described_schema
        schema = {"json_schema": dict(described_schema)} if described_schema else {}
        body["response_format"] = {"type": "json_object", **schema}
    if not tools:
        return body
    return {**body, "tools": tools, **_strict(request, losses), **({"tool_choice": mode} if mode else {})}


def _mode(choice: ToolChoice, has_tools: bool, losses: Losses) -> str | None:
    """Return ``tool_choice``, None for ``auto``, which is the default.

    A named tool is required, and the only one offered.
    """
    if forces_call(choice, has_tools, losses):
        return "REQUIRED"
    return "NONE" if choice.mode == "none" else None


def _is_offered(tool: Tool, choice: ToolChoice) -> bool:
    if choice.mode == "named":
        return tool.name == choice.name
    return is_allowed(tool, choice)


def _strict(request: Request, losses: Losses) -> JSON:
    strict = [bool(tool.strict) for tool in request.tools if tool.kind == "function"]
    if strict and all(strict):
        return {"strict_tools": True}
    if any(strict):
        losses.report("tool_strict", "Strictness holds for all tools or none here; it was left out")
    return {}


def _function(name: str, description: str | None, schema: Mapping[str, Any]) -> JSON:
    about = {"description": description} if description else {}
    return {"type": "function", "function": {"name": name, **about, "parameters": dict(schema)}}


def _hosted(tool: Tool, losses: Losses) -> JSON | None:
    losses.report("hosted_tool", f"The hosted tool '{tool.name}' is not run by this model")
    return None


_KINDS: Final[Mapping[str, Callable[[Tool, Losses], JSON | None]]] = {
    "function": lambda tool, losses: _function(tool.name, tool.description, object_schema(tool.parameters)),
    "custom": lambda tool, losses: _function(tool.name, tool.description, custom_schema(tool, losses)),
    "hosted": _hosted,
}
