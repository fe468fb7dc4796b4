"""The members of ``[server]``: variable, kind and meaning, one row each.

The schema of the file, the reading of the environment and ``docs/configuration.md`` all
are generated from this table (contract/surfaces.md 7).
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
        "address to bind; beyond loopback it needs client keys or `open`",
    ),
    _row("port", "PORT", value_kinds.between(0, 65535, "a port number"), "port to bind"),
    _row("workers", "WEB_CONCURRENCY", value_kinds.COUNT, "number of worker processes"),
    _row(
        "keepalive", "SLUICE_KEEPALIVE", value_kinds.WHOLE, "whole seconds an idle client connection is kept"
    ),
    _row(
        "database_url", "DATABASE_URL", value_kinds.DATABASE, "SQLite file or PostgreSQL server", secret=True
    ),
    _row(
        "database_pool",
        "SLUICE_DATABASE_POOL",
        value_kinds.COUNT,
        "connections to PostgreSQL that one process may hold; unset, 20 or the URL's `connection_limit`",
    ),
    _row(
        "database_wait",
        "SLUICE_DATABASE_WAIT",
        value_kinds.FROM_0,
        "seconds a call waits for one of them; unset, 5 or the URL's `pool_timeout`",
    ),
    _row(
        "listen_url",
        "SLUICE_LISTEN_URL",
        value_kinds.POSTGRES,
        "PostgreSQL without the pooler that `DATABASE_URL` goes through, for `LISTEN`",
        secret=True,
    ),
    _row(
        "redis_url",
        "REDIS_URL",
        value_kinds.REDIS,
        "where the processes count their limits together and share what the cache keeps",
        secret=True,
    ),
    _row("master_key", "SLUICE_MASTER_KEY", value_kinds.TEXT, "the administrator's key", secret=True),
    _row("open", "SLUICE_OPEN", value_kinds.FLAG, "serve everyone, without client keys"),
    _row(
        "secret_keys",
        "SLUICE_SECRET_KEY",
        value_kinds.SECRETS,
        "comma list (in the file also a list): the first seals what clients carry and, with `encrypt`, what is "
        "stored; all open; "
        "required with PostgreSQL",
        secret=True,
    ),
    _row(
        "encrypt",
        "SLUICE_ENCRYPT",
        value_kinds.FLAG,
        "seal contents before they are stored; `sluice db reencrypt` rewrites what lies there",
    ),
    _row(
        "timeouts.connect", "SLUICE_TIMEOUT_CONNECT", value_kinds.ABOVE_0, "seconds to connect to a provider"
    ),
    _row(
        "timeouts.first_byte",
        "SLUICE_TIMEOUT_FIRST_BYTE",
        value_kinds.ABOVE_0,
        "seconds to the first byte; unset, 120 for streams and `total` for JSON answers",
    ),
    _row("timeouts.idle", "SLUICE_TIMEOUT_IDLE", value_kinds.ABOVE_0, "seconds of silence within a stream"),
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
        "seconds for a background run",
    ),
    _row(
        "max_retries",
        "SLUICE_MAX_RETRIES",
        value_kinds.between(0, 5, "a whole number"),
        "retries for each target",
    ),
    _row(
        "background",
        "SLUICE_BACKGROUND",
        value_kinds.one_of("embedded", "off"),
        "where background responses and batches run: in the web workers, or only in `sluice worker`",
    ),
    _row(
        "batch_lines",
        "SLUICE_BATCH_LINES",
        value_kinds.COUNT,
        "lines of batches that one process has in flight at once, those of tenants in turn",
    ),
    _row(
        "native_batches",
        "SLUICE_NATIVE_BATCHES",
        value_kinds.PROVIDERS,
        "comma list (in the file also a list): providers that run batches themselves, where no limit or budget "
        "holds a line; `off`: none",
    ),
    _row(
        "worker_port",
        "SLUICE_WORKER_PORT",
        value_kinds.between(1, 65535, "a port number"),
        "port at which `sluice worker` serves `/healthz`, `/readyz` and `/metrics`; unset, at none",
    ),
    _row("worker_grace", "SLUICE_WORKER_GRACE", value_kinds.ABOVE_0, "seconds a leaving `sluice worker` has"),
    _row(
        "status_after",
        "SLUICE_STATUS_AFTER",
        value_kinds.ABOVE_0,
        "seconds after which a silent stream's 200 and keep-alives start",
    ),
    _row(
        "hold", "SLUICE_HOLD", value_kinds.FROM_0, "seconds that a stream's opening events wait for content"
    ),
    _row(
        "comment_every", "SLUICE_COMMENT_EVERY", value_kinds.ABOVE_0, "seconds of silence before a keep-alive"
    ),
    _row(
        "allowed_origins",
        "SLUICE_ALLOWED_ORIGINS",
        value_kinds.ORIGINS,
        "comma list (in the file also a list): origins of web pages that may call, `*` for all",
    ),
    _row("sandbox", "SLUICE_SANDBOX", value_kinds.FLAG, "offer the built-in `sandbox` provider"),
    _row("breaker", "SLUICE_BREAKER", value_kinds.FLAG, "circuit breaker and cooldowns"),
    _row(
        "sticky_prompts",
        "SLUICE_STICKY_PROMPTS",
        value_kinds.FLAG,
        "calls of a tenant whose prompts begin with the same 1,024 tokens go to the same target and key",
    ),
    _row(
        "store_by_default",
        "SLUICE_STORE_BY_DEFAULT",
        value_kinds.FLAG,
        "store responses that do not say `store`",
    ),
    _row("retention_days", "SLUICE_RETENTION_DAYS", value_kinds.DAYS, "days that stored responses are kept"),
    _row(
        "raw_allowed",
        "SLUICE_RAW_ALLOWED",
        value_kinds.FLAG,
        "clients may ask for the raw exchange with a provider",
    ),
    _row(
        "responses_done", "SLUICE_RESPONSES_DONE", value_kinds.FLAG, "end Responses streams with `[DONE]` too"
    ),
    _row("max_body_bytes", "SLUICE_MAX_BODY_BYTES", value_kinds.COUNT, "largest request body"),
    _row("max_upload_bytes", "SLUICE_MAX_UPLOAD_BYTES", value_kinds.COUNT, "largest uploaded file"),
    _row(
        "body_deadline",
        "SLUICE_BODY_DEADLINE",
        value_kinds.ABOVE_0,
        "seconds a request body may take to arrive",
    ),
    _row(
        "drain_after", "SLUICE_DRAIN_AFTER", value_kinds.FROM_0, "seconds that open streams have at SIGTERM"
    ),
    _row(
        "models_kept",
        "SLUICE_MODELS_KEPT",
        value_kinds.FROM_0,
        "seconds that a provider's list of models is kept",
    ),
    _row(
        "proxy_hops",
        "SLUICE_PROXY_HOPS",
        value_kinds.WHOLE,
        "trusted proxies in front, for `X-Forwarded-Prefix`",
    ),
    _row("docs", "SLUICE_DOCS", value_kinds.FLAG, "serve `/docs`, a page of all operations; it needs no key"),
    _row(
        "metrics",
        "SLUICE_METRICS",
        value_kinds.FLAG,
        "serve `/metrics` for Prometheus; it needs no key, so keep it from the public",
    ),
    _row(
        "otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_kinds.BASE_URL,
        "an OpenTelemetry collector that takes OTLP over HTTP; it is sent a span for each call and attempt",
    ),
    _row(
        "traces_content",
        "SLUICE_TRACES_CONTENT",
        value_kinds.FLAG,
        "spans hold prompts and answers, too, without secrets and cut at 64 KiB",
    ),
    _row(
        "log",
        "SLUICE_LOG",
        value_kinds.one_of("auto", "console", "json"),
        "lines on standard error: JSON, or for a person; `auto` is `console` where it is a terminal",
    ),
    _row(
        "call_log",
        "SLUICE_CALL_LOG",
        value_kinds.one_of("on", "errors", "off"),
        "which calls have a row in the database, for `/admin/calls`: all, those that failed, or none",
    ),
    _row(
        "admin_reads_content",
        "SLUICE_ADMIN_READS_CONTENT",
        value_kinds.FLAG,
        "`/admin/responses` and `/admin/conversations` show what was asked and answered",
    ),
    _row("log_days", "SLUICE_LOG_DAYS", value_kinds.ABOVE_0, "days that rows of the call log are kept"),
    _row(
        "log_bodies",
        "SLUICE_LOG_BODIES",
        value_kinds.FLAG,
        "rows of the call log keep what was asked and answered, encrypted and cut at 64 KiB a side",
    ),
    _row("log_bodies_days", "SLUICE_LOG_BODIES_DAYS", value_kinds.ABOVE_0, "days that these are kept"),
    _row("log_rows", "SLUICE_LOG_ROWS", value_kinds.COUNT, "rows of the call log that are kept at most"),
    _row(
        "budget_lease",
        "SLUICE_BUDGET_LEASE",
        value_kinds.between(3, 86_400, "a whole number of seconds"),
        "seconds after which what a killed process had reserved of budgets is counted as spent; running calls renew it",
    ),
    _row(
        "budget_output",
        "SLUICE_BUDGET_OUTPUT",
        value_kinds.COUNT,
        "tokens that a budget reserves for an answer which the request does not bound",
    ),
    _row(
        "ledger_days",
        "SLUICE_LEDGER_DAYS",
        value_kinds.ABOVE_0,
        "days after which rows of the ledger are joined, one a day and budget",
    ),
    _row(
        "spool",
        "SLUICE_SPOOL",
        value_kinds.TEXT,
        "folder in which rows of the ledger wait while the database is away, 64 MiB at most; unset, they are dropped and counted",
    ),
    _row(
        "alert_url",
        "SLUICE_ALERT_URL",
        value_kinds.HTTP_URL,
        "where thresholds of budgets are told, as a webhook",
        secret=True,
    ),
    _row(
        "alert_secret",
        "SLUICE_ALERT_SECRET",
        value_kinds.TEXT,
        "the secret that signs these messages (Standard Webhooks, `whsec_…`)",
        secret=True,
    ),
    _row(
        "limits_fail",
        "SLUICE_LIMITS_FAIL",
        value_kinds.one_of("share", "open", "closed"),
        "while Redis is away: each process keeps its share of the limits, lets all calls through, or refuses them",
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
"""How to get out: the only variables that are kept after loading."""
