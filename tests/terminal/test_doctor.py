"""``sluice doctor`` names what is wrong, with a remedy, on one line: each fault is made on purpose."""

from __future__ import annotations

import json
import os
import re
import resource
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import gevent
import psycopg
import pytest

from app import cli
from app.diagnostics.clock import Clock
from app.state.audit import Actor
from app.state.keys import StoredKey
from app.state.state import open_state
from tests import environment
from tests.running import ROOT, free_port
from tests.services import new_postgres, own_redis
from tests.wire.certificates import make_authority
from tests.wire.servers import always, answer, serving

CANARY = "c4n4ry-0f-a-s3cr3t"
POSTGRES = os.environ.get("SLUICE_TEST_POSTGRES_URL", "")  # before it is taken away


@dataclass
class Bed:
    """A patient's folder and surroundings; what a case needs of the world is started here."""

    folder: Path
    stack: ExitStack
    env: dict[str, str] = field(default_factory=dict)
    config: str = ""

    def provider(self, data: bytes = b"", *, tls: Any = None, scheme: str = "http") -> str:
        """Start a provider that answers all alike; return its base URL."""
        reply = data or answer(b"{}", headers=("Content-Type: application/json", f"Date: {formatdate()}"))
        return self.stack.enter_context(serving(always(reply), tls=tls)).url("/v1", scheme=scheme)


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.chdir(tmp_path)
    for name in environment.STEERING:
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        _limit_files(stack, None)
        yield Bed(tmp_path, stack, {"PORT": str(free_port())})


