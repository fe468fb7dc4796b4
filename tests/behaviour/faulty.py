"""The gateway with faults of its own, for ``test_own_faults``: some models break what serves them."""

from gevent import monkey

monkey.patch_all()

from typing import Any  # noqa: E402

from app import create_app  # noqa: E402
from app.errors import GatewayError  # noqa: E402
from app.state.store import Responses  # noqa: E402
from app.surfaces.replies.envelope import FrameEnvelope  # noqa: E402

SECRET = "groq-key-cnry-3141"

app = create_app()
_gateway = app.extensions["sluice"]
_finish = Responses.finish
_seal = FrameEnvelope.seal
_targets, _cost = _gateway.router.targets, _gateway.prices.cost


def _breaking_targets(call: Any) -> Any:
    if call.model.endswith("/early"):
        raise ZeroDivisionError(f"this must not be seen: {SECRET}")
    return _targets(call)


def _breaking_cost(target: Any, *used: Any) -> Any:
    if target.model == "late":
        raise KeyError(f"this must not be seen: {SECRET}")
    return _cost(target, *used)


def _breaking_finish(self: Any, tenant: str, response_id: str, fence: Any, ending: Any) -> Any:
    if ending.model == "unstored" and ending.status == "completed":
        raise GatewayError("store_unavailable", "The store is not available.")
    return _finish(self, tenant, response_id, fence, ending)


def _breaking_seal(self: Any, frames: Any, *, last: bool) -> Any:
    if last and self._outcome.call.model.endswith("/unwritable") and self._outcome.error is None:
        raise ZeroDivisionError(f"this must not be seen: {SECRET}")
    return _seal(self, frames, last=last)


_gateway.router.targets = _breaking_targets
_gateway.prices.cost = _breaking_cost
Responses.finish = _breaking_finish  # type: ignore[method-assign]
FrameEnvelope.seal = _breaking_seal  # type: ignore[method-assign]
