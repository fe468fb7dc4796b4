"""Headers of rate limits: how long a used-up one lasts, by what vendors send, and how ours are told.

Names and forms seen in recorded answers: ``x-ratelimit-reset-requests: 6m0s`` (OpenAI, Groq),
``x-ratelimit-reset: 1754667660000`` (OpenRouter, Unix milliseconds),
``anthropic-ratelimit-tokens-reset: 2026-08-19T14:02:00Z``. Only a limit of which nothing
remains tells how long to wait; one that says nothing of the rest is taken to be used up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

_RESET: Final = re.compile(r"(x-ratelimit-)reset(-[a-z-]+)?|(anthropic-ratelimit-[a-z-]+-)reset")
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d)){1,5}")
_STEP: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER: Final = re.compile(r"\d{1,13}(?:\.\d{1,9})?")
_EPOCH: Final = 1e9  # larger numbers are moments: Unix seconds, or milliseconds past a hundred times that
_LONGEST: Final = 64


def reset_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the last used-up limit is there again, None where none is told.

    ``headers`` are lower-case; moments count from its ``date``.
    """
    waits = [
        wait for value in _used_up(headers) if (wait := _parse_wait(value, headers.get("date"))) is not None
    ]
    return max(waits, default=None)


def _used_up(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        found = _RESET.fullmatch(name)
        if found is None or len(value) > _LONGEST:
            continue
        remaining = f"{found[3]}remaining" if found[3] else f"{found[1]}remaining{found[2] or ''}"
        if headers.get(remaining, "0").strip() == "0":
            yield value.strip()


def _parse_wait(value: str, date: str | None) -> float | None:
    if _DURATION.fullmatch(value):
        return sum(float(number) * _SECONDS[unit] for number, unit in _STEP.findall(value))
    if not _NUMBER.fullmatch(value):
        return _seconds_until(_parse_time(value), date)
    number = float(value)
    if number < _EPOCH:
        return number
    return _seconds_until(
        datetime.fromtimestamp(number / 1000 if number > 100 * _EPOCH else number, UTC), date
    )


def _parse_time(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _seconds_until(moment: datetime | None, date: str | None) -> float | None:
    if moment is None or date is None:
        return None
    try:
        return max(0.0, (moment - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):
        return None


class LimitState(NamedTuple):
    """State of one of the gateway's limits: its size, what remains, and the seconds until it is wholly free again."""

    limit: int
    remaining: int
    reset: float


LimitHeaders = Callable[[str, LimitState, float], Mapping[str, str]]
"""Writes the headers for a kind of limit (requests, tokens); the last is now, in Unix seconds."""


def limit_headers(kind: str, state: LimitState, now: float) -> dict[str, str]:
    """Return OpenAI's headers."""
    return {
        f"x-ratelimit-limit-{kind}": str(state.limit),
        f"x-ratelimit-remaining-{kind}": str(state.remaining),
        f"x-ratelimit-reset-{kind}": duration(state.reset),
    }


def duration(seconds: float) -> str:
    """Return whole seconds, rounded up, as ``1s``, ``6m0s`` or ``2h0m5s``."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
