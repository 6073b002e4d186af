"""The front over HTTP, without Kafka and without a console."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.intake.dead_letters import dead_letter_api
from services.intake.dead_letters.dead_letter_store import MAX_PER_ADDRESS
from services.intake.http.exchange import SECURITY_HEADERS, redact_url, send_json
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.identity.signed_links import hide_token
from services.runtime.kafka.dead_letters import DeadLetter, DeadLetterKind
from tests.faults.matrix import proves
from tests.keyed import create_token
from tests.unit.intake.conftest import Door, post_report, report
from tests.unit.intake.test_native import BODIES


async def test_a_report_is_on_the_log_before_it_is_answered(door: Door) -> None:
    async with await door.as_(Role.SITE_MANAGER) as http:
        answer = await http.post(
            "/api/v1/reports", json=report(), headers={"Idempotency-Key": "k1"}
        )
    assert answer.status_code == 202
    assert "idempotency-replayed" not in answer.headers
    [(realm, message, headers)] = door.inputs.appended
    receipt = answer.json()
    assert (realm, receipt["realm"], receipt["report_id"]) == ("92", "92", message.report_id)
    assert headers["ce_id"].decode() == message.report_id
    assert receipt["recorded_at"] == "2027-01-15T08:00:00.001Z"
    assert receipt["status_url"].startswith(f"/api/v1/reports/{message.report_id}")
    assert (message.source, message.text_id) == ("site_manager", f"report-{message.report_id}")
    assert door.texts_log.entries[0].key == message.text_id


async def test_the_same_again_gets_the_first_answer_and_has_no_second_effect(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        answers = [
            await http.post("/api/v1/reports", json=report(), headers=h)
            for h in ({}, {}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"})
        ]
    assert [a.status_code for a in answers] == [202] * 4
    assert answers[0].json() == answers[1].json() != answers[2].json() == answers[3].json()
    assert ["idempotency-replayed" in a.headers for a in answers] == [False, True, False, True]
    assert len(door.inputs.appended) == 2


@pytest.mark.parametrize(
    ("path", "body", "in_body"),
    [
        ("/api/v1/reports", report(), report(realm="92")),
        ("/api/v1/reports:batch", [report()], [report(realm="92")]),
        ("/api/v1/reports:line", {"text": "117 ELEC"}, {"text": "117 ELEC", "realm": "92"}),
    ],
    ids=["one", "batch", "line"],
)
async def test_the_realm_of_the_address_is_that_of_the_report(
    door: Door, path: str, body: Any, in_body: Any
) -> None:
    """The withdrawal of a report of an exercise lifted the cause of a real site."""
    async with await door.as_(Role.CELL) as http:
        assert (await http.post(f"{path}?realm=92~ex-1", json=body)).status_code == 202
        named_twice = await http.post(f"{path}?realm=92~ex-1", json=in_body)
        assert (await http.post(f"{path}?realm=92", json=in_body)).status_code == 202
    assert [realm for realm, _, _ in door.inputs.appended] == ["92~ex-1", "92"]
    assert named_twice.status_code == 422
    problem = named_twice.json()
    problem = problem["items"][0]["problem"] if "items" in problem else problem
    assert [e["field"] for e in problem["errors"]] == ["realm"]


async def test_the_same_key_with_another_body_is_refused(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        await http.post("/api/v1/reports", json=report(), headers={"Idempotency-Key": "k"})
        answer = await http.post(
            "/api/v1/reports", json=report(severity=1), headers={"Idempotency-Key": "k"}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
        for key in ("", "x" * 129):
            assert (
                await http.post("/api/v1/reports", json=report(), headers={"Idempotency-Key": key})
            ).json()["code"] == "key_invalid"
    async with await door.as_(Role.CELL) as other:
        assert (
            await other.post(
                "/api/v1/reports", json=report(severity=1), headers={"Idempotency-Key": "k"}
            )
        ).status_code == 202


@pytest.mark.parametrize(
    "key", ["École".encode(), "clé 1".encode("latin-1"), ("é" * 128).encode(), b"a\tb"]
)
async def test_a_key_is_any_string_and_its_characters_are_counted(door: Door, key: bytes) -> None:
    async with await door.as_(Role.CELL) as http:
        answers = [
            await http.post("/api/v1/reports", json=report(), headers=[(b"Idempotency-Key", key)])
            for _ in range(2)
        ]
        in_batch = await http.post(
            "/api/v1/reports:batch", json=[report() | {"idempotency_key": "ligne 1\nligne\u00a02"}]
        )
    assert [a.status_code for a in answers] == [202, 202]
    assert "idempotency-replayed" in answers[1].headers
    assert in_batch.status_code == 202


async def test_a_key_in_a_header_is_the_same_key_in_a_batch_and_in_a_reference(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        first = await http.post(
            "/api/v1/reports", json=report(), headers=[(b"Idempotency-Key", "École 1".encode())]
        )
        again = await http.post(
            "/api/v1/reports:batch", json=[report() | {"idempotency_key": "École 1"}]
        )
        await http.post("/api/v1/reports", json=report(msg_type="Update", references=["École 1"]))
    assert again.json()["items"][0] | {"status": 202} == first.json() | {
        "status": 202,
        "replayed": True,
    }
    assert door.inputs.appended[-1][1].references == (first.json()["report_id"],)


async def test_bodies_that_differ_in_their_sites_only_are_two(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        one, two = [
            report(site_id=None, commune="92050", sites=[site]) for site in ("cen-1", "cen-2")
        ]
        ids = [
            (await http.post("/api/v1/reports", json=body)).json()["report_id"]
            for body in (one, two, one)
        ]
        assert ids[0] == ids[2] != ids[1]
        await http.post("/api/v1/reports", json=one, headers={"Idempotency-Key": "k"})
        reused = await http.post("/api/v1/reports", json=two, headers={"Idempotency-Key": "k"})
        assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
    assert [m.sites for _, m, _ in door.inputs.appended] == [("cen-1",), ("cen-2",), ("cen-1",)]


async def test_the_same_message_twice_at_once_is_appended_once(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        answers = await asyncio.gather(
            *(
                http.post("/api/v1/reports", json=report(), headers={"Idempotency-Key": "k"})
                for _ in range(20)
            )
        )
    assert {a.status_code for a in answers} == {202}
    assert len({a.text for a in answers}) == 1
    assert len(door.inputs.appended) == 1


async def test_without_kafka_a_sender_is_asked_to_try_again(door: Door) -> None:
    door.inputs.away = True
    async with await door.as_(Role.CELL) as http:
        away = await http.post("/api/v1/reports", json=report())
        assert (away.status_code, away.headers["retry-after"], away.json()["code"]) == (
            503,
            "2",
            "broker_away",
        )
        door.inputs.away = False
        assert (await http.post("/api/v1/reports", json=report())).status_code == 202


async def test_a_report_without_a_stored_text_is_unanswered_and_the_next_try_stores_both(
    door: Door,
) -> None:
    async with await door.as_(Role.SITE_MANAGER) as http:
        door.texts_log.lost = True
        assert (await http.post("/api/v1/reports", json=report())).json()["code"] == "broker_away"
        door.texts_log.lost = False
        again = await http.post("/api/v1/reports", json=report())
        assert (again.status_code, "idempotency-replayed" in again.headers) == (202, False)
    reports = [message.report_id for _, message, _ in door.inputs.appended]
    assert reports == [again.json()["report_id"]] * 2, "the decider knows the id"
    assert {e.key for e in door.texts_log.entries} == {f"report-{again.json()['report_id']}"}


async def test_a_report_logged_before_a_crash_gets_its_text_on_retry(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with await door.as_(Role.SITE_MANAGER) as http:

        async def posted() -> httpx.Response:
            return await http.post(
                "/api/v1/reports", json=report(), headers={"Idempotency-Key": "k"}
            )

        first = await posted()
        ledger_entry = door.intake.ledger.get(first.json()["report_id"])
        assert ledger_entry is not None
        door.intake.ledger._fresh.clear()
        door.intake.ledger._store([replace(ledger_entry, answered=False)], {0: 1})
        door.texts_log.entries.clear()
        door.intake.vault.texts._forget(f"report-{ledger_entry.report_id}")
        with monkeypatch.context() as disk:
            disk.setattr(door.intake.vault.texts, "hand_over", full)
            assert (await posted()).json()["code"] == "storage"
        door.texts_log.away = True
        assert (await posted()).json()["code"] == "broker_away"
        door.texts_log.away = False
        for _ in range(2):  # once is enough
            again = await posted()
            assert (again.status_code, again.headers["idempotency-replayed"], again.json()) == (
                202,
                "true",
                first.json(),
            )
            assert [e.key for e in door.texts_log.entries] == [
                f"report-{first.json()['report_id']}"
            ]
    assert len(door.inputs.appended) == 1


async def test_the_front_accepts_reports_only_after_reading_earlier_answers(tmp_path: Path) -> None:
    door = Door(tmp_path, ack_timeout_s=0.05)
    door.intake.ledger.caught_up.clear()
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports", json=report())
        assert (answer.status_code, answer.json()["code"]) == (503, "starting")
        door.intake.receiver._timeout_s = 30
        waiting = asyncio.create_task(http.post("/api/v1/reports", json=report()))
        await asyncio.sleep(0)
        door.intake.ledger.caught_up.set()
        assert (await waiting).status_code == 202
    await door.close()


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"content-type": "text/plain"}, b"x", 415, "media_type"),
        ({"content-type": "application/json; charset=latin-1"}, b"{}", 415, "media_type"),
        (
            {"content-type": "application/json", "content-encoding": "gzip"},
            b"{}",
            415,
            "content_encoding",
        ),
        ({"content-type": "application/json"}, b" " * ((1 << 20) + 1), 413, "body_too_large"),
        ({"content-type": "application/json"}, b"{", 422, "not_json"),
        (
            {"content-type": "application/json; profile=a; charset=latin-1"},
            b"{}",
            415,
            "media_type",
        ),
        ({"content-type": "application/json; charset=utf-8; profile=a"}, b"{}", 422, "invalid"),
        ({"content-type": "application/json; charset=UTF-8"}, b"{}", 422, "invalid"),
        ({"content-type": ""}, b"{}", 422, "invalid"),
        ({}, b"{}", 422, "invalid"),
    ],
)
async def test_refusals_are_problem_documents(
    door: Door, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    async with await door.as_(Role.CELL) as http:
        answer = await http.post(
            "/api/v1/reports", content=content, headers=headers | {"accept-language": "en"}
        )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-language"] == "en"


async def test_a_body_sent_without_its_length_is_bounded_too(door: Door) -> None:
    async def endless():
        for _ in range(200):
            yield b" " * 10_000

    async with await door.as_(Role.CELL) as http:
        answer = await http.post(
            "/api/v1/reports", content=endless(), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413
    assert door.intake.front._reports._reader.room.used == 0


@pytest.mark.parametrize("path", ["/api/v1/reports", "/webhooks/alertmanager"])
async def test_a_body_that_comes_too_slowly_may_come_again(tmp_path: Path, path: str) -> None:
    """A 408 is dropped for ever by many senders, among them every Alertmanager."""
    door = Door(tmp_path, body_timeout_s=0.01)
    chunks, response_messages = (
        [{"type": "http.request", "body": b"{", "more_body": True}],
        list[Any](),
    )
    _, token = await create_token(door.intake.access, Role.SOURCE)

    async def receive() -> Any:
        return chunks.pop() if chunks else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        response_messages.append(message)

    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/json"),
    ]
    await door.intake.front(
        {"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send
    )
    assert (
        response_messages[0]["status"],
        dict(response_messages[0]["headers"])[b"retry-after"],
        json.loads(response_messages[1]["body"])["code"],
    ) == (503, b"2", "request_timeout")
    assert door.intake.refused._queue.empty(), "it says nothing about the message"
    await door.close()


async def test_strangers_are_counted_and_senders_without_the_right_get_a_reason(door: Door) -> None:
    async with door.client() as stranger:
        for _ in range(MAX_PER_ADDRESS + 5):
            answer = await stranger.post("/api/v1/reports?token=secret", json=report())
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    async with await door.as_(Role.OBSERVER) as observer:
        assert (await observer.post("/api/v1/reports", json=report())).json()["code"] == "forbidden"
    async with await door.as_(Role.ADMIN) as http:
        strangers = (await http.get("/api/v1/intake/strangers")).json()
    assert strangers["count"] == MAX_PER_ADDRESS + 5
    assert len(strangers["addresses"][0]["last"]) == MAX_PER_ADDRESS
    assert "secret" not in json.dumps(strangers)


async def test_refused_messages_of_known_senders_are_kept_with_the_reason(door: Door) -> None:
    async with await door.as_(Role.SOURCE, scope=Scope(types=("outage_power",))) as http:
        await http.post("/api/v1/reports", json=report(type="fire", headline="secret"))
        await http.post(
            "/api/v1/reports", content=b"\x00binary", headers={"content-type": "application/json"}
        )
    queue = door.intake.refused._queue
    from services.intake.dead_letters.dead_letter_store import build_dead_letter

    letters = [build_dead_letter(queue.get_nowait(), "92", 1) for _ in range(2)]
    assert [(x.lane, x.code) for x in letters] == [
        (DeadLetterKind.REFUSED, "out_of_scope"),
        (DeadLetterKind.REFUSED, "not_json"),
    ]
    assert all(x.text_id and b"secret" not in x.dump() for x in letters)
    assert queue.empty()


async def test_the_quota_of_a_source_bounds_its_kept_messages(tmp_path: Path) -> None:
    door = Door(tmp_path, refused_per_day=3)
    async with await door.as_(Role.SOURCE) as http:
        for _ in range(5):
            await http.post("/api/v1/reports", content=b"{}")
    assert door.intake.refused._queue.qsize() == 3
    await door.close()


async def test_when_full_danger_to_people_is_the_last_to_be_turned_away(tmp_path: Path) -> None:
    door = Door(tmp_path, in_flight=2, in_flight_reserve=1)
    hold = asyncio.Event()
    append = door.inputs.append

    async def slow(*args):
        await hold.wait()
        return await append(*args)

    door.inputs.append = slow  # type: ignore[method-assign]
    async with await door.as_(Role.CELL) as http:

        async def post(**changes: object) -> httpx.Response:
            return await http.post("/api/v1/reports", json=report(**changes))

        inside = [asyncio.create_task(post(headline=str(n))) for n in range(2)]
        while door.intake.admission.inside < 2:
            await asyncio.sleep(0)
        turned_away = await post(headline="third")
        assert (
            turned_away.status_code,
            turned_away.json()["code"],
            turned_away.headers["retry-after"],
        ) == (503, "overloaded", "2")
        danger = asyncio.create_task(post(type="fire"))
        while door.intake.admission.inside < 3:
            await asyncio.sleep(0)
        assert (await post(type="evacuation")).status_code == 503
        hold.set()
        assert {(await t).status_code for t in [*inside, danger]} == {202}
    assert door.intake.admission.inside == 0
    await door.close()


async def test_members_of_a_batch_stand_for_themselves(door: Door) -> None:
    members = [report(), report(severity=9), report(idempotency_key="own"), report()]
    async with await door.as_(Role.CELL) as http:
        first = await http.post(
            "/api/v1/reports:batch", json={"reports": members}, headers={"Idempotency-Key": "b"}
        )
        again = await http.post(
            "/api/v1/reports:batch", json=members, headers={"Idempotency-Key": "b"}
        )
        assert (
            await http.post("/api/v1/reports:batch", json=[report(severity=9)])
        ).status_code == 422
        assert (
            await http.post("/api/v1/reports:batch", json=[report(headline="x")])
        ).status_code == 202
        for bad in ([], {}, 5, [report()] * 501):
            assert (await http.post("/api/v1/reports:batch", json=bad)).status_code == 422
    assert (first.status_code, again.status_code) == (207, 207)
    items = first.json()["items"]
    assert [i["status"] for i in items] == [202, 422, 202, 202]
    assert items[1]["problem"]["errors"][0]["field"] == "severity"
    assert [i.get("report_id") for i in again.json()["items"]] == [
        i.get("report_id") for i in items
    ]
    assert [i.get("replayed") for i in again.json()["items"]] == [True, None, True, True]
    assert len(door.inputs.appended) == 4


async def test_a_batch_without_kafka_may_be_sent_again_whole(door: Door) -> None:
    door.inputs.away = True
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports:batch", json=[report(), report(severity=9)])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_original_bytes_are_shown_only_with_the_right_to_read_them(door: Door) -> None:
    body = json.dumps(report()).encode() + b"  \n"
    async with await door.as_(Role.SITE_MANAGER) as sender, await door.as_(Role.CELL) as cell:
        id = (
            await sender.post(
                "/api/v1/reports", content=body, headers={"content-type": "application/json"}
            )
        ).json()["report_id"]
        raw = await cell.get(f"/api/v1/reports/{id}/raw")
        assert (raw.content, raw.headers["content-type"]) == (body, "application/json")
        assert "sandbox" in raw.headers["content-security-policy"]
        assert (await sender.get(f"/api/v1/reports/{id}/raw")).status_code == 403
        await door.intake.vault.texts.erase(f"report-{id}")
        assert (await cell.get(f"/api/v1/reports/{id}/raw")).json()["code"] == "erased"
        assert (await cell.get("/api/v1/reports/unknown/raw")).json()["code"] == "not_found"


async def test_trainees_read_no_text_of_the_live_realm(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    exercise = "92~ex-cours"
    letters = [
        DeadLetter(
            id=f"l-{realm}",
            lane=DeadLetterKind.REFUSED,
            service="intake",
            realm=realm,
            at=1,
            code="invalid",
            detail="",
            source="s-1",
        )
        for realm in ("92", exercise)
    ]

    async def kept(*_: object) -> AsyncIterator[DeadLetter]:
        for letter in letters:
            yield letter

    monkeypatch.setattr(dead_letter_api, "read_dead_letters", kept)
    async with (
        await door.as_(Role.CELL) as cell,
        await door.as_(Role.CELL, scope=Scope(realms=(exercise,))) as pupil,
    ):
        live = (await cell.post("/api/v1/reports", json=report())).json()["report_id"]
        trained = (await pupil.post("/api/v1/reports", json=report(realm=exercise))).json()[
            "report_id"
        ]
        assert (await pupil.get(f"/api/v1/reports/{live}/raw")).json()["code"] == "out_of_scope"
        assert (await pupil.get("/api/v1/reports/unknown/raw")).json()["code"] == "out_of_scope", (
            "whose realm nobody knows any more"
        )
        assert (await pupil.get(f"/api/v1/reports/{trained}/raw")).status_code == 200
        assert [i["id"] for i in (await pupil.get("/api/v1/refused")).json()["items"]] == [
            f"l-{exercise}"
        ]
        assert [i["id"] for i in (await cell.get("/api/v1/refused")).json()["items"]] == [
            f"l-{exercise}",
            "l-92",
        ]
        for answer in (
            await pupil.get("/api/v1/refused/l-92"),
            await pupil.post("/api/v1/refused/l-92/replay"),
        ):
            assert answer.json()["code"] == "not_found"
        assert (await pupil.get(f"/api/v1/refused/l-{exercise}")).status_code == 200


@pytest.mark.parametrize("scope", [Scope(sites=("cen-1",)), Scope(types=("info",))])
@pytest.mark.parametrize("msg_type", ["Cancel", "Update"])
async def test_limited_accounts_withdraw_only_their_own_reports(
    door: Door, scope: Scope, msg_type: str
) -> None:
    """A Cancel of the evacuation of another site was taken: its type and its site were its sender's own."""
    about = {"site_id": "cen-1", "type": "info", "severity": 1}
    async with (
        await door.as_(Role.SITE_MANAGER, scope=scope) as limited,
        await door.as_(Role.CELL) as cell,
    ):
        order = (
            await cell.post(
                "/api/v1/reports", json=report(site_id="pmi-04", type="evacuation", severity=5)
            )
        ).json()["report_id"]
        own = (await limited.post("/api/v1/reports", json=report(**about))).json()["report_id"]
        for references in ([order], [own, order]):
            refused = await limited.post(
                "/api/v1/reports", json=report(**about, msg_type=msg_type, references=references)
            )
            assert (refused.status_code, refused.json()["code"]) == (403, "out_of_scope")
        assert (
            await limited.post("/api/v1/reports", json=report(**about, references=[order]))
        ).status_code == 202, "it may join"
        for sender, references in ((limited, [own]), (limited, ["unknown-yet"]), (cell, [own])):
            response = await sender.post(
                "/api/v1/reports", json=report(**about, msg_type=msg_type, references=references)
            )
            assert response.status_code == 202


