"""``sluice import litellm FILE``: prints a ``sluice.toml``; settings without an equivalent are comments above it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from app.terminal import toml
from app.terminal.litellm import SECTIONS, convert
from app.terminal.output import Refusal


def run(args: argparse.Namespace) -> int:
    """Print the configuration."""
    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
        source: Any = yaml.safe_load(text)
    except OSError as error:
        raise Refusal(f"{args.file}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise Refusal(f"{args.file}: is not text in UTF-8") from error
    except yaml.YAMLError as error:
        raise Refusal(f"{args.file}: {' '.join(str(error).split())}") from error
    if not isinstance(source, dict) or not SECTIONS & source.keys():
        raise Refusal(f"{args.file}: must be a table with {', '.join(sorted(SECTIONS))}, or some of them")
    conversion = convert(source)
    for note in conversion.notes:
        print("# " + note)
    print(toml.write(conversion.document), end="")
    return 0
