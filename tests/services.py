"""Services that a test may need beside the project: left out with the reason where they are missing."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

from tests.running import free_port


def leave_out(reason: str) -> NoReturn:
    """Skip with a reason on a developer's machine; fail where CI promised that nothing is left out."""
    if os.environ.get("SLUICE_CI") == "1":
        pytest.fail(f"left out although SLUICE_CI=1: {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def new_postgres(server: str | None = None) -> Iterator[str]:
    """Make an empty PostgreSQL database and drop it afterwards; gives its ``postgresql://`` URL.

    The server is that of ``SLUICE_TEST_POSTGRES_URL``, if not told: nobody's database is used unasked.
    """
    server = server or os.environ.get("SLUICE_TEST_POSTGRES_URL")
    if not server:
        leave_out("SLUICE_TEST_POSTGRES_URL is not set")
    import psycopg

    name = f"sluice_test_{secrets.token_hex(6)}"
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        leave_out(f"PostgreSQL does not answer (SLUICE_TEST_POSTGRES_URL): {error}")
    try:
        yield server.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def own_pgvector() -> Iterator[str]:
    """Run a PostgreSQL in whose new databases pgvector is installed; gives its URL.

    ``SLUICE_TEST_PGVECTOR`` names the folder of its ``initdb`` and ``postgres``.
    """
    programs = os.environ.get("SLUICE_TEST_PGVECTOR")
    if not programs:
        leave_out("SLUICE_TEST_PGVECTOR is not set")
    import psycopg

    port, user = free_port(), "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="sluice-pgvector-") as folder:
        if user is not None:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [f"{programs}/{program}", "-D", f"{folder}/data", *arguments]
            subprocess.run(command, check=True, cwd=folder, user=user, stdout=subprocess.DEVNULL)

        run("initdb", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}"
            with psycopg.connect(f"{url}/template1", connect_timeout=5) as connection:
                connection.execute("CREATE EXTENSION vector")
            yield f"{url}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")


_POOLER = """
[databases]
* = host={host} port={port} user={user}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


@contextmanager
def pooler(url: str, *, size: int = 4) -> Iterator[str]:
    """Run PgBouncer in transaction mode before a PostgreSQL database; gives the URL that goes through it."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        leave_out("pgbouncer is not installed")
    server = urlsplit(url)
    with tempfile.TemporaryDirectory(prefix="sluice-pooler-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = probe.getsockname()[1]
        probe.close()
        folder = Path(name)
        (folder / "pgbouncer.ini").write_text(
            _POOLER.format(
                host=server.hostname,
                port=server.port or 5432,
                user=server.username or "postgres",
                password=f" password={server.password}" if server.password else "",
                listen=listen,
                size=size,
                folder=folder,
            )
        )
        command = [program, "-q", str(folder / "pgbouncer.ini")]
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(folder, "nobody")
            command[1:1] = ["-u", "nobody"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _wait_for_port(listen, process)
            yield f"postgresql://anybody@127.0.0.1:{listen}{server.path}"
        finally:
            process.kill()
            process.wait()


@contextmanager
def own_redis(port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a Redis that a test may stop; gives its URL and its process."""
    program = shutil.which("redis-server")
    if program is None:
        leave_out("redis-server is not installed")
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="sluice-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            _wait_for_port(port, process)
            yield f"redis://127.0.0.1:{port}/0", process
        finally:
            process.kill()
            process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nobody answered on port {port}")
