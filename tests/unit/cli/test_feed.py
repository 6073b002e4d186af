"""`vigie feed`: the trial needs neither network nor broker, the list reads the data directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.system.feed import app, build_source
from services.watch.registry import find_connector, list_connectors
from tests.unit.watch.samples import SAMPLES

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    return tmp_path


def test_a_trial_prints_the_verdict_and_the_posts() -> None:
    folder = SAMPLES / "vigicrues"
    done = RUNNER.invoke(
        app,
        [
            "try",
            "vigicrues",
            "--file",
            str(folder / "warning.json"),
            "--after",
            str(folder / "warning-yellow.json"),
            "--at",
            "2027-01-25T09:12:00Z",
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["verdict"] == "ok"
    assert [p["idempotency_key"] for p in found["posts"]] == ["vigicrues:92:crues:25012027_10"]


def test_every_feed_is_listed_and_off_at_first() -> None:
    done = RUNNER.invoke(app, ["list", "--json"])
    items = json.loads(done.stdout)["items"]
    assert [item["name"] for item in items] == [c.spec.name for c in list_connectors()]
    assert not any(item["enabled"] for item in items)


def test_a_feed_without_its_key_is_not_enabled() -> None:
    done = RUNNER.invoke(app, ["enable", "meteofrance-vigilance"])
    assert done.exit_code == 1
    assert "secrets/feeds/meteofrance-vigilance.key" in done.output.replace("\n", "")


def test_an_unknown_feed_is_named() -> None:
    done = RUNNER.invoke(app, ["disable", "meteo"])
    assert done.exit_code == 2


def test_the_source_of_a_feed_speaks_as_its_publisher_with_its_types_alone() -> None:
    source = build_source(find_connector("hydro-levels").spec, "k", None)
    assert source["speaks_as"] == "vigicrues"
    assert source["scope"]["types"] == ["info", "flood_level"]
    assert source["heartbeat_s"] == 4 * 3600
