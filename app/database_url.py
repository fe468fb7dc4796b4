"""``DATABASE_URL`` as other tools write it: what its parameters mean here, and what is wrong with it.

Values only, by the standard library alone: the configuration looks at the URL before any
database library is loaded. No sentence shows a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl

POSTGRES: Final = ("postgres", "postgresql")
_FORM: Final = "postgresql://user:password@host:5432/name or sqlite:///file.db"
_SHAPE: Final = re.compile(
    r"(?P<scheme>[A-Za-z][\w+]*)://(?:(?P<user>[^:/@]*(?::[^@]*)?)@)?(?P<place>[^/?]*)(?:/(?P<name>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_PLACE: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")

#: libpq's own parameters (PostgreSQL 17, "Parameter Key Words"); they go on to it as they are.
_LIBPQ: Final = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "user", "password", "passfile", "require_auth"),
        *("channel_binding", "connect_timeout", "client_encoding", "options", "application_name"),
        *("fallback_application_name", "keepalives", "keepalives_idle", "keepalives_interval"),
        *("keepalives_count", "tcp_user_timeout", "gssencmode", "sslmode", "sslnegotiation"),
        *("sslcompression", "sslcert", "sslkey", "sslpassword", "sslcertmode", "sslrootcert", "sslcrl"),
        *("sslcrldir", "sslsni", "requirepeer", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("krbsrvname", "gsslib", "gssdelegation", "service", "target_session_attrs"),
        "load_balance_hosts",
    }
)
_POOL: Final = frozenset({"connection_limit", "pool_size", "pool", "pool_max_conns"})
_WAIT: Final = frozenset({"pool_timeout"})
_SCHEMA: Final = frozenset({"schema", "currentSchema", "search_path"})
#: What these ask for holds anyway: nothing of ours outlives a transaction, no statement is prepared.
_HELD: Final = frozenset(
    {
        *("pgbouncer", "statement_cache_size", "prepared_statement_cache_size", "prepareThreshold"),
        *("prepared_statements", "uselibpqcompat"),
    }
)
_SSL: Final[Mapping[tuple[str, str], str]] = {
    ("sslmode", "no-verify"): "require",  # node-postgres
    ("ssl", "true"): "require",
    ("ssl", "1"): "require",
    ("ssl", "false"): "disable",
    ("ssl", "0"): "disable",
    ("ssl", "require"): "require",
    ("sslaccept", "strict"): "verify-full",  # Prisma
    ("sslaccept", "accept_invalid_certs"): "require",
}
_FOREIGN_SSL: Final = frozenset(name for name, _ in _SSL) - _LIBPQ
_KNOWN: Final = _LIBPQ | _POOL | _WAIT | _SCHEMA | _HELD | _FOREIGN_SSL


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a URL: ``libpq`` is for the driver, the rest for us (None: not given)."""

    libpq: dict[str, str] = field(default_factory=dict)
    pool: int | None = None
    wait: float | None = None
    schema: str | None = None


def is_postgres(url: str) -> bool:
    """Tell whether a URL names PostgreSQL, however its driver is spelt."""
    return url.partition("://")[0].partition("+")[0] in POSTGRES


def password_of(url: str) -> str | None:
    """Return the password in a URL as it is written there, whatever characters it holds."""
    shape = _SHAPE.fullmatch(url)
    return (shape["user"] or "").partition(":")[2] or None if shape else None


def read_parameters(query: Mapping[str, str]) -> Parameters:
    """Sort a PostgreSQL URL's parameters by what they mean; those that mean nothing are left out."""
    libpq, ours = {}, {}
    for name, value in query.items():
        if name in _POOL:
            ours["pool"] = value
        elif name in _WAIT:
            ours["wait"] = value
        elif name in _SCHEMA:
            ours["schema"] = value
        elif (name, value) in _SSL:
            libpq["sslmode"] = _SSL[name, value]
        elif name in _LIBPQ:
            libpq[name] = value
    return Parameters(
        libpq,
        pool=int(ours["pool"]) if "pool" in ours else None,
        wait=float(ours["wait"]) if "wait" in ours else None,
        schema=ours.get("schema"),
    )


def faults_of(url: str) -> list[str]:
    """Return all that is wrong with a ``DATABASE_URL``, as sentences that follow its name."""
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        return [f"is not a database URL; write {_FORM}"]
    kind = shape["scheme"].partition("+")[0]
    if kind == "sqlite":
        return list(_sqlite_faults(shape))
    if kind not in POSTGRES:
        return [f"{kind!r} is not served; write {_FORM}"]
    return [*_address_faults(shape), *_parameter_faults(shape["query"] or "")]


def _sqlite_faults(shape: re.Match[str]) -> Iterator[str]:
    if shape["place"] or shape["user"]:
        yield "needs three slashes before a file's name (four before a path from the root): sqlite:///file.db"
    elif shape["name"] in (None, "", ":memory:"):
        yield "needs a file, for example sqlite:///sluice.db, for several connections share it"
    for name, _ in parse_qsl(shape["query"] or "", keep_blank_values=True):
        yield f"the parameter {name!r} is not known for SQLite, which takes none"


def _address_faults(shape: re.Match[str]) -> Iterator[str]:
    if "@" in shape["place"]:
        yield "an '@' in the user or the password must be written %40"
        return
    if "@" in (shape["name"] or ""):
        yield "in the user or the password an '@' must be written %40, and a '/' %2F"
        return
    place = _PLACE.fullmatch(shape["place"])
    if place is None:
        yield "names no host and port (write an IPv6 address in brackets)"
    elif place["port"] and not _is_port(place["port"]):
        yield "the port must be a number from 1 to 65535"


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 0 < int(text) < 65536


def _parameter_faults(query: str) -> Iterator[str]:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _POOL and not (value.isascii() and value.isdigit() and int(value) > 0):
            yield f"the parameter {name!r} must be a whole number above 0"
        elif name in _WAIT and not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
            yield f"the parameter {name!r} must be a number of seconds"
        elif name in _SCHEMA and not re.fullmatch(r"[\w$]+(,[\w$]+)*", value):
            yield f"the parameter {name!r} must name a schema, or several with commas between"
        elif name in _FOREIGN_SSL and (name, value) not in _SSL:
            modes = ", ".join(word for mode, word in _SSL if mode == name)
            yield f"the parameter {name!r} must be one of {modes}; libpq's own is sslmode"
        elif name not in _KNOWN:
            yield _unknown(name)


def _unknown(name: str) -> str:
    near = get_close_matches(name, sorted(_KNOWN), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"the parameter {name!r} is not known, nor is it one of libpq's{hint}"
