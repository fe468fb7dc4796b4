"""``make reliability``: count what the gateway survives, and write the table of docs/reliability.md.

Nothing here is a judgement of its own: it runs the tests of faults and secrets, the kill loop, the fuzz
and the guards, and counts.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Final  # noqa: E402

from tests import __main__ as groups  # noqa: E402
from tests import guards  # noqa: E402
from tests.fuzz import fuzz  # noqa: E402
from tests.lifecycle.kill_loop import fire  # noqa: E402

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
TABLE: Final = re.compile(r"(?<=<!-- written by make reliability -->\n).*?(?=<!-- end -->)", re.DOTALL)
_FAULTS: Final = (
    "tests/behaviour/test_faults_before_content.py",
    "tests/behaviour/test_faults_in_streams.py",
    "tests/behaviour/test_faults_of_connections.py",
    "tests/behaviour/test_cuts_of_every_wire.py",
)
_SECRETS: Final = ("tests/behaviour/test_secrets.py",)

Row = tuple[str, str, int, int]
"""What was done, how it is counted, how often, and how often it went wrong."""


def rows(seconds: int) -> Iterator[Row]:
    """Yield the rows of the table; the kill loop and the fuzz take ``seconds`` each."""
    yield ("faults of providers and networks", "each met by a test at the HTTP edge", *_counted(_FAULTS))
    loop, lost = fire(seconds, None, 1)
    yield (
        "processes killed under load",
        f"{len(loop.promises)} acknowledged things looked for",
        loop.kills,
        len(lost),
    )
    yield (
        "answers searched for secrets",
        "canaries in answers, headers, streams, log, files",
        *_counted(_SECRETS),
    )
    found = fuzz(seconds)
    yield (
        "inputs by Schemathesis",
        "no 5xx, nothing without a key",
        found.inputs,
        found.faults + (not found.held),
    )
    noticed = [failed for _, failed in guards.run()]
    yield "guards turned off", "a test notices each", len(noticed), noticed.count(None)


def _counted(paths: tuple[str, ...]) -> tuple[int, int]:
    """Return how many tests ran, and how many failed."""
    counts = {word: int(number) for number, word in groups.COUNT.findall(groups.run_group(paths).stdout)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    return counts.get("passed", 0) + failed, failed


def main() -> int:
    """Count everything, write the table, and fail if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    counted = list(rows(parser.parse_args().seconds))
    lines = ["| what | how | number | failed |", "|---|---|---|---|"]
    lines += [f"| {what} | {how} | {number:,} | {failed} |" for what, how, number, failed in counted]
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda found: "\n".join(["", *lines, "", ""]), text), encoding="utf-8")
    print("\n".join(lines))
    return 1 if any(failed for *_, failed in counted) else 0


if __name__ == "__main__":
    sys.exit(main())
