"""``sluice import litellm FILE``: prints a ``sluice.toml``; what has no place in it stands above, as comments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from app.terminal import toml
from app.terminal.litellm import convert

_WRONG: Final = 2


def run(given: argparse.Namespace) -> int:
    """Print the configuration; 2 for a file that cannot be read."""
    try:
        text = sys.stdin.read() if given.file == "-" else Path(given.file).read_text(encoding="utf-8")
        theirs: Any = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        print(f"sluice: {given.file}: {' '.join(str(error).split())}", file=sys.stderr)
        return _WRONG
    if not isinstance(theirs, dict):
        print(f"sluice: {given.file}: must be a table with model_list, litellm_settings …", file=sys.stderr)
        return _WRONG
    made = convert(theirs)
    for note in made.notes:
        print("# " + note)
    print(toml.write(made.document), end="")
    return 0
