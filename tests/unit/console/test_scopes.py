"""An account for some sites or one pôle decides only within them."""

from __future__ import annotations

import pytest

from tests.unit.console.held import browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, incident
from tests.unit.console.test_scoped_twins import ACTIVITY
from tests.unit.console.test_scoped_twins import held as one_of_each

OTHER = next(p for p in reference().poles if p != ACTIVITY.pole)
PLAN = next(p for p in reference().plans.values() if p.pole is not None and p.pole != OTHER)
DECISIONS = [
    (f"/activities/{ACTIVITY.id}/declare", {"state": "interrupted"}),
    (f"/activities/{ACTIVITY.id}/data-age", {"age_h": 2}),
    (f"/activities/{ACTIVITY.id}/strategies", {"strategy": "SR-TELE", "expected_capacity_pct": 50}),
    ("/alarms/a-1/arbitrate", {"reason": "on attend"}),
    ("/strategies/s-1/end", {}),
    (f"/plans/{PLAN.id}/boxes/0", {"ticked": True}),
    (f"/plans/{PLAN.id}/activate", {}),
]


def held() -> object:
    realm = one_of_each()
    realm.put("tasks", {"id": "t-2", "kind": "link_denial", "state": "open", "opened_at": START})
    return realm


@pytest.mark.parametrize(("path", "body"), DECISIONS)
async def test_a_director_decides_about_the_own_pole_alone(
    path: str, body: dict[str, object]
) -> None:
    browser, _ = browsing(held())
    url = f"/api/v1{path}?realm={REALM}"
    refused = await browser.post(url, body, role=f"director@pole:{OTHER}")
    assert (refused.status_code, refused.json()["code"]) == (403, "out_of_scope")
    assert browser.decisions.asked == []
    own = PLAN.pole if "/plans/" in path else ACTIVITY.pole
    assert (await browser.post(url, body, role=f"director@pole:{own}")).status_code == 202
    assert len(browser.decisions.asked) == 1


@pytest.mark.parametrize("verb", ["take", "done"])
async def test_a_site_manager_does_the_tasks_of_the_own_sites_and_of_none(verb: str) -> None:
    """The outcome `lifted` of an overdue cause reopened sites of other managers."""
    browser, _ = browsing(held())
    refused = await browser.post(
        f"/api/v1/tasks/t-1/{verb}?realm={REALM}", role="site_manager@pmi-02"
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "out_of_scope")
    for role, task in (
        ("site_manager@pmi-01", "t-1"),
        ("site_manager@pmi-02", "t-2"),
        ("cell", "t-1"),
    ):
        assert (
            await browser.post(f"/api/v1/tasks/{task}/{verb}?realm={REALM}", role=role)
        ).status_code == 202
    unknown = await browser.post(
        f"/api/v1/tasks/t-9/{verb}?realm={REALM}", role="site_manager@pmi-02"
    )
    assert unknown.status_code == 404


SPAN = {"from": "2027-02-11T08:00:00Z", "to": "2027-02-11T20:00:00Z"}
POSTS = [
    ("/oncall/overrides", SPAN | {"nobody": True, "reason": "absent"}),
    (
        "/oncall/swaps",
        SPAN
        | {
            "other_from": "2027-02-12T08:00:00Z",
            "other_to": "2027-02-12T20:00:00Z",
            "reason": "échange",
        },
    ),
    ("/oncall/duties/d-1/withdraw", {}),
]


