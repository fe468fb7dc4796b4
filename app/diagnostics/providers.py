"""Checks of providers: whether each key can have the list of models, and what prevents it.

Tests: tests/terminal/test_doctor.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gevent.pool import Pool

from app.bind_address import is_own
from app.config import Settings
from app.config_loading.advice import OWN_ADDRESS, path_fault
from app.diagnostics.clock import Clock
from app.diagnostics.findings import Finding, fail, note, ok
from app.errors import GatewayError
from app.providers import row_of
from app.providers.base import Provider
from app.providers.registry import configured_names, make_provider
from app.wire.egress import Clocks, Egress

_AT_ONCE: Final = 8
"""Providers asked at the same time; one that does not answer takes twenty seconds."""


def check_providers(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Yield what each configured provider answers, in their order."""
    egress = Egress(settings.environ)
    names = [name for name in configured_names(settings) if not row_of(name).always]
    if not names:
        yield note("providers", "none is configured but the built-in ones; set a key, such as OPENAI_API_KEY")

    def ask(name: str) -> list[Finding]:
        provider = make_provider(name, settings, egress)
        if is_own(settings, provider.settings.base_url or ""):
            return [fail(name, f"the base URL {OWN_ADDRESS[0]}", OWN_ADDRESS[1])]
        return list(_provider(name, provider, clock))

    pool = Pool(_AT_ONCE)
    try:
        for findings in pool.imap(ask, names):
            yield from findings
    finally:
        pool.kill(block=False)  # the reader may have stopped early
    for name in settings.providers:
        if name not in names and (problem := make_provider(name, settings, egress).configuration_problem()):
            yield fail(name, problem)


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
            try:
                is_json = upstream.read1().lstrip()[:1] in (b"{", b"[")
            finally:
                upstream.close()
        except GatewayError as error:
            yield _unreachable(name, label, error)
            continue
        clock.compare_header(name, upstream.headers.get("date"))
        if upstream.status < 400 and not is_json:
            sentence = f"{label}: answers with status {upstream.status}, but without JSON"
            yield fail(
                name, sentence, "check its base URL and whether a network's log-in page answers for it"
            )
        else:
            yield _refusal(name, label, upstream.status, provider)


def _unreachable(name: str, label: str, error: GatewayError) -> Finding:
    cause = f" ({error.raw})" if isinstance(error.raw, str) else ""
    step, remedy = _STEPS.get(error.kind.name, _CONNECTION)
    return fail(name, f"{label}: {step}: {error.message}{cause}", remedy)


def _refusal(name: str, label: str, status: int, provider: Provider) -> Finding:
    sentence = f"{label}: answers with status {status}"
    if status < 400:
        return ok(name, sentence)
    if status == 404 and (fault := path_fault(provider)):
        return fail(name, f"{sentence}: the base URL {fault[0]}", fault[1])
    why, remedy = _STATUSES.get(status, ("", "check the provider's status page"))
    return fail(name, f"{sentence}{why}", remedy)


_CONNECTION: Final = ("connection", "check its base URL and whether a firewall or a proxy blocks the way")
_STEPS: Final = {
    # kind of error: what to look at, and the remedy
    "upstream_dns": ("DNS", "check the host in its base URL and this machine's name servers"),
    "upstream_tls": (
        "TLS",
        "check its base URL and whether it is served by https there; add its certificate authority with ca_bundle or SSL_CERT_FILE",
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