def _limit_files(stack: ExitStack, count: int | None) -> None:
    """Let this process open so many files (None: as many as it may) until ``stack`` ends."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count or limits[1], limits[1]))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)


# --- what is done to each ---------------------------------------------------------------------------


def behind(bed: Bed) -> None:
    assert cli.main(["db", "upgrade"]) == 0
    with sqlite3.connect(bed.folder / "sluice.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '0001'")


def newer(bed: Bed) -> None:
    with sqlite3.connect(bed.folder / "sluice.db") as db:
        db.execute("CREATE TABLE alembic_version (version_num TEXT)")
        db.execute("INSERT INTO alembic_version VALUES ('9999')")


def port_in_use(bed: Bed) -> None:
    other = bed.stack.enter_context(socket.socket())
    other.bind(("127.0.0.1", 0))
    other.listen()
    bed.env["PORT"] = str(other.getsockname()[1])


def redis_password(bed: Bed) -> None:
    url, _ = bed.stack.enter_context(own_redis())
    bed.env["REDIS_URL"] = url.replace("//", f"//user:{CANARY}@")


def refused_key(bed: Bed) -> None:
    base = bed.provider(answer(b"{}", status="401 Unauthorized"))
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": base}


def forbidden_key(bed: Bed) -> None:
    base = bed.provider(answer(b"{}", status="403 Forbidden"))
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": base}


def no_path(bed: Bed) -> None:
    base = bed.provider(answer(b"{}", status="404 Not Found"))
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": base.removesuffix("/v1")}


def unknown_authority(bed: Bed) -> None:
    authority = make_authority(bed.folder)
    base = bed.provider(tls=authority.server_context("127.0.0.1"), scheme="https")
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": base}


def wrong_clock(bed: Bed) -> None:
    late = answer(b"{}", headers=(f"Date: {formatdate(time.time() - 3600)}",))
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": bed.provider(late)}


def sign_in_page(bed: Bed) -> None:
    page = answer(b"<html>Sign in</html>", headers=("Content-Type: text/html",))
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": bed.provider(page)}


def operation_path(bed: Bed) -> None:
    base = bed.provider(answer(b"{}", status="404 Not Found"))
    bed.env |= {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": f"{base}/chat/completions"}


def deployment_path(bed: Bed) -> None:
    base = bed.provider(answer(b"{}", status="404 Not Found")).removesuffix("/v1")
    bed.env |= {
        "AZURE_API_KEY": CANARY,
        "AZURE_OPENAI_ENDPOINT": f"{base}/openai/deployments/x/chat/completions",
    }


def itself(bed: Bed) -> None:
    base = bed.provider(answer(b'{"name":"sluice"}', status="401 Unauthorized"))
    bed.env |= {
        "OPENAI_API_KEY": CANARY,
        "OPENAI_BASE_URL": base,
        "PORT": base.split(":")[2].removesuffix("/v1"),
    }


def redis_database(bed: Bed) -> None:
    url, _ = bed.stack.enter_context(own_redis())
    bed.env["REDIS_URL"] = f"{url}99"


def few_files(bed: Bed) -> None:
    _limit_files(bed.stack, 512)


def lost_tenant(bed: Bed) -> None:
    state = open_state(f"sqlite:///{bed.folder / 'sluice.db'}", {"SLUICE_SECRET_KEY": LONG})
    for tenant in ("team", "gone"):
        key = StoredKey("", tenant, "bob", "", True, None, {}, 0)
        state.keys.create(Actor("master", "admin", "127.0.0.1"), key)
    state.stop()
    bed.env["SLUICE_SECRET_KEY"] = LONG
    bed.config = "[tenants.team]\n"


def lost_secret(bed: Bed) -> None:
    lost_tenant(bed)
    bed.env["SLUICE_SECRET_KEY"] = LONG[::-1] + "y"
    bed.config = "[tenants.team]\n[tenants.gone]\n"


def no_base(bed: Bed) -> None:
    bed.env["AZURE_API_KEY"] = CANARY


def unsigned_alerts(bed: Bed) -> None:
    bed.env["SLUICE_ALERT_URL"] = bed.provider()


def key_that_reads(text: str) -> Any:
    return lambda bed: bed.env.update({"OPENAI_API_KEY": text, "OPENAI_BASE_URL": bed.provider()})


def set_env(**env: str) -> Any:
    return lambda bed: bed.env.update(env)


def write(config: str, **env: str) -> Any:
    def change(bed: Bed) -> None:
        bed.config = config
        bed.env.update(env)

    return change


LONG = "x" * 40
CASES: dict[str, tuple[Any, int, str]] = {
    # what is wrong: what makes it so, exit code, how its line begins and what it has to say
    "database of another kind": (set_env(DATABASE_URL="mysql://h/d"), 2, "DATABASE_URL: must be a sqlite"),
    "database away": (
        set_env(DATABASE_URL=f"postgres://u:{CANARY}@127.0.0.1:1/d", SLUICE_SECRET_KEY=LONG),
        1,
        "fail  database: .*Connection refused.*; check DATABASE_URL",
    ),
    "no folder": (
        set_env(DATABASE_URL="sqlite:////no/such/x.db"),
        1,
        "fail  database: .*/no/such does not exist",
    ),
    "unwritable folder": (
        set_env(DATABASE_URL="sqlite:////proc/x.db"),
        1,
        "fail  database: /proc/x.db cannot be written",
    ),
    "database behind": (behind, 1, "warn  database: .*is at revision 0001; `sluice db upgrade`"),
    "database of a newer version": (newer, 1, "fail  database: .*newer version.*; install"),
    "no secret for PostgreSQL": (
        set_env(DATABASE_URL="postgres://h/d"),
        2,
        "server.secret_keys: is required with PostgreSQL",
    ),
    "secret too short": (
        set_env(SLUICE_SECRET_KEY="abc"),
        1,
        "warn  SLUICE_SECRET_KEY: .*may be guessed; use 32",
    ),
    "sealed with a key beside it": (
        set_env(SLUICE_ENCRYPT="on"),
        1,
        "warn  SLUICE_ENCRYPT: .*; set SLUICE_SECRET_KEY",
    ),
    "weak master key": (set_env(SLUICE_MASTER_KEY="admin"), 1, "warn  SLUICE_MASTER_KEY: .*may be guessed"),
    "redis away": (
        set_env(REDIS_URL=f"redis://u:{CANARY}@127.0.0.1:1/0"),
        1,
        "fail  redis: does not answer.*; check REDIS_URL",
    ),
    "redis password": (redis_password, 1, "fail  redis: does not answer.*; check the user and the password"),
    "redis of another kind": (set_env(REDIS_URL="http://h"), 2, "REDIS_URL: must be a redis"),
    "port in use": (
        port_in_use,
        1,
        "fail  port: .* cannot be listened on: .*; stop the process that holds it, or set PORT",
    ),
    "no port": (set_env(PORT="http"), 2, "PORT: must be a port number"),
    "open to everyone": (
        set_env(SLUICE_HOST="0.0.0.0"),
        1,
        "fail  port: listening on 0.0.0.0 would serve everyone",
    ),
    "unknown provider": (
        write('[providers.opnai]\napi_key = "x"\n'),
        2,
        "providers.opnai.*did you mean 'openai'",
    ),
    "unknown member": (write("[server]\nprot = 1\n"), 2, "server.prot: is unknown; did you mean 'port'"),
    "no TOML": (write("[server\n"), 2, "sluice.toml.*"),
    "name of nobody": (
        write('[models."a"]\ntargets = [{ target = "opnai/x" }]\n'),
        1,
        "warn  models.a: 'opnai/x' matches no provider; did you mean 'openai'",
    ),
    "names in a circle": (
        write('[models."a"]\ntargets = [{ target = "b" }]\n[models."b"]\ntargets = [{ target = "a" }]\n'),
        2,
        "models.a: refers back to itself",
    ),
    "the same key twice": (
        set_env(SLUICE_KEYS=f"ann:{LONG},bob:{LONG}"),
        2,
        "SLUICE_KEYS: .*|keys.bob: has the same key as 'ann'",
    ),
    "a variable that is not set": (
        write('[keys.ann]\nkey = "env:NOWHERE"\n'),
        2,
        "keys.ann.key: names a variable that is not set",
    ),
    "a misspelt variable": (
        set_env(SLUICE_MASTR_KEY=CANARY),
        1,
        "warn  SLUICE_MASTR_KEY: is not a known variable; did you mean",
    ),
    "key refused": (refused_key, 1, "fail  openai: .*status 401: authentication: .*; renew the key"),
    "key may not": (
        forbidden_key,
        1,
        "fail  openai: .*status 403: authentication: .*; give the key the right",
    ),
    "base URL of this gateway": (
        itself,
        1,
        "fail  openai: the base URL is the address of this gateway itself; write that of the provider",
    ),
    "base URL of one deployment": (
        deployment_path,
        1,
        "fail  azure: .*the base URL ends with the path of an operation; take '/openai/deployments/x/chat/completions' off",
    ),
    "one port for server and worker": (
        lambda bed: bed.env.update(SLUICE_WORKER_PORT=bed.env["PORT"]),
        1,
        "warn  SLUICE_WORKER_PORT: is the server's port too; on one machine",
    ),
    "base URL without a path": (
        no_path,
        1,
        "fail  openai: .*has no path; such an API is usually served below /v1",
    ),
    "provider half set": (no_base, 1, "fail  azure: .*Set AZURE_OPENAI_ENDPOINT"),
    "host unknown": (
        set_env(OPENAI_API_KEY=CANARY, OPENAI_BASE_URL="http://no.such.host.invalid/v1"),
        1,
        "fail  openai: .*DNS: .*; check the host",
    ),
    "proxy refuses": (
        set_env(
            OPENAI_API_KEY=CANARY,
            OPENAI_BASE_URL="http://no.such.host.invalid/v1",
            HTTP_PROXY=f"http://u:{CANARY}@127.0.0.1:1",
        ),
        1,
        "fail  openai: .*proxy: .*; check HTTPS_PROXY",
    ),
    "authority unknown": (unknown_authority, 1, "fail  openai: .*TLS: .*; .*SSL_CERT_FILE"),
    "clock": (wrong_clock, 1, "warn  clock: is 36.. s ahead of that of openai; synchronise it with NTP"),
    "limits of many workers": (
        write('[server]\nlimits = [{ requests = 5, per = "day" }]\n', WEB_CONCURRENCY="3"),
        1,
        "warn  WEB_CONCURRENCY: each of 3 workers keeps its own share.*; set REDIS_URL",
    ),
    "alerts without a signature": (
        unsigned_alerts,
        1,
        "warn  SLUICE_ALERT_URL: receives unsigned messages; set SLUICE_ALERT_SECRET",
    ),
    "budget on a model without a price": (
        write(
            '[server]\nbudgets = [{ usd = 1, per = "day", models = "openai/no-such-model" }]\n',
        ),
        1,
        "warn  providers.openai.prices: budgets do not count 'openai/no-such-model'.*; set its price",
    ),
    "sign-in page of a network": (
        sign_in_page,
        1,
        "fail  openai: .*status 200, but without JSON; check its base",
    ),
    "base URL of one operation": (
        operation_path,
        1,
        "fail  openai: .*ends with the path of an operation; take '/chat/completions' off its end",
    ),
    "key with the header's word": (
        key_that_reads(f"Bearer {CANARY}"),
        1,
        "warn  providers.openai.keys.default: begins with 'Bearer'.*; write the key alone",
    ),
    "key in quotation marks": (
        key_that_reads(f'"{CANARY}"'),
        1,
        "warn  providers.openai.keys.default: has quotation marks around it; write the key alone",
    ),
    "client key of the administrator": (
        set_env(SLUICE_MASTER_KEY=LONG, SLUICE_KEYS=f"ann:{LONG}"),
        2,
        "SLUICE_KEYS: gives 'ann' the administrator's key .*; take another",
    ),
    "collector away": (
        set_env(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"),
        1,
        "warn  traces: 127.0.0.1:1 cannot be reached: .*; check OTEL_EXPORTER_OTLP_ENDPOINT",
    ),
    "receiver of alerts away": (
        set_env(SLUICE_ALERT_URL="http://127.0.0.1:1/x", SLUICE_ALERT_SECRET=LONG),
        1,
        "warn  alerts: 127.0.0.1:1 cannot be reached: .*; check SLUICE_ALERT_URL",
    ),
    "metrics that cannot be written": (
        set_env(SLUICE_METRICS="1", PROMETHEUS_MULTIPROC_DIR="/proc/x"),
        1,
        "fail  metrics: /proc/x cannot be written: .*; check PROMETHEUS_MULTIPROC_DIR",
    ),
    "no folder for temporary files": (
        set_env(TMPDIR="/no/such"),
        1,
        "warn  TMPDIR: is no folder, so .* is used; create it",
    ),
    "address of another machine": (
        set_env(SLUICE_HOST="192.0.2.1", SLUICE_MASTER_KEY=LONG),
        1,
        "fail  port: .*; set SLUICE_HOST to an address of this machine",
    ),
    "password cut at a slash": (
        set_env(DATABASE_URL=f"postgres://u:a@b/{CANARY}@h/d", SLUICE_SECRET_KEY=LONG),
        2,
        "DATABASE_URL: in the user or the password an '@' must be written %40",
    ),
    "number of Redis's database": (
        redis_database,
        1,
        "fail  redis: does not answer: DB index.*; correct the number",
    ),
    "few open files": (few_files, 1, "warn  open files: a process may open 512; .*; `ulimit -n 8000`"),
    "batches at nobody": (
        set_env(SLUICE_NATIVE_BATCHES="opnai"),
        1,
        "warn  SLUICE_NATIVE_BATCHES: names 'opnai', which is not a provider; correct",
    ),
    "profile of AWS that is not there": (
        write('[providers.bedrock.options]\nprofile = "nosuch"\n', AWS_CONFIG_FILE="/dev/null"),
        1,
        r"fail  bedrock: .*profile \(nosuch\) could not be found\. Check its profile, AWS_PROFILE",
    ),
    "tenant that keys are of is gone": (
        lost_tenant,
        1,
        "warn  keys: some are of tenants that are neither stored nor configured.*: gone; create these",
    ),
    "secret that keys were made under is lost": (
        lost_secret,
        1,
        "warn  keys: 2 are hashed with a secret that SLUICE_SECRET_KEY lacks.*; add that secret behind the first",
    ),
    "spool that cannot be written": (
        set_env(SLUICE_SPOOL="/proc/spool"),
        1,
        "fail  spool: .*; check SLUICE_SPOOL",
    ),
}


def examined(
    bed: Bed, change: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    """Return exit code and output of the doctor."""
    change(bed)
    for name, value in bed.env.items():
        monkeypatch.setenv(name, value)
    if bed.config:
        (bed.folder / "sluice.toml").write_text(bed.config)
    capsys.readouterr()
    code = cli.main(["doctor", *more])
    output = capsys.readouterr()
    assert CANARY not in output.out + output.err
    return code, output.out if "--json" in more else output.out + output.err


@pytest.mark.parametrize("name", CASES)
def test_the_doctor_names(
    name: str, bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected, words = CASES[name]
    code, shown = examined(bed, change, monkeypatch, capsys)
    pattern = words if expected == 1 else f"sluice: (.*: )?({words})"
    found = [line for line in shown.splitlines() if re.match(pattern, line)]
    assert found, shown
    assert code == expected, shown
    others = [line for line in shown.splitlines() if line.startswith(("warn", "fail")) and line not in found]
    assert others == []


@pytest.mark.parametrize("name", CASES)
def test_a_script_reads_the_same(
    name: str, bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected, _ = CASES[name]
    code, shown = examined(bed, change, monkeypatch, capsys, "--json")
    value = json.loads(shown)
    assert (code, value["object"], value["ok"]) == (expected, "examination", False)
    bad = [one for one in value["findings"] if one["state"] in ("warn", "fail")]
    assert bad
    assert all(set(one) == {"check", "state", "message", "remedy"} for one in value["findings"])


def test_a_sound_house_is_told_so(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sound(bed: Bed) -> None:
        url, _ = bed.stack.enter_context(own_redis())
        bed.env |= {
            "OPENAI_API_KEY": CANARY,
            "OPENAI_BASE_URL": bed.provider(),
            "REDIS_URL": url,
            "SLUICE_KEYS": f"ann:{LONG}",
            "SLUICE_SECRET_KEY": LONG,
            "SLUICE_HOST": "127.0.0.1",
        }

    code, shown = examined(bed, sound, monkeypatch, capsys)
    assert [line.partition(":")[0] for line in shown.splitlines()] == [
        *(f"ok    {name}" for name in ("configuration", "database", "redis", "port", "openai", "clock"))
    ]
    assert code == 0
    value = json.loads(examined(bed, lambda bed: None, monkeypatch, capsys, "--json")[1])
    assert (value["ok"], {one["state"] for one in value["findings"]}) == (True, {"ok"})


def test_providers_are_asked_at_once_and_told_in_their_order(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []
    names = [f"own-{number}" for number in range(4)]

    def wait(sock: Any, request: Any) -> bool:
        asked.append(1)
        with gevent.Timeout(20):
            while len(asked) < len(names):  # nobody is answered before all have asked
                gevent.sleep(0.01)
        sock.sendall(answer(b"{}"))
        return True

    def many(bed: Bed) -> None:
        base = bed.stack.enter_context(serving(wait)).url("/v1")
        bed.config = "".join(f"[providers.{name}]\ndialect = 'chat'\nbase_url = '{base}'\n" for name in names)

    code, shown = examined(bed, many, monkeypatch, capsys)
    told = [line[6:].partition(":")[0] for line in shown.splitlines() if "status 200" in line]
    assert (code, told) == (0, names)


def test_a_gateway_that_runs_there_is_no_fault(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def running(bed: Bed) -> None:
        url = bed.provider(answer(b'{"name":"sluice","version":"1"}'))
        bed.env["PORT"] = url.split(":")[2].partition("/")[0]

    code, shown = examined(bed, running, monkeypatch, capsys)
    assert "ok    port: a gateway answers at 127.0.0.1:" in shown
    assert code == 0


@pytest.mark.parametrize(
    ("is_empty", "line"),
    [
        (True, "fail  database: is empty, and this user may not create tables in it; GRANT CREATE"),
        (False, r"fail  database: this user may not write \d+ of its tables; GRANT SELECT, INSERT"),
    ],
)
def test_a_user_of_postgresql_without_rights_is_named(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_empty: bool, line: str
) -> None:
    owner = _own_postgres(bed, monkeypatch)
    user = f"u{secrets.token_hex(6)}"
    bed.env |= {"DATABASE_URL": owner, "SLUICE_SECRET_KEY": LONG}
    for name, value in bed.env.items():
        monkeypatch.setenv(name, value)
    if not is_empty:
        assert cli.main(["db", "upgrade"]) == 0
    with psycopg.connect(owner, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{LONG}'")
        bed.stack.callback(_drop_role, owner, user)
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}")
    address = owner.rpartition("@")[2] if "@" in owner else owner.partition("://")[2]
    bed.env |= {"DATABASE_URL": f"postgresql://{user}:{LONG}@{address}"}
    code, shown = examined(bed, lambda bed: None, monkeypatch, capsys)
    assert (code, bool(re.search(line, shown))) == (1, True), shown


def _drop_role(owner: str, user: str) -> None:
    with psycopg.connect(owner, autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {user}")
        admin.execute(f"DROP ROLE {user}")


def _own_postgres(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a database of this test's own."""
    with monkeypatch.context() as patch:
        if POSTGRES:
            patch.setenv("SLUICE_TEST_POSTGRES_URL", POSTGRES)
        return bed.stack.enter_context(new_postgres())


