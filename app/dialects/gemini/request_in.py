"""Decode a generateContent or countTokens request (server half).

Model and streaming are part of the URL: the view puts them into ``model`` and ``stream``
of the body. Members that only Gemini has go into ``extra``. Sources: google-genai's request
types, Google's REST reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Message, Origin, Output, Reasoning, Request, Sampling
from app.dialects.base import ServerContext
from app.dialects.gemini.contents_in import ContentsReader, join_pieces
from app.dialects.gemini.members import Members
from app.dialects.gemini.options import NAME
from app.dialects.gemini.request_out import CONFIG_EXTRAS
from app.dialects.gemini.tools_in import decode_choice, decode_tools, schema_member
from app.dialects.shared.lenient_json import as_dict, rest, without_nulls
from app.dialects.shared.strict_json import missing, wrong_value

_CANONICAL: Final = frozenset(
    {
        "model",
        "stream",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "serviceTier",
        "fallbacks",  # the gateway's own member, read by the router
    }
)
_CANONICAL_CONFIG: Final = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "maxOutputTokens",
        "candidateCount",
        "presencePenalty",
        "frequencyPenalty",
        "stopSequences",
        "seed",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "thinkingConfig",
    }
)
_EFFORTS: Final = {
    "THINKING_LEVEL_UNSPECIFIED": None,
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
}
_MODALITIES: Final = {"TEXT": "text", "IMAGE": "image", "AUDIO": "audio", "MODALITY_UNSPECIFIED": "text"}
_TIERS: Final = {"standard": "default"}
_MEDIA_TYPES: Final = ("", "text/plain", "application/json", "text/x.enum")
_MEDIA_TYPES_SHOWN: Final = "'text/plain', 'application/json' and 'text/x.enum'"


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the canonical request of a generateContent body.

    Raises ``bad_request`` with the path (``contents[0].parts``), in the client's spelling, of a
    member that Google would refuse.
    """
    members = Members(body)
    config = members.object("generationConfig") or Members({}, "generationConfig")
    return Request(
        model=members.text("model") or "",
        messages=tuple(_messages(members, ContentsReader(context.unwrap))),
        tools=decode_tools(members),
        tool_choice=decode_choice(members),
        sampling=_sampling(config),
        output=_output(config),
        reasoning=_reasoning(config),
        stream=members.flag("stream") or False,
        hints=_hints(members),
        extra=_extra(members, config),
        origin=Origin(NAME, body),
    )


def _messages(members: Members, reader: ContentsReader) -> list[Message]:
    if members.members.get("contents") is None:
        raise missing("contents")
    system = members.members.get("systemInstruction")
    if isinstance(system, str):  # google-genai takes a text in place of a content
        system = {"parts": [{"text": system}]}
    messages = reader.system(Members.of(system, "systemInstruction")) if system is not None else []
    turns = [turn for content in members.objects("contents") for turn in reader.content(content)]
    return messages + join_pieces(turns)


def decode_count_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the prompt to count: the body's own members, or its ``generateContentRequest``."""
    members = Members(body)
    inner = members.mapping("generateContentRequest")
    if inner is None:
        return decode_request(body, context)
    model = members.text("model") or inner.get("model")
    return decode_request({**inner, **({"model": model} if model else {})}, context)


def _sampling(config: Members) -> Sampling:
    return Sampling(
        max_tokens=config.integer("maxOutputTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.integer("topK"),
        stop=config.texts("stopSequences"),
        seed=config.integer("seed"),
        presence_penalty=config.number("presencePenalty"),
        frequency_penalty=config.number("frequencyPenalty"),
        logprobs=config.flag("responseLogprobs"),
        top_logprobs=config.integer("logprobs"),
        n=config.integer("candidateCount"),
    )


def _output(config: Members) -> Output:
    media_type = config.word("responseMimeType", _MEDIA_TYPES, _MEDIA_TYPES_SHOWN)
    schema = schema_member(config, "responseJsonSchema", "responseSchema")
    shared: dict[str, Any] = {"modalities": _modalities(config), "audio": _audio(config)}
    if media_type != "application/json":
        return Output(**shared)
    return Output("json" if schema is None else "schema", schema=schema, **shared)


def _modalities(config: Members) -> tuple[str, ...]:
    words = config.texts("responseModalities")
    for index, word in enumerate(words):
        if word.upper() not in _MODALITIES:
            path = f"{config.at('responseModalities')}[{index}]"
            raise wrong_value(path, word, "'TEXT', 'IMAGE' and 'AUDIO'")
    return tuple(_MODALITIES[word.upper()] for word in words)


def _audio(config: Members) -> dict[str, Any] | None:
    """Return the prebuilt voice in OpenAI's form, which other dialects read; Gemini's audio is PCM."""
    speech = config.object("speechConfig")
    if speech is not None and speech.object("multiSpeakerVoiceConfig") is not None:
        return {"speakers": True, "format": "pcm16"}
    name = _voice(speech)
    if name:
        return {"voice": name, "format": "pcm16"}
    return {"format": "pcm16"} if "audio" in _modalities(config) else None


def _voice(speech: Members | None) -> str | None:
    voice = speech.object("voiceConfig") if speech is not None else None
    prebuilt = voice.object("prebuiltVoiceConfig") if voice is not None else None
    return prebuilt.text("voiceName") if prebuilt is not None else None


def _reasoning(config: Members) -> Reasoning | None:
    thinking = config.object("thinkingConfig")
    if thinking is None:
        return None
    return Reasoning(
        thinking.choice("thinkingLevel", _EFFORTS),
        thinking.integer("thinkingBudget"),
        "auto" if thinking.flag("includeThoughts") else None,
    )


def _hints(members: Members) -> dict[str, Any]:
    tier = members.text("serviceTier")
    return {"service_tier": _TIERS.get(tier.lower(), tier.lower())} if tier else {}


def _extra(members: Members, config: Members) -> dict[str, Any]:
    """Return the members that a canonical request does not have.

    Those of generationConfig that clients of other dialects may send are at the top, as they send them.
    """
    others = without_nulls(rest(config.members, _CANONICAL_CONFIG))
    has_voice_only = set(as_dict(others.get("speechConfig"))) <= {"voiceConfig", "voice_config"}
    if has_voice_only and _voice(config.object("speechConfig")):
        del others["speechConfig"]
    extra = {name: others.pop(name) for name in list(others) if name in CONFIG_EXTRAS}
    if config.members.get("responseMimeType") == "text/x.enum":
        others |= {name: config.members.get(name) for name in ("responseMimeType", "responseSchema")}
    if others:
        extra["generationConfig"] = others
    if set(as_dict(members.members.get("toolConfig"))) - {"functionCallingConfig", "function_calling_config"}:
        extra["toolConfig"] = members.members["toolConfig"]
    return {**extra, **without_nulls(rest(members.members, _CANONICAL))}