async def test_senders_post_only_in_their_own_name(door: Door) -> None:
    """Only a message that was refused is offered again in its sender's name, as it lies in the lane."""
    other, _ = await create_token(door.intake.access, Role.COORDINATOR)
    async with await door.as_(Role.CELL) as cell:
        await cell.post("/api/v1/reports", json=report(), headers={"X-Vigie-Source": other.id})
    ((_, posted, _),) = door.inputs.appended
    assert posted.source_key != other.id


async def test_the_front_reports_a_missing_console_and_still_accepts(door: Door) -> None:
    door.intake.proxy._base = "http://127.0.0.1:9"
    async with await door.as_(Role.ADMIN) as http:
        away = await http.get("/api/v1/incidents")
        assert (away.status_code, away.json()["code"], away.headers["retry-after"]) == (
            503,
            "console_away",
            "2",
        )
        assert (await http.get("/livez")).status_code == 200
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["log"]) == (503, "ok")
        assert ready.json()["checks"]["console"].startswith("does not answer")
        door.intake._console_until = time.monotonic()
        later = await http.get("/readyz")
        assert later.json()["checks"]["start"] == "ok", (
            "a console that stays away does not take the front out"
        )
        assert later.json()["checks"]["console"].startswith("does not answer")
        described = await http.get("/openapi.json")
        assert (
            described.status_code,
            described.json()["code"],
            described.headers["retry-after"],
        ) == (503, "console_away", "2")
        assert "vigie_reports_total" in (await http.get("/metrics")).text
        assert (await http.post("/livez")).headers["allow"] == "GET, HEAD"
        assert (await http.post("/api/v1/reports", json=report())).status_code == 202


