"""``sluice completion bash|zsh|fish``: a script for a shell, made from the parser of the commands.

Tests: tests/terminal/test_completion.py, in each shell that is there.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from typing import Any, Final

from app.canonical.record import record

SHELLS: Final = ("bash", "zsh", "fish")
_FILES: Final = frozenset({"FILE"})


@record
class Verb:
    """A command: name, help text, words that may follow, and options (name, help text, takes a file)."""

    name: str
    text: str
    words: tuple[str, ...]
    options: tuple[tuple[str, str, bool], ...]


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for one of ``SHELLS``."""
    verbs = list(_verbs(parser))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](verbs)


def _verbs(parser: argparse.ArgumentParser) -> Iterator[Verb]:
    group = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = {choice.dest: choice.help or "" for choice in group._choices_actions}
    for name, verb in group.choices.items():
        plain = [action for action in verb._actions if not action.option_strings]
        words = tuple(str(word) for action in plain for word in action.choices or ())
        yield Verb(name, texts.get(name, ""), words, tuple(_options(verb)))


def _options(verb: Any) -> Iterator[tuple[str, str, bool]]:
    for action in verb._actions:
        for name in action.option_strings:
            if name.startswith("--"):
                yield name, action.help or "", action.metavar in _FILES


def _bash(verbs: list[Verb]) -> str:
    cases = "\n".join(
        f"        {verb.name}) words={shlex.quote(' '.join([*verb.words, *(name for name, _, _ in verb.options)]))} ;;"
        for verb in verbs
    )
    files = "|".join(sorted({name for verb in verbs for name, _, takes in verb.options if takes}))
    names = " ".join(verb.name for verb in verbs)
    return f"""# bash completion of sluice: source <(sluice completion bash)
_sluice() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    case "${{COMP_WORDS[COMP_CWORD-1]}}" in
        {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then words="{names}"; fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _sluice sluice
"""


def _zsh(verbs: list[Verb]) -> str:
    names = "\n".join(f"        {shlex.quote(f'{verb.name}:{verb.text}')}" for verb in verbs)
    cases = "\n".join(f"        {verb.name}) {_zsh_words(verb)} ;;" for verb in verbs)
    files = "|".join(sorted({name for verb in verbs for name, _, takes in verb.options if takes}))
    return f"""#compdef sluice
# zsh completion of sluice: source <(sluice completion zsh), or a file _sluice in $fpath
_sluice() {{
    local -a verbs=(
{names}
    )
    if (( CURRENT == 2 )); then _describe command verbs; return; fi
    case "$words[CURRENT-1]" in
        {files}) _files; return ;;
    esac
    case "$words[2]" in
{cases}
    esac
}}
compdef _sluice sluice
"""


def _zsh_words(verb: Verb) -> str:
    words = " ".join(map(shlex.quote, verb.words))
    rows = " ".join(shlex.quote(f"{name}:{text}") for name, text, _ in verb.options)
    plain = f"compadd -- {words}; " if words else ""
    return f"{plain}local -a rows=({rows}); _describe option rows; _files"


def _fish(verbs: list[Verb]) -> str:
    lines = ["# fish completion of sluice: sluice completion fish > ~/.config/fish/completions/sluice.fish"]
    for verb in verbs:
        lines.append(f"complete -c sluice -n __fish_use_subcommand -f -a {verb.name} -d {_quote(verb.text)}")
        condition = f"-n '__fish_seen_subcommand_from {verb.name}'"
        if verb.words:
            lines.append(f"complete -c sluice {condition} -f -a {_quote(' '.join(verb.words))}")
        for name, text, takes_file in verb.options:
            value = " -r -F" if takes_file else ""
            lines.append(
                f"complete -c sluice {condition} -l {name.removeprefix('--')}{value} -d {_quote(text)}"
            )
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return a text between fish's single quotes."""
    inner = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{inner}'"
