"""``sluice explain PATH``: the answer of ``POST /admin/explain`` in a terminal, on the same configuration and database."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.terminal.admin_client import ask
from app.terminal.settings import settings_of

_USAGE_ERROR: Final = 2


def run(args: argparse.Namespace) -> int:
    """Print the explanation; return 1 if the request would be refused, 2 if it cannot be explained."""
    settings = settings_of(args)
    body = _body(args.body)
    if settings is None or body is None:
        return _USAGE_ERROR
    question = {"path": args.path, "body": body}
    question |= {name: value for name in ("key", "tenant") if (value := getattr(args, name))}
    status, answer = ask(settings, "POST", "/explain", json=question)
    if status != 200:
        print(f"sluice: {answer['error']['message']}", file=sys.stderr)
        return _USAGE_ERROR
    print(json.dumps(answer, indent=2) if args.json else "\n".join(_lines(answer)))
    return 1 if answer["refused"] else 0


def _body(args: str) -> dict[str, Any] | None:
    """Read the body: JSON text, a file name, or ``-`` for standard input; None with a message if it is invalid."""
    try:
        text = (
            args
            if args.lstrip().startswith("{")
            else sys.stdin.read()
            if args == "-"
            else Path(args).read_text()
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
        yield f"limit    {one['level']}: {one['remaining']} left, resets in {one['reset']} s"
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
        else "result   would be sent"
    )
