"""The scripts of ``sluice completion`` complete, in each shell that this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from app import cli
from tests.docs.blocks import blocks
from tests.services import leave_out

VERBS = {"serve", "check-config", "doctor", "keys", "tenants", "conformance", "completion", "version"}


def script_of(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


def run(shell: str, text: str, folder: Path) -> str:
    """Return what a shell prints that runs ``text`` and nothing of the user's own."""
    program = shutil.which(shell)
    if program is None:
        leave_out(f"{shell} is not installed")
    alone = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    result = subprocess.run(
        [program, *alone, "-c", text],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sluice", ""], VERBS),
        (["sluice", "con"], {"conformance"}),
        (["sluice", "keys", "rot"], {"rotate"}),
        (["sluice", "keys", "--js"], {"--json"}),
        (["sluice", "doctor", "--config", "slu"], {"sluice.toml"}),
        (["sluice", "completion", ""], {"bash", "zsh", "fish"}),
        (["sluice", "no-such-verb", "x"], set()),
    ],
)
def test_bash_completes(
    words: list[str], expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sluice.toml").touch()
    line = " ".join(f"'{word}'" for word in words)
    ask = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _sluice; printf "%s\\n" "${{COMPREPLY[@]}}"'
    found = set(run("bash", f"{script_of('bash', capsys)}\n{ask}", tmp_path).split())
    assert found >= expected
    if len(expected) < 2:
        assert found == expected


def test_the_line_of_the_page_registers_the_completion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = (one for one in blocks() if one.run_by == "tests/terminal/test_completion.py")
    (tmp_path / "script").write_text(script_of("bash", capsys))
    shell = "sluice() { [ \"$*\" = 'completion bash' ] && cat script; }\n"
    assert "-F _sluice sluice" in run("bash", f"{shell}{block.text}complete -p sluice", tmp_path)


def test_fish_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.fish").write_text(script_of("fish", capsys))
    ask = "source s.fish; complete -C'sluice '; echo; complete -C'sluice keys rot'; complete -C'sluice keys --js'"
    found = {line.split("\t")[0] for line in run("fish", ask, tmp_path).splitlines()}
    assert found >= VERBS | {"rotate", "--json"}


def test_zsh_reads_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "_sluice").write_text(script_of("zsh", capsys))
    ask = "autoload -U compinit; compinit -u; source ./_sluice; print $_comps[sluice]"
    assert run("zsh", ask, tmp_path).strip() == "_sluice"


def test_zsh_offers_what_the_parser_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "_sluice").write_text(script_of("zsh", capsys))
    stubs = """
compdef() { : }; _files() { : }
_describe() { print -l -- ${${(P)2}%%:*} }; compadd() { shift; print -l -- $@ }
source ./_sluice
words=(sluice ''); CURRENT=2; _sluice
words=(sluice keys ''); CURRENT=3; _sluice
"""
    found = set(run("zsh", stubs, tmp_path).split())
    assert found >= VERBS | {"rotate", "--json"}


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["completion", "tcsh"])
    assert ended.value.code == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
