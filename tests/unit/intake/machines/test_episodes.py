"""A repeated message has no second effect, after restarts, failed answers and with any times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from schemas.reports import episode_key
from services.intake.integrations.episodes import EpisodeTracker
from services.intake.reports.redaction import LogRedactor
from services.runtime.kafka.clients import BrokerAway
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import KEY, alert, event, group, reports, source


async def forget(door: Door) -> None:
    """Forget the state that a restart of the front forgets."""
    await door.intake.ledger.flush()
    door.intake.front._machines.transitions.episodes = EpisodeTracker(door.intake.ledger)


async def told(door: Door, *bodies: dict[str, Any], forgetful: bool) -> None:
    async with door.client() as http:
        for body in bodies:
            if forgetful:
                await forget(door)
            assert (await http.post("/v2/enqueue", json=body)).status_code == 202


def ago(seconds: int) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def kinds(door: Door) -> list[tuple[str, str, int]]:
    return [(m.type.value, m.msg_type.value, m.severity) for _, m, _ in door.inputs.appended]


def ids(door: Door) -> list[str]:
    return [m.report_id for _, m, _ in door.inputs.appended]


@pytest.mark.parametrize("forgetful", [False, True])
async def test_each_change_of_text_is_reported_once_across_restarts(
    door: Door, forgetful: bool
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    severities = (
        "warning",
        "warning",
        "critical",
        "critical",
        "warning",
        "warning",
        "critical",
        "critical",
    )
    await told(
        door,
        *(event(severity=s, timestamp=ago(60)) for s in severities),
        event("resolve"),
        forgetful=forgetful,
    )
    assert kinds(door) == [
        ("outage_it", "Alert", 2),
        ("outage_it", "Update", 4),
        ("outage_it", "Update", 2),
        ("outage_it", "Update", 4),
        ("reopening", "Alert", 1),
    ]
    assert len({*ids(door)}) == 5
    assert {m.references for _, m, _ in door.inputs.appended[1:]} == {(ids(door)[0],)}


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("goalert", "/api/v2/generic/incoming", {"summary": "Porte", "dedup": "p"}),
        ("generic", "/webhooks/generic/s", {"title": "Fuite", "location": "B#2"}),
        (
            "apprise",
            "/webhooks/apprise",
            {"title": "Onduleur", "message": "sur batterie", "type": "failure"},
        ),
    ],
)
async def test_a_repetition_after_a_restart_changes_nothing_in_any_dialect(
    door: Door, dialect: str, path: str, body: dict[str, Any]
) -> None:
    key = (await source(door, "s", dialect=dialect))["key"]
    async with door.client() as http:
        for _ in range(3):
            assert (await http.post(path, params={"token": key}, json=body)).is_success
            await forget(door)
    assert len(reports(door)) == 1


async def test_a_stored_report_with_a_refused_answer_is_recognised_on_retry(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    append = door.inputs.append

    async def lands_unheard(*record: Any) -> tuple[int, int]:
        await append(*record)
        raise BrokerAway("no acknowledgement")

    async with door.client() as http:
        for body in (event(), event(severity="info"), event("resolve")):
            with monkeypatch.context() as patched:
                patched.setattr(door.inputs, "append", lands_unheard)
                assert (await http.post("/v2/enqueue", json=body)).status_code == 503
            assert (await http.post("/v2/enqueue", json=body)).status_code == 202
        assert (await http.post("/v2/enqueue", json=event())).status_code == 202
    assert [t for t, *_ in kinds(door)] == ["outage_it"] * 4 + ["reopening"] * 2 + ["outage_it"]
    assert [ids(door).count(i) for i in dict.fromkeys(ids(door))] == [2, 2, 2, 1]


async def test_a_report_without_text_after_a_crash_gets_it_on_retry(door: Door) -> None:
    """A sender without an answer repeats the same message."""
    await source(door, dialect="pagerduty", key=KEY)
    am = (await source(door, "am", dialect="alertmanager"))["key"]
    async with door.client() as http:
        for path, body in (
            ("/v2/enqueue", event()),
            (f"/webhooks/alertmanager?token={am}", group(alert())),
        ):
            assert (await http.post(path, json=body)).status_code == 202
            [id] = ids(door)[-1:]
            await forget(door)
            door.intake.ledger._db.execute(
                "INSERT INTO unanswered VALUES (?, 1)", (bytes.fromhex(id.replace("-", "")),)
            )
            door.intake.vault.texts._forget(f"report-{id}")
            before = len(door.texts_log.entries)
            assert (await http.post(path, json=body)).status_code == 202
            assert (await http.post(path, json=body)).status_code == 202
            assert len(door.texts_log.entries) == before + 1
    assert len(reports(door)) == 2


# ── times of the sender ──────────────────────────────────────────────────────────────────────────────────────────────


def resolved(timestamp: str | None) -> dict[str, Any]:
    return event("resolve") | {
        "payload": {"summary": "fini", "source": "s", "severity": "info", "timestamp": timestamp}
    }


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize(
    ("ended", "again", "opens"), [(120, 60, True), (120, 200, False), (None, 60, False)]
)
async def test_a_beginning_after_a_reported_end_is_a_new_episode(
    door: Door, ended: int | None, again: int, opens: bool, forgetful: bool
) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    bodies = (
        event(timestamp=ago(300)),
        resolved(None if ended is None else ago(ended)),
        event(timestamp=ago(again), summary="De nouveau"),
    )
    await told(door, *bodies, forgetful=forgetful)
    assert [t for t, *_ in kinds(door)] == ["outage_it", "reopening"] + ["outage_it"] * opens


async def test_an_end_is_of_the_time_that_its_sender_names(door: Door) -> None:
    await source(door, dialect="pagerduty", key=KEY)
    began, ended = ago(300), ago(120)
    await told(door, event(timestamp=began), resolved(ended), forgetful=False)
    assert [m.occurred_at for _, m, _ in door.inputs.appended] == [
        int(datetime.fromisoformat(t).timestamp() * 1000) for t in (began, ended)
    ]


@pytest.mark.parametrize("forgetful", [False, True])
async def test_an_end_is_never_dated_before_the_last_report_of_its_episode(
    door: Door, forgetful: bool
) -> None:
    """A report after a reopening counts (D7)."""
    await source(door, dialect="pagerduty", key=KEY)
    await told(
        door,
        event(timestamp=ago(300)),
        event(severity="info", timestamp=ago(100)),
        resolved(ago(200)),
        forgetful=forgetful,
    )
    times = [m.occurred_at for _, m, _ in door.inputs.appended]
    assert times[2] == times[1] > times[0]


# ── several matters on one site ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("forgetful", [False, True])
async def test_an_open_alert_is_dated_after_the_end_of_another_at_its_site(
    door: Door, forgetful: bool
) -> None:
    """An alert from before the end of another, reported after it, hid the site."""
    await source(door, dialect="pagerduty", key=KEY)
    await told(
        door,
        event(timestamp=ago(300)),
        resolved(ago(120)),
        event(key="other", timestamp=ago(200)),
        forgetful=forgetful,
    )
    *_, end, other = (m for _, m, _ in door.inputs.appended)
    assert other.occurred_at == end.occurred_at + 1
    elsewhere = event(key="third", timestamp=ago(200), custom_details={"site": "cen-2"})
    await told(door, elsewhere, forgetful=forgetful)
    assert door.inputs.appended[-1][1].occurred_at < end.occurred_at


async def test_ends_of_a_group_come_after_its_beginnings(door: Door) -> None:
    key = (await source(door, dialect="alertmanager"))["key"]
    over = {"status": "resolved", "endsAt": ago(60)}
    async with door.client(Authorization=f"Bearer {key}") as http:
        for alerts in (
            [alert(fingerprint="a", starts=ago(300))],
            [
                alert(fingerprint="a", starts=ago(300)) | over,
                alert(fingerprint="b", starts=ago(200)),
            ],
        ):
            assert (
                await http.post("/webhooks/alertmanager", json=group(*alerts))
            ).status_code == 202
    reports = [m for _, m, _ in door.inputs.appended]
    assert [m.type.value for m in reports] == ["outage_it", "outage_it", "reopening"]
    assert reports[2].references == (reports[0].report_id,)
    began = [m.occurred_at for _, m, _ in door.inputs.appended]
    assert began[1] < began[2], "it is of its own time"


async def test_several_reports_of_one_episode_keep_their_order(door: Door) -> None:
    key = (await source(door, dialect="cloudevents"))["key"]
    events = [
        {
            "specversion": "1.0",
            "id": str(n),
            "source": "/gtb",
            "type": "t",
            "subject": "pompe",
            "data": {"title": "Pompe", "state": state},
        }
        for n, state in enumerate(("open", "ok", "open", "ok"))
    ]
    async with door.client(
        Authorization=f"Bearer {key}", **{"content-type": "application/cloudevents-batch+json"}
    ) as http:
        assert (await http.post("/api/v1/events", content=orjson.dumps(events))).status_code == 202
    assert [t for t, *_ in kinds(door)] == ["outage_it", "reopening"] * 2


async def test_an_episode_that_an_earlier_version_opened_is_ended_under_its_name(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name, the decider would treat it as another alert and keep the cause open."""
    await source(door, dialect="pagerduty", key=KEY)
    with monkeypatch.context() as earlier:
        earlier.setattr(LogRedactor, "machine_alias", lambda _self, _realm, alias: alias)
        await told(
            door,
            *(event(severity=s, timestamp=ago(60)) for s in ("warning", "critical")),
            forgetful=True,
        )
    await told(door, event("resolve"), event(severity="warning"), forgetful=True)
    opened, changed, ended, new = (message for _, message, _ in door.inputs.appended)
    assert ended.references == (opened.report_id,)
    assert episode_key(opened.alias) == episode_key(changed.alias) == episode_key(ended.alias)
    assert "h:" in str(episode_key(new.alias)), "the next episode has no word of its sender"