async def test_the_document_is_whole_or_not_there(door: Door) -> None:
    """A console that was slow left a third of its paths, with 200."""
    console_document = {
        "info": {},
        "paths": {"/api/v1/incidents": {"get": {}}},
        "components": {"schemas": {"Incident": {}}},
    }

    async def answers(*_: Any) -> Any:
        return console_document

    async def silent(*_: Any) -> Any:
        raise TimeoutError

    async with door.client() as http:
        door.intake.proxy.get_json = silent  # type: ignore[method-assign]
        assert (await http.get("/openapi.json")).status_code == 503
        door.intake.proxy.get_json = answers  # type: ignore[method-assign]
        whole = await http.get("/openapi.json")
        door.intake.proxy.get_json = silent  # type: ignore[method-assign]
        assert (await http.get("/openapi.json")).json() == whole.json()
    assert {"/api/v1/incidents", "/api/v1/reports"} <= whole.json()["paths"].keys()


async def test_a_browser_session_posts_only_with_its_csrf_proof(door: Door) -> None:
    from services.runtime.identity.accounts import create_principal
    from services.runtime.identity.sessions import Sessions

    access = door.intake.access
    principal = create_principal(Role.SITE_MANAGER)
    await access.put(principal)
    session = await Sessions(access).login_with_code(
        await access.issue_code(principal.id, expires_at=None), address="::1"
    )
    async with door.client(
        Cookie=f"vigie_session={session.cookie}; vigie_csrf={session.csrf}"
    ) as http:
        assert (await http.get("/api/v1/whoami")).json()["id"] == principal.id
        assert (await http.post("/api/v1/reports", json=report())).json()["code"] == "csrf"
        assert (
            await http.post(
                "/api/v1/reports", json=report(), headers={"X-CSRF-Token": session.csrf}
            )
        ).status_code == 202


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"", "/x"),
        (b"token=abc&a=1", "/x?token=***&a=1"),
        (b"TOKEN=abc", "/x?TOKEN=***"),
        (b"a=%74oken", "/x?a=token"),
        (b"token", "/x?token=***"),
    ],
)
def test_secrets_in_a_query_are_not_logged(query: bytes, shown: str) -> None:
    assert redact_url({"path": "/x", "query_string": query}) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/AWsKQ4cAAA", "/a/***"),
        ("/r/AWsKQ4cAAA", "/r/***"),
        ("/calendriers/AWsKQ4cAAA.ics", "/calendriers/***"),
        ("//a//AWsKQ4cAAA/x", "/a/***/x"),
        ("/api/v1/a/b", "/api/v1/a/b"),
        ("/aide", "/aide"),
        ("/a/", "/a/"),
    ],
)
def test_a_link_that_opens_by_itself_is_not_logged(path: str, shown: str) -> None:
    assert redact_url({"path": path, "query_string": b""}) == shown
    assert hide_token(path) == shown


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_the_address_of_reports_explains_the_method(door: Door, method: str) -> None:
    async with await door.as_(Role.CELL) as http:
        refused = await http.request(method, "/api/v1/reports")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


