"""Verbs of the command line besides serving and keys: trials, checks, reports, imports.

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
        verbs.add_parser("doctor", help="check configuration, database, Redis, port, clock and providers")
    )
    _conformance(verbs.add_parser("conformance", help="check whether a server conforms to OpenAI's APIs"))
    _test(verbs.add_parser("test", help="stream one answer from a model and show its timing and cost"))
    ledger = verbs.add_parser("ledger", help="list what attempts cost, correct rows, check the totals")
    _ledger(ledger)
    _calls(verbs.add_parser("calls", help="list the calls of the log, the newest first"))
    _usage(verbs.add_parser("usage", help="sum the calls of the log by day, model, key or other members"))
    _explain(verbs.add_parser("explain", help="show what a request would do without sending it"))
    _cache(verbs.add_parser("cache", help="delete cached answers"))
    _import(verbs.add_parser("import", help="turn another gateway's configuration into a sluice.toml"))


def _doctor(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_import_lazily("doctor"))


def _conformance(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "url", metavar="URL", help="base URL of a gateway or server, such as http://127.0.0.1:8080/v1"
    )
    verb.add_argument("--key", help="API key of the server (default: $SLUICE_KEY)")
    verb.add_argument("--model", help="model for chat and responses (default: the first in its list)")
    verb.add_argument("--embedding-model", help="model for embeddings (default: the first in its list)")
    verb.add_argument(
        "--timeout", type=float, default=60.0, help="timeout for each answer in seconds (default: 60)"
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=_import_lazily("conformance"))


def _test(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", help="provider/model, or a model name from the configuration")
    verb.add_argument("--prompt", help="the prompt; - for standard input")
    verb.add_argument("--json", action="store_true", help="print the figures as JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_import_lazily("trial"))


def _ledger(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", nargs="?", default="list", choices=["list", "show", "check", "settle"])
    verb.add_argument("name", nargs="?", help="the id of a row (show, settle), or the first filter (list)")
    verb.add_argument(
        "members", nargs="*", metavar="member=value", help="filters, or usd=, usage.input_tokens=, reason="
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_import_lazily("ledger"))


def _calls(verb: argparse.ArgumentParser) -> None:
    _report(
        verb, ("tenant", "key", "provider", "model", "status", "request_type", "response_id", "request_id")
    )
    verb.add_argument("--limit", type=int, default=20, help="number of calls, 1 to 100 (default: 20)")
    verb.set_defaults(run=_import_lazily("reports", "calls"))


def _usage(verb: argparse.ArgumentParser) -> None:
    _report(verb, ("tenant", "key", "provider", "model", "request_type"))
    verb.add_argument(
        "--by",
        default="day",
        help="hour, day, key, tenant, provider, model, request_type, user, door … (default: day)",
    )
    verb.set_defaults(run=_import_lazily("reports", "usage"))


def _report(verb: argparse.ArgumentParser, known: tuple[str, ...]) -> None:
    names = (*known, "from", "to")
    one = "; or the id of one call" if "request_id" in known else ""
    verb.add_argument("filters", nargs="*", metavar="filter=value", help=", ".join(names) + one)
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(known=names)


def _explain(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("path", help="path of the request, such as /v1/chat/completions")
    verb.add_argument("body", help="JSON body of the request, a file with it, or - for standard input")
    verb.add_argument("--key", help="id or name of the key that sends it")
    verb.add_argument("--tenant", help="the key's tenant, if several tenants have a key of that name")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_import_lazily("explain"))


def _cache(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=["clear"])
    verb.add_argument("--tenant", help="only answers of this tenant")
    verb.add_argument("--key", help="only answers to this client key, or in this scope")
    verb.add_argument("--id", help="only the answer with this cache_id")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
    verb.set_defaults(run=_import_lazily("cache"))


def _import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("kind", choices=["litellm"], help="the gateway it belongs to")
    verb.add_argument("file", help="its configuration file; - for standard input")
    verb.set_defaults(run=_import_lazily("imports"))


def _import_lazily(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    """Return a function that imports ``module`` and runs its ``function`` with the parsed arguments."""

    def run(args: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"app.terminal.{module}"), function)(args)
        return code

    return run
