"""The documentation tells what the code does: its tables are the code's, its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config_loading import load
from tests.documentation import DOCS, PAGES, renewed


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_a_page_are_those_of_the_code(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert renewed(page, text) == text, "run: python -m tests.documentation"


def test_every_example_of_a_configuration_file_loads(tmp_path: Path) -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 4
    key = tmp_path / "key"
    key.write_text("-----BEGIN CERTIFICATE-----")
    for example in examples:
        file = tmp_path / "example.toml"
        file.write_text(re.sub(r"/run/secrets/ann|/etc/ssl/corporate\.pem", str(key), example))
        environ = {name: f"value-of-{name}" for name in re.findall(r"env:([A-Z_]+)", example)}
        assert load(environ, file) != load({}, None)


def test_every_variable_that_is_named_exists() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    named = set(re.findall(r"SLUICE_[A-Z_]+[A-Z]", text))
    source = Path(__file__).resolve().parent.parent / "app" / "config_loading" / "members.py"
    assert {name for name in named if name not in source.read_text(encoding="utf-8")} == set()
