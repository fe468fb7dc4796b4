"""What the command line does besides starting the gateway and keeping its keys: trials, checks, imports.

Each verb's module is imported when it is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any


def add_verbs(verbs: Any) -> None:
    """Add the verbs to a parser's (``argparse`` has no public name for its type)."""
    _doctor(
        verbs.add_parser("doctor", help="examine configuration, database, Redis, port, clock and providers")
    )
    _conformance(
        verbs.add_parser("conformance", help="ask a server whether it keeps the contract of OpenAI's APIs")
    )
    _test(verbs.add_parser("test", help="stream one answer of a model, with its times and its cost"))
    ledger = verbs.add_parser("ledger", help="list what attempts cost, correct rows, check that all sums up")
    _ledger(ledger)
    _calls(verbs.add_parser("calls", help="list the calls of the log, the newest first"))
    _usage(verbs.add_parser("usage", help="sum the calls of the log by day, model, key or what else"))
    _explain(verbs.add_parser("explain", help="tell what a request would do, without doing it"))
    _cache(verbs.add_parser("cache", help="take kept answers away"))
    _import(verbs.add_parser("import", help="turn another gateway's configuration into a sluice.toml"))


def _doctor(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_late("doctor"))


def _conformance(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("url", metavar="URL", help="of any gateway or server: http://127.0.0.1:8080/v1")
    verb.add_argument("--key", help="what it asks for; $SLUICE_KEY otherwise")
    verb.add_argument("--model", help="for chat and responses; the first of its list otherwise")
    verb.add_argument("--embedding-model", help="for embeddings; the first of its list otherwise")
    verb.add_argument("--timeout", type=float, default=60.0, help="seconds that an answer may take (60)")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=_late("conformance"))


def _test(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", help="provider/model, or a name of the configuration")
    verb.add_argument("--prompt", help="what to ask; - for standard input")
    verb.add_argument("--json", action="store_true", help="print the figures as JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_late("trial"))


def _ledger(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", nargs="?", default="list", choices=["list", "show", "check", "settle"])
    verb.add_argument("name", nargs="?", help="the id of a row (show, settle), or a first filter (list)")
    verb.add_argument(
        "members", nargs="*", metavar="member=value", help="filters, or usd=, usage.input_tokens=, reason="
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_late("ledger"))


def _calls(verb: argparse.ArgumentParser) -> None:
    _report(
        verb, ("tenant", "key", "provider", "model", "status", "request_type", "response_id", "request_id")
    )
    verb.add_argument("--limit", type=int, default=20, help="how many, 1 to 100 (20)")
    verb.set_defaults(run=_late("reports", "calls"))


def _usage(verb: argparse.ArgumentParser) -> None:
    _report(verb, ("tenant", "key", "provider", "model", "request_type"))
    verb.add_argument(
        "--by",
        default="day",
        help="hour, day, key, tenant, provider, model, request_type, user, door … (day)",
    )
    verb.set_defaults(run=_late("reports", "usage"))


def _report(verb: argparse.ArgumentParser, known: tuple[str, ...]) -> None:
    names = (*known, "from", "to")
    one = "; or the id of one call" if "request_id" in known else ""
    verb.add_argument("filters", nargs="*", metavar="filter=value", help=", ".join(names) + one)
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(known=names)


def _explain(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("path", help="of a door: /v1/chat/completions")
    verb.add_argument("body", help="the request's JSON, its file, or - for standard input")
    verb.add_argument("--key", help="whose request it is: a key's id or name")
    verb.add_argument("--tenant", help="the key's tenant, where several have one of that name")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_late("explain"))


def _cache(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=["clear"])
    verb.add_argument("--tenant", help="answers of this tenant only")
    verb.add_argument("--key", help="those that a client key of this name asked for, or of this scope")
    verb.add_argument("--id", help="the one with this cache_id")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_late("cache"))


def _import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("kind", choices=["litellm"], help="whose it is")
    verb.add_argument("file", help="its file; - for standard input")
    verb.set_defaults(run=_late("imports"))


def _late(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    """Return what runs a module's function with the parsed arguments."""

    def run(given: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"app.terminal.{module}"), function)(given)
        return code

    return run
