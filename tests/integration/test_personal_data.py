"""Planted names and numbers appear only in the encrypted texts and directory (D58).

Searched: every record of every topic (values, keys and headers), every file under the data
directory, the store, the metrics of every process, and the answers to readers without the right to
texts.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import orjson
import pytest
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.topics import TOPICS
from services.runtime.identity.signed_links import AnswerLink, AnswerLinks
from services.runtime.kafka.security import get_client_options
from services.runtime.process.settings import Settings
from services.runtime.secrets.local_secrets import build_header
from tests.system import RunningVigie, logged_in
from tests.unit.intake.test_attachments import jpeg
from tests.waiting import until

NAME = "Quatremere-Zebulon"
NUMBER = "+33698765432"
SPOKEN = "06 98 76 54 32"
PLANTED = f"{NAME} au {NUMBER} ({SPOKEN})"
MARKS = (NAME, NUMBER, NUMBER.removeprefix("+33"), SPOKEN)
NOW = "2026-11-25T08:00:00+01:00"


def native() -> dict[str, Any]:
    return {
        "site_id": "cen-1",
        "type": "outage_it",
        "severity": 2,
        "occurred_at": NOW,
        "headline": PLANTED,
        "description": PLANTED,
        "source": {"name": "site_manager", "contact": PLANTED},
    }


def coded() -> dict[str, Any]:
    """Return a report with a name in every field for codes."""
    return {
        "site_id": NAME + " " + SPOKEN,
        "type": "outage_it",
        "severity": 2,
        "occurred_at": NOW,
        "alias": NAME,
        "references": [NAME],
        "plan_hint": PLANTED,
        "phenomenon": PLANTED[:64],
        "urgency": SPOKEN,
        "affected_activities": [PLANTED[:64]],
        "measure": {
            "name": PLANTED[:64],
            "value": PLANTED,
            "unit": SPOKEN,
            "scope": SPOKEN,
            "object": f"road:{PLANTED}|{PLANTED}",
        },
    }


def commands() -> Iterator[tuple[str, dict[str, Any]]]:
    """List (path, body) of decisions with a name in place of a code: each is refused."""
    span = {"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"}
    yield (
        "/api/v1/oncall/overrides",
        {"role": "rssi", "person": PLANTED[:64], "reason": "congés"} | span,
    )
    yield f"/api/v1/tasks/{quote(PLANTED, safe='')}/take", {}
    yield "/api/v1/level", {"scope": PLANTED, "level": 2, "reason": "essai"}
    yield f"/api/v1/incidents/{quote(PLANTED, safe='')}/acknowledge", {}


def alertmanager() -> dict[str, Any]:
    alert = {
        "status": "firing",
        "labels": {"alertname": "Panne", "instance": "srv-1"},
        "annotations": {"summary": PLANTED, "description": PLANTED},
        "startsAt": NOW,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example",
        "fingerprint": "f1",
    }
    return {
        "version": "4",
        "groupKey": "{}",
        "status": "firing",
        "receiver": "vigie",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {"summary": PLANTED},
        "externalURL": "http://am.example",
        "alerts": [alert],
    }


def pagerduty(key: str) -> dict[str, Any]:
    payload = {
        "summary": PLANTED,
        "source": "srv-2",
        "severity": "error",
        "custom_details": {"appelant": PLANTED},
    }
    return {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": f"intervention {NAME}",
        "payload": payload,
        "client": PLANTED,
        "links": [],
    }


def opsgenie() -> dict[str, Any]:
    return {
        "message": PLANTED,
        "alias": NAME,
        "description": PLANTED,
        "note": PLANTED,
        "user": PLANTED,
        "details": {"appelant": PLANTED},
    }


def cloudevent() -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "urn:gtb",
        "type": "fr.cd92.panne",
        "datacontenttype": "application/json",
        "data": {"key": "ce-1", "title": PLANTED, "description": PLANTED},
    }


def posts(keys: dict[str, str]) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """List (path, body, headers) of one message per integration."""

    def bearer(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {keys[name]}"}

    yield "/webhooks/alertmanager", alertmanager(), bearer("alertmanager")
    yield "/v2/enqueue", pagerduty(keys["pagerduty"]), {}
    yield "/v2/alerts", opsgenie(), {"Authorization": f"GenieKey {keys['opsgenie']}"}
    yield (
        f"/api/v2/generic/incoming?token={keys['goalert']}",
        {"summary": PLANTED, "details": PLANTED, "dedup": "ga-1"},
        {},
    )
    yield (
        "/webhooks/apprise",
        {"version": "1.0", "title": PLANTED, "message": PLANTED, "type": "failure"},
        bearer("apprise"),
    )
    yield (
        "/api/v1/events",
        cloudevent(),
        bearer("cloudevents") | {"Content-Type": "application/cloudevents+json"},
    )
    yield (
        "/webhooks/generic/src-generic",
        {"key": "ge-1", "title": PLANTED, "message": PLANTED},
        bearer("generic"),
    )


DIALECTS = ("alertmanager", "pagerduty", "opsgenie", "goalert", "apprise", "cloudevents", "generic")


async def records(kafka: str) -> list[tuple[str, bytes]]:
    """List (topic, key and value and headers) of all records of all topics."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",
        **get_client_options(),
    )
    await consumer.start()
    record_contents: list[tuple[str, bytes]] = []
    try:
        tps = [TopicPartition(topic.name, p) for topic in TOPICS for p in range(topic.partitions)]
        ends, begins = await consumer.end_offsets(tps), await consumer.beginning_offsets(tps)
        remaining_partitions = {tp for tp in tps if ends[tp] > begins[tp]}
        consumer.assign(remaining_partitions)
        await consumer.seek_to_beginning()
        while remaining_partitions:
            for tp, some in (await consumer.getmany(timeout_ms=1000)).items():
                record_contents += [
                    (
                        tp.topic,
                        b"\n".join((r.key or b"", r.value or b"", *(v for _, v in r.headers))),
                    )
                    for r in some
                ]
            remaining_partitions = {
                tp for tp in remaining_partitions if await consumer.position(tp) < ends[tp]
            }
    finally:
        await consumer.stop()
    return record_contents


