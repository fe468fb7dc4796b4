"""What of a request is left when a wire has taken its part: reported, or sent as it came.

Members, items that only their maker can read, and thoughts that only it signs. Shared by the wires whose vocabulary is far from OpenAI's, so that each names only what
it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import OpaquePart, ReasoningPart, Request, Signature, ToolCallPart
from app.dialects.base import ClientContext
from app.dialects.shared.losses import Losses

QUIET_HINTS: Final = frozenset({"include"})
"""Hints that only shape the gateway's own answer."""


def sendable_extras(request: Request, dialect: str, own: frozenset[str], losses: Losses) -> dict[str, Any]:
    """Return the extra members that may go out.

    All of them to the dialect they came in; from any other the wire's ``own`` members,
    which a client may send beside the standard ones. The rest is reported.
    """
    if request.origin is None or request.origin.dialect == dialect:
        return dict(request.extra)
    for name in request.extra:
        if name not in own:
            losses.report("extra", f"'{name}' is unknown to this API and was left out", param=name)
    return {name: value for name, value in request.extra.items() if name in own}


def report_unsupported(request: Request, taken: frozenset[str], losses: Losses) -> None:
    """Report what was asked for of sampling, output form and hints that is not in ``taken``.

    A value that is the default anyway (one choice, no penalty, no truncation) is no loss.
    """
    for feature, wanted in _requested(request).items():
        if wanted and feature not in taken:
            losses.report(feature)
    report_metadata(request, losses)
    for name, value in request.hints.items():
        if name in taken or name in QUIET_HINTS or value in (None, [], {}, ""):
            continue
        if (name, value) != ("truncation", "disabled"):
            losses.report(name)


def report_metadata(request: Request, losses: Losses) -> None:
    """Report a chat's metadata, which its upstream was to keep; a response's is kept here."""
    if request.metadata and request.origin is not None and request.origin.dialect == "chat":
        losses.report("metadata")


def _requested(request: Request) -> Mapping[str, bool]:
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
    """Return an opaque part as it came where this very wire made it; else report it."""
    if part.native[0] == dialect:
        return dict(part.native[1])
    report_opaque(part, role, losses)
    return None


def report_opaque(part: OpaquePart, role: str, losses: Losses) -> None:
    """Report an item that another wire made: an assistant's is left out, other input refused."""
    feature = "hosted_item" if role == "assistant" else "opaque_input"
    losses.report(feature, f"An item of type '{part.type}' can be read only by the API that made it")


def report_call_signature(part: ToolCallPart, losses: Losses) -> None:
    """Report a tool call's signature on a wire whose calls have none."""
    if part.signature is not None:
        losses.report("reasoning_signature", "The signature of an earlier tool call was left out")


def own_signature(part: ReasoningPart, dialect: str, context: ClientContext) -> Signature | None:
    """Return a thought's signature where the target takes it back; else report the thought."""
    if part.signature is not None and context.accepts(part.signature, dialect):
        return part.signature
    context.losses.report(
        "reasoning_signature",
        "Earlier reasoning was left out: only its maker's own signature lets it go back",
    )
    return None
