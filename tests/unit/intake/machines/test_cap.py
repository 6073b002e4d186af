"""CAP at the front: one report per event in the territory, chains, exercises, signatures."""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import XMLSigner, methods

from schemas.reports import ReportReceived
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.secrets.vault import OWN_WORDS_FIELD
from tests.loopback import serving
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.cap_messages import (
    ELSEWHERE,
    SITUATIONS,
    SQUARE,
    area,
    bare,
    info,
    message,
    pair,
    ref,
    vigilance,
)
from tests.unit.intake.machines.test_machines import offered_again, source

XML = {"content-type": "application/cap+xml"}


def told(door: Door) -> list[ReportReceived]:
    return [m for _, m, _ in door.inputs.appended]


def last(door: Door) -> ReportReceived:
    return told(door)[-1]


async def sending(door: Door, **record: Any) -> httpx.AsyncClient:
    """Build a client with the key of a registered CAP source."""
    made = await source(door, dialect="cap", site=None, **record)
    return door.client(Authorization=f"Bearer {made['key']}", **XML)


# ── at the door ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("application/atom+xml", b'<feed xmlns="http://www.w3.org/2005/Atom"/>', "atom"),
        ("application/rss+xml", b'<rss version="2.0"/>', "rss"),
        (
            "application/soap+xml",
            b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"/>',
            "soap",
        ),
        (
            "application/xml",
            b'<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"/>',
            "edxl_de",
        ),
    ],
)
async def test_a_wrapper_is_named_under_its_own_media_type(
    door: Door, kind: str, body: bytes, code: str
) -> None:
    async with await sending(door) as http:
        answer = await http.post("/api/v1/cap", content=body, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)
        assert (
            await http.post(
                "/api/v1/cap", content=message(), headers={"content-type": "application/json"}
            )
        ).status_code == 415


# ── one report per event ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_becomes_a_report_and_the_same_again_has_no_effect(door: Door) -> None:
    async with await sending(door, speaks_as="enedis") as http:
        first = await http.post("/api/v1/cap", content=message())
        for kind in ("application/cap+xml", "application/xml", "text/xml; charset=utf-8"):
            other_words = message(sent="2026-11-25T07:00:00-00:00", note="en d’autres mots")
            again = await http.post(
                "/api/v1/cap", content=other_words, headers={"content-type": kind}
            )
    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (
        202,
        202,
        "true",
    )
    assert (
        again.json()["report_id"]
        == first.json()["report_id"]
        == first.json()["reports"][0]["report_id"]
    )
    (report,) = told(door)
    assert (
        report.type,
        report.severity,
        report.certainty,
        report.commune,
        report.source,
        report.dialect,
        report.urgency,
        report.signature,
    ) == ("info", 4, "confirmed", "92050", "enedis", "cap", "Immediate", "unsigned")


