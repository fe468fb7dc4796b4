import gevent.events
from gevent import monkey

gevent.events.notify_and_call_entry_points = (
    gevent.events.notify
)  # there are no plug-ins: do not scan all packages
monkey.patch_all()

# Why the statements above come first: whatever pulls in ssl before the patch breaks every
# outgoing HTTPS call of the worker. The reasons of the other settings stand beside them.

import importlib
import importlib.util
import math
import os
import sys
import time

from app.late_patterns import load_marshmallow

load_marshmallow()

from app import bind_address, master_key, metrics_folder
from app.config_loading import ConfigError, load
from app.reload_report import BOARD

try:
    _settings = load(os.environ)
    bind = bind_address.resolve_bind(_settings)
except (ConfigError, bind_address.ServingError) as _error:
    sys.exit("\n".join(f"sluice: {line}" for line in str(_error).splitlines()))

worker_class = "app.server.worker.Worker"  # the gevent one, strict about where a request ends
workers = _settings.workers
worker_connections = 2000  # slow request bodies hold a slot each
preload_app = False  # transports, pools and the writer thread belong to one worker

# How long a client may take for its next request, headers included, so it is short; a router in front
# must close idle connections first (nginx: keepalive_timeout 4s) or be outlived (Heroku: SLUICE_KEEPALIVE=95).
keepalive = _settings.keepalive

# At graceful_timeout a worker dies without running any `finally`; the drain of our own ends before.
# Platforms kill after 30 s, 5 s more than follows from the default of SLUICE_DRAIN_AFTER.
graceful_timeout = math.ceil(_settings.drain_after) + 5
# Not a limit on requests: only a hub that does not turn for so long is taken for dead.
timeout = 120

accesslog = None  # the gateway writes its own log line for each call
errorlog = "-"
control_socket_disable = True  # it would live in a home folder that a container may not have
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS") or "127.0.0.1,::1"  # exact addresses of the proxy
http_parser = "auto"  # the C parser where it is installed

_LIFECYCLE = "app.gateway.lifecycle"
_LONGEST_LOOK = 5.0

# The workers' metrics lie in one folder; the library looks for its name when it is first imported.
if _settings.metrics:
    os.environ[metrics_folder.VARIABLE] = str(metrics_folder.make(os.environ.get(metrics_folder.VARIABLE)))


def on_starting(server):
    """Hold an address from gunicorn's own command line (``--bind``) to the same rule."""
    for address in server.cfg.address:
        bound = isinstance(address, str) or bind_address.is_loopback(address[0])
        if not (bound or bind_address.is_protected(_settings)):
            sys.exit(f"sluice: {bind_address.refusal(address[0])}")
        inherits = (
            server.master_pid or "LISTEN_FDS" in os.environ
        )  # gunicorn's own second master, or systemd's socket
        if not inherits and not isinstance(address, (str, int)):
            fault = bind_address.listening_fault(*address[:2])
            if fault is not None:  # gunicorn, which says less, tries again for five seconds
                print(f"sluice: {fault[0]}; {fault[1]}", file=sys.stderr, flush=True)


def when_ready(server):
    """Say where the server listens, with a line to try it."""
    address = server.LISTENERS[0].sock.getsockname()
    keyed = bind_address.has_client_keys(_settings)
    where = "with client keys" if keyed else "open" if _settings.open else "loopback only, without keys"
    line = bind_address.curl_line(address, keyed=keyed)
    print(
        f"sluice is listening on {bind_address.shown_address(address)} ({where}). Try:\n\n  {line}\n",
        flush=True,
    )
    _invite_to_the_window([listener.sock.getsockname() for listener in server.LISTENERS])
    _refuse_faulty_reloads(server)
    _let_the_new_listen_first(server)
    _turn_newcomers_away_first(server)
    _look_less_often(server)


def _invite_to_the_window(addresses):
    """Print where the window is: with a link that logs in once where nobody else can read it.

    Workers take the key from the environment that they are forked with."""
    if _settings.master_key is None and bind_address.is_private(addresses, sys.stdout):
        link = master_key.link(master_key.make(os.environ))
        print(
            f"The window, by a link that works once:\n\n  {bind_address.url(addresses[0])}/ui/link/{link}\n",
            flush=True,
        )
    elif _settings.master_key is not None:
        print(f"The window, for SLUICE_MASTER_KEY: {bind_address.url(addresses[0])}/ui\n", flush=True)
    else:
        print("The window at /ui needs an administrator: set SLUICE_MASTER_KEY.\n", flush=True)


def _refuse_faulty_reloads(server):
    """Let SIGHUP with a faulty configuration change nothing: gunicorn itself would end."""
    reload = server.reload

    def reload_what_is_sound():
        try:
            bind_address.resolve_bind(load(os.environ))
        except (ConfigError, bind_address.ServingError) as error:
            server.log.error("sluice keeps its configuration, for the new one is faulty:\n%s", error)
            BOARD.tell(getattr(error, "faults", [("", str(error))]))
        else:
            BOARD.tell()
            reload()

    BOARD.open()

    server.reload = reload_what_is_sound


def _let_the_new_listen_first(server):
    """Let no worker go for a new one before that one serves: it has given a sign of life by then.

    Until its first sign, a worker's file has the time of its making, by the calendar; the signs
    are by the clock that starts with the machine."""
    manage = server.manage_workers

    def manage_patiently():
        limit = time.monotonic() + 15
        while len(server.WORKERS) > server.num_workers and _is_one_starting(server):
            if time.monotonic() > limit:
                break
            time.sleep(0.05)
            server.reap_workers()
        manage()

    server.manage_workers = manage_patiently


def _turn_newcomers_away_first(server):
    """Let the whole server leave without resetting a connection that the kernel has accepted."""
    stop = server.stop

    def stop_in_order(graceful=True):
        ours = server.reexec_pid == server.master_pid == 0 and not server.systemd  # and nobody else's
        if graceful and ours:
            for listener in server.LISTENERS:
                bind_address.turn_newcomers_away(listener.sock)
            time.sleep(0.1)  # for connections that are being made
        stop(graceful)

    server.stop = stop_in_order


def _look_less_often(server):
    """Let the first process wake four times within ``timeout``, at least every ``_LONGEST_LOOK`` seconds, instead of once a
    second: a signal, that of a worker's end included, wakes it at once. One that takes over from another looks as before."""
    wait = server.wait_for_signals

    def wait_longer(timeout=1.0):
        longest = server.timeout / 4 if server.timeout else _LONGEST_LOOK
        return wait(timeout if server.master_pid else max(timeout, min(_LONGEST_LOOK, longest)))

    server.wait_for_signals = wait_longer


def _is_one_starting(server):
    return any(worker.tmp.last_update() > time.monotonic() for worker in server.WORKERS.values())


def post_worker_init(worker):
    """Start what a worker runs beside its requests: drain watch, sweepers, background runner."""
    _lifecycle("start", worker)


def child_exit(server, worker):
    """Count the open calls of a worker that ended no longer."""
    if _settings.metrics:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)


def on_exit(server):
    """Leave no folder of metrics behind."""
    metrics_folder.remove(os.environ.get(metrics_folder.VARIABLE))


def worker_exit(server, worker):
    """Flush and close what ``post_worker_init`` started."""
    _lifecycle("stop", worker)


def _lifecycle(step, worker):
    if importlib.util.find_spec(_LIFECYCLE) is not None:
        getattr(importlib.import_module(_LIFECYCLE), step)(worker)
