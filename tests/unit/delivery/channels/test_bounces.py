"""Bounces name their attempt and its result; forged bounces are ignored."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.channels.email import Bounce, EmailDriver, EmailSettings, lint, read_bounce
from tests.integration.delivery.outgoing import outgoing

TOKEN = "AeQ_" + "x" * 120 + "-9"


def sent() -> bytes:
    """Return one of our mails as the relay received it."""
    made = outgoing("gone@example.org", returns_url=f"https://vigie.example/r/{TOKEN}")
    return EmailDriver("smtp://localhost", "vigie@example.net").message(made).as_bytes(policy=SMTP)


def report(action: str, status: str, *, full: bool, original: bytes | None = None) -> bytes:
    """Build an RFC 3464 report like Postfix (`full`) or Exchange (headers alone)."""
    mail = original if original is not None else sent()
    returned = mail if full else mail.split(b"\r\n\r\n")[0] + b"\r\n"
    kind = b"message/rfc822" if full else b"text/rfc822-headers"
    fields = f"Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; gone@example.org\r\nAction: {action}\r\nStatus: {status}\r\n"
    return b"\r\n".join(
        (
            b"From: MAILER-DAEMON@mx.example.org",
            b"To: vigie@example.net",
            b"Subject: Undelivered Mail Returned to Sender",
            b"MIME-Version: 1.0",
            b'Content-Type: multipart/report; report-type=delivery-status; boundary="B"',
            b"",
            b"--B",
            b"Content-Type: text/plain",
            b"",
            b"I'm sorry to have to inform you",
            b"--B",
            b"Content-Type: message/delivery-status",
            b"",
            fields.encode(),
            b"--B",
            b"Content-Type: " + kind,
            b"",
            returned,
            b"--B--",
            b"",
        )
    )


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("action", "status", "state", "error"),
    [
        ("failed", "5.1.1", "failed", "smtp_5.1.1"),
        ("failed", "x", "failed", "smtp_bounced"),
        ("delayed", "4.4.1", None, None),
        ("relayed", "2.0.0", None, None),
        ("delivered", "2.0.0", "delivered", None),
    ],
)
def test_delivery_reports_give_the_attempt_and_its_result(
    full: bool, action: str, status: str, state: str, error: str
) -> None:
    assert read_bounce(report(action, status, full=full)) == Bounce(TOKEN, state, error)  # type: ignore[arg-type]


def test_the_token_travels_in_plain_letters_that_relays_may_fold() -> None:
    head = sent().split(b"\r\n\r\n")[0]
    assert b"X-Vigie-Returns: =?" not in head
    assert max(len(line) for line in head.split(b"\r\n")) <= 78


def test_mail_that_is_no_report_or_not_ours_is_none() -> None:
    vacation = EmailMessage()
    vacation["Subject"] = "Absent"
    vacation.set_content("Je suis en congé.")
    assert read_bounce(vacation.as_bytes()) is None
    assert read_bounce(sent()) is None
    assert (
        read_bounce(report("failed", "5.1.1", full=True, original=b"Subject: other\r\n\r\nx"))
        is None
    )


@given(st.binary(max_size=400))
def test_no_bytes_break_it(raw: bytes) -> None:
    read_bounce(raw)
    read_bounce(raw + report("failed", "5.1.1", full=False)[:300])


def test_the_linter_keeps_spf_whole() -> None:
    def found(**values: str) -> list[str]:
        return [f.variable for f in lint(EmailSettings(**values))]  # type: ignore[arg-type]

    good = {"smtp_url": "smtp+starttls://relay.example", "mail_from": "vigie@example.net"}
    assert found(**good) == []
    assert found(**good, mail_bounces="bounces@elsewhere.example") == ["VIGIE_MAIL_BOUNCES"]
    assert found(smtp_url="smtp://u:p@relay.example") == [
        "VIGIE_MAIL_FROM",
        "VIGIE_SMTP_URL",
        "VIGIE_SMTP_URL",
    ]
