"""``sluice explain PATH``: what ``POST /admin/explain`` tells, for a terminal, over the same configuration and database."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from app.config import Secret
from app.terminal.settings import settings_of

_WRONG: Final = 2


def run(given: argparse.Namespace) -> int:
    """Print the explanation; 1 for a request that would be refused, 2 for one that cannot be explained."""
    settings = settings_of(given)
    body = _body(given.body)
    if settings is None or body is None:
        return _WRONG
    from app import create_app
    from app.gateway.core import gateway_of
    from app.gateway.layers.log import mute

    mute()
    master = secrets.token_urlsafe()
    app = create_app(replace(settings, master_key=Secret(master)))
    asked = {"path": given.path, "body": body}
    asked |= {name: value for name in ("key", "tenant") if (value := getattr(given, name))}
    try:
        answer = app.test_client().post(
            "/admin/explain", json=asked, headers={"authorization": f"Bearer {master}"}
        )
    finally:
        gateway_of(app).close()
    told: Any = json.loads(answer.data)
    if answer.status_code != 200:
        print(f"sluice: {told['error']['message']}", file=sys.stderr)
        return _WRONG
    print(json.dumps(told, indent=2) if given.json else "\n".join(_lines(told)))
    return 1 if told["refused"] else 0


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


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    key, refused = told["key"], told["refused"]
    yield f"key      {key['name']} of {key['tenant']}"
    for one in told["limits"]:
        yield f"limit    {one['level']}: {one['remaining']} left, anew in {one['reset']} s"
    for one in told["budgets"]:
        yield f"budget   {one['level']}: ${one['remaining']:.6f} left of ${one['usd']} per {one['per']}"
    for one in told["targets"]:
        price = "unknown price" if one["cost_estimate"] is None else f"at most ${one['cost_estimate']:.6f}"
        yield f"target   {one['provider']}/{one['model']}: {one['reason']}; {one['mode']}, {price}"
        for what in ("adjusted", "dropped"):
            yield from (f"         {what}: {loss['message']}" for loss in one[what])
    yield f"cache    {told['cache']}"
    yield (
        f"result   {refused['status']} {refused['code']}: {refused['message']}"
        if refused
        else "result   is sent"
    )
