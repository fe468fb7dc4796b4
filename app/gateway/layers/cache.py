"""The cache: a call that was answered before, or one that is like it, is answered again, at no cost.

It is inside the limits (a hit is a request of the client) and inside the turn, which stores a hit like any
other response. ``cache/store`` has the entries. Tests: tests/governance/test_cache.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.cache.identity import Digests
from app.gateway.cache.memory import Entry
from app.gateway.cache.policy import Policies, Policy
from app.gateway.cache.replay import debug_of, entry_of, semantic_debug_of, source_of
from app.gateway.cache.semantics import Embedder, Meaning, PromptText, prompt_text_of
from app.gateway.cache.single_flight import Flight, Flights
from app.gateway.call import Call, Target
from app.gateway.layers.base import CallLayer, Proceed, Services
from app.gateway.offload import aside_for
from app.gateway.outcome import Outcome
from app.gateway.run import Run
from app.state.cache_records import Label

_STREAMABLE: Final = frozenset({"chat", "responses"})
_MOST_TARGETS: Final = 4_096  # that are remembered
_CACHEABLE: Final = _STREAMABLE | {"completion", "embedding"}


def make(services: Services) -> CallLayer | None:
    """Return the layer; None where no cache is configured."""
    policies = Policies(services.settings)
    return Cache(services, policies) if policies else None


class Question(NamedTuple):
    """What a call asks: the name of its cached answer, the policy, and its meaning if that is compared."""

    name: str
    policy: Policy
    meaning: Meaning | None = None


class Cache:
    """The layer."""

    def __init__(self, services: Services, policies: Policies) -> None:
        self._services = services
        self._policies = policies
        self._digests = Digests(services.settings)
        self._store = services.cache_store
        self._store.use()
        self._embedder = Embedder(services.run_inner)
        self._flights = Flights()
        self._targets: dict[tuple[Any, ...], Target] = {}

    def __call__(self, call: Call, proceed: Proceed) -> Run:
        policy = self._policy(call)
        if policy is None:
            return proceed(call)
        name = aside_for(call, lambda: self._digests.of(call, policy.scope))
        if not policy.reads:
            return self._record(call, proceed, Question(name, policy))
        text = self._prompt_text(call, policy)
        meaning: Meaning | None = None
        while True:
            run = self._hit(call, name) if policy.direct else None
            if run is None and meaning is not None:
                run = self._similar_run(call, meaning, policy.threshold)
            if run is not None:
                return run
            if text is not None and policy.semantic is not None:
                meaning, text = self._embedder.meaning_of(call, text, policy.semantic), None
                continue
            flight = self._flights.get(name)
            if call.stream or not policy.settings.single_flight or flight is None:
                break
            flight.wait(call)
            if not flight.shared:
                break
        _note(call, "miss", _debug(name, meaning, policy))
        question = Question(name, policy, meaning)
        if call.stream or not (policy.settings.single_flight and policy.writes):
            return self._record(call, proceed, question)
        return self._run_and_record(call, proceed, question)

    def preview(self, call: Call) -> str:
        """Return what would become of ``call`` here: ``hit``, ``miss`` or ``off``."""
        policy = self._policy(call)
        if policy is None or not policy.reads:
            return "off"
        name = self._digests.of(call, policy.scope)
        entry = self._find(call, name)
        return "hit" if entry is not None and self._target(call, entry) is not None else "miss"

    def _policy(self, call: Call) -> Policy | None:
        """Return how the call uses the cache, None for one whose answer is never cached."""
        if call.operation not in (_STREAMABLE if call.stream else _CACHEABLE):
            return None
        if call.leading or (call.host is None and call.operation == "responses"):  # a turn that is compacted
            return None
        if call.request is not None and call.operation != "embedding":  # its body does not say all
            return None
        if getattr(call.host, "background", False) or call.keep_raw:
            return None
        policy = self._policies.of(call)
        if policy is None or (policy.settings.deterministic_only and not _is_deterministic(call)):
            return None
        return policy

    def _hit(self, call: Call, name: str) -> Run | None:
        entry = self._find(call, name)
        if entry is None:
            return None
        target = self._target(call, entry)
        if target is None:
            return None
        return self._replay(call, entry, target, debug_of(name, entry))

    def _prompt_text(self, call: Call, policy: Policy) -> PromptText | None:
        """Return the text that is compared with similar questions; None if none is."""
        semantic = policy.semantic
        if semantic is None or call.operation not in _STREAMABLE:
            return None
        return aside_for(call, lambda: prompt_text_of(call, self._digests, policy.scope, semantic))

    def _similar_run(self, call: Call, meaning: Meaning, threshold: float) -> Run | None:
        """Return the answer of a question that is similar to this one."""
        for similar, similarity in self._store.similar(meaning, threshold):
            entry = self._check_stored(call, similar)
            target = None if entry is None else self._target(call, entry)
            if entry is not None and target is not None:
                debug = semantic_debug_of(entry.id, meaning, threshold, similarity)
                return self._replay(call, entry, target, debug)
        return None

    def _replay(self, call: Call, entry: Entry, target: Target, debug: Mapping[str, Any]) -> Run:
        """Return the run that answers with an entry."""
        _note(call, "hit", debug)
        run = self._services.feed(call, source_of(entry, target))
        run.outcome.on_end(lambda outcome: self._write_row(outcome, target))
        return run

    def _target(self, call: Call, entry: Entry) -> Target | None:
        """Return the target that gave the answer, if the caller may still use it.

        Which targets a call has, whatever their order, follows from what they are remembered by; files have but one home."""
        names = (call.operation, call.model, call.candidates, call.default_provider)
        whose = (entry.label, *names, call.principal.allowances)
        target = self._targets.get(whose) if call.home is None else None
        if target is None:
            route = call.progress.route
            if route is None:
                route = call.progress.route = self._services.plan(call)
            target = next((one.target for one in route.targets if one.target.label == entry.label), None)
            if target is not None and call.home is None:
                if len(self._targets) >= _MOST_TARGETS:
                    self._targets.clear()
                self._targets[whose] = target
        return target

    def _find(self, call: Call, name: str) -> Entry | None:
        """Return the entry of that name that may answer ``call``."""
        return self._check_stored(call, self._store.find(name))

    def _check_stored(self, call: Call, entry: Entry | None) -> Entry | None:
        """Return the entry that may answer ``call``; one whose stored response is gone is deleted, too."""
        while entry is not None and entry.tenant == call.principal.tenant:
            if entry.response_id is None:
                return entry
            try:
                self._services.state().responses.get(entry.tenant, entry.response_id)
            except GatewayError as error:
                if error.kind.name != "not_found":
                    return None
                entry = self._store.drop(entry.id, entry.response_id)
            else:
                return entry
        return None

    def _run_and_record(self, call: Call, proceed: Proceed, question: Question) -> Run:
        flight = self._flights.begin(question.name, call)
        try:
            run = self._record(replace(call, abort=flight.abort), proceed, question)
        except BaseException:
            self._flights.end(question.name, flight)
            raise
        run.outcome.on_end(lambda outcome: self._end_flight(flight, outcome, question.name))
        return run

    def _end_flight(self, flight: Flight, outcome: Outcome, name: str) -> None:
        flight.shared = outcome.error is not None or self._store.holds(name)
        self._flights.end(name, flight)

    def _record(self, call: Call, proceed: Proceed, question: Question) -> Run:
        """Return the run that goes on; its complete answer is cached if it ends well."""
        name, policy, meaning = question
        run = proceed(call)
        if not policy.writes:
            return run
        entry: Entry | None = None

        def encode(outcome: Outcome, frames: list[Frame]) -> None:
            nonlocal entry
            entry = entry_of(name, outcome) or entry

        def store(outcome: Outcome) -> None:
            if outcome.error is None and entry is not None:
                who = call.principal
                label = Label(name, who.tenant, who.key, policy.scope, entry.response_id)
                self._store.put(entry, label, policy.ttl, meaning)

        run.on_terminal(encode)
        run.outcome.on_end(store)
        return run

    def _write_row(self, outcome: Outcome, target: Target) -> None:
        if outcome.error is None:
            self._services.accounts.note_cached(
                outcome.call, target.provider.name, target.model, outcome.usage
            )


def _debug(name: str, meaning: Meaning | None, policy: Policy) -> dict[str, Any]:
    """Return the ``cache_debug`` member of a miss."""
    return (
        debug_of(name, None) if meaning is None else semantic_debug_of(name, meaning, policy.threshold, None)
    )


def _note(call: Call, word: str, debug: Mapping[str, Any]) -> None:
    call.progress.cached = word
    call.progress.cache_debug = debug


def _is_deterministic(call: Call) -> bool:
    """Tell whether a call samples nothing: its temperature is 0, or it makes embeddings."""
    if call.operation == "embedding":
        return True
    tables = [call.body, *(table for table in call.body.values() if isinstance(table, Mapping))]
    return any(table.get("temperature") == 0 for table in tables if "temperature" in table)
