"""E-mail against a real SMTP server is surely accepted, surely refused or in doubt."""

# ruff: noqa: ARG002, ARG005  handlers have the signatures of their servers

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from services.delivery.channels.email import EmailDriver
from services.messages import MessageNames, compose_message, load_phrases
from tests.faults.matrix import proves
from tests.integration.delivery.outgoing import LINK, NOTIFICATION, of_subject, outgoing

TO = "dir-sol@example.org"


class Relay:
    """Handler of aiosmtpd with scripted answers."""

    def __init__(
        self, rcpt: str = "250 OK", data: str = "250 2.0.0 queued", hang: str = ""
    ) -> None:
        self.rcpt, self.data, self.hang = rcpt, data, hang
        self.taken: list[Envelope] = []
        self.dropped = False

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.hang == "rcpt":
            await asyncio.Event().wait()
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.taken.append(envelope)
        if self.hang == "data":
            await asyncio.Event().wait()
        if self.hang == "drop":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return self.data


@pytest.fixture
async def start_relay() -> AsyncIterator[Any]:
    """`await start_relay(relay)` → (host, port) of a running server."""
    servers: list[asyncio.Server] = []

    async def start(relay: Relay, **options: Any) -> tuple[str, int]:
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(
                relay, hostname="relay.example.net", loop=asyncio.get_running_loop(), **options
            ),
            "127.0.0.1",
            0,
        )
        servers.append(server)
        host, port = server.sockets[0].getsockname()
        return str(host), int(port)

    yield start
    for server in servers:
        server.close()


async def test_a_relay_is_tried_without_a_message(start_relay: Any) -> None:
    relay = Relay()
    assert await driver(await start_relay(relay)).probe(10) is None
    assert relay.taken == []
    assert (
        await EmailDriver("smtp://127.0.0.1:1", "vigie@example.net").probe(10) == "smtp_connection"
    )


async def test_a_login_that_is_refused_is_found_by_the_trial(start_relay: Any) -> None:
    def refuse(
        server: SMTP, session: Any, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=False, handled=False)

    at = await start_relay(Relay(), authenticator=refuse, auth_require_tls=False)
    assert str(await driver(at, "u:p@").probe(10)).startswith("smtp_535")


def driver(at: tuple[str, int], login: str = "") -> EmailDriver:
    return EmailDriver(f"smtp://{login}{at[0]}:{at[1]}", "vigie@example.net")


async def test_an_accepted_mail_is_whole(start_relay: Any) -> None:
    relay = Relay()
    result = await driver(await start_relay(relay)).call(outgoing(TO), 5)
    assert (result.outcome, result.provider_id) == ("accepted", f"<{NOTIFICATION}.92@example.net>")
    (envelope,) = relay.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("vigie@example.net", [TO])
    mail = message_from_bytes(envelope.content or b"", policy=default)  # type: ignore[arg-type]
    assert isinstance(mail, EmailMessage)
    assert mail["Message-ID"] == f"<{NOTIFICATION}.92@example.net>"
    assert mail["List-Id"] == "Vigie 92 <92.vigie.example.net>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "Vigie N3 – Incident, tout le département – votre réponse avant 11:10"
    assert mail["References"] == mail["In-Reply-To"] == "<incident.i1.92@example.net>", (
        "mailboxes put the mails of an incident together"
    )
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert LINK in plain.get_content()
    assert f'href="{LINK}"' in html.get_content()


def test_a_folded_subject_keeps_every_space() -> None:
    """«Site central 3(Nanterre-Université)» stood in mailboxes."""
    relay = EmailDriver("smtp://127.0.0.1:1", "vigie@example.net")
    for length in range(1, 60):
        subject = f"Vigie N3 – {'a' * length} agents rappelés, Siège (Nanterre-Université) – crue"
        mail = relay.message(of_subject(TO, subject))
        assert message_from_bytes(mail.as_bytes(), policy=default)["Subject"] == subject


async def test_no_relay_has_to_write_a_mail_anew(start_relay: Any) -> None:
    """Short lines have seven bits, too.

    A relay without 8BITMIME would change the body and break a signature over it (DKIM).
    """
    relay, row = (
        Relay(),
        outgoing(TO).row.model_copy(update={"answer_expected": False, "template": "information"}),
    )
    message = compose_message(row, MessageNames(), load_phrases("fr"), None)
    assert (
        await driver(await start_relay(relay)).call(outgoing(TO, row=row, text=message), 5)
    ).outcome == "accepted"
    content = bytes(relay.taken[0].content or b"")
    assert content.isascii()
    assert b"8bit" not in content
    mail = message_from_bytes(content, policy=default)
    assert isinstance(mail, EmailMessage)
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n") == message.plain()


