"""deploy/compose.yaml: it is whole, what it names exists, and its settings are understood as they stand.

No daemon is needed: the file is read as compose reads it (anchors, merges, ``${VARIABLE}``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from app.config_loading import load
from app.config_loading.members import MEMBERS
from app.providers import PROVIDERS
from tests.running import ROOT

FILE = ROOT / "deploy" / "compose.yaml"
GIVEN = {
    "POSTGRES_PASSWORD": "secret",
    "SLUICE_SECRET_KEY": "the same for all",
    "SLUICE_KEYS": "ann:sk-ann-0123456789",
    "OPENAI_API_KEY": "sk-openai",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def interpolated(value: Any, given: Mapping[str, str]) -> Any:
    """Fill ``${NAME:-default}`` and ``${NAME:?why}`` as compose does; ``KeyError`` for a missing one."""
    if isinstance(value, dict):
        return {name: interpolated(member, given) for name, member in value.items()}
    if isinstance(value, list):
        return [interpolated(member, given) for member in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, sign, rest = match.groups()
        if given.get(name):
            return given[name]
        if sign == ":-":
            return rest
        raise KeyError(name)

    return _VARIABLE.sub(fill, value)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = interpolated(yaml.safe_load(FILE.read_text()), GIVEN)["services"]
    return found


def test_there_are_several_gateways_and_workers_over_one_database(services: dict[str, Any]) -> None:
    assert set(services) == {"gateway", "worker", "postgres", "nginx"}
    assert services["gateway"]["deploy"]["replicas"] > 1
    assert services["worker"]["deploy"]["replicas"] > 1
    assert (
        services["gateway"]["environment"]["DATABASE_URL"]
        == services["worker"]["environment"]["DATABASE_URL"]
    )


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_the_environment_is_understood(services: dict[str, Any], name: str) -> None:
    settings = load(services[name]["environment"], None)
    assert settings.database_url == "postgresql://sluice:secret@postgres/sluice"
    assert settings.background == "off"
    assert [key.name for key in settings.keys] == ["ann"]
    configured = settings.providers.keys() & {"openai", "anthropic", "gemini"}
    assert configured == {"openai"}
    if name == "worker":
        assert settings.worker_grace < int(services[name]["stop_grace_period"].removesuffix("s"))
    else:
        assert settings.drain_after + 5 < int(services[name]["stop_grace_period"].removesuffix("s"))


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_every_variable_is_one_that_somebody_reads(services: dict[str, Any], name: str) -> None:
    known = {member.variable for member in MEMBERS} | {"SLUICE_KEYS", "FORWARDED_ALLOW_IPS"}
    known |= {f"{provider.upper()}_API_KEY" for provider in PROVIDERS}
    assert set(services[name]["environment"]) <= known


def test_every_variable_that_is_required_is_asked_for(services: dict[str, Any]) -> None:
    for name in ("POSTGRES_PASSWORD", "SLUICE_SECRET_KEY", "SLUICE_KEYS"):
        with pytest.raises(KeyError, match=name):
            interpolated(yaml.safe_load(FILE.read_text()), {**GIVEN, name: ""})


def test_every_value_is_a_text_and_every_file_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())
        if "build" in service:
            assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    (mounted,) = services["nginx"]["volumes"]
    assert (FILE.parent / mounted.split(":")[0]).is_file()


def test_nginx_is_given_the_gateways_by_the_line_it_has(services: dict[str, Any]) -> None:
    command = services["nginx"]["command"][-1]
    old, new = re.search(r"s/(.+?)/(.+?)/", command).groups()  # type: ignore[union-attr]
    written, count = re.subn(old, new, (ROOT / "deploy" / "nginx.conf").read_text())
    assert count == 1
    assert f"server gateway:{services['gateway']['environment']['PORT']} " in written


def test_what_depends_on_health_has_a_check(services: dict[str, Any]) -> None:
    for service in services.values():
        needs = service.get("depends_on", {})
        for other, wish in needs.items() if isinstance(needs, dict) else ():
            assert wish == {"condition": "service_healthy"}
            assert "healthcheck" in services[other]
