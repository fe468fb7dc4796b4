"""``sluice import litellm``: a configuration that loads, and a note for all that has no place in it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import cli
from app.config_loading.schemas import FILE
from app.terminal import toml
from app.terminal.litellm import convert
from tests.docs.blocks import blocks
from tests.environment import bare

WHOLE = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.azure.com
      api_key: os.environ/AZURE_EU_KEY
      api_version: "2024-10-21"
      rpm: 60
    model_info: {id: one, base_model: azure/gpt-4o}
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-us
      api_base: https://us.openai.azure.com/
      api_key: os.environ/AZURE_US_KEY
      api_version: "2024-10-21"
      weight: 2
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_key: os.environ/ANTHROPIC_API_KEY
      input_cost_per_token: 0.000003
      output_cost_per_token: 0.000015
      temperature: 0.2
  - model_name: local
    litellm_params: {model: hosted_vllm/qwen3, api_base: "http://vllm:8000/v1", extra_headers: {X-Team: a}}
  - model_name: titan
    litellm_params: {model: bedrock/converse/amazon.nova-lite-v1:0, aws_region_name: eu-west-1}
  - model_name: "openai/*"
    litellm_params: {model: openai/*, api_key: os.environ/OPENAI_API_KEY}
  - model_name: bare
    litellm_params: {model: gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}
  - model_name: strange
    litellm_params: {model: triton/x}
litellm_settings:
  drop_params: true
  request_timeout: 120
  fallbacks: [{gpt-4o: [claude, nobody]}, {claude: ["openai/gpt-4o"]}]
  success_callback: [langfuse]
router_settings:
  routing_strategy: usage-based-routing-v2
  num_retries: 9
  redis_host: redis.internal
  redis_port: 6380
  redis_password: pass
  model_group_alias: {gpt-4: gpt-4o}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: postgres://x
"""


def test_a_whole_configuration_is_carried_over() -> None:
    table = convert(yaml.safe_load(WHOLE))
    azure_targets = [{"target": "azure/gpt-4o-eu"}, {"target": "azure-2/gpt-4o-us", "weight": 2}]
    assert table.document == {
        "server": {
            "master_key": "env:LITELLM_MASTER_KEY",
            "max_retries": 5,
            "timeouts": {"total": 120},
            "redis_url": "redis://:pass@redis.internal:6380/0",
        },
        "providers": {
            "azure": {
                "base_url": "https://eu.openai.azure.com",
                "keys": [
                    {
                        "value": "env:AZURE_EU_KEY",
                        "models": ["gpt-4o-eu"],
                        "limits": [{"requests": 60, "per": "minute", "models": "azure/gpt-4o-eu"}],
                    }
                ],
                "options": {"api_version": "2024-10-21"},
            },
            "azure-2": {
                "dialect": "chat",
                "base_url": "https://us.openai.azure.com/openai/v1",
                "api_key": "env:AZURE_US_KEY",
                "options": {"auth_header": "api-key"},
            },
            "anthropic": {
                "api_key": "env:ANTHROPIC_API_KEY",
                "prices": {"claude-sonnet-4-5": {"input": 3.0, "output": 15.0}},
            },
            "hosted-vllm": {"dialect": "chat", "base_url": "http://vllm:8000/v1", "headers": {"X-Team": "a"}},
            "bedrock": {"options": {"region": "eu-west-1"}},
            "openai": {"api_key": "env:OPENAI_API_KEY"},
        },
        "models": {
            "gpt-4o": {"targets": azure_targets, "fallbacks": ["anthropic/claude-sonnet-4-5"]},
            "claude": {"target": "anthropic/claude-sonnet-4-5", "fallbacks": ["openai/gpt-4o"]},
            "local": {"target": "hosted-vllm/qwen3"},
            "titan": {"target": "bedrock/amazon.nova-lite-v1:0"},
            "bare": {"target": "openai/gpt-4o-mini"},
            "gpt-4": {"targets": azure_targets},
        },
    }
    places = [note.partition(": ")[0] for note in table.notes]
    assert places == [
        "model_list[2].litellm_params.temperature",
        "model_list[7]",
        "litellm_settings.fallbacks.gpt-4o",
        "litellm_settings.drop_params",
        "litellm_settings.success_callback",
        "router_settings.routing_strategy",
        "general_settings.database_url",
    ]


