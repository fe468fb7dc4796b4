"""What differs between Gemini's hosts and model families, as data.

Hosts differ in ``GeminiOptions``, which a provider gives. Families differ in how they
are told to think and in what a turn may hold; they are found by the model's id.
Ranges and levels: Google's thinking guide and contract/providers.md 3.6.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record


@record
class GeminiOptions:
    """Quirks of one host of generateContent.

    ``function_call_ids``: functionCall and functionResponse may carry ``id``.
    ``labels``: request labels are taken. ``display_names``: inline data and files may be
    named. ``json_schema``: full JSON Schema is taken (``parametersJsonSchema``,
    ``responseJsonSchema``), else the reduced OpenAPI form is sent.
    ``server_side_tools``: Google's tools and functions may stand side by side when asked
    for by ``includeServerSideToolInvocations``. ``count_wraps``: countTokens takes the
    whole request as ``generateContentRequest``.
    """

    function_call_ids: bool = True
    labels: bool = True
    display_names: bool = False
    json_schema: bool = True
    server_side_tools: bool = True
    count_wraps: bool = True


VERTEX: Final = GeminiOptions(display_names=True, server_side_tools=False, count_wraps=False)


@record
class Family:
    """One family of models.

    ``levels`` it can be told to think at, weakest first (Gemini 3 and later); without
    them ``budget`` is its range of thinking tokens (None: it does not think on request)
    and ``off`` says whether thinking can be turned off. ``signs_calls``: a function call
    in the history needs a thought signature. ``media_results``: a function's result may
    hold images and files. ``json_schema`` False: only the reduced schema form is taken.
    ``signs_pictures``: so does a picture that the model made. ``mixes_json``: functions and
    search may stand beside a JSON form of the answer.
    """

    levels: tuple[str, ...] = ()
    budget: tuple[int, int] | None = None
    off: bool = True
    signs_calls: bool = False
    media_results: bool = False
    json_schema: bool = True
    signs_pictures: bool = False
    mixes_json: bool = True


_NO_THINKING: Final = Family(mixes_json=False)
_GEMINI_3: Final = Family(("minimal", "low", "medium", "high"), (1, 32_768), False, True, True)
_FLASH_3_7: Final = Family(("low", "medium", "high"), (1, 32_768), False, True, True)
_PAINTER: Final = Family(media_results=True, signs_pictures=True)

_FAMILIES: Final[tuple[tuple[str, Family], ...]] = (
    (r"^gemini-(1|2\.0)", Family(json_schema=False, mixes_json=False)),
    (r"^gemini-2\.5-.*(image|tts|native-audio|live)", _NO_THINKING),
    (r"^gemini-2\.5-pro", Family(budget=(128, 32_768), off=False, mixes_json=False)),
    (r"^gemini-2\.5-flash-lite", Family(budget=(512, 24_576), mixes_json=False)),
    (r"^gemini-2\.5-flash", Family(budget=(1, 24_576), mixes_json=False)),
    (r"^gemini-[3-9].*(tts|live)", Family()),
    (r"^gemini-3\.[1-9]\S*flash\S*image", replace(_PAINTER, levels=("minimal", "high"), budget=(1, 32_768))),
    (r"^gemini-[3-9].*image", _PAINTER),
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
    """Return what is known of ``model``; unknown ids (tuned endpoints) get a wide budget."""
    name = bare_model(model).lower()
    return next((family for pattern, family in _FAMILIES if re.search(pattern, name)), _UNKNOWN)


def options_of(options: Any) -> GeminiOptions:
    """Return a context's options, or the defaults where the provider gave none."""
    return options if isinstance(options, GeminiOptions) else GeminiOptions()
