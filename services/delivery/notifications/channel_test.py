"""Silent test of the channels in the monthly drill: request and result. Rule D38. Pure."""

from __future__ import annotations

from schemas.base import Fact, Instant
from schemas.delivery import ChannelsProbed, ProbeOutcome, ProbeRow
from schemas.oncall import LaddersDrilled
from schemas.realms import is_live


def decide_channel_probe(
    realm: str, word: LaddersDrilled | ProbeOutcome, now: Instant
) -> list[Fact]:
    """Record the request for a probe or its outcome; a simulated realm has no channels."""
    if not is_live(realm):
        return []
    match word:
        case LaddersDrilled(row=drill):
            return [ChannelsProbed(row=ProbeRow(id=drill.id, asked_at=now))]
        case ProbeOutcome(drill=id, asked_at=asked_at, channels=channels):
            return [
                ChannelsProbed(
                    row=ProbeRow(id=id, asked_at=asked_at, done_at=now, channels=channels)
                )
            ]
