"""The warm process: it does once what every start of a gateway repeats, and forks a child for each gateway.

``tests.running`` starts one for each pytest and asks it for gateways. It imports what a gateway imports, in the same
order and after the same patch; the child takes the environment, folder and output that a process of its own would have
and runs gunicorn's entry point, so server, workers and settings are the real ones. What is imported before the fork
reads no environment, maps no shared memory, opens no file and starts no thread (``tests/test_warm_start.py``).
"""

import atexit
import os
import signal
import sys
import threading
import time

LATER = ("app.reload_report", "prometheus_client")
"""Never imported here: shared memory is made with the first, the second looks for its variable."""
_MODULES = (
    *("app.server.worker", "app.surfaces.application", "app.surfaces.admin.application", "app.state.state"),
    *("app.surfaces.views.generation", "app.gateway.batch_run", "sqlalchemy.dialects.sqlite"),
    *("sqlalchemy.dialects.postgresql", "alembic.command", "psycopg", "redis", "requests"),
)
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def main() -> None:
    """Fork and reap as the lines of the standard input ask, to its end; in a child, run gunicorn."""
    from gunicorn.app.wsgiapp import run

    _load()
    import gc
    import json

    from gevent import monkey

    fork, waitpid = monkey.get_original("os", ("fork", "waitpid"))  # gevent's own begin a hub
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C, tests still stop their gateways
    for line in sys.stdin.buffer:
        number, order = json.loads(line)
        if "reap" in order:
            pid, status = waitpid(order["reap"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = fork()
            if answer == 0:
                _become(**order)
                try:
                    run(prog="gunicorn")
                except SystemExit as end:
                    _end(end.code)
        print(json.dumps([number, answer]), flush=True)


def _load() -> None:
    """Import what ``gunicorn.conf.py`` and ``wsgi.py`` import, which begin like this."""
    import gevent
    import gevent.events
    from gevent import monkey

    gevent.events.notify_and_call_entry_points = gevent.events.notify
    monkey.patch_all()

    import importlib

    from app.late_patterns import load_marshmallow

    load_marshmallow()
    for module in ("app.bind_address", "app.config_loading", *_MODULES):
        importlib.import_module(module)
    gevent.get_hub().destroy(destroy_loop=True)  # urllib3 opens a socket when it is imported
    loaded = [name for name in LATER if name in sys.modules]
    assert not loaded, f"what no two gateways may share is imported before the fork: {loaded}"


def _become(arguments: list[str], folder: str, environ: dict[str, str], log: str) -> None:
    """Take what a process started with these would have."""
    import gunicorn.__main__
    import gunicorn.config

    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, _LOG_FLAGS, 0o666)
    for given, own in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(given, own)
    os.close(nothing)
    os.close(output)
    os.chdir(folder)
    sys.path[0] = folder
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.argv[:] = [gunicorn.__main__.__file__, *arguments]
    gunicorn.config.Chdir.default = folder  # that of the import, else


def _end(code: object) -> None:
    """End as the interpreter does, but leave the memory to the kernel: to free it costs more than the start."""
    threading._shutdown()
    atexit._run_exitfuncs()
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    os._exit(code or 0)


if __name__ == "__main__":
    main()
