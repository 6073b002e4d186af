"""Silent test of the channels in the monthly drill: request and result. Rule D38."""

from __future__ import annotations

from schemas.delivery import ChannelsProbed, ProbeOutcome, ProbeRow
from schemas.oncall import LaddersDrilled
from schemas.realms import is_live
from services.delivery.decision import DeliveryDecision


def decide_channel_probe(draft: DeliveryDecision, word: LaddersDrilled | ProbeOutcome) -> None:
    """Record the request for a probe or its outcome; a simulated realm has no channels."""
    if not is_live(draft.state.realm):
        return
    match word:
        case LaddersDrilled(row=drill):
            row = ProbeRow(id=drill.id, asked_at=draft.now)
        case ProbeOutcome(drill=id, asked_at=asked_at, channels=channels):
            row = ProbeRow(id=id, asked_at=asked_at, done_at=draft.now, channels=channels)
    draft.emit(ChannelsProbed(row=row))