async def test_a_report_is_looked_for_in_its_own_realm_and_received_until_it_is_judged(
    door: Door,
) -> None:
    query_strings: list[str] = []

    async def knows_nothing(
        scope: Any, _receive: Any, send: Any, *, instead_of_404: Any = None
    ) -> None:
        query_strings.append(scope["query_string"].decode())
        if instead_of_404 is None or not await instead_of_404(send):
            await send_json(send, 404, {"state": None})

    door.intake.proxy.pass_on = knows_nothing  # type: ignore[method-assign]
    async with (
        await door.as_(Role.SOURCE) as sender,
        await door.as_(Role.SOURCE) as other,
        await door.as_(Role.OBSERVER) as reader,
    ):
        receipt = (await sender.post("/api/v1/reports", json=report(realm="92~test-n1"))).json()

        async def state(http: httpx.AsyncClient, **query: str) -> str | None:
            return (await http.get(f"/api/v1/reports/{receipt['report_id']}", params=query)).json()[
                "state"
            ]

        assert (await sender.get(receipt["status_url"])).json()["state"] == "received"
        assert await state(sender) == await state(reader) == "received"
        assert query_strings == ["realm=92~test-n1", "realm=92~test-n1", "realm=92~test-n1"]
        assert await state(other) is None, "a source sees its own reports only"
        assert await state(reader, as_of="2020-01-01T00:00:00Z") is None, "nothing had come"
        assert await state(reader, realm="92") is None, "it is not there"
    async with door.client() as guest:
        assert await state(guest) is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