async def topics(kafka: str) -> dict[str, bytes]:
    """Return topic → all its records."""
    contents_by_topic: dict[str, list[bytes]] = {topic.name: [] for topic in TOPICS}
    for topic, content in await records(kafka):
        contents_by_topic[topic].append(content)
    return {topic: b"\n".join(contents) for topic, contents in contents_by_topic.items()}


def marks_in(content: bytes) -> set[str]:
    return {
        mark
        for mark in MARKS
        if mark.encode() in content or json.dumps(mark).strip('"').encode() in content
    }


def written(file: Path) -> bytes:
    """Return the bytes of a file without its holes.

    The broker reserves ten megabytes for each of a thousand indexes and writes hardly any.
    """
    parts, at = [], 0
    with file.open("rb") as content, suppress(OSError):  # ENXIO: nothing but a hole is left
        while True:
            begin = os.lseek(content.fileno(), at, os.SEEK_DATA)
            at = os.lseek(content.fileno(), begin, os.SEEK_HOLE)
            parts.append(os.pread(content.fileno(), at - begin, begin))
    return b"".join(parts)


def store_content(url: str) -> bytes:
    client = redis.Redis.from_url(url)
    parts = []
    for key in client.scan_iter(count=1000):
        parts.append(key)
        parts.append(client.dump(key) or b"")
        match client.type(key):
            case b"hash":
                parts += [value for pair in client.hgetall(key).items() for value in pair]
            case b"string":
                parts.append(client.get(key) or b"")
            case b"zset":
                parts += client.zrange(key, 0, -1)
            case b"list":
                parts += client.lrange(key, 0, -1)
            case b"stream":
                parts += [json.dumps(str(entry)).encode() for entry in client.xrange(key)]
            case b"set":
                parts += list(client.smembers(key))
            case _:
                pass
    client.close()
    return b"\n".join(parts)


@pytest.fixture(scope="module")
def vigie(apart: RunningVigie) -> RunningVigie:
    """Return a system that no other test uses meanwhile, because a test holds its messages."""
    return apart


