"""E-mails of listed and genuine senders become reports; all others wait for a person."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from services.intake.integrations.mail import judge_sender, read_mail
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import reports, source

SERVER = "mx.hauts-de-seine.fr"
GENUINE = f"{SERVER}; dmarc=pass (p=reject) header.from=enedis.fr"
RULES = [
    {
        "when": {"authserv": SERVER, "from": "alertes@enedis\\.fr", "subject": ".*rétabli.*"},
        "state": "closed",
    },
    {"when": {"authserv": SERVER, "from": "alertes@enedis\\.fr"}, "severity": 3},
    {"when": {"subject": "publicité"}, "drop": True},
]


def write_mail(
    *,
    id: str = "1@enedis.fr",
    sender: str = "Enedis <alertes@enedis.fr>",
    results: tuple[str, ...] = (GENUINE,),
    subject: str = "Poste source hors service",
    kind: str = "text/plain; charset=utf-8",
    body: str = "Coupure en cours à Nanterre.",
    headers: tuple[str, ...] = (),
) -> bytes:
    lines = [
        *(f"Authentication-Results: {one}" for one in results),
        f"From: {sender}",
        f"Subject: {subject}",
        f"Message-ID: <{id}>",
        "Date: Thu, 11 Feb 2027 09:40:00 +0100",
        "MIME-Version: 1.0",
        f"Content-Type: {kind}",
        *headers,
        "",
        body,
    ]
    return "\r\n".join(lines).encode()


async def post(door: Door, key: str, mail: bytes) -> Any:
    async with door.client(**{"X-Token": key, "Content-Type": "message/rfc822"}) as http:
        return await http.post("/webhooks/mail", content=mail)


async def register(door: Door, rules: list[dict[str, Any]] | None = None) -> str:
    made = await source(door, dialect="mail", type="outage_power", rules=rules or RULES)
    return str(made["key"])


async def test_a_mail_opens_one_trouble_and_a_reply_ends_it(door: Door) -> None:
    key = await register(door)
    for _ in range(2):
        answer = await post(door, key, write_mail())
        assert (answer.status_code, answer.json()) == (200, {"signals": 1})
    end = write_mail(
        id="2@enedis.fr",
        subject="Re: Poste source rétabli",
        headers=("References: <1@enedis.fr>", "In-Reply-To: <1@enedis.fr>"),
    )
    assert (await post(door, key, end)).status_code == 200
    assert [(kind, severity) for kind, _, severity in reports(door)] == [
        ("outage_power", 3),
        ("reopening", 1),
    ]
    log = str(door.inputs.appended)
    assert "Nanterre" not in log
    assert "alertes@" not in log


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "alertes@ened1s.fr"},
        {"sender": "alertes@enedis.fr, autre@enedis.fr"},
        {"sender": '"alertes@enedis.fr" <autre@example.org>'},
        {"results": ()},
        {"results": (f"{SERVER}; dmarc=fail header.from=enedis.fr; spf=pass",)},
        {"results": (f"{SERVER}; dmarc=pass header.from=example.org",)},
        {"results": (f"{SERVER}; spf=pass smtp.mailfrom=bounce@example.org",)},
        {"results": (f"{SERVER}; dkim=none; spf=softfail smtp.mailfrom=alertes@enedis.fr",)},
        {"results": ("mx.example.org; dmarc=pass header.from=enedis.fr", GENUINE)},
        {"results": (f"{SERVER}; none (dmarc=pass header.from=enedis.fr)",)},
        {"kind": "text/html", "body": "<p>Coupure</p>"},
        {"body": " "},
        {"headers": ("From: alertes@enedis.fr",)},
    ],
)
async def test_another_sender_or_no_plain_text_is_refused(
    changes: dict[str, Any], door: Door
) -> None:
    key = await register(door)
    answer = await post(door, key, write_mail(**changes))
    assert answer.status_code == 422, answer.text
    assert reports(door) == []


@pytest.mark.parametrize(
    "when",
    [
        {"from": "alertes@enedis\\.fr"},
        {"authserv": SERVER},
        {"authserv": SERVER, "from": ".*"},
        {"authserv": SERVER, "from": ".*@.*"},
    ],
)
async def test_a_rule_without_a_list_admits_no_mail(when: dict[str, str], door: Door) -> None:
    key = await register(door, [{"when": when}])
    assert (await post(door, key, write_mail())).status_code == 422
    assert reports(door) == []


async def test_a_rule_may_drop_mails_of_anybody(door: Door) -> None:
    key = await register(door)
    mail = write_mail(sender="shop@example.org", subject="Publicité", results=())
    assert (await post(door, key, mail)).status_code == 200
    assert reports(door) == []


HIDDEN_FAILURE = (
    'mx; dkim=none header.i="("@c.org; dmarc=fail header.from=enedis.fr; '
    'spf=pass smtp.mailfrom="); dmarc=pass header.from=enedis.fr; "@c.org'
)


@pytest.mark.parametrize(
    ("header", "passed"),
    [
        ("mx; dkim=pass header.d=enedis.fr", True),
        ("mx; dkim=pass header.i=@enedis.fr; spf=fail", True),
        ("mx; spf=pass smtp.mailfrom=bounce@enedis.fr", True),
        ("mx 1; DKIM=Pass (2048-bit key; x) header.d=ENEDIS.FR", True),
        ("mx; dkim=pass header.d=fr", False),
        ("mx; dkim=pass header.d=notenedis.fr", False),
        ("mx; dkim=pass", False),
        ("mx; dmarc=pass header.from=enedis.fr; dmarc=fail header.from=enedis.fr", False),
        ("mx; none", False),
        ("", False),
        ('mx; dkim=pass header.d="enedis.fr"', True),
        ('mx; dkim=pass reason="good; (rsa)" header.d=enedis.fr', True),
        ('mx; spf=pass smtp.mailfrom="a@b.fr"@enedis.fr', True),
        ("mx; dkim=pass (a (nested\\) one) here) header.d=enedis.fr", True),
        ('mx; spf=pass smtp.mailfrom="a; dmarc=pass header.from=enedis.fr; b"@c.org', False),
        ('mx; spf=pass smtp.mailfrom="a smtp.mailfrom=enedis.fr b"@c.org', False),
        ('mx; dkim=fail header.i="\\"; dkim=pass header.d=enedis.fr; \\""@c.org', False),
        (HIDDEN_FAILURE, False),
        ("mx; spf=pass smtp.mailfrom=a@c.org smtp.helo=header.d=enedis.fr", False),
        ("mx; dmarc=pass header.from=enedis.fr; spf=none (no end", False),
        ('mx; dmarc=pass header.from=enedis.fr; spf=none reason="no end', False),
    ],
)
def test_the_result_of_the_own_server_decides(header: str, passed: bool) -> None:
    assert judge_sender(header, "enedis.fr")[1] is passed


def test_a_parent_domain_vouches_for_the_one_below() -> None:
    assert judge_sender("mx; dkim=pass header.d=gouv.fr", "hauts-de-seine.gouv.fr")[1] is True


def test_the_plain_part_of_a_mail_in_parts_is_read_in_its_encoding() -> None:
    parts = (
        ("text/html; charset=utf-8", "8bit", "<b>non</b>"),
        ("text/plain; charset=iso-8859-1", "quoted-printable", "Coupure =E0 Nanterre"),
    )
    body = "".join(
        f"--x\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n{text}\r\n"
        for kind, coding, text in parts
    )
    body += "--x--"
    mail = read_mail(
        write_mail(
            kind='multipart/alternative; boundary="x"',
            body=body,
            subject="=?utf-8?q?Alerte_=C3=A9lectrique?=",
        )
    )
    assert (mail.text, mail.subject) == ("Coupure à Nanterre", "Alerte électrique")
    assert mail.at is not None
    assert mail.at.hour == 9


LONG = 20_000


@pytest.mark.parametrize(
    "content",
    [
        b"From: " + b"a@b.fr," * LONG + b"a@b.fr\r\n\r\nx",
        b"From: " + b"(" * LONG + b")" * LONG + b" a@b.fr\r\n\r\nx",
        b"From: a@b.fr\r\nAuthentication-Results: " + b"(" * LONG + b")" * LONG + b"\r\n\r\nx",
        b"From: a@b.fr\r\nSubject: " + b"=?utf-8?q?a?= " * LONG + b"\r\n\r\nx",
        b"From: a@b.fr\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        + b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" * LONG,
        b"From: a@b.fr\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        + b"--x\r\n\r\na\r\n" * LONG,
        b"From: a@b.fr\r\nContent-Type: multipart/mixed; boundary=-\r\n\r\n"
        + b"---\r\n\r\na\r\n" * LONG,
        b"From: a@b.fr\r\nContent-Type: text/plain" + b";\r\n a=b" * LONG + b"\r\n\r\nx",
    ],
    ids=["addresses", "comments", "results", "subject", "nested", "parts", "dashes", "parameters"],
)
def test_a_mail_that_would_take_long_is_not_read(content: bytes) -> None:
    begun = process_time()
    with pytest.raises(ValueError, match="too"):
        read_mail(content)
    assert process_time() - begun < 1


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff", b"{}", b"From: x", b"Subject: a\n\nb", b"From: @@@\nDate: x\n\nb"]
)
async def test_junk_is_refused_and_breaks_nothing(content: bytes, door: Door) -> None:
    key = await register(door)
    assert (await post(door, key, content)).status_code in (400, 422)
    assert reports(door) == []
