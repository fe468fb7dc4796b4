"""What is sound but hardly meant: said by ``sluice check-config``, and no reason not to start.

Each piece of advice has a place, as a fault has. A name that only a catalogue or a door's own
default could explain is not doubted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from fnmatch import fnmatchcase
from typing import Final, Protocol

from app.config import Settings
from app.config_loading.faults import shown_path
from app.config_loading.members import EGRESS_VARIABLES, FILE_VARIABLE, KEYS_VARIABLE, MEMBERS
from app.providers import PROVIDERS, Row, row_of

Advice = tuple[str, str]
"""Place and sentence."""


class Looks(Protocol):
    """What is asked of a provider."""

    def lack(self) -> str | None: ...

    def missing_path(self) -> str | None: ...


Find = Callable[[str], Looks]
"""Returns a provider by its name."""
Knows = Callable[[str], bool]
"""Tells whether a model's bare name is in the catalogue of a configured provider."""

_OURS: Final = "SLUICE_"
_OTHERS: Final = frozenset({"SLUICE_KEY"})
"""Names that are not read, on purpose: the curl line of the start shows the first."""
_ALIKE: Final = 0.86
_SAME_VENDOR: Final = 0.72
_GIVES: Final = ("KEY", "TOKEN", "URL", "BASE", "ENDPOINT", "SECRET", "REGION", "PROJECT", "VERSION")


def advise(settings: Settings, environ: Mapping[str, str], find: Find, knows: Knows) -> Iterator[Advice]:
    """Yield what looks wrong in settings and the environment that they were read from."""
    yield from _lookalikes(settings, environ)
    if settings.alert_url and settings.alert_secret is None:
        yield "SLUICE_ALERT_URL", "gets messages that are not signed; set SLUICE_ALERT_SECRET (whsec_…), too"
    yield from _providers(settings, find)
    yield from _nobodies(settings, find, knows)
    yield from _patterns(settings)


def _lookalikes(settings: Settings, environ: Mapping[str, str]) -> Iterator[Advice]:
    known = _known_variables(settings)
    vendors = {name.partition("_")[0] for name in known}
    for name in environ:
        if name in known or name in _OTHERS or not environ[name]:
            continue
        near = _nearest(name, known, vendors)
        if near is not None:
            yield name, f"is not read; did you mean '{near}'?"
        elif name.startswith(_OURS):
            yield name, "is no setting of this version, and is not read"


def _nearest(name: str, known: frozenset[str], vendors: set[str]) -> str | None:
    """Return the variable that a name was hardly meant to differ from."""
    upper = name.upper()
    if upper.removeprefix(_OURS) in known:  # SLUICE_REDIS_URL
        return upper.removeprefix(_OURS)
    plain = upper.replace("_", "").replace("-", "")
    for variable in sorted(known):
        if variable.replace("_", "") == plain:
            return variable
    near = get_close_matches(upper, sorted(known), n=1, cutoff=_SAME_VENDOR)
    if not near or not upper.endswith(_GIVES + tuple(f"{word}S" for word in _GIVES)):
        return near[0] if near and upper.startswith(_OURS) else None
    vendor = upper.partition("_")[0]
    if vendor in vendors:
        return near[0] if near[0].partition("_")[0] == vendor else None
    return near[0] if SequenceMatcher(None, upper, near[0]).ratio() >= _ALIKE else None


def _known_variables(settings: Settings) -> frozenset[str]:
    rows = [*PROVIDERS.values(), *(row_of(name) for name in settings.providers)]
    ours = {
        KEYS_VARIABLE,
        FILE_VARIABLE,
        *(member.variable for member in MEMBERS),
        *settings.secret_variables,
    }
    return frozenset({*ours, *EGRESS_VARIABLES, *(name for row in rows for name in _variables(row))})


def _variables(row: Row) -> Iterator[str]:
    yield from (*row.keys, *row.urls, *row.chain)
    for option in row.options.values():
        yield from option.variables


def _providers(settings: Settings, find: Find) -> Iterator[Advice]:
    for name, row in settings.providers.items():
        provider = find(name)
        if lack := provider.lack():
            yield shown_path(("providers", name)), f"is not ready for use: {lack}"
        elif path := provider.missing_path():
            sentence = f"has no path; such an API mostly stands below {path}"
            yield shown_path(("providers", name, "base_url")), f"{row.base_url} {sentence}"


def _nobodies(settings: Settings, find: Find, knows: Knows) -> Iterator[Advice]:
    for name, alias in settings.aliases.items():
        for target in dict.fromkeys([*(target for target, _ in alias.targets), *alias.fallbacks]):
            if (sentence := _nobody(target, settings, find)) and not knows(target):
                yield shown_path(("models", name)), f"'{target}' {sentence}"


def _nobody(target: str, settings: Settings, find: Find) -> str | None:
    owner, slash, model = target.partition("/")
    names = {*PROVIDERS, *settings.providers}
    if target in settings.aliases or target in _listed_models(settings):
        return None
    if slash and not model:
        return "names no model"
    if slash and owner in names:
        lack = None if owner in settings.providers else find(owner).lack()
        return f"leads to a provider that is not configured: {lack}" if lack else None
    near = get_close_matches(target, settings.aliases, n=1, cutoff=0.7)
    near = near or get_close_matches(owner.lower(), sorted(names), n=1, cutoff=0.7) if slash else near
    if near:
        return f"leads to nobody; did you mean '{near[0]}'?"
    return "leads to nobody unless a door's own provider or a catalogue knows it; write provider/model"


def _listed_models(settings: Settings) -> set[str]:
    return {model for provider in settings.providers.values() for model in provider.models}


def _patterns(settings: Settings) -> Iterator[Advice]:
    names = sorted({*PROVIDERS, *settings.providers})
    for key in settings.keys:
        for pattern in key.models or ():
            if any(_may_match(pattern, name) for name in names):
                continue
            near = get_close_matches(pattern.partition("/")[0].lower(), names, n=1, cutoff=0.7)
            hint = (
                f"did you mean '{near[0]}'?" if near else "patterns are of the form provider/model, with *."
            )
            yield shown_path(("keys", key.name, "models")), f"'{pattern}' matches no provider; {hint}"


def _may_match(pattern: str, provider: str) -> bool:
    """Tell whether a pattern can match any model of a provider: its beginning, up to a wildcard, decides."""
    head, slash, rest = pattern.partition("/")
    if slash and not set(head) & set("*?["):
        return head == provider and bool(rest)
    if slash and fnmatchcase(provider, head):
        return True
    star = head.find("*")
    return star >= 0 and fnmatchcase(provider + "/", f"{head[: star + 1]}")
