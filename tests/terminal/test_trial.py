"""``sluice test MODEL``: the answer as it comes, then who gave it, how fast and for how much."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.behaviour.world import good
from tests.environment import bare
from tests.traffic.replay import Reply, Upstream

COMMAND = (str(Path(sys.executable).parent / "sluice"), "test")


def ran(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**bare(), **variables},
        capture_output=True,
        text=True,
        timeout=50,
    )


def of_groq(upstream: Upstream) -> dict[str, str]:
    """Return what configures a provider that the upstream plays."""
    return {"GROQ_API_KEY": "k", "GROQ_BASE_URL": f"{upstream.url}/v1", "SLUICE_MAX_RETRIES": "0"}


def test_the_sandbox_answers_without_any_configuration(tmp_path: Path) -> None:
    result = ran(tmp_path, "sandbox/echo", "--prompt", "say exactly: Good morning")
    assert (result.returncode, result.stdout) == (0, "Good morning\n")
    assert re.fullmatch(
        r"sandbox/echo, first text after \d+ ms, [\d.]+ tokens/s, \d+\+\d+ tokens, price unknown\n",
        result.stderr,
    )
    assert list(tmp_path.iterdir()) == []


def test_figures_are_json_where_that_is_asked(tmp_path: Path) -> None:
    with Upstream() as upstream:
        upstream.add(good("chat", "llama-3.3-70b-versatile", stream=True, text="Hello"))
        result = ran(
            tmp_path,
            "groq/llama-3.3-70b-versatile",
            "--json",
            SLUICE_KEYS="ann:sk-1234567890",
            **of_groq(upstream),
        )
    figures = json.loads(result.stdout)
    assert (result.returncode, result.stderr, figures["error"]) == (0, "", None)
    assert figures["answered_by"] == "groq/llama-3.3-70b-versatile"
    assert 0 <= figures["first_text_ms"] <= figures["total_ms"]
    assert figures["usage"]["cost"] > 0


def test_what_fails_says_why_and_ends_with_1(tmp_path: Path) -> None:
    with Upstream() as upstream:
        upstream.add(Reply.json({"error": {"message": "Invalid API Key"}}, 401), times=9)
        result = ran(tmp_path, "groq/llama-3.3-70b-versatile", **of_groq(upstream))
    assert result.returncode == 1
    assert result.stderr == "sluice: groq/llama-3.3-70b-versatile: Invalid API Key\n"
    unknown = ran(tmp_path, "nobody/x")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "sluice: The requested model 'nobody/x' does not exist.\n",
    )
    assert unknown.stdout == ""


def test_a_terminal_without_utf_8_is_asked_and_answered(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    result = ran(tmp_path, "sandbox/echo", "--prompt", "say exactly: grün", **plain)
    assert (result.returncode, result.stdout) == (0, "gr\\xfcn\n")


def test_a_faulty_configuration_ends_with_2(tmp_path: Path) -> None:
    result = ran(tmp_path, "sandbox/echo", PORT="eighty")
    assert result.returncode == 2
    assert "PORT" in result.stderr
