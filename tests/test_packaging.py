"""The packaging agrees with itself: one start command, one list of dependencies, the patch first."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.bind_address import curl_line
from tests.__main__ import GROUPS, others
from tests.environment import bare, clean

START = "gunicorn -c gunicorn.conf.py wsgi:app"


@pytest.mark.parametrize("name", ["gunicorn.conf.py", "wsgi.py", "tests/conftest.py"])
def test_gevent_patches_before_anything_else_is_imported(name: str, repo_dir: Path) -> None:
    body = ast.parse((repo_dir / name).read_text()).body
    statements = [node for node in body if not _is_docstring(node)]
    patch = [ast.unparse(node) for node in statements].index("monkey.patch_all()")
    assert _imported(statements[:patch]) <= {"gevent", "gevent.events"}


def _imported(statements: list[ast.stmt]) -> set[str]:
    named = {name.name for node in statements if isinstance(node, ast.Import) for name in node.names}
    return named | {str(node.module) for node in statements if isinstance(node, ast.ImportFrom)}


LATE = {
    *("sqlalchemy", "app.state.state", "app.gateway.batch_run", "app.gateway.native_batches"),
    *("requests", "charset_normalizer", "http.cookiejar"),  # for proxies and bodies in pieces
    *("alembic", "mako", "pygments", "cryptography", "sqlalchemy.dialects.postgresql", "psycopg", "redis"),
    *(
        "genai_prices",
        "prometheus_client",
        "opentelemetry",
        "tiktoken",
        "numpy",
        "botocore",
        "google",
        "msal",
    ),
    *("app.surfaces.ui", "app.terminal", "app.conformance"),
    *(
        "app.surfaces.admin.application",
        "app.surfaces.views.generation",
        "app.surfaces.openapi",
        "websockets",
    ),
}
"""What a start does not load: it would wait for it, and most gateways use little of it."""

WITH_THE_STORE = {"sqlalchemy", "app.state.state"}


def test_a_start_loads_nothing_of_what_is_needed_later_and_looks_for_no_plug_ins(
    repo_dir: Path, tmp_path: Path
) -> None:
    loaded = (
        "import runpy, sys; runpy.run_path('gunicorn.conf.py'); import app.server.worker, wsgi\n"
        f"print(sorted({LATE!r} & set(sys.modules)),"
        " __import__('gevent.events').events.notify_and_call_entry_points.__name__)\n"
        "import app.state.state\n"
        f"print(sorted({LATE - WITH_THE_STORE!r} & set(sys.modules)))"
    )
    environ = {**bare(), "OPENAI_API_KEY": "sk-x", "DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db"}
    result = subprocess.run(
        [sys.executable, "-c", loaded], cwd=repo_dir, env=environ, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-2:] == ["[] notify", "[]"]


def test_marshmallow_compiles_the_patterns_of_addresses_when_one_is_checked(repo_dir: Path) -> None:
    checked = (
        "import re, runpy; compiled, compile_now = [], re._compiler.compile\n"
        "re._compiler.compile = lambda p, flags=0: compiled.append(p) or compile_now(p, flags)\n"
        "runpy.run_path('gunicorn.conf.py'); from marshmallow.validate import Email\n"
        "print(sum(']{2,6}' in str(p) for p in compiled), Email()('ann@example.com'),"
        " sum(']{2,6}' in str(p) for p in compiled))"
    )
    environ = {**bare(), "OPENAI_API_KEY": "sk-x"}
    result = subprocess.run(
        [sys.executable, "-c", checked], cwd=repo_dir, env=environ, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["0", "ann@example.com", "1"]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_make_run_the_procfile_and_the_readme_start_the_server_alike(repo_dir: Path) -> None:
    procfile = dict(line.split(": ", 1) for line in (repo_dir / "Procfile").read_text().splitlines())
    recipe = re.search(
        r"^run: .*\n\t@exec \$\(BIN\)/(.*)$", (repo_dir / "Makefile").read_text(), re.MULTILINE
    )
    assert recipe is not None
    assert recipe.group(1) == START
    assert procfile["web"] == f"SLUICE_KEEPALIVE=95 {START}"
    assert f"\n{START}\n" in (repo_dir / "README.md").read_text()


def test_the_readme_shows_the_line_that_the_server_prints(repo_dir: Path) -> None:
    assert f"\n{curl_line(('127.0.0.1', 8080), keyed=False)}\n" in (repo_dir / "README.md").read_text()


def test_setup_cfg_and_requirements_in_name_the_same_distributions(repo_dir: Path) -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(repo_dir / "setup.cfg")
    extras = setup["options.extras_require"]
    named = [setup["options"]["install_requires"], *(extras[name] for name in extras if name != "all")]
    locked = (repo_dir / "requirements.in").read_text()
    assert _distributions("\n".join(named)) | {"setuptools"} == _distributions(locked)


def _distributions(text: str) -> set[str]:
    lines = (line.strip() for line in text.splitlines())
    return {re.split(r"[ \[=<>;]", line, maxsplit=1)[0].lower() for line in lines if line and line[0] != "#"}


def test_app_json_asks_for_what_production_needs(repo_dir: Path) -> None:
    env = json.loads((repo_dir / "app.json").read_text())["env"]
    assert {name for name, row in env.items() if row.get("generator") == "secret"} == {
        "SLUICE_MASTER_KEY",
        "SLUICE_SECRET_KEY",
    }


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--bind", "0.0.0.0:0"], {}, "listening on 0.0.0.0 would serve everyone"),
        ([], {"SLUICE_HOST": "0.0.0.0"}, "listening on 0.0.0.0 would serve everyone"),
        ([], {"PORT": "eighty"}, "sluice: PORT: must be a port number from 0 to 65535"),
        ([], {"SLUICE_CONFIG": "absent.toml"}, "sluice: absent.toml: cannot be read"),
    ],
)
def test_gunicorn_refuses_a_wrong_start_in_one_clear_line(
    arguments: list[str], environ: dict[str, str], message: str, repo_dir: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", *arguments, "wsgi:app"],
        cwd=repo_dir,
        env={**bare(), "PORT": "0", **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert [line for line in result.stderr.splitlines() if "Traceback" in line] == []
    assert message in result.stderr


def test_an_environment_is_clean_when_only_places_and_what_steers_tests_remain() -> None:
    theirs = {
        "PATH": "/bin",
        "SLUICE_CI": "1",
        "SLUICE_KEYS": "a:b",
        "PORT": "1",
        "LANG": "tr_TR",
        "PYTHONPATH": "x",
    }
    assert clean(theirs) == {"PATH": "/bin", "SLUICE_CI": "1", "LANG": "C.UTF-8"}


def test_every_test_file_is_run_once_by_make_test(repo_dir: Path) -> None:
    groups = [list(paths or others()) for paths in GROUPS]
    for file in sorted((repo_dir / "tests").rglob("test_*.py")):
        path = file.relative_to(repo_dir)
        assert sum(path.is_relative_to(named) for group in groups for named in group) == 1, path
