"""The name of the Gemini dialect, and the differences between hosts and between model families.

Hosts differ in ``GeminiOptions``, which a provider sets. Families differ in how thinking is
requested and in what a turn may hold; a family is found by the model's id. Sources of ranges
and levels: Google's thinking guide, docs/contract/providers.md (Gemini and Vertex).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.canonical.record import record
from app.canonical.request import AudioPart
from app.dialects.shared.members import own_members

NAME: Final = "gemini"

_AUDIO_TYPES: Final[Mapping[str, str]] = {
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "pcm16": "audio/pcm;rate=24000",
    "pcm": "audio/pcm;rate=24000",
}
_AUDIO_FORMATS: Final = {"l16": "pcm16", "pcm": "pcm16", "mpeg": "mp3", "x-wav": "wav"}


@record
class GeminiOptions:
    """Quirks of one host of generateContent.

    ``display_names``: inline data and files may have a name. ``server_side_tools``: takes Google's
    tools beside functions, with ``includeServerSideToolInvocations``. ``count_wraps``: countTokens
    takes the whole request as ``generateContentRequest``.
    """

    display_names: bool = False
    server_side_tools: bool = True
    count_wraps: bool = True


VERTEX: Final = GeminiOptions(display_names=True, server_side_tools=False, count_wraps=False)


@record
class Family:
    """One family of models.

    ``levels``: its thinking levels, lowest first (Gemini 3 and later). ``budget``: its range of
    thinking tokens; None if thinking cannot be requested. ``off``: thinking can be turned off.
    ``signs_calls``, ``signs_images``: a function call of the history, an image that the model made,
    need a thought signature. ``media_results``: a function's result may hold images and files.
    ``json_schema`` False: takes the reduced schema form only. ``mixes_json``: takes functions and
    search beside a JSON output format.
    """

    levels: tuple[str, ...] = ()
    budget: tuple[int, int] | None = None
    off: bool = True
    signs_calls: bool = False
    media_results: bool = False
    json_schema: bool = True
    signs_images: bool = False
    mixes_json: bool = True


_NO_THINKING: Final = Family(mixes_json=False)
_GEMINI_3: Final = Family(("minimal", "low", "medium", "high"), (1, 32_768), False, True, True)
_FLASH_3_7: Final = Family(("low", "medium", "high"), (1, 32_768), False, True, True)
_IMAGE_MODEL: Final = Family(media_results=True, signs_images=True)

_FAMILIES: Final[tuple[tuple[str, Family], ...]] = (
    (r"^gemini-(1|2\.0)", Family(json_schema=False, mixes_json=False)),
    (r"^gemini-2\.5-.*(image|tts|native-audio|live)", _NO_THINKING),
    (r"^gemini-2\.5-pro", Family(budget=(128, 32_768), off=False, mixes_json=False)),
    (r"^gemini-2\.5-flash-lite", Family(budget=(512, 24_576), mixes_json=False)),
    (r"^gemini-2\.5-flash", Family(budget=(1, 24_576), mixes_json=False)),
    (r"^gemini-[3-9].*(tts|live)", Family()),
    (
        r"^gemini-3\.[1-9]\S*flash\S*image",
        replace(_IMAGE_MODEL, levels=("minimal", "high"), budget=(1, 32_768)),
    ),
    (r"^gemini-[3-9].*image", _IMAGE_MODEL),
    (r"^gemini-3-pro", Family(("low", "high"), (1, 32_768), False, True, True)),
    (r"^gemini-([3-9]\S*-)?pro", Family(("low", "medium", "high"), (1, 32_768), False, True, True)),
    (r"^gemini-3\.[7-9]\S*-flash(?!-lite)", _FLASH_3_7),
    (r"^gemini-([3-9]|flash|nano)", _GEMINI_3),
    (r"^(gemma|learnlm|palm|imagen)", Family()),
)
_UNKNOWN: Final = Family(budget=(1_024, 24_576))


def bare_model(model: str) -> str:
    """Return a model id without Google's ``models/`` prefix or publisher path."""
    return model.rpartition("/")[2]


def family_of(model: str) -> Family:
    """Return the family of a model; unknown ids (tuned endpoints) have a wide budget."""
    name = bare_model(model).lower()
    return next((family for pattern, family in _FAMILIES if re.search(pattern, name)), _UNKNOWN)


def audio_type(part: AudioPart) -> str:
    """Return the media type of an audio part: Google's own, else that of its format."""
    default = _AUDIO_TYPES.get(part.format or "", f"audio/{part.format or 'wav'}")
    return str(own_members(part.native, NAME).get("mimeType", default))


def audio_format(media_type: str) -> str:
    """Return the format of a media type; ``audio/L16;rate=24000`` is ``pcm16``, raw 16 bit PCM."""
    name = media_type.partition(";")[0].partition("/")[2].lower()
    return _AUDIO_FORMATS.get(name, name)
