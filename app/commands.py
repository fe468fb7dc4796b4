"""``sluice keys`` and ``sluice tenants``: keys and tenants of the admin API in a terminal, on the same database.

Members are written ``name=value``: lists with commas, limits and budgets in JSON, ``metadata.NAME=text``, nothing behind the sign to
take one away. They are checked by the schemas of the file and of the API.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.config import Settings
    from app.config_loading.tables import Strict
    from app.gateway.owners import Owners
    from app.state.audit import Actor
    from app.state.lookup import Page

Result = Mapping[str, Any] | list[Any]

_WRONG: Final = 2
_LISTS: Final = frozenset({"models", "operations"})
_TABLES: Final = frozenset({"limits", "budgets"})
_NUMBERS: Final = frozenset({"expires_at", "grace"})
_FLAGS: Final = {"true": True, "on": True, "false": False, "off": False}
_PAGE: Final = 100
_COLUMNS: Final = {
    "keys": ("id", "tenant", "name", "prefix", "source", "enabled", "models", "last_used_at"),
    "tenants": ("name", "source", "models", "operations", "created_at"),
}


def add_arguments(verb: argparse.ArgumentParser, what: str) -> None:
    """Give the command ``what`` (``keys`` or ``tenants``) arguments."""
    choices = [action for kind, action in _ACTIONS if kind == what]
    verb.add_argument("action", choices=[*choices, "new"] if what == "keys" else choices)
    verb.add_argument("name", nargs="?", help="the name (create), otherwise the id")
    verb.add_argument("members", nargs="*", default=[], metavar="member=value")
    verb.add_argument("--now", action="store_true", help="also end running calls")
    verb.add_argument(
        "--confirm", action="store_true", help="delete the tenant with everything stored for it"
    )
    verb.add_argument("--json", action="store_true", help="print JSON")


def run(what: str, args: argparse.Namespace, settings: Settings) -> int:
    """Run one command and return its exit code."""
    from app.config_loading import ConfigError
    from app.errors import GatewayError
    from app.gateway.core import Gateway
    from app.gateway.owners import Owners
    from app.state.audit import Actor

    if args.action != "list" and args.name is None:
        print(f"sluice: {what} {args.action} needs a name", file=sys.stderr)
        return _WRONG
    gateway = Gateway(settings)
    try:
        owners = Owners(settings, gateway.state, cache_store=gateway.cache_store)
        actor = Actor("cli", "admin", socket.gethostname())
        result = _ACTIONS[what, args.action](owners, actor, args)
    except ConfigError as error:
        for place, sentence in error.faults:
            print(f"sluice: {place}: {sentence}", file=sys.stderr)
        return _WRONG
    except GatewayError as error:
        print(f"sluice: {error.message}", file=sys.stderr)
        return 1
    finally:
        gateway.close()
    print(json.dumps(result, indent=2) if args.json else _table(what, result))
    return 0


def _members(args: argparse.Namespace, schema: Strict, **more: Any) -> dict[str, Any]:
    from app.config_loading.tenancy import checked

    found: dict[str, Any] = dict(more)
    for text in args.members:
        name, _, value = text.partition("=")
        holder, dot, inner = name.partition(".")
        if dot and holder == "metadata":
            found.setdefault(holder, {})[inner] = value
        else:
            found[name] = _value(name, value)
    return checked(schema, found)


def _value(name: str, text: str) -> Any:
    if not text:
        return None
    if name in _LISTS:
        return [piece.strip() for piece in text.split(",")]
    if name in _TABLES:
        return _parse(text)
    if name in _NUMBERS and text.isdecimal():
        return int(text)
    return _FLAGS.get(text, text) if name == "enabled" else text


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # keep the text; the schema refuses it
        return text


def _all(read: Callable[[int, str | None], Page[dict[str, Any]]]) -> list[Any]:
    rows: list[Any] = []
    more = True
    while more:
        page = read(_PAGE, rows[-1]["id"] if rows else None)
        rows += page.rows
        more = page.has_more
    return rows


def _create_key(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    from app.config_loading.tenancy import NewKeySchema

    return owners.create_key(actor, _members(args, NewKeySchema(), name=args.name))


def _change_key(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    from app.config_loading.tenancy import KeyChangeSchema

    return owners.change_key(actor, args.name, _members(args, KeyChangeSchema()), end_now=args.now)


def _rotate_key(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    from app.config_loading.tenancy import RotationSchema

    grace = _members(args, RotationSchema()).get("grace") or 0
    return owners.rotate_key(actor, args.name, grace, end_now=args.now)


def _revoke_key(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    owners.delete_key(actor, args.name, end_now=args.now)
    return {"id": args.name, "object": "key.deleted", "deleted": True}


def _create_tenant(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    from app.config_loading.tenancy import NewTenantSchema

    return owners.create_tenant(actor, _members(args, NewTenantSchema(), name=args.name))


def _change_tenant(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    from app.config_loading.tenancy import TenantSchema

    return owners.change_tenant(actor, args.name, _members(args, TenantSchema()))


def _delete_tenant(owners: Owners, actor: Actor, args: argparse.Namespace) -> Result:
    from app.errors import GatewayError

    counts = owners.stored_of_tenant(args.name)
    if not args.confirm:
        stored = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise GatewayError("bad_request", f"Stored for it: {stored}. Pass --confirm to delete them.")
    stored_of = owners.delete_tenant(actor, args.name)
    return {"id": args.name, "object": "tenant.deleted", "deleted": True, "stored": stored_of}


_ACTIONS: Final[Mapping[tuple[str, str], Callable[[Owners, Actor, argparse.Namespace], Result]]] = {
    ("keys", "list"): lambda owners, actor, args: _all(lambda n, a: owners.keys(n, a, args.name)),
    ("keys", "show"): lambda owners, actor, args: owners.key(args.name),
    ("keys", "create"): _create_key,
    ("keys", "change"): _change_key,
    ("keys", "rotate"): _rotate_key,
    ("keys", "revoke"): _revoke_key,
    ("tenants", "list"): lambda owners, actor, args: _all(owners.tenants),
    ("tenants", "show"): lambda owners, actor, args: owners.tenant(args.name),
    ("tenants", "create"): _create_tenant,
    ("tenants", "change"): _change_tenant,
    ("tenants", "delete"): _delete_tenant,
}


def _table(what: str, result: Result) -> str:
    """Return rows as lines, or the members of one row, for people."""
    if isinstance(result, list):
        columns = _COLUMNS[what]
        return aligned([columns, *([_text(row.get(column)) for column in columns] for row in result)])
    return aligned([(name, _text(value)) for name, value in result.items()])


def aligned(rows: Iterable[Iterable[str]]) -> str:
    """Return rows as lines with aligned cells."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)
