"""``sluice keys``, ``sluice tenants`` and ``sluice ledger``: rows of the admin API in a terminal.

Members are written ``name=value``: lists with commas, limits and budgets in JSON, ``metadata.NAME=text`` and
``usage.NAME=number``, nothing behind the sign to remove one. Tests: tests/test_commands.py, tests/surfaces/test_ledger.py.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from app.config_loading.value_kinds import NAME
from app.terminal import ledger
from app.terminal.admin_client import admin_api, ask_once, filters_of
from app.terminal.output import Refusal, members_of, print_result, table_of
from app.terminal.progress import line

_LISTS: Final = frozenset({"models", "operations"})
_JSON: Final = frozenset({"limits", "budgets", "expires_at", "grace", "usd"})
_FLAGS: Final = {"true": True, "on": True, "false": False, "off": False}
_PAGE: Final = 100
_MOST: Final = 10_000
_COLUMNS: Final = {
    "keys": ("id", "tenant", "name", "prefix", "source", "enabled", "models", "last_used_at"),
    "tenants": ("name", "source", "models", "operations", "created_at"),
    "ledger": ("id", "created_at", "tenant", "key", "provider", "model", "state", "cost"),
}
_CHANGES: Final = {
    # action: method, what follows the row's path
    "show": ("GET", ""),
    "change": ("PATCH", ""),
    "rotate": ("POST", "/rotate"),
    "settle": ("POST", "/settle"),
    "revoke": ("DELETE", ""),
    "delete": ("DELETE", ""),
}


def run(args: argparse.Namespace) -> int:
    """Run one action; return its exit code."""
    if args.action in _OTHERS:
        return _OTHERS[args.action](args)
    if args.name is None:
        raise Refusal(f"{args.verb} {args.action} needs a name or an id")
    method, path, content = "POST", f"/{args.verb}", {}
    if args.action != "create":
        method, more = _CHANGES[args.action]
        path += f"/{quote(args.name, safe='')}{more}"
    if method in ("POST", "PATCH"):
        name = {"name": args.name} if args.action == "create" else {}
        content["json"] = {**name, **_members(args.members)}
    query = {"now": "true" if args.now else None, "confirm": args.name if args.confirm else None}
    content["query_string"] = {name: value for name, value in query.items() if value is not None}
    row = ask_once(args, method, path, **content)
    return print_result(args, row, members_of(row.items()))


def _list(args: argparse.Namespace) -> int:
    """Print the rows, the newest first; report on standard error if there are more."""
    texts = [text for text in (args.name, *args.members) if text is not None]
    if args.verb == "keys":  # sluice keys list TENANT
        texts = [text if "=" in text else f"tenant={text}" for text in texts]
    query = {**filters_of(texts), "limit": str(_PAGE)}
    rows: list[dict[str, Any]] = []
    more = True
    with admin_api(args) as ask, line("reading rows") as progress:
        while more and len(rows) < _MOST:
            page = ask("GET", f"/{args.verb}", query_string=query)
            rows += page["data"]
            query["after"], more = page["last_id"], page["has_more"]
            progress.update(len(rows))
    if more:
        print(f"sluice: these are the first {len(rows)} rows; narrow them by filters", file=sys.stderr)
    columns = _COLUMNS[args.verb]
    return print_result(args, rows, table_of(columns, ([row.get(name) for name in columns] for row in rows)))


def _new_key(args: argparse.Namespace) -> int:
    """Print a new client key and where to put it; nothing is stored."""
    if args.name is None:
        raise Refusal("keys new needs a name")
    for text in filter(None, (args.name, args.tenant)):
        if not NAME.fits(text):
            raise Refusal(f"a name {NAME.sentence}")
    tenant = f":{args.tenant}" if args.tenant else ""
    print(f"SLUICE_KEYS={args.name}:sk-sluice-{secrets.token_urlsafe(32)}{tenant}")
    return 0


_OTHERS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "list": _list,
    "new": _new_key,
    "check": ledger.check,
}


def _members(texts: list[str]) -> dict[str, Any]:
    """Return members as the body of a request; what does not have the form of its kind stays text, which is refused."""
    members: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        holder, dot, inner = name.partition(".")
        table = members.setdefault(holder, {}) if dot else members
        table[inner if dot else name] = value if holder == "metadata" else _value(holder, value)
    return members


def _value(name: str, text: str) -> Any:
    if not text:
        return None
    if name in _LISTS:
        return [part.strip() for part in text.split(",")]
    if name == "enabled":
        return _FLAGS.get(text, text)
    try:
        return json.loads(text) if name in _JSON or name == "usage" else text
    except ValueError as error:
        if text.startswith(("[", "{")):
            raise Refusal(f"{name}: is not JSON: {error}") from error
        return text
