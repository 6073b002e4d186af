"""People in the `directory` topic, encrypted per token, and the form of their addresses.

It is the only place with names and addresses. Rule D58.
"""

import re
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from schemas.base import Instant, Model
from schemas.oncall import DAY_MIN, Reach, ReachRow
from schemas.words import Channel

REALM_PREFIX: Final = "realm:"
"""Start of the items of people of another realm than the home realm; no token begins so."""
_Minute = Annotated[int, Field(ge=0, le=DAY_MIN)]
_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_FRENCH: Final = re.compile(r"33[1-9]\d{8}")


class ContactPoint(Model):
    """One way to reach a person.

    A point that was never verified, or too long ago, proves no readiness. Rule D38.
    """

    channel: Channel
    address: str = Field(
        min_length=1,
        max_length=2048,
        description="E.164 number, mail address, URL of a webhook, subscription of a browser",
    )
    verified_at: Instant | None = None
    quiet: tuple[_Minute, _Minute] | None = Field(
        default=None, description="local minutes (from, to) in which the person does not notice it"
    )


class Contact(Model):
    """Directory entry of a person."""

    person: str = Field(
        min_length=1, max_length=64, description="token, the only identification in logs and topics"
    )
    name: str | None = Field(default=None, max_length=200)
    language: Literal["fr", "en"] = "fr"
    site: str | None = Field(
        default=None,
        max_length=64,
        description="place of work, for call-outs and headcounts of a site",
    )
    points: tuple[ContactPoint, ...] = Field(default=(), max_length=20)

    def addresses(self, channel: Channel) -> tuple[str, ...]:
        """Return the addresses on one channel, in order."""
        return tuple(p.address for p in self.points if p.channel == channel)

    def without(self, channel: Channel, address: str) -> "Contact":
        """Return the same person without this address."""
        return self.model_copy(
            update={
                "points": tuple(
                    p for p in self.points if (p.channel, p.address) != (channel, address)
                )
            }
        )

    def reach(self) -> ReachRow:
        """Return the reachability of this person, without addresses.

        The last verified point of a channel counts.
        """
        newest: dict[Channel, ContactPoint] = {}
        for point in self.points:
            newest_point = newest.get(point.channel)
            if newest_point is None or (point.verified_at or 0) > (newest_point.verified_at or 0):
                newest[point.channel] = point
        points = (
            Reach(channel=c, verified_at=p.verified_at, quiet=p.quiet) for c, p in newest.items()
        )
        return ReachRow(id=self.person, points=tuple(points))


def is_e164_number(text: str) -> bool:
    """Check whether text is a number that can be sent to: E.164 with the plus sign."""
    return _E164.fullmatch(text) is not None


def normalize_dialled_number(text: str) -> str | None:
    """Normalize a number as people write it to E.164; None if it is not a number.

    It accepts `06 12 34 56 78`, `+33 (0)6.12…`, `0033…` and `336…` from a spreadsheet.
    """
    plain = re.sub(r"[\s./()-]", "", text.replace("(0)", ""))
    for prefix, full in (("00", "+"), ("+330", "+33"), ("0", "+33")):
        if plain.startswith(prefix):
            plain = full + plain.removeprefix(prefix)
            break
    if _FRENCH.fullmatch(plain):
        plain = f"+{plain}"
    return (
        plain
        if is_e164_number(plain) and (not plain.startswith("+33") or _FRENCH.fullmatch(plain[1:]))
        else None
    )


def is_callable_address(host: str) -> bool:
    """Return whether a host is a name, or an address that a webhook may reach.

    Link-local, multicast and unspecified addresses belong to no receiver: the services of a cloud
    that give away its keys are at one. Loopback and private networks are those of the operator.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return True
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not (address.is_link_local or address.is_multicast or address.is_unspecified)


def is_allowed_url(url: str) -> bool:
    """Return whether a webhook may be called: by https, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https" and host:
        return is_callable_address(host)
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return parts.scheme == "http" and loopback
