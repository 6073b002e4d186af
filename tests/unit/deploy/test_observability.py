"""Alert rules and dashboards use existing metrics and labels, and cover every metric."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from services.runtime.process.metrics import METRICS
from services.runtime.process.settings import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "observability"
SELECTED = re.compile(r"(vigie_[a-z_]+)\{([^}]*)\}")
BY = re.compile(r"by \(([^)]*)\) \((?:rate|increase)?\(?(vigie_[a-z_]+)")


OF_THE_TARGET = ("instance", "process")
"""Labels that Prometheus and `vigie status --targets` add to every metric of a process."""


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [
        p
        for file in sorted(FOLDER.glob("grafana-*.json"))
        for p in json.loads(file.read_text())["panels"]
    ]


def queries() -> Iterator[tuple[str, str]]:
    """List (place, expression)."""
    yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in rules())
    yield from (
        (panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]
    )


def base(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name) if METRICS.get(name) is None else name


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_names_existing_metrics_and_labels(where: str, query: str) -> None:
    names = {base(name) for name in re.findall(r"\bvigie_[a-z_]+", query)}
    assert names <= set(METRICS) or "vigie:" in query
    assert names or "vigie:" in query or "up{" in query or "process_" in query
    for name, labels in SELECTED.findall(query):
        assert {label.partition("=")[0].rstrip("!") for label in re.split(r",\s*", labels)} <= {
            *METRICS[base(name)].labels,
            "le",
        }
    for labels, name in BY.findall(query):
        assert {label.strip() for label in labels.split(",")} <= {
            *METRICS[base(name)].labels,
            "le",
            *OF_THE_TARGET,
        }
    for name in names:
        if METRICS[name].kind == "histogram":
            assert f"{name}_bucket" in query


def test_every_metric_is_on_a_dashboard() -> None:
    dashboard_metrics = {
        base(name)
        for panel in panels()
        for target in panel["targets"]
        for name in re.findall(r"\bvigie_[a-z_]+", target["expr"])
    }
    assert set(METRICS) - dashboard_metrics == set()


def test_every_metric_is_fed() -> None:
    source = "".join(
        p.read_text() for p in (REPOSITORY / "services").rglob("*.py") if p.name != "metrics.py"
    )
    assert [name for name in METRICS if f'"{name}"' not in source] == []


def test_every_alert_gives_its_meaning_and_its_runbook() -> None:
    for rule in (r for r in rules() if "alert" in r):
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert notes["summary"].startswith("Vigie : ")
        page, _, anchor = notes["runbook"].partition("#")
        text = (REPOSITORY / page).read_text()
        headings = {
            re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        assert not anchor or anchor in headings


def test_prometheus_sends_the_token_of_the_health_ports() -> None:
    (job,) = YAML(typ="safe").load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "vigie.token"}
    assert "metrics.token /etc/prometheus/vigie.token" in (FOLDER / "prometheus.yml").read_text()
