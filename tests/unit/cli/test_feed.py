"""`vigie feed`: the trial needs neither network nor broker, the list reads the data directory."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.client import ApiRefused
from services.cli.system import feed
from services.cli.system.feed import app, build_source
from services.watch.connector import FetchVerdict, find_connector, list_connectors
from services.watch.store import FeedHold, FeedStore, describe_feeds, write_status
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
    trial = json.loads(done.stdout)
    assert trial["verdict"] == "ok"
    assert [p["idempotency_key"] for p in trial["posts"]] == ["vigicrues:92:crues:25012027_10"]


def test_every_feed_is_listed_and_off_at_first() -> None:
    done = RUNNER.invoke(app, ["list", "--json"])
    items = json.loads(done.stdout)["items"]
    assert [item["name"] for item in items] == [c.spec.name for c in list_connectors()]
    assert not any(item["enabled"] for item in items)


def test_while_samples_play_the_list_shows_them_and_feeds_of_publishers_stay(data: Path) -> None:
    store = FeedStore(data / "watch" / "samples.db")
    now = datetime.now(UTC)
    store.enable("vigicrues", now.timestamp(), enabled=True)
    write_status(data / "watch" / "status.json", describe_feeds(store, now, samples=True))
    store.close()
    listed = json.loads(RUNNER.invoke(app, ["list", "--json"]).stdout)
    assert listed["samples"]
    assert [i["name"] for i in listed["items"] if i["enabled"]] == ["vigicrues"]
    refused = RUNNER.invoke(app, ["enable", "vigicrues"])
    assert refused.exit_code == 1
    assert "without --demo" in refused.output.replace("\n", " ")
    assert not (data / "watch" / "feeds.db").exists()


def test_a_demonstration_needs_a_watch_that_reads_it() -> None:
    done = RUNNER.invoke(app, ["demo"])
    assert done.exit_code == 1
    assert "VIGIE_FEEDS_SAMPLES" in done.output


def test_a_busy_vigie_is_asked_again_and_a_refusal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE_S", 0.0)
    answers = [504, 503, 404, None]

    def ask() -> None:
        if (status := answers.pop(0)) is not None:
            raise ApiRefused(status, {"detail": "no"})

    feed.insist(ask)
    assert answers == []
    answers.append(409)
    with pytest.raises(ApiRefused):
        feed.insist(ask)


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


def try_file(file: Path, at: str = "2027-01-25T09:12:00Z") -> str:
    done = RUNNER.invoke(app, ["try", "vigicrues", "--file", str(file), "--at", at])
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    return done.output.replace("\n", " ")


@pytest.mark.parametrize(
    "content", ["[1]", "{}", '{"status": "x"}', '{"status": 200, "headers": [1]}']
)
def test_a_file_that_is_no_envelope_is_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "http-odd.json"
    file.write_text(content, encoding="utf-8")
    assert "http-odd.json: an envelope {status, headers, body} is expected" in try_file(file)


def test_a_missing_file_and_a_wrong_time_are_explained(tmp_path: Path) -> None:
    assert "nowhere.json: No such file" in try_file(tmp_path / "nowhere.json")
    for at in ("hier", "2027-01-25T09:12:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        explanation = try_file(SAMPLES / "vigicrues" / "warning.json", at)
        assert f"--at {at}: a time with an offset is expected" in explanation


def test_the_list_tells_the_fault_of_a_feed(data: Path) -> None:
    store = FeedStore(data / "watch" / "feeds.db")
    store.enable("vigicrues", 1.0, enabled=True)
    store.note_failure("vigicrues", FetchVerdict.REFUSED, "outside the allow-list: evil.example")
    store.close()
    done = RUNNER.invoke(app, ["list"])
    assert "vigicrues : outside the allow-list: evil.example" in done.output


def test_the_list_names_the_machine_that_reads_a_feed(data: Path) -> None:
    store = FeedStore(data / "watch" / "feeds.db")
    store.enable("vigicrues", datetime.now(UTC).timestamp(), enabled=True)
    assert "lu par" not in RUNNER.invoke(app, ["list"]).stdout
    store.put_hold(FeedHold("vigicrues", 1, 1, "siege-3f9a1c 5d0c", is_fetching=False))
    store.close()
    listed = RUNNER.invoke(app, ["list", "--json"])
    readers = {item["name"]: item["read_by"] for item in json.loads(listed.stdout)["items"]}
    assert readers["vigicrues"] == "siege-3f9a1c"
    assert "lu par" in RUNNER.invoke(app, ["list"], env={"COLUMNS": "200"}).stdout


def test_a_first_list_says_how_to_begin() -> None:
    assert "vigie feed enable" in RUNNER.invoke(app, ["list"]).output
