"""The gateway of one process: settings joined with providers, dispatch and open calls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from app.canonical.events import Failed, Started
from app.config import Settings
from app.dialects import dialect
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.background import BackgroundWork
from app.gateway.call import Abort, Call, Outcome, Principal, Sealing, Target
from app.gateway.cost import PriceList
from app.gateway.dispatch import Dispatcher
from app.gateway.layers.log import log_call
from app.gateway.layers.metrics import Metrics
from app.gateway.listing import Catalogue
from app.gateway.operations import exchange
from app.gateway.plan import plan
from app.gateway.router import Registry, Router
from app.gateway.runs import tries_of
from app.gateway.sealing import make_sealing
from app.gateway.signatures import has_tool_calls, keep_signatures, restore_signatures, signatures_of
from app.gateway.store import Store
from app.gateway.streaming import StreamRun, Terminal
from app.gateway.translating import decoded, server_context
from app.providers.base import Provider
from app.providers.registry import all_names, configured_names, make_provider
from app.state.records import StoredResponse
from app.state.state import State
from app.wire.client_socket import ClientWatch
from app.wire.egress import Egress

_LOG: Final = logging.getLogger(__name__)


class OpenCalls:
    """The aborts of all calls in flight, so that a drain can end them."""

    def __init__(self) -> None:
        self._open: set[Abort] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, abort: Abort) -> None:
        """Note a call that began."""
        self._open.add(abort)

    def discard(self, abort: Abort) -> None:
        """Note that it is over."""
        self._open.discard(abort)

    def abort_all(self, make_reason: Callable[[], GatewayError]) -> int:
        """Abort every open call; return how many there were."""
        calls = list(self._open)
        for abort in calls:
            abort(make_reason())
        return len(calls)


class Gateway:
    """What surfaces call; one for each process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.egress = Egress(settings.environ)
        self.registry = Registry(all_names(settings), configured_names(settings), self._make_provider)
        self.router = Router(self.registry, settings.aliases, self._knows_model)
        self.catalogue = Catalogue(self.registry, settings)
        self.prices = PriceList()
        self.dispatcher = Dispatcher(settings, self.router, self.prices)
        self.sealing: Callable[[str], Sealing] = make_sealing(settings)
        self._store = Store(settings)
        self.open_calls = OpenCalls()
        self.clients = ClientWatch()
        self.draining = threading.Event()
        self.leave_by = 0.0  # monotonic seconds; set when the drain begins
        self.metrics = Metrics() if settings.metrics else None

    def answer(self, call: Call) -> Outcome:
        """Return the whole answer of ``call``; raises GatewayError when every target failed."""
        end = self.begin(call.abort, call.socket)
        try:
            outcome = self.dispatcher.answer(call, exchange)
        except GatewayError as error:
            self._tell(Outcome(call, error=error))
            raise
        except Exception as error:
            fault = self.dispatcher.fault(error, call.id)
            self._tell(Outcome(call, error=fault))
            raise fault from error
        finally:
            end()
        self._tell(outcome)
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        """Tell log and metrics of a call that ended."""
        log_call(outcome)
        if self.metrics is not None:
            self.metrics.observe(outcome)

    def stream(self, call: Call, on_terminal: Terminal | None = None) -> StreamRun:
        """Return the streamed run of ``call``; it starts when its batches are asked for."""
        end = self.begin(call.abort, call.socket)
        run = StreamRun(self.dispatcher, call, exchange, on_terminal)
        run.outcome.on_end(lambda outcome: end())
        run.outcome.on_end(self._tell)
        return run

    def begin(self, abort: Abort, socket: Any) -> Callable[[], None]:
        """Count a call as open and watch its client's socket; return what ends both."""
        self.open_calls.add(abort)
        if self.metrics is not None:
            self.metrics.opened()
        token = None
        if socket is not None:
            token = self.clients.register(socket, lambda: abort(_client_gone()))

        def end() -> None:
            self.open_calls.discard(abort)
            if self.metrics is not None:
                self.metrics.closed()
            if token is not None:
                self.clients.unregister(token)

        return end

    def first_target(self, call: Call, *, encoded: bool = False) -> Target:
        """Return the first target that could be tried; raises the first error when none can.

        ``encoded``: one that can also be sent this request, for a call that is tried later.
        """
        first: GatewayError | None = None
        for target in self.router.targets(call):
            if isinstance(target, GatewayError):
                first = first or target
                continue
            try:
                plan(call, target, call.prefer)
                if encoded:
                    exchange(call, target).send()
            except GatewayError as error:
                first = first or error
                if not error.kind.falls_back:
                    break
            else:
                return target
        raise first or GatewayError("model_not_found", f"No target for '{call.model}'.", param="model")

    def state(self) -> State:
        """Return the store, opened at first use; raises ``store_unavailable``."""
        return self._store.open()

    def restore_signatures(self, call: Call) -> None:
        """Put back the signatures that an earlier answer's tool calls had, if the store can be asked."""
        if not has_tool_calls(call.body if call.upstream_body is None else call.upstream_body):
            return
        try:
            restore_signatures(self.state(), call)
        except GatewayError as error:
            self._go_on_without_store(error)

    def keep_signatures(self, call: Call, outcome: Outcome) -> None:
        """Keep the signatures of an answer's tool calls."""
        if not signatures_of(outcome):
            return
        try:
            keep_signatures(self.state(), call, outcome)
        except GatewayError as error:
            self._go_on_without_store(error)

    @staticmethod
    def _go_on_without_store(error: GatewayError) -> None:
        """Log trouble of the store that a stateless call survives; raise any other error."""
        if error.kind.name != "store_unavailable":
            raise error
        _LOG.warning("signatures were left out: %s", error.message)

    def runs_of(self, stored: StoredResponse) -> list[dict[str, Any]]:
        """Return the tries of a background response, over all the times its work was run."""
        return tries_of(self.state(), stored)

    def background_timeout(self) -> float:
        """Return the seconds that a background response may take."""
        return self.settings.timeouts.background

    def principal_of(self, key: str | None, tenant: str) -> Principal:
        """Return the owner of stored work as he is now; raises ``forbidden`` when the key is gone."""
        for row in self.settings.keys:
            if row.name == key and row.tenant == tenant:
                return Principal(row.name, row.tenant, row.models)
        if key in _KEYLESS:
            return Principal(key or "", tenant)
        raise GatewayError("forbidden", "The key that asked for this response is no longer valid.")

    def background_run(self, call: Call, *, first: int, leave_out: frozenset[str]) -> StreamRun:
        """Return the streamed run of a background job."""
        run = StreamRun(self.dispatcher, call, exchange, first=first, leave_out=leave_out)
        run.outcome.on_end(self._tell)
        return run

    def failure_frames(self, call: Call, error: GatewayError) -> list[Frame]:
        """Return the frames of a stream that failed before anything of it was made."""
        encoder = dialect(call.dialect).stream_encoder(decoded(call), server_context(call, call.model))
        return [*encoder.feed(Started(model=call.model)), *encoder.feed(Failed(error))]

    def close(self, grace: float = 0.0) -> None:
        """Finish or hand over background work, close the store and the transports."""
        self._store.close(grace)
        self.registry.close()

    def start_background(self) -> None:
        """Begin to run background responses in this process."""
        state = self.state()
        state.run_background(BackgroundWork(self, state).execute)

    def stop_background(self, grace: float) -> None:
        """Claim no more work; wait up to ``grace`` seconds for what runs, hand over the rest."""
        self._store.stop_background(grace)

    def _make_provider(self, name: str) -> Provider:
        return make_provider(name, self.settings, self.egress)

    def _knows_model(self, provider: Provider, model: str) -> bool:
        if model in provider.settings.models:
            return True
        return self.prices.knows(provider.spec.price_as, model)


_KEYLESS: Final = frozenset({"open", "master"})


def _client_gone() -> GatewayError:
    return GatewayError("client_gone", "The client closed the connection.")


def gateway_of(app: Any) -> Gateway:
    """Return the gateway of a Flask application."""
    found: Gateway = app.extensions["sluice"]
    return found
