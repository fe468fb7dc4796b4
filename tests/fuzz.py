"""``make fuzz``: Schemathesis over ``/openapi.json`` of a gateway that runs, for as long as one likes.

No answer may be a 5xx, and none may leave the gateway without its key. Schemathesis is fetched by
uv into an environment of its own: no other test needs it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.running import running_gateway

_TOOL: Final = ("tool", "run", "--quiet", "--from", "schemathesis==4.32.5", "schemathesis")
_CHECKS: Final = "not_a_server_error,ignored_auth"
_GENERATED: Final = re.compile(r"(\d+) generated")
_KEY: Final = "fuzz-key-0123456789"


@dataclass(frozen=True)
class Fuzzed:
    """What a run came to: inputs tried, whether all held, what was printed, faults in the gateway's log."""

    inputs: int
    held: bool
    output: str
    faults: int


def fuzz(seconds: int) -> Fuzzed:
    """Try the API for ``seconds``; raises ``RuntimeError`` where the tool did not run at all."""
    with tempfile.TemporaryDirectory() as folder, running_gateway({"SLUICE_KEYS": f"fuzz:{_KEY}"}) as gateway:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        command = [
            uv,
            *_TOOL,
            "run",
            f"{gateway.url}/openapi.json",
            "--checks",
            _CHECKS,
            "--continue-on-failure",
        ]
        command += ["--header", f"Authorization: Bearer {_KEY}", "--max-time", str(seconds)]
        command += ["--warnings", "off", "--no-color"]
        result = subprocess.run(
            command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        generated = _GENERATED.search(result.stdout)
        if generated is None:
            raise RuntimeError(result.stdout)
        faults = gateway.log.count('"event":"fault"')
    return Fuzzed(int(generated[1]), result.returncode == 0, result.stdout, faults)


def main() -> int:
    """Fuzz, print what was found, and fail if there was anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    found = fuzz(parser.parse_args().seconds)
    print(found.output)
    print(f"{found.inputs} inputs tried; {found.faults} faults in the log")
    return 0 if found.held and not found.faults else 1


if __name__ == "__main__":
    sys.exit(main())
