"""The architecture holds: the rules of the house over app/, and a proof that each rule bites."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import house_rules
from tests.house_rules import RULES, Module, import_cycle, lock_faults, parse_module, read_modules

LOCKS = ("requirements.txt", "requirements-dev.txt")

Rule = Callable[[Module], Iterator[str]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule, repo_dir: Path) -> None:
    modules = read_modules(repo_dir)
    assert len(modules) > 5
    assert [fault for module in modules for fault in rule(module)] == []


def test_no_modules_import_each_other(repo_dir: Path) -> None:
    assert import_cycle(read_modules(repo_dir)) == []


def test_a_circle_of_imports_is_found() -> None:
    sources = {
        "app/wire/__init__.py": "from app.wire import sse",
        "app/wire/sse.py": "import app.wire.clocks",
        "app/wire/clocks.py": "def f():\n    from app.wire.json import dumps",
        "app/wire/json.py": "from .sse import parse",
        "app/wire/paths.py": "if TYPE_CHECKING:\n    from app.wire import paths_in",
        "app/wire/paths_in.py": "from app.wire.paths import join",
    }
    modules = [parse_module(path, text) for path, text in sources.items()]
    assert set(import_cycle(modules)) == {"app.wire.sse", "app.wire.clocks", "app.wire.json"}
    del sources["app/wire/json.py"]
    assert import_cycle(parse_module(path, text) for path, text in sources.items()) == []


def test_the_tests_that_a_module_names_exist(repo_dir: Path) -> None:
    """A module's docstring names its tests by their paths."""
    named = [
        (path.relative_to(repo_dir).as_posix(), test)
        for path in (repo_dir / "app").rglob("*.py")
        for test in re.findall(r"tests/[\w/]+(?:\.py)?", path.read_text(encoding="utf-8"))
    ]
    assert len(named) > 50
    assert [(path, test) for path, test in named if not (repo_dir / test).exists()] == []


def test_the_pages_that_a_module_cites_exist(repo_dir: Path) -> None:
    files = [file for part in ("app", "tests") for file in (repo_dir / part).rglob("*.py")]
    cited = [
        (file.relative_to(repo_dir).as_posix(), page)
        for file in files
        for page in re.findall(
            r"[\w/]*\b(?:docs|contract|design)/[\w/-]+\.md", file.read_text(encoding="utf-8")
        )
    ]
    assert len(cited) > 50
    assert [(file, page) for file, page in cited if not (repo_dir / page).exists()] == []


LONG_BODY = "def f():\n" + "    x = 1\n" * 60

# rule, where the source would stand, a source that breaks the rule, one that keeps it
BITES: list[tuple[Rule, str, str, str]] = [
    (
        house_rules.imports_against_the_direction,
        "app/dialects/chat/dialect.py",
        "from app.providers.base import Provider",
        "from app.canonical.request import Request\nfrom app.dialects import base\nfrom app.errors import KINDS",
    ),
    (
        house_rules.imports_against_the_direction,
        "app/gateway/driver.py",
        "def f():\n    import app.surfaces.views",
        "from app.state import store\nfrom app import providers",
    ),
    (
        house_rules.imports_against_the_direction,
        "app/wire/sse.py",
        "from ..gateway import call",
        "from ..errors import GatewayError\nfrom . import clocks",
    ),
    (
        house_rules.imports_against_the_direction,
        "app/state/store.py",
        "from app import create_app",
        "from app.wire import json",
    ),
    (
        house_rules.imports_against_the_direction,
        "app/newcomer/thing.py",
        "x = 1",
        "",
    ),
    (
        house_rules.requests_outside_egress,
        "app/providers/openai.py",
        "def f():\n    from requests.adapters import HTTPAdapter",
        "from app.wire.egress import Egress",
    ),
    (house_rules.impure_translation, "app/dialects/chat/dialect.py", "from time import time", "import json"),
    (
        house_rules.flask_below_the_surfaces,
        "app/gateway/call.py",
        "from flask import g",
        "from app.errors import GatewayError",
    ),
    (
        house_rules.early_cloud_imports,
        "app/providers/bedrock.py",
        "try:\n    import botocore.auth\nexcept ImportError:\n    botocore = None",
        "if TYPE_CHECKING:\n    import botocore\ndef f():\n    import botocore.auth",
    ),
    (
        house_rules.provider_names_compared,
        "app/gateway/router.py",
        "if name in ('groq', other): pass",
        "TABLE = {'groq': 1}",
    ),
    (
        house_rules.provider_names_compared,
        "app/surfaces/views.py",
        "match name:\n    case 'azure': x = 1",
        "if name == 'chat': pass",
    ),
    (
        house_rules.provider_names_compared,
        "app/surfaces/views.py",
        "if 'openai' == name: pass",
        "speak('openai')",
    ),
    (house_rules.long_files, "app/wire/sse.py", "x = 1\n" * 501, "x = 1\n" * 500),
    (house_rules.long_functions, "app/wire/sse.py", LONG_BODY, LONG_BODY.replace("    x = 1\n", "", 1)),
    (
        house_rules.swallowed_exceptions,
        "app/wire/sse.py",
        "for x in y:\n    try:\n        f()\n    except OSError:\n        continue",
        "try:\n    f()\nexcept OSError as error:\n    raise Bad from error",
    ),
    (
        house_rules.swallowed_exceptions,
        "app/wire/sse.py",
        "try:\n    f()\nexcept OSError:\n    ...",
        "try:\n    f()\nexcept OSError:\n    x = None",
    ),
    (
        house_rules.swallowed_exceptions,
        "app/wire/sse.py",
        "with contextlib.suppress(OSError):\n    f()",
        "with contextlib.closing(x):\n    f()",
    ),
    (house_rules.missing_docstrings, "app/wire/sse.py", "x = 1", '"""Frames."""\nx = 1'),
    (
        house_rules.mutable_globals,
        "app/wire/sse.py",
        "def f():\n    global cache\n    cache = 1",
        "def f():\n    cache = 1",
    ),
    (house_rules.empty_names, "app/wire/sse.py", "def handle_frame(): ...", "def parse_frame(): ..."),
    (house_rules.empty_names, "app/wire/utils.py", "", ""),
    (
        house_rules.second_ways,
        "app/gateway/layers/cache.py",
        "def f(exchange):\n    return exchange.fetch(g)",
        "def f(self):\n    return self.fetch(g)",
    ),
    (
        house_rules.second_ways,
        "app/gateway/run.py",
        "outcome.fill(a)\noutcome.fill(b)",
        "outcome.fill(a)",
    ),
    (house_rules.empty_names, "app/wire/sse.py", "class StreamManager: ...", "class StreamDecoder: ..."),
]


