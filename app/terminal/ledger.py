"""``sluice ledger``: the ledger of the admin API in a terminal, and a consistency check.

Exit codes of ``sluice ledger check``: 0 if it is consistent, 1 if not, 2 if it could not be read.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

from app.commands import aligned
from app.config import Settings
from app.config_loading import ConfigError, load
from app.config_loading.ledger import CorrectionSchema
from app.config_loading.tenancy import checked
from app.errors import GatewayError
from app.gateway.budgets.corrections import correct
from app.gateway.core import Gateway
from app.state.audit import Actor
from app.state.ledger import FILTERS
from app.terminal.progress import line

_UNSOUND: Final = 1
_USAGE_ERROR: Final = 2
_PAGE: Final = 100
_MOST: Final = 10_000
_COLUMNS: Final = ("id", "created_at", "tenant", "key", "provider", "model", "state", "cost")


def run(args: argparse.Namespace) -> int:
    """Run one command and return its exit code."""
    try:
        settings = load(os.environ, args.config)
        return _ACTIONS[args.action](args, settings)
    except ConfigError as error:
        for place, sentence in error.faults:
            print(f"sluice: {place}: {sentence}", file=sys.stderr)
        return _USAGE_ERROR


def _list(args: argparse.Namespace, settings: Settings) -> int:
    filters: dict[str, str] = {}
    for text in (*([args.name] if args.name else []), *args.members):
        name, sign, value = text.partition("=")
        if not sign or name not in FILTERS:
            print(f"sluice: '{text}' is not a filter; the filters are: {', '.join(FILTERS)}", file=sys.stderr)
            return _USAGE_ERROR
        filters[name] = value
    return _with_gateway(settings, args, lambda gateway: _rows(gateway, filters))


def _rows(gateway: Gateway, filters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the newest rows that match; report on standard error if there are more."""
    rows: list[dict[str, Any]] = []
    more = True
    with line("reading rows") as progress:
        while more and len(rows) < _MOST:
            page = gateway.state().ledger.page(_PAGE, rows[-1]["id"] if rows else None, filters, (None, None))
            rows += page.rows
            more = page.has_more
            progress.update(len(rows))
    if more:
        print(f"sluice: these are the newest {len(rows)} rows; narrow them by filters", file=sys.stderr)
    return rows


def _show(args: argparse.Namespace, settings: Settings) -> int:
    if args.name is None:
        return _needs_id(args)
    return _with_gateway(settings, args, lambda gateway: gateway.state().ledger.get(args.name))


def _settle(args: argparse.Namespace, settings: Settings) -> int:
    if args.name is None:
        return _needs_id(args)
    members = checked(CorrectionSchema(), _members(args.members))
    actor = Actor("cli", "admin", socket.gethostname())
    return _with_gateway(settings, args, lambda gateway: correct(gateway, actor, args.name, members))


def _check(args: argparse.Namespace, settings: Settings) -> int:
    gateway = Gateway(settings)
    try:
        with line("checking the ledger"):
            found = gateway.state().ledger.check()
    except GatewayError as error:
        print(f"sluice: the ledger cannot be checked: {error.raw or error.message}", file=sys.stderr)
        return _USAGE_ERROR
    finally:
        gateway.close()
    if args.json:
        print(json.dumps(found._asdict() | {"sound": not found.faults}, indent=2))
    else:
        for fault in found.faults:
            print(fault)
        verdict = f"{len(found.faults)} faults" if found.faults else "sound"
        print(f"{found.budgets} budgets and {found.rows} rows of the ledger: {verdict}")
    return _UNSOUND if found.faults else 0


def _needs_id(args: argparse.Namespace) -> int:
    print(f"sluice: ledger {args.action} needs the id of a row", file=sys.stderr)
    return _USAGE_ERROR


def _members(texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        holder, dot, inner = name.partition(".")
        table = found.setdefault(holder, {}) if dot else found
        table[inner if dot else name] = value if name == "reason" else _number(value)
    return found


def _number(text: str) -> Any:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:  # keep the text; the schema refuses it
        return text


def _with_gateway(settings: Settings, args: argparse.Namespace, work: Any) -> int:
    gateway = Gateway(settings)
    try:
        result = work(gateway)
    except GatewayError as error:
        print(f"sluice: {error.message}", file=sys.stderr)
        return 1
    finally:
        gateway.close()
    print(json.dumps(result, indent=2) if args.json else _table(result))
    return 0


def _table(result: Any) -> str:
    if isinstance(result, list):
        return aligned([_COLUMNS, *([_text(row[name]) for name in _COLUMNS] for row in result)])
    return aligned([(name, _text(value)) for name, value in result.items()])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.9f}"
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


_ACTIONS: Final = {"list": _list, "show": _show, "check": _check, "settle": _settle}
