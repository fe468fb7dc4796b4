"""deploy/k8s: what is applied refers to what exists, in the cluster and in Sluice."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from app.config_loading import load, members
from tests.running import ROOT, running_gateway
from tests.test_packaging import START

Resource = dict[str, Any]
APIS = {"ConfigMap": "v1", "Service": "v1", "Deployment": "apps/v1"}


def _resources() -> list[Resource]:
    files = sorted((ROOT / "deploy/k8s").glob("*.yaml"))
    return [found for file in files for found in yaml.safe_load_all(file.read_text())]


RESOURCES = {(found["kind"], found["metadata"]["name"]): found for found in _resources()}
SETTINGS: dict[str, str] = RESOURCES["ConfigMap", "sluice"]["data"]
DEPLOYMENTS = [found for (kind, _), found in RESOURCES.items() if kind == "Deployment"]
SECRETS = {"SLUICE_SECRET_KEY": "s" * 32, "SLUICE_KEYS": "ann:sk-ann"}


def _pod(deployment: Resource) -> Resource:
    pod: Resource = deployment["spec"]["template"]["spec"]
    return pod


def _containers(deployment: Resource) -> Iterator[Resource]:
    pod = _pod(deployment)
    yield from [*pod.get("initContainers", ()), *pod["containers"]]


def _container(deployment: Resource, name: str) -> Resource:
    return next(container for container in _containers(deployment) if container["name"] == name)


def test_every_resource_is_of_a_known_kind() -> None:
    assert {kind: found["apiVersion"] for (kind, _), found in RESOURCES.items()} == APIS


def test_the_settings_are_settings_of_ours_and_fit_together() -> None:
    assert set(SETTINGS) <= {row.variable for row in members.MEMBERS}
    assert all(isinstance(value, str) for value in SETTINGS.values())
    settings = load({**SETTINGS, **SECRETS, "DATABASE_URL": "postgres://u:p@db/sluice"})
    assert (settings.background, settings.port) == ("off", 8080)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda found: found["metadata"]["name"])
def test_a_deployment_selects_its_own_pods_and_locks_them_up(deployment: Resource) -> None:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    volumes = {volume["name"] for volume in _pod(deployment).get("volumes", ())}
    for container in _containers(deployment):
        assert container["envFrom"] == [
            {"configMapRef": {"name": "sluice"}},
            {"secretRef": {"name": "sluice"}},
        ]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["runAsNonRoot"] is True
        assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes


def test_the_service_leads_to_the_gateways() -> None:
    service = RESOURCES["Service", "sluice"]["spec"]
    gateway = RESOURCES["Deployment", "sluice"]
    assert service["selector"] == gateway["spec"]["template"]["metadata"]["labels"]
    (port,) = _container(gateway, "gateway")["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert str(port["containerPort"]) == SETTINGS["PORT"]


def test_pods_are_given_the_time_to_leave() -> None:
    gateway, worker = (RESOURCES["Deployment", name] for name in ("sluice", "sluice-worker"))
    waits = int(_container(gateway, "gateway")["lifecycle"]["preStop"]["exec"]["command"][1])
    assert _pod(gateway)["terminationGracePeriodSeconds"] >= waits + 25 + 5  # gunicorn's grace, and a rest
    assert _pod(worker)["terminationGracePeriodSeconds"] > float(SETTINGS["SLUICE_WORKER_GRACE"])


def test_the_probes_are_answered_without_a_key() -> None:
    container = _container(RESOURCES["Deployment", "sluice"], "gateway")
    paths = {
        container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    with running_gateway({"SLUICE_KEYS": "ann:sk-ann", "SLUICE_HOST": "127.0.0.1"}) as gateway:
        assert {requests.get(gateway.url + path, timeout=10).status_code for path in paths} == {200}


def test_commands_are_those_of_the_procfile_and_of_the_image() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    procfile = {name: shlex.split(line) for name, line in (line.split(": ", 1) for line in lines)}
    gateway, worker = (RESOURCES["Deployment", name] for name in ("sluice", "sluice-worker"))
    assert _container(gateway, "migrate")["command"] == procfile["release"]
    assert _container(worker, "worker")["command"] == procfile["worker"]
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert yaml.safe_load(image.rpartition("CMD ")[2]) == shlex.split(START)
    copied = [line.split()[1:-1] for line in image.splitlines() if line.startswith("COPY ")]
    assert all((ROOT / name).exists() for names in copied for name in names)
