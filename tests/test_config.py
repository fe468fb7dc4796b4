"""Settings: tables of variables and of faults, and that no secret is ever shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.config import Alias, Limit, ProviderKey, ProviderSettings, Secret, Settings, Timeouts, VirtualKey
from app.config_loading import ConfigError, load, scrub_environ
from app.config_loading.display import describe
from app.config_loading.members import EGRESS_VARIABLES, MEMBERS
from app.providers import PROVIDERS
from app.providers.registry import configured_names

Loader = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sluice.toml lies about."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load_text(tmp_path: Path) -> Loader:
    """Load settings from the text of a file and variables."""

    def load_both(text: str, **environ: str) -> Settings:
        file = tmp_path / "own.toml"
        file.write_text(text)
        return load({**environ, "SLUICE_CONFIG": str(file)})

    return load_both


def faults_of(text: str, load_text: Loader, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, **environ)
    return [f"{place}: {sentence}" for place, sentence in caught.value.faults]


def test_without_file_and_variables_everything_has_its_default() -> None:
    assert load({}) == Settings()


# variable, its text, member, value
VARIABLES: list[tuple[str, str, str, Any]] = [
    ("SLUICE_HOST", "gateway.internal", "host", "gateway.internal"),
    ("PORT", "9000", "port", 9000),
    ("PORT", " 0 ", "port", 0),
    ("WEB_CONCURRENCY", "4", "workers", 4),
    ("SLUICE_KEEPALIVE", "95", "keepalive", 95),
    ("DATABASE_URL", "sqlite:////var/lib/s.db", "database_url", "sqlite:////var/lib/s.db"),
    ("SLUICE_ENCRYPT", "on", "encrypt", True),
    ("SLUICE_DATABASE_POOL", "7", "database_pool", 7),
    ("SLUICE_DATABASE_WAIT", "0.5", "database_wait", 0.5),
    ("SLUICE_LISTEN_URL", "postgres://u:p@h:5432/d", "listen_url", "postgres://u:p@h:5432/d"),
    ("REDIS_URL", "rediss://u:p@h/1", "redis_url", "rediss://u:p@h/1"),
    ("SLUICE_MASTER_KEY", "m", "master_key", Secret("m")),
    ("SLUICE_OPEN", "1", "open", True),
    ("SLUICE_OPEN", "0", "open", False),
    ("SLUICE_SECRET_KEY", "new, old", "secret_keys", (Secret("new"), Secret("old"))),
    ("SLUICE_TIMEOUT_CONNECT", "2", "timeouts", Timeouts(connect=2)),
    ("SLUICE_TIMEOUT_FIRST_BYTE", "7.5", "timeouts", Timeouts(first_byte=7.5)),
    ("SLUICE_TIMEOUT_IDLE", "3", "timeouts", Timeouts(idle=3)),
    ("SLUICE_TIMEOUT_TOTAL", "30", "timeouts", Timeouts(total=30)),
    ("SLUICE_TIMEOUT_BACKGROUND", "60", "timeouts", Timeouts(background=60)),
    ("SLUICE_MAX_RETRIES", "0", "max_retries", 0),
    ("SLUICE_BACKGROUND", "off", "background", "off"),
    ("SLUICE_BATCH_LINES", "3", "batch_lines", 3),
    ("SLUICE_NATIVE_BATCHES", "openai, azure", "native_batches", ("openai", "azure")),
    ("SLUICE_NATIVE_BATCHES", "off", "native_batches", ()),
    ("SLUICE_WORKER_PORT", "9100", "worker_port", 9100),
    ("SLUICE_WORKER_GRACE", "20", "worker_grace", 20),
    ("SLUICE_STATUS_AFTER", "5", "status_after", 5),
    ("SLUICE_HOLD", "0", "hold", 0),
    ("SLUICE_COMMENT_EVERY", "1.5", "comment_every", 1.5),
    ("SLUICE_BREAKER", "on", "breaker", True),
    ("SLUICE_STICKY_PROMPTS", "on", "sticky_prompts", True),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318", "otlp_endpoint", "http://otel:4318"),
    ("SLUICE_TRACES_CONTENT", "on", "traces_content", True),
    ("SLUICE_LOG", "console", "log", "console"),
    ("SLUICE_CALL_LOG", "errors", "call_log", "errors"),
    ("SLUICE_ADMIN_READS_CONTENT", "on", "admin_reads_content", True),
    ("SLUICE_LOG_DAYS", "7", "log_days", 7),
    ("SLUICE_LOG_BODIES", "on", "log_bodies", True),
    ("SLUICE_LOG_BODIES_DAYS", "2.5", "log_bodies_days", 2.5),
    ("SLUICE_LOG_ROWS", "1000", "log_rows", 1000),
    ("SLUICE_SANDBOX", "off", "sandbox", False),
    ("SLUICE_ALLOWED_ORIGINS", "https://a, http://b:1", "allowed_origins", ("https://a", "http://b:1")),
    ("SLUICE_STORE_BY_DEFAULT", "false", "store_by_default", False),
    ("SLUICE_RETENTION_DAYS", "7", "retention_days", 7),
    ("SLUICE_RETENTION_DAYS", "never", "retention_days", None),
    ("SLUICE_RAW_ALLOWED", "yes", "raw_allowed", True),
    ("SLUICE_RESPONSES_DONE", "TRUE", "responses_done", True),
    ("SLUICE_MAX_BODY_BYTES", "1000", "max_body_bytes", 1000),
    ("SLUICE_MAX_UPLOAD_BYTES", "2000", "max_upload_bytes", 2000),
    ("SLUICE_BODY_DEADLINE", "9", "body_deadline", 9),
    ("SLUICE_DRAIN_AFTER", "0.5", "drain_after", 0.5),
    ("SLUICE_MODELS_KEPT", "0", "models_kept", 0.0),
    ("SLUICE_PROXY_HOPS", "2", "proxy_hops", 2),
    ("SLUICE_DOCS", "off", "docs", False),
    ("SLUICE_METRICS", "on", "metrics", True),
    ("SLUICE_LIMITS_FAIL", "closed", "limits_fail", "closed"),
    ("SLUICE_BUDGET_LEASE", "30", "budget_lease", 30),
    ("SLUICE_BUDGET_OUTPUT", "100", "budget_output", 100),
    ("SLUICE_LEDGER_DAYS", "7", "ledger_days", 7),
    ("SLUICE_SPOOL", "/var/spool/sluice", "spool", "/var/spool/sluice"),
    ("SLUICE_ALERT_URL", "https://hooks.example/x", "alert_url", "https://hooks.example/x"),
    ("SLUICE_ALERT_SECRET", "whsec_c2VjcmV0", "alert_secret", Secret("whsec_c2VjcmV0")),
    ("SLUICE_KEYS", "ann:k1", "keys", (VirtualKey("ann", Secret("k1"), "ann"),)),
    (
        "SLUICE_KEYS",
        "ann:k1, bob:k2:team",
        "keys",
        (VirtualKey("ann", Secret("k1"), "ann"), VirtualKey("bob", Secret("k2"), "team")),
    ),
]


@pytest.mark.parametrize(("variable", "text", "member", "value"), VARIABLES)
def test_a_variable_sets_its_member(variable: str, text: str, member: str, value: Any) -> None:
    settings = load({variable: text})
    shown = dataclasses.replace(settings, secret_variables=())
    assert shown == dataclasses.replace(Settings(), **{member: value})


def test_the_table_of_variables_covers_every_member() -> None:
    from_rows = {member.path[0] for member in MEMBERS}
    elsewhere = {
        "keys",
        "tenants",
        "limits",
        "budgets",
        "cache",
        "providers",
        "aliases",
        "environ",
        "secret_variables",
        "generated_key",
    }
    assert from_rows | elsewhere == {field.name for field in dataclasses.fields(Settings)}
    assert {m.variable for m in MEMBERS} | {"SLUICE_KEYS"} == {variable for variable, *_ in VARIABLES}


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.variable)
def test_the_environment_wins_over_the_file_and_blanks_do_not(member: Any, load_text: Loader) -> None:
    if member.kind.fits(3):
        file_value, text, blank = 3, "4", ""
    elif member.kind.fits(True):
        file_value, text, blank = True, "off", " "
    else:
        samples = {"background": ("'off'", "embedded"), "database_url": ("'sqlite:///a'", "sqlite:///b")}
        samples["otlp_endpoint"] = ("'http://a:4318'", "http://b:4318")
        samples["log"] = ("'console'", "json")
        samples["call_log"] = ("'off'", "errors")
        samples["limits_fail"] = ("'open'", "closed")
        samples["alert_url"] = ("'https://a'", "https://b")
        samples["redis_url"] = ("'redis://a'", "redis://b")
        samples["listen_url"] = ("'postgres://a/d'", "postgres://b/d")
        samples["allowed_origins"] = ("'https://a'", "https://b")
        quoted, text = samples.get(member.path[0], ("'a'", "b"))
        file_value, blank = quoted, "\t"
    shown = str(file_value).lower() if isinstance(file_value, bool) else file_value
    table = "server" if len(member.path) == 1 else f"server.{member.path[0]}"
    toml = f"[{table}]\n{member.path[-1]} = {shown}\n"

    def value(settings: Any) -> Any:
        for step in member.path:
            settings = getattr(settings, step)
        return settings

    from_file, from_variable = load_text(toml), load({member.variable: text})
    assert value(load_text(toml, **{member.variable: text})) == value(from_variable) != value(from_file)
    assert value(load_text(toml, **{member.variable: blank})) == value(from_file)


# provider, variables, what is expected
PROVIDER_VARIABLES: list[tuple[str, dict[str, str], dict[str, Any], bool]] = [
    (name, {f"{name.upper()}_API_KEY": "k"}, {"keys": ("k",)}, True)
    for name in (
        *("openai", "anthropic", "cohere", "mistral", "gemini", "groq", "openrouter"),
        *("parasail", "elevenlabs", "perplexity", "cerebras"),
    )
] + [
    (
        "openai",
        {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h:1/v1"},
        {"base_url": "http://h:1/v1"},
        True,
    ),
    ("openai", {"OPENAI_API_KEY": "k", "OPENAI_API_BASE": "http://h/v1"}, {"base_url": "http://h/v1"}, True),
    ("openai", {"OPENAI_BASE_URL": "http://h/v1"}, {"keys": ()}, False),
    ("cohere", {"CO_API_KEY": "k"}, {"keys": ("k",)}, True),
    ("cohere", {"CO_API_KEY": "old", "COHERE_API_KEY": "k"}, {"keys": ("k",)}, True),
    ("gemini", {"GOOGLE_API_KEY": "k"}, {"keys": ("k",)}, True),
    ("perplexity", {"PERPLEXITYAI_API_KEY": "k"}, {"keys": ("k",)}, True),
    ("ollama", {"OLLAMA_BASE_URL": "http://h/v1"}, {"base_url": "http://h/v1", "keys": ()}, True),
    ("ollama", {"OLLAMA_API_KEY": "k"}, {"keys": ("k",)}, False),
    ("sgl", {"SGL_BASE_URL": "http://h/v1", "SGL_API_KEY": "k"}, {"keys": ("k",)}, True),
    ("azure", {"AZURE_OPENAI_API_KEY": "k"}, {"keys": ("k",)}, False),
    ("azure", {"AZURE_OPENAI_ENDPOINT": "https://h"}, {"base_url": "https://h", "chain": False}, False),
    (
        "azure",
        {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://h", "OPENAI_API_VERSION": "v1"},
        {"keys": ("k",), "base_url": "https://h", "options": {"api_version": "v1"}},
        True,
    ),
    (
        "azure",
        {"AZURE_OPENAI_AD_TOKEN": "t", "AZURE_OPENAI_ENDPOINT": "https://h"},
        {"options": {"token": Secret("t")}, "chain": True},
        True,
    ),
    ("bedrock", {"AWS_BEARER_TOKEN_BEDROCK": "k"}, {"keys": ("k",), "chain": False}, True),
    (
        "bedrock",
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-west-1"},
        {
            "options": {"access_key_id": "a", "secret_access_key": Secret("s"), "region": "eu-west-1"},
            "chain": True,
        },
        True,
    ),
    ("bedrock", {"AWS_REGION": "eu-west-1"}, {"chain": False}, False),
    ("bedrock", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/f", "AWS_REGION": "x"}, {"chain": True}, True),
    ("vertex", {"VERTEX_ACCESS_TOKEN": "k", "VERTEX_PROJECT": "p"}, {"options": {"project": "p"}}, True),
    ("vertex", {"VERTEX_ACCESS_TOKEN": "k"}, {"keys": ("k",)}, False),
    (
        "vertex",
        {"GOOGLE_APPLICATION_CREDENTIALS": "/f", "VERTEX_PROJECT": "p", "VERTEX_LOCATION": "eu"},
        {"options": {"credentials_file": "/f", "project": "p", "location": "eu"}, "chain": True},
        True,
    ),
]


@pytest.mark.parametrize(("name", "environ", "members", "ready"), PROVIDER_VARIABLES)
def test_a_providers_variables_configure_it(
    name: str, environ: dict[str, str], members: dict[str, Any], ready: bool
) -> None:
    settings = load(environ)
    given = settings.providers[name]
    found = {member: getattr(given, member) for member in members}
    if "keys" in members:
        members = {**members, "keys": tuple(ProviderKey("default", Secret(k)) for k in members["keys"])}
    assert found == members
    assert (name in configured_names(settings)) is ready


def test_every_provider_with_variables_of_its_own_has_a_row_here() -> None:
    special = {
        name
        for name, row in PROVIDERS.items()
        if row.options or row.chain or row.needs or row.keys != (f"{name.upper()}_API_KEY",)
    }
    assert special - {name for name, *_ in PROVIDER_VARIABLES} == {"sandbox"}


def test_the_sandbox_is_ready_and_comes_last() -> None:
    assert configured_names(load({})) == ("sandbox",)
    assert configured_names(load({"GROQ_API_KEY": "k", "OPENAI_API_KEY": "k"})) == (
        "openai",
        "groq",
        "sandbox",
    )


FULL = """
[server]
port = 1234
secret_keys = ["new", "env:OLD_SECRET"]
timeouts = { total = 60, idle = 20.5 }