BYTES = (
    BODIES.map(lambda b: json.dumps(b).encode())
    | st.tuples(
        BODIES,
        st.sampled_from(
            [
                "type",
                "severity",
                "occurred_at",
                "zone",
                "measure",
                "area",
                "realm",
                "recorded_at",
                "status",
            ]
        ),
        JSON_VALUES,
    ).map(lambda t: json.dumps(t[0] | {t[1]: t[2]}).encode())
    | JSON_VALUES.map(lambda v: json.dumps(v).encode())
    | st.binary(max_size=200)
    | st.builds(
        lambda n: (
            b'{"type":"info","severity":1,"occurred_at":"2027-02-11T08:40:59Z","description":"'
            + b"x" * n
            + b'"}'
        ),
        st.integers(0, 2 << 20),
    )
)


@pytest.mark.parametrize(
    "examples", [100, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
async def test_bodies_of_every_kind_never_break_the_front(door: Door, examples: int) -> None:
    """Valid, invalid, giant and binary bodies are accepted, or refused with a reason."""
    status_counts: Counter[int] = Counter()
    loop = asyncio.get_running_loop()
    _, token = await create_token(door.intake.access, Role.ADMIN)

    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(BYTES)
    def post(body: bytes) -> None:
        status, answer = asyncio.run_coroutine_threadsafe(
            post_report(door.intake.front, token, body), loop
        ).result(30)
        status_counts[status] += 1
        assert status in (202, 403, 413, 422), (status, answer, body[:200])
        assert "report_id" in answer if status == 202 else answer["code"]

    await asyncio.to_thread(post)
    assert status_counts[202] > examples / 10, status_counts
    assert status_counts[422] > examples / 10, status_counts
    assert door.intake.front._reports._reader.room.used == 0


@proves("intake", "full_disk", note="503 until there is room; what was accepted stands")
async def test_a_full_disk_is_answered_with_503_and_the_same_report_is_taken_when_there_is_room(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that cannot be kept: its report is not accepted."""

    async def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with await door.as_(Role.SITE_MANAGER) as http:
        with monkeypatch.context() as disk:
            disk.setattr(door.intake.vault.texts, "hand_over", full)
            away = await http.post(
                "/api/v1/reports", json=report(), headers={"Idempotency-Key": "k"}
            )
        assert (away.status_code, away.json()["code"], away.headers["retry-after"]) == (
            503,
            "storage",
            "2",
        )
        assert door.inputs.appended == []
        response = await http.post(
            "/api/v1/reports", json=report(), headers={"Idempotency-Key": "k"}
        )
    assert (response.status_code, len(door.inputs.appended)) == (202, 1)


@pytest.mark.parametrize("path", ["*", "", "@elsewhere/x"])
async def test_an_invalid_path_never_reaches_the_address_of_the_console(
    door: Door, path: str
) -> None:
    """`OPTIONS *` was a 500."""
    forwarded_paths, response_messages = [], []

    async def passed_on(scope: Any, *_: Any) -> None:
        forwarded_paths.append(scope["path"])

    door.intake.proxy.pass_on = passed_on  # type: ignore[method-assign]

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        response_messages.append(message)

    scope = {
        "type": "http",
        "method": "OPTIONS",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    await door.intake.front(scope, receive, send)
    assert (response_messages[0]["status"], forwarded_paths) == (404, [])


@pytest.mark.parametrize(
    ("name", "source", "status"),
    [
        ("total_isolation", "site_manager", 422),
        ("orsec_means_requested", "cellule", 422),
        ("total_isolation", "rssi", 202),
        ("cod_active", "cellule", 202),
        ("room_temperature", "cellule", 202),
    ],
)
async def test_a_reserved_measure_is_refused_with_its_allowed_sources(
    door: Door, name: str, source: str, status: int
) -> None:
    body = report(type="info", measure={"name": name, "value": True}, source={"name": source})
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports", json=body)
    assert answer.status_code == status
    if status == 422:
        problem = answer.json()
        assert problem["code"] == "measure_reserved"
        assert problem["detail"].startswith("Cette mesure est réservée à")
        assert ("préfecture" if name.startswith("orsec") else "RSSI") in problem["detail"]


@pytest.mark.parametrize(
    "nameless",
    [{"value": 46.0, "unit": "m"}, {"name": "", "value": True}, {"value_of": 30}, {"unit": "m"}],
)
async def test_a_figure_without_the_name_of_its_measure_is_refused(
    door: Door, nameless: dict[str, Any]
) -> None:
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports", json=report(type="info", measure=nameless))
    assert answer.status_code == 422
    assert [e["field"] for e in answer.json()["errors"]] == ["measure.name"]


@pytest.mark.parametrize(("end", "status"), [("09:59", 422), ("10:00", 202), ("10:01", 202)])
async def test_a_period_that_ends_before_it_begins_is_refused(
    door: Door, end: str, status: int
) -> None:
    """D9: otherwise an announced evacuation never holds, and nobody is told why."""
    periods = [
        {"from": "2027-02-12T10:00:00+01:00", "to": "2027-02-12T11:00:00+01:00"},
        {"from": "2027-02-13T10:00:00+01:00", "to": f"2027-02-13T{end}:00+01:00"},
    ]
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports", json=report(effective=periods))
    assert answer.status_code == status
    if status == 422:
        assert [e["field"] for e in answer.json()["errors"]] == ["effective.1.to"]


async def test_a_danger_with_a_reversed_period_counts_at_once_and_warns_its_sender(
    door: Door,
) -> None:
    period = {"from": "2027-02-12T10:00:00+01:00", "to": "2027-02-12T09:00:00+01:00"}
    body = report(type="evacuation", severity=4, effective=[period])
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports", json=body)
    assert answer.status_code == 202
    assert "effective.0.to" in [w["field"] for w in answer.json()["warnings"]]
    assert not door.inputs.appended[-1][1].effective


@pytest.mark.parametrize("part", [{"object": "system:paie"}, {"scope": "global"}])
async def test_a_report_may_name_a_measure_without_a_value(
    door: Door, part: dict[str, Any]
) -> None:
    async with await door.as_(Role.CELL) as http:
        assert (await http.post("/api/v1/reports", json=report(measure=part))).status_code == 202


async def test_reserved_measures_follow_the_version_in_force_and_not_a_newer_file(
    tmp_path: Path,
) -> None:
    """The folder already reserves another measure, which is not published."""
    folder = tmp_path / "92"
    folder.mkdir()
    (folder / "mesures.yaml").write_text(
        "mesures:\n  newer: {sources: [rssi], hors_source: refuse}\n", encoding="utf-8"
    )
    door = Door(tmp_path, territory=folder)

    async def told(*_: Any) -> Any:
        return {"version": "v1", "reserved": {"published": ["rssi"]}}

    async def nothing_yet(*_: Any) -> Any:
        return {"version": None, "reserved": {}}

    async def away(*_: Any) -> Any:
        raise TimeoutError

    async def refused(name: str) -> bool:
        body = report(
            type="info", measure={"name": name, "value": True}, source={"name": "cellule"}
        )
        async with await door.as_(Role.CELL) as http:
            return (await http.post("/api/v1/reports", json=body)).status_code == 422

    await door.intake.reserved.renew(nothing_yet)
    assert (await refused("newer"), await refused("published")) == (True, False)
    await door.intake.reserved.renew(told)
    assert (await refused("newer"), await refused("published")) == (False, True)
    await door.intake.reserved.renew(away)
    assert (await refused("newer"), await refused("published")) == (False, True)
    await door.close()


@pytest.mark.parametrize(("scope", "status"), [("global", 422), ("zone:nord", 422), (None, 202)])
async def test_a_measure_may_be_reserved_for_some_scopes_alone(
    tmp_path: Path, scope: str | None, status: int
) -> None:
    """D76: the front refused a rate of one site that the deciders take."""
    folder = tmp_path / "92"
    folder.mkdir()
    rule = "{sources: [rh], portees: [zone, global], hors_source: refuse}"
    (folder / "mesures.yaml").write_text(f"mesures:\n  absences: {rule}\n", encoding="utf-8")
    door = Door(tmp_path, territory=folder)

    async def told(*_: Any) -> Any:
        reserved = {"absences": ["rh"]}
        return {"version": "v1", "reserved": reserved, "scopes": {"absences": ["zone", "global"]}}

    measure = {"name": "absences", "value": 30} | ({} if scope is None else {"scope": scope})
    body = report(type="info", measure=measure, source={"name": "cellule"})
    async with await door.as_(Role.CELL) as http:
        assert (await http.post("/api/v1/reports", json=body)).status_code == status
        await door.intake.reserved.renew(told)
        assert (await http.post("/api/v1/reports", json=body)).status_code == status
    await door.close()


async def test_a_site_scoped_token_declares_no_isolation(door: Door) -> None:
    body = report(
        type="info", measure={"name": "total_isolation", "value": True}, source={"name": "rssi"}
    )
    async with await door.as_(Role.SITE_MANAGER, scope=Scope(sites=("col-001",))) as http:
        assert (await http.post("/api/v1/reports", json=body)).json()["code"] == "measure_reserved"


@pytest.mark.parametrize(("colour", "status"), [("rouge", 202), ("violet", 422), ("", 422)])
async def test_a_colour_outside_the_closed_list_is_refused(
    door: Door, colour: str, status: int
) -> None:
    body = report(site_id=None, type="weather_alert", phenomenon="vent", colour=colour)
    async with await door.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports", json=body)
    assert answer.status_code == status
    if status == 422:
        assert [e["field"] for e in answer.json()["errors"]] == ["colour"]


def test_no_page_asks_a_device_for_its_camera_microphone_or_place() -> None:
    """D58."""
    policy = dict(SECURITY_HEADERS)[b"permissions-policy"]
    assert set(policy.split(b", ")) == {b"camera=()", b"microphone=()", b"geolocation=()"}
