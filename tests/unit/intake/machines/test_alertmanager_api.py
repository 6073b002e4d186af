"""The Alertmanager API reads leases, zero times and ends, and isolates invalid alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from schemas.matchers import Matcher
from services.intake.dead_letters.dead_letter_store import build_dead_letter
from services.intake.integrations.alertmanager_api import (
    RESOLVE_TIMEOUT_S,
    compute_fingerprint,
    read_alerts,
)
from services.intake.integrations.request import IntegrationRequest
from services.intake.integrations.signals import (
    MAX_MATCHABLE_LABELS,
    Transition,
    TransitionState,
    select_log_labels,
)
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.secrets.vault import TextItem
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import KEY, last, offered_again, reports, source

ZERO = "0001-01-01T00:00:00.000Z"


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _read(*alerts: Any) -> tuple[list[Transition], list[ProblemError]]:
    return read_alerts(IntegrationRequest("POST", "/api/v2/alerts", (), {}, orjson.dumps(alerts)))


def _one(**alert: Any) -> Transition:
    (signal,), wrong = _read({"labels": {"alertname": "Down", "instance": "web1"}} | alert)
    assert not wrong
    return signal


def test_an_end_to_come_is_a_lease_that_the_sender_named() -> None:
    signal = _one(startsAt=_in(-60), endsAt=_in(240))
    assert signal.state is TransitionState.OPEN
    assert signal.lease is not None
    assert signal.lease.explicit
    assert abs(signal.lease.until / 1000 - datetime.now(UTC).timestamp() - 240) < 30


@pytest.mark.parametrize(
    "zero", [{}, {"startsAt": ZERO, "endsAt": ZERO}, {"startsAt": None, "endsAt": ""}]
)
def test_no_end_is_a_patience(zero: dict[str, Any]) -> None:
    """`amtool` sends zero times for unset fields."""
    signal = _one(**zero)
    assert signal.lease is not None
    assert not signal.lease.explicit
    assert abs(signal.lease.until / 1000 - datetime.now(UTC).timestamp() - RESOLVE_TIMEOUT_S) < 30
    assert signal.began is None


def test_an_end_that_is_over_is_an_end() -> None:
    signal = _one(startsAt=_in(-60), endsAt=_in(-5))
    assert (signal.state, signal.lease) == (TransitionState.CLOSED, None)
    assert signal.at is not None


def test_an_invalid_alert_does_not_affect_the_others() -> None:
    good, wrong = _read(
        {"labels": {}},
        {"labels": {"a": ""}},
        {"labels": {"a": "1"}, "startsAt": "yesterday"},
        {"labels": {"a": "2"}, "startsAt": _in(10), "endsAt": _in(5)},
        "no alert",
        {"labels": {"a": "3"}},
    )
    assert [s.labels for s in good] == [{"a": "3"}]
    assert [e.problem.faults[0].field for e in wrong] == [
        "1.labels",
        "2.labels",
        "3.startsAt",
        "4.endsAt",
        "5.labels",
    ]


def test_a_body_that_is_no_list_is_refused() -> None:
    with pytest.raises(ProblemError):
        read_alerts(IntegrationRequest("POST", "/api/v2/alerts", (), {}, b'{"labels": {}}'))


def test_the_fingerprint_is_that_of_prometheus() -> None:
    """FNV-1a, 64 bits; the empty set is its offset (prometheus/common model/signature.go).

    Fingerprints of the real client are in tests/integration/clients.
    """
    assert compute_fingerprint({}) == "cbf29ce484222325"
    assert (
        compute_fingerprint({"a": "1", "b": "2"})
        == compute_fingerprint({"b": "2", "a": "1"})
        != compute_fingerprint({"a": "12", "b": ""})
    )


def test_labels_on_the_log_are_bounded() -> None:
    signal = Transition(
        "k",
        TransitionState.OPEN,
        labels={f"label{n:03d}": "v" * 1000 for n in range(200)},
        matchable=True,
    )
    log_labels = select_log_labels(signal)
    assert len(log_labels) == MAX_MATCHABLE_LABELS
    assert max(map(len, log_labels.values())) == 256
    assert select_log_labels(Transition("k", TransitionState.OPEN, labels={"a": "b"})) == {}, (
        "the fields of other dialects may say anything"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", ("a", "b", False, True)),
        ('a="b c"', ("a", "b c", False, True)),
        ("a!=b", ("a", "b", False, False)),
        ("a=~b.*", ("a", "b.*", True, True)),
        ('a!~"b|c"', ("a", "b|c", True, False)),
        ('a="say \\"x\\""', ("a", 'say "x"', False, True)),
        ("a=", ("a", "", False, True)),
    ],
)
def test_matchers_are_read_as_amtool_writes_them(
    text: str, expected: tuple[str, str, bool, bool]
) -> None:
    matcher = Matcher.parse(text)
    assert (matcher.name, matcher.value, matcher.regex, matcher.equal) == expected


@pytest.mark.parametrize("text", ["", "a", "=b", "a=~("])
def test_a_matcher_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Matcher.parse(text)


# ── at the door ────────────────────────────────────────────────────────────────────────────────────────────────────


async def _post(door: Door, *alerts: Any, status: int = 200) -> Any:
    async with door.client(Authorization=f"Bearer {KEY}") as http:
        answer = await http.post("/api/v2/alerts", json=list(alerts))
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_repetition_is_a_renewal_and_an_end_is_an_end(door: Door) -> None:
    await source(door, dialect="alertmanager", key=KEY)
    alert = {"labels": {"alertname": "Down"}, "startsAt": _in(-60)}
    await _post(door, alert | {"endsAt": _in(240)})
    opened = last(door)
    assert (opened.labels, opened.lease is not None) == ({"alertname": "Down"}, True)
    await _post(door, alert | {"endsAt": _in(300)}, alert | {"labels": {"alertname": "Other"}})
    assert [(r.report, r.explicit) for m in door.inputs.renewed for r in m.leases] == [
        (opened.report_id, True)
    ]
    await _post(door, alert | {"startsAt": _in(-10), "endsAt": _in(300)})
    assert len(door.inputs.renewed) == 2, "while it holds, another beginning is the same alert"
    await _post(door, alert | {"endsAt": _in(-1)})
    assert [r[0] for r in reports(door)] == ["outage_it", "outage_it", "reopening"]
    assert last(door).references == (opened.report_id,)


async def test_an_alert_repeated_after_its_end_begins_again(door: Door) -> None:
    """After a stall, old messages of Prometheus look like an end; later ones do not."""
    await source(door, dialect="alertmanager", key=KEY)
    alert = {"labels": {"alertname": "Down"}, "startsAt": _in(-60)}
    await _post(door, alert | {"endsAt": _in(240)})
    first = last(door)
    await _post(door, alert | {"endsAt": _in(-1)})
    end = last(door)
    await _post(door, alert | {"endsAt": _in(240)})
    again = last(door)
    assert again.type == first.type
    assert again.report_id != first.report_id
    assert again.occurred_at > end.occurred_at


async def test_one_bad_alert_is_answered_400_and_costs_the_others_nothing(door: Door) -> None:
    await source(door, dialect="alertmanager", key=KEY)
    response_text = await _post(door, {"labels": {}}, {"labels": {"alertname": "Down"}}, status=400)
    assert "labels" in response_text
    assert len(reports(door)) == 1


async def test_a_broker_that_is_away_is_a_503_for_a_renewal_too(door: Door) -> None:
    await source(door, dialect="alertmanager", key=KEY)
    await _post(door, {"labels": {"alertname": "Down"}})
    door.inputs.away = True
    await _post(door, {"labels": {"alertname": "Down"}}, status=503)


async def test_reading_needs_a_key_and_a_stranger_gets_none_of_it(door: Door) -> None:
    async with door.client() as http:
        for path in ("/api/v2/status", "/api/v2/alerts", "/api/v2/silences", "/api/v2/receivers"):
            assert (await http.get(path)).status_code == 401
        assert (await http.post("/api/v2/silences", json={})).status_code == 401
        assert (await http.get("/-/healthy")).text == "OK"
    async with await door.as_(Role.ADMIN) as admin:
        assert (await admin.get("/api/v1/intake/strangers")).json()["count"] == 5


GOOD = {
    "matchers": [{"name": "alertname", "value": "Down"}],
    "endsAt": _in(86_400),
    "createdBy": "ops",
    "comment": "migration",
}


@pytest.mark.parametrize(
    ("silence", "status", "detail"),
    [
        ({"endsAt": _in(-5)}, 400, "endsAt: past"),
        ({"matchers": []}, 400, "matchers: missing"),
        ({"comment": " "}, 400, "comment: missing"),
        (
            {"matchers": [{"name": "a", "value": ".*", "isRegex": True}]},
            400,
            "matchers: matches_empty",
        ),
        ({}, 400, "window: out_of_scope"),
    ],
)
async def test_a_refused_silence_is_kept_as_a_dead_letter(
    door: Door, silence: dict[str, Any], status: int, detail: str
) -> None:
    """Its author believes that calls are silenced; the refusal was invisible to the cell."""
    made = await source(door, dialect="alertmanager", key=KEY)

    async def console(*_: Any) -> tuple[int, Any]:
        return 422, {"code": "out_of_scope", "detail": "Hors de son périmètre."}

    door.intake.proxy.ask = console  # type: ignore[method-assign]
    async with door.client(Authorization=f"Bearer {KEY}") as http:
        answer = await http.post("/api/v2/silences", json=GOOD | silence)
    assert (answer.status_code, type(answer.json())) == (status, str)
    refused_message = door.intake.refused._queue.get_nowait()
    letter = build_dead_letter(refused_message, "92", 1)
    assert (letter.source, letter.detail, letter.headers["path"]) == (
        made["id"],
        detail,
        "/api/v2/silences",
    )
    assert orjson.loads(refused_message.body) == GOOD | silence
    async with await door.as_(Role.ADMIN) as admin:
        (listed,) = (await admin.get("/api/v1/sources")).json()["items"]
    assert sum(listed["refused"].values()) == 1
    again = await offered_again(door, refused_message)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_a_silence_that_may_pass_later_is_not_kept_as_refused(door: Door) -> None:
    await source(door, dialect="alertmanager", key=KEY)
    async with door.client(Authorization=f"Bearer {KEY}") as http:
        assert (await http.post("/api/v2/silences", json=GOOD)).status_code == 503
        assert (
            await http.get("/api/v2/silences", params={"filter": "no matcher"})
        ).status_code == 400
    assert door.intake.refused._queue.empty()


@pytest.mark.parametrize("receiver", ["(", "a" * 2_000 + "(", "(?=a)"])
async def test_an_invalid_receiver_pattern_is_refused(door: Door, receiver: str) -> None:
    made = await source(door, dialect="alertmanager")
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        response = await http.get("/api/v2/alerts", params={"receiver": receiver})
    assert response.status_code == 400
    assert "receiver" in response.json()


async def test_an_invalid_filter_is_refused(door: Door) -> None:
    made = await source(door, dialect="alertmanager")
    async with door.client(Authorization=f"Bearer {made['key']}") as http:
        for path in ("/api/v2/alerts", "/api/v2/silences"):
            response = await http.get(path, params={"filter": "no matcher"})
            assert response.status_code == 400
            assert "no matcher" in response.json()


@pytest.mark.parametrize(
    ("role", "reads"),
    [
        (Role.SOURCE, True),
        (Role.CELL, True),
        (Role.COORDINATOR, True),
        (Role.OBSERVER, False),
        (Role.SITE_MANAGER, False),
        (Role.AUDITOR, False),
    ],
)
async def test_annotations_are_shown_to_the_source_and_readers_of_reports(
    door: Door, role: Role, reads: bool
) -> None:
    """Labels describe the trouble; annotations are free text like that of any report (D58)."""
    labels, at = {"alertname": "Down"}, _in(0)
    lease = {
        "id": "l-1",
        "labels": labels,
        "quiet": None,
        "quiet_by": [],
        "began_at": at,
        "renewed_at": at,
        "until": at,
    }

    async def console(*_: Any) -> tuple[int, Any]:
        return 200, {"items": [lease], "next": None}

    words = "Camille Martin, 06 12 34 56 78"
    alerts = [{"labels": labels, "annotations": {"summary": words}, "generatorURL": words}]
    await door.intake.vault.texts.put("report-l-1", TextItem({}, orjson.dumps(alerts)))
    door.intake.proxy.ask = console  # type: ignore[method-assign]
    async with await door.as_(role) as http:
        for path in ("alerts", "alerts/groups"):
            answer = await http.get(f"/api/v2/{path}")
            assert (answer.status_code, "Down" in answer.text, words in answer.text) == (
                200,
                True,
                reads,
            )
