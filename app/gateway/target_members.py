"""Apply what the operator set for one target: a cap of the answer's tokens, and defaults.

A body that passes is changed where its dialect has the parameter, a translated one in its canonical form. A
parameter that the dialect of a passed body lacks is left out with a warning. ``upstreams`` applies headers and
clocks. Tests: tests/governance/test_target_members.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from app.canonical.media import CompletionRequest
from app.canonical.request import Request
from app.config import TargetMembers
from app.dialects.shared.losses import Losses
from app.dialects.shared.sampling_paths import SAMPLING_PATHS, Paths
from app.gateway.call import Call

_CAP: Final = "max_tokens"
Body = Mapping[str, Any]
AnyRequest = TypeVar("AnyRequest", Request, CompletionRequest)


def apply_to_body(call: Call, members: TargetMembers, losses: Losses) -> Call:
    """Return ``call`` with bodies for the target; raises ``unsupported_parameter`` for a warning in strict mode."""
    paths = SAMPLING_PATHS.get(call.dialect, {})
    for name in members.defaults:
        if name not in paths:
            losses.report(name, f"the operator's default '{name}' is no member of this API and was left out")
    upstream_body = (
        None if call.upstream_body is None else _apply(call.upstream_body, members, paths, lambda *_: None)
    )
    return replace(
        call,
        body=_apply(call.body, members, paths, lambda path, cap: _report_cap(losses, cap, path)),
        upstream_body=upstream_body,
    )


def apply_to_request(request: AnyRequest, members: TargetMembers, losses: Losses) -> AnyRequest:
    """Return the canonical request for the target; raises as ``apply_to_body`` does."""
    sampling, cap = request.sampling, members.max_tokens
    defaults = {
        name: value for name, value in members.defaults.items() if getattr(sampling, name) in (None, ())
    }
    if cap is not None and (sampling.max_tokens is None or sampling.max_tokens > cap):
        if sampling.max_tokens is not None:
            _report_cap(losses, cap)
        defaults[_CAP] = cap
    if "stop" in defaults:
        defaults["stop"] = tuple(defaults["stop"])
    return replace(request, sampling=replace(sampling, **defaults))


def _apply(
    body: Body, members: TargetMembers, paths: Paths, report: Callable[[str, int], None]
) -> dict[str, Any]:
    copy = dict(body)
    for name, value in members.defaults.items():
        if name in paths and all(_get_path(copy, path) is None for path in paths[name]):
            _set_path(copy, paths[name][0], value)
    cap = members.max_tokens
    if cap is None or _CAP not in paths:
        return copy
    present = [path for path in paths[_CAP] if _get_path(copy, path) is not None]
    for path in present:
        current = _get_path(copy, path)
        if isinstance(current, int | float) and current > cap:
            report(path, cap)
            _set_path(copy, path, cap)
    if not present:
        _set_path(copy, paths[_CAP][0], cap)
    return copy


def _get_path(body: Body, path: str) -> Any:
    table, _, name = path.rpartition(".")
    holder = body.get(table) if table else body
    return holder.get(name) if isinstance(holder, Mapping) else None


def _set_path(body: dict[str, Any], path: str, value: Any) -> None:
    """Set a member of ``body``; inner objects are the client's and are copied, not changed."""
    table, _, name = path.rpartition(".")
    if not table:
        body[name] = value
    else:
        body[table] = {**(body.get(table) or {}), name: value}


def _report_cap(losses: Losses, cap: int, path: str | None = None) -> None:
    losses.report(
        _CAP,
        f"the bound of the answer was lowered to {cap}, the most that the operator asks of this model",
        param=path,
    )
