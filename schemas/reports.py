"""A report: what somebody claims (DOMAIN D1). The only form in which the outside world enters `alerts.inputs`."""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field

from schemas.base import Instant, Message, Model, message
from schemas.words import Certainty, EventType, MsgType

END: Final = "#end"
"""Ends the alias of the report that ends a machine's episode; the rest of it is the alias of the opening one."""
_OF_A_MATTER: Final = re.compile(r"(.+)@\d{1,15}(?::[a-z_]{1,40}:.{0,64}|#\d{1,15})", re.DOTALL)


def matter_of(alias: str | None) -> str | None:
    """Whose episode a machine's report is of: the sender's own key in its alias (`key@began:type:site`, `key@began#n`, each with END). None: no machine's."""
    found = None if alias is None else _OF_A_MATTER.fullmatch(alias.removesuffix(END))
    return None if found is None else found[1]


class Measure(Model):
    """A structured value: `name` `value` (out of `value_of`) `unit`, about `object`, for `scope` (D11).

    A report may name only its object or scope (an outage of `network:mobile` without a figure): then `name` is None.
    """

    name: str | None = Field(default=None, max_length=64)
    value: float | bool | str | None = None
    value_of: float | None = None
    unit: str | None = Field(default=None, max_length=32)
    scope: str | None = Field(
        default=None, max_length=64, description="site, kind:college, pole:…, zone:…, global"
    )
    object: str | None = Field(
        default=None,
        max_length=256,
        description="station:, road:, system:, supplier:, network:, hazard:, several by |",
    )


class Lease(Model):
    """How long a machine's alert holds if nothing more is heard of it (D66)."""

    until: Instant
    explicit: bool = Field(
        default=True, description="the sender named it; else it is the default patience"
    )


class Window(Model):
    """Half-open interval in which a planned cause acts (D9); `to` None = open end."""

    start: Instant
    end: Instant | None = None


@message
class ReportReceived(Message):
    """An accepted report. Free text, contacts and raw bytes are in `texts` under `text_id`, never here."""

    report_id: str
    source: str = Field(
        max_length=64,
        description="kind of source: site_manager, enedis, supervision, …; decides independence (D6) and authority",
    )
    source_key: str | None = Field(
        default=None, description="registered source or account token that posted it"
    )
    site_id: str | None = Field(default=None, max_length=64)
    commune: str | None = Field(default=None, max_length=8, description="INSEE code")
    zone: tuple[str, ...] = Field(
        default=(), description="INSEE codes when several communes are concerned"
    )
    area: str | None = Field(
        default=None,
        description="text id of an area that is nowhere on the map: a person links it (D8)",
    )
    sites: tuple[str, ...] = Field(default=(), description="sites in the area that it names")
    type: EventType
    severity: int = Field(ge=1, le=5)
    certainty: Certainty = Certainty.CONFIRMED
    urgency: str | None = Field(default=None, max_length=16)
    msg_type: MsgType = MsgType.ALERT
    references: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="report ids; a source's own event ids are resolved by intake through `alias`",
    )
    alias: str | None = Field(
        default=None,
        max_length=256,
        description="the sender's own id of this report (scenario event id, CAP identifier, dedup key)",
    )
    occurred_at: Instant | None = Field(
        description="None: its sender named no time, and it is of when it is recorded (simulated realms, whose time the front does not know)"
    )
    recorded_at: Instant | None = Field(
        default=None,
        description="given by the player in simulated realms only; else the append time",
    )
    effective: tuple[Window, ...] = ()
    expected_duration_h: float | None = Field(default=None, ge=0)
    estimated_end: Instant | None = None
    capacity_lost_pct: float | None = Field(default=None, ge=0, le=100)
    persons_concerned: int | None = Field(default=None, ge=0)
    measure: Measure | None = None
    phenomenon: str | None = Field(default=None, max_length=64)
    colour: str | None = Field(
        default=None, max_length=16, description="vert, jaune, orange, rouge"
    )
    lifts: tuple[EventType, ...] = ()
    affected_activities: tuple[str, ...] = ()
    plan_hint: str | None = None
    labels: dict[str, str] = Field(
        default_factory=dict,
        max_length=64,
        description="of a machine's alert: what maintenance windows match, never about a person",
    )
    lease: Lease | None = None
    acknowledges: bool = Field(
        default=False,
        description="somebody took what `references` name in charge at the source (PagerDuty, Opsgenie)",
    )
    text_id: str | None = Field(
        default=None,
        description="reference into `texts`: headline, description, contact, raw bytes",
    )
    dialect: str = "native"
    signature: str | None = Field(
        default=None, max_length=16, description="CAP: unsigned, unchecked, valid, invalid"
    )
    corrected_by: str | None = Field(
        default=None,
        max_length=64,
        description="who changed the words of a refused message before it was offered again: a token",
    )
    fingerprint: str | None = Field(
        default=None,
        max_length=64,
        description="keyed hash of the body, of a machine's matter of its words alone: the same id with another one is another body",
    )