@pytest.mark.timeout(600)
def test_planted_names_and_numbers_are_nowhere_in_the_clear(
    vigie: RunningVigie, tmp_path: Path
) -> None:
    settings = Settings(data_dir=vigie.folder / "data")
    keys = {}
    for dialect in DIALECTS:
        added = vigie.cli(
            "source",
            "add",
            f"src-{dialect}",
            "--dialect",
            dialect,
            "--site",
            "cen-1",
            "--severity",
            "2",
            "--quiet",
        )
        assert added.returncode == 0, added.stderr
        keys[dialect] = added.stdout.strip()
    posted = vigie.http.post("/api/v1/reports", json=native())
    assert posted.status_code == 202, posted.text
    hidden = vigie.http.post("/api/v1/reports", json=coded())
    assert hidden.status_code == 202, hidden.text
    coloured = vigie.http.post("/api/v1/reports", json=coded() | {"colour": SPOKEN})
    assert coloured.status_code == 422, coloured.text
    assert SPOKEN not in coloured.text
    for path, body in commands():
        refused = vigie.http.post(path, json=body)
        assert refused.status_code in (404, 422), (path, refused.status_code, refused.text[:300])
    for path, body, headers in posts(keys):
        answer = vigie.http.post(path, json=body, headers={"Authorization": "", **headers})
        assert answer.status_code < 300, (path, answer.status_code, answer.text[:300])
    assert vigie.http.post("/api/v1/log", json={"text": PLANTED}).status_code in (200, 202)
    hold_answer = vigie.http.post(
        "/api/v1/sending/hold", json={"until": "2030-01-01T00:00:00Z", "reason": PLANTED}
    )
    assert hold_answer.status_code in (200, 202), hold_answer.text
    directory = tmp_path / "people.csv"
    directory.write_text(
        f"person,name,language,channel,address,verified_at,site\nagent-1,{NAME},fr,sms,{NUMBER},,cen-1\n",
        encoding="utf-8",
    )
    assert vigie.cli("directory", "import", str(directory)).returncode == 0
    directory.unlink()
    drafted = vigie.http.post(
        "/api/v1/callouts", json={"text": PLANTED, "everybody": True, "danger": True}
    )
    assert drafted.status_code in (200, 202), drafted.text
    assert vigie.http.post(
        "/api/v1/reports", json={"type": PLANTED, "severity": "x"}
    ).status_code in (400, 422)

    def told() -> bool:
        counts = vigie.get("/api/v1/overview")["counts"]
        return bool(counts["reports"] >= 9 and counts["notifications"] > 0)

    until(told, 120)
    observer = vigie.cli("token", "create", "--role", "observer", "--quiet").stdout.strip()

    marks_by_place = {
        f"topic {name}": marks_in(content)
        for name, content in asyncio.run(topics(settings.kafka)).items()
    }
    marks_by_place["store"] = marks_in(store_content(settings.redis))
    # not the main courante: a note is written to be read by whoever may read the log
    for path in (
        "overview",
        "incidents",
        "sites",
        "notifications",
        "escalations",
        "tasks",
        "callouts",
        "reports",
        "sources",
    ):
        read = vigie.http.get(
            f"/api/v1/{path}?limit=1000", headers={"Authorization": f"Bearer {observer}"}
        )
        marks_by_place[f"GET {path} as observer"] = marks_in(read.content)
    status = json.loads((vigie.folder / "data" / "run" / "ports.json").read_text())
    counters = build_header(vigie.folder / "data" / "secrets")
    for name, port in status.items():
        if name not in ("kafka", "controller", "redis", "console-http", "samples"):
            metrics = vigie.http.get(f"http://127.0.0.1:{port}/metrics", headers=counters)
            assert metrics.status_code == 200, name
            marks_by_place[f"metrics {name}"] = marks_in(metrics.content)
    for file in sorted((vigie.folder).rglob("*")):
        if file.is_file():
            marks_by_place[f"file {file.relative_to(vigie.folder)}"] = marks_in(written(file))
    report = vigie.get(f"/api/v1/reports/{hidden.json()['report_id']}")
    assert (report["alias"], report["plan_hint"]) == (NAME, PLANTED), (
        "who may read texts reads what was written"
    )
    texts = vigie.get(f"/api/v1/reports/{quote(posted.json()['report_id'], safe='')}")
    leaks = sorted(
        f"{where}: {', '.join(sorted(marks))}" for where, marks in marks_by_place.items() if marks
    )
    assert not leaks, "\n".join(leaks)
    assert (
        len(
            [
                where
                for where in marks_by_place
                if where.startswith("file kafka") or "kafka/" in where
            ]
        )
        > 10
    ), "the broker's disk was looked at"
    assert re.search(r"received|applied|duplicate", json.dumps(texts))