[providers.groq]
api_key = "env:MY_GROQ"

[providers.openai]
base_url = "https://proxy.internal/v1"
headers = { OpenAI-Organization = "org" }
proxy = "http://user:pw@proxy:3128"
models = ["gpt-4o"]
prices."gpt-4o" = { input = 2.5, output = 10 }
max_concurrency = 10

[[providers.openai.keys]]
name = "main"
value = "os.environ/MAIN"
weight = 3

[[providers.openai.keys]]
value = "env.SECOND"
models = ["gpt-4o"]

[providers.my-vllm]
dialect = "chat"
base_url = "http://vllm:8000/v1"
options = { passes = true }

[keys.ann]
key = "file:KEYFILE"
tenant = "team"
models = ["openai/*"]

[models."fast"]
target = "groq/llama"

[models."best"]
targets = [{ target = "openai/gpt-4o", weight = 3 }, { target = "my-vllm/x" }]
fallbacks = ["sandbox/echo"]
"""


def test_a_whole_file_is_read(load_text: Loader, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ann-key\n")
    settings = load_text(
        FULL.replace("KEYFILE", str(tmp_path / "key")),
        OLD_SECRET="old",
        MY_GROQ="g",
        MAIN="m",
        SECOND="s",
        MY_VLLM_API_KEY="v",
    )
    assert settings == Settings(
        port=1234,
        secret_keys=(Secret("new"), Secret("old")),
        timeouts=Timeouts(total=60, idle=20.5),
        keys=(VirtualKey("ann", Secret("ann-key"), "team", ("openai/*",)),),
        providers={
            "groq": ProviderSettings("groq", keys=(ProviderKey("default", Secret("g")),)),
            "openai": ProviderSettings(
                "openai",
                base_url="https://proxy.internal/v1",
                keys=(
                    ProviderKey("main", Secret("m"), None, 3.0),
                    ProviderKey("key-2", Secret("s"), ("gpt-4o",), 1.0),
                ),
                headers={"openai-organization": "org"},
                proxy="http://user:pw@proxy:3128",
                models=("gpt-4o",),
                prices={"gpt-4o": {"input": 2.5, "output": 10}},
                max_concurrency=10,
            ),
            "my-vllm": ProviderSettings(
                "my-vllm",
                base_url="http://vllm:8000/v1",
                keys=(ProviderKey("default", Secret("v")),),
                dialect="chat",
                options={"passes": True},
            ),
        },
        aliases={
            "fast": Alias((("groq/llama", 1.0),)),
            "best": Alias((("openai/gpt-4o", 3.0), ("my-vllm/x", 1.0)), ("sandbox/echo",)),
        },
        secret_variables=("MAIN", "MY_GROQ", "MY_VLLM_API_KEY", "OLD_SECRET", "SECOND"),
    )
    assert configured_names(settings) == ("groq", "openai", "my-vllm", "sandbox")


def test_a_list_of_keys_in_the_file_stands_beside_a_key_in_the_environment(load_text: Loader) -> None:
    text = "[[providers.openai.keys]]\nname = 'a'\nvalue = 'env:OPENAI_API_KEY'\nmodels = ['x']\n"
    settings = load_text(text, OPENAI_API_KEY="k")
    assert settings.providers["openai"].keys == (ProviderKey("a", Secret("k"), ("x",)),)
    settings = load_text("[providers.openai]\napi_key = 'file-key'\n", OPENAI_API_KEY="k")
    assert settings.providers["openai"].keys == (ProviderKey("default", Secret("k")),)


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("[providers.bedrock]\n", True),
        ("[providers.vertex]\noptions = { project = 'p' }\n", True),
        ("[providers.azure]\nbase_url = 'https://h'\n", False),
        ("[providers.azure]\nbase_url = 'https://h'\noptions = { client_secret = 's' }\n", True),
        ("[providers.openai]\n", False),
    ],
)
def test_a_section_lets_the_vendors_chain_stand_for_a_key(text: str, chain: bool, load_text: Loader) -> None:
    (given,) = load_text(text).providers.values()
    assert given.chain is chain


@pytest.mark.parametrize("name", EGRESS_VARIABLES)
def test_the_variables_of_the_way_out_are_kept_and_no_others(name: str, tmp_path: Path) -> None:
    value = "h" if "PROXY" in name.upper() else str(tmp_path)
    settings = load({name: value, "HOME": "/x", "OPENAI_API_KEY": "k", "SLUICE_MASTER_KEY": "m"})
    assert settings.environ == {name: value}


# text of a file, the one fault
FAULTS: list[tuple[str, str]] = [
    (
        "[[providers.openai.keys]]\nvalue='k'\nweight=0",
        "providers.openai.keys[0].weight: must be a number above 0 and below 10^12",
    ),
    (
        "[[providers.openai.keys]]\nvalue='k'\nweight=true",
        "providers.openai.keys[0].weight: must be a number above 0 and below 10^12",
    ),
    ("[[providers.openai.keys]]\nname='n'", "providers.openai.keys[0].value: is missing"),
    (
        "[[providers.openai.keys]]\nname='n'\nvalue='k'\n[[providers.openai.keys]]\nname='n'\nvalue='l'",
        "providers.openai.keys[1].name: is used twice",
    ),
    (
        "[providers.openai]\napi_key='k'\nkeys=[{value='l'}]",
        "providers.openai.api_key: cannot be combined with a list of keys; set one of the two",
    ),
    ("[providers.openai]\nkeys={}", "providers.openai.keys: must be a list"),
    ("[providers.openai]\nkeys=['k']", "providers.openai.keys[0]: must be a table"),
    ("[providers.openai]\napikey='k'", "providers.openai.apikey: is unknown; did you mean 'api_key'?"),
    (
        "[providers.openai]\nbase_url='openai.com/v1'",
        "providers.openai.base_url: must be an http or https URL without query or user, such as https://host/v1",
    ),
    (
        "[providers.openai]\nbase_url='https://u:p@h/v1'",
        "providers.openai.base_url: must be an http or https URL without query or user, such as https://host/v1",
    ),
    ("[providers.openai]\ndialect='chat'", "providers.openai.dialect: can be set for custom providers only"),
    (
        "[providers.own]\nbase_url='http://h'",
        "providers.own.dialect: is required for a custom provider",
    ),
    ("[providers.own]\ndialect='chat'", "providers.own.base_url: is required for a custom provider"),
    (
        "[providers.own]\nbase_url='http://h'\ndialect='grpc'",
        "providers.own.dialect: must be 'chat', 'responses', 'messages', 'gemini' or 'cohere'",
    ),
    (
        "[providers.'a/b']\n",
        "providers.\"a/b\": the name must consist of at most 64 letters, digits, '.', '_' and '-'",
    ),
    (
        "[providers.openai.headers]\n'a b'='c'",
        'providers.openai.headers."a b": the name must be that of a header',
    ),
    (
        "[providers.openai.headers]\na='b\\u0001'".replace("'b\\u0001'", '"b\\u0001"'),
        "providers.openai.headers.a: must be a valid header value",
    ),
    (
        "[providers.openai]\nproxy='://'",
        "providers.openai.proxy: must be a proxy's URL (scheme://[user:password@]host[:port]) or 'direct'",
    ),
    (
        "[providers.openai]\nca_bundle='/nowhere.pem'",
        "providers.openai.ca_bundle: names a file that does not exist",
    ),
    (
        "[providers.openai]\nclient_cert=['/nowhere.pem']",
        "providers.openai.client_cert: must be the path of a PEM file, or a list of two: certificate and key",
    ),
    (
        "[providers.openai]\nclient_cert='/nowhere.pem'",
        "providers.openai.client_cert: names a file that does not exist",
    ),
    (
        "[providers.azure.options]\napi_verion='v1'",
        "providers.azure.options.api_verion: is unknown; did you mean 'api_version'?",
    ),
    ("[providers.openai.options]\nx='v1'", "providers.openai.options.x: is unknown; the members are: none."),
    ("[providers.bedrock.options]\nregion=1", "providers.bedrock.options.region: must be a text"),
    (
        "[providers.elevenlabs.options]\nvoices='x'",
        "providers.elevenlabs.options.voices: must be a table of texts",
    ),
    (
        "[providers.openai.prices.'gpt-4.1']\ninput=-1",
        'providers.openai.prices."gpt-4.1".input: must be a number, at least 0 and below 10^12',
    ),
    (
        "[providers.openai.prices.'gpt-4.1']\ninput=1000000000000",
        'providers.openai.prices."gpt-4.1".input: must be a number, at least 0 and below 10^12',
    ),
    ("[keys.ann]\ntenant='t'", "keys.ann.key: is missing"),
    ("[keys.ann]\nkey='k'\n[keys.bob]\nkey='k'", "keys.bob: has the same key as 'ann'"),
    ("[models.'m']\n", "models.m: needs either 'target' or 'targets'"),
    ("[models.'m']\ntarget='a/b'\ntargets=[{target='c/d'}]", "models.m: needs either 'target' or 'targets'"),
    (
        "[models.'m']\ntarget='a/b'\nstrategy='fastest'",
        "models.m.strategy: must be 'weighted', 'ordered', 'latency', 'cheapest' or 'least-busy'",
    ),
    (
        "[models.'m']\ntargets=[{target='a/b',max_tokens=0}]",
        "models.m.targets[0].max_tokens: must be a whole number above 0",
    ),
    (
        "[models.'m']\ntargets=[{target='a/b',defaults={temprature=1}}]",
        "models.m.targets[0].defaults.temprature: is unknown; did you mean 'temperature'?",
    ),
    (
        "[models.'m']\ntargets=[{target='a/b',timeouts={total=nan}}]",
        "models.m.targets[0].timeouts.total: must be a number above 0 and below 10^12",
    ),
    (
        "[models.'m']\ntargets=[{target='a/b',headers={'a b'='c'}}]",
        'models.m.targets[0].headers."a b": the name must be that of a header',
    ),
    (
        "[models.'openai/m']\ntarget='a/b'",
        "models.\"openai/m\": is never reached: 'openai' is a provider's name",
    ),
    ("[models.'m']\ntarget='m'", "models.m: refers back to itself"),
    ("[model.'m']\n", "model: is unknown; did you mean 'models'?"),
    ("[server]\nprot=1", "server.prot: is unknown; did you mean 'port'?"),
    ("[server]\nport='80'", "server.port: must be a port number from 0 to 65535"),
    ("[server]\nport=80.0", "server.port: must be a port number from 0 to 65535"),
    ("[server]\nopen=1", "server.open: must be true or false (in a variable also on, off, 1 or 0)"),
    ("[server]\ntimeouts=5", "server.timeouts: must be a table"),
    ("[server.timeouts]\ntotal=nan", "server.timeouts.total: must be a number above 0 and below 10^12"),
    ("[server.timeouts]\ntotals=1", "server.timeouts.totals: is unknown; did you mean 'total'?"),
    ("[server]\ndatabase_url='mysql://h/d'", "server.database_url: must be a sqlite:// or postgresql:// URL"),
    (
        "[server]\ndatabase_url='postgres://u:secret@h/d'",
        "server.secret_keys: is required with PostgreSQL (SLUICE_SECRET_KEY)",
    ),
    ("[server]\nmaster_key='env:NOT_SET'", "server.master_key: names a variable that is not set or empty"),
    (
        "[server]\nmaster_key='file:/nowhere'",
        "server.master_key: names a file that cannot be read: No such file or directory",
    ),
    ("providers = 1", "providers: must be a table"),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_a_fault_in_the_file_names_its_path(text: str, fault: str, load_text: Loader) -> None:
    assert faults_of(text, load_text) == [fault]


def test_aliases_in_a_circle_are_faults_each(load_text: Loader) -> None:
    text = "[models.m]\ntarget='a/b'\nfallbacks=['n']\n[models.n]\ntarget='m'\n[models.k]\ntarget='m'"
    assert faults_of(text, load_text) == [
        "models.m: refers back to itself",
        "models.n: refers back to itself",
    ]


UNSENDABLE = "must be a text that a header can carry, without line ends and characters such as '…'"


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("PORT", "eighty", "PORT: must be a port number from 0 to 65535"),
        ("PORT", "-1", "PORT: must be a port number from 0 to 65535"),
        ("PORT", "65536", "PORT: must be a port number from 0 to 65535"),
        ("PORT", "80.5", "PORT: must be a port number from 0 to 65535"),
        ("PORT", "٨٠", "PORT: must be a port number from 0 to 65535"),
        ("WEB_CONCURRENCY", "0", "WEB_CONCURRENCY: must be a whole number from 1 to 1000"),
        ("SLUICE_TIMEOUT_TOTAL", "inf", "SLUICE_TIMEOUT_TOTAL: must be a number above 0 and below 10^12"),
        (
            "SLUICE_BREAKER",
            "maybe",
            "SLUICE_BREAKER: must be true or false (in a variable also on, off, 1 or 0)",
        ),
        ("SLUICE_BACKGROUND", "on", "SLUICE_BACKGROUND: must be 'embedded' or 'off'"),
        (
            "SLUICE_ALLOWED_ORIGINS",
            "app.example.com",
            "SLUICE_ALLOWED_ORIGINS: must be origins such as https://app.example.com, or '*'",
        ),
        ("SLUICE_KEYS", "secret", "SLUICE_KEYS: entry 1 must be name:key or name:key:tenant"),
        ("SLUICE_KEYS", "a:secret,", "SLUICE_KEYS: entry 2 must be name:key or name:key:tenant"),
        ("SLUICE_KEYS", "a:secret,a:secret2", "SLUICE_KEYS: entry 2 repeats a name"),
        ("SLUICE_KEYS", "a:secret,b:secret", "SLUICE_KEYS: has the same key as 'a'"),
        ("DATABASE_URL", "oracle://u:secret@h", "DATABASE_URL: must be a sqlite:// or postgresql:// URL"),
        (
            "DATABASE_URL",
            "sqlite:///secret.db?mode=ro",
            "DATABASE_URL: the parameter 'mode' is not known for SQLite, which takes none",
        ),
        ("SLUICE_LISTEN_URL", "sqlite:///secret.db", "SLUICE_LISTEN_URL: must be a postgresql:// URL"),
        ("REDIS_URL", "secret", "REDIS_URL: must be a redis:// or rediss:// URL"),
        (
            "GROQ_BASE_URL",
            "secret",
            "GROQ_BASE_URL: must be an http or https URL without query or user, such as https://host/v1",
        ),
        (
            "HTTPS_PROXY",
            "http://u:secret@:x",
            "environment: HTTPS_PROXY is not a proxy URL (scheme://[user:password@]host[:port])",
        ),
        (
            "SSL_CERT_FILE",
            "/nowhere.pem",
            "environment: SSL_CERT_FILE: the CA bundle /nowhere.pem does not exist",
        ),
        ("GROQ_API_KEY", "secret\nsecret", f"GROQ_API_KEY: {UNSENDABLE}"),
        ("ANTHROPIC_API_KEY", "secret-sk-ant-…", f"ANTHROPIC_API_KEY: {UNSENDABLE}"),
        ("SLUICE_KEYS", "ann:secret\tsecret…", f"SLUICE_KEYS: {UNSENDABLE}"),
        ("SLUICE_CONFIG", "absent.toml", "absent.toml: cannot be read: No such file or directory"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable_and_no_value(
    variable: str, text: str, fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load({variable: text})
    assert str(caught.value) == fault
    assert "secret" not in repr(caught.value)


def test_all_faults_are_told_at_once(load_text: Loader) -> None:
    text = "[server]\nport='x'\n[providers.openai]\nkey='k'\n[keys.a]\n"
    assert faults_of(text, load_text, SLUICE_HOLD="-1") == [
        "server.port: must be a port number from 0 to 65535",
        "SLUICE_HOLD: must be a number, at least 0 and below 10^12",
        "providers.openai.key: is unknown; did you mean 'keys'?",
        "keys.a.key: is missing",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"keys = [", "own.toml: is not TOML: Invalid value (at end of document)"),
        (b"\xff\xfe", "own.toml: cannot be read: it is not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_one_fault(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"own\.toml: ") as caught:
        load({}, tmp_path / "own.toml")
    assert str(caught.value).endswith(message)


def test_the_file_in_the_current_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "sluice.toml").write_text("[server]\nport = 81\n")
    assert load({}).port == 81


CANARY = "c4n4ry-0f-a-s3cr3t"


def canaries(load_text: Loader) -> Settings:
    text = f"""
