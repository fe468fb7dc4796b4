"""The configuration for a command, or what is wrong with it, on standard error."""

from __future__ import annotations

import argparse
import os
import sys

from app.config import Settings
from app.config_loading import ConfigError, load


def settings_of(given: argparse.Namespace) -> Settings | None:
    """Load the settings of a command with ``--config``; with faults, print them and return None."""
    try:
        return load(os.environ, given.config)
    except ConfigError as error:
        for place, sentence in error.faults:
            print(f"sluice: {place}: {sentence}", file=sys.stderr)
        return None
