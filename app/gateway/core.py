"""The gateway of one process: it joins settings, providers, the driver, layers and open calls.

Tests: tests/behaviour, tests/lifecycle, tests/test_additions.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.canonical.events import Failed, Started
from app.config import Settings
from app.dialects import dialect
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway import background, context_windows
from app.gateway.attempt_rows import attempts_of
from app.gateway.breaker import Breaker
from app.gateway.budgets.accounts import Accounts
from app.gateway.cache.store import CacheStore
from app.gateway.call import Abort, Call, Principal, Sealing, Target
from app.gateway.cost import PriceList
from app.gateway.driver import Driver
from app.gateway.gauges import Gauges
from app.gateway.key_cooldowns import KeyCooldowns, has_pools
from app.gateway.keys import KeyDirectory
from app.gateway.layers import ATTEMPT_LAYERS, CALL_LAYERS, JOB_LAYERS, LISTENERS
from app.gateway.layers.base import CallLayer, Proceed
from app.gateway.layers.cache import Cache
from app.gateway.layers.log import fault_of, log_request
from app.gateway.layers.metrics import Metrics
from app.gateway.layers.traces import Traces
from app.gateway.limits.gate import Gate
from app.gateway.listing import Catalogue
from app.gateway.metric_series import Gaps, names_of
from app.gateway.notices import Notices
from app.gateway.open_calls import OpenCalls
from app.gateway.outcome import Outcome
from app.gateway.plan import Route, Routes
from app.gateway.provider_files import ProviderFiles, at_home
from app.gateway.redaction import Redactor
from app.gateway.router import Registry, Router
from app.gateway.run import Run, Source
from app.gateway.sealing import SignatureSealer
from app.gateway.store import Store
from app.gateway.strategies import MEASURED, Place, Strategies
from app.gateway.stream_capture import StreamCapture
from app.gateway.subscriptions import Publisher
from app.gateway.translation import decode_call, server_context
from app.providers.base import Provider
from app.providers.registry import all_names, configured_names, make_provider
from app.state.records import StoredResponse
from app.wire.client_socket import ClientWatch
from app.wire.egress import Egress

if TYPE_CHECKING:
    from app.state.batch_queue import BatchWork
    from app.state.runner import Job
    from app.state.state import State


class Gateway:
    """What surfaces use; there is one for each process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.egress = Egress(settings.environ)
        names, configured = all_names(settings), configured_names(settings)
        self.registry = Registry(names, configured, lambda name: make_provider(name, settings, self.egress))
        measured = any(alias.strategy in MEASURED for alias in settings.aliases.values())
        self.strategies = Strategies(self._price) if measured else None
        self.router = Router(
            self.registry,
            settings.aliases,
            self._knows_model,
            strategies=self.strategies,
            sticky_prompts=settings.sticky_prompts,
        )
        self.catalogue = Catalogue(self.registry, settings, self.router.resolve)
        self.prices = PriceList()
        self.redactor = Redactor(settings)
        self._store = Store(settings, lambda tenant: self.cache_store.drop_tenant(tenant))
        self.notices = Notices(self.state)
        self.events = Publisher(self.state)
        self.key_cooldowns = KeyCooldowns() if has_pools(settings) else None
        self.breaker = Breaker(on_change=self.notices.report_circuit) if settings.breaker else None
        self.metrics = Metrics(names_of(settings)) if settings.metrics else None
        self.traces = (
            Traces(settings.otlp_endpoint, self.redactor, content=settings.traces_content)
            if settings.otlp_endpoint is not None
            else None
        )
        self.limits = Gate(settings, self.metrics)
        self.sealing: Callable[[str], Sealing] = lru_cache(maxsize=1024)(SignatureSealer(settings))
        self.accounts = Accounts(
            settings, self.prices, self.state, self.egress, self.metrics, self.catalogue.most_output
        )
        self.cache_store = CacheStore(settings, self.state)
        closers = (self.accounts, self.cache_store, self.events, self.notices, self.traces)
        self._closing_steps: list[Callable[[], None]] = [one.close for one in closers if one is not None]
        self.files = ProviderFiles(self)
        self.open_calls = OpenCalls()
        self.sockets = OpenCalls()  # connections for many calls, idle ones too
        self.keys = KeyDirectory(settings, self.state, self.open_calls, on_change=self.accounts.forget)
        self.clients = ClientWatch()
        self.draining = threading.Event()
        self.leave_by = 0.0  # monotonic seconds; set when the drain begins
        attempt_layers = _make(ATTEMPT_LAYERS, self)
        self._routes = Routes()
        self._driver = Driver(settings, self.prices, self.redactor, self.plan, attempt_layers, self.fault)
        self._call_layers: tuple[CallLayer, ...] = _make(CALL_LAYERS, self)
        self._around_call = _chain(self._call_layers, self.run_inner)
        self._around_job = _chain(_make(JOB_LAYERS, self), self.run_inner)
        self._listeners = _make(LISTENERS, self)
        self._gauges = None if self.metrics is None else Gauges(self, self.metrics)
        if self.metrics is not None and self._gauges is not None:
            self._closing_steps += [self._gauges.close, self.metrics.flush]

    def run(self, call: Call) -> Run:
        """Return the run of a client's call.

        Raises the GatewayError of a call that is refused, after listeners got its end."""
        end = self.begin(call.abort, call.socket, call.principal)
        try:
            run = self._begin(call, self._around_call)
        except GatewayError:
            end()
            raise
        run.outcome.on_end(end)
        return self._observe(run)

    def run_job(self, call: Call) -> Run:
        """Return the run of a background job's call, which was admitted when it was queued."""
        run = self._begin(call, self._around_job)
        self._count_open(run)
        return self._observe(run)

    def run_line(self, call: Call) -> Run:
        """Return the run of a line of a batch, under all limits of its owner.

        Raises the GatewayError of one that is refused; listeners get no end, for the line may be tried again."""
        run = self._around_call(call)
        self._count_open(run)
        return self._observe(run)

    def answer(self, call: Call, source: Source) -> Run:
        """Return the run of a call that ``source`` answers instead of a model."""
        run = self.feed(call, source)
        self._count_open(run)
        return self._observe(run)

    def run_inner(self, call: Call) -> Run:
        """Return the run of a call that another call makes, without layers of its own."""
        return self.feed(call, self._driver.drive)

    def cache_of(self, call: Call) -> str:
        """Return what the cache would do with ``call``: ``hit``, ``miss`` or ``off``."""
        previews = (layer.preview(call) for layer in self._call_layers if isinstance(layer, Cache))
        return next(previews, "off")

    def feed(self, call: Call, source: Source) -> Run:
        """Return a run of ``call`` that ``source`` feeds."""
        return Run(call, source, self.fault)

    def refuse(self, error: GatewayError, call: Call) -> None:
        """End a call that was refused before it ran."""
        if not call.progress.ended:
            outcome = Outcome(call, error=error)
            outcome.on_end(*self._listeners)
            outcome.end()

    def note_request(self, operation: str, error: GatewayError | None, status: int, **fields: Any) -> None:
        """Log and count a request at a surface that was no call."""
        log_request(self.redactor.text, error, operation=operation, status=status, **fields)
        if self.metrics is not None:
            self.metrics.note_request(operation, status, error)

    def plan(self, call: Call) -> Route:
        """Return the planned targets of ``call``, which is about to ask them; open circuits come last."""
        return self._plan(call, id(call.progress))

    def preview(self, call: Call) -> Route:
        """Return what ``plan`` would, for a call that does not go out and must not use up a circuit's probe."""
        return self._plan(call, None)

    def _plan(self, call: Call, caller: int | None) -> Route:
        targets = self.router.targets(call)
        if call.home is not None:
            targets = at_home(targets, call.home)
        if len(targets) > 1:
            targets = context_windows.order(targets, call, self.prices.window)
        if self.key_cooldowns is not None:
            targets = self.key_cooldowns.order(targets)
        if self.breaker is not None:
            targets = self.breaker.order(targets, caller)
        return self._routes.plan(call, targets)

    def fault(self, error: Exception, request_id: str | None) -> GatewayError:
        """Log a fault of the gateway; return the error that clients get for it."""
        return fault_of(error, request_id, self.redactor.text)

    def _count_open(self, run: Run) -> None:
        metrics = self.metrics
        if metrics is not None:
            metrics.count("sluice_open_requests")
            run.outcome.on_end(lambda outcome: metrics.count("sluice_open_requests", by=-1))

    def _begin(self, call: Call, proceed: Proceed) -> Run:
        """Return the run of ``call``; a refusal before there is one ends the call."""
        try:
            return proceed(call)
        except GatewayError as error:
            self.refuse(error, call)
            raise
        except Exception as error:
            fault = self.fault(error, call.id)
            self.refuse(fault, call)
            raise fault from error

    def _observe(self, run: Run) -> Run:
        metrics = self.metrics
        if run.call.stream and self.settings.log_bodies:
            run.outcome.capture = StreamCapture()
        if metrics is not None and run.call.stream:
            run.outcome.gaps = Gaps()
            if run.call.shown_stream:
                metrics.count("sluice_open_streams")
                run.outcome.on_end(lambda outcome: metrics.count("sluice_open_streams", by=-1))
        run.outcome.on_end(*self._listeners)
        return run

    def begin(self, abort: Abort, socket: Any, principal: Principal) -> Callable[..., None]:
        """Count a call as open and watch its client's socket; return the function that ends both, whatever it is given."""
        self.open_calls.add(abort, principal)
        if self.metrics is not None:
            self.metrics.count("sluice_open_requests")
        token = None
        if socket is not None:
            token = self.clients.register(
                socket, lambda: abort(GatewayError("client_gone", "The client closed the connection."))
            )

        def end(*outcome: Outcome) -> None:
            self.open_calls.discard(abort)
            if self.metrics is not None:
                self.metrics.count("sluice_open_requests", by=-1)
            if token is not None:
                self.clients.unregister(token)

        return end

    def on_close(self, step: Callable[[], None]) -> None:
        """Register a step for the time when the gateway closes and the store is still open."""
        self._closing_steps.append(step)

    def state(self) -> State:
        """Return the store, opened at first use; raises ``store_unavailable``."""
        return self._store.open()

    def attempts_of(self, stored: StoredResponse) -> list[dict[str, Any]]:
        """Return the attempts of a background response, over all runs of its work."""
        return attempts_of(self.state(), stored)

    def principal_of(self, key: str | None, tenant: str) -> Principal:
        """Return the current owner of stored work; raises ``forbidden`` when the key is gone."""
        if key in _KEYLESS and (tenant, key) not in self.keys.configured:
            return self.keys.keyless(key or "", tenant)
        principal = None if key is None else self.keys.of_identity(tenant, key)
        if principal is None:
            raise GatewayError("forbidden", "The key that requested this response is no longer valid.")
        return principal

    def failure_frames(self, call: Call, error: GatewayError) -> list[Frame]:
        """Return the frames of a stream that failed before its first event."""
        encoder = dialect(call.dialect).stream_encoder(decode_call(call), server_context(call, call.model))
        return [*encoder.feed(Started(model=call.model)), *encoder.feed(Failed(error))]

    def close(self, grace: float = 0.0) -> None:
        """Finish or hand over background work, close the store and the transports."""
        self._store.stop_background(grace)
        for step in self._closing_steps:
            step()
        self.keys.close()
        self._store.close(grace)
        self.limits.close()
        self.registry.close()

    def start_gauges(self) -> None:
        """Start to report gauges."""
        if self._gauges is not None:
            self._gauges.start()

    def start_background(self) -> None:
        """Start to run background responses and batches in this process."""
        from app.gateway.batch_run import executor
        from app.gateway.native_batches import NativeBatch

        state = self.state()
        state.run_background(partial(background.execute, self, state))
        run_here = executor(self, state)

        def run(job: Job[BatchWork]) -> None:
            if not NativeBatch(self, state, job).run():
                run_here(job)

        state.run_batches(run)

    def stop_background(self, grace: float) -> None:
        """Claim no more work; wait up to ``grace`` seconds for running work, then hand it over."""
        self._store.stop_background(grace)

    def _price(self, call: Call, place: Place) -> int | None:
        """Return what ``call`` may cost at a place, in nano-dollars; None where no price is known."""
        provider, model = place
        return self.accounts.estimate_of(call, Target(self.registry.get(provider), model, None)).cost

    def _knows_model(self, provider: Provider, model: str) -> bool:
        if model in provider.settings.models:
            return True
        return self.prices.knows(provider.spec.price_as, model)


T = TypeVar("T")


def _make(makers: Sequence[Callable[[Any], T | None]], gateway: Gateway) -> tuple[T, ...]:
    """Return what the functions of a table make, without None for what is not configured."""
    return tuple(one for make in makers if (one := make(gateway)) is not None)


def _chain(layers: Sequence[CallLayer], proceed: Proceed) -> Proceed:
    """Return ``proceed`` inside of ``layers``, the outermost first."""
    for layer in reversed(layers):
        proceed = _around(layer, proceed)
    return proceed


def _around(layer: CallLayer, proceed: Proceed) -> Proceed:
    return lambda call: layer(call, proceed)


_KEYLESS: Final = frozenset({"open", "master"})


def gateway_of(app: Any) -> Gateway:
    """Return the gateway of a Flask application."""
    gateway: Gateway = app.extensions["sluice"]
    return gateway