[server]
database_url = "postgres://u:{CANARY}@h/d"
redis_url = "redis://:{CANARY}@h/0?password={CANARY}"
master_key = "{CANARY}-m"
alert_url = "https://u:{CANARY}@hooks/{CANARY}?k={CANARY}"
alert_secret = "{CANARY}"
secret_keys = ["{CANARY}"]
[providers.openai]
keys = [{{ value = "{CANARY}" }}]
headers = {{ X-Extra = "{CANARY}" }}
proxy = "http://u:{CANARY}@proxy:1"
[providers.azure]
base_url = "https://h"
options = {{ client_secret = "{CANARY}", tenant_id = "t", client_id = "c", token = "{CANARY}" }}
[keys.ann]
key = "{CANARY}"
"""
    return load_text(
        text,
        AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY=CANARY,
        AWS_SESSION_TOKEN=CANARY,
        SLUICE_KEYS=f"bob:{CANARY}-b",
        HTTPS_PROXY=f"http://u:{CANARY}@p:1",
    )


def test_no_secret_is_shown_by_any_text_of_the_settings(load_text: Loader) -> None:
    settings = canaries(load_text)
    shown = [repr(settings), str(settings), f"{settings.keys}", repr(list(settings.providers.values()))]
    shown += describe(settings, configured_names(settings))
    assert [text for text in shown if CANARY in text] == []
    # the same values are there all the same
    assert settings.keys[0].secret.reveal() == CANARY
    assert settings.providers["azure"].options["client_secret"].reveal() == CANARY


def test_scrubbing_removes_every_variable_that_held_a_secret(load_text: Loader, tmp_path: Path) -> None:
    environ = {
        "OPENAI_API_KEY": CANARY,
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_ACCESS_KEY_ID": "id",
        "SLUICE_KEYS": f"a:{CANARY}",
        "SLUICE_MASTER_KEY": CANARY + "m",
        "SLUICE_SECRET_KEY": CANARY,
        "DATABASE_URL": f"postgres://u:{CANARY}@h/d",
        "OWN": CANARY,
        "PATH": "/bin",
        "PORT": "1",
    }
    (tmp_path / "own.toml").write_text("[providers.groq]\napi_key = 'env:OWN'\n")
    settings = load(environ, tmp_path / "own.toml")
    scrub_environ(environ, settings)
    assert environ == {"AWS_ACCESS_KEY_ID": "id", "PATH": "/bin", "PORT": "1"}
    assert settings.providers["openai"].keys[0].secret.reveal() == CANARY


def test_open_beside_client_keys_is_a_fault(load_text: Loader) -> None:
    fault = "SLUICE_OPEN: serves everyone, but client keys are set; set one of the two"
    assert faults_of("", load_text, SLUICE_OPEN="1", SLUICE_KEYS="ann:sk-ann-0123456789") == [fault]
    in_file = '[server]\nopen = true\n[keys.ann]\nkey = "sk-ann-0123456789"\n'
    assert faults_of(in_file, load_text) == [fault.replace("SLUICE_OPEN", "server.open")]


@pytest.mark.parametrize("place", ["server", "tenants.t", "keys.k", "providers.openai"])
@pytest.mark.parametrize(
    ("limit", "fault"),
    [
        ("{ requests = 0, per = 'hour' }", "limits[0].requests: must be a whole number above 0"),
        ("{ tokens = nan, per = 'hour' }", "limits[0].tokens: must be a whole number above 0"),
        ("{ requests = 1 }", "limits[0].per: is required: 'second', 'minute', 'hour' or 'day'"),
        ("{ requests = 1, per = 'week' }", "limits[0].per: must be 'second', 'minute', 'hour' or 'day'"),
        ("{ concurrent = 1, per = 'day' }", "limits[0].per: cannot be combined with 'concurrent'"),
        ("{ per = 'day' }", "limits[0]: needs one of 'requests', 'tokens' and 'concurrent'"),
        ("{ request = 1, per = 'day' }", "limits[0].request: is unknown; did you mean 'requests'?"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_place(
    place: str, limit: str, fault: str, load_text: Loader
) -> None:
    key = "key = 'k'\n" if place == "keys.k" else ""
    faults = faults_of(f"[{place}]\n{key}limits = [{limit}]\n", load_text)
    assert f"{place}.{fault}" in faults


def test_a_pattern_of_a_limit_has_256_characters_at_most(load_text: Loader) -> None:
    text = "[server]\nlimits = [{ concurrent = 1, models = '%s' }]"
    assert load_text(text % ("a" * 256)).limits == (Limit("concurrent", 1, None, "a" * 256),)
    assert len(faults_of(text % ("a" * 257), load_text)) == 1


@pytest.mark.parametrize("place", ["server", 'models."fast"', "keys.ann"])
@pytest.mark.parametrize(
    ("cache", "fault"),
    [
        ("true", "must be a table such as { ttl = '5m' }, or false"),
        ("'5m'", "must be a table such as { ttl = '5m' }, or false"),
        ("{ ttl = 0 }", "must be a time such as '30s'"),
        ("{ ttl = '31d' }", "must be a time such as '30s'"),
        ("{ ttl = nan }", "must be a time such as '30s'"),
        ("{ single_flight = 1 }", "must be true or false"),
        ("{ tll = '5m' }", "is unknown; did you mean 'ttl'?"),
        ("{ semantic = true }", "must be a table"),
        ("{ semantic = {} }", "cache.semantic.model: is missing"),
        ("{ semantic = { model = 'openai/x', threshold = 1.1 } }", "must be a number from 0 to 1"),
        ("{ semantic = { model = 'openai/x', threshold = nan } }", "must be a number from 0 to 1"),
        ("{ semantic = { model = 'openai/x', history = 0 } }", "must be a whole number above 0"),
    ],
)
def test_a_cache_that_cannot_be_is_a_fault(place: str, cache: str, fault: str, load_text: Loader) -> None:
    more = {"server": "", 'models."fast"': 'target = "sandbox/x"\n', "keys.ann": 'key = "sk-ann"\n'}[place]
    assert any(fault in line for line in faults_of(f"[{place}]\n{more}cache = {cache}\n", load_text))
