"""Every requirement is imported, everything imported is required, and the locks install under any pip."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.blocks import blocks

LOCKS = ("requirements.txt", "requirements-dev.txt")
# What make, setup.cfg or pytest names instead of an import.
TOOLS = {"mkdocs", "coverage", "mypy", "pytest", "pytest-timeout", "ruff", "uv"}
IMPORTERS = {"_import", "__import__", "import_module"}


def _imports(files: Iterable[Path]) -> set[str]:
    """Return the dotted names of all modules that the files import, drivers of database URLs included."""
    return {name for file in files for name in _names(ast.parse(file.read_text(encoding="utf-8")))}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _last_name(node.func) in IMPORTERS:
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^\w+\+(\w+)$", node.value)


def _last_name(called: ast.expr) -> str | None:
    """Return the last part of the dotted name that is called."""
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else None


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    """Return which distributions provide each top-level module, read once."""
    return packages_distributions()


def _providers_of(names: Iterable[str]) -> set[str]:
    """Return the distributions that provide the modules (all of a shared namespace)."""
    roots = _distributions()
    return {canonicalize_name(found) for name in names for found in roots.get(name.split(".")[0], ())}


def _requirements(text: str) -> list[Requirement]:
    """Return the requirements of a file: a line of an ``.in``, or the pins of a lock."""
    lines = (re.split(r" *\\$| *#|^-", line)[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("--hash")]


def _requirement_names(text: str) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in _requirements(text)}


@pytest.fixture(scope="module")
def product(repo_dir: Path) -> set[str]:
    """The distributions whose modules the product imports."""
    return _providers_of(_imports([*(repo_dir / "app").rglob("*.py"), *repo_dir.glob("*.py")]))


@pytest.fixture(scope="module")
def tested(repo_dir: Path) -> set[str]:
    """The distributions whose modules the tests, benchmarks and programs of our pages import."""
    files = [file for part in ("tests", "benchmarks") for file in (repo_dir / part).rglob("*.py")]
    programs = [block.text for block in blocks() if block.language == "python" and block.runs_here]
    shown = {name for program in programs for name in _names(ast.parse(program))}
    return _providers_of(_imports(files) | shown)


def test_every_requirement_of_the_product_is_imported(product: set[str], repo_dir: Path) -> None:
    assert _requirement_names((repo_dir / "requirements.in").read_text()) - product == set()


def test_every_import_of_the_product_is_in_its_lock(product: set[str], repo_dir: Path) -> None:
    locked = _requirement_names((repo_dir / "requirements.txt").read_text())
    missing = {
        name
        for name, distributions in _distributions().items()
        if product.intersection(map(canonicalize_name, distributions))
        and locked.isdisjoint(map(canonicalize_name, distributions))
    }
    assert missing == {"app"}


def test_every_requirement_of_development_is_imported_or_run(
    product: set[str], tested: set[str], repo_dir: Path
) -> None:
    stubs = {f"types-{name}" for name in product}
    assert (
        _requirement_names((repo_dir / "requirements-dev.in").read_text()) - product - tested - TOOLS - stubs
        == set()
    )


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_pins_every_extra_that_one_of_its_packages_asks_for(name: str, repo_dir: Path) -> None:
    """pip before 25 refuses ``google-auth[requests]`` from a package where the lock has ``google-auth==…`` alone."""
    locked = {canonicalize_name(one.name): one for one in _requirements((repo_dir / name).read_text())}
    unpinned = [
        f"{one.name} asks for {asked}"
        for one in locked.values()
        for asked in _asked_for(one)
        if asked.extras - locked[canonicalize_name(asked.name)].extras
    ]
    assert unpinned == []


def _asked_for(one: Requirement) -> Iterator[Requirement]:
    """Yield what an installed package requires, with the extras it is locked with."""
    try:
        lines = requires(one.name) or []
    except PackageNotFoundError:  # for another platform or Python
        return
    for line in lines:
        asked = Requirement(line)
        if not asked.marker or any(asked.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
            yield asked


def test_an_unused_requirement_and_a_missing_extra_are_seen(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        'import flask\nURL = "postgresql+psycopg"\n_import("botocore.session")\nfrom . import redis\n'
    )
    assert _imports([source]) == {"flask", "psycopg", "botocore.session"}
    assert _providers_of({"flask.views", "yaml"}) == {"flask", "pyyaml"}
    assert _requirement_names(
        "# a\n-r other.in\nflask\npsycopg[binary]\nPyYAML==6 \\\n    --hash=sha256:00\n"
    ) == {*("flask", "psycopg", "pyyaml")}
    (locked,) = _requirements("google-genai==3.3.0\n")
    assert {asked.name: asked.extras for asked in _asked_for(locked)}["google-auth"] == {"requests"}
