"""The chart and the plain manifests: strict schemas of every supported version, selectors, security, refusals."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from syncd.config import Settings, load
from syncd.config.server import Server
from tests.deploy import rendering
from tests.deploy.rendering import CHART, MANIFESTS, ROOT, SETS, render

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
"""Of the Prometheus operator; their schemas are not Kubernetes'."""


def objects(name: str) -> list[dict[str, Any]]:
    return render(copy.deepcopy(SETS[name]))


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (one,) = [one for one in found if one["kind"] == kind]
    return one


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pod template, as {metadata, spec}."""
    made = {
        "Deployment": lambda one: one["spec"]["template"],
        "CronJob": lambda one: one["spec"]["jobTemplate"]["spec"]["template"],
        "Pod": lambda one: one,
    }
    return [made[one["kind"]](one) for one in found if one["kind"] in made]


@pytest.mark.parametrize("version", ["v1.30.0", "v1.37.0"])
@pytest.mark.parametrize("name", SETS)
def test_lint(name: str, version: str) -> None:
    assert rendering.lint(SETS[name], version) == []


@pytest.mark.parametrize("name", SETS)
def test_every_object_is_valid_strictly(name: str) -> None:
    checked = 0
    for version in VERSIONS:
        for one in objects(name):
            if one["kind"] not in CUSTOM:
                kubernetes_validate.validate(one, version, strict=True)
                checked += 1
    assert checked >= 5 * len(VERSIONS)


def test_the_validation_refuses_what_is_wrong() -> None:
    one = of_kind(objects("daemon"), "Deployment")
    one["spec"]["replicaz"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, "1.32", strict=True)


@pytest.mark.parametrize("name", SETS)
def test_selectors_select_what_they_should(name: str) -> None:
    found = objects(name)
    templates = pods(found)
    running = [
        one for one in templates if one["metadata"]["labels"]["app.kubernetes.io/component"] in {"daemon", "cronjob"}
    ]
    checks = [one for one in templates if one["metadata"]["labels"]["app.kubernetes.io/component"] == "check"]

    def selected(labels: dict[str, str], pod: dict[str, Any]) -> bool:
        return labels.items() <= pod["metadata"]["labels"].items()

    for one in found:
        if one["kind"] == "Deployment":
            assert all(selected(one["spec"]["selector"]["matchLabels"], pod) for pod in running)
            assert not any(selected(one["spec"]["selector"]["matchLabels"], pod) for pod in checks)
        if one["kind"] == "Service":
            assert all(selected(one["spec"]["selector"], pod) for pod in running), "and not the test's pod"
            assert not any(selected(one["spec"]["selector"], pod) for pod in checks)
            (port,) = one["spec"]["ports"]
            assert port["targetPort"] in {p["name"] for pod in running for p in pod["spec"]["containers"][0]["ports"]}
        if one["kind"] == "NetworkPolicy":
            assert all(selected(one["spec"]["podSelector"]["matchLabels"], pod) for pod in templates)
        if one["kind"] == "ServiceMonitor":
            assert selected(one["spec"]["selector"]["matchLabels"], of_kind(found, "Service")), "a Service is selected"


@pytest.mark.parametrize("name", SETS)
def test_pods_keep_to_the_restricted_standard(name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    for pod in pods(objects(name)):
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        allowed = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])
        assert spec["automountServiceAccountToken"] is False
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]


@pytest.mark.parametrize("name", SETS)
def test_the_configuration_inside_is_one_that_syncd_takes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "syncd.yaml"
    path.write_text(of_kind(objects(name), "ConfigMap")["data"]["syncd.yaml"])
    assert load(path).owner == "platform-team"


def test_the_chart_takes_every_part_of_the_configuration() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(schema["config"]["properties"]) == set(Settings.model_fields) - {"state", "server"}
    assert set(schema["server"]["properties"]) >= set(Server.model_fields) - {"listen"}


def test_the_chart_knows_where_a_credential_may_stand() -> None:
    """Only there is `env:` the name of a variable; a label or a tag may be called so, too."""
    template = (CHART / "templates" / "_helpers.tpl").read_text()
    known = set(re.findall(r'"\(([a-z_|]+)\)":\\{"env"', template)[0].split("|"))
    models = Settings.model_json_schema()["$defs"].values()
    fields = [field for model in models for field in model.get("properties", {}).items()]
    assert known == {name for name, field in fields if "Credential" in json.dumps(field)}


def test_names_are_found_where_they_are_used() -> None:
    for name in SETS:
        found = objects(name)
        made = {(one["kind"], one["metadata"]["name"]) for one in found}
        for pod in pods(found):
            for volume in pod["spec"]["volumes"]:
                if "configMap" in volume and volume["name"] == "config":
                    assert ("ConfigMap", volume["configMap"]["name"]) in made
                if claim := volume.get("persistentVolumeClaim"):
                    wanted = SETS[name].get("state", {}).get("existingClaim")
                    assert claim["claimName"] == wanted or ("PersistentVolumeClaim", claim["claimName"]) in made
            if SETS[name].get("serviceAccount", {}).get("create", True):
                assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in made


def test_a_changed_configuration_is_taken_without_a_new_pod_and_a_changed_volume_is_not() -> None:
    def checksum(**more: Any) -> str:
        found = render({**copy.deepcopy(SETS["daemon"]), **more})
        return str(of_kind(found, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/restart"])

    config = copy.deepcopy(SETS["daemon"]["config"])
    config["jobs"]["payments"]["schedule"]["every"] = "10m"
    assert checksum() == checksum(config=config)
    assert checksum() != checksum(server={"token": {"secretName": "another"}})


def test_modes() -> None:
    daemon, cronjob = objects("daemon"), objects("cronjob")
    assert of_kind(daemon, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert of_kind(daemon, "Deployment")["spec"]["replicas"] == 1
    assert of_kind(cronjob, "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"
    assert pods(cronjob)[0]["spec"]["containers"][0]["args"][-2:] == ["sync", "--due"]
    assert not [one for one in cronjob if one["kind"] in {"Deployment", "Service"}]
    assert of_kind(cronjob, "PersistentVolumeClaim") == of_kind(daemon, "PersistentVolumeClaim"), "one ledger"
    assert of_kind(objects("postgres"), "Deployment")["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert of_kind(objects("postgres"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not [one for one in daemon if one["kind"] == "PodDisruptionBudget"], "one daemon may be moved at any time"
    assert not [
        one for one in objects("daemon") if one["kind"] in {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    ]


def change(name: str, path: str, value: Any) -> dict[str, Any]:
    told = copy.deepcopy(SETS[name])
    *parents, last = path.split(".")
    at = told
    for parent in parents:
        at = at.setdefault(parent, {})
    at[last] = value
    return told


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a typo": (change("daemon", "sever", {}), "sever"),
    "a typo within": (change("daemon", "image.repositry", "x"), "repositry"),
    "a mode that is none": (change("daemon", "mode", "deamon"), "mode"),
    "two daemons on SQLite": (change("daemon", "replicas", 2), "postgres|SQLite"),
    "no owner": (change("daemon", "config.owner", ""), "owner"),
    "a credential that nothing mounts": (change("daemon", "credentials", []), "nothing mounts"),
    "a token that nothing projects": (change("daemon", "tokens", []), "nothing projects"),
    "a variable that nothing sets": (change("postgres", "env", []), "WIX_API_KEY, which nothing sets"),
    "a credential in plain": (
        change("postgres", "env", [{"name": "WIX_API_KEY", "value": "generated"}]),
        "WIX_API_KEY holds a credential in plain",
    ),
    "a key in the configuration": (
        change("daemon", "config.targets.shop.auth.api_key", "generated"),
        "credential in plain",
    ),
    "the default token": (
        change("daemon", "config.sources.vault.auth", {"method": "kubernetes", "role": "syncd"}),
        "name the token",
    ),
    "a reference without a name": (change("daemon", "credentials", [{"name": "wix"}]), "secretName"),
    "a port that is none": (change("daemon", "server.port", 80), "port"),
    "alerts where nothing is scraped": (change("cronjob", "prometheusRule", {"enabled": True}), "have no metrics"),
    "alerts without a server": (
        change("monitoring", "server", {"enabled": False}),
        "have no metrics",
    ),
    "a scrape without the token that is asked for": (
        change("monitoring", "server", {"metrics": "token"}),
        "serviceMonitor.authorization",
    ),
    "a server's token that nothing mounts": (
        change("daemon", "config.targets.shop.auth.api_key", {"file": "/run/secrets/server/token"}),
        "nothing mounts",
    ),
    "an account that nobody names": (change("daemon", "serviceAccount", {"create": False}), "serviceAccount.name"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_bad_values_are_refused_with_a_message(what: str) -> None:
    values, message = REFUSALS[what]
    with pytest.raises(helm.HelmError, match=f"(?s).*({message})"):
        render(values)


def test_a_file_may_come_by_a_mount_of_its_own() -> None:
    """A CSI driver, or an agent's volume."""
    values = change("daemon", "volumeMounts", [{"name": "csi", "mountPath": "/run/secrets/csi", "readOnly": True}])
    values["config"]["targets"]["shop"]["auth"]["api_key"] = {"file": "/run/secrets/csi/api-key"}
    values["volumes"] = [{"name": "csi", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}}]
    assert of_kind(render(values), "Deployment")


def test_the_defaults_ask_for_a_configuration() -> None:
    with pytest.raises(helm.HelmError, match=r"(?s)owner|minProperties"):
        render({})


def test_the_plain_manifests_are_the_chart() -> None:
    kept = {str(path.relative_to(MANIFESTS)): path.read_text() for path in MANIFESTS.rglob("*.yaml")}
    assert kept == rendering.manifests(), "run: make manifests"


def test_the_charts_readme_has_every_value() -> None:
    page = (CHART / "README.md").read_text()
    assert page == rendering.readme(page), "run: make manifests"


@pytest.mark.parametrize("overlay", ["daemon", "cronjob"])
def test_kustomize_builds_each_overlay(overlay: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on this machine")
    done = subprocess.run([kubectl, "kustomize", str(MANIFESTS / overlay)], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(done.stdout))
    assert {"daemon": "Deployment", "cronjob": "CronJob"}[overlay] in {one["kind"] for one in found}
    for one in found:
        assert one["metadata"]["namespace"] == "syncd"
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def test_hadolint_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(hadolint), str(ROOT / "deploy" / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
