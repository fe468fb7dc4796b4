"""Settings from the environment and one TOML file: ``load``.

The environment overrides the file's document, references to secrets are resolved, the
whole is validated by marshmallow schemas, and frozen ``Settings`` are built. All faults are
reported at once, each with the member's path or the variable's name, never with a value.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from app.config import Settings
from app.config_loading.environment import Overlay
from app.config_loading.faults import ConfigError
from app.config_loading.files import read_document
from app.config_loading.members import DEFAULT_FILE, FILE_VARIABLE, KEYS_VARIABLE, MEMBERS
from app.config_loading.schemas import FILE
from app.config_loading.secret_references import resolve_references
from app.config_loading.settings import build
from app.providers import row_of

__all__ = ["ConfigError", "load", "scrub_environ"]


def load(environ: Mapping[str, str], path: str | Path | None = None) -> Settings:
    """Return the settings of ``environ`` and the file at ``path``.

    Without ``path`` the file is ``$SLUICE_CONFIG``, or ``sluice.toml`` where there is one.
    Raises ``ConfigError`` with every fault.
    """
    overlay = Overlay(_read(environ, path), environ)
    overlay.apply()
    variables = resolve_references(overlay.document, environ, overlay.faults)
    try:
        valid = FILE.load(overlay.document)
    except ValidationError as error:
        overlay.faults.add_tree(error.messages)
        valid = error.valid_data if isinstance(error.valid_data, dict) else {}
    overlay.faults.settle()
    settings = build(valid, overlay, environ)
    overlay.faults.check(settings)
    return _with_secret_variables(settings, variables, environ)


def scrub_environ(environ: MutableMapping[str, str], settings: Settings) -> None:
    """Remove the variables whose secrets ``settings`` now hold.

    For the server's own entry, after loading: nothing that later reads the environment
    (a crash report, a child process) then finds a key.
    """
    for name in settings.secret_variables:
        environ.pop(name, None)


def _read(environ: Mapping[str, str], path: str | Path | None) -> dict[str, Any]:
    path_setting = path or environ.get(FILE_VARIABLE)
    file = Path(path_setting or DEFAULT_FILE)
    if not path_setting and not file.exists():
        return {}
    try:
        return read_document(file)
    except ValueError as error:
        raise ConfigError(((str(file), str(error)),)) from error


def _with_secret_variables(settings: Settings, variables: set[str], environ: Mapping[str, str]) -> Settings:
    names = {KEYS_VARIABLE, *variables, *(member.variable for member in MEMBERS if member.secret)}
    for name in settings.providers:
        row = row_of(name)
        names.update(row.keys)
        for option in row.options.values():
            names.update(option.variables if option.kind == "secret" else ())
    present = tuple(sorted(name for name in names if name in environ))
    return replace(settings, secret_variables=present)