def test_what_is_printed_is_a_configuration_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(WHOLE)
    assert cli.main(["import", "litellm", str(tmp_path / "config.yaml")]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed == convert(yaml.safe_load(WHOLE)).document
    assert FILE.validate(printed) == {}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("simple-shuffle", None),
        ("least-busy", "least-busy"),
        ("latency-based-routing", "latency"),
        ("cost-based-routing", "cheapest"),
    ],
)
def test_a_strategy_of_theirs_is_one_of_ours(theirs: str, ours: str | None) -> None:
    text = WHOLE.replace("usage-based-routing-v2", theirs)
    document = convert(yaml.safe_load(text)).document
    assert document["models"]["gpt-4o"].get("strategy") == ours
    assert FILE.validate(document) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "model_list: 5",
        "model_list: [5, {}]",
        "model_list: [{model_name: 5, litellm_params: {model: 7}}]",
    ]
    + [
        "router_settings: [x]",
        "litellm_settings: {fallbacks: [5, {a: [7]}]}",
        "general_settings: {master_key: }",
    ],
)
def test_odd_files_are_refused_or_noted(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.yaml").write_text(text)
    code = cli.main(["import", "litellm", str(tmp_path / "x.yaml")])
    output = capsys.readouterr()
    assert (code, bool(output.err)) in ((0, False), (2, True))
    if code == 0:
        assert FILE.validate(tomllib.loads(output.out)) == {}


def test_a_missing_file_and_broken_yaml_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text("a: [")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "other.yaml").write_text("services: {web: {image: nginx}}")
    for name, words in (
        ("none.yaml", "No such file or directory\n"),
        ("x.yaml", "while parsing"),
        ("binary.yaml", "is not text in UTF-8\n"),
        ("other.yaml", "must be a table with environment_variables, general_settings, "),
    ):
        assert cli.main(["import", "litellm", str(tmp_path / name)]) == 2
        assert f"{name}: {words}" in capsys.readouterr().err


def settings(**rows: Any) -> dict[str, Any]:
    """Return the tables of one deployment."""
    return convert({"model_list": [{"model_name": "m", "litellm_params": rows}]}).document


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("openai/gpt-5", "openai/gpt-5"),
        ("o3-mini", "openai/o3-mini"),
        ("vertex_ai/gemini-2.5-pro", "vertex/gemini-2.5-pro"),
        ("openrouter/openai/gpt-5", "openrouter/openai/gpt-5"),
        ("together_ai/meta/llama", "together-ai/meta/llama"),
        ("cohere_chat/command-r", "cohere/command-r"),
    ],
)
def test_model_strings_are_ours(asked: str, target: str) -> None:
    assert settings(model=asked)["models"] == {"m": {"target": target}}


def test_a_name_for_many_models_is_a_note_unless_it_is_ours_too() -> None:
    rows = [("gemini-*", "gemini/gemini-*"), ("*", "openrouter/*"), ("openai/*", "openai/*")]
    table = convert(
        {"model_list": [{"model_name": name, "litellm_params": {"model": model}} for name, model in rows]}
    )
    assert [note.partition(", but")[0] for note in table.notes] == [
        "model_list[0].model_name: 'gemini-*' was not carried over",
        "model_list[1].model_name: '*' was not carried over",
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("os.environ/OLLAMA_API_BASE", "env:OLLAMA_API_BASE"),
    ],
)
def test_an_address_of_ollama_gets_the_path_of_its_chat_api(theirs: str, ours: str) -> None:
    row = {"model_name": "local", "litellm_params": {"model": "ollama_chat/llama3.1", "api_base": theirs}}
    assert convert({"model_list": [row]}).document["providers"]["ollama"] == {"base_url": ours}


def test_a_note_names_what_stands_in_for_a_setting() -> None:
    table = convert({"router_settings": {"redis_host": "os.environ/HOST", "allowed_fails": 3}})
    assert table.notes == [
        "router_settings.redis_host: was not carried over; write the whole address in REDIS_URL,"
        " such as redis://:password@host:6379/0",
        "router_settings.allowed_fails: was not carried over; see SLUICE_BREAKER in docs/configuration.md",
    ]


def test_a_second_account_that_has_no_place_is_a_note() -> None:
    rows = [
        {"model_name": "m", "litellm_params": {"model": "bedrock/a", "aws_region_name": region}}
        for region in ("us-east-1", "eu-west-1")
    ]
    table = convert({"model_list": rows})
    assert table.document["providers"] == {"bedrock": {"options": {"region": "us-east-1"}}}
    assert len(table.notes) == 1
    assert table.notes[0].startswith("model_list[1]: bedrock")


def test_two_keys_of_one_model_share_it() -> None:
    rows = [
        {"model_name": "m", "litellm_params": {"model": "groq/x", "api_key": f"os.environ/{name}"}}
        for name in "AB"
    ]
    table = convert({"model_list": rows})
    assert table.document["models"] == {"m": {"target": "groq/x"}}
    assert [key["value"] for key in table.document["providers"]["groq"]["keys"]] == ["env:A", "env:B"]
    assert tomllib.loads(toml.write(table.document)) == table.document


def test_the_page_of_migration_runs(tmp_path: Path) -> None:
    (block,) = [block for block in blocks() if block.run_by == "tests/terminal/test_litellm.py"]
    (tmp_path / "config.yaml").write_text(WHOLE.replace("redis_host: redis.internal", "redis_host:"))
    references = ("AZURE_EU_KEY", "AZURE_US_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "LITELLM_MASTER_KEY")
    variables = {**bare(), **dict.fromkeys(references, "x-0123456789")}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert '"gpt-4o" = azure/gpt-4o-eu (1), azure-2/gpt-4o-us (2)' in ran.stdout
