"""The members of ``[server]``: variable, kind and meaning, one row each.

The schema of the file, the reader of the environment and ``docs/configuration.md`` come from this table.
"""

from __future__ import annotations

from typing import Final

from app.canonical.record import record
from app.config_loading import value_kinds
from app.config_loading.value_kinds import Kind


@record
class Member:
    """One setting: its path below ``[server]``, its variable, its kind and its meaning."""

    path: tuple[str, ...]
    variable: str
    kind: Kind
    meaning: str
    secret: bool = False


def _row(path: str, variable: str, kind: Kind, meaning: str, *, secret: bool = False) -> Member:
    return Member(tuple(path.split(".")), variable, kind, meaning, secret)


MEMBERS: Final = (
    _row(
        "host",
        "SLUICE_HOST",
        value_kinds.TEXT,
        "address to bind; other than loopback needs client keys or `open`",
    ),
    _row("port", "PORT", value_kinds.between(0, 65535, "a port number"), "port to listen on"),
    _row(
        "workers",
        "WEB_CONCURRENCY",
        value_kinds.between(1, 1_000, "a whole number"),
        "number of worker processes",
    ),
    _row(
        "keepalive",
        "SLUICE_KEEPALIVE",
        value_kinds.WHOLE,
        "seconds an idle client connection stays open, a whole number",
    ),
    _row(
        "database_url",
        "DATABASE_URL",
        value_kinds.DATABASE,
        "SQLite file or PostgreSQL database",
        secret=True,
    ),
    _row(
        "database_pool",
        "SLUICE_DATABASE_POOL",
        value_kinds.COUNT,
        "most PostgreSQL connections of one process; default: `connection_limit` of the URL, else 20",
    ),
    _row(
        "database_wait",
        "SLUICE_DATABASE_WAIT",
        value_kinds.FROM_0,
        "seconds a call waits for a free connection; default: `pool_timeout` of the URL, else 5",
    ),
    _row(
        "listen_url",
        "SLUICE_LISTEN_URL",
        value_kinds.POSTGRES,
        "direct PostgreSQL URL for `LISTEN`, if `DATABASE_URL` goes through a pooler",
        secret=True,
    ),
    _row(
        "redis_url",
        "REDIS_URL",
        value_kinds.REDIS,
        "Redis in which all processes share limits and cached answers",
        secret=True,
    ),
    _row("master_key", "SLUICE_MASTER_KEY", value_kinds.TEXT, "key of the administrator", secret=True),
    _row("open", "SLUICE_OPEN", value_kinds.FLAG, "serve everyone, without client keys"),
    _row(
        "secret_keys",
        "SLUICE_SECRET_KEY",
        value_kinds.SECRETS,
        "comma list (in the file also a list): the first encrypts the tokens that clients hold and, with "
        "`encrypt`, stored content; all of them decrypt; required with PostgreSQL",
        secret=True,
    ),
    _row(
        "encrypt",
        "SLUICE_ENCRYPT",
        value_kinds.FLAG,
        "encrypt content before it is stored; `sluice db reencrypt` rewrites what is already there",
    ),
    _row(
        "timeouts.connect", "SLUICE_TIMEOUT_CONNECT", value_kinds.ABOVE_0, "seconds to connect to a provider"
    ),
    _row(
        "timeouts.first_byte",
        "SLUICE_TIMEOUT_FIRST_BYTE",
        value_kinds.ABOVE_0,
        "seconds to the first byte; default: 120 for streams, `total` for JSON answers",
    ),
    _row(
        "timeouts.idle",
        "SLUICE_TIMEOUT_IDLE",
        value_kinds.ABOVE_0,
        "seconds of silence allowed within a stream",
    ),
    _row(
        "timeouts.total",
        "SLUICE_TIMEOUT_TOTAL",
        value_kinds.ABOVE_0,
        "seconds for a whole call, retries included",
    ),
    _row(
        "timeouts.background",
        "SLUICE_TIMEOUT_BACKGROUND",
        value_kinds.ABOVE_0,
        "seconds for a background response",
    ),
    _row(
        "max_retries",
        "SLUICE_MAX_RETRIES",
        value_kinds.between(0, 5, "a whole number"),
        "retries per target",
    ),
    _row(
        "background",
        "SLUICE_BACKGROUND",
        value_kinds.one_of("embedded", "off"),
        "where background responses and batches run: `embedded` in the web workers, `off` only in `sluice worker`",
    ),
    _row(
        "batch_lines",
        "SLUICE_BATCH_LINES",
        value_kinds.COUNT,
        "batch lines that one process runs at once, shared fairly between tenants",
    ),
    _row(
        "native_batches",
        "SLUICE_NATIVE_BATCHES",
        value_kinds.PROVIDERS,
        "comma list (in the file also a list) of providers that run batches themselves, unless a limit or budget "
        "applies to them; `off`: none",
    ),
    _row(
        "worker_port",
        "SLUICE_WORKER_PORT",
        value_kinds.between(1, 65535, "a port number"),
        "port on which `sluice worker` serves `/healthz`, `/readyz` and `/metrics`; default: none",
    ),
    _row(
        "worker_grace",
        "SLUICE_WORKER_GRACE",
        value_kinds.ABOVE_0,
        "seconds `sluice worker` has to finish its work after SIGTERM",
    ),
    _row(
        "status_after",
        "SLUICE_STATUS_AFTER",
        value_kinds.ABOVE_0,
        "seconds without content after which a stream sends its 200 and keep-alives",
    ),
    _row(
        "hold",
        "SLUICE_HOLD",
        value_kinds.FROM_0,
        "seconds for which the first events of a stream are held back until content comes",
    ),
    _row(
        "comment_every", "SLUICE_COMMENT_EVERY", value_kinds.ABOVE_0, "seconds of silence between keep-alives"
    ),
    _row(
        "allowed_origins",
        "SLUICE_ALLOWED_ORIGINS",
        value_kinds.ORIGINS,
        "comma list (in the file also a list) of origins whose web pages may call; `*` for all",
    ),
    _row("sandbox", "SLUICE_SANDBOX", value_kinds.FLAG, "enable the built-in `sandbox` provider"),
    _row("breaker", "SLUICE_BREAKER", value_kinds.FLAG, "circuit breaker and cooldowns"),
    _row(
        "sticky_prompts",
        "SLUICE_STICKY_PROMPTS",
        value_kinds.FLAG,
        "send calls of a tenant whose prompts begin with the same 1,024 tokens to the same target and key",
    ),
    _row(
        "store_by_default",
        "SLUICE_STORE_BY_DEFAULT",
        value_kinds.FLAG,
        "store responses whose request does not set `store`",
    ),
    _row("retention_days", "SLUICE_RETENTION_DAYS", value_kinds.DAYS, "days to keep stored responses"),
    _row(
        "raw_allowed",
        "SLUICE_RAW_ALLOWED",
        value_kinds.FLAG,
        "let clients ask for the raw exchange with a provider",
    ),
    _row(
        "responses_done",
        "SLUICE_RESPONSES_DONE",
        value_kinds.FLAG,
        "end Responses streams with `[DONE]`, as chat streams do",
    ),
    _row("max_body_bytes", "SLUICE_MAX_BODY_BYTES", value_kinds.COUNT, "largest request body, in bytes"),
    _row("max_upload_bytes", "SLUICE_MAX_UPLOAD_BYTES", value_kinds.COUNT, "largest uploaded file, in bytes"),
    _row(
        "body_deadline",
        "SLUICE_BODY_DEADLINE",
        value_kinds.ABOVE_0,
        "seconds a request body, or a message over a WebSocket, may take to arrive",
    ),
    _row(
        "drain_after",
        "SLUICE_DRAIN_AFTER",
        value_kinds.FROM_0,
        "seconds that open streams have to end after SIGTERM",
    ),
    _row(
        "models_kept",
        "SLUICE_MODELS_KEPT",
        value_kinds.FROM_0,
        "seconds to cache a provider's list of models",
    ),
    _row(
        "proxy_hops",
        "SLUICE_PROXY_HOPS",
        value_kinds.WHOLE,
        "number of trusted proxies in front, for `X-Forwarded-Prefix`",
    ),
    _row("docs", "SLUICE_DOCS", value_kinds.FLAG, "serve `/docs`, a page of all operations, without a key"),
    _row(
        "metrics",
        "SLUICE_METRICS",
        value_kinds.FLAG,
        "serve `/metrics` for Prometheus, without a key; do not expose it to the public",
    ),
    _row(
        "otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_kinds.BASE_URL,
        "OpenTelemetry collector (OTLP over HTTP) that receives a span for each call and attempt",
    ),
    _row(
        "traces_content",
        "SLUICE_TRACES_CONTENT",
        value_kinds.FLAG,
        "add prompts and answers to spans, without secrets and cut at 64 KiB",
    ),
    _row(
        "log",
        "SLUICE_LOG",
        value_kinds.one_of("auto", "console", "json"),
        "format of the log on standard error; `auto` is `console` on a terminal, else `json`",
    ),
    _row(
        "call_log",
        "SLUICE_CALL_LOG",
        value_kinds.one_of("on", "errors", "off"),
        "calls that get a row in the database, for `/admin/calls`: all (`on`), failed ones (`errors`) or none (`off`)",
    ),
    _row(
        "admin_reads_content",
        "SLUICE_ADMIN_READS_CONTENT",
        value_kinds.FLAG,
        "show prompts and answers in `/admin/responses` and `/admin/conversations`",
    ),
    _row("log_days", "SLUICE_LOG_DAYS", value_kinds.ABOVE_0, "days to keep rows of the call log"),
    _row(
        "log_bodies",
        "SLUICE_LOG_BODIES",
        value_kinds.FLAG,
        "keep request and answer with each row of the call log, encrypted and cut at 64 KiB each",
    ),
    _row("log_bodies_days", "SLUICE_LOG_BODIES_DAYS", value_kinds.ABOVE_0, "days to keep these bodies"),
    _row("log_rows", "SLUICE_LOG_ROWS", value_kinds.COUNT, "most rows of the call log to keep"),
    _row(
        "budget_lease",
        "SLUICE_BUDGET_LEASE",
        value_kinds.between(3, 86_400, "a whole number of seconds"),
        "seconds after which a budget reservation of a killed process counts as spent; running calls renew theirs",
    ),
    _row(
        "budget_output",
        "SLUICE_BUDGET_OUTPUT",
        value_kinds.COUNT,
        "tokens that a budget reserves for an answer if the request sets no limit",
    ),
    _row(
        "ledger_days",
        "SLUICE_LEDGER_DAYS",
        value_kinds.ABOVE_0,
        "days after which ledger rows are merged into one per day and budget",
    ),
    _row(
        "spool",
        "SLUICE_SPOOL",
        value_kinds.TEXT,
        "folder that holds ledger rows while the database is unreachable, 64 MiB at most; default: none, rows are dropped and counted",
    ),
    _row(
        "alert_url",
        "SLUICE_ALERT_URL",
        value_kinds.HTTP_URL,
        "webhook URL that receives budget alerts",
        secret=True,
    ),
    _row(
        "alert_secret",
        "SLUICE_ALERT_SECRET",
        value_kinds.TEXT,
        "secret that signs these webhooks (Standard Webhooks, `whsec_…`)",
        secret=True,
    ),
    _row(
        "limits_fail",
        "SLUICE_LIMITS_FAIL",
        value_kinds.one_of("share", "open", "closed"),
        "while Redis is unreachable: each process enforces its share of the limits (`share`), allows all calls (`open`) or refuses them (`closed`)",
    ),
)

KEYS_VARIABLE: Final = "SLUICE_KEYS"
FILE_VARIABLE: Final = "SLUICE_CONFIG"
DEFAULT_FILE: Final = "sluice.toml"

EGRESS_VARIABLES: Final = tuple(
    spelling
    for name in (
        *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    )
    for spelling in (name, name.lower())
)
"""Variables of proxies and certificate authorities: the only ones that stay in the environment after loading."""
