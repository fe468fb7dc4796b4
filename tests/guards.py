"""``make guards``: turn each guard off, one at a time, and show which test then fails.

A guard is a few characters of the product. Each run takes a copy of the checkout, writes a guard out
of it and runs the test that is named for it: where that passes nevertheless, nobody watches the guard.
``tests/test_guards.py`` holds the list to the source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.environment import clean

ROOT: Final = Path(__file__).resolve().parent.parent
SECONDS: Final = 90  # that one test may take; one that hangs without its guard has failed, too
_WHAT_IS_COPIED: Final = ("app", "tests", "gunicorn.conf.py", "wsgi.py", "ruff.toml", "setup.cfg", "setup.py")


@dataclass(frozen=True)
class Guard:
    """What it prevents, where it stands, what it is written as without it, and the test that notices."""

    prevents: str
    file: str
    text: str
    without: str
    test: str


GUARDS: Final = (
    Guard(
        "a web page calls a gateway without keys",
        "app/surfaces/application.py",
        "    browsers.check(request)\n",
        "",
        "tests/surfaces/test_browsers.py::test_without_keys_only_this_machine_is_served",
    ),
    Guard(
        "a wrong key is served",
        "app/surfaces/credentials.py",
        '        raise GatewayError("unauthenticated", "Incorrect API key provided.")\n',
        "        return OPEN_PRINCIPAL\n",
        "tests/behaviour/test_attacks.py::test_a_wrong_key_is_401_in_the_surfaces_words",
    ),
    Guard(
        "one tenant reads another's responses",
        "app/state/rows.py",
        '    response.c.tenant == bindparam("of_tenant"),\n    response.c.deleted_at',
        '    or_(response.c.tenant == bindparam("of_tenant"), response.c.tenant.is_not(None)),\n    response.c.deleted_at',
        "tests/behaviour/test_attacks.py::test_another_tenants_objects_are_missing_ones",
    ),
    Guard(
        "the server binds beyond loopback without keys",
        "app/bind_address.py",
        "    if not protected and not is_loopback(host):\n",
        "    if False:\n",
        "tests/test_bind_address.py::test_nothing_beyond_loopback_is_bound_without_keys",
    ),
    Guard(
        "a client's member steers the call",
        "app/surfaces/body/forbidden_members.py",
        "    return name in FORBIDDEN or",
        "    return False and",
        "tests/behaviour/test_attacks.py::test_members_that_would_redirect_a_call_do_nothing",
    ),
    Guard(
        "a form's field steers the call",
        "app/surfaces/views/media.py",
        "    fields = [(name, value) for name, value in fields if not is_forbidden(name)]\n",
        "",
        "tests/behaviour/test_forms.py::test_fields_that_would_redirect_a_call_do_nothing",
    ),
    Guard(
        "a model's name leaves its segment of the path",
        "app/wire/paths.py",
        "    if not value.isprintable() or not forbidden.isdisjoint(value):\n",
        "    if False:\n",
        "tests/wire/test_paths.py::test_what_would_change_the_path_is_a_bad_request",
    ),
    Guard(
        "deep JSON is built",
        "app/wire/json.py",
        "    if depth_of(structure) > MAX_DEPTH:\n        raise _refusal",
        "    if False:\n        raise _refusal",
        "tests/wire/test_json.py::test_depth_100_is_taken_and_101_refused",
    ),
    Guard(
        "a second model passes unseen",
        "app/wire/json.py",
        "        _check_duplicates(data, value)\n",
        "        pass\n",
        "tests/wire/test_json.py::test_a_governing_member_may_stand_once",
    ),
    Guard(
        "a compressed body inflates without end",
        "app/surfaces/body/decompression.py",
        "        if room < 0:\n",
        "        if False:\n",
        "tests/behaviour/test_compressed_bodies.py::test_a_bomb_is_413",
    ),
    Guard(
        "a compressed body is made of countless members",
        "app/surfaces/body/decompression.py",
        "    if sum(map(data.count, row.marks)) > _MAX_MEMBERS:\n",
        "    if False:\n",
        "tests/behaviour/test_compressed_bodies.py::test_a_broken_one_is_400_and_says_what_is_wrong",
    ),
    Guard(
        "a secret reaches a client in a provider's words",
        "app/gateway/redaction.py",
        "        error.message = self.text(error.message)\n",
        "",
        "tests/behaviour/test_secrets.py::test_a_long_piece_of_a_secret_stays_out_of_every_member_and_the_log",
    ),
    Guard(
        "a piece of a secret reaches a client",
        "app/gateway/redaction.py",
        "self._without_fragments(self._pattern.sub(_MASK, text))",
        "self._pattern.sub(_MASK, text)",
        "tests/behaviour/test_secrets.py::test_a_long_piece_of_a_secret_stays_out_of_every_member_and_the_log",
    ),
    Guard(
        "an encrypted key asks on a terminal",
        "app/wire/tls.py",
        ", password=_passphrase)",
        ", password='')",
        "tests/wire/test_egress_tls.py::test_an_encrypted_key_is_refused_and_nobody_is_asked",
    ),
    Guard(
        "warnings grow with the request",
        "app/dialects/shared/losses.py",
        "        if len(self._items) < MAX_LOSSES:\n",
        "        if True:\n",
        "tests/dialects/test_growth.py::test_warnings_are_told_up_to_a_number_and_then_counted",
    ),
    Guard(
        "a namespace's description is written for each tool",
        "app/dialects/responses/tools_in.py",
        "                about = about if len(about) <= room else None\n",
        "                pass\n",
        "tests/dialects/test_growth.py::test_a_long_description_of_a_namespace_is_not_written_for_each_of_its_tools",
    ),
)


def watched(guard: Guard, folder: Path) -> str | None:
    """Run a guard's test without it in the checkout at ``folder``; return what failed, None for nothing."""
    file = folder / guard.file
    text = file.read_text()
    file.write_text(text.replace(guard.text, guard.without, 1))
    try:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", guard.test],
            cwd=folder,
            env=clean(os.environ) | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{guard.test} (it did not end)"
    finally:
        file.write_text(text)
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED ")]
    return failed[0].removeprefix("FAILED ").partition(" - ")[0] if failed else None


def run() -> Iterator[tuple[Guard, str | None]]:
    """Yield each guard and what failed without it."""
    with tempfile.TemporaryDirectory(prefix="sluice-guards-") as name:
        folder = Path(name)
        for part in _WHAT_IS_COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        for guard in GUARDS:
            yield guard, watched(guard, folder)


def main() -> int:
    """Turn each guard off; fail if nothing noticed one."""
    unnoticed = 0
    for guard, failed in run():
        print(
            f"{'noticed' if failed else 'UNNOTICED':9}  {guard.prevents}\n           {failed or guard.test}",
            flush=True,
        )
        unnoticed += failed is None
    print(f"{len(GUARDS)} guards, {unnoticed} unnoticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
