"""Settings and providers for tests that look at what would be sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.config_loading import load
from app.providers.base import Provider
from app.providers.registry import make_provider
from app.wire.egress import Egress

MakeProvider = Callable[..., Provider]


@pytest.fixture
def provider_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeProvider:
    """Make the provider called ``name`` from variables, and the text of a file if one is given."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, environ: dict[str, str], text: str = "") -> Provider:
        (tmp_path / "sluice.toml").write_text(text)
        settings = load(environ)
        return make_provider(name, settings, Egress(settings.environ))

    return make
