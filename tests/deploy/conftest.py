"""What the tests of deployment may ask for: nginx, as shipped, in front of the real gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import running
from tests.deploy.running_nginx import running_nginx
from tests.running import Gateway, running_gateway


@pytest.fixture(scope="package", autouse=True)
def _cold_starts() -> Iterator[None]:
    """Start each gateway here as a platform does: no process is warm there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "start_warm", running.start_cold)
        yield


@dataclass(frozen=True)
class Front:
    """A gateway and the nginx before it: two ports to the same thing."""

    gateway: Gateway
    nginx: int

    def port(self, way: str) -> int:
        """Return the port of ``direct`` or ``nginx``."""
        return {"direct": self.gateway.port, "nginx": self.nginx}[way]


@pytest.fixture(scope="module")
def front(nginx: str, repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One for a module. A slow body is given up after two seconds."""
    folder = tmp_path_factory.mktemp("nginx")
    with (
        running_gateway(
            {"SLUICE_BODY_DEADLINE": "2", "SLUICE_OPEN": "1", "SLUICE_HOST": "127.0.0.1"}
        ) as gateway,
        running_nginx(nginx, repo_dir / "deploy/nginx.conf", folder, gateway=gateway.port) as port,
    ):
        yield Front(gateway, port)