@pytest.mark.timeout(600)
def test_two_people_erase_text_bytes_and_photo_of_a_report_and_a_line(vigie: RunningVigie) -> None:
    """By the command and by the route; the main courante says so without the words."""

    def texts() -> dict[str, str]:
        return {one["id"]: one["text"] for one in vigie.get("/api/v1/log?limit=1000")["items"]}

    photo = vigie.http.post(
        "/api/v1/attachments", content=jpeg(), headers={"Content-Type": "image/jpeg"}
    )
    assert photo.status_code == 201, photo.text
    posted = vigie.http.post(
        "/api/v1/reports",
        json=native() | {"attachments": [photo.json()["id"]], "alias": "a-effacer"},
    )
    report = posted.json()["report_id"]
    until(lambda: vigie.http.get(f"/api/v1/reports/{report}").json().get("headline") == PLANTED)
    words = f"note {token_hex(4)} {PLANTED}"
    note = vigie.http.post("/api/v1/log", json={"text": words}, headers={"Prefer": "wait=20"})
    assert note.status_code == 200, note.text
    (line,) = [id for id, text in texts().items() if text == words]
    second = {
        "Authorization": "Bearer "
        + vigie.cli("token", "create", "--role", "coordinator", "--quiet").stdout.strip()
    }
    cell = {
        "Authorization": "Bearer "
        + vigie.cli("token", "create", "--role", "cell", "--quiet").stdout.strip()
    }

    proposed = vigie.cli("text", "erase", report, "--reason", "nom d’une mineure")
    assert proposed.returncode == 0, proposed.stderr
    assert "--approve" in proposed.stdout
    alone = vigie.cli("text", "erase", report, "--approve")
    assert alone.returncode == 1
    assert "ne peut pas approuver l’effacement" in alone.stderr
    assert report in vigie.cli("text", "proposals").stdout
    approve = {"approve": True}
    assert (
        vigie.http.post(f"/api/v1/reports/{report}/erase", json=approve, headers=cell).status_code
        == 403
    )
    done = vigie.http.post(f"/api/v1/reports/{report}/erase", json=approve, headers=second)
    assert (done.status_code, done.json()["state"]) == (200, "erased"), done.text
    assert vigie.cli("text", "erase", line, "--reason", "nom").returncode == 0
    erased = vigie.http.post(f"/api/v1/log/{line}/erase", json=approve, headers=second)
    assert erased.json()["state"] == "erased", erased.text

    def gone() -> bool:
        erased_report = vigie.get(f"/api/v1/reports/{report}")
        return (
            erased_report["headline"] is None
            and erased_report["erased_reason"] == "nom d’une mineure"
            and erased_report["attachments"] == []
        )

    until(gone)
    assert vigie.http.get(f"/api/v1/reports/{report}/raw").status_code == 410
    until(lambda: vigie.http.get(f"/api/v1/attachments/{photo.json()['id']}").status_code == 404)
    until(lambda: words not in texts().values())
    lines = texts().values()
    assert [text for text in lines if "Texte effacé le" in text]
    assert [
        text
        for text in lines
        if text.startswith(f"Effacement du texte du signalement {report[:8]} approuvé")
    ]
    with logged_in(vigie, "cell") as browser:
        page = browser.get(f"/signalements/{report}").text.partition("<main")[2]
    assert "Texte effacé le" in page
    assert "nom d’une mineure" in page
    assert NAME not in page


# ── « are you safe? » ────────────────────────────────────────────────────────────────────────────────────────────────

