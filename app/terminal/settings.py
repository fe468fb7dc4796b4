"""The configuration for a command; its faults go to standard error."""

from __future__ import annotations

import argparse
import os
import sys

from app.config import Settings
from app.config_loading import ConfigError, load


def settings_of(args: argparse.Namespace) -> Settings | None:
    """Load the settings for a command with ``--config``; print faults and return None if there are any."""
    try:
        return load(os.environ, args.config)
    except ConfigError as error:
        for place, sentence in error.faults:
            print(f"sluice: {place}: {sentence}", file=sys.stderr)
        return None
