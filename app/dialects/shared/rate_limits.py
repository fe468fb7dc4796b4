"""Rate-limit headers: how long to wait by a provider's headers, and the gateway's own headers.

Forms in recorded answers: ``x-ratelimit-reset-requests: 6m0s`` (OpenAI, Groq),
``x-ratelimit-reset: 1754667660000`` (OpenRouter, Unix milliseconds),
``anthropic-ratelimit-tokens-reset: 2026-08-19T14:02:00Z``. Only exhausted limits count; a
limit whose ``remaining`` header is absent counts as exhausted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

_RESET: Final = re.compile(r"(x-ratelimit-)reset(-[a-z-]+)?|(anthropic-ratelimit-[a-z-]+-)reset")
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d)){1,5}")
_WORDS: Final = re.compile(
    r"try (?:again )?(?:in|after) ((?:\d{1,9}(?:\.\d{1,18})? ?(?:ms|s|m|h|d)){1,5})", re.IGNORECASE
)
_STEP: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d)")
_SECONDS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER: Final = re.compile(r"\d{1,13}(?:\.\d{1,9})?")
_EPOCH: Final = 1e9  # larger numbers are times: Unix seconds, or Unix milliseconds above 100 times this
_LONGEST: Final = 64
_NAMES: Final = {
    kind: tuple(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset"))
    for kind in ("requests", "tokens")
}
_DURATIONS: Final = 256  # an answer's are often those of the last one


def reset_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until every exhausted limit is reset, None if no header says so.

    ``headers`` have lower-case names; absolute times count from their ``date``.
    """
    waits = (_parse_wait(value, headers.get("date")) for value in _resets(headers))
    return max((wait for wait in waits if wait is not None), default=None)


def wait_in(message: str) -> float | None:
    """Return the seconds to wait by the words of an error (``Please retry after 6 seconds``, ``try again in 1m3s``), None without."""
    match = _WORDS.search(message)
    return None if match is None else _sum_of(match[1].lower())


def _sum_of(duration: str) -> float:
    return sum(float(number) * _SECONDS[unit] for number, unit in _STEP.findall(duration))


def _resets(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of the reset headers of exhausted limits."""
    for name, value in headers.items():
        match = _RESET.fullmatch(name)
        if match is None or len(value) > _LONGEST:
            continue
        remaining = f"{match[3]}remaining" if match[3] else f"{match[1]}remaining{match[2] or ''}"
        if headers.get(remaining, "0").strip() == "0":
            yield value.strip()


def _parse_wait(value: str, date: str | None) -> float | None:
    if _DURATION.fullmatch(value):
        return _sum_of(value)
    if not _NUMBER.fullmatch(value):
        return seconds_until(lambda: datetime.fromisoformat(value), date)
    number = float(value)
    if number < _EPOCH:
        return number
    seconds = number / 1000 if number > 100 * _EPOCH else number
    return seconds_until(lambda: datetime.fromtimestamp(seconds, UTC), date)


def seconds_until(parse: Callable[[], datetime], date: str | None) -> float | None:
    """Return the seconds from an HTTP ``date`` to a time, at least 0; None if either is missing or invalid.

    ``parse`` returns the time or raises ``ValueError``; a time without a zone is UTC.
    """
    if date is None:
        return None
    try:
        time = parse()
        time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        return max(0.0, (time - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):
        return None


LimitHeaders = Callable[[str, int, int, float, float], Mapping[str, str]]
"""Writes the headers of one of the gateway's own limits: its kind (``requests``, ``tokens``), its size, what remains, the
seconds until all of it does, and the current Unix time."""


def limit_headers(kind: str, limit: int, remaining: int, reset: float, now: float) -> dict[str, str]:
    """Return the state of a limit as OpenAI's ``x-ratelimit-…`` headers."""
    size, rest, free = _NAMES[kind]
    return {size: str(limit), rest: str(remaining), free: _duration(math.ceil(reset))}


def duration(seconds: float) -> str:
    """Return a duration in OpenAI's form, in whole seconds rounded up: ``1s``, ``6m0s``, ``2h0m5s``."""
    return _duration(math.ceil(seconds))


@lru_cache(_DURATIONS)
def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
