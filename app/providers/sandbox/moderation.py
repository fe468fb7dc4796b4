"""The sandbox's moderation: words that each category knows, and scores by how many of them stand in a text.

It judges words alone: a picture counts for nothing.
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
from app.providers.sandbox.limits import MAX_CHARACTERS, check_size, words
from app.providers.sandbox.scripts import json_object, json_script, read_directives, server_context
from app.providers.sandbox.transport import Asked, Script

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
_FINDS: Final = {
    name: re.compile(rf"\b(?:{'|'.join(map(re.escape, found))})\b", re.IGNORECASE)
    for name, found in _WORDS.items()
}
_LEAST: Final = 0.0001
_FLAGGED: Final = 0.5
_PICTURED: Final = ("self-harm", "sexual", "violence")
"""What begins the names of categories that OpenAI's models judge pictures by, too; not ``sexual/minors``."""


def moderate(asked: Asked, words_per_second: float) -> Script:
    """Answer with a judgement for each input: flagged where one word of a category stands in it."""
    context, wire = server_context(), dialect_of(ModerationDialect, "moderations")
    request = wire.decode_request(json_object(asked), context)
    texts = [text_of(one) for one in request.inputs]
    check_size("judged characters", sum(map(len, texts)), MAX_CHARACTERS, "input")
    read = read_directives(texts[0], request.model)
    response = ModerationResponse(
        None, request.model, tuple(map(judge, request.inputs)), Usage(sum(map(words, texts)))
    )
    return json_script(wire.encode_response(response, request, context), read)


def judge(judged: ModerationInput) -> Judgement:
    """Return the judgement of one input: a score is 1 less a half for the first word and each further one."""
    text = text_of(judged)
    scores = {name: _score(len(found.findall(text))) for name, found in _FINDS.items()}
    pictured = not isinstance(judged, str) and any(isinstance(part, ImagePart) for part in judged)
    return Judgement(
        any(score >= _FLAGGED for score in scores.values()),
        {name: score >= _FLAGGED for name, score in scores.items()},
        scores,
        {name: ["text", "image"] if pictured and _sees(name) else ["text"] for name in scores},
    )


def _score(found: int) -> float:
    return round(max(_LEAST, 1 - 0.5 ** min(found, 10)), 4)


def _sees(category: str) -> bool:
    return category != "sexual/minors" and category.partition("/")[0] in _PICTURED
