"""REST and stream give the same data to the same readers, both as of the requested time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas import continuity as c
from schemas import delivery as d
from services.console.http.problems import RealmUnknown, StoreUnavailable
from services.console.live.row_events import list_hidden_events
from services.console.live.stream import StreamHub
from services.console.read_model.reference_index import NO_REFERENCE
from services.console.read_model.shapes import Shaper
from services.console.sites.geometry import MapPlane, Outlines
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Role
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import MINUTE, NOW, REALM, START, crisis, incident, report

HOUR = 60 * MINUTE


@pytest.mark.parametrize(
    ("role", "hidden"),
    [
        (Role.COORDINATOR, set()),
        (
            Role.TECHNICIAN,
            {
                "log",
                "notifications",
                "escalations",
                "callouts",
                "sitreps",
                "statements",
                "questions",
                "obligations",
                "stimuli",
                "handovers",
                "publications",
                "reference_changes",
                "presence",
            },
        ),
        (
            Role.KIOSK,
            {
                "log",
                "notifications",
                "escalations",
                "callouts",
                "sitreps",
                "statements",
                "questions",
                "obligations",
                "stimuli",
                "handovers",
                "publications",
                "reference_changes",
                "reports",
                "maintenance",
                "presence",
            },
        ),
    ],
)
async def test_the_stream_hides_rows_refused_by_rest(role: Role, hidden: set[str]) -> None:
    assert list_hidden_events(PERMISSIONS_BY_ROLE[role].__contains__) == hidden
    browser, _ = browsing(crisis())
    for event, path in (
        ("callouts", "callouts"),
        ("sitreps", "sitreps"),
        ("reports", "reports/r-1"),
        ("maintenance", "maintenance"),
    ):
        answer = await browser.get(
            f"/api/v1/{path}?realm={REALM}", role=role, accept="application/json"
        )
        assert answer.status_code == (403 if event in hidden else 200), path


async def test_an_unopened_realm_has_no_stream() -> None:
    """It said hello, and then nothing for ever."""
    _, model = browsing(crisis())
    with pytest.raises(RealmUnknown):
        await StreamHub(None, model).stream(
            "92~ex-nope", lang="fr", hidden_events=frozenset(), last_id=None
        )


async def test_an_incident_is_found_by_the_type_of_a_lifted_cause() -> None:
    realm_state = crisis()
    realm_state.put(
        "sites", {"id": "pmi-01", "status": "normal", "since": NOW, "capacity_pct": 100}
    )
    realm_state.put("incidents", incident("i-2", kind="water", key="water:92050", members=()))
    realm_state.put("reports", report("r-2", incident="i-2", type="outage_water", site=None))
    _, model = browsing(realm_state)
    for type, expected_ids in (
        ("outage_power", ["i-1"]),
        ("power", ["i-1"]),
        ("outage_water", ["i-2"]),
        ("fire", []),
    ):
        assert [
            one.id for one in (await model.of(REALM).incidents(type=type)).items
        ] == expected_ids


def clock(**changes: object) -> c.ClockRow:
    running = {
        "base": "dmia",
        "state": "running",
        "limit_h": 8,
        "started_at": START,
        "deadline": START + 8 * HOUR,
        "as_of": START,
        "ticking": True,
    }
    return c.ClockRow.model_validate(running | changes)


@pytest.mark.parametrize(
    ("row", "hours", "consumed"),
    [
        (clock(), 0, 0),
        (clock(), 4, 50),
        (clock(), 12, 150),
        (clock(consumed_pct=20, as_of=START + 4 * HOUR), 6, 60),
        (clock(consumed_pct=20, ticking=False), 6, 20),
        (clock(consumed_pct=20, state="stopped", deadline=None), 6, 20),
    ],
)
def test_a_clock_is_shown_at_the_time_of_the_picture(
    row: c.ClockRow, hours: int, consumed: float
) -> None:
    """It was shown as of the last change of its row: 0 % an hour before its end."""
    at = START + hours * HOUR
    shaper = Shaper("92", NO_REFERENCE, Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), "fr", at)
    local = c.LocalClockRow.model_validate(
        {"id": "a/cen-1", "activity": "a", "site": "cen-1", "capacity_pct": 0, "clocks": (row,)}
    )
    mtpd = shaper.local(local).mtpd
    assert mtpd is not None
    assert (mtpd.consumed_pct, mtpd.as_of) == (consumed, datetime.fromtimestamp(at / 1000, UTC))


async def test_readers_of_the_logbook_see_the_reason_for_held_messages() -> None:
    realm_state = crisis()
    realm_state.put(
        "holds",
        {"id": "sending", "held": True, "until": NOW + HOUR, "since": START, "reason": "text:t-1"},
    )
    browser, model = browsing(realm_state)
    model.words.kept["t-1"] = TextItem({"text": "Test du standard"})
    for role, reason in (("coordinator", "Test du standard"), ("technician", None)):
        hold = (
            await browser.get(
                f"/api/v1/sending/hold?realm={REALM}", role=role, accept="application/json"
            )
        ).json()
        assert hold["reason"] == reason, role
        overview = (
            await browser.get(
                f"/api/v1/overview?realm={REALM}", role=role, accept="application/json"
            )
        ).json()
        assert overview["hold"]["reason"] is None, "a picture holds no free text"
    row = realm_state.rows["holds"]["sending"]
    assert isinstance(row, d.HoldRow)
    assert (await model.of(REALM).read()).shape.hold(row).reason is None, (
        "the stream tells it to everybody"
    )


async def test_a_past_realm_is_shown_as_known_then() -> None:
    realm_state = crisis()
    browser, _ = browsing(realm_state)

    async def clock(at: str) -> Any:
        answer = await browser.get(f"/api/v1/realms/{REALM}?as_of={at}", accept="application/json")
        return answer.json()["code"] if answer.status_code != 200 else answer.status_code

    async def listed(at: int) -> int:
        return len(
            (await browser.get(f"/api/v1/realms?as_of={at}", accept="application/json")).json()[
                "items"
            ]
        )

    assert (
        await clock("2020-01-01T00:00:00Z"),
        await clock(str(START + MINUTE)),
        await clock("nonsense"),
    ) == ("realm_unknown", 200, "invalid")
    assert (await listed(START - 1), await listed(START)) == (0, 1)


async def test_an_unknown_proposal_is_not_a_replaced_one(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, model = browsing(crisis())
    for verb in ("approve", "decline"):
        answer = await browser.post(
            f"/api/v1/reassignments/nope/{verb}?realm={REALM}", {"reason": "Sans objet"}
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "resource_unknown")
    assert browser.decisions.asked == []

    async def away(*_args: object, **_more: object) -> Any:
        raise StoreUnavailable

    monkeypatch.setattr(model, "proposal", away)
    assert (
        await browser.post(f"/api/v1/reassignments/nope/approve?realm={REALM}")
    ).status_code == 202, "a decision waits for no read model"
