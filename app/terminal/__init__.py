"""Verbs of the command line besides serving: trials, checks, keys, reports, imports.

Each verb's module is imported when it is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

Argument = tuple[tuple[str, ...], dict[str, Any]]
"""Names and options of ``add_argument``."""


class _Verb(NamedTuple):
    """A row of the table: ``run`` is a function below ``app.terminal``."""

    name: str
    run: str
    help: str
    arguments: tuple[Argument, ...]


def _argument(*names: str, **options: Any) -> Argument:
    return names, options


CONFIG: Final = _argument("--config", metavar="FILE", help="the TOML file instead of $SLUICE_CONFIG")
_JSON: Final = _argument("--json", action="store_true", help="print JSON")
_NAME: Final = _argument("name", nargs="?", help="the name (create), otherwise the id")
_MEMBERS: Final = _argument("members", nargs="*", default=[], metavar="member=value")
_CALL_FILTERS: Final = "tenant, key, provider, model, status, request_type, response_id, request_id, from, to"
_USAGE_FILTERS: Final = "tenant, key, provider, model, request_type, from, to"


def _action(*choices: str, **options: Any) -> Argument:
    return _argument("action", choices=choices, **options)


def _filters(text: str) -> Argument:
    return _argument("filters", nargs="*", default=[], metavar="filter=value", help=text)


_VERBS: Final = (
    _Verb(
        "keys",
        "records.run",
        "create, list, change, rotate and revoke client keys",
        (
            _argument("--tenant", help="name of a key for SLUICE_KEYS (with new)"),
            _action("list", "show", "create", "change", "rotate", "revoke", "new"),
            *(_NAME, _MEMBERS),
            _argument("--now", action="store_true", help="also end running calls"),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "tenants",
        "records.run",
        "create, list, change and delete tenants",
        (
            _action("list", "show", "create", "change", "delete"),
            *(_NAME, _MEMBERS),
            _argument(
                "--confirm", action="store_true", help="delete the tenant with everything stored for it"
            ),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "doctor",
        "doctor.run",
        "check configuration, database, Redis, port, clock and providers",
        (_JSON, CONFIG),
    ),
    _Verb(
        "conformance",
        "conformance.run",
        "check whether a server conforms to OpenAI's APIs",
        (
            _argument(
                "url", metavar="URL", help="base URL of a gateway or server, such as http://127.0.0.1:8080/v1"
            ),
            _argument("--key", help="API key of the server (default: $SLUICE_KEY)"),
            _argument("--model", help="model for chat and responses (default: the first in its list)"),
            _argument("--embedding-model", help="model for embeddings (default: the first in its list)"),
            _argument(
                "--timeout", type=float, default=60.0, help="timeout for each answer in seconds (default: 60)"
            ),
            _JSON,
        ),
    ),
    _Verb(
        "test",
        "trial.run",
        "stream one answer from a model and show its timing and cost",
        (
            _argument("model", help="provider/model, or a model name from the configuration"),
            _argument("--prompt", help="the prompt; - for standard input"),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "ledger",
        "records.run",
        "list what attempts cost, correct rows, check the totals",
        (
            _action("list", "show", "check", "settle", nargs="?", default="list"),
            _argument("name", nargs="?", help="the id of a row (show, settle), or the first filter (list)"),
            _argument(
                "members",
                nargs="*",
                default=[],
                metavar="member=value",
                help="filters, or usd=, usage.input_tokens=, reason=",
            ),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "calls",
        "reports.calls",
        "list the calls of the log, the newest first",
        (
            _filters(f"{_CALL_FILTERS}; or the id of one call"),
            _argument("--limit", type=int, default=20, help="number of calls, 1 to 100 (default: 20)"),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "usage",
        "reports.usage",
        "sum the calls of the log by day, model, key or other members",
        (
            _filters(_USAGE_FILTERS),
            _argument(
                "--by",
                default="day",
                help="hour, day, key, tenant, provider, model, request_type, user, door … (default: day)",
            ),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "explain",
        "explain.run",
        "show what a request would do without sending it",
        (
            _argument("path", help="path of the request, such as /v1/chat/completions"),
            _argument("body", help="JSON body of the request, a file with it, or - for standard input"),
            _argument("--key", help="id or name of the key that sends it"),
            _argument("--tenant", help="the key's tenant, if several tenants have a key of that name"),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "cache",
        "cache.run",
        "delete cached answers",
        (
            _action("clear"),
            _argument("--tenant", help="only answers of this tenant"),
            _argument("--key", help="only answers to this client key, or in this scope"),
            _argument("--id", help="only the answer with this cache_id"),
            *(_JSON, CONFIG),
        ),
    ),
    _Verb(
        "import",
        "imports.run",
        "turn another gateway's configuration into a sluice.toml",
        (
            _argument("kind", choices=["litellm"], help="the gateway it belongs to"),
            _argument("file", help="its configuration file; - for standard input"),
        ),
    ),
)


def add_verbs(verbs: Any) -> None:
    """Add the verbs to a parser's (``argparse`` has no public name for its type)."""
    for verb in _VERBS:
        parser = verbs.add_parser(verb.name, help=verb.help)
        for names, options in verb.arguments:
            parser.add_argument(*names, **options)
        parser.set_defaults(run=_import_lazily(verb.run), verb=verb.name, now=False, confirm=False)


def _import_lazily(place: str) -> Callable[[argparse.Namespace], int]:
    """Return a function that imports ``module.function`` below this package and runs it with the parsed arguments."""

    def run(args: argparse.Namespace) -> int:
        module, _, function = place.partition(".")
        code: int = getattr(import_module(f"app.terminal.{module}"), function)(args)
        return code

    return run
