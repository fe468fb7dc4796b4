"""Flask without what this application never uses: sessions, async views, signals, and URLs that are built from routes.

Views, ``g``, ``request`` and the hooks before and after requests are Flask's. Tests: tests/surfaces/test_minimal_flask.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from flask import Flask, Request, Response
from flask.globals import _cv_app, _cv_request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule, RuleFactory

from app.surfaces.context import Context, request_context
from app.surfaces.mounts import Credentials
from app.surfaces.rules import SurfaceRule


class _Part:
    """A member of a request that Werkzeug's constructor reads from the environ. The first access to one reads all."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, request: Any, owner: type) -> Any:
        Request.__init__(request, request.environ, populate_request=False, shallow=request.shallow)
        return vars(request)[self._name]


class LazyRequest(Request):
    """Flask's request, which reads its parts from the environ when one of them is first needed: most requests need none."""

    scheme, server, root_path, path, query_string, headers, remote_addr = (_Part() for _ in range(7))

    def __init__(self, environ: dict[str, Any], populate_request: bool = True, shallow: bool = False) -> None:
        self.environ = environ
        self.shallow = shallow
        self.method: str = environ.get("REQUEST_METHOD", "GET").upper()


class LateMap(Map):
    """A map that compiles its rules when it first has to match a path; that is half of the time to build an application."""

    def __init__(self, **options: Any) -> None:
        self._new: list[Rule] = []
        self.static: dict[tuple[str, str], Rule] = {}
        """Rules without parameters, by method and path."""
        super().__init__(**options)

    def add(self, rulefactory: RuleFactory) -> None:
        """Add rules, to be compiled later."""
        for rule in rulefactory.get_rules(self):
            self._new.append(rule)
            if "<" not in rule.rule and not rule.websocket:
                self.static.update(((method, rule.rule), rule) for method in rule.methods or ())

    def update(self) -> None:
        """Compile the new rules; Werkzeug calls this before it matches a path or lists rules."""
        new, self._new = self._new, []
        for rule in new:
            super().add(rule)
        super().update()


class SessionlessFlask(Flask):
    """A Flask application that looks routes without parameters up in a table; Werkzeug matches the others."""

    url_rule_class: type[Rule] = SurfaceRule
    url_map_class: type[Map] = LateMap
    url_map: LateMap
    request_class = LazyRequest

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
        """Add a rule; raise ValueError if it does not say who may call it."""
        if not isinstance(options.get("credentials"), Credentials):
            raise ValueError(f"the rule {rule} declares no credentials; one for everybody says KEYLESS")
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request as Flask does, but without signals and teardown functions, and with one context for both of
        Flask's."""
        request = self.request_class(environ)
        context: Any = Context(self, request)
        app_token, token = _cv_app.set(context), _cv_request.set(context)
        try:
            rule = self.url_map.static.get((environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")))
            if rule is None or "HTTP_UPGRADE" in environ:
                self._match(request, context)
            else:
                request.url_rule, request.view_args = rule, {}
            try:
                response = self.full_dispatch_request()
            except Exception as error:  # noqa: BLE001 - of a hook; errors of views are answered already
                response = self.handle_exception(error)
            return response(environ, start_response)
        finally:
            if "files" in vars(request):
                request.close()
            _cv_request.reset(token)
            _cv_app.reset(app_token)

    def _match(self, request: Request, context: Context) -> None:
        """Find the rule of a request by Werkzeug's adapter."""
        try:
            context.url_adapter = adapter = self.create_url_adapter(request)
            request.url_rule, request.view_args = adapter.match(return_rule=True)  # type: ignore[union-attr, assignment]
        except HTTPException as error:
            request.routing_exception = error

    def full_dispatch_request(self) -> Response:
        """Serve the current request: run the application's hooks before it, its view, and the hooks after it."""
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

    def dispatch_request(self) -> Any:
        """Call the view of the current request, as Flask does, but without its proxies."""
        request = request_context().request
        rule: Any = request.url_rule
        if request.routing_exception is not None:
            self.raise_routing_exception(request)
        if rule.provide_automatic_options and request.method == "OPTIONS":
            return self.make_default_options_response()
        return self.view_functions[rule.endpoint](**(request.view_args or {}))

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func``: nothing here is asynchronous."""
        return func


class WholeResponse(Response):
    """An answer with its whole body, and ``fields``, its headers by lower-case name.

    The first access to ``headers`` turns the fields into Werkzeug's ``Headers``, which count from then on."""

    def __init__(self, body: bytes, status: int, fields: dict[str, str]) -> None:
        self.fields = fields
        self.response = [body]
        self.direct_passthrough = False
        self._status, self._status_code = _status_line(status), status
        self._on_close: list[Callable[[], Any]] = []

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        """The headers as Werkzeug's type."""
        return Headers(self.fields)

    def add_headers(self, fields: Mapping[str, str], defaults: Mapping[str, str]) -> None:
        """Set headers by lower-case name; ``defaults`` only those that are absent."""
        if "headers" not in vars(self):
            self.fields = {**defaults, **self.fields, **fields}
            return
        self.headers.update(fields)
        for name, value in defaults.items():
            self.headers.setdefault(name, value)

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers unchanged; Werkzeug would complete a location."""
        return self.headers

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send the answer directly, unless it is for HEAD or has functions to call on close."""
        body: Any = self.response
        if environ["REQUEST_METHOD"] == "HEAD" or not isinstance(body, list) or self._on_close:
            return super().__call__(environ, start_response)
        has_headers = "headers" in vars(self)
        start_response(
            self._status, self.headers.to_wsgi_list() if has_headers else list(self.fields.items())
        )
        return body


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    return Response(status=status).status
