"""What one would write in ten minutes: Flask and requests, passing chat through.

``naive`` opens a session for each call, ``pooled`` keeps one. No keys, no checks, no cost,
no log, no limits, no fallback: whatever the gateway does beyond this is what it is for.
"""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask, Response, jsonify, request


def create(kind: str) -> Flask:
    """Return the application; ``UPSTREAM`` is the base URL of the provider."""
    app, upstream = Flask(__name__), os.environ["UPSTREAM"]
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1000))

    def post(body: Any, *, stream: bool) -> requests.Response:
        sender = session if kind == "pooled" else requests
        headers = {"Authorization": "Bearer upstream"}
        return sender.post(f"{upstream}/chat/completions", json=body, headers=headers, stream=stream)

    @app.post("/v1/chat/completions")
    def chat() -> Response:
        body = request.get_json()
        if not body.get("stream"):
            return jsonify(post(body, stream=False).json())
        answer = post(body, stream=True)
        return Response(answer.iter_content(None), headers={"content-type": "text/event-stream"})

    return app
