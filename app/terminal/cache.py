"""``sluice cache clear``: delete cached answers in every process. Tests: tests/terminal/test_cache.py."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from app.terminal.admin_client import ask
from app.terminal.settings import settings_of

_FAILURE: Final = 1
_USAGE_ERROR: Final = 2


def run(args: argparse.Namespace) -> int:
    """Delete the answers that match; return 1 if the cache cannot be reached."""
    settings = settings_of(args)
    if settings is None:
        return _USAGE_ERROR
    chosen = {"tenant": args.tenant, "key": args.key, "id": args.id}
    query = {name: value for name, value in chosen.items() if value is not None}
    status, answer = ask(settings, "DELETE", "/cache", query_string=query)
    if status != 200:
        print(f"sluice: {answer['error']['message']}", file=sys.stderr)
        return _USAGE_ERROR if status == 400 else _FAILURE
    print(json.dumps(answer, indent=2) if args.json else f"{answer['entries']} answers were deleted")
    return 0