async def test_an_account_that_may_report_passes_a_cap_message_on(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        assert (await http.post("/api/v1/cap", content=message(), headers=XML)).status_code == 202
    async with await door.as_(Role.OBSERVER) as http:
        assert (await http.post("/api/v1/cap", content=message(), headers=XML)).status_code == 403
    async with door.client() as http:
        assert (await http.post("/api/v1/cap", content=message(), headers=XML)).status_code == 401
    assert len(told(door)) == 1


async def test_blocks_in_other_languages_are_one_report_in_french(door: Door) -> None:
    english = vigilance(language="en-GB", event="Strong wind", headline="Orange warning")
    rain = vigilance(
        kind="10; Rain", colour="2; yellow; Moderate", severity="Moderate", event="Pluie-inondation"
    )
    async with await sending(door) as http:
        answer = await http.post(
            "/api/v1/cap", content=message(english, vigilance(headline="Vigilance orange"), rain)
        )
    assert len(answer.json()["reports"]) == 2
    wind, water = told(door)
    assert (wind.type, wind.phenomenon, wind.colour, wind.severity, wind.zone, wind.commune) == (
        "weather_alert",
        "vent",
        "orange",
        4,
        (),
        None,
    )
    assert (water.phenomenon, water.colour, water.severity) == ("pluie-inondation", "jaune", 3)
    text = door.intake.vault.texts
    assert wind.text_id is not None
    item = await text.get(wind.text_id, wait_s=0)
    assert item is not None
    assert item.fields["headline"] == "Vigilance orange"


async def test_an_area_names_communes_and_sites_or_lies_outside(door: Door) -> None:
    whole = area(geocode=pair("EMMA_ID", "FR105"))
    two = area(geocode=[pair("inseecode", "92050"), pair("INSEE", "92062")])
    around = area(geocode=None, circle="48.8953,2.2289 0.3")
    async with await sending(door) as http:
        for n, where in enumerate((whole, two, around)):
            assert (
                await http.post(
                    "/api/v1/cap", content=message(info(area=where), identifier=f"ici-{n}")
                )
            ).json()["reports"]
        elsewhere = (
            area(geocode=pair("INSEE", "75056")),
            area(geocode=pair("EMMA_ID", "FR101")),
            area(geocode=None, polygon=ELSEWHERE),
            area(geocode=pair("SAME", "006109"), polygon=ELSEWHERE),
            area(geocode=None, circle="48.8566,2.3522 1"),
        )
        for n, where in enumerate(elsewhere):
            answer = await http.post(
                "/api/v1/cap", content=message(info(area=where), identifier=f"ailleurs-{n}")
            )
            assert (answer.status_code, answer.json()["reports"]) == (202, [])
            assert answer.json()["detail"] == "rien dans ce message ne concerne le territoire"
    by_code, by_communes, by_circle = told(door)
    assert (by_code.zone, by_code.commune, by_code.sites) == ((), None, ())
    assert (by_communes.zone, by_communes.sites) == (("92050", "92062"), ())
    assert (by_circle.commune, "cen-1" in by_circle.sites) == ("92050", True)


async def test_a_polygon_names_its_sites(door: Door) -> None:
    async with await sending(door) as http:
        await http.post(
            "/api/v1/cap", content=message(info(area=area(geocode=None, polygon=SQUARE)))
        )
    report = last(door)
    assert "92050" in report.zone
    assert "cen-1" in report.sites
    assert len(report.zone) < 36


async def test_in_old_bulletins_of_the_weather_service_the_territory_travels_under_75(
    door: Door,
) -> None:
    async with await sending(door) as http:
        for sender in ("prefecture@paris.example", "vigilance@meteo.fr"):
            bulletin = vigilance(
                area=area(areaDesc="Paris et petite couronne", geocode=pair("department", "75"))
            )
            await http.post("/api/v1/cap", content=message(bulletin, sender=sender))
    (report,) = told(door)
    text_item = await door.intake.vault.texts.get(f"report-{report.report_id}")
    assert text_item is not None
    assert text_item.fields[OWN_WORDS_FIELD]["alias"].startswith("vigilance@meteo.fr,")


async def test_an_area_that_is_on_no_map_waits_for_a_person(door: Door) -> None:
    async with await sending(door) as http:
        await http.post(
            "/api/v1/cap", content=message(info(area=area(areaDesc="Près du pont", geocode=None)))
        )
    report = last(door)
    assert report.area == report.text_id
    assert (report.zone, report.commune, report.site_id) == ((), None, None)


async def test_rules_of_the_source_complete_the_message(door: Door) -> None:
    rules = [
        {"when": {"event": ".*exercice.*"}, "drop": True},
        {
            "when": {"event": "Coupure.*", "category": "Infra"},
            "type": "outage_power",
            "severity": 3,
            "site": "cen-1",
        },
        {
            "when": {"eventCode.interne": "VG"},
            "type": "weather_alert",
            "phenomenon": "canicule",
            "colour": "rouge",
        },
    ]
    async with await sending(door, rules=rules) as http:
        heat = info(event="Bulletin", eventCode=pair("interne", "VG"))
        await http.post(
            "/api/v1/cap",
            content=message(
                info(event="Un exercice"), info(), heat, info(category="Fire", event="Feu")
            ),
        )
    power, hot, fire = told(door)
    assert (power.type, power.severity, power.site_id) == ("outage_power", 3, "cen-1")
    assert (hot.type, hot.phenomenon, hot.colour) == ("weather_alert", "canicule", "rouge")
    assert fire.type == "fire"


async def test_the_answer_names_an_unknown_value_of_a_code_of_vigie(door: Door) -> None:
    """It was dropped without a word, and the sender believed that the red was out."""
    bulletin = vigilance(
        eventCode=pair("vigie:type", "tempest"),
        parameter=[
            pair("vigie:colour", "violet"),
            pair("awareness_level", "3; orange; Severe"),
            pair("awareness_type", "1; Wind"),
        ],
    )
    async with await sending(door) as http:
        answer = await http.post(
            "/api/v1/cap", content=message(bulletin), headers={"accept-language": "en"}
        )
        plain_answer = await http.post("/api/v1/cap", content=message(identifier="plain"))
    assert answer.status_code == 202
    warnings = answer.json()["warnings"]
    assert [(w["field"], w["code"]) for w in warnings] == [
        ("vigie:type", "unknown"),
        ("vigie:colour", "unknown"),
    ]
    assert "violet" in warnings[1]["detail"]
    report = told(door)[0]
    assert report.type == "weather_alert"
    assert report.colour == "orange", "the colour of MeteoAlarm counts beside one that is unknown"
    text_item = await door.intake.vault.texts.get(f"report-{report.report_id}")
    assert "vigie:colour = violet" in text_item.fields["description"]
    assert "warnings" not in plain_answer.json()


async def test_values_of_cap_are_mapped_to_the_domain(door: Door) -> None:
    words = [
        ({"certainty": "Likely"}, "confirmed", 4),
        ({"certainty": "Possible"}, "unconfirmed", 4),
        ({"certainty": "Unlikely"}, "rumour", 4),
        ({"certainty": "Unknown"}, "unconfirmed", 4),
        ({"severity": "Extreme"}, "confirmed", 5),
        ({"severity": "Moderate"}, "confirmed", 3),
        ({"severity": "Minor"}, "confirmed", 2),
        ({"severity": "Unknown"}, "confirmed", 2),
    ]
    async with await sending(door) as http:
        for n, (changes, certainty, severity) in enumerate(words):
            await http.post("/api/v1/cap", content=message(info(**changes), identifier=f"m{n}"))
            assert (last(door).certainty, last(door).severity) == (certainty, severity)


async def test_an_announcement_acts_in_its_window_and_never_after_its_expiry(door: Door) -> None:
    async with await sending(door) as http:
        coming = vigilance(onset="2026-11-25T18:00:00+01:00", expires="2099-01-01T00:00:00+01:00")
        past = vigilance(
            kind="2; snow-ice",
            onset="2020-01-01T00:00:00+01:00",
            expires="2020-01-02T00:00:00+01:00",
        )
        await http.post("/api/v1/cap", content=message(coming))
        await http.post(
            "/api/v1/cap",
            content=message(past, identifier="vieux", sent="2020-01-01T00:00:00+01:00"),
        )
    announced, expired = told(door)
    sent_at = int(datetime(2026, 11, 25, 7, tzinfo=UTC).timestamp() * 1000)
    assert (announced.occurred_at, announced.effective[0].start, announced.colour) == (
        sent_at,
        sent_at + 10 * 3_600_000,
        "orange",
    )
    assert (expired.colour, expired.estimated_end) == (None, None)
    assert expired.effective[0].end is not None


# ── chains ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_update_replaces_its_event_and_withdraws_dropped_parts(door: Door) -> None:
    async with await sending(door) as http:
        await http.post(
            "/api/v1/cap", content=message(vigilance(), vigilance(kind="3; Thunderstorm"))
        )
        redder = vigilance(colour="4; red; Extreme", severity="Extreme")
        update = message(
            redder,
            identifier="bulletin-2",
            sent="2026-11-25T09:00:00+01:00",
            msgType="Update",
            references=ref("bulletin-1"),
        )
        answers = [await http.post("/api/v1/cap", content=update) for _ in range(2)]
        cancel = bare(
            identifier="bulletin-3",
            sent="2026-11-25T10:00:00+01:00",
            msgType="Cancel",
            note="Fin de l’épisode",
            references=f"{ref('bulletin-1')} {ref('bulletin-2', '2026-11-25T08:00:00-00:00')}",
        )
        await http.post("/api/v1/cap", content=cancel)
    assert [a.json() for a in answers] == [answers[0].json()] * 2
    wind, storm, red, calm, over = told(door)
    assert (red.msg_type, red.references, red.phenomenon, red.colour) == (
        "Update",
        (wind.report_id,),
        "vent",
        "rouge",
    )
    assert (calm.msg_type, calm.references, calm.phenomenon, calm.colour) == (
        "Cancel",
        (storm.report_id,),
        "orages",
        "vert",
    )
    assert (over.msg_type, set(over.references), over.phenomenon, over.colour) == (
        "Cancel",
        {wind.report_id, red.report_id},
        "vent",
        "vert",
    )


TOMORROW = {"colour": "2; yellow; Moderate", "onset": "2099-11-25T08:00:00+01:00"}


async def test_tomorrow_s_yellow_takes_nothing_from_today_s_orange(door: Door) -> None:
    """A colour is in force when declared. The gravest of several periods counts, in any order."""
    async with await sending(door) as http:
        await http.post("/api/v1/cap", content=message(vigilance(), vigilance(**TOMORROW)))
        await http.post(
            "/api/v1/cap",
            content=message(
                vigilance(**TOMORROW),
                vigilance(),
                vigilance(kind="3; Thunderstorm"),
                identifier="b2",
            ),
        )
    assert [(m.phenomenon, m.colour) for m in told(door)] == [
        ("vent", "orange"),
        ("vent", None),
        ("vent", None),
        ("vent", "orange"),
        ("orages", "orange"),
    ]


async def test_a_period_that_is_withdrawn_is_one_of_its_phenomenon(door: Door) -> None:
    """It returns to green unless the message still declares a colour for it."""
    storm = info(category="Met", event="Tempête")
    async with await sending(door) as http:
        await http.post("/api/v1/cap", content=message(vigilance(), vigilance(**TOMORROW), storm))
        update = message(
            vigilance(),
            identifier="b2",
            sent="2026-11-25T09:00:00+01:00",
            msgType="Update",
            references=ref("bulletin-1"),
        )
        await http.post("/api/v1/cap", content=update)
        over = bare(
            identifier="b3",
            sent="2026-11-25T10:00:00+01:00",
            msgType="Cancel",
            references=ref("b2", "2026-11-25T09:00:00+01:00"),
        )
        await http.post("/api/v1/cap", content=over)
    *_, today, tomorrow, other, end = told(door)
    assert [(m.msg_type, m.phenomenon, m.colour) for m in (today, tomorrow, other, end)] == [
        ("Update", "vent", "orange"),
        ("Cancel", "vent", None),
        ("Cancel", None, None),
        ("Cancel", "vent", "vert"),
    ]


async def test_a_cancel_of_an_unknown_message_needs_an_area_to_report(door: Door) -> None:
    async with await sending(door) as http:
        nothing = await http.post(
            "/api/v1/cap", content=bare(msgType="Cancel", references=ref("inconnu"))
        )
        assert (nothing.status_code, nothing.json()["reports"]) == (202, [])
        calm = vigilance(colour="2; yellow; Moderate", severity="Moderate")
        await http.post(
            "/api/v1/cap",
            content=message(calm, identifier="b", msgType="Cancel", references=ref("inconnu")),
        )
    (report,) = told(door)
    assert (report.msg_type, report.references, report.colour) == ("Cancel", (), "jaune")


async def test_a_cancellation_raises_no_vigilance(door: Door) -> None:
    """The alert was sent before this source was connected; its block is repeated unchanged."""
    red = vigilance(colour="4; red; Extreme")
    async with await sending(door) as http:
        await http.post(
            "/api/v1/cap",
            content=message(red, identifier="b", msgType="Cancel", references=ref("inconnu")),
        )
        over = vigilance(colour="4; red; Extreme", responseType="AllClear")
        await http.post(
            "/api/v1/cap",
            content=message(over, identifier="c", msgType="Cancel", references=ref("inconnu")),
        )
        await http.post(
            "/api/v1/cap",
            content=message(over, identifier="d", msgType="Update", references=ref("autre")),
        )
    assert [(m.msg_type, m.phenomenon, m.colour) for m in told(door)] == [
        ("Cancel", "vent", None),
        ("Cancel", "vent", "vert"),
        ("Cancel", "vent", "vert"),
    ]


async def test_a_message_replaced_before_its_arrival_is_ignored(door: Door) -> None:
    """Feeds list the newest message first, so a sender in that order ends with outdated ones."""
    nine, ten = "2026-11-25T09:00:00+01:00", "2026-11-25T10:00:00+01:00"
    first = message(vigilance(colour="4; red; Extreme"))
    second = message(
        vigilance(), identifier="b2", sent=nine, msgType="Update", references=ref("bulletin-1")
    )
    third = message(
        vigilance(colour="2; yellow; Moderate"),
        identifier="b3",
        sent=ten,
        msgType="Cancel",
        references=f"{ref('bulletin-1')} {ref('b2', nine)}",
    )
    async with await sending(door) as http:
        answers = [
            await http.post("/api/v1/cap", content=body) for body in (third, second, first, third)
        ]
        other = await http.post(
            "/api/v1/cap", content=message(vigilance(kind="3; Thunderstorm"), identifier="b4")
        )
    assert [len(a.json()["reports"]) for a in answers] == [1, 0, 0, 1]
    assert "plus récent" in answers[1].json()["detail"]
    assert (answers[3].json(), len(other.json()["reports"])) == (answers[0].json(), 1)


async def test_a_message_received_before_its_withdrawal_keeps_its_answer(door: Door) -> None:
    async with await sending(door) as http:
        first = await http.post("/api/v1/cap", content=message(vigilance()))
        await http.post(
            "/api/v1/cap",
            content=bare(
                identifier="b2",
                sent="2026-11-25T09:00:00+01:00",
                msgType="Cancel",
                references=ref("bulletin-1"),
            ),
        )
        again = await http.post("/api/v1/cap", content=message(vigilance()))
    assert (again.json(), len(told(door))) == (first.json(), 2)


async def test_an_acknowledgement_is_noted_on_its_message(door: Door) -> None:
    async with await sending(door) as http:
        await http.post("/api/v1/cap", content=message())
        await http.post(
            "/api/v1/cap",
            content=bare(identifier="ok", msgType="Ack", references=ref("bulletin-1")),
        )
        assert (
            await http.post(
                "/api/v1/cap",
                content=bare(identifier="ko", msgType="Error", references=ref("autre")),
            )
        ).json()["reports"] == []
    first, answer = told(door)
    assert (answer.type, answer.references) == ("info", (first.report_id,))


# ── exercises, tests, drafts ─────────────────────────────────────────────────────────────────────────────────────────


async def test_an_exercise_goes_to_the_realm_of_its_source_and_never_to_a_live_one(
    door: Door,
) -> None:
    async with await sending(door, name="avec", exercise_realm="92~ex-crue") as http:
        answer = await http.post("/api/v1/cap", content=message(status="Exercise"))
        assert (answer.status_code, answer.json()["realm"]) == (202, "92~ex-crue")
    async with await sending(door, name="sans") as http:
        refused = await http.post("/api/v1/cap", content=message(status="Exercise"))
        live = await http.post("/api/v1/cap?realm=92", content=message(status="Exercise"))
        response = await http.post(
            "/api/v1/cap?realm=92~ex-autre", content=message(status="Exercise")
        )
    assert (refused.status_code, refused.json()["errors"][0]["field"], refused.json()["code"]) == (
        422,
        "/alert/status",
        "status_realm",
    )
    assert "territoire d’exercice" in refused.json()["detail"]
    assert (live.status_code, response.json()["realm"]) == (422, "92~ex-autre")
    assert [realm for realm, *_ in door.inputs.appended] == ["92~ex-crue", "92~ex-autre"]


async def test_a_refused_exercise_message_is_replayed_into_the_exercise(door: Door) -> None:
    async with await sending(door, scope={"types": ["weather_alert"]}) as http:
        response = await http.post(
            "/api/v1/cap?realm=92~ex-7&token=x", content=message(vigilance(), info())
        )
    assert (response.status_code, [realm for realm, *_ in door.inputs.appended]) == (
        202,
        ["92~ex-7"],
    )
    refused_message = door.intake.refused._queue.get_nowait()
    assert (refused_message.problem.code, refused_message.path) == (
        "out_of_scope",
        "/api/v1/cap?realm=92~ex-7&token=***",
    )
    again = await offered_again(door, refused_message)
    assert [r["realm"] for r in again.json()["reports"]] == ["92~ex-7"]


async def test_messages_other_than_alerts_are_accepted_without_a_report(door: Door) -> None:
    async with await sending(door) as http:
        for status in ("Test", "System", "Draft"):
            answer = await http.post(
                "/api/v1/cap", content=message(status=status), headers={"accept-language": "en"}
            )
            assert (answer.status_code, answer.json()["reports"]) == (202, [])
            assert answer.json()["detail"].startswith(status.lower())
    assert told(door) == []


async def test_settings_of_cap_are_refused_for_other_sources(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        for wrong in (
            {"dialect": "generic", "exercise_realm": "92~ex-1"},
            {"dialect": "cap", "exercise_realm": "92"},
            {"dialect": "cap", "exercise_realm": "?"},
            {"dialect": "cap", "certificates": ["x"]},
        ):
            assert (
                await http.post("/api/v1/sources", json={"name": "s"} | wrong)
            ).status_code == 422


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────


def signer(name: str) -> tuple[Any, str]:
    """Create a key and its certificate."""
    key, subject, now = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        datetime.now(UTC),
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, made.public_bytes(serialization.Encoding.PEM).decode()


def signed(body: bytes, key: Any, pem: str) -> bytes:
    root = XMLSigner(method=methods.enveloped, signature_algorithm="ecdsa-sha256").sign(
        etree.fromstring(body), key=key, cert=pem
    )
    return bytes(etree.tostring(root))


async def test_a_signature_is_judged_by_the_pinned_certificates_and_shown(door: Door) -> None:
    (key, pem), (other, other_pem) = signer("météo"), signer("quelqu’un")
    good = signed(message(), key, pem)
    async with await sending(door, certificates=[pem]) as http:
        bodies = {
            "valid": good,
            "unsigned": message(identifier="b2"),
            "invalid": signed(message(identifier="b3"), other, other_pem),
            "tampered": good.replace(b"bulletin-1", b"bulletin-9"),
        }
        for body in bodies.values():
            assert (await http.post("/api/v1/cap", content=body)).status_code == 202
    async with await sending(door, name="sans") as http:
        await http.post("/api/v1/cap", content=good)
    assert [(r.signature, r.certainty.value) for r in told(door)] == [
        ("valid", "confirmed"),
        ("unsigned", "unconfirmed"),
        ("invalid", "unconfirmed"),
        ("invalid", "unconfirmed"),
        ("unchecked", "confirmed"),
    ]


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_names_the_element_and_is_kept_with_its_bytes(door: Door) -> None:
    body = message(info(severity="High"))
    async with await sending(door, name="operateur") as http:
        answer = await http.post("/api/v1/cap", content=body, headers={"accept-language": "en"})
        json = await http.post(
            "/api/v1/cap", content=b"{}", headers={"content-type": "application/json"}
        )
    assert (answer.status_code, json.status_code) == (422, 415)
    (fault,) = answer.json()["errors"]
    assert fault == {
        "field": "/alert/info/severity",
        "code": "enum",
        "detail": "line 14: possible values: Extreme, Severe, Moderate, Minor, Unknown",
    }
    refused_message = door.intake.refused._queue.get_nowait()
    assert (
        refused_message.body,
        refused_message.dialect,
        refused_message.path,
        refused_message.principal.label,
    ) == (
        body,
        "cap",
        "/api/v1/cap",
        "operateur",
    )
    assert told(door) == []


async def test_a_source_reports_only_within_its_scope(door: Door) -> None:
    async with await sending(door, scope={"types": ["weather_alert"]}) as http:
        assert (await http.post("/api/v1/cap", content=message())).status_code == 403
        assert (
            await http.post("/api/v1/cap", content=message(vigilance(), identifier="v"))
        ).status_code == 202
    async with await door.as_(Role.SOURCE, scope=Scope(realms=("92~ex-1",))) as http:
        assert (await http.post("/api/v1/cap", content=message(), headers=XML)).json()[
            "realm"
        ] == "92~ex-1"
        assert (
            await http.post("/api/v1/cap?realm=92", content=message(), headers=XML)
        ).status_code == 403


class _Trap(http.server.BaseHTTPRequestHandler):
    """Notes every request."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """Run a loopback server that must not be called; return its address and its requests."""
    handler = type("Trap", (_Trap,), {"seen": []})
    with serving(handler) as url:
        yield url, handler.seen


async def test_no_entity_dtd_or_schema_location_touches_a_file_or_the_network(
    door: Door, trap: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, requests = trap
    secret = tmp_path / "secret"
    secret.write_text("un-secret-bien-gardé")
    laughs = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    prologs = [
        f'<!DOCTYPE alert SYSTEM "{address}/dtd">',
        f'<!DOCTYPE alert [<!ENTITY x SYSTEM "file://{secret}">]>',
        f'<!DOCTYPE alert [<!ENTITY x SYSTEM "{address}/entity">]>',
        f'<!DOCTYPE alert [<!ENTITY % x SYSTEM "{address}/parameter"> %x;]>',
        f"<!DOCTYPE alert [{laughs}]>",
        "<!DOCTYPE alert>",
        '<!DOCTYPE alert PUBLIC "-//X//Y" "http://127.0.0.1:9/x">',
    ]
    body = message().partition(b"?>")[2].decode()
    async with await sending(door) as http:
        for prolog in prologs:
            for entity in ("&x;", "&j;", "x"):
                answer = await http.post(
                    "/api/v1/cap", content=(prolog + body.replace("Nanterre", entity)).encode()
                )
                assert answer.status_code == 422, prolog
                assert (answer.json()["errors"][0]["code"], "bien-gardé" in answer.text) == (
                    "dtd",
                    False,
                )
        located = message().replace(
            b"<alert ",
            b'<alert xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xi="http://www.w3.org/2001/XInclude" '
            b'xsi:schemaLocation="urn:oasis:names:tc:emergency:cap:1.2 '
            + address.encode()
            + b'/cap.xsd" ',
        )
        assert (await http.post("/api/v1/cap", content=located)).status_code == 202
        included = located.replace(
            b"<info>", f'<xi:include href="file://{secret}"/><info>'.encode(), 1
        )
        assert (await http.post("/api/v1/cap", content=included)).status_code == 422
    assert requests == []


async def test_every_situation_passes_the_door_and_mutations_are_never_an_error_of_ours(
    door: Door,
) -> None:
    async with await sending(door, exercise_realm="92~ex-1") as http:
        for make in SITUATIONS.values():
            body = make()
            assert (await http.post("/api/v1/cap", content=body)).status_code == 202
            for n in range(0, len(body), 97):
                for spoilt in (
                    body[:n],
                    body[:n] + b"\x00" + body[n:],
                    body[:n] + body[n + 5 :],
                    body[:n] + b"9" + body[n + 1 :],
                ):
                    answer = await http.post("/api/v1/cap", content=spoilt)
                    assert answer.status_code in (202, 422), (answer.status_code, answer.text)
