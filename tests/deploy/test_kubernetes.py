"""The manifests fit the schemas of Kubernetes, and say what a cluster must know to treat pods and workers well."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.deploy import shipped
from tests.deploy.told import names_read

from ropewalk.cli.arguments import parser

VERSIONS = ("1.30", "1.37")
"""The oldest that knows all that is used, and the newest whose schema the package has."""
NAMED = [pytest.param(one, id=f"{one['kind']}-{one['metadata']['name']}") for one in shipped.manifests()]
DEPLOYMENTS = [pytest.param(one, id=one["metadata"]["name"]) for one in shipped.manifests("Deployment")]


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


def container_of(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(deployment)["containers"]
    return container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", NAMED)
def test_it_fits_the_schema(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schema_finds_what_is_wrong() -> None:
    (wrong, *_) = shipped.manifests("Deployment")
    container_of(wrong)["readynessProbe"] = container_of(wrong).pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_applied_and_every_image_is_named() -> None:
    said = yaml.safe_load((shipped.DEPLOY / "kubernetes" / "kustomization.yaml").read_text(encoding="utf-8"))
    assert sorted(said["resources"]) == [path.name for path in shipped.MANIFESTS]
    assert {container_of(one)["image"] for one in shipped.manifests("Deployment")} == {said["images"][0]["name"]}
    assert said["images"][0]["newTag"] == "0.1.0"


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_its_command_is_one_of_ours(deployment: dict[str, Any]) -> None:
    options = parser().parse_args(container_of(deployment)["args"])
    assert options.command == {"gateway": "gateway", "workflow": "worker"}[deployment["metadata"]["name"]]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_every_name_in_its_environment_is_read(deployment: dict[str, Any]) -> None:
    given = {one["name"] for one in container_of(deployment).get("env", [])}
    given |= {name for one in shipped.manifests("ConfigMap") for name in one["data"]}
    assert given <= names_read()


def test_no_secret_is_in_it() -> None:
    assert not shipped.manifests("Secret")
    for one in shipped.manifests("ConfigMap"):
        assert not [name for name in one["data"] if "PASSWORD" in name or "KEY" in name or "STORE" in name]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_it_is_not_root_and_may_write_nothing(deployment: dict[str, Any]) -> None:
    whole, one = pod_of(deployment)["securityContext"], container_of(deployment)["securityContext"]
    assert whole["runAsNonRoot"]
    assert whole["runAsUser"] == 10001
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod_of(deployment)["automountServiceAccountToken"] is False
    assert container_of(deployment)["resources"]["limits"]["memory"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_its_probes_ask_a_port_that_it_has(deployment: dict[str, Any]) -> None:
    container = container_of(deployment)
    ports = {port["name"] for port in container["ports"]}
    probes = [value for name, value in container.items() if name.endswith("Probe")]
    assert len(probes) >= 2
    path = {"gateway": "/health", "workflow": "/metrics"}[deployment["metadata"]["name"]]
    assert {(probe["httpGet"]["path"], probe["httpGet"]["port"] in ports) for probe in probes} == {(path, True)}


def test_a_worker_is_not_killed_while_it_hands_over() -> None:
    (worker,) = [one for one in shipped.manifests("Deployment") if one["metadata"]["name"] == "workflow"]
    options = parser().parse_args(container_of(worker)["args"])
    assert pod_of(worker)["terminationGracePeriodSeconds"] > options.grace
    assert options.metrics_host == "0.0.0.0", "a probe comes from outside of the container"


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_it_is_scaled_and_never_taken_away_as_a_whole(deployment: dict[str, Any]) -> None:
    name, labels = deployment["metadata"]["name"], deployment["spec"]["selector"]["matchLabels"]
    assert "replicas" not in deployment["spec"], "an apply would take back what the autoscaler made"
    (scaler,) = [one for one in shipped.manifests("HorizontalPodAutoscaler") if one["metadata"]["name"] == name]
    assert scaler["spec"]["scaleTargetRef"]["name"] == name
    assert scaler["spec"]["minReplicas"] >= 2
    (budget,) = [one for one in shipped.manifests("PodDisruptionBudget") if one["metadata"]["name"] == name]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_workers_follow_the_queue() -> None:
    (scaler,) = [one for one in shipped.manifests("HorizontalPodAutoscaler") if one["metadata"]["name"] == "workflow"]
    (external,) = [one["external"] for one in scaler["spec"]["metrics"] if one["type"] == "External"]
    assert external["metric"]["name"] == "ropewalk_queue_depth"


def test_only_the_pods_port_is_open() -> None:
    (service,) = shipped.manifests("Service")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    policies = {one["metadata"]["name"]: one["spec"] for one in shipped.manifests("NetworkPolicy")}
    assert set(policies["ropewalk"]["policyTypes"]) == {"Ingress", "Egress"}
    opened = [port["port"] for rule in policies["gateway"]["ingress"] for port in rule["ports"]]
    assert opened == [8080]
    assert all(rule["from"] for one in policies.values() for rule in one["ingress"])
