"""Valid messages of every integration, then cut, reordered, doubled or filled with odd values."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from tests.unit.intake.machines.cap_messages import SQUARE, area, info, message, ref, vigilance

KEY: Final = "0123456789abcdef0123456789abcdef"
NATIVE: Final = {
    "site_id": "col-001",
    "type": "outage_power",
    "severity": 3,
    "occurred_at": "2026-11-24T09:40:00+01:00",
    "headline": "Panne",
    "effective": [{"from": "2026-11-24T09:40:00Z", "to": None}],
    "measure": {"name": "customers_cut", "value": 3},
    "references": ["a"],
    "area": {"type": "Point", "coordinates": [2.2, 48.9]},
}
_ALERT: Final = {
    "status": "firing",
    "labels": {"alertname": "Panne", "severity": "critical"},
    "annotations": {"summary": "Plus de réseau"},
    "startsAt": "2026-11-24T08:00:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://p/graph",
    "fingerprint": "f1",
}
_GROUP: Final = {
    "version": "4",
    "groupKey": "{}",
    "status": "firing",
    "receiver": "vigie",
    "alerts": [_ALERT, _ALERT | {"fingerprint": "f2"}],
}
_EVENT: Final = {
    "specversion": "1.0",
    "id": "1",
    "source": "urn:x",
    "type": "t",
    "time": "2026-11-24T08:00:00Z",
    "data": NATIVE,
}
MAIL_RULES: Final = [{"when": {"authserv": "mx", "from": "a@b\\.fr"}}]
"""Rules of a source of e-mails: it takes mails of listed senders only."""
_MAIL: Final = (
    "Authentication-Results: mx; dmarc=pass header.from=b.fr\r\nFrom: A <a@b.fr>\r\n"
    "Subject: Panne\r\nMessage-ID: <1@b.fr>\r\nDate: Thu, 11 Feb 2027 09:40:00 +0100\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\nbaie 3\r\n"
)
_SOAP: Final = (
    "<?xml version='1.0' encoding='utf-8'?><soapenv:Envelope xmlns:soapenv='http://schemas.xmlsoap.org/soap/envelope/'><soapenv:Body>"
    "<Notification><Version>1.1</Version><Subject>Panne</Subject><MessageType>failure</MessageType><Message>baie 3</Message></Notification>"
    "</soapenv:Body></soapenv:Envelope>"
)
_MULTIPART: Final = '--b\r\nContent-Disposition: form-data; name="summary"\r\n\r\nPanne\r\n--b\r\nContent-Disposition: form-data; name="dedup"\r\n\r\nd\r\n--b--\r\n'


@dataclass(frozen=True)
class Seed:
    """A message that is taken."""

    dialect: str
    path: str
    body: bytes
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def _json(dialect: str, path: str, document: Any, **more: Any) -> Seed:
    return Seed(dialect, path, orjson.dumps(document), **more)


_FORM: Final = "application/x-www-form-urlencoded"
SEEDS: Final = (
    _json("native", "/api/v1/reports", NATIVE),
    _json(
        "native", "/api/v1/reports:batch", {"reports": [NATIVE, NATIVE | {"idempotency_key": "k"}]}
    ),
    _json(
        "pagerduty",
        "/v2/enqueue",
        {
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": "d",
            "payload": {
                "summary": "s",
                "source": "x",
                "severity": "error",
                "timestamp": "2015-07-17T08:42:58.315+0000",
                "custom_details": {"a": 1},
            },
        },
    ),
    _json(
        "pagerduty",
        "/v2/enqueue",
        {"routing_key": KEY, "event_action": "resolve", "dedup_key": "d"},
    ),
    _json("alertmanager", "/webhooks/alertmanager", _GROUP),
    _json(
        "opsgenie",
        "/v2/alerts",
        {
            "message": "m",
            "alias": "a",
            "priority": "P1",
            "details": {"site": "cen-2"},
            "tags": ["x"],
        },
    ),
    _json("opsgenie", "/v2/alerts/a/close", {"source": "x"}),
    _json(
        "goalert",
        "/api/v2/generic/incoming",
        {"summary": "s", "details": "d", "dedup": "k", "meta": {"a": "b"}},
    ),
    Seed(
        "goalert",
        "/api/v2/generic/incoming",
        urlencode({"summary": "s", "action": "close", "dedup": "k"}).encode(),
        _FORM,
    ),
    Seed(
        "goalert",
        "/api/v2/generic/incoming",
        _MULTIPART.encode(),
        "multipart/form-data; boundary=b",
    ),
    _json(
        "goalert",
        "/api/v2/grafana/incoming",
        {"ruleName": "r", "state": "alerting", "ruleId": 3, "message": "m"},
    ),
    _json("goalert", "/api/v2/prometheusalertmanager/incoming", _GROUP),
    _json(
        "apprise",
        "/webhooks/apprise",
        {"version": "1.0", "title": "t", "message": "m", "type": "failure"},
    ),
    Seed("mail", "/webhooks/mail", _MAIL.encode(), "message/rfc822"),
    Seed("apprise", "/webhooks/apprise", _SOAP.encode(), "text/xml; charset=utf-8"),
    _json("cloudevents", "/api/v1/events", _EVENT, kind="application/cloudevents+json"),
    _json(
        "cloudevents",
        "/api/v1/events",
        [_EVENT, _EVENT | {"id": "2"}],
        kind="application/cloudevents-batch+json",
    ),
    _json(
        "cloudevents",
        "/api/v1/events",
        NATIVE,
        headers={"ce-id": "3", "ce-source": "urn:x", "ce-type": "t", "ce-specversion": "1.0"},
    ),
    _json(
        "generic",
        "/webhooks/generic/generic",
        {
            "title": "t",
            "status": "down",
            "level": 3,
            "tags": {"site": "cen-1"},
            "time": 1_795_000_000,
        },
    ),
    _json(
        "sms",
        "/webhooks/sms",
        {
            "results": [
                {
                    "from": "33612345678",
                    "text": "117 ELEC",
                    "messageId": "i",
                    "receivedAt": "2026-11-24T08:00:00Z",
                }
            ]
        },
    ),
    Seed(
        "sms", "/webhooks/sms", urlencode({"From": "0612345678", "Body": "RAS 117"}).encode(), _FORM
    ),
    Seed(
        "cap", "/api/v1/cap", message(vigilance(), vigilance(language="en")), "application/cap+xml"
    ),
    Seed(
        "cap",
        "/api/v1/cap",
        message(
            info(area=area(polygon=SQUARE, circle="48.9,2.2 3")),
            msgType="Update",
            references=ref("b"),
        ),
        "text/xml",
    ),
    _json(
        "poster",
        "/webhooks/poster",
        {"type": "outage_water", "severity": 2, "description": "fuite"},
    ),
)
_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1e308,
    2**63,
    -(2**63),
    0.1,
    "",
    " ",
    "\x00",
    "é" * 3000,
    "\u202e\ufeff",
    "9999-99-99T99:99:99Z",
    "0001-01-01T00:00:00Z",
    "1e999",
    "NaN",
    [],
    {},
    [[]],
    [None] * 50,
    {"": ""},
    {"a": {"b": {"c": []}}},
    "2026-11-24T08:00:00+99:99",
    "../../etc/passwd",
    "%00",
    "{{7*7}}",
)
_BYTES: Final = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b"}",
    b"]",
    b"\\u",
    b"&",
    b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
    b"--b",
    b"\r\n",
    b"=",
    b"%",
)


def mutated(random: Random, seed: Seed) -> bytes:
    """Change the body one to four times: as a document while it is one, else as bytes."""
    body = seed.body
    for _ in range(random.randint(1, 4)):
        body = (
            _document(random, body)
            if "json" in seed.kind and random.random() < 0.6
            else _raw(random, body)
        )
    return body


def _document(random: Random, body: bytes) -> bytes:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _raw(random, body)
    if random.random() < 0.03:
        return orjson.dumps(random.choice(_ODD))
    if random.random() < 0.02:
        return b'{"a":' * 3000 + b"1" + b"}" * 3000
    holder: Any = document
    for _ in range(random.randint(0, 4)):
        within = (
            list(holder.values())
            if isinstance(holder, dict)
            else holder
            if isinstance(holder, list)
            else []
        )
        inner = [v for v in within if isinstance(v, dict | list) and v]
        if not inner:
            break
        holder = random.choice(inner)
    if isinstance(holder, dict) and holder:
        name = random.choice(list(holder))
        match random.randint(0, 3):
            case 0:
                del holder[name]
            case 1:
                holder[str(random.choice(_ODD))[:200]] = holder[name]
            case _:
                holder[name] = random.choice(_ODD)
    elif isinstance(holder, list) and holder:
        holder[random.randrange(len(holder))] = random.choice(_ODD)
    return orjson.dumps(document)


def _raw(random: Random, body: bytes) -> bytes:
    at, end = sorted((random.randint(0, len(body)), random.randint(0, len(body))))
    match random.randint(0, 5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + body[end:]
        case 2:
            return body[:at] + random.choice(_BYTES) + body[at:]
        case 3:
            return body[:end] + body[at:end] * random.randint(1, 20) + body[end:]
        case 4 if body:
            at = random.randrange(len(body))
            return body[:at] + bytes([body[at] ^ (1 << random.randint(0, 7))]) + body[at + 1 :]
        case _:
            return body[:at] + random.randbytes(random.randint(1, 40)) + body[at:]
