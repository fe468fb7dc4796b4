"""Kinds of values: what is valid, how a variable's text is read, and the error sentence.

A kind is used twice: as a field of a marshmallow schema, and to read a variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields

from app.canonical.record import record
from app.database_url import is_postgres

_MOST: Final = 10**15
"""Whole numbers are below: databases, scripts of Redis and JSON of others have them exactly."""

MISSING: Final = "is missing"
"""The sentence for a required member that is absent."""


@record
class Kind:
    """One kind. ``read`` converts a variable's text, or returns the text if it is invalid."""

    sentence: str
    fits: Callable[[Any], bool]
    read: Callable[[str], Any] = str


class KindField(fields.Field[Any]):
    """A schema field of one kind: returns a valid value, else raises with the kind's sentence."""

    def __init__(self, kind: Kind, **options: Any) -> None:
        self.kind = kind
        sentences: dict[str, Any] = {"required": MISSING, "null": kind.sentence}
        super().__init__(error_messages=sentences, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        if not self.kind.fits(value):
            is_huge = self.kind in (COUNT, WHOLE) and isinstance(value, int) and value >= _MOST
            raise ValidationError(f"{self.kind.sentence}, and below 10^15" if is_huge else self.kind.sentence)
        return value


def is_text(value: Any) -> bool:
    """Tell whether ``value`` is a text that is not blank; no path, host or header may have a NUL."""
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < _MOST


def _read_number(text: str) -> Any:
    try:
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text)
    except ValueError:  # keep the text; it is refused as no number
        return text


_FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _read_flag(text: str) -> Any:
    return _FLAGS.get(text.lower(), text)


def _is_url(value: Any, schemes: frozenset[str]) -> bool:
    if not is_text(value) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # an invalid port or address
        return False


def _is_sound(url: str) -> bool:
    """Tell whether the host and the port of a URL can be read."""
    try:
        return (urlsplit(url).port or 1) > 0
    except ValueError:
        return False


def _is_base_url(value: Any) -> bool:
    if not _is_url(value, frozenset({"http", "https"})):
        return False
    parts = urlsplit(value)
    return not parts.query and not parts.fragment and parts.username is None


def _is_database(value: Any) -> bool:
    return is_text(value) and value.partition("://")[0].partition("+")[0] in (
        *("sqlite", "postgres", "postgresql"),
    )


def one_of(*names: str) -> Kind:
    """Return the kind of texts that are one of ``names``."""
    *others, last = (f"'{name}'" for name in names)
    choices = f"{', '.join(others)} or {last}" if others else last
    return Kind(f"must be {choices}", lambda value: value in names)


def between(low: int, high: int, what: str) -> Kind:
    """Return the kind of whole numbers from ``low`` to ``high``."""
    return Kind(
        f"must be {what} from {low} to {high}", lambda v: _is_whole(v) and low <= v <= high, _read_number
    )


TEXT: Final = Kind("must be a text", is_text)
NAME: Final = Kind(
    "must consist of at most 64 letters, digits, '.', '_' and '-'",
    lambda v: isinstance(v, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", v) is not None,
)
FLAG: Final = Kind(
    "must be true or false (in a variable also on, off, 1 or 0)", lambda v: isinstance(v, bool), _read_flag
)
ABOVE_0: Final = Kind(
    "must be a number above 0 and below 10^12", lambda v: _is_number(v) and 0 < v < 1e12, _read_number
)
FROM_0: Final = Kind(
    "must be a number, at least 0 and below 10^12", lambda v: _is_number(v) and 0 <= v < 1e12, _read_number
)
NUMBER: Final = Kind("must be a number", _is_number, _read_number)
COUNT: Final = Kind("must be a whole number above 0", lambda v: _is_whole(v) and v > 0, _read_number)
WHOLE: Final = Kind("must be a whole number, 0 or more", lambda v: _is_whole(v) and v >= 0, _read_number)
DAYS: Final = Kind(
    "must be a number of days above 0 and below 1,000,000, or 'never'",
    lambda v: v == "never" or (_is_number(v) and 0 < v < 1e6),
    _read_number,
)
BASE_URL: Final = Kind(
    "must be an http or https URL without query or user, such as https://host/v1", _is_base_url
)
DATABASE: Final = Kind("must be a sqlite:// or postgresql:// URL", _is_database)
HTTP_URL: Final = Kind("must be an http or https URL", lambda v: _is_url(v, frozenset({"http", "https"})))
POSTGRES: Final = Kind("must be a postgresql:// URL", lambda v: is_text(v) and is_postgres(v))
REDIS: Final = Kind(
    "must be a redis:// or rediss:// URL",
    lambda v: is_text(v) and v.partition("://")[0] in ("redis", "rediss", "unix") and _is_sound(v),
)
HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
HEADER: Final = Kind(
    "must be a valid header value",
    lambda v: isinstance(v, str) and re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", v) is not None,
)
KEY: Final = Kind(
    "must be a text that a header can carry, without line ends and characters such as '…'",
    lambda v: is_text(v) and HEADER.fits(v),
)
PATTERN: Final = Kind(
    "must be a pattern over provider/model, or a name of [models], with '*' for any text, 256 characters at most",
    lambda v: is_text(v) and len(v) <= 256 and v.isprintable(),
)
TEXTS: Final = Kind(
    "must be a list of texts", lambda v: isinstance(v, list) and all(is_text(text) for text in v)
)
SECRETS: Final = Kind(
    "must be a text or a list of texts",
    lambda v: is_text(v) or (isinstance(v, list) and bool(v) and all(is_text(text) for text in v)),
)
_ORIGIN: Final = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?"
)


def split_list(value: Any) -> list[str]:
    """Return the texts of a list, or of a comma-separated text."""
    texts = value.split(",") if isinstance(value, str) else value
    return [text.strip() for text in texts if text.strip()]


def _are_names(value: Any) -> bool:
    texts = (
        split_list(value)
        if isinstance(value, str) or isinstance(value, list) and all(map(is_text, value))
        else []
    )
    return bool(texts) and all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) for text in texts)


PROVIDERS: Final = Kind("must be names of providers, or 'off'", _are_names)


def _are_origins(value: Any) -> bool:
    if not isinstance(value, str) and not (isinstance(value, list) and all(map(is_text, value))):
        return False
    return all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in split_list(value))


ORIGINS: Final = Kind("must be origins such as https://app.example.com, or '*'", _are_origins)
CERTIFICATE: Final = Kind(
    "must be the path of a PEM file, or a list of two: certificate and key",
    lambda v: is_text(v) or (isinstance(v, list) and len(v) == 2 and all(is_text(path) for path in v)),
)
OPTION_KINDS: Final[Mapping[str, Kind]] = {
    "text": TEXT,
    "secret": TEXT,
    "flag": FLAG,
    "number": FROM_0,
    "table": Kind(
        "must be a table of texts",
        lambda v: isinstance(v, dict) and all(is_text(text) for text in v.values()),
    ),
}