SITE, OTHER = "pmi-04", "pmi-05"
WORKS_AT = {"agent-a": SITE, "agent-b": SITE, "agent-c": OTHER}
SAID = {
    "agent-a": HeadcountAnswer.SAFE,
    "agent-b": HeadcountAnswer.HELP,
    "agent-c": HeadcountAnswer.AWAY,
}
"""Agents of the sites → their answers."""
KEYS = {said: key for key, said in HEADCOUNT_KEYS.items()}
OF_SOMEBODY = re.compile(rb':"(?:%s)"' % "|".join(HeadcountAnswer).encode())
"""Answers of a person as values; the counts use them as names."""


@pytest.fixture(scope="module")
def directory(vigie: RunningVigie) -> None:
    """Return the agents and their numbers; no gateway is configured."""
    people = vigie.folder / "agents.csv"
    rows = [
        f"{agent},Nom de {agent},fr,sms,+3361111111{n},,{site}"
        for n, (agent, site) in enumerate(WORKS_AT.items())
    ]
    people.write_text(
        "\n".join(["person,name,language,channel,address,verified_at,site", *rows]),
        encoding="utf-8",
    )
    assert vigie.cli("directory", "import", str(people)).returncode == 0
    people.unlink()


def ask(vigie: RunningVigie, realm: str) -> str:
    """Start a headcount of both sites and return its id."""
    begun = vigie.http.post(
        "/api/v1/headcounts",
        json={"realm": realm, "sites": [SITE, OTHER], "channels": ["sms"]},
        headers={"Prefer": "wait=20"},
    )
    assert begun.status_code == 200, begun.text
    return str(begun.json()["result"]["callout"])


def asked(vigie: RunningVigie, realm: str) -> list[dict[str, Any]]:
    """Return the message of each agent."""
    notifications: list[dict[str, Any]] = vigie.get(
        f"/api/v1/notifications?realm={realm}&role=agent&limit=1000"
    )["items"]
    return [n for n in notifications if n["template"] == "headcount"]


def links(vigie: RunningVigie, realm: str) -> dict[str, str]:
    """Return agent → the token of the link in the message."""
    until(lambda: len(asked(vigie, realm)) == len(SAID))
    made, expires_at = (
        AnswerLinks.open(vigie.folder / "data" / "secrets"),
        round(time.time() + 3600) * 1000,
    )
    return {
        n["person_token"]: made.token(AnswerLink(realm, n["id"], n["person_token"], expires_at))
        for n in asked(vigie, realm)
    }


def say(vigie: RunningVigie, token: str, said: HeadcountAnswer) -> None:
    """Answer without a login: the page asks, its button answers."""
    with httpx.Client(
        base_url=vigie.url,
        headers={"Accept-Language": "fr"},
        timeout=20,
        trust_env=False,
        follow_redirects=True,
    ) as phone:
        page = phone.get(f"/a/{token}")
        assert page.status_code == 200
        assert "Êtes-vous en sécurité" in page.text
        assert "répondez 1, 2 ou 3" in page.text
        assert "à usage unique" not in page.text, "the answer may be changed"
        answered = phone.post(f"/a/{token}", data={"answer": KEYS[said]})
        assert answered.status_code == 200
        expected_text = (
            "Vous avez demandé de l’aide" if said is HeadcountAnswer.HELP else "Réponse enregistrée"
        )
        assert expected_text in answered.text


def shown(vigie: RunningVigie, realm: str, id: str, **expected: object) -> bool:
    """Return True once the headcount is shown with these values."""
    headcount = vigie.get(f"/api/v1/headcounts/{id}?realm={realm}")
    return {name: headcount[name] for name in expected} == expected


