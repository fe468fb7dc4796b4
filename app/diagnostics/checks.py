"""Checks of configuration, database, Redis, folders, port, providers and clock: findings with remedies.

Nothing is changed, and providers are asked for their list of models only. Tests: tests/terminal/test_doctor.py.
"""

from __future__ import annotations

import http.client
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gevent.pool import Pool

from app.bind_address import LOOPBACK, ServingError, is_protected, resolve_host
from app.config import Settings
from app.config_loading.faults import shown_path
from app.diagnostics.clock import Clock
from app.diagnostics.configuration import advice_of, risks_of
from app.diagnostics.findings import Finding, fail, is_well, note, ok, warn
from app.errors import GatewayError
from app.providers import row_of
from app.providers.base import Provider
from app.providers.registry import configured_names, make_provider
from app.wire.egress import Clocks, Egress

if TYPE_CHECKING:
    from app.state.database import Database

_AT_ONCE: Final = 8
"""Providers asked at the same time; one that does not answer takes twenty seconds."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings in the order in which one would mend them."""
    clock = Clock()
    yield from _configuration(settings)
    yield from _database(settings, clock)
    yield from _redis(settings, clock)
    yield from _folders(settings)
    yield from _port(settings)
    yield from _providers(settings, clock)
    yield clock.finding()


def _configuration(settings: Settings) -> Iterator[Finding]:
    counts = {
        shown_path(("providers", name, *more)) for name in settings.providers for more in ((), ("base_url",))
    }
    advice = [
        (place, sentence) for place, sentence in advice_of(settings) if place not in counts
    ]  # checked below
    found = [*(warn(place, sentence) for place, sentence in advice), *risks_of(settings)]
    yield from found
    if is_well(found):
        yield ok("configuration", "is valid")
    if not is_protected(settings):
        yield note(
            "keys",
            "no client key is set, so only this machine is served; create one with `sluice keys new NAME`",
        )


# --- the database -----------------------------------------------------------------------------------


def _database(settings: Settings, clock: Clock) -> Iterator[Finding]:
    from app.state import migrations
    from app.state.database import Database, condition, parse_url

    url = parse_url(settings.database_url)
    try:
        sentence = condition(settings.database_url)
        revision = migrations.find_revision(url)
    except GatewayError as error:
        yield fail("database", str(error.raw), _database_remedy(url.get_backend_name()))
        return
    if url.get_backend_name() == "sqlite" and (fault := _unwritable(Path(url.database or "").parent)):
        yield fail(
            "database", f"{url.database} cannot be written: {fault}", "make the folder writable for this user"
        )
        return
    if revision is not None and not migrations.is_ours(revision):
        yield fail(
            "database", f"{url.database} was migrated by a newer version of Sluice", "install that version"
        )
        return
    if revision not in (None, migrations.HEAD):
        yield warn("database", sentence)
        return
    yield ok("database", sentence)
    if revision is None:
        return
    db = Database(url)
    try:
        clock.compare("the database", _database_time(db))
        if count := _keys_under_older_secrets(db, settings):
            yield note(
                "keys",
                f"{count} are hashed with an older secret of SLUICE_SECRET_KEY and have not been used since",
            )
    finally:
        db.close()


def _database_remedy(backend: str) -> str:
    if backend == "sqlite":
        return "check DATABASE_URL and whether this user may write there"
    return "check DATABASE_URL: host, port, user, password and name, and whether the server runs"


def _database_time(db: Database) -> float | None:
    """Return the server's Unix seconds; None for a file, which uses this machine's clock."""
    if not db.is_postgres:
        return None
    from sqlalchemy import text

    ask = text("SELECT extract(epoch FROM now())")
    return float(db.read(lambda connection: connection.execute(ask).scalar_one()))


def _keys_under_older_secrets(db: Database, settings: Settings) -> int:
    """Count the keys that stop working when the operator removes the older secrets."""
    from app.state.key_format import Hasher
    from app.state.keys import Keys
    from app.state.signals import Signals
    from app.state.wakeups import Wakeups

    if not settings.secret_keys:
        return 0
    hasher = Hasher([key.reveal() for key in settings.secret_keys])
    return Keys(Signals(db, Wakeups()), hasher).under_older_secrets()


