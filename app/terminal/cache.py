"""``sluice cache clear``: delete cached answers in every process. Tests: tests/terminal/test_cache.py."""

from __future__ import annotations

import argparse

from app.terminal.admin_client import ask_once
from app.terminal.output import print_result


def run(args: argparse.Namespace) -> int:
    """Delete the answers that match."""
    filters = {"tenant": args.tenant, "key": args.key, "id": args.id}
    query = {name: value for name, value in filters.items() if value is not None}
    answer = ask_once(args, "DELETE", "/cache", query_string=query)
    return print_result(args, answer, f"{answer['entries']} answers were deleted")
