"""``sluice explain PATH``: the answer of ``POST /admin/explain`` in a terminal, on the same configuration and database."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.terminal.admin_client import ask_once
from app.terminal.output import Refusal, print_result


def run(args: argparse.Namespace) -> int:
    """Print the explanation; return 1 if the request would be refused."""
    question = {"path": args.path, "body": _body(args.body)}
    question |= {name: value for name in ("key", "tenant") if (value := getattr(args, name))}
    answer = ask_once(args, "POST", "/explain", json=question)
    print_result(args, answer, "\n".join(_lines(answer)))
    return 1 if answer["refused"] else 0


def _body(source: str) -> dict[str, Any]:
    """Return the body: JSON text, a file with it, or ``-`` for standard input."""
    try:
        body = json.loads(source if source.lstrip().startswith("{") else _read(source))
    except (OSError, ValueError) as error:
        raise Refusal(f"the body cannot be read: {error}") from error
    if not isinstance(body, dict):
        raise Refusal("the body must be a JSON object")
    return body


def _read(file: str) -> str:
    return sys.stdin.read() if file == "-" else Path(file).read_text()


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    key, refusal = answer["key"], answer["refused"]
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
        f"result   {refusal['status']} {refusal['code']}: {refusal['message']}"
        if refusal
        else "result   would be sent"
    )
