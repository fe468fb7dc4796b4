"""The checks in order, and how they run: each ends as ``pass``, ``fail`` or ``skip``.

If the first check of a group is skipped, so are the others: the server has no such endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from app.conformance import chat, errors, lifecycle, others, responses
from app.conformance.client import Client, Skip, Violation
from app.conformance.subject import Subject

Check = Callable[[Subject], None]

GROUPS: Final[tuple[tuple[str, tuple[Check, ...]], ...]] = (
    ("models", others.MODELS),
    ("chat", chat.CHECKS),
    ("embeddings", others.EMBEDDINGS),
    ("responses", responses.CHECKS),
    ("lifecycle", lifecycle.CHECKS),
    ("errors", errors.CHECKS),
)
_FORMS: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""Errors from reading an answer of a wrong form that no check names."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended: ``pass``, ``fail`` or ``skip``, why it did not pass, and its duration in ``seconds``."""

    group: str
    check: str
    result: str
    reason: str | None
    seconds: float


def run(client: Client, model: str | None, embedding_model: str | None) -> Iterator[Result]:
    """Yield the result of each check as it ends."""
    subject = Subject(client, model, embedding_model)
    for group, checks in GROUPS:
        missing: str | None = None  # why the rest of the group is skipped
        for number, check in enumerate(checks):
            if missing is not None:
                yield Result(group, name_of(check), "skip", missing, 0.0)
                continue
            result = _result(group, check, subject)
            if number == 0 and result.result == "skip" and group != "models":
                missing = result.reason
            yield result


def name_of(check: Any) -> str:
    """Return the name of a check: that of its function, with spaces."""
    return str(check.__name__).replace("_", " ")


def _result(group: str, check: Check, subject: Subject) -> Result:
    began = time.monotonic()
    result, reason = "pass", None
    try:
        check(subject)
    except Skip as skip:
        result, reason = "skip", str(skip)
    except Violation as violation:
        result, reason = "fail", str(violation)
    except _FORMS as error:
        result, reason = "fail", f"an answer has another form: {type(error).__name__}: {error}"
    return Result(group, name_of(check), result, reason, round(time.monotonic() - began, 3))
