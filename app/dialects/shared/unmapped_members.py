"""Features of a request that a wire does not support: reported, or sent unchanged to the same dialect.

Shared by the wires that differ most from OpenAI's, so that each lists only what it supports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from app.canonical.media import CompletionRequest
from app.canonical.request import OpaquePart, ReasoningPart, Request, Signature, ToolCallPart
from app.dialects.base import ClientContext
from app.dialects.shared.losses import Losses

INCLUDES: Final = (
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
)
"""The values of ``include`` that OpenAI's API defines: an answer shows what they ask for, if it has that. Others are a provider's
own, or mistyped."""


def sendable_extras(request: Request, dialect: str, own: frozenset[str], losses: Losses) -> dict[str, Any]:
    """Return the extra members to send.

    If the client's body is in the same dialect, these are all of them. Otherwise they are the
    wire's ``own`` members, which a client may send beside the standard ones; the others are
    reported.
    """
    if request.origin is None or request.origin.dialect == dialect:
        return dict(request.extra)
    for name in request.extra:
        if name not in own:
            losses.report("extra", f"'{name}' is unknown to this API and was left out", param=name)
    return {name: value for name, value in request.extra.items() if name in own}


def known_extras(extra: Mapping[str, Any], names: Collection[str], losses: Losses) -> dict[str, Any]:
    """Return the extra members among ``names``; the others are reported."""
    for name in extra:
        if name not in names:
            losses.report("extra", param=name)
    return {name: value for name, value in extra.items() if name in names}


def report_unsupported(request: Request, supported: frozenset[str], losses: Losses) -> None:
    """Report the sampling parameters, output options and hints that are set but not ``supported``.

    A default value (one choice, no penalty, no truncation) is not a loss.
    """
    for feature, is_set in _members_of(request).items():
        if is_set and feature not in supported:
            losses.report(feature)
    report_metadata(request, losses)
    for name, value in request.hints.items():
        if name == "include":
            value = [one for one in value if one not in INCLUDES]
        if (
            name not in supported
            and value not in (None, [], {}, "")
            and (name, value) != ("truncation", "disabled")
        ):
            losses.report(name)


def report_metadata(request: Request, losses: Losses) -> None:
    """Report the metadata of a chat request, which its provider would store; that of a response is stored here."""
    if request.metadata and request.origin is not None and request.origin.dialect == "chat":
        losses.report("metadata")


def _members_of(request: Request) -> Mapping[str, bool]:
    sampling, output = request.sampling, request.output
    return {
        "n": sampling.n not in (None, 1),
        "seed": sampling.seed is not None,
        "presence_penalty": bool(sampling.presence_penalty),
        "frequency_penalty": bool(sampling.frequency_penalty),
        "logit_bias": bool(sampling.logit_bias),
        "logprobs": bool(sampling.logprobs or sampling.top_logprobs),
        "top_k": sampling.top_k is not None,
        "verbosity": output.verbosity is not None,
        "modalities": any(kind != "text" for kind in output.modalities),
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools),
    }


def own_block(part: OpaquePart, role: str, dialect: str, losses: Losses) -> dict[str, Any] | None:
    """Return the members of an opaque part if it is of ``dialect``; otherwise report it and return None."""
    if part.native[0] == dialect:
        return dict(part.native[1])
    report_opaque(part, role, losses)
    return None


def report_opaque(part: OpaquePart, role: str, losses: Losses) -> None:
    """Report an item of another dialect: the assistant's is dropped, any other is refused."""
    feature = "hosted_item" if role == "assistant" else "opaque_input"
    losses.report(feature, f"An item of type '{part.type}' can be read only by the API that made it")


def report_call_signature(part: ToolCallPart, losses: Losses) -> None:
    """Report the signature of a tool call, for wires whose tool calls have none."""
    if part.signature is not None:
        losses.report("reasoning_signature", "The signature of an earlier tool call was left out")


def own_signature(part: ReasoningPart, dialect: str, context: ClientContext) -> Signature | None:
    """Return the signature of a reasoning part if the target accepts it; otherwise report the loss of the part."""
    if part.signature is not None and context.accepts(part.signature, dialect):
        return part.signature
    context.losses.report(
        "reasoning_signature",
        "Earlier reasoning was left out: only its maker's own signature lets it go back",
    )
    return None


def single_prompt(request: CompletionRequest, losses: Losses) -> str:
    """Return the only prompt; several prompts and token arrays are reported, which refuses the request."""
    if len(request.prompts) != 1:
        losses.report("prompts", "several prompts at once are not supported by this model", param="prompt")
    prompt = request.prompts[0]
    if not isinstance(prompt, str):
        losses.report("tokens_input", "token arrays are not supported by this model", param="prompt")
    return str(prompt)
