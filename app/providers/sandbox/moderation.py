"""The sandbox's moderation: each category has words, and its score counts those in a text.

Only words are judged; pictures count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from app.canonical.media import Judgement, ModerationInput, ModerationResponse
from app.canonical.request import ImagePart
from app.canonical.response import Usage
from app.dialects import dialect_of
from app.dialects.media.moderations import ModerationDialect, text_of
from app.providers.sandbox.limits import MAX_CHARACTERS, check_size, count_words
from app.providers.sandbox.scripts import json_object, json_script, read_directives, server_context
from app.providers.sandbox.transport import HttpRequest, Script

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "harassment": ("idiot", "stupid", "loser"),
    "harassment/threatening": ("threaten", "beat you", "kill you", "hurt you"),
    "hate": ("hate", "vermin"),
    "hate/threatening": ("exterminate",),
    "illicit": ("shoplift", "counterfeit", "launder"),
    "illicit/violent": ("bomb", "explosive"),
    "self-harm": ("suicide", "self-harm"),
    "self-harm/intent": ("kill myself", "hurt myself"),
    "self-harm/instructions": ("how to kill myself", "ways to hurt myself"),
    "sexual": ("naked", "porn"),
    "sexual/minors": ("child porn",),
    "violence": ("kill", "stab", "shoot", "murder", "bomb"),
    "violence/graphic": ("gore", "blood"),
}
_PATTERNS: Final = {
    name: re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    for name, words in _WORDS.items()
}
_LEAST: Final = 0.0001
_FLAGGED: Final = 0.5
_IMAGE_CATEGORIES: Final = ("self-harm", "sexual", "violence")
"""First parts of the categories that OpenAI's models judge pictures by, too; not ``sexual/minors``."""


def moderate(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer with a judgement for each input, flagged where it holds a word of a category."""
    context, wire = server_context(), dialect_of(ModerationDialect, "moderations")
    request = wire.decode_request(json_object(http_request), context)
    texts = [text_of(one) for one in request.inputs]
    check_size("judged characters", sum(map(len, texts)), MAX_CHARACTERS, "input")
    directives = read_directives(texts[0], request.model)
    response = ModerationResponse(
        None, request.model, tuple(map(judge, request.inputs)), Usage(sum(map(count_words, texts)))
    )
    return json_script(wire.encode_response(response, request, context), directives)


def judge(item: ModerationInput) -> Judgement:
    """Return the judgement of one input: the score of n words of a category is 1 - 0.5**n."""
    text = text_of(item)
    scores = {name: _score(len(pattern.findall(text))) for name, pattern in _PATTERNS.items()}
    has_image = not isinstance(item, str) and any(isinstance(part, ImagePart) for part in item)
    return Judgement(
        any(score >= _FLAGGED for score in scores.values()),
        {name: score >= _FLAGGED for name, score in scores.items()},
        scores,
        {name: ["text", "image"] if has_image and _judges_images(name) else ["text"] for name in scores},
    )


def _score(count: int) -> float:
    return round(max(_LEAST, 1 - 0.5 ** min(count, 10)), 4)


def _judges_images(category: str) -> bool:
    return category != "sexual/minors" and category.partition("/")[0] in _IMAGE_CATEGORIES
