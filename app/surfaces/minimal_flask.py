"""Flask without what this application never uses: sessions, async views, signals, URLs made from routes.

Views, ``g``, ``request`` and the hooks before and after are Flask's. Tests: tests/surfaces/test_minimal_flask.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, NoReturn

from flask import Flask, Request, Response
from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.datastructures import Headers
from werkzeug.routing import Map, MapAdapter, Rule, RuleFactory

from app.surfaces.mounts import Credentials
from app.surfaces.rules import SurfaceRule

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
    url_rule_class: type[Rule] = SurfaceRule
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

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request, as Flask does, without signals and without what a teardown would do."""
        context = RequestContext(self, environ, session=_SESSION)
        app_token, token = _cv_app.set(AppContext(self)), _cv_request.set(context)
        try:
            if context.url_adapter is not None:
                context.match_request()
            try:
                response = self.full_dispatch_request()
            except Exception as error:  # noqa: BLE001 - of a hook: those of views are answered already
                response = self.handle_exception(error)
            return response(environ, start_response)
        finally:
            if "files" in vars(context.request):
                context.request.close()
            environ["werkzeug.request"] = None  # else the two hold each other
            _cv_request.reset(token)
            _cv_app.reset(app_token)

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

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func``: nothing here is asynchronous."""
        return func


class WholeResponse(Response):
    """An answer that is all here: its body, and ``fields``, its headers by their lower-case names.

    Whoever asks for ``headers`` gets what Werkzeug makes of the fields, and that counts from then on."""

    def __init__(self, body: bytes, status: int, fields: dict[str, str]) -> None:
        self.fields = fields
        self.response = [body]
        self.direct_passthrough = False
        self._status, self._status_code = _status_line(status), status
        self._on_close: list[Callable[[], Any]] = []

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        """The headers as Werkzeug has them."""
        return Headers(self.fields)

    def add_headers(self, fields: Mapping[str, str], defaults: Mapping[str, str]) -> None:
        """Set headers by their lower-case names; ``defaults`` where there are none of the name."""
        if "headers" not in vars(self):
            self.fields = {**defaults, **self.fields, **fields}
            return
        self.headers.update(fields)
        for name, value in defaults.items():
            self.headers.setdefault(name, value)

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers as they are, without a location to complete."""
        return self.headers

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer: all is here, so there is nothing to encode, or to leave out but for HEAD."""
        body: Any = self.response
        if environ["REQUEST_METHOD"] == "HEAD" or not isinstance(body, list) or self._on_close:
            return super().__call__(environ, start_response)
        is_asked = "headers" in vars(self)
        start_response(self.status, self.headers.to_wsgi_list() if is_asked else list(self.fields.items()))
        return body


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    return Response(status=status).status
