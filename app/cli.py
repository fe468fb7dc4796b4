"""The command ``sluice``: start the server, check the configuration, prepare the database.

Exit codes: 0 for success, 1 for a failure or a warning, 2 for a wrong command
line or configuration.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app import __version__, terminal
from app.config_loading import ConfigError, load
from app.terminal.output import Refusal

if TYPE_CHECKING:
    from app.config import Settings

_ROOT: Final = Path(__file__).resolve().parent.parent
_DOUBTFUL: Final = 1
_WRONG: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _expect_any_text()
    parser = _parser()
    options, rest = parser.parse_known_args(_words() if arguments is None else arguments)
    if rest and options.run is not _serve:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
    except ConfigError as error:
        return _refuse(f"{place}: {sentence}" for place, sentence in error.faults)
    except Refusal as refusal:
        _refuse(str(refusal).splitlines())
        return refusal.code
    except BrokenPipeError:  # the reader has closed the pipe (`sluice calls | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit does not flush it
        return _DOUBTFUL
    return code


def _refuse(sentences: Iterable[str]) -> int:
    for sentence in sentences:
        print(f"sluice: {sentence}", file=sys.stderr)
    return _WRONG


def _expect_any_text() -> None:
    """Escape characters that the terminal's encoding lacks (``\\xe4``), and read UTF-8 in any locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")


def _words() -> list[str]:
    """Return the command line decoded as UTF-8 in any locale."""
    return [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice", description="An LLM gateway: many APIs, sixteen providers."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="command")
    verbs.add_parser("serve", help="serve under gunicorn; its own options may follow").set_defaults(
        run=_serve
    )
    for name, run, help_text in (
        ("check-config", _check_config, "check the configuration and show it as loaded"),
        ("worker", _work, "run background responses only, until stopped"),
        ("models", _models, "list the models that the configured providers offer now"),
        ("db", _prepare_database, "create or migrate the database, or re-encrypt its contents"),
    ):
        verb = verbs.add_parser(name, help=help_text)
        if name == "db":
            verb.add_argument("action", choices=["upgrade", "reencrypt"])
        verb.add_argument(*terminal.CONFIG[0], **terminal.CONFIG[1])
        verb.set_defaults(run=run)
    verbs.choices["models"].add_argument("--provider", help="only this provider; its failure is shown")
    terminal.add_verbs(verbs)
    completion = verbs.add_parser("completion", help="print a script that completes commands in a shell")
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])
    completion.set_defaults(run=partial(_complete, parser))
    verbs.add_parser("version", help="show the version").set_defaults(run=_version)
    return parser


def _serve(args: argparse.Namespace) -> int:
    """Replace this process by gunicorn, started as in production (``gunicorn -c gunicorn.conf.py wsgi:app``)."""
    settings_file = _ROOT / "gunicorn.conf.py"
    if not settings_file.exists():
        raise Refusal(f"serving needs a checkout: {settings_file} does not exist", 1)
    command = [sys.executable, "-m", "gunicorn", "-c", str(settings_file), "--pythonpath", str(_ROOT)]
    os.execv(sys.executable, [*command, *args.rest, "wsgi:app"])


def _check_config(args: argparse.Namespace) -> int:
    from app.bind_address import ServingError, resolve_bind
    from app.config_loading.display import describe
    from app.diagnostics.configuration import advice_of
    from app.providers.registry import configured_names

    faults: list[tuple[str, str]] = []
    sound: Settings | None
    try:
        sound = load(os.environ, args.config)
    except ConfigError as error:
        faults += error.faults
        sound = error.sound
    advice: list[tuple[str, str]] = []
    if sound is not None:
        try:
            resolve_bind(sound)
        except ServingError as error:
            faults.append(("server.host", str(error)))
        advice = advice_of(sound, os.environ)
    code = _refuse(f"{place}: {sentence}" for place, sentence in [*faults, *advice])
    if faults or sound is None:
        return code
    for line in describe(sound, configured_names(sound)):
        print(line)
    return _DOUBTFUL if advice else 0


def _work(args: argparse.Namespace) -> int:
    from app.bind_address import ServingError, resolve_host
    from app.config_loading import scrub_environ
    from app.gateway import worker

    settings = load(os.environ, args.config)
    try:
        address = None if settings.worker_port is None else (resolve_host(settings), settings.worker_port)
    except ServingError as error:
        raise Refusal(str(error)) from error
    scrub_environ(os.environ, settings)
    return worker.run(settings, address)


def _models(args: argparse.Namespace) -> int:
    from app.errors import GatewayError
    from app.gateway.call import Principal
    from app.gateway.listing import Catalogue
    from app.gateway.router import Registry, Router
    from app.providers.registry import all_names, configured_names, make_provider
    from app.terminal.progress import line
    from app.wire.egress import Egress

    settings = load(os.environ, args.config)
    egress = Egress(settings.environ)
    registry = Registry(
        all_names(settings), configured_names(settings), lambda name: make_provider(name, settings, egress)
    )
    router = Router(registry, settings.aliases, lambda provider, model: False)
    try:
        with line("asking the providers"):
            catalogue = Catalogue(registry, settings, router.resolve)
            models = catalogue.models(Principal("cli", "default"), args.provider)
    except GatewayError as error:
        raise Refusal(error.message, 1) from error
    for model in models:
        print(model.id)
    return 0


def _prepare_database(args: argparse.Namespace) -> int:
    from app.errors import GatewayError
    from app.state.database import Database
    from app.terminal.progress import line

    settings = load(os.environ, args.config)
    try:
        if args.action == "reencrypt":
            return _reencrypt(settings)
        with line("preparing the database"):
            Database.open(settings.database_url).close()
    except GatewayError as error:
        raise Refusal(f"the database could not be prepared: {error.raw}", 1) from error
    print("the database is up to date")
    return 0


def _reencrypt(settings: "Settings") -> int:
    """Rewrite stored contents with the current encryption settings."""
    from app.state.cipher import Cipher
    from app.state.crypto import load_keys, sealing_variables
    from app.state.database import Database
    from app.state.reencryption import reencrypt
    from app.state.sqlite import compact
    from app.terminal.progress import line

    db = Database.open(settings.database_url)
    keys = load_keys(sealing_variables(key.reveal() for key in settings.secret_keys), db.url)
    cipher = Cipher(keys, seals=settings.encrypt)
    db.seal(cipher)
    with line("sealing anew") as progress:
        count = reencrypt(db, cipher, lambda name, seen, total: progress.update(seen, total, name))
    db.close()
    if not db.is_postgres:
        with line("compacting the file"):
            compact(str(db.url.database))
    print(f"{count} rows are {'sealed with the first key' if settings.encrypt else 'open'} now")
    return 0


def _complete(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from app.terminal.completion import script

    print(script(parser, args.shell), end="")
    return 0


def _version(args: argparse.Namespace) -> int:
    print(__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
