"""Encode canonical requests for generateContent, streamGenerateContent and countTokens (client half).

Model, version and streaming are part of the URL. Reasoning is requested by levels (Gemini 3) or by token
budgets (before); a budget takes precedence over an effort, since Google refuses both together. Sources:
docs/contract/providers.md (Gemini and Vertex), google-genai's request types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Output, Reasoning, Request, Sampling
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.gemini.contents_out import ContentsEncoder
from app.dialects.gemini.members import camel
from app.dialects.gemini.options import NAME, Family, GeminiOptions, bare_model, family_of
from app.dialects.gemini.tools_out import ToolsEncoder
from app.dialects.shared.claude_thinking import with_thinking
from app.dialects.shared.effort import budget_of, rank_of
from app.dialects.shared.lenient_json import as_dict, json_text, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import report_members
from app.dialects.shared.sampling_paths import capped_temperature
from app.dialects.shared.tool_results import pair_results
from app.dialects.shared.unmapped_members import report_unsupported

_SCALARS: Final[Mapping[str, str]] = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_JSON_INSTRUCTION: Final = (
    "Answer with one valid JSON value and nothing else: no words around it, no code fence."
)
_MAX_TEMPERATURE: Final = 2.0
_SEED_RANGE: Final = range(-(2**31), 2**31)

_TIERS: Final[Mapping[Any, str | None]] = {
    "auto": None,
    "default": "standard",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
}

_MODALITIES: Final[Mapping[str, str]] = {"text": "TEXT", "audio": "AUDIO", "image": "IMAGE"}

_TOP_EXTRAS: Final = frozenset({"safetySettings", "cachedContent", "labels", "modelArmorConfig"})
CONFIG_EXTRAS: Final = frozenset(
    {
        "mediaResolution",
        "speechConfig",
        "imageConfig",
        "audioTimestamp",
        "routingConfig",
        "modelSelectionConfig",
        "enableEnhancedCivicAnswers",
        "responseModalities",
        "thinkingConfig",
    }
)
"""Members of Gemini's API that clients of other APIs may add to their requests
(openai-python's ``extra_body``), in camelCase or snake_case."""

_SUPPORTED: Final = frozenset(
    {
        *("n", "seed", "presence_penalty", "frequency_penalty", "logprobs", "top_k"),
        *("modalities", "service_tier", "web_search_options"),
    }
)
_PROMPT_MEMBERS: Final = frozenset({"contents", "systemInstruction", "tools", "generationConfig"})


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of generateContent; losses are reported to the context."""
    return EncodedRequest(_body(request, context))


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of countTokens.

    The Gemini API takes the whole request with its model inside, Vertex only the four
    members that it counts.
    """
    body = _body(request, context)
    if context.options_as(GeminiOptions).count_wraps:
        model = f"models/{bare_model(context.model)}"
        return EncodedRequest({"generateContentRequest": {"model": model, **body}})
    return EncodedRequest({name: value for name, value in body.items() if name in _PROMPT_MEMBERS})


def _body(request: Request, context: ClientContext) -> dict[str, Any]:
    request = with_thinking(pair_results(request, context.losses))
    report_members(request, NAME, {}, context.losses)
    options, family = context.options_as(GeminiOptions), family_of(context.model)
    system, contents = ContentsEncoder(context, options, family).encode(
        request.instructions, request.messages
    )
    encoder = ToolsEncoder(context, options, family)
    tools = encoder.encode(request)
    output = request.output
    if output.format != "text" and tools.get("tools") and not family.mixes_json:
        described_schema = output.described_schema
        schema = f" It must fit this JSON schema: {json_text(described_schema)}" if described_schema else ""
        system.append({"text": _JSON_INSTRUCTION + schema})
        warning = "JSON was requested in the prompt; this model has no JSON format together with tools"
        context.losses.report("output_json", warning)
        output = replace(output, format="text")
    instructions = {"systemInstruction": {"parts": system}} if system else {}
    config = {**_sampling(request.sampling, context.losses), **_output(output, encoder, context.losses)}
    if thinking := thinking_config(request, family, context.losses):
        config["thinkingConfig"] = thinking
    body = {"contents": contents, **instructions, **tools, **_tier(request, context.losses)}
    report_unsupported(request, _SUPPORTED, context.losses)
    _add_extras(request, body, config, context)
    return {**body, "generationConfig": config} if config else body


def _sampling(sampling: Sampling, losses: Losses) -> dict[str, Any]:
    sampling = replace(
        sampling, temperature=capped_temperature(sampling.temperature, _MAX_TEMPERATURE, losses)
    )
    values = ((member, getattr(sampling, name)) for name, member in _SCALARS.items())
    config: dict[str, Any] = {member: value for member, value in values if value is not None}
    if (sampling.top_k or 0) < 0:
        del config["topK"]  # negative means no limit (vLLM)
    if sampling.stop:
        config["stopSequences"] = list(sampling.stop)
    if sampling.seed is not None and sampling.seed in _SEED_RANGE:
        config["seed"] = sampling.seed
    elif sampling.seed is not None:
        losses.report("seed", "Gemini's seeds have 32 bits; this one was left out")
    if sampling.logprobs:
        config["responseLogprobs"] = True
        if sampling.top_logprobs is not None:
            config["logprobs"] = sampling.top_logprobs
    return config


def _output(output: Output, encoder: ToolsEncoder, losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if output.format != "text":
        config["responseMimeType"] = "application/json"
    schema = output.described_schema
    if output.format == "schema" and schema is not None:
        config.update(encoder.output(schema))
    if output.modalities and output.modalities != ("text",):
        config["responseModalities"] = _modalities(output.modalities, losses)
    audio = output.audio or {}
    if audio.get("voice"):
        config["speechConfig"] = speech_config(audio["voice"])
    if audio.get("format") not in (None, "pcm16"):
        losses.report("audio_format", "Gemini speaks 24 kHz PCM only", param="audio.format")
    return config


def _modalities(names: tuple[str, ...], losses: Losses) -> list[str]:
    unknown = [name for name in names if name not in _MODALITIES]
    if unknown:
        losses.report("modalities", f"Gemini cannot answer in '{unknown[0]}'")
    if set(names) == {"text", "audio"}:
        # Gemini takes one of the two: googleapis/js-genai#382, BerriAI/litellm#11118 (2025, read 2026-11-28)
        losses.report("audio_transcript", "Gemini speaks without a transcript")
        names = ("audio",)
    return [_MODALITIES[name] for name in names]


def speech_config(voice: Any) -> dict[str, Any]:
    """Return ``speechConfig`` for a prebuilt voice: a name, or OpenAI's ``{"id": …}``."""
    name = as_dict(voice).get("id") or voice
    return {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": name}}}


def _tier(request: Request, losses: Losses) -> dict[str, Any]:
    tier = request.hints.get("service_tier")
    if tier is not None and tier not in _TIERS:
        losses.report("service_tier")
    return without_nulls({"serviceTier": _TIERS.get(tier)})


def _add_extras(
    request: Request, body: dict[str, Any], config: dict[str, Any], context: ClientContext
) -> None:
    own = request.origin is not None and request.origin.dialect == NAME
    for name, value in request.extra.items():
        member = camel(name)
        if member in _TOP_EXTRAS:
            body[member] = value
        elif member in CONFIG_EXTRAS:
            config[member] = value
        elif own and member == "generationConfig":
            config.update(as_dict(value))
        elif own:
            body[name] = value
        else:
            context.losses.report("extra", param=name)


# thinking


def thinking_config(request: Request, family: Family, losses: Losses) -> dict[str, Any]:
    """Return ``thinkingConfig``, empty if nothing was requested or the family cannot think.

    Responses clients get summaries only if they request them, other clients always.
    """
    reasoning = request.reasoning
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        shows = reasoning is not None and reasoning.summary and family.budget is not None
        return {"includeThoughts": True} if shows else {}
    config = _amount(reasoning, family, losses, request.sampling.max_tokens)
    must_request = request.origin is not None and request.origin.dialect == "responses"
    shows = reasoning.summary is not None or not must_request
    if not config or config.get("thinkingBudget") == 0 or not shows:
        return config
    return {**config, "includeThoughts": True}


def _amount(reasoning: Reasoning, family: Family, losses: Losses, limit: int | None) -> dict[str, Any]:
    if family.budget is None:
        if reasoning.effort != "none" and reasoning.budget != 0:
            losses.report("reasoning_effort" if reasoning.budget is None else "reasoning_budget")
        return {}
    if reasoning.budget is not None:
        return _budget(reasoning.budget, family, losses, "reasoning_budget")
    effort = reasoning.effort or "medium"
    if family.levels:
        return {"thinkingLevel": _level(effort, family.levels, losses)}
    if effort == "none":
        return _budget(0, family, losses, "reasoning_effort")
    lowest, highest = family.budget
    return {"thinkingBudget": max(lowest, min(highest, budget_of(effort, min(highest, limit or highest))))}


def _budget(tokens: int, family: Family, losses: Losses, feature: str) -> dict[str, Any]:
    """Return a budget in the family's range; 0 turns thinking off, -1 leaves it to the model."""
    if tokens == -1 or (tokens == 0 and family.off) or family.budget is None:
        return {"thinkingBudget": tokens}
    lowest, highest = family.budget
    if tokens == 0:
        losses.report(feature, "This model always thinks; the least thinking was requested")
        return {"thinkingLevel": family.levels[0]} if family.levels else {"thinkingBudget": lowest}
    budget = max(lowest, min(highest, tokens))
    if budget != tokens:
        losses.report(feature, f"The thinking budget was set to {budget}, the nearest this model takes")
    return {"thinkingBudget": budget}


def _level(effort: str, levels: tuple[str, ...], losses: Losses) -> str:
    """Return the level of an effort, else the next higher one, else the highest."""
    level = next((level for level in levels if rank_of(level) >= rank_of(effort)), levels[-1])
    if level != effort:
        message = f"The effort '{effort}' was sent as '{level}', the nearest this model takes"
        losses.report("reasoning_effort", message)
    return level
