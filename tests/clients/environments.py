"""Clients that need an environment of their own: ``python -m tests.clients.environments`` installs what is missing.

They are named by their section of ``docs/clients.md``. None of them would install beside the tests' own packages, or
each would bring hundreds; so each gets a folder in the environment that runs the tests, which ``make clean`` removes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(sys.prefix) / "clients"
AS_OF: Final = "2026-11-28"  # what the clients bring is not newer than the pins below
PYTHONS: Final = ">=3.11,<3.13"  # aider takes no newer one
LIMIT: Final = 280.0  # seconds for all together
SIDE_BY_SIDE: Final = 4


@dataclass(frozen=True)
class Environment:
    """Packages of one client, as ``name==version`` of Python's index or ``name@version`` of npm's."""

    packages: Sequence[str]

    @property
    def of_node(self) -> bool:
        return "==" not in self.packages[0]

    @property
    def folder(self) -> Path:
        """Where it lies; other versions lie elsewhere."""
        sort = hashlib.sha256(repr((self.packages, AS_OF, PYTHONS)).encode()).hexdigest()[:8]
        name = re.split("[=@]", self.packages[0].removeprefix("@"))[0].replace("/", "-")
        return ROOT / f"{name}-{sort}"

    @property
    def programs(self) -> Path:
        """Where its commands lie."""
        return self.folder / ("node_modules/.bin" if self.of_node else "bin")

    @property
    def stamp(self) -> Path:
        """A file that is there once all is installed."""
        return self.folder / ".installed"

    @property
    def commands(self) -> list[list[str]]:
        """What installs it: npm, or uv from the environment that runs the tests."""
        if self.of_node:
            npm = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--loglevel=error"]
            return [[*npm, f"--prefix={self.folder}", f"--before={AS_OF}T23:59:59Z", *self.packages]]
        uv = str(Path(sys.executable).parent / "uv")
        into = ["--python", str(self.programs / "python"), "--exclude-newer", f"{AS_OF}T23:59:59Z"]
        return [
            [uv, "venv", "--quiet", "--python", PYTHONS, str(self.folder)],
            [uv, "pip", "install", "--quiet", "--system-certs", *into, *self.packages],
        ]


ENVIRONMENTS: Final = {
    "AI SDK": Environment(
        (
            *("ai@6.0.326", "@ai-sdk/openai-compatible@2.0.92"),
            *("@ai-sdk/openai@3.0.139", "@ai-sdk/anthropic@3.0.139"),
        )
    ),
    "OpenAI Agents SDK": Environment(("openai-agents==0.24.0",)),
    "LangChain": Environment(
        (
            *("langchain-openai==1.7.4", "langchain-anthropic==1.7.10", "langchain-google-genai==4.4.3"),
            *("langchain-cohere==0.6.0", "langchain-aws==1.9.1"),
        )
    ),
    "LlamaIndex": Environment(
        ("llama-index-llms-openai-like==0.8.1", "llama-index-embeddings-openai==0.7.0")
    ),
    "CrewAI": Environment(("crewai==1.15.30",)),
    "Haystack": Environment(("haystack-ai==3.4.1",)),
    "opencode": Environment(("opencode-ai@1.18.33",)),
    "Cline": Environment(("cline@3.0.65",)),
    "Continue": Environment(("@continuedev/cli@1.5.47",)),
    "Qwen Code": Environment(("@qwen-code/qwen-code@0.15.10",)),
    "aider": Environment(("aider-chat==0.86.2",)),
}


def main() -> int:
    """Install what is not there, several side by side; print what each took, or why it failed."""
    missing = {name: env for name, env in ENVIRONMENTS.items() if not env.stamp.exists()}
    end = time.monotonic() + LIMIT
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        faults = pool.map(lambda row: install(*row, end=end), missing.items())
    return int(any(fault is not None for fault in list(faults)))


def install(name: str, environment: Environment, *, end: float) -> str | None:
    """Install one until ``end`` (of the monotonic clock), and print and return what went wrong."""
    began = time.monotonic()
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.folder.parent.mkdir(exist_ok=True)
    for command in environment.commands:
        if (fault := _run(command, end - time.monotonic())) is not None:
            print(f"{name}: {fault}", file=sys.stderr, flush=True)
            return fault
    environment.stamp.touch()
    print(f"{name}: {time.monotonic() - began:.0f} s, {_size(environment.folder)} MB", flush=True)
    return None


def _run(command: Sequence[str], seconds: float) -> str | None:
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"not installed after {LIMIT:.0f} s"
    return None if result.returncode == 0 else f"{result.stdout}{result.stderr}".strip()


def _size(folder: Path) -> int:
    """Return megabytes; files that lie in uv's cache as well are counted, too."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
