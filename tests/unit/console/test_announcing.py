"""Agents of a site learn of a reassignment by count, without names (D58)."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from schemas.reassignment import OrderRow
from schemas.words import Channel
from services.console.i18n import SOURCE, get_translator
from services.console.logbook.facts.reassignment import render_reassignment
from services.console.reassignment.announcement_api import (
    SiteAnnouncement,
    compose_message,
    drop_stopped_announcements,
    find_last_ends,
    find_outdated_drafts,
    merge_orders,
    subtract_ended_lines,
)
from services.console.reassignment.screen import AnnouncementState, sum_announcements
from services.console.resources import CallOut, Estimate, Proposal, ProposalDecision
from tests.unit.console.held import reference
from tests.unit.console.test_agents_page import line

AT = datetime(2027, 11, 14, 4, 15, tzinfo=UTC)


def order(site: str, part: int = 0, **counts: int) -> OrderRow:
    return OrderRow.model_validate(
        {
            "id": f"d-1/{site}/{part}",
            "proposal": "p-1",
            "decision": "d-1",
            "site": site,
            "dispatched_at": part,
        }
        | counts
    )


def test_agents_read_nothing_of_a_move_to_or_from_a_site_under_an_order() -> None:
    """Agents read that they go, while their manager was told to keep them."""
    announcements = merge_orders(
        [order("cen-1", leave=30), order("cen-2", come=30), order("cen-3", leave=5, stay_home=5)]
    )
    moves = [line(("cen-1", "secretaire"), 30, "cen-2", decision="d-1")]

    def list_sites(*barred_sites: str) -> list[str]:
        return [one.site for one in drop_stopped_announcements(announcements, moves, barred_sites)]

    assert list_sites() == ["cen-1", "cen-2", "cen-3"]
    assert list_sites("cen-2") == ["cen-3"]
    assert list_sites("cen-3") == ["cen-1", "cen-2"]


def test_a_refused_order_is_in_no_message_to_the_agents() -> None:
    """Agents of both sites read a number with the agents of a refused order."""
    announcements = merge_orders(
        [order("cen-1", leave=45, stay_home=5), order("cen-2", come=30), order("cen-3", come=10)]
    )
    home = ("cen-1", "secretaire")
    moves = [
        line(home, 30, "cen-2", decision="d-1", state="refused", ended_at=60),
        line(home, 5, "telework", decision="d-1", state="refused", ended_at=50),
        line(home, 10, "cen-3", decision="d-1"),
    ]
    assert subtract_ended_lines(announcements, moves) == [
        SiteAnnouncement("d-1", "cen-1", 10, 0, 0),
        SiteAnnouncement("d-1", "cen-3", 0, 0, 10),
    ]
    assert find_last_ends(moves)["d-1", "cen-1"] == 60, "an older draft is not sent"


def test_the_parts_of_an_order_are_one_message_about_moving_agents() -> None:
    announcements = merge_orders(
        [
            order("cen-1", 1, leave=30, stay_home=10),
            order("cen-1", leave=100, stay_home=60),
            order("cen-2", come=40),
            order("cen-3"),
        ]
    )
    assert announcements == [
        SiteAnnouncement("d-1", "cen-1", 130, 70, 0),
        SiteAnnouncement("d-1", "cen-2", 0, 0, 40),
    ]
    assert len({one.callout for one in announcements}) == 2
    assert merge_orders([order("cen-1", leave=1)])[0].callout == announcements[0].callout, (
        "the same for everybody who asks: nobody is told twice"
    )


def test_the_message_counts_people_without_names() -> None:
    _ = get_translator(SOURCE)
    text = compose_message(SiteAnnouncement("d-1", "cen-1", 130, 70, 0), "Siège", _).replace(
        "\u00a0", " "
    )
    assert text == (
        "Réaffectation décidée, Siège. Agents qui partent travailler ailleurs : 60. Agents qui travaillent à domicile : 70. "
        "Votre responsable de site vous dira si vous êtes concerné ; sans message de sa part, rien ne change pour vous."
    )
    assert "qui viennent : < 3." in compose_message(
        SiteAnnouncement("d-1", "cen-2", 0, 0, 2), "Site 2", _
    ).replace("\u00a0", " "), "few are not counted out"


def test_the_message_gives_start_and_end() -> None:
    """D80: an order of a Sunday night for Monday morning."""
    sunday, monday = (
        int(datetime(2027, 11, day, hour, 15 * (day == 14), tzinfo=UTC).timestamp() * 1000)
        for day, hour in ((14, 2), (15, 7))
    )
    order_fields = {
        "id": "d-1/cen-1/0",
        "proposal": "p-1",
        "decision": "d-1",
        "site": "cen-1",
        "leave": 9,
        "dispatched_at": sunday,
        "starts_at": monday,
    }
    timed_announcement, open_ended = (
        merge_orders([OrderRow.model_validate(order_fields | more)])[0]
        for more in ({"ends_at": monday + 36_000_000}, {})
    )
    _ = get_translator(SOURCE)
    assert "Période : à partir de lundi 8 h 00, jusqu’à lundi 18 h 00." in compose_message(
        timed_announcement, "Siège", _
    ).replace("\u00a0", " ")
    assert "Période : à partir de lundi 8 h 00, jusqu’à nouvel ordre." in compose_message(
        open_ended, "Siège", _
    ).replace("\u00a0", " ")
    assert "Period: from Monday 8:00, until further notice." in compose_message(
        open_ended, "HQ", get_translator("en")
    )


def callout(state: str, decision: str | None, people: int, **more: Any) -> CallOut:
    base_fields = dict.fromkeys(CallOut.model_fields) | dict.fromkeys(
        (
            "level",
            "cost_cents",
            "handed",
            "received",
            "answered",
            "failed",
            "ambiguous",
            "withdrawn",
            "spent_cents",
            "safe",
            "help",
            "away",
            "reminded",
            "unreachable",
        ),
        0,
    )
    estimate = Estimate(channel=Channel.SMS, people=people, seconds=61, cost_cents=people * 4)
    return CallOut.model_validate(
        base_fields
        | {
            "id": f"{state}-{decision}",
            "realm": "92",
            "kind": "callout",
            "state": state,
            "decision": decision,
            "sites": [],
            "danger": False,
            "answer_expected": False,
            "channels": [],
            "by": "p-1",
            "drafted_at": AT,
            "people": people,
            "estimates": [estimate],
            "cost_cents": people * 4,
        }
        | more
    )


def test_the_screen_sums_drafted_and_sent_orders_of_one_proposal() -> None:
    decisions = [
        ProposalDecision(
            id=id, verb=verb, lines=[], agents=3, by="p-1", role="dgs", at=AT, rules=[]
        )
        for id, verb in (
            ("d-1", "approve"),
            ("d-2", "approve"),
            ("d-3", "decline"),
            ("d-4", "approve"),
        )
    ]
    proposal = Proposal.model_construct(decisions=decisions)
    calls = [
        callout("draft", "d-1", 100, unreachable=7),
        callout("running", "d-2", 50, handed=20),
        callout("done", "other", 9),
        callout("draft", None, 9),
    ]
    assert sum_announcements(proposal, calls) == AnnouncementState(
        untold=1,
        people=100,
        outdated=0,
        unreachable=7,
        eur=4.0,
        minutes=2,
        sent_count=50,
        delivered_count=20,
    )
    again = sum_announcements(proposal, calls, outdated={calls[0].id})
    assert (again.people, again.outdated) == (0, 1), "made again before it is sent"
    over = sum_announcements(proposal, calls, ended={calls[0].id})
    assert (over.people, over.outdated) == (0, 0)


def test_a_draft_from_before_a_refusal_is_outdated() -> None:
    announcements = merge_orders([order("cen-1", leave=45)])
    refused = line(("cen-1", "secretaire"), 30, "cen-2", decision="d-1", state="refused")
    draft = callout("draft", "d-1", 10, id=announcements[0].callout, drafted_at=AT)
    at = int(AT.timestamp() * 1000)
    for ended_at, outdated in ((at, {draft.id}), (at - 1, set())):
        lines = [refused.model_copy(update={"ended_at": ended_at})]
        assert find_outdated_drafts(announcements, lines, [draft]) == outdated


def test_the_line_of_a_refused_order_counts_agents() -> None:
    """«11 éducateur de Siège» is no French."""
    record: Any = SimpleNamespace(
        values={"agents": 11, "metier": "educateur"}, change="refused", site="cen-1"
    )
    text = render_reassignment(record, reference().names, get_translator(SOURCE))
    assert text.replace("\u00a0", " ").startswith(
        "Ordre de réaffectation refusé : 11 agents (éducateur) de "
    )
