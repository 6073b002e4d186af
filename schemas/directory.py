"""What the `directory` topic holds per person token, encrypted (DOMAIN D58): the only place with names and addresses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Instant, Model
from schemas.oncall import DAY_MIN, Reach, ReachRow
from schemas.words import Channel

_Minute = Annotated[int, Field(ge=0, le=DAY_MIN)]


class ContactPoint(Model):
    """One way to reach a person. A point that was never verified, or too long ago, is no proof of readiness (D38)."""

    channel: Channel
    address: str = Field(
        min_length=1,
        max_length=2048,
        description="E.164 number, mail address, URL of a webhook, subscription of a browser",
    )
    verified_at: Instant | None = None
    quiet: tuple[_Minute, _Minute] | None = Field(
        default=None, description="local minutes from, to in which the person does not hear it"
    )


class Contact(Model):
    """A person as delivery needs to know them."""

    person: str = Field(
        min_length=1, max_length=64, description="token; the only thing that logs and topics carry"
    )
    name: str | None = Field(default=None, max_length=200)
    language: Literal["fr", "en"] = "fr"
    site: str | None = Field(
        default=None,
        max_length=64,
        description="place of work: whom a call-out or a headcount of a site means",
    )
    points: tuple[ContactPoint, ...] = Field(default=(), max_length=20)

    def addresses(self, channel: Channel) -> tuple[str, ...]:
        """Addresses on one channel, in order."""
        return tuple(p.address for p in self.points if p.channel == channel)

    def without(self, channel: Channel, address: str) -> Contact:
        """The same person without this address."""
        return self.model_copy(
            update={
                "points": tuple(
                    p for p in self.points if (p.channel, p.address) != (channel, address)
                )
            }
        )

    def reach(self) -> ReachRow:
        """How this person can be reached, without an address: of several points of a channel the one that was verified last."""
        newest: dict[Channel, ContactPoint] = {}
        for point in self.points:
            known = newest.get(point.channel)
            if known is None or (point.verified_at or 0) > (known.verified_at or 0):
                newest[point.channel] = point
        points = (
            Reach(channel=c, verified_at=p.verified_at, quiet=p.quiet) for c, p in newest.items()
        )
        return ReachRow(id=self.person, points=tuple(points))
