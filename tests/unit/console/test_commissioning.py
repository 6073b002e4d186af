"""The first day: each condition turns green by its deed, and back when that is too old or undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.delivery import ProbeRow
from schemas.oncall import DrillRow, ReadinessRow
from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console.commissioning.checks import (
    CONDITIONS,
    Finding,
    LiveRealm,
    PersonalAccounts,
    PreparationDeeds,
    judge_conditions,
    list_grave,
)
from services.console.commissioning.reading import CONFIRMED, count_accounts, map_confirmations
from services.console.commissioning.screen import list_missing
from services.console.feeds.resources import OfficialFeed, OfficialFeeds
from services.console.i18n import get_translator
from services.runtime.backup.contents import read_last_backup, write_last_backup
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, Principal, Trace
from tests.unit.console.held import Browser, Held, browsing, reference
from tests.unit.console.test_every_screen import report

NOW = datetime(2027, 3, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
FR = get_translator("fr")


def to_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def probe(outcome: str = "answered", at: datetime = NOW) -> ProbeRow:
    return ProbeRow.model_validate(
        {
            "id": "2027-03",
            "asked_at": to_ms(at),
            "done_at": to_ms(at),
            "channels": [{"channel": "email", "outcome": outcome}],
        }
    )


def proof(urgent: int = 0, at: datetime = NOW) -> ReadinessRow:
    return ReadinessRow(
        at=to_ms(at), until=to_ms(at + 7 * DAY), reference="v1", hours=200, ready=198, urgent=urgent
    )


def drill(reached: int = 2, at: datetime = NOW) -> DrillRow:
    rung = {"ladder": "n2", "wave": 1, "posts": 2, "reached": reached}
    return DrillRow.model_validate(
        {"id": "2027-03", "at": to_ms(at), "reference": "v1", "rungs": [rung]}
    )


def feed(state: str = "ok", at: datetime = NOW) -> OfficialFeeds:
    one = OfficialFeed(
        name="vigicrues",
        title="Vigicrues",
        state=state,
        last_word="vert",
        edition="1",
        edition_at=at,
        understood_at=at,
        fetched_at=at,
        period_s=600,
        stale_after_s=7200,
        heartbeat_s=14400,
        fault="",
        waiting=0,
        last_report=None,
        last_report_at=None,
    )
    return OfficialFeeds(known=True, items=[one])


NO_FEEDS = OfficialFeeds(known=True, items=[])
READY = PreparationDeeds(
    now=NOW,
    live=LiveRealm(
        version="v1",
        sites=431,
        plans=8,
        on_call=frozenset({"p-1", "p-2"}),
        readiness=proof(),
        drill=drill(),
        probe=probe(),
        exercise_at=NOW - DAY,
    ),
    accounts=PersonalAccounts(total=4, deciding=2, protected_count=4),
    reachable=frozenset({"p-1", "p-2"}),
    confirmation_times={"v1": NOW - DAY},
    backup_at=NOW - DAY,
    feeds=feed(),
    sources=(),
)
NOTHING = PreparationDeeds(
    now=NOW,
    live=LiveRealm(),
    accounts=PersonalAccounts(),
    reachable=frozenset(),
    confirmation_times={},
    backup_at=None,
    feeds=NO_FEEDS,
    sources=(),
)


def judge(deeds: PreparationDeeds) -> dict[str, Finding]:
    return {one.condition.key: one.finding for one in judge_conditions(deeds, FR)}


def change(**changes: Any) -> PreparationDeeds:
    """Return the ready installation with some deeds otherwise; those of its log as `live_…`."""
    live = {k.removeprefix("live_"): v for k, v in changes.items() if k.startswith("live_")}
    own = {k: v for k, v in changes.items() if not k.startswith("live_")}
    return replace(READY, live=replace(READY.live, **live), **own)


def test_every_deed_done_is_green_and_none_done_is_open() -> None:
    assert {f.state for f in judge(READY).values()} == {"done"}
    assert {f.state for f in judge(NOTHING).values()} == {"open"}
    assert len(judge(READY)) == len(CONDITIONS) == 9


@pytest.mark.parametrize(
    ("key", "deeds", "state"),
    [
        ("territory", change(confirmation_times={"v0": NOW}), "partly"),
        ("territory", change(confirmation_times={}), "open"),
        ("territory", change(confirmation_times={"v1": NOW - 366 * DAY}), "partly"),
        ("accounts", change(accounts=PersonalAccounts(4, 1, 4)), "partly"),
        ("accounts", change(accounts=PersonalAccounts(4, 0, 4)), "open"),
        ("second_factors", change(accounts=PersonalAccounts(4, 2, 3)), "partly"),
        ("directory", change(reachable=frozenset({"p-1"})), "partly"),
        ("directory", change(reachable=frozenset({"p-9"})), "open"),
        ("channels", change(live_probe=probe("failed")), "open"),
        ("channels", change(live_probe=probe("not_configured")), "open"),
        ("channels", change(live_probe=probe(at=NOW - 32 * DAY)), "partly"),
        ("on_call", change(live_readiness=proof(urgent=1)), "open"),
        ("on_call", change(live_readiness=proof(at=NOW - 3 * DAY)), "partly"),
        ("on_call", change(live_drill=drill(reached=1)), "partly"),
        ("on_call", change(live_drill=drill(at=NOW - 32 * DAY)), "partly"),
        ("on_call", change(live_drill=None), "partly"),
        ("sources", change(feeds=feed("off")), "open"),
        ("sources", change(feeds=feed("silent")), "partly"),
        ("sources", change(feeds=feed(at=NOW - 2 * DAY)), "partly"),
        ("exercise", change(live_exercise_at=NOW - 93 * DAY), "partly"),
        ("exercise", change(live_exercise_at=None), "open"),
        ("backup", change(backup_at=NOW - 3 * DAY), "partly"),
        ("backup", change(backup_at=None), "open"),
    ],
)
def test_a_condition_turns_back_when_its_deed_is_too_old_or_undone(
    key: str, deeds: PreparationDeeds, state: str
) -> None:
    conditions = judge(deeds)
    assert conditions[key].state == state
    assert {k for k, f in conditions.items() if f.state != "done"} == {key}


def test_the_data_that_a_second_person_approved_need_no_other_confirmation() -> None:
    assert (
        judge(change(confirmation_times={}, live_approval_times={"v1": NOW}))["territory"].state
        == "done"
    )


@pytest.mark.parametrize(
    ("source", "state"),
    [
        ({"enabled": True, "silent": False, "last_seen": to_ms(NOW)}, "done"),
        ({"enabled": True, "silent": True, "last_seen": to_ms(NOW)}, "partly"),
        ({"enabled": True, "silent": False, "last_seen": None}, "partly"),
        ({"enabled": False, "silent": False, "last_seen": to_ms(NOW)}, "open"),
    ],
)
def test_a_source_that_reports_counts_like_a_feed(source: dict[str, Any], state: str) -> None:
    assert judge(change(feeds=NO_FEEDS, sources=[source]))["sources"].state == state


def test_feeds_that_play_samples_count_for_nothing() -> None:
    samples = feed().model_copy(update={"samples": True})
    assert judge(change(feeds=samples))["sources"].state == "open"


def test_only_missing_essentials_are_grave() -> None:
    assert {one.condition.key for one in list_grave(judge_conditions(NOTHING, FR))} == {
        "accounts",
        "directory",
        "channels",
        "on_call",
        "backup",
    }
    assert list_missing(judge_conditions(change(live_exercise_at=None), FR), FR) == []
    missing = list_missing(judge_conditions(change(backup_at=None), FR), FR)
    assert missing == ["sauvegarde faite"]


def test_accounts_of_programs_walls_and_closed_ones_are_not_counted() -> None:
    roles = {"a": Role.ADMIN, "c": Role.COORDINATOR, "m": Role.SITE_MANAGER, "k": Role.KIOSK}
    principals = [Principal(id=id, role=role) for id, role in roles.items()]
    principals.append(Principal(id="x", role=Role.ADMIN, disabled_at=1))
    secured = {"password_hash": "h", "totp_secret": "s"}
    accounts = [
        Account(id="a", login="a", **secured),
        Account(id="c", login="c", password_hash="h"),
        Account(id="m", login="m", password_hash="h", printed=("p",)),
        Account(id="k", login="k"),
        Account(id="x", login="x", **secured),
    ]
    assert count_accounts(accounts, principals) == PersonalAccounts(3, 2, 2)


def test_the_newest_confirmation_of_a_version_counts() -> None:
    traces = [
        Trace(id=str(n), at=to_ms(at), author="a", act=act, about="v1")
        for n, (act, at) in enumerate(
            [(CONFIRMED, NOW), (CONFIRMED, NOW - DAY), ("directory.read", NOW + DAY)]
        )
    ]
    assert map_confirmations(traces) == {"v1": NOW}


def test_a_backup_is_remembered_and_a_broken_record_is_none(tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    assert read_last_backup(file) is None
    write_last_backup(file, NOW)
    assert read_last_backup(file) == NOW
    file.write_text("{")
    assert read_last_backup(file) is None
    write_last_backup(tmp_path / "no folder" / "backup.json", NOW)


# through pages and API


def live_realm() -> Held:
    """Return the live realm with the shipped territory."""
    return Held("92", clock=to_ms(datetime.now(UTC)), reference=reference())


async def read_states(browser: Browser) -> dict[str, str]:
    answer = await browser.get("/api/v1/commissioning", accept="application/json")
    assert answer.status_code == 200, answer.text
    return {item["id"]: item["state"] for item in answer.json()["items"]}


async def test_the_deeds_themselves_turn_the_conditions_green(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    realm_state, exercise = live_realm(), Held("92~ex-7", clock=to_ms(now), reference=reference())
    exercise.fields = {"started_at": to_ms(now)}
    browser, _ = browsing(realm_state, exercise)
    state = browser.app.state
    state.last_backup = tmp_path / "backup.json"
    assert set((await read_states(browser)).values()) == {"open"}
    realm_state.put("probes", probe(at=now).model_dump())
    realm_state.put("drills", drill(at=now).model_dump())
    realm_state.put("readiness", proof(at=now).model_dump())
    exercise.put("reports", report("r-1"))
    write_last_backup(state.last_backup, now)
    version = reference().version
    confirmed = await browser.post("/api/v1/commissioning/territory", {"version": version})
    assert confirmed.status_code == 200, confirmed.text
    for person in await list_on_call(browser):
        point = ContactPoint(channel=Channel.EMAIL, address=f"{person}@example.org")
        state.directory.kept[person] = Contact(person=person, points=(point,))
    state.access.kept = [
        *state.access.kept,
        *(Principal(id=id, role=Role.COORDINATOR) for id in ("c-1", "c-2")),
        *(Account(id=id, login=id, password_hash="h", totp_secret="s") for id in ("c-1", "c-2")),
    ]
    open_now = {
        key
        for key, condition_state in (await read_states(browser)).items()
        if condition_state != "done"
    }
    assert open_now == {"sources"}


async def list_on_call(browser: Browser) -> set[str]:
    directory = await browser.get("/api/v1/directory?realm=92", accept="application/json")
    return {
        person
        for post in directory.json()["items"]
        for person in (post["holder"], post["deputy"])
        if person
    }


@pytest.mark.parametrize("name", ["92~ex-demo-a1", "92~ex-flux-a1"])
async def test_an_exercise_without_a_report_and_a_demonstration_count_for_nothing(
    tmp_path: Path, name: str
) -> None:
    now = to_ms(datetime.now(UTC))
    empty = Held("92~ex-7", clock=now, reference=reference())
    demo_realm = Held(name, clock=now, reference=reference())
    demo_realm.put("reports", report("r-1"))
    browser, _ = browsing(live_realm(), empty, demo_realm)
    browser.app.state.last_backup = tmp_path / "backup.json"
    assert (await read_states(browser))["exercise"] == "open"


async def test_another_version_than_the_one_in_force_is_not_confirmed(tmp_path: Path) -> None:
    browser, _ = browsing(live_realm())
    browser.app.state.last_backup = tmp_path / "backup.json"
    refused = await browser.post("/api/v1/commissioning/territory", {"version": "other"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await read_states(browser))["territory"] == "open"


async def test_an_installation_without_a_live_realm_is_not_ready(tmp_path: Path) -> None:
    browser, _ = browsing()
    browser.app.state.last_backup = tmp_path / "backup.json"
    assert set((await read_states(browser)).values()) == {"open"}


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("fr", ("Mise en service", "Jamais essayés", "Confirmer les données", "indispensable")),
        ("en", ("Commissioning", "Never tested", "Confirm the data", "essential")),
    ],
)
async def test_the_page_shows_each_condition_with_its_button(
    tmp_path: Path, lang: str, words: tuple[str, ...]
) -> None:
    browser, _ = browsing(live_realm())
    browser.app.state.last_backup = tmp_path / "backup.json"
    page = (await browser.get("/mise-en-service?realm=92", lang=lang)).text
    for word in words:
        assert word in page
    for one in CONDITIONS:
        page_path, _, place = one.path.partition("#")
        assert f'href="{page_path}' in page, one.key
        assert not place or f'#{place}"' in page, one.key
    audited = (await browser.get("/mise-en-service?realm=92", role="auditor")).text
    assert "/api/v1/commissioning/territory" not in audited


async def test_only_an_administrator_reads_missing_conditions_on_the_first_page(
    tmp_path: Path,
) -> None:
    browser, _ = browsing(live_realm(), Held("92~ex-7", reference=reference()))
    browser.app.state.last_backup = tmp_path / "backup.json"
    assert "indispensable" in (await browser.get("/?realm=92")).text
    assert (
        "Mise en service : il reste"
        not in (await browser.get("/?realm=92", role="coordinator")).text
    )
    assert "indispensable" not in (await browser.get("/?realm=92~ex-7")).text
