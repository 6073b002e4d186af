"""Reports: the only form in which the outside world enters `alerts.inputs`.

Rule D1.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from pydantic import Field

from schemas.base import Instant, Message, Model, register_message
from schemas.catalogue.event_types import EVENT_TYPES, EventKind, endangers_people
from schemas.words import Certainty, EventType, MsgType

END_SUFFIX: Final = "#end"
"""Suffix of the alias that ends an episode of a machine.

The rest is the alias of the opening report.
"""
_EPISODE_ALIAS: Final = re.compile(r"(.+)@\d{1,15}(?::[a-z_]{1,40}:.{0,64}|#\d{1,15})", re.DOTALL)


def episode_key(alias: str | None) -> str | None:
    """Return the episode key in the alias of a machine's report, or None for other reports.

    Aliases: `key@began:type:site` or `key@began#n`, each optionally with END.
    """
    alias_match = (
        None if alias is None else _EPISODE_ALIAS.fullmatch(alias.removesuffix(END_SUFFIX))
    )
    return None if alias_match is None else alias_match[1]


class Measure(Model):
    """Structured value: `name` `value` (out of `value_of`) `unit`, about `object`, for `scope`.

    A report may give only object or scope, such as an outage of `network:mobile` without a number;
    then `name` is None. Rule D11.
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
        description=(
            "station:, road:, system:, supplier:, network:, hazard:; several separated by |"
        ),
    )


class Lease(Model):
    """Time that a machine's alert holds without renewal.

    Rule D66.
    """

    until: Instant
    explicit: bool = Field(
        default=True, description="true if the sender gave the end, false for the default time"
    )


class Window(Model):
    """Half-open interval in which a planned cause acts; `to` None = open end.

    Rule D9.
    """

    start: Instant
    end: Instant | None = None


@register_message
class ReportReceived(Message):
    """Accepted report.

    Free text, contacts and raw bytes are in `texts` under `text_id`, never here.
    """

    report_id: str
    source: str = Field(
        max_length=64,
        description=(
            "kind of source: site_manager, enedis, supervision, …; decides independence (D6) and "
            "entitlement (D76)"
        ),
    )
    source_key: str | None = Field(
        default=None, description="registered source or account of the sender"
    )
    site_id: str | None = Field(default=None, max_length=64)
    commune: str | None = Field(default=None, max_length=8, description="INSEE code")
    zone: tuple[str, ...] = Field(
        default=(), description="INSEE codes, if several communes are concerned"
    )
    area: str | None = Field(
        default=None,
        description="text id of an area that is not on the map; a person links it (D8)",
    )
    sites: tuple[str, ...] = Field(default=(), description="sites in the area of the report")
    type: EventType
    severity: int = Field(ge=1, le=5)
    certainty: Certainty = Certainty.CONFIRMED
    urgency: str | None = Field(default=None, max_length=16)
    msg_type: MsgType = MsgType.ALERT
    references: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="report ids; intake resolves a source's own event ids through `alias`",
    )
    alias: str | None = Field(
        default=None,
        max_length=256,
        description=(
            "the sender's own id of this report (scenario event id, CAP identifier, deduplication "
            "key)"
        ),
    )
    occurred_at: Instant | None = Field(
        description=(
            "time of the fact; null = same as recorded_at, in simulated realms without a time "
            "from the sender"
        )
    )
    recorded_at: Instant | None = Field(
        default=None,
        description="given by the player in simulated realms only; else the broker's append time",
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
        description="labels of a machine's alert, for maintenance windows; never about a person",
    )
    lease: Lease | None = None
    acknowledges: bool = Field(
        default=False,
        description=(
            "true if somebody acknowledged the alert in `references` at the source (PagerDuty, "
            "Opsgenie)"
        ),
    )
    text_id: str | None = Field(
        default=None, description="id in `texts` of headline, description, contact and raw bytes"
    )
    dialect: str = "native"
    signature: str | None = Field(
        default=None,
        max_length=16,
        description="result for a CAP signature: unsigned, unchecked, valid, invalid",
    )
    corrected_by: str | None = Field(
        default=None,
        max_length=64,
        description="token of the person that corrected a refused message before its replay",
    )
    fingerprint: str | None = Field(
        default=None,
        max_length=64,
        description=(
            "keyed hash of the body (for a machine's alert, of its text); the same id with "
            "another hash is another body"
        ),
    )


def lacks_place(
    type: EventType,
    severity: int,
    certainty: Certainty,
    msg_type: MsgType,
    *,
    places: Iterable[object],
    references: Collection[str],
) -> bool:
    """Return whether a report tells of danger to people and of no place at all. Rule D8.

    A rumour, a withdrawal and an update of another report need none; weather and rivers concern the
    whole territory.
    """
    return (
        endangers_people(type, severity)
        and EVENT_TYPES[type].kind is EventKind.CAUSE
        and certainty is not Certainty.RUMOUR
        and msg_type is not MsgType.CANCEL
        and not (msg_type is MsgType.UPDATE and references)
        and not any(places)
    )