@pytest.mark.parametrize(("path", "body"), POSTS)
async def test_a_director_plans_the_schedule_of_the_own_pole_and_of_the_territory(
    path: str, body: dict[str, object]
) -> None:
    """A director cannot empty the shift of another pôle."""
    realm = crisis()
    site = next(s.id for s in reference().sites.values() if s.pole == ACTIVITY.pole)
    for post, other, status in (
        (OTHER, OTHER, 202),
        (ACTIVITY.pole, OTHER, 403),
        (site, OTHER, 403),
        (site, ACTIVITY.pole, 202),
        (None, OTHER, 202),
    ):
        realm.put(
            "duties",
            {
                "id": "d-1",
                "kind": "override",
                "role": "directeur_pole",
                "scope": post,
                "place": "holder",
                "start": START,
                "end": START + 1,
                "shifts": (),
                "by": "p-1",
                "decided_at": START,
                "number": 1,
            },
        )
        browser, _ = browsing(realm)
        form = body if "withdraw" in path else body | {"role": "directeur_pole", "scope": post}
        answer = await browser.post(
            f"/api/v1{path}?realm={REALM}", form, role=f"director@pole:{other}"
        )
        assert (answer.status_code, len(browser.decisions.asked)) == (status, int(status == 202)), (
            post
        )
    assert (
        await browser.post(f"/api/v1{path}?realm={REALM}", form, role="coordinator")
    ).status_code == 202


async def test_a_report_is_linked_to_the_own_sites_alone() -> None:
    browser, _ = browsing(held())
    for site, status in (("pmi-02", 403), ("pmi-01", 202)):
        answer = await browser.post(
            f"/api/v1/reports/r-1/link?realm={REALM}", {"site": site}, role="cell@pmi-01"
        )
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/plans/{PLAN.id}/boxes/-1", {}),
        (f"/activities/{ACTIVITY.id}/data-age", {"age_h": "inf"}),
        (f"/realms/{REALM}/step", {"minutes": "inf"}),
        (f"/realms/{REALM}/step", {"minutes": 1e300}),
        (f"/realms/{REALM}/resume", {"speed": "inf"}),
    ],
)
async def test_an_invalid_number_is_refused_at_intake(path: str, body: dict[str, object]) -> None:
    """It was an error of the program."""
    browser, _ = browsing(held())
    assert (await browser.post(f"/api/v1{path}?realm={REALM}", body)).status_code == 422


@pytest.mark.parametrize("field", ["corrects", "incident"])
async def test_a_call_out_names_no_call_out_or_incident_of_others(field: str) -> None:
    """An account for one site could tell the people of another not to follow their message."""
    realm = one_of_each()
    value = "co-1" if field == "corrects" else "i-1"
    row = {"id": "co-1", "state": "running", "text_id": "t", "sites": ("pmi-01",), "level": 1}
    realm.put("callouts", row | {"by": "p-1", "drafted_at": START, "started_at": START})
    browser, _ = browsing(realm)
    url = f"/api/v1/callouts?realm={REALM}"
    for site, is_refused in (("pmi-02", True), ("pmi-01", False)):
        body = {"text": "erreur", "sites": [site], field: value}
        answer = await browser.post(url, body, role=f"coordinator@{site}")
        assert (answer.status_code == 403) is is_refused, answer.text
        if is_refused:
            assert answer.json()["code"] == "out_of_scope"


async def test_a_headcount_belongs_to_no_incident_of_others() -> None:
    browser, _ = browsing(one_of_each())
    for site, is_refused in (("pmi-02", True), ("pmi-01", False)):
        body = {"sites": [site], "incident": "i-1"}
        url = f"/api/v1/headcounts?realm={REALM}"
        answer = await browser.post(url, body, role=f"site_manager@{site}")
        assert (answer.status_code == 403) is is_refused, answer.text


async def test_a_director_decides_about_an_incident_with_sites_of_the_pole_in_its_zone() -> None:
    """A limit of sites admitted it, the limit of their pôle did not."""
    realm = one_of_each()
    near = next(s for s in reference().sites.values() if s.pole == OTHER)
    url = f"/api/v1/incidents/i-1/acknowledge?realm={REALM}"
    browser, _ = browsing(realm)
    refused = await browser.post(url, {}, role=f"director@pole:{OTHER}")
    assert (refused.status_code, refused.json()["code"]) == (403, "out_of_scope")
    realm.put("incidents", incident(zone_sites=(near.id,)))
    for role in (f"director@pole:{OTHER}", f"director@{near.id}"):
        assert (await browser.post(url, {}, role=role)).status_code == 202, role
