"""``sluice cache clear``: take kept answers away, in every process. Tests: tests/terminal/test_cache.py."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from app.terminal.admin_client import ask
from app.terminal.settings import settings_of

_FAILED: Final = 1
_WRONG: Final = 2


def run(given: argparse.Namespace) -> int:
    """Clear what fits; 1 where the cache cannot be reached."""
    settings = settings_of(given)
    if settings is None:
        return _WRONG
    chosen = {"tenant": given.tenant, "key": given.key, "id": given.id}
    query = {name: value for name, value in chosen.items() if value is not None}
    status, answer = ask(settings, "DELETE", "/cache", query_string=query)
    if status != 200:
        print(f"sluice: {answer['error']['message']}", file=sys.stderr)
        return _WRONG if status == 400 else _FAILED
    print(json.dumps(answer, indent=2) if given.json else f"{answer['entries']} answers are gone")
    return 0
