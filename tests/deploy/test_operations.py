"""Alerts, dashboard and runbook against the metrics that syncd really has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from syncd.telemetry.metrics import Metrics
from tests.deploy.rendering import CHART, ROOT

ALERTS = CHART / "files" / "alerts.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDED: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "dashboards" / "syncd.json").read_text())


def known() -> dict[str, set[str]]:
    """Series name to its labels, of every metric that the daemon registers."""
    made = Metrics()
    found: dict[str, set[str]] = {}
    for collector in made.registry._collector_to_names:
        name, labels = str(collector._name), set(collector._labelnames)  # type: ignore[attr-defined]
        kind = collector._type  # type: ignore[attr-defined]
        if kind == "histogram":
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[f"{name}_total" if kind == "counter" else name] = labels
    return found


def used(expression: str) -> list[tuple[str, set[str]]]:
    """Every series of an expression, with the labels that it is selected by."""
    return [
        (name, set(re.findall(r"([a-z_]+)\s*=?[~!=]", selector or "")))
        for name, selector in re.findall(r"\b(syncd_[a-z_]+)(\{[^}]*\})?", expression)
    ]


def check(expression: str) -> None:
    recorded = {rule["record"]: rule["expr"] for rule in RECORDED}
    # What a recording rule tells has the labels of what it is made of.
    for name, made in recorded.items():
        expression = expression.replace(name, f"({made})")
    metrics = known()
    assert used(expression)
    for name, labels in used(expression):
        assert name in metrics, f"there is no {name}"
        assert labels <= metrics[name], f"{name} has no {labels - metrics[name]}"
    grouped = {
        label.strip() for told in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in told.split(",")
    }
    assert grouped <= set().union(*(metrics[name] for name, _ in used(expression))), grouped


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_ask_for_metrics_that_exist_and_have_a_page(rule: dict[str, Any]) -> None:
    check(rule["expr"])
    page = (ROOT / "deploy" / "runbook.md").read_text()
    assert f"\n## {rule['alert']}\n" in page
    assert rule["annotations"]["runbook_url"] == f"deploy/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", RECORDED, ids=lambda rule: rule["record"])
def test_recording_rules_ask_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    check(rule["expr"])


def test_the_runbook_has_no_page_too_many() -> None:
    pages = re.findall(r"^## (\w+)$", (ROOT / "deploy" / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(pages) == sorted(rule["alert"] for rule in RULES)


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    expressions = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    for expression in expressions:
        check(expression)
    for variable in BOARD["templating"]["list"][1:]:
        (name, label) = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        assert label in known()[name]
    shown = {name.removesuffix("_bucket") for expression in expressions for name, _ in used(expression)}
    wanted = {name for name in known() if not re.search(r"_(bucket|sum|count)$", name)}
    configured = {"syncd_job_interval_seconds", "syncd_job_longest_gap_seconds", "syncd_job_objective_seconds"}
    assert wanted - shown <= configured, "every metric is on the board"


def test_panels_do_not_overlap_and_have_units() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & mine and at["x"] + at["w"] <= 24
        cells |= mine
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_the_check_sees_a_metric_that_is_none() -> None:
    with pytest.raises(AssertionError):
        check("rate(syncd_secretz_total[5m])")
    with pytest.raises(AssertionError):
        check('syncd_secrets{colour="red"}')


promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")


@promtool
def test_promtool_finds_the_rules_good() -> None:
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, capture_output=True)


@promtool
def test_alerts_fire_when_they_should_and_are_silent_when_not() -> None:
    tests = ROOT / "tests" / "deploy" / "alerts_test.yaml"
    done = subprocess.run(["promtool", "test", "rules", str(tests)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r"alertname: (\w+)", tests.read_text()))
    assert tested == {rule["alert"] for rule in RULES}


@promtool
def test_promtool_finds_the_exposition_good() -> None:
    """But for the two names that design and dashboards rely on: counters are told with `_total` only."""
    text = Metrics().text()
    assert list(text_string_to_metric_families(text.decode()))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
