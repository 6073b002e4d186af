"""A report answered with 202 is on the log once, through any failure."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.intake.reports.deduplication import AnswerIndex, KnownReport, derive_keyed_id
from services.intake.reports.redaction import LogRedactor
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault
from tests.faults.matrix import proves
from tests.integration.intake.conftest import FrontProcess, Starter, records, report
from tests.waiting import eventually

OnLog = Callable[[str], Coroutine[Any, Any, list[Any]]]


def ids(found: list[Any]) -> list[str]:
    return [dict(r.headers)["ce_id"].decode() for r in found]


async def test_an_accepted_report_is_on_the_log_with_its_envelope(
    front: FrontProcess, on_log: OnLog
) -> None:
    body = report(realm="92~test-envelope", recorded_at="2027-02-11T10:00:00+01:00", alias="E1")
    async with front.client() as http:
        receipt = (await http.post("/api/v1/reports", json=body)).json()
    [record] = await on_log("92~test-envelope")
    headers = dict(record.headers)
    assert headers["ce_id"].decode() == receipt["report_id"]
    assert (headers["ce_type"], headers["ce_at"], headers["content-type"]) == (
        b"vigie.ReportReceived.v1",
        b"1802336400000",
        b"application/json",
    )
    assert receipt["recorded_at"] == "2027-02-11T09:00:00.000Z"
    assert b"Panne" not in record.value


@proves("intake", "clock", note="its own clock decides nothing")
async def test_the_time_of_a_live_report_is_the_append_time(
    front: FrontProcess, on_log: OnLog
) -> None:
    async with front.client() as http:
        receipt = (await http.post("/api/v1/reports", json=report(realm="92T"))).json()
    [record] = await on_log("92T")
    assert record.timestamp_type == 1
    assert receipt["recorded_at"].endswith(f".{record.timestamp % 1000:03d}Z")
    assert "ce_at" not in dict(record.headers)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_keys_survive_the_end_of_the_process(
    front: FrontProcess, on_log: OnLog, end: str
) -> None:
    realm = f"92~test-keys-{end}"
    async with front.client() as http:
        first = await http.post(
            "/api/v1/reports", json=report(realm=realm), headers={"Idempotency-Key": "k"}
        )
    if end == "stop":
        assert front.stop() == 0
    else:
        front.kill()
    front.start()
    await front.accepting()
    async with front.client() as http:
        again = await http.post(
            "/api/v1/reports", json=report(realm=realm), headers={"Idempotency-Key": "k"}
        )
        other = await http.post(
            "/api/v1/reports",
            json=report(realm=realm, severity=1),
            headers={"Idempotency-Key": "k"},
        )
    assert (again.status_code, again.headers["idempotency-replayed"], again.json()) == (
        202,
        "true",
        first.json(),
    )
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert len(await on_log(realm)) == 1


@proves("intake", "corrupted", note="its index of answers")
async def test_keys_survive_the_loss_of_the_index(front: FrontProcess) -> None:
    body = report(realm="92~test-index")
    async with front.client() as http:
        first = await http.post("/api/v1/reports", json=body, headers={"Idempotency-Key": "k"})
    front.stop()
    for file in (front.data.root / "intake").iterdir():
        file.unlink()
    front.start()
    await front.accepting()
    async with front.client() as http:
        again = await http.post("/api/v1/reports", json=body, headers={"Idempotency-Key": "k"})
    assert (again.headers.get("idempotency-replayed"), again.json()) == ("true", first.json())


@proves("intake", "corrupted", note="the input that its index is a copy of")
async def test_a_report_lost_by_the_input_is_accepted_on_the_next_try(
    front: FrontProcess, on_log: OnLog
) -> None:
    """The index still answered for reports absent from every log.

    The sender got 202 and the report never arrived.
    """
    realm = "92~test-lost"
    async with front.client() as http:
        await http.post(
            "/api/v1/reports", json=report(realm=realm), headers={"Idempotency-Key": "kept"}
        )
    front.stop()
    ledger = AnswerIndex(front.data.root / "intake" / "answers.db", LogRedactor(b"key"))
    (sender,) = ledger._reading.execute("SELECT DISTINCT sender FROM reports").fetchone()
    ledger._store(
        [KnownReport(derive_keyed_id(realm, sender, "lost"), realm, "00" * 16, 1, sender, None)],
        {0: 1 << 40},
    )
    ledger.close()
    front.start()
    await front.accepting()
    async with front.client() as http:
        answer = await http.post(
            "/api/v1/reports", json=report(realm=realm), headers={"Idempotency-Key": "kept"}
        )
        lost = await http.post(
            "/api/v1/reports", json=report(realm=realm), headers={"Idempotency-Key": "lost"}
        )
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (202, "true")
    assert (lost.status_code, lost.headers.get("idempotency-replayed")) == (202, None)
    assert len(await on_log(realm)) == 2


@proves("intake", "kill")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.soak)])
async def test_killing_the_front_under_load_loses_nothing_that_was_answered(
    front: FrontProcess, on_log: OnLog, broker: RunningKafka, kills: int
) -> None:
    """Four senders repeat until they get 202.

    Kills come at random moments, also between the acknowledgements of text and report.
    """
    realm = f"92~test-kills-{kills}"
    each = kills * 15
    accepted: dict[str, str] = {}

    async def sender(n: int, http: httpx.AsyncClient) -> None:
        for i in range(each):
            key = f"{n}-{i}"
            while key not in accepted:
                try:
                    answer = await http.post(
                        "/api/v1/reports",
                        json=report(realm=realm, headline=key),
                        headers={"Idempotency-Key": key},
                    )
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                assert answer.status_code in (202, 503), answer.text
                if answer.status_code == 202:
                    accepted[key] = answer.json()["report_id"]

    random.seed(7)
    async with front.client() as http:
        senders = [asyncio.create_task(sender(n, http)) for n in range(4)]
        for _ in range(kills):
            before = len(accepted)
            while len(accepted) < before + random.randrange(10, 40) and not all(
                s.done() for s in senders
            ):
                await asyncio.sleep(0.001)
            front.kill()
            front.start()
            await front.accepting()
        await asyncio.gather(*senders)
    assert len(accepted) == len(set(accepted.values())) == 4 * each
    log_records = await on_log(realm)
    assert set(ids(log_records)) == set(accepted.values())
    front.stop()
    async with Vault.open(Settings(data_dir=front.data.root, kafka=broker.address)) as vault:
        for key, id in accepted.items():
            item = await vault.texts.get(f"report-{id}", wait_s=60)
            assert item is not None, f"the text of {key} is lost"
            assert item.fields == {"headline": key}


@proves("intake", "stop")
async def test_a_suspended_front_continues_its_open_requests(
    front: FrontProcess, on_log: OnLog
) -> None:
    """Requests wait in it and in its socket; senders after a timeout repeat with the same key."""
    realm = "92~test-still"
    accepted: dict[str, str] = {}
    given_up = asyncio.Event()

    async def sender(key: str) -> None:
        async with front.client() as http:
            while key not in accepted:
                body, headers = report(realm=realm, headline=key), {"Idempotency-Key": key}
                try:
                    answer = await http.post(
                        "/api/v1/reports", json=body, headers=headers, timeout=2
                    )
                except httpx.TransportError:
                    given_up.set()
                    continue
                assert answer.status_code in (202, 503), answer.text
                if answer.status_code == 202:
                    accepted[key] = answer.json()["report_id"]

    senders = [asyncio.create_task(sender(f"{n}")) for n in range(20)]
    while not accepted:
        await asyncio.sleep(0.001)
    front.signal(signal.SIGSTOP)
    still = [asyncio.create_task(sender(f"still-{n}")) for n in range(5)]
    await asyncio.wait_for(given_up.wait(), 60)
    assert not any(key.startswith("still") for key in accepted)
    front.signal(signal.SIGCONT)
    await asyncio.gather(*senders, *still)
    assert len(set(accepted.values())) == 25
    assert set(ids(await on_log(realm))) == set(accepted.values())


@proves("intake", "network", note="no broker: 503, and the sender comes again")
async def test_without_a_broker_senders_are_asked_to_try_again_and_nothing_is_lost(
    broker: RunningKafka, new_front: Starter, record_property: Callable[[str, object], None]
) -> None:
    """A front that runs already, and one that is started meanwhile and waits."""
    front = new_front(VIGIE_INTAKE_ACK_TIMEOUT_S="2")
    late = new_front("late", VIGIE_INTAKE_ACK_TIMEOUT_S="2")
    await front.accepting()
    await late.accepting()
    late.stop()
    body, key = report(realm="92~test-away"), {"Idempotency-Key": "k"}
    async with front.client() as http:
        before = (
            await http.post("/api/v1/reports", json=report(realm="92~test-away", headline="before"))
        ).json()
        broker.kill()
        began = time.monotonic()
        away = await http.post("/api/v1/reports", json=body, headers=key)
        assert (away.status_code, away.headers["retry-after"], away.json()["code"]) == (
            503,
            "2",
            "broker_away",
        )
        assert time.monotonic() - began < 4
        many = await asyncio.gather(
            *(http.post("/api/v1/reports", json=report(headline=str(n))) for n in range(50))
        )
        assert {a.status_code for a in many} == {503}
        ready = (await http.get("/readyz")).json()
        assert ready["checks"]["log"] != "ok"
        assert (await http.get("/api/v1/whoami")).status_code == 200, "logins need no broker"
        late.start()
        await eventually(lambda: is_starting(late), 60)
        await broker.start()
        back = time.monotonic()
        await front.accepting()

        async def accepted() -> httpx.Response | None:
            answer = await http.post("/api/v1/reports", json=body, headers=key)
            assert answer.status_code in (202, 503)
            return answer if answer.status_code == 202 else None

        await eventually(accepted, 60, longest_s=0.0)
        record_property("recovered_s", time.monotonic() - back)
        after = await accepted()
        assert after is not None
    input_records = await records(broker.address, "alerts.inputs", "92~test-away")
    assert {before["report_id"], after.json()["report_id"]} == set(ids(input_records))
    await late.accepting()
    async with late.client() as http:
        assert (await http.post("/api/v1/reports", json=report())).status_code == 202


async def is_starting(front: FrontProcess) -> bool:
    try:
        async with front.client() as http:
            answer = await http.post("/api/v1/reports", json=report())
    except httpx.TransportError:
        return False
    assert (answer.status_code, answer.json()["code"]) == (503, "starting")
    return True


async def test_bodies_of_every_kind_over_real_http(front: FrontProcess) -> None:
    random.seed(11)
    valid = orjson.dumps(report(realm="92~test-bodies"))
    async with front.client() as http:
        for n in range(300):
            body = bytearray(valid)
            for _ in range(random.randrange(4)):
                body[random.randrange(len(body))] = random.randrange(256)
            content = (
                bytes(body)
                if n % 10
                else random.randbytes(random.randrange(3_000_000 if n % 50 == 0 else 2000))
            )
            answer = await http.post(
                "/api/v1/reports", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code in (202, 413, 422), (answer.status_code, answer.text)
