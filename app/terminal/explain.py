"""``sluice explain PATH``: what ``POST /admin/explain`` tells, for a terminal, over the same configuration and database."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.terminal.admin_client import ask
from app.terminal.settings import settings_of

_WRONG: Final = 2


def run(given: argparse.Namespace) -> int:
    """Print the explanation; 1 for a request that would be refused, 2 for one that cannot be explained."""
    settings = settings_of(given)
    body = _body(given.body)
    if settings is None or body is None:
        return _WRONG
    question = {"path": given.path, "body": body}
    question |= {name: value for name in ("key", "tenant") if (value := getattr(given, name))}
    status, answer = ask(settings, "POST", "/explain", json=question)
    if status != 200:
        print(f"sluice: {answer['error']['message']}", file=sys.stderr)
        return _WRONG
    print(json.dumps(answer, indent=2) if given.json else "\n".join(_lines(answer)))
    return 1 if answer["refused"] else 0


def _body(given: str) -> dict[str, Any] | None:
    """Read the body: JSON itself, a file's name, or ``-`` for standard input; None, and why, for one that is none."""
    try:
        text = (
            given
            if given.lstrip().startswith("{")
            else sys.stdin.read()
            if given == "-"
            else Path(given).read_text()
        )
        body = json.loads(text)
    except (OSError, ValueError) as error:
        print(f"sluice: the body cannot be read: {error}", file=sys.stderr)
        return None
    if not isinstance(body, dict):
        print("sluice: the body must be a JSON object", file=sys.stderr)
        return None
    return body


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    key, refused = answer["key"], answer["refused"]
    yield f"key      {key['name']} of {key['tenant']}"
    for one in answer["limits"]:
        yield f"limit    {one['level']}: {one['remaining']} left, anew in {one['reset']} s"
    for one in answer["budgets"]:
        yield f"budget   {one['level']}: ${one['remaining']:.6f} left of ${one['usd']} per {one['per']}"
    for one in answer["targets"]:
        price = "unknown price" if one["cost_estimate"] is None else f"at most ${one['cost_estimate']:.6f}"
        yield f"target   {one['provider']}/{one['model']}: {one['reason']}; {one['mode']}, {price}"
        for what in ("adjusted", "dropped"):
            yield from (f"         {what}: {loss['message']}" for loss in one[what])
    yield f"cache    {answer['cache']}"
    yield (
        f"result   {refused['status']} {refused['code']}: {refused['message']}"
        if refused
        else "result   is sent"
    )
