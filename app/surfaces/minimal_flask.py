"""Flask without what this application never uses: sessions, async views, signals, URLs made from routes.

Public overrides only, and they change no behaviour: they take a third off the cost of a
request that does nothing (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.datastructures import Headers
from werkzeug.routing import Map, MapAdapter, Rule, RuleFactory
from werkzeug.wsgi import ClosingIterator

from app.surfaces.mounts import Credentials
from app.surfaces.rules import DoorRule

_SESSION: Final = NullSession()  # never read, never written: one does for all


class _NoSession(SessionInterface):
    """No sessions: nothing is stored in cookies."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        return _SESSION

    def is_null_session(self, obj: object) -> bool:
        return True

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> NoReturn:
        raise RuntimeError("there are no sessions")


class LateMap(Map):
    """A map whose rules are compiled once a path must be matched, half the time that building an application takes."""

    def __init__(self, **options: Any) -> None:
        self._waiting: list[Rule] = []
        self.static: dict[tuple[str, str], Rule] = {}
        """Rules without parameters, by method and path."""
        super().__init__(**options)

    def add(self, rulefactory: RuleFactory) -> None:
        """Add rules, to be compiled later."""
        for rule in rulefactory.get_rules(self):
            self._waiting.append(rule)
            if "<" not in rule.rule and not rule.websocket:
                self.static.update(((method, rule.rule), rule) for method in rule.methods or ())

    def update(self) -> None:
        """Compile what was added; Werkzeug calls this before it matches a path or lists rules."""
        waiting, self._waiting = self._waiting, []
        for rule in waiting:
            super().add(rule)
        super().update()


class SessionlessFlask(Flask):
    """Routes without parameters are looked up; the others go through Werkzeug's matcher."""

    session_interface = _NoSession()
    url_rule_class: type[Rule] = DoorRule
    url_map_class: type[Map] = LateMap
    url_map: LateMap

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """Add a rule; raises ValueError for one that does not say who may call it."""
        if not isinstance(options.get("credentials"), Credentials):
            raise ValueError(f"the rule {rule} declares no credentials; one for everybody says KEYLESS")
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what matches the request's URL; None where that is done, or is nobody's wish."""
        if request is None:  # an application context of its own: no URL is ever made here
            return None
        environ = request.environ
        rule = self.url_map.static.get((environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")))
        if rule is None or "HTTP_UPGRADE" in environ:
            return super().create_url_adapter(request)
        request.url_rule, request.view_args = rule, {}
        return None

    def full_dispatch_request(self) -> Response:
        """Serve the current request: what the whole application does before each and after, and its view."""
        befores, afters = self.before_request_funcs[None], self.after_request_funcs[None]
        answer: Any = None
        try:
            for before in befores:
                answer = before() if answer is None else answer
            if answer is None:
                answer = self.dispatch_request()
        except Exception as error:  # noqa: BLE001 - each kind has its handler
            answer = self.handle_user_exception(error)
        response: Any = answer if isinstance(answer, Response) else self.make_response(answer)
        for after in reversed(afters):
            response = after(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Do nothing: nothing of a request is to be torn down."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Do nothing: nothing of an application context is to be torn down."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func``: nothing here is asynchronous."""
        return func


class WholeResponse(Response):
    """An answer whose headers are all set: with its length, without a location to complete."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers as they are; Werkzeug would copy and search them."""
        return self.headers

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer: all is here, so there is nothing to encode, or to leave out but for HEAD."""
        body: Any = self.response
        if environ["REQUEST_METHOD"] == "HEAD" or not isinstance(body, list):
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return ClosingIterator(body, self.close)