def test_connections_that_postgresql_does_not_give_are_counted(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bed.env |= {"DATABASE_URL": _own_postgres(bed, monkeypatch), "SLUICE_SECRET_KEY": LONG}
    bed.env |= {"SLUICE_DATABASE_POOL": "500", "WEB_CONCURRENCY": "16"}
    code, shown = examined(bed, lambda bed: None, monkeypatch, capsys)
    assert re.search(
        r"note  database: gives \d+ connections, and 16 workers here may take 8016; lower SLUICE", shown
    )
    assert code == 0
    assert cli.main(["db", "upgrade"]) == 0
    bed.env |= {"SLUICE_LISTEN_URL": f"postgresql://u:{CANARY}@127.0.0.1:1/d"}
    code, shown = examined(bed, lambda bed: None, monkeypatch, capsys)
    assert re.search("warn  notifications: .*Connection refused.*; check SLUICE_LISTEN_URL", shown)
    assert code == 1


def test_the_clock_of_postgresql_is_compared(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bed.env |= {"DATABASE_URL": _own_postgres(bed, monkeypatch), "SLUICE_SECRET_KEY": LONG}
    for name, value in bed.env.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["db", "upgrade"]) == 0
    code, shown = examined(bed, lambda bed: None, monkeypatch, capsys)
    assert "ok    clock: is within 30 s of the clock of the database" in shown
    assert code == 0


@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        ({}, "note  clock: no other clock answered"),
        ({"a": 2.0}, "ok    clock: is within 30 s of the clock of a"),
        ({"a": 0.0, "b": 0.5, "c": 4000.0}, "ok    clock: is within 30 s of the clock of b"),
        ({"a": -90.0}, "warn  clock: is 90 s behind that of a"),
        ({"a": 31.5}, "warn  clock: is 3. s ahead of that of a"),
    ],
)
def test_the_clock_is_judged_by_the_median(ahead: Mapping[str, float], line: str) -> None:
    clock = Clock()
    for who, seconds in ahead.items():
        clock.compare(who, time.time() - seconds)
    clock.compare_header("nobody", "no date at all")
    assert re.match(line, clock.finding().line)


def test_the_command_ends_with_the_code(bed: Bed) -> None:
    env = {**environment.bare(), **bed.env, "SLUICE_MASTER_KEY": "admin", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "app.cli", "doctor", "--json"],
        cwd=bed.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, json.loads(result.stdout)["ok"], result.stderr) == (1, False, "")
