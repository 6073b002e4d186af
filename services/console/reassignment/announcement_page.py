"""State of the announcements to agents on the reassignment page: missing, drafted or sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.console.resources import CallOut, Proposal

CENTS_PER_EURO = 100


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """Call-outs to the agents of the sites, summed over the approvals of one proposal."""

    untold: int
    """Number of approvals without a drafted message."""
    people: int
    """Number of people in unsent drafts."""
    unreachable: int
    eur: float
    minutes: int
    sent: int
    """Number of people in the call-outs that were sent."""
    handed: int


def sum_announcements(proposal: Proposal, callouts: Iterable[CallOut]) -> AnnouncementState:
    """Sum the announcements of a proposal; `callouts` may be any of the realm."""
    approvals = {d.id for d in proposal.decisions if d.verb == "approve"}
    mine = [c for c in callouts if c.decision in approvals]
    drafts, sent = [c for c in mine if c.state == "draft"], [c for c in mine if c.state != "draft"]
    seconds = max((e.seconds for c in drafts for e in c.estimates), default=0)
    return AnnouncementState(
        untold=len(approvals - {c.decision for c in mine}),
        people=sum(c.people for c in drafts),
        unreachable=sum(c.unreachable for c in drafts),
        eur=sum(c.cost_cents for c in drafts) / CENTS_PER_EURO,
        minutes=max(-(-seconds // 60), 1),
        sent=sum(c.people for c in sent),
        handed=sum(c.handed for c in sent),
    )
