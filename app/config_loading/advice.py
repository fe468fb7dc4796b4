"""Warnings about valid settings that are probably not intended, for ``sluice check-config``.

Like a fault, each has a place. There is no warning about a name that only a catalogue or a surface's
own default could explain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from fnmatch import fnmatchcase
from typing import Final, Protocol

from app.bind_address import is_own
from app.config import Settings
from app.config_loading.faults import path_text
from app.config_loading.members import EGRESS_VARIABLES, FILE_VARIABLE, KEYS_VARIABLE, MEMBERS
from app.providers import PROVIDERS, Row, row_of

Advice = tuple[str, str]
"""Place and sentence."""


class ProviderChecks(Protocol):
    """What the checks ask of a provider."""

    def configuration_problem(self) -> str | None: ...

    def missing_path(self) -> str | None: ...

    def operation_path(self) -> str | None: ...


Find = Callable[[str], ProviderChecks]
"""Returns a provider by its name."""
IsKnown = Callable[[str], bool]
"""Tells whether a model's bare name is in the catalogue of a configured provider."""

OWN_ADDRESS: Final = ("is the address of this gateway itself", "write that of the provider")
"""What is wrong with a base URL that leads back here, and what would be right."""
_OURS: Final = "SLUICE_"
_IGNORED: Final = frozenset({"SLUICE_KEY"})
"""Names that the gateway does not read on purpose: the printed curl command uses the first."""
_ALIKE: Final = 0.86
_SAME_VENDOR: Final = 0.72
_GIVES: Final = ("KEY", "TOKEN", "URL", "BASE", "ENDPOINT", "SECRET", "REGION", "PROJECT", "VERSION")


def advise(settings: Settings, environ: Mapping[str, str], find: Find, is_known: IsKnown) -> Iterator[Advice]:
    """Yield warnings about settings and the environment that they were read from."""
    yield from _misspelled_variables(settings, environ)
    if settings.alert_url and settings.alert_secret is None:
        yield "SLUICE_ALERT_URL", "receives unsigned messages; set SLUICE_ALERT_SECRET (whsec_…) too"
    if settings.worker_port == settings.port:
        yield "SLUICE_WORKER_PORT", "is the server's port too; on one machine `sluice worker` needs another"
    yield from _providers(settings, find)
    yield from _unserved_models(settings, find, is_known)
    yield from _patterns(settings)


def _misspelled_variables(settings: Settings, environ: Mapping[str, str]) -> Iterator[Advice]:
    variables = _known_variables(settings)
    vendors = {name.partition("_")[0] for name in variables}
    for name in environ:
        if name in variables or name in _IGNORED or not environ[name]:
            continue
        closest = _nearest(name, variables, vendors)
        if closest is not None:
            yield name, f"is not a known variable; did you mean '{closest}'?"
        elif name.startswith(_OURS):
            yield name, "is not a setting of this version and is ignored"


def _nearest(name: str, variables: frozenset[str], vendors: set[str]) -> str | None:
    """Return the known variable that ``name`` is probably a misspelling of."""
    upper = name.upper()
    if upper.removeprefix(_OURS) in variables:  # SLUICE_REDIS_URL
        return upper.removeprefix(_OURS)
    letters = upper.replace("_", "").replace("-", "")
    for variable in sorted(variables):
        if variable.replace("_", "") == letters:
            return variable
    closest = get_close_matches(upper, sorted(variables), n=1, cutoff=_SAME_VENDOR)
    if not closest or not upper.endswith(_GIVES + tuple(f"{word}S" for word in _GIVES)):
        return closest[0] if closest and upper.startswith(_OURS) else None
    vendor = upper.partition("_")[0]
    if vendor in vendors:
        return closest[0] if closest[0].partition("_")[0] == vendor else None
    return closest[0] if SequenceMatcher(None, upper, closest[0]).ratio() >= _ALIKE else None


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
        if problem := provider.configuration_problem():
            yield path_text(("providers", name)), f"is not ready for use: {problem}"
        elif row.base_url and (
            fault := OWN_ADDRESS if is_own(settings, row.base_url) else path_fault(provider)
        ):
            yield path_text(("providers", name, "base_url")), f"{row.base_url} {fault[0]}; {fault[1]}"


def path_fault(provider: ProviderChecks) -> tuple[str, str] | None:
    """Return what is wrong with the path of a provider's base URL, and what would be right."""
    if path := provider.missing_path():
        return "has no path", f"such an API is usually served below {path}"
    if path := provider.operation_path():
        return "ends with the path of an operation", f"take '{path}' off its end"
    return None


def _unserved_models(settings: Settings, find: Find, is_known: IsKnown) -> Iterator[Advice]:
    for name, alias in settings.aliases.items():
        for target in dict.fromkeys([*(target for target, _ in alias.targets), *alias.fallbacks]):
            if (sentence := _explain_unserved(target, settings, find)) and not is_known(target):
                yield path_text(("models", name)), f"'{target}' {sentence}"


def _explain_unserved(target: str, settings: Settings, find: Find) -> str | None:
    owner, slash, model = target.partition("/")
    names = {*PROVIDERS, *settings.providers}
    if target in settings.aliases or target in _listed_models(settings):
        return None
    if slash and not model:
        return "names no model"
    if slash and owner in names:
        problem = None if owner in settings.providers else find(owner).configuration_problem()
        return f"leads to a provider that is not configured: {problem}" if problem else None
    closest = get_close_matches(target, settings.aliases, n=1, cutoff=0.7)
    closest = (
        closest or get_close_matches(owner.lower(), sorted(names), n=1, cutoff=0.7) if slash else closest
    )
    if closest:
        return f"matches no provider; did you mean '{closest[0]}'?"
    return "matches no provider unless a surface's default provider or a catalogue knows it; write provider/model"


def _listed_models(settings: Settings) -> set[str]:
    return {model for provider in settings.providers.values() for model in provider.models}


def _patterns(settings: Settings) -> Iterator[Advice]:
    names = sorted({*PROVIDERS, *settings.providers})
    for key in settings.keys:
        for pattern in key.models or ():
            if any(_may_match(pattern, name) for name in names):
                continue
            closest = get_close_matches(pattern.partition("/")[0].lower(), names, n=1, cutoff=0.7)
            hint = (
                f"did you mean '{closest[0]}'?"
                if closest
                else "patterns have the form provider/model, with * as wildcard."
            )
            yield path_text(("keys", key.name, "models")), f"'{pattern}' matches no provider; {hint}"


def _may_match(pattern: str, provider: str) -> bool:
    """Tell whether a pattern can match a model of a provider: the part before the first wildcard decides."""
    head, slash, rest = pattern.partition("/")
    if slash and not set(head) & set("*?["):
        return head == provider and bool(rest)
    if slash and fnmatchcase(provider, head):
        return True
    star = head.find("*")
    return star >= 0 and fnmatchcase(provider + "/", f"{head[: star + 1]}")
