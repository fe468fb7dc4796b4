"""The rules of the house, as functions from a parsed module to the faults in it.

``test_architecture.py`` applies them to ``app/`` and proves that each one bites.
A rule takes a ``Module`` and yields sentences; it reads source, never imports it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeGuard

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60

# What each part of app/ may import of the others. Parts are packages, or modules directly in app/.
# A part may always import itself. ``app`` is app/__init__.py.
_VOCABULARY = {"errors", "canonical"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "operations": set(),
    "canonical": {"errors"},
    "responses_form": {"errors"},
    "dialects": _VOCABULARY | {"responses_form"},
    "wire": _VOCABULARY,
    "config": _VOCABULARY | {"wire"},
    "database_url": set(),
    "metrics_folder": set(),
    "reload_report": set(),
    "server": {"errors", "wire"},
    "config_loading": _VOCABULARY
    | {"bind_address", "config", "operations", "providers", "wire", "database_url"},
    "bind_address": {"config"},
    "late_patterns": set(),
    "master_key": {"config"},
    "providers": _VOCABULARY | {"dialects", "wire", "config"},
    "state": _VOCABULARY | {"responses_form", "wire", "config", "database_url"},
    "gateway": _VOCABULARY
    | {
        "version",
        "reload_report",
        "operations",
        "providers",
        "dialects",
        "responses_form",
        "state",
        "wire",
        "config",
        "database_url",
    },
    "surfaces": _VOCABULARY
    | {
        "version",
        "reload_report",
        "bind_address",
        "master_key",
        "operations",
        "gateway",
        "responses_form",
        "providers",
        "dialects",
        "state",
        "wire",
        "config",
        "config_loading",
        "diagnostics",
    },
    "conformance": {"errors", "wire"},
    "diagnostics": _VOCABULARY
    | {"config", "config_loading", "gateway", "providers", "bind_address", "metrics_folder", "state", "wire"},
    "terminal": _VOCABULARY
    | {
        "app",
        "conformance",
        "diagnostics",
        "config",
        "config_loading",
        "gateway",
        "providers",
        "bind_address",
        "state",
        "wire",
    },
    "cli": _VOCABULARY
    | {
        "app",
        "diagnostics",
        "terminal",
        "gateway",
        "providers",
        "dialects",
        "state",
        "wire",
        "config",
        "config_loading",
        "bind_address",
    },
    "__main__": {"cli"},
    "app": _VOCABULARY
    | {
        "version",
        "surfaces",
        "gateway",
        "providers",
        "dialects",
        "state",
        "wire",
        "config",
        "config_loading",
    },
}

PURE_PARTS = {"canonical", "responses_form", "dialects"}
IMPURE_MODULES = {
    *("flask", "werkzeug", "gevent", "requests", "urllib3", "sqlalchemy", "redis", "structlog"),
    *("time", "random", "secrets", "uuid", "logging", "socket", "ssl", "threading", "os", "subprocess"),
}
FRAMEWORK_PARTS = {"surfaces", "app"}
EGRESS = {"app/wire/egress.py", "app/wire/connections.py", "app/wire/requests_adapter.py"}
LATE_MODULES = {"numpy", "botocore", "google", "msal", "genai_prices", "opentelemetry", "tiktoken"}

PROVIDER_NAMES = {
    *("openai", "anthropic", "azure", "bedrock", "cohere", "vertex", "mistral", "ollama"),
    *("gemini", "groq", "openrouter", "sgl", "parasail", "elevenlabs", "perplexity", "cerebras"),
    "sandbox",
}

_EMPTY_WORDS = re.compile(
    r"^_*(handle|process|manage)(_|$)|(^|_)(helpers?|utils?|manager)(_|$)", re.IGNORECASE
)
_GIVEN_NAMES = {  # words of gunicorn and SQLAlchemy, overridden
    "app/server/worker.py": {"handle_request", "handle_error", "handle_exit"},
    "app/state/encryption.py": {"process_bind_param", "process_result_value"},
}
_EMPTY_CLASS = re.compile(r"(Manager|Helpers?|Utils?|Handler)$")


@dataclass(frozen=True)
class Module:
    """One source file: its path from the root of the checkout (``app/wire/sse.py``), text and tree."""

    path: str
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree, walked once."""
        return tuple(ast.walk(self.tree))

    @property
    def part(self) -> str:
        """The part of app/ it belongs to: ``wire``, ``errors``, or ``app`` for app/__init__.py."""
        if self.path == "app/__init__.py":
            return "app"
        return self.path.split("/")[1].removesuffix(".py")

    @property
    def package(self) -> list[str]:
        """The names of the package it lies in, for relative imports."""
        return self.path.split("/")[:-1]

    @property
    def name(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def read_modules(root: Path) -> list[Module]:
    """Read every Python file below ``root``/app."""
    found = []
    for file in sorted((root / "app").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        found.append(parse_module(file.relative_to(root).as_posix(), text))
    return found


@cache
def parse_module(path: str, text: str) -> Module:
    """Return a module of the given source; what was parsed once serves every rule and every copy."""
    return Module(path, text, ast.parse(text))


def imported_names(module: Module, tree: ast.AST | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import in ``tree``, anywhere, relative ones resolved.

    ``from app import x`` yields ``app.x``, and ``from a.b import c`` yields ``a.b.c``.
    """
    for node in module.nodes if tree is None else ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                base = module.package[: len(module.package) - node.level + 1] + base
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def imports_against_the_direction(module: Module) -> Iterator[str]:
    """surfaces -> gateway -> providers -> dialects -> canonical, as ``MAY_IMPORT`` says in full."""
    if module.part not in MAY_IMPORT:
        yield f"{module.path}: part {module.part!r} has no row in MAY_IMPORT (tests/house_rules.py)"
        return
    for line, name in imported_names(module):
        steps = name.split(".")
        if steps[0] != "app":
            continue
        target = steps[1] if len(steps) > 1 and steps[1] in MAY_IMPORT else "app"
        if target not in MAY_IMPORT[module.part] | {module.part}:
            yield f"{module.path}:{line} {module.part} imports {name}"


def import_cycle(modules: Iterable[Module]) -> list[str]:
    """Return the names of modules that import each other in a circle, an empty list if none do.

    Imports inside functions count, because a late import only hides a circle; those for types alone do not.
    """
    by_name = {module.name: module for module in modules}
    imports = {}
    for name, module in by_name.items():
        typing = {
            line
            for node in module.nodes
            if _is_type_checking(node)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        targets = {target for line, target in imported_names(module) if line not in typing}
        known = {target if target in by_name else target.rpartition(".")[0] for target in targets}
        imports[name] = known & by_name.keys() - {name}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def requests_outside_egress(module: Module) -> Iterator[str]:
    """Only wire/egress.py and its two parts import requests (or urllib3 below it)."""
    for line, name in imported_names(module):
        if name.split(".")[0] in {"requests", "urllib3"} and module.path not in EGRESS:
            yield f"{module.path}:{line} imports {name}"


def impure_translation(module: Module) -> Iterator[str]:
    """canonical and dialects know no framework, socket, clock, chance or log."""
    if module.part in PURE_PARTS:
        for line, name in imported_names(module):
            if name.split(".")[0] in IMPURE_MODULES:
                yield f"{module.path}:{line} imports {name}"


def flask_below_the_surfaces(module: Module) -> Iterator[str]:
    """Flask lives in surfaces/ and app/__init__.py."""
    if module.part not in FRAMEWORK_PARTS:
        for line, name in imported_names(module):
            if name.split(".")[0] in {"flask", "werkzeug"}:
                yield f"{module.path}:{line} imports {name}"


def early_cloud_imports(module: Module) -> Iterator[str]:
    """Cloud, telemetry and price libraries are imported at first use, inside a function."""
    for statement in statements_run_at_import(module.tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for line, name in imported_names(module, statement):
                if name.split(".")[0] in LATE_MODULES:
                    yield f"{module.path}:{line} imports {name} at import time"


def statements_run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that importing runs; ``if TYPE_CHECKING`` and functions are left out."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if _is_type_checking(statement):
            continue
        yield statement
        for _, inner in ast.iter_fields(statement):
            if isinstance(inner, list) and inner and isinstance(inner[0], ast.stmt):
                yield from statements_run_at_import(inner)


def _is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def provider_names_compared(module: Module) -> Iterator[str]:
    """No provider's name is tested outside providers/: a difference is a row, a quirk or a table."""
    if module.part == "providers":
        return
    for node in module.nodes:
        if isinstance(node, ast.Compare):
            tested: list[ast.expr] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            tested = [node.value]
        else:
            continue
        for part in tested:
            for name in _constants(part):
                if name in PROVIDER_NAMES:
                    yield f"{module.path}:{node.lineno} tests for {name!r}"


def _constants(node: ast.expr) -> Iterator[object]:
    """Yield a constant, or the constants of a literal tuple, list or set."""
    if isinstance(node, ast.Constant):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for element in node.elts:
            yield from _constants(element)


def long_files(module: Module) -> Iterator[str]:
    """A file past 500 lines holds a second idea."""
    count = module.text.count("\n")
    if count > MAX_FILE_LINES:
        yield f"{module.path} has {count} lines"


def long_functions(module: Module) -> Iterator[str]:
    """A function past 60 lines lacks a name for some part of it."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > MAX_FUNCTION_LINES:
                yield f"{module.path}:{node.lineno} {node.name} has {count} lines"


def swallowed_exceptions(module: Module) -> Iterator[str]:
    """An except clause acts, or raises; ``pass``, ``continue`` and ``...`` alone hide a fault."""
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler) and all(_does_nothing(step) for step in node.body):
            yield f"{module.path}:{node.lineno} swallows an exception"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"suppress", "contextlib.suppress"}:
            yield f"{module.path}:{node.lineno} swallows an exception by suppress"


def _does_nothing(step: ast.stmt) -> bool:
    literal = isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)
    return literal or isinstance(step, ast.Pass | ast.Continue)


def missing_docstrings(module: Module) -> Iterator[str]:
    """Every module says in its docstring what it knows (an empty ``__init__.py`` has nothing to say)."""
    if module.text.strip() and not ast.get_docstring(module.tree):
        yield f"{module.path} has no docstring"


def mutable_globals(module: Module) -> Iterator[str]:
    """A function that rebinds a module's name keeps state there."""
    for node in module.nodes:
        if isinstance(node, ast.Global):
            yield f"{module.path}:{node.lineno} global {', '.join(node.names)}"


def empty_names(module: Module) -> Iterator[str]:
    """Names say what a thing is: no handle, process, manager, helper, utils."""
    stem = module.path.rsplit("/", 1)[-1].removesuffix(".py")
    if _EMPTY_WORDS.search(stem):
        yield f"{module.path}: the file's name says nothing"
    given = _GIVEN_NAMES.get(module.path, set())
    for node in module.nodes:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in given
        if named and _EMPTY_WORDS.search(node.name):
            yield f"{module.path}:{node.lineno} def {node.name}"
        if isinstance(node, ast.ClassDef) and _EMPTY_CLASS.search(node.name):
            yield f"{module.path}:{node.lineno} class {node.name}"


ONE_CALL_SITE = {
    "send": "app/gateway/operations.py",  # an exchange encodes
    "fetch": "app/gateway/driver.py",  # an exchange gets a whole answer
    "fill": "app/gateway/run.py",  # an outcome learns what an answer says
    "drive": "app/gateway/core.py",  # the driver feeds a run
}
"""Methods of the middle of the house that are called at one place, and where."""


def second_ways(module: Module) -> Iterator[str]:
    """A call goes one way: what ``ONE_CALL_SITE`` names is called once, there."""
    if module.part not in {"gateway", "surfaces"}:
        return
    seen: set[str] = set()
    for node in module.nodes:
        if not isinstance(node, ast.Attribute) or node.attr not in ONE_CALL_SITE:
            continue
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            continue
        if module.path != ONE_CALL_SITE[node.attr] or node.attr in seen:
            yield f"{module.path}:{node.lineno} .{node.attr} is a second way"
        seen.add(node.attr)


RULES = (
    imports_against_the_direction,
    requests_outside_egress,
    impure_translation,
    flask_below_the_surfaces,
    early_cloud_imports,
    provider_names_compared,
    long_files,
    long_functions,
    swallowed_exceptions,
    missing_docstrings,
    mutable_globals,
    empty_names,
    second_ways,
)


def lock_faults(name: str, text: str) -> Iterator[str]:
    """Every requirement of a lock is pinned and hashed; no index, file or machine is named."""
    lines = text.replace("\\\n", " ").splitlines()
    for requirement in (line for line in lines if line.strip() and not line.lstrip().startswith("#")):
        first = requirement.split(" --hash", 1)[0].strip()
        if first.startswith("-") or "://" in first or " @ " in first:
            yield f"{name}: {first!r} is no plain requirement"
        elif "==" not in first:
            yield f"{name}: {first!r} is not pinned"
        elif "--hash=sha256:" not in requirement:
            yield f"{name}: {first!r} has no hash"
    for line in text.splitlines():
        if re.search(r"file:|://|(^|[\s=])/[A-Za-z]|[A-Z]:\\", line):
            yield f"{name}: {line.strip()!r} names an index or a machine"


def modules_loaded_by(statement: str, root: Path) -> set[str]:
    """Run ``statement`` in a fresh interpreter at ``root`` and return the modules it loaded."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    return set(result.stdout.split())