@pytest.mark.usefixtures("directory")
@pytest.mark.timeout(300)
def test_a_headcount_counts_in_the_log_without_names(vigie: RunningVigie) -> None:
    id = ask(vigie, "92")
    of = links(vigie, "92")
    say(vigie, of["agent-a"], HeadcountAnswer.SAFE)
    say(vigie, of["agent-b"], HeadcountAnswer.SAFE)
    say(vigie, of["agent-b"], HeadcountAnswer.HELP)
    until(lambda: shown(vigie, "92", id, safe=1, help=1, away=0, answered=2, state="running"))
    for_help = vigie.get(f"/api/v1/headcounts/{id}/answers?said=help")["items"]
    assert [(one["person_token"], one["name"]) for one in for_help] == [
        ("agent-b", "Nom de agent-b")
    ]
    observer = vigie.cli("token", "create", "--role", "observer", "--quiet").stdout.strip()
    assert (
        vigie.http.get(
            f"/api/v1/headcounts/{id}/answers", headers={"Authorization": f"Bearer {observer}"}
        ).status_code
        == 403
    )
    with logged_in(vigie, "cell") as browser:
        names = f"/appels/{id}/reponses?dit=help"
        page = browser.get(names).text
        assert "Nom de agent-b" in page
        assert "Nom de agent-a" not in page
        assert "Nom de" not in browser.get(names, headers={"X-Vigie-Live": "1"}).text, (
            "a page that keeps itself fresh reads no name again"
        )
        assert "Nom de" not in browser.get("/appels").text
    say(vigie, of["agent-c"], HeadcountAnswer.AWAY)
    until(lambda: shown(vigie, "92", id, safe=1, help=1, away=1, answered=3, state="done"))

    topic_records = asyncio.run(records(Settings(data_dir=vigie.folder / "data").kafka))
    assert [
        (topic, content) for topic, content in topic_records if OF_SOMEBODY.search(content)
    ] == []
    reports = [
        orjson.loads(content.split(b"\n")[1])
        for topic, content in topic_records
        if topic == "alerts.inputs" and b'"headcount_found"' in content
    ]
    counted = [(r["site_id"], r["measure"]["value"], r["measure"]["value_of"]) for r in reports]
    assert [of for of in counted if of[0] == OTHER] == [(OTHER, 0, 1), (OTHER, 1, 1)], (
        "also that nobody was found there yet; each count once"
    )
    assert [of for of in counted if of[0] == SITE][-1] == (SITE, 2, 2)


@pytest.mark.usefixtures("directory")
@pytest.mark.timeout(300)
def test_people_without_an_answer_are_reminded_then_the_manager_is_called(
    vigie: RunningVigie,
) -> None:
    """In an exercise, with a movable clock."""
    realm, began = "92~ex-recensement", datetime.fromisoformat("2027-02-11T09:40:00+01:00")
    opened = {"id": realm, "title_code": "ESSAI", "started_at": began.isoformat()}
    assert (
        vigie.http.post("/api/v1/realms", json=opened, headers={"Prefer": "wait=20"}).status_code
        == 200
    )
    id = ask(vigie, realm)

    def after(minutes: int, **expected: object) -> None:
        to = (began + timedelta(minutes=minutes)).isoformat()
        assert (
            vigie.http.post(
                f"/api/v1/realms/{realm}/step", json={"to": to}, headers={"Prefer": "wait=50"}
            ).status_code
            == 200
        )
        until(lambda: shown(vigie, realm, id, **expected))

    def messages() -> dict[str, int]:
        return {n["person_token"]: len(n["attempts"]) for n in asked(vigie, realm)}

    after(1, state="running", handed=3)
    of = links(vigie, realm)
    say(vigie, of["agent-a"], HeadcountAnswer.SAFE)
    after(9, reminded=0, answered=1)
    after(12, reminded=1)
    until(lambda: messages() == {"agent-a": 1, "agent-b": 2, "agent-c": 2})
    after(31, reminded=2, answered=1)
    managers = vigie.get(f"/api/v1/notifications?realm={realm}&role=responsable_site&limit=1000")[
        "items"
    ]
    calls = [
        (n["scope"], n["values"]["found"], n["values"]["expected"])
        for n in managers
        if n["template"] == "headcount_manager"
    ]
    assert sorted(calls) == sorted((site, 1, 3) for site in (SITE, OTHER)), "of the whole headcount"
    assert vigie.get(f"/api/v1/headcounts/{id}?realm={realm}")["managers_called_at"] is not None
    say(vigie, of["agent-b"], HeadcountAnswer.HELP)
    after(42, reminded=3, answered=2, state="running")  # two of three: under 98 %
    say(vigie, of["agent-c"], HeadcountAnswer.SAFE)
    after(44, answered=3, state="done")
    after(120, reminded=3)
    assert messages() == {"agent-a": 1, "agent-b": 3, "agent-c": 4}