async def test_the_same_notification_has_the_same_message_id_in_every_attempt(
    start_relay: Any,
) -> None:
    relay = Relay()
    mails = driver(await start_relay(relay))
    first, second = (
        await mails.call(outgoing(TO), 5),
        await mails.call(outgoing(TO, number=2, possible_duplicate=True), 5),
    )
    assert first.provider_id == second.provider_id


@pytest.mark.parametrize(
    ("answers", "error", "retry"),
    [
        ({"rcpt": f"550 5.1.1 <{TO}> user unknown"}, "smtp_550 5.1.1", False),
        ({"rcpt": "450 4.2.0 greylisted"}, "smtp_450 4.2.0", True),
        ({"data": "554 5.7.1 refused"}, "smtp_554 5.7.1", False),
        ({"data": "452 4.3.1 no space"}, "smtp_452 4.3.1", True),
    ],
)
async def test_a_refusal_is_a_failure_with_its_code_and_never_the_address(
    start_relay: Any, answers: Any, error: str, retry: bool
) -> None:
    result = await driver(await start_relay(Relay(**answers))).call(outgoing(TO), 5)
    assert (result.outcome, result.error, result.retry) == ("failed", error, retry)


@proves("provider", "stop", doubled="said")
@pytest.mark.parametrize(
    ("hang", "outcome"), [("rcpt", "failed"), ("data", "ambiguous"), ("drop", "ambiguous")]
)
async def test_silence_before_the_message_is_a_failure_and_after_it_a_doubt(
    start_relay: Any, hang: str, outcome: str
) -> None:
    relay = Relay(hang=hang)
    result = await driver(await start_relay(relay)).call(outgoing(TO), 0.3)
    assert (result.outcome, len(relay.taken)) == (outcome, 0 if outcome == "failed" else 1)


@proves("provider", "kill")
async def test_a_relay_that_is_away_is_a_passing_failure(unused_port: int) -> None:
    result = await driver(("127.0.0.1", unused_port)).call(outgoing(TO), 2)
    assert (result.outcome, result.error, result.retry) == ("failed", "smtp_connection", True)


@pytest.fixture
async def unused_port() -> int:
    """Return a port without a listener."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


@asynccontextmanager
async def _mute() -> AsyncIterator[tuple[str, int]]:
    """Accept connections and send nothing."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda r, w: writers.append(w), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()


async def test_a_relay_that_never_greets_costs_no_more_than_the_time_left() -> None:
    async with _mute() as at:
        result = await driver(at).call(outgoing(TO), 0.2)
    assert (result.outcome, result.retry) == ("failed", True)


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS:UserWarning"
)  # the loopback server of this test
async def test_login_with_the_credentials_of_the_url(start_relay: Any) -> None:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
        assert isinstance(auth, LoginPassword)
        return AuthResult(success=(auth.login, auth.password) == (b"user", b"p@ss"), handled=False)

    relay = Relay()
    at = await start_relay(relay, authenticator=check, auth_required=True, auth_require_tls=False)
    assert (await driver(at, "user:p%40ss@").call(outgoing(TO), 5)).outcome == "accepted"
    wrong = await driver(at, "user:wrong@").call(outgoing(TO), 5)
    assert (wrong.outcome, wrong.error) == ("failed", "smtp_535 5.7.8")


async def test_an_address_that_smtp_cannot_carry_fails_alone(start_relay: Any) -> None:
    result = await driver(await start_relay(Relay())).call(
        outgoing("a\r\nRCPT TO:<b@example.org>"), 5
    )
    assert (result.outcome, result.retry) == ("failed", False)


async def test_tls_is_required_if_the_url_asks_for_it(start_relay: Any) -> None:
    relay = Relay()
    host, port = await start_relay(relay)
    result = await EmailDriver(f"smtp+starttls://{host}:{port}", "vigie@example.net").call(
        outgoing(TO), 5
    )
    assert (result.outcome, relay.taken) == ("failed", [])


async def test_bounces_come_back_to_an_address_of_their_own(start_relay: Any) -> None:
    relay = Relay()
    host, port = await start_relay(relay)
    await EmailDriver(f"smtp://{host}:{port}", "vigie@example.net", "bounces@example.net").call(
        outgoing(TO), 5
    )
    assert relay.taken[0].mail_from == "bounces@example.net"
    assert b"From: Vigie <vigie@example.net>" in bytes(relay.taken[0].content or b"")


async def test_a_greylisted_mail_is_taken_when_it_is_tried_again(start_relay: Any) -> None:
    relay = Relay(rcpt="451 4.7.1 greylisted, try again")
    driver_ = driver(await start_relay(relay))
    first = await driver_.call(outgoing(TO), 5)
    assert (first.outcome, first.error, first.retry) == ("failed", "smtp_451 4.7.1", True)
    relay.rcpt = "250 OK"
    assert (await driver_.call(outgoing(TO, number=2), 5)).outcome == "accepted"
