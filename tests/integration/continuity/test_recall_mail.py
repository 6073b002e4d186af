"""Orders to other sites and their end are mails to the managers of both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from schemas.base import MINUTE_MS, Instant
from schemas.delivery import NotificationRow
from schemas.oncall import NoteReachability, Reach, ReachRow
from schemas.reassignment import ApproveReassignments, ProposalState
from schemas.words import Channel
from services.console.web import times
from services.continuity.state import list_proposal_lines
from services.delivery.channels.base import Outgoing
from services.delivery.channels.email import EmailDriver
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.scenarios.told import last_rows, text_of
from tests.shipped import territory

HIT = "cen-1"
OWN_PLACES = (None, "telework", HIT)
PLANNER_WAITS_MIN = 3
"""Minutes from a change to the question to the planner: `attente_min` of escalade.yaml."""
TEMPLATES = ("reassignment_order", "reassignment_over")
ORDER, END = "ordre de réaffectation", "fin de réaffectation"


class Mailbox:
    """A relay on loopback that keeps every mail, by its recipient."""

    def __init__(self) -> None:
        self.subjects: dict[str, list[str]] = {}
        self.url = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        for recipient in envelope.rcpt_tos:
            person = recipient.partition("@")[0]
            self.subjects.setdefault(person, []).append(str(mail["Subject"]))
        return "250 2.0.0 queued"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box, loop = Mailbox(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(box, hostname="relay.example.net", loop=loop), "127.0.0.1", 0
    )
    box.url = "smtp://{}:{}".format(*server.sockets[0].getsockname())
    yield box
    server.close()


def report(player: MemoryPlayer, type: str, severity: int, lost: int, at: Instant) -> None:
    """Report the closure or the reopening of the headquarters."""
    body = {
        "site_id": HIT,
        "type": type,
        "severity": severity,
        "capacity_lost_pct": lost,
        "occurred_at": times.of(at).isoformat(),
        "source": {"name": "supervision"},
    }
    player.report(type, body, at)


def approve_lines_to_other_sites(player: MemoryPlayer, at: Instant) -> set[str]:
    """Approve the lines that lead to another site; return the managers of both ends."""
    state = player.system.services["continuity"].state(player.realm)
    (proposal,) = (row for row in state.proposals.values() if row.state is ProposalState.OPEN)
    lines = [
        line for line in list_proposal_lines(state, proposal.id) if line.place not in OWN_PLACES
    ]
    assert lines
    approval = ApproveReassignments(
        proposal=proposal.id,
        lines=tuple(line.id for line in lines),
        author="dgs",
        role="director",
    )
    player.system.feed("continuity", player.realm, approval, id="approval", at=at)
    player.system.step(player.realm, at)
    return {f"rs-{line.place}" for line in lines} | {f"rs-{HIT}"}


def list_orders(player: MemoryPlayer) -> list[NotificationRow]:
    """List the messages about the reassignment, in the order of their plans."""
    rows = [row for row in last_rows(player) if row.template in TEMPLATES]
    return sorted(rows, key=lambda row: row.planned_at)


async def send_mails(driver: EmailDriver, realm: str, rows: list[NotificationRow]) -> None:
    """Send the text of each message to its recipient, as the sender does."""
    for row in rows:
        (attempt,) = row.attempts
        assert attempt.channel is Channel.EMAIL
        outgoing = Outgoing(
            realm=realm,
            row=row,
            attempt=attempt.id,
            number=attempt.number,
            possible_duplicate=False,
            address=f"{row.person}@example.org",
            text=text_of(row),
            returns_url="",
        )
        assert (await driver.call(outgoing, 5)).outcome == "accepted"


async def test_both_ends_hear_at_once_that_a_reassignment_is_over(mailbox: Mailbox) -> None:
    """The deciders and the planner run in memory; the mails leave for a real relay."""
    player = MemoryPlayer(scenario("S04"), "92~ex-over", planner=True)
    now = player.played.start
    report(player, "closure", 5, 100, now)
    now += PLANNER_WAITS_MIN * MINUTE_MS
    player.system.step(player.realm, now)
    people = [f"rs-{site.id}" for site in territory().sites]
    by_mail = (Reach(channel=Channel.EMAIL, verified_at=now),)
    for first in range(0, len(people), 200):
        reachability = NoteReachability(
            author="dgs",
            role="admin",
            people=tuple(ReachRow(id=p, points=by_mail) for p in people[first : first + 200]),
        )
        player.system.feed("alerts", player.realm, reachability, id=f"reach-{first}", at=now)

    managers = approve_lines_to_other_sites(player, now)
    driver = EmailDriver(mailbox.url, "vigie@example.net")
    orders = list_orders(player)
    await send_mails(driver, player.realm, orders)
    assert mailbox.subjects.keys() == managers
    assert all(ORDER in subject for (subject,) in mailbox.subjects.values())

    now += 2 * MINUTE_MS
    report(player, "reopening", 1, 0, now)
    now += PLANNER_WAITS_MIN * MINUTE_MS
    player.system.step(player.realm, now)
    ends = list_orders(player)[len(orders) :]
    assert {row.attempts[0].granted_at for row in ends} == {now}, "no digest holds them back"
    await send_mails(driver, player.realm, ends)
    assert mailbox.subjects.keys() == managers
    assert all(END in end for _order, end in mailbox.subjects.values())