def _unwritable(folder: Path) -> str | None:
    """Return why ``folder`` cannot be written, None if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


# --- the machine --------------------------------------------------------------------


def _redis(settings: Settings, clock: Clock) -> Iterator[Finding]:
    from app.gateway.limits.redis_windows import condition

    if settings.redis_url is None:
        return
    answers, sentence, now = condition(settings.redis_url)
    clock.compare("Redis", now)
    if answers:
        yield ok("redis", sentence)
        return
    refused = any(word in sentence for word in ("WRONGPASS", "NOAUTH", "AUTH", "password", "NOPERM"))
    remedy = (
        "check the user and the password in REDIS_URL"
        if refused
        else "check REDIS_URL and whether Redis runs"
    )
    yield fail("redis", sentence, remedy)


def _folders(settings: Settings) -> Iterator[Finding]:
    if settings.spool is not None:
        folder = Path(settings.spool)
        there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
        if fault := _unwritable(there):
            yield fail("spool", f"{folder} cannot be written: {fault}", "check SLUICE_SPOOL")
    if fault := _unwritable(Path(tempfile.gettempdir())):
        yield fail("temporary files", fault, "free space, or set TMPDIR")


def _port(settings: Settings) -> Iterator[Finding]:
    try:
        host = resolve_host(settings)
    except ServingError as error:
        yield fail("port", str(error))
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, settings.port))
        except OSError as error:
            yield _port_in_use(host, settings.port, error)
            return
    yield ok("port", f"{host}:{settings.port} is free")


def _port_in_use(host: str, port: int, error: OSError) -> Finding:
    address = f"{host}:{port}"
    if _is_ours(LOOPBACK if host in ("0.0.0.0", "::") else host, port):
        return ok("port", f"a gateway answers at {address}")
    reason = error.strerror or str(error)
    return fail(
        "port", f"{address} cannot be listened on: {reason}", "stop the process that holds it, or set PORT"
    )


def _is_ours(host: str, port: int) -> bool:
    """Tell whether a gateway answers at this address."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/")
        return b'"sluice"' in connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# --- providers --------------------------------------------------------------------------------------


def _providers(settings: Settings, clock: Clock) -> Iterator[Finding]:
    egress = Egress(settings.environ)
    names = [name for name in configured_names(settings) if not row_of(name).always]
    if not names:
        yield note("providers", "none is configured but the built-in ones; set a key, such as OPENAI_API_KEY")

    def ask(name: str) -> list[Finding]:
        return list(_provider(name, make_provider(name, settings, egress), clock))

    pool = Pool(_AT_ONCE)
    try:
        for findings in pool.imap(ask, names):
            yield from findings
    finally:
        pool.kill(block=False)  # the reader may have stopped early
    for name in settings.providers:
        if name not in names and (lack := make_provider(name, settings, egress).lack()):
            yield fail(name, lack)


def _provider(name: str, provider: Provider, clock: Clock) -> Iterator[Finding]:
    """Yield for each key whether the provider lists its models."""
    wire = provider.wire("models", "")
    if wire is None:
        yield note(name, "has no list of models")
        return
    for key in provider.keys(""):
        label = f"key {key.name}" if key else "without a key"
        try:
            outgoing = provider.outgoing(wire, key, "", None)
            upstream = provider.transport.open(
                outgoing.method,
                outgoing.url,
                outgoing.headers,
                None,
                clocks=Clocks(10, 20, 20, 30),
                stream=False,
            )
            upstream.close()
        except GatewayError as error:
            yield _unreachable(name, label, error)
            continue
        clock.compare_header(name, upstream.headers.get("date"))
        yield _refusal(name, label, upstream.status, provider)


def _unreachable(name: str, label: str, error: GatewayError) -> Finding:
    cause = f" ({error.raw})" if isinstance(error.raw, str) else ""
    step, remedy = _STEPS.get(error.kind.name, _CONNECTION)
    return fail(name, f"{label}: {step}: {error.message}{cause}", remedy)


def _refusal(name: str, label: str, status: int, provider: Provider) -> Finding:
    sentence = f"{label}: answers with status {status}"
    if status < 400:
        return ok(name, sentence)
    if status == 404 and (path := provider.missing_path()):
        return fail(
            name, f"{sentence}: the base URL has no path", f"such an API is usually served below {path}"
        )
    why, remedy = _STATUSES.get(status, ("", "check the provider's status page"))
    return fail(name, f"{sentence}{why}", remedy)


_CONNECTION: Final = ("connection", "check its base URL and whether a firewall or a proxy blocks the way")
_STEPS: Final = {
    # kind of error: what to look at, and the remedy
    "upstream_dns": ("DNS", "check the host in its base URL and this machine's name servers"),
    "upstream_tls": (
        "TLS",
        "check its base URL; add its certificate authority with ca_bundle or SSL_CERT_FILE",
    ),
    "egress_proxy": ("proxy", "check HTTPS_PROXY, NO_PROXY and the provider's own proxy"),
    "upstream_auth": ("authentication", "renew its key"),
    "bad_request": ("key", "check its key for line breaks and characters outside ASCII"),
    "provider_not_configured": ("configuration", "set the missing members"),
    "upstream_timeout": ("time", "check whether a firewall drops its packets"),
}
_STATUSES: Final = {
    401: (": authentication: it rejects this key", "renew the key"),
    403: (": authentication: this key may not do that", "give the key the right to list models"),
    404: (": there is nothing at that path", "check its base URL"),
    407: (": proxy: it requires a user and a password", "write http://user:password@host in the proxy's URL"),
    429: (": it limits this key's rate", "wait, or ask for a higher limit"),
}