@pytest.mark.parametrize(("rule", "path", "bad", "good"), BITES)
def test_the_rule_bites_and_lets_good_source_pass(rule: Rule, path: str, bad: str, good: str) -> None:
    assert len(list(rule(parse_module(path, bad)))) == 1
    if bad != good and "newcomer" not in path:
        assert list(rule(parse_module(path, good))) == []


def test_every_rule_is_proven_to_bite() -> None:
    assert {rule for rule, *_ in BITES} == set(RULES)


def test_the_tree_of_a_checkout_is_read_with_its_faults(tmp_path: Path) -> None:
    (tmp_path / "app" / "state").mkdir(parents=True)
    (tmp_path / "app" / "state" / "__init__.py").write_text("")
    (tmp_path / "app" / "state" / "store.py").write_text('"""Store."""\nfrom app.gateway import call\n')
    faults = [f for m in read_modules(tmp_path) for f in house_rules.imports_against_the_direction(m)]
    assert faults == ["app/state/store.py:2 state imports app.gateway.call"]


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_is_pinned_hashed_and_free_of_machines(name: str, repo_dir: Path) -> None:
    assert list(lock_faults(name, (repo_dir / name).read_text())) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("flask==3.1.3 \\\n    --hash=sha256:00\n    # via a\n", None),
        ("flask==3.1.3 ; python_version < '4' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n", None),
        ("flask==3.1.3\n", "has no hash"),
        ("flask>=3 \\\n    --hash=sha256:00\n", "is not pinned"),
        ("flask @ https://host/flask.whl\n", "is no plain requirement"),
        ("--index-url https://host/simple\n", "is no plain requirement"),
        (
            "flask==3.1.3 \\\n    --hash=sha256:00\n    # via -r /home/me/requirements.in\n",
            "names an index or a machine",
        ),
    ],
)
def test_the_lock_rule_bites(text: str, fault: str | None) -> None:
    faults = " ".join(lock_faults("lock", text))
    assert fault in faults if fault else faults == ""


def test_the_development_lock_holds_every_pin_of_the_other(repo_dir: Path) -> None:
    pins = [
        set(re.findall(r"^([\w.-]+)(?:\[.*?\])?(==\S+)", (repo_dir / name).read_text(), re.MULTILINE))
        for name in LOCKS
    ]
    assert len(pins[0]) > 30
    assert pins[0] <= pins[1]


def test_importing_app_loads_nothing_that_gevent_must_patch_first(repo_dir: Path) -> None:
    # `python -m app.cli` and the `sluice` script import app/__init__.py before the patch can run.
    loaded = house_rules.modules_loaded_by("import app", repo_dir)
    assert "app" in loaded
    assert loaded.isdisjoint({"ssl", "urllib3", "requests", "flask", "gevent"})


def test_reading_the_loaded_modules_sees_what_was_imported(repo_dir: Path) -> None:
    assert "ssl" in house_rules.modules_loaded_by("import ssl", repo_dir)
