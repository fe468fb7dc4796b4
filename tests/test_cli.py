"""The command as users run it: exit codes, what it prints, and that no secret is in it."""

from __future__ import annotations

import ast
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app import __version__, cli
from tests import environment
from tests.services import new_postgres, own_redis
from tests.wire.servers import always, answer, serving

POSTGRES = os.environ.get("SLUICE_TEST_POSTGRES_URL", "")  # before it is taken away
CANARY = "c4n4ry-0f-a-s3cr3t"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and no variable that steers the tests."""
    monkeypatch.chdir(tmp_path)
    for name in environment.STEERING:
        monkeypatch.delenv(name, raising=False)


def test_gevent_patches_before_anything_else_is_imported(repo_dir: Path) -> None:
    body = ast.parse((repo_dir / "app" / "cli.py").read_text()).body
    assert [ast.unparse(node) for node in body[1:3]] == ["from gevent import monkey", "monkey.patch_all()"]


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"


def test_what_may_be_left_out_is_not_named_as_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["keys"])
    assert capsys.readouterr().err.endswith("the following arguments are required: action\n")


def test_check_config_shows_what_is_configured_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("REDIS_URL", f"redis://u:{CANARY}@h/0?password={CANARY}")
    monkeypatch.setenv("SLUICE_KEYS", f"ann:{CANARY}:team")
    (tmp_path / "sluice.toml").write_text(
        "[providers.own]\ndialect = 'chat'\nbase_url = 'http://h/v1'\n"
        "[models.'m']\ntargets = [{target = 'own/x', weight = 2}, {target = 'own/y'}]\nfallbacks = ['own/z']\n"
        "strategy = 'latency'\n"
    )
    assert cli.main(["check-config"]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert CANARY not in output.out + output.err
    assert {
        "  port = 8080",
        "  redis_url = redis://***@h/0?***",
        "  ann = *** (tenant team; every model)",
        '  "m" = own/x (2), own/y (1), then own/z',
        "    strategy latency",
        "  own: ready; base_url http://h/v1; dialect chat",
        "  openai: ready; key default *** (weight 1)",
        "  groq: not configured",
    } <= set(lines)


def test_check_config_prints_every_fault_and_ends_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.toml").write_text(
        f"[server]\nprot = 1\n[keys.ann]\nkey = 'env:{CANARY.replace('-', '_')}'\n"
    )
    assert cli.main(["check-config", "--config", "x.toml"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "sluice: keys.ann.key: names a variable that is not set or empty",
        "sluice: server.prot: is unknown; did you mean 'port'?",
    ]


@pytest.mark.parametrize("arguments", [["db", "upgrade"], ["doctor"], ["worker"], ["models"]])
def test_other_commands_refuse_a_wrong_configuration_too(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "x")
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == "sluice: PORT: must be a port number from 0 to 65535\n"


def test_the_doctor_asks_each_configured_provider_and_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(always(answer(b"{}"))) as well, serving(always(answer(b"{}", status="401 No"))) as refusing:
        gone = f"http://127.0.0.1:{refusing.port}/v1"
        monkeypatch.setenv("GROQ_API_KEY", CANARY)
        monkeypatch.setenv("GROQ_BASE_URL", f"http://127.0.0.1:{well.port}/openai/v1")
        assert cli.main(["doctor"]) == 0
        assert "groq: key default: answers with status 200\n" in capsys.readouterr().out
        assert well.requests[0].line == "GET /openai/v1/models HTTP/1.1"
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        monkeypatch.setenv("OPENAI_BASE_URL", gone)
        assert cli.main(["doctor"]) == 1
        shown = capsys.readouterr().out
    refused = (
        "openai: key default: answers with status 401: authentication: it rejects this key; renew the key\n"
    )
    assert f"fail  {refused}" in shown
    assert CANARY not in shown
    assert cli.main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "openai: key default: connection: The provider could not be reached. (" in output
    assert "Connection refused" in output
    assert CANARY not in output


def test_the_doctor_tells_dns_tls_proxy_and_a_wrong_path_from_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(always(answer(b"{}", status="404 Not Found"))) as plain:
        (tmp_path / "sluice.toml").write_text(
            "".join(
                f"[providers.{name}]\ndialect = 'chat'\nbase_url = '{url}'\n{more}"
                for name, url, more in (
                    ("nameless", "http://no.such.host.invalid/v1", ""),
                    ("plain", f"https://127.0.0.1:{plain.port}/v1", ""),
                    ("proxied", "http://h.invalid/v1", f"proxy = 'http://u:{CANARY}@127.0.0.1:1'\n"),
                    ("pathless", f"http://127.0.0.1:{plain.port}", ""),
                )
            )
        )
        monkeypatch.setenv("AZURE_API_KEY", CANARY)
        assert cli.main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    told = {line[6:].partition(":")[0]: line[6:] for line in lines}
    assert told["nameless"].startswith("nameless: without a key: DNS: ")
    assert told["plain"].startswith("plain: without a key: TLS: ")
    assert told["proxied"].startswith("proxied: without a key: proxy: ")
    assert told["pathless"].endswith(
        "status 404: the base URL has no path; such an API is usually served below /v1"
    )
    assert told["azure"].startswith("azure: Provider 'azure' is not configured. Set AZURE_OPENAI_ENDPOINT")
    assert CANARY not in "".join(lines)


def test_the_doctor_says_so_when_no_provider_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert "providers: none is configured but the built-in ones" in capsys.readouterr().out


DOUBTFUL = {
    # what: variables, file, place and sentence
    "a variable with a letter too few": ({"OPENAI_APIKEY": CANARY}, "", "OPENAI_APIKEY: is not a known variable; did you mean 'OPENAI_API_KEY'?"),
    "a vendor written wrongly": ({"ANTROPIC_API_KEY": CANARY}, "", "ANTROPIC_API_KEY: is not a known variable; did you mean 'ANTHROPIC_API_KEY'?"),
    "another tool's variable": ({"AZURE_OPENAI_KEY": CANARY}, "", "AZURE_OPENAI_KEY: is not a known variable; did you mean 'AZURE_OPENAI_API_KEY'?"),
    "a setting written wrongly": ({"SLUICE_DRAIN": "2"}, "", "SLUICE_DRAIN: is not a known variable; did you mean 'SLUICE_DRAIN_AFTER'?"),
    "a setting of nobody": ({"SLUICE_XYZZY": "2"}, "", "SLUICE_XYZZY: is not a setting of this version and is ignored"),
    "an alias to nobody": ({}, "[models.m]\ntarget = 'opnai/x'", "models.m: 'opnai/x' matches no provider; did you mean 'openai'?"),
    "a fallback to nobody": ({}, "[models.m]\ntarget = 'sandbox/x'\nfallbacks = ['nobody']", "models.m: 'nobody' matches no provider unless"),
    "an alias to who has no key": ({}, "[models.m]\ntarget = 'groq/x'", "models.m: 'groq/x' leads to a provider that is not configured: "),
    "a pattern of no provider": ({}, "[keys.k]\nkey = 'k'\nmodels = ['opnai/*']", "keys.k.models: 'opnai/*' matches no provider; did you mean 'openai'?"),
    "a pattern without a provider": ({}, "[keys.k]\nkey = 'k'\nmodels = ['gpt-4o']", "keys.k.models: 'gpt-4o' matches no provider; patterns have"),
    "azure without its endpoint": ({"AZURE_API_KEY": CANARY}, "", "providers.azure: is not ready for use: Provider 'azure' is not configured. Set AZURE_OPENAI_ENDPOINT"),
    "the port of the server for the worker": ({"SLUICE_WORKER_PORT": "8080"}, "", "SLUICE_WORKER_PORT: is the server's port too; "),
    "a base that is this gateway": ({"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": "http://localhost:8080/v1"}, "", "providers.openai.base_url: http://localhost:8080/v1 is the address of this gateway itself; write that"),
    "a base of one deployment": ({"AZURE_API_KEY": CANARY, "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/openai/deployments/gpt-4o"}, "", "providers.azure.base_url: https://x.openai.azure.com/openai/deployments/gpt-4o ends with the path of an operation; take '/openai/deployments/gpt-4o' off"),
    "a base without /v1": ({}, "[providers.own]\ndialect = 'chat'\nbase_url = 'http://h:8000'", "providers.own.base_url: http://h:8000 has no path; such an API is usually served below /v1"),
}  # fmt: skip


@pytest.mark.parametrize("variables, text, sentence", DOUBTFUL.values(), ids=DOUBTFUL)
def test_check_config_doubts_what_is_hardly_meant(
    variables: dict[str, str],
    text: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "sluice.toml").write_text(text)
    assert cli.main(["check-config"]) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith(f"sluice: {sentence}")
    assert CANARY not in output.out + output.err


SOUND = """
[models.a]
target = "b"
fallbacks = ["openai/gpt-5", "gpt-4o", "listed"]
[models.b]
target = "sandbox/echo"
[keys.k]
key = "k"
models = ["*", "openai/*", "open*/gpt-*", "*/gpt-4o", "sandbox/echo", "own-*/x"]
[providers.own-1]
dialect = "chat"
base_url = "http://h/v1"
models = ["listed"]
"""


def test_check_config_does_not_doubt_what_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sluice.toml").write_text(SOUND)
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ORG_ID",
        "SLUICE_KEY",
        "AWS_CONFIG_FILE",
        "GROQ_LOG",
        "KEY",
        "HTTP_PROXY_X",
    ):
        monkeypatch.setenv(name, "x")
    assert cli.main(["check-config"]) == 0
    assert capsys.readouterr().err == ""


def test_all_faults_and_doubts_are_told_in_one_round(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    certificate.write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "text.pem").write_text("hello")
    monkeypatch.setenv("SLUICE_HOST", "0.0.0.0")
    monkeypatch.setenv("OPENAI_APIKEY", CANARY)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "text.pem"))
    (tmp_path / "sluice.toml").write_text(
        "[server]\nprot = 1\n[models.m]\ntarget = 'opnai/x'\n[providers.mistrall]\napi_key = 'k'\n"
        "[providers.groq]\nca_bundle = 'text.pem'\n"
        "[providers.cohere]\nclient_cert = ['cert.pem', 'key.pem']\n[providers.openai]\nclient_cert = 'cert.pem'\n"
        "[providers.gemini]\nmax_concurrency = 0\n"
    )
    assert cli.main(["check-config"]) == 2
    places = [line.split(": ")[1:3] for line in capsys.readouterr().err.splitlines()]
    told = dict(places)
    assert (
        told["providers.mistrall.dialect"] == "is required for a custom provider; or did you mean 'mistral'?"
    )
    assert told["providers.cohere.client_cert"].startswith("has an encrypted key")
    assert {
        "server.prot", "server.host", "OPENAI_APIKEY", "environment", "models.m", "providers.groq.ca_bundle",
        "providers.openai.client_cert", "providers.gemini.max_concurrency",
    } <= told.keys()  # fmt: skip


def test_the_models_of_a_provider_are_listed_as_it_tells_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", CANARY)
    listed = answer(b'{"object": "list", "data": [{"id": "llama"}, {"id": "maker/other"}]}')
    with serving(always(listed)) as server:
        monkeypatch.setenv("GROQ_BASE_URL", f"http://127.0.0.1:{server.port}/openai/v1")
        assert cli.main(["models", "--provider", "groq"]) == 0
        assert capsys.readouterr().out == "groq/llama\ngroq/maker/other\n"
    refusal = answer(b'{"error": {"message": "Invalid API Key"}}', status="401 Unauthorized")
    with serving(always(refusal)) as server:
        monkeypatch.setenv("GROQ_BASE_URL", f"http://127.0.0.1:{server.port}/openai/v1")
        assert cli.main(["models", "--provider", "groq"]) == 1
        assert capsys.readouterr().err.startswith("sluice: ")
    assert cli.main(["models", "--provider", "groq"]) == 1
    assert cli.main(["models", "--provider", "nobody"]) == 1
    assert capsys.readouterr().err == (
        "sluice: The provider could not be reached.\n"
        "sluice: Invalid value: 'nobody'. It is not the name of a provider.\n"
    )


@pytest.mark.parametrize("arguments", [[], ["frob"], ["version", "--x"], ["db", "downgrade"], ["keys"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: sluice" in capsys.readouterr().err


def test_the_database_is_prepared_and_found_prepared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/own.db")
    assert [cli.main(["db", "upgrade"]) for _ in range(2)] == [0, 0]
    assert (tmp_path / "own.db").stat().st_size > 0


def test_the_database_is_sealed_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/own.db")
    cli.main(["db", "upgrade"])
    row = ("t", "call", json.dumps(CANARY).encode(), 1.0)
    with sqlite3.connect(tmp_path / "own.db") as plain:
        plain.execute("INSERT INTO vault (tenant, call_id, body, created_at) VALUES (?, ?, ?, ?)", row)
    for switch, expected in [
        ("on", "1 rows are sealed with the first key now"),
        ("off", "1 rows are open now"),
    ]:
        monkeypatch.setenv("SLUICE_ENCRYPT", switch)
        capsys.readouterr()
        assert cli.main(["db", "reencrypt"]) == 0
        output = capsys.readouterr()
        assert expected in output.out
        assert output.err == ""  # bars are for terminals
        text = b"".join(path.read_bytes() for path in tmp_path.glob("own.db*"))
        assert (CANARY.encode() in text) == (switch == "off")


UNOPENED = {
    "sqlite:///{folder}/no/folder.db": "the folder {folder}/no does not exist",
    "sqlite:///{folder}": "this is a folder, not a file",
    "sqlite:///{folder}/text.db": "file is not a database",
    "sqlite:///{folder}/newer.db": "a newer version of Sluice has upgraded this database",
    "postgres://u:{canary}@127.0.0.1:1/d": "port 1 failed: Connection refused",
    "postgres://u:{canary}@no.such.host.invalid/d": "failed to resolve host 'no.such.host.invalid'",
    "postgres://postgres:{canary}@{server}/no_such_database": '"no_such_database" does not exist',
    "postgres://no_such_role:{canary}@{server}/postgres": '"no_such_role"',
}


@pytest.mark.parametrize("url, words", UNOPENED.items())
def test_a_database_that_cannot_be_opened_says_why(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "{server}" in url:
        monkeypatch.setenv("SLUICE_TEST_POSTGRES_URL", POSTGRES)
        with new_postgres() as answers:
            url = url.replace("{server}", urlsplit(answers).netloc.rpartition("@")[2])
    (tmp_path / "text.db").write_text("no database at all, but a text of some length\n" * 100)
    with sqlite3.connect(tmp_path / "newer.db") as newer:
        newer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        newer.execute("INSERT INTO alembic_version VALUES ('9999')")
    monkeypatch.setenv("SLUICE_SECRET_KEY", "s")
    monkeypatch.setenv("DATABASE_URL", url.format(folder=tmp_path, canary=CANARY))
    assert cli.main(["db", "upgrade"]) == 1
    told, expected = capsys.readouterr().err, words.format(folder=tmp_path)
    assert expected in told
    assert CANARY not in told
    if "newer" in url:
        return
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert expected in told
    assert CANARY not in told


def test_the_doctor_asks_redis_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/own.db")
    with own_redis() as (url, _):
        monkeypatch.setenv("REDIS_URL", url)
        assert cli.main(["doctor"]) == 0
        assert "redis: answers\n" in capsys.readouterr().out
    monkeypatch.setenv("REDIS_URL", url.replace("//", f"//user:{CANARY}@"))
    assert cli.main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "redis: does not answer: " in output
    assert CANARY not in output


def test_the_doctor_looks_at_a_database_and_leaves_it_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/own.db")
    assert cli.main(["doctor"]) == 0
    assert "own.db is empty; the first start prepares it" in capsys.readouterr().out
    assert not (tmp_path / "own.db").exists()
    cli.main(["db", "upgrade"])
    cli.main(["doctor"])
    assert "own.db answers and is up to date" in capsys.readouterr().out


def test_a_new_key_can_be_used_as_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from app.config_loading import load

    assert [cli.main(["keys", "new", "ann", "--tenant", "team"]) for _ in range(2)] == [0, 0]
    lines = capsys.readouterr().out.splitlines()
    keys = [load({"SLUICE_KEYS": line.removeprefix("SLUICE_KEYS=")}).keys[0] for line in lines]
    assert {(key.name, key.tenant) for key in keys} == {("ann", "team")}
    assert len({key.secret.reveal() for key in keys}) == 2
    assert all(len(key.secret.reveal()) >= 43 for key in keys)
    assert cli.main(["keys", "new", "a:b"]) == 2


def test_serve_becomes_gunicorn_started_as_in_production(
    monkeypatch: pytest.MonkeyPatch, repo_dir: Path
) -> None:
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: calls.append((path, command)))
    cli.main(["serve", "--bind", "127.0.0.1:0"])
    start = ["-m", "gunicorn", "-c", str(repo_dir / "gunicorn.conf.py"), "--pythonpath", str(repo_dir)]
    assert calls == [(sys.executable, [sys.executable, *start, "--bind", "127.0.0.1:0", "wsgi:app"])]


def test_a_reader_that_has_enough_is_no_fault(tmp_path: Path, repo_dir: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        result = subprocess.run(
            [sys.executable, "-m", "app.cli", "check-config"],
            cwd=tmp_path,
            env={**environment.bare(), "PYTHONPATH": str(repo_dir)},
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (result.returncode, result.stderr) == (1, "")


def test_serve_refuses_what_gunicorns_file_refuses(tmp_path: Path, repo_dir: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "app.cli", "serve"],
        cwd=tmp_path,
        env={**environment.bare(), "PYTHONPATH": str(repo_dir), "SLUICE_HOST": "0.0.0.0", "PORT": "0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("sluice: listening on 0.0.0.0 would serve everyone")


def test_the_server_and_the_worker_forget_the_secrets_of_their_environment(
    tmp_path: Path, repo_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "OPENAI_API_KEY": CANARY,
        "SLUICE_MASTER_KEY": CANARY,
        "DATABASE_URL": f"sqlite:///{tmp_path}/s.db",
    }
    program = "import wsgi, os, json; print(json.dumps(dict(os.environ)))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment.bare(), "PYTHONPATH": str(repo_dir), **secrets},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert CANARY not in result.stdout
    assert '"PATH"' in result.stdout

    from app.gateway import worker

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    kept: list[str | None] = []

    def run(settings: object, address: object) -> int:
        kept.append(os.environ.get("OPENAI_API_KEY"))
        return 0

    monkeypatch.setattr(worker, "run", run)
    assert cli.main(["worker"]) == 0
    assert kept == [None]
