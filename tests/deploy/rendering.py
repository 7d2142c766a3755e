"""Helm itself, embedded: lint and render the chart, and make the plain manifests and the README from it.

python -m tests.deploy.rendering    writes deploy/manifests and the table of deploy/chart/README.md anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart"
MANIFESTS = ROOT / "deploy" / "manifests"
SETS = {
    path.name.removesuffix("-values.yaml"): yaml.safe_load(path.read_text())
    for path in sorted((CHART / "ci").glob("*.yaml"))
}


def render(values: dict[str, Any], *, name: str = "syncd", namespace: str = "syncd") -> list[dict[str, Any]]:
    """Every object of the chart. Raises what Helm says of bad values."""
    with helm.Chart.load(str(CHART)) as chart:
        told = chart.render(values, name=name, namespace=namespace)
    texts = [text for path, text in told.items() if path.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if isinstance(one, dict) and "kind" in one]


def lint(values: dict[str, Any], version: str) -> list[str]:
    """Helm's findings of severity 2 (a warning) and up."""
    told = helm.lint(str(CHART), values, strict=True, kube_version=version)
    return [str(one) for one in told.get("messages") or () if int(one.get("severity", 9)) >= 2]


def plain(one: dict[str, Any]) -> dict[str, Any]:
    """An object without what says that Helm made it."""
    text = json.loads(json.dumps(one))

    def strip(thing: Any) -> None:
        if isinstance(thing, dict):
            for key in ("helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy", "checksum/restart"):
                thing.pop(key, None)
            for key in ("labels", "annotations"):
                if isinstance(thing.get(key), dict):
                    strip(thing[key])
                    if not thing[key]:
                        del thing[key]
            for value in thing.values():
                strip(value)
        elif isinstance(thing, list):
            for value in thing:
                strip(value)

    strip(text)
    return text


def manifests() -> dict[str, str]:
    """Path in deploy/manifests to text."""
    made: dict[str, str] = {}
    both: dict[str, list[dict[str, Any]]] = {}
    for mode in ("daemon", "cronjob"):
        both[mode] = [
            plain(one) for one in render(SETS[mode]) if "helm.sh/hook" not in one["metadata"].get("annotations", {})
        ]
    shared = [one for one in both["daemon"] if one in both["cronjob"]]
    parts = {"base": shared, **{mode: [one for one in objects if one not in shared] for mode, objects in both.items()}}
    head = "# Made from deploy/chart by `make manifests`; change that, not this.\n"
    for part, objects in parts.items():
        files = []
        for one in objects:
            file = f"{one['kind'].lower()}.yaml"
            made[f"{part}/{file}"] = head + yaml.safe_dump(one, sort_keys=False, width=120)
            files.append(file)
        told: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        told |= (
            {"resources": sorted(files)}
            if part == "base"
            else {"namespace": "syncd", "resources": ["../base", *sorted(files)]}
        )
        made[f"{part}/kustomization.yaml"] = head + yaml.safe_dump(told, sort_keys=False)
    return made


def values_table() -> str:
    """The values, as their schema tells them, with the defaults of values.yaml."""
    schema, defaults = (
        json.loads((CHART / "values.schema.json").read_text()),
        yaml.safe_load((CHART / "values.yaml").read_text()),
    )
    lines = ["| value | default | what |", "| --- | --- | --- |"]

    def tell(prefix: str, told: dict[str, Any], given: Any) -> None:
        for key, one in told.get("properties", {}).items():
            name, value = f"{prefix}{key}", given.get(key) if isinstance(given, dict) else None
            inner = one.get("properties")
            if name == "global":
                continue
            if one.get("description"):
                shown = "" if inner and name != "config" and value else f"`{json.dumps(value)}`"
                lines.append(
                    f"| `{name}` | {shown if name != 'config' else ''} | {one['description'].replace('|', chr(92) + '|')} |"
                )
            if inner and name not in {"state.postgres", "server.token"}:
                tell(f"{name}.", one, value)

    tell("", schema, defaults)
    return "\n".join(lines)


def readme(text: str) -> str:
    """The chart's README with its table made anew."""
    before, rest = text.split("<!-- values -->\n")
    return f"{before}<!-- values -->\n{values_table()}\n<!-- /values -->\n{rest.split('<!-- /values -->' + chr(10))[1]}"


if __name__ == "__main__":
    for path, text in manifests().items():
        (MANIFESTS / path).parent.mkdir(parents=True, exist_ok=True)
        (MANIFESTS / path).write_text(text)
    page = CHART / "README.md"
    page.write_text(readme(page.read_text()))
    sys.exit(0)
