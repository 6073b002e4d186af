"""Derive the lines of the ledger from the rows of a realm. Pure. Rule D93.

Each line comes from one row: the reassignment, resource request or message that caused the cost.
Amounts are exact decimals, so the sum of the lines is the sum of the costs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final

from schemas import reference as ref
from schemas.base import HOUR_MS, Instant
from schemas.calling import EscalationRow
from schemas.crisis.obligations import ObligationRow, ObligationState
from schemas.crisis.resource_requests import ResourceRequestRow
from schemas.delivery import NotificationRow
from schemas.reassignment import ReassignmentRow
from schemas.words import Channel
from services.console.documents.retex.facts import TELEWORK, count_agent_days, is_completed_move
from services.console.web import times
from services.logistics import measure_distance_km

CENT: Final = Decimal("0.0001")
"""Smallest part of an amount: a message costs fractions of a cent."""
BILLED_STATES: Final = frozenset({"accepted", "received", "ambiguous"})
"""States of attempts that a provider may bill; of an ambiguous one nobody knows."""
MULTI_POLE: Final = "multi"


class CostKind(StrEnum):
    AGENT_DAYS = "agent_days"
    TRAVEL = "travel"
    RESOURCE = "resource"
    FUEL = "fuel"
    MESSAGE = "message"


class CostUnit(StrEnum):
    AGENT_DAY = "agent_day"
    KILOMETRE = "km"
    PIECE = "piece"
    LITRE = "litre"
    PART = "part"


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """Unit prices of the reference data, in euros; None: nobody has set one."""

    agent_day: Decimal | None = None
    agent_day_draft: bool = False
    km: Decimal | None = None
    fuel_litre: Decimal | None = None
    fuel_per_hour: Mapping[str, Decimal] = field(default_factory=dict)
    """Kind of resource → litres that one of them burns in an hour."""
    channels: Mapping[Channel, Decimal] = field(default_factory=dict)
    """Channel → price of one part of a message."""
    resources_draft: bool = False
    """Prices of resources, kilometres and fuel are not confirmed."""
    channels_draft: bool = False

    @classmethod
    def of(cls, sections: Iterable[ref.SectionData]) -> "UnitPrices":
        """Collect the prices in the sections of a version."""
        section_by_type = {type(section): section for section in sections}
        policy, rules, channels = (
            section_by_type.get(kind)
            for kind in (ref.EscalationPolicy, ref.ResourcesSection, ref.ChannelsSection)
        )
        unit_prices = cls()
        if isinstance(policy, ref.EscalationPolicy):
            reassignment = policy.policy.reassignment
            unit_prices = cls(_to_decimal(reassignment.agent_day_eur), reassignment.agent_day_draft)
        resources = rules.rules if isinstance(rules, ref.ResourcesSection) else None
        prices = channels.rules.channels if isinstance(channels, ref.ChannelsSection) else ()
        return cls(
            unit_prices.agent_day,
            unit_prices.agent_day_draft,
            _to_decimal(resources.km_eur) if resources else None,
            _to_decimal(resources.fuel_litre_eur) if resources else None,
            {
                kind.id: Decimal(str(kind.fuel_litres_per_h))
                for kind in (resources.kinds if resources else ())
                if kind.fuel_litres_per_h
            },
            {rule.channel: Decimal(str(rule.cost_cents)) / 100 for rule in prices},
            resources is not None and resources.prices_draft,
            isinstance(channels, ref.ChannelsSection) and channels.rules.prices_draft,
        )


def _to_decimal(price: float | None) -> Decimal | None:
    return None if price is None else Decimal(str(price))


@dataclass(frozen=True, slots=True)
class CostLine:
    """A cost, with the row of the log that caused it."""

    kind: CostKind
    source: str
    """`<collection>/<id>` of the row."""
    at: Instant
    """Time from which it is due: arrival, promise, sending."""
    what: str
    """Métier, kind of resource or channel."""
    quantity: Decimal
    unit: CostUnit
    unit_price: Decimal | None
    incident: str | None = None
    pole: str | None = None
    site: str | None = None
    draft: bool = False
    """Its unit price is not confirmed."""
    claims: tuple[str, ...] = ()
    """Declarations to an insurer that it belongs to."""

    @property
    def id(self) -> str:
        return f"{self.kind.value}:{self.source}"

    @property
    def amount(self) -> Decimal | None:
        """Return the amount in euros; None: nobody has set a price."""
        if self.unit_price is None:
            return None
        return (self.quantity * self.unit_price).quantize(CENT, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class CostFacts:
    """Rows of one realm at one time, with the names that attribute them."""

    now: Instant
    prices: UnitPrices
    sites: Mapping[str, ref.Site]
    activities: Mapping[str, ref.Activity]
    poles: Mapping[str, ref.Pole]
    reassignments: Sequence[ReassignmentRow] = ()
    requests: Sequence[ResourceRequestRow] = ()
    messages: Sequence[NotificationRow] = ()
    escalations: Mapping[str, EscalationRow] = field(default_factory=dict)
    clocks: Sequence[ObligationRow] = ()
    claims: frozenset[str] = frozenset()
    """Obligations that are declarations to an insurer."""
    merged: Mapping[str, str] = field(default_factory=dict)
    """Merged incident → the one that stands, to which its costs belong."""

    def find_incident(self, id: str | None) -> str | None:
        return self.merged.get(id or "", id)


def list_cost_lines(facts: CostFacts) -> list[CostLine]:
    """List all costs, newest first."""
    claims = _index_claims(facts)
    unclaimed_lines = [
        *_list_staff_lines(facts),
        *_list_resource_lines(facts),
        *_list_message_lines(facts),
    ]
    lines = [_attribute(line, facts, claims) for line in unclaimed_lines]
    return sorted(lines, key=lambda line: (-line.at, line.id))


def _attribute(line: CostLine, facts: CostFacts, claims: Mapping[str, tuple[str, ...]]) -> CostLine:
    incident = facts.find_incident(line.incident)
    return replace(line, incident=incident, claims=claims.get(incident or "", ()))


def _index_claims(facts: CostFacts) -> dict[str, tuple[str, ...]]:
    """Return incident → declarations to an insurer with a clock that was not dismissed."""
    obligations: dict[str, set[str]] = {}
    for clock in facts.clocks:
        if clock.obligation in facts.claims and clock.state is not ObligationState.DISMISSED:
            incident = facts.find_incident(clock.incident) or ""
            obligations.setdefault(incident, set()).add(clock.obligation)
    return {incident: tuple(sorted(names)) for incident, names in obligations.items()}


def _list_staff_lines(facts: CostFacts) -> Iterator[CostLine]:
    for row in facts.reassignments:
        if not is_completed_move(row):
            continue
        days = count_agent_days(row, times.of(facts.now))
        activity = facts.activities.get(row.worked_activity)
        pole = activity.pole if activity is not None else None
        source, at = f"reassignments/{row.id}", row.arrived_at or row.dispatched_at or 0
        yield CostLine(
            CostKind.AGENT_DAYS,
            source,
            at,
            row.metier,
            Decimal(days),
            CostUnit.AGENT_DAY,
            facts.prices.agent_day,
            row.incident,
            pole,
            row.site,
            facts.prices.agent_day_draft,
        )
        home, host = facts.sites.get(row.site), facts.sites.get(row.place)
        if row.place == TELEWORK or row.place == row.site or home is None or host is None:
            continue
        km = Decimal(str(round(measure_distance_km(home, host), 1))) * 2 * days
        yield CostLine(
            CostKind.TRAVEL,
            source,
            at,
            row.metier,
            km,
            CostUnit.KILOMETRE,
            facts.prices.km,
            row.incident,
            pole,
            row.place,
            facts.prices.resources_draft,
        )


def _list_resource_lines(facts: CostFacts) -> Iterator[CostLine]:
    for row in facts.requests:
        site = facts.sites.get(row.site)
        pole = None if site is None or site.pole == MULTI_POLE else site.pole
        source, at = f"resource-requests/{row.id}", row.committed_at or row.requested_at
        if not row.committed_offers or (row.committed_at is None):
            continue
        for offer in row.committed_offers:
            whole = None if offer.cost_eur is None else Decimal(offer.cost_eur)
            yield CostLine(
                CostKind.RESOURCE,
                f"resource-requests/{offer.id}",
                at,
                row.kind,
                Decimal(offer.quantity),
                CostUnit.PIECE,
                None if whole is None else whole / offer.quantity,
                row.incident,
                pole,
                row.site,
                facts.prices.resources_draft,
            )
        burns = facts.prices.fuel_per_hour.get(row.kind)
        if burns is not None and row.arrived_at is not None:
            hours = Decimal((row.ended_at or facts.now) - row.arrived_at) / HOUR_MS
            yield CostLine(
                CostKind.FUEL,
                source,
                row.arrived_at,
                row.kind,
                (burns * row.committed * hours).quantize(CENT, ROUND_HALF_EVEN),
                CostUnit.LITRE,
                facts.prices.fuel_litre,
                row.incident,
                pole,
                row.site,
                facts.prices.resources_draft,
            )


def _list_message_lines(facts: CostFacts) -> Iterator[CostLine]:
    for row in facts.messages:
        parts: dict[Channel, int] = {}
        for attempt in row.attempts:
            if attempt.granted_at is not None and attempt.state in BILLED_STATES:
                parts[attempt.channel] = parts.get(attempt.channel, 0) + attempt.parts
        for channel, number in parts.items():
            price = facts.prices.channels.get(channel)
            if not price:  # free of charge
                continue
            yield CostLine(
                CostKind.MESSAGE,
                f"notifications/{row.id}/{channel.value}",
                row.sent_at or row.planned_at,
                channel.value,
                Decimal(number),
                CostUnit.PART,
                price,
                _find_incident(row, facts),
                _find_pole(row, facts),
                draft=facts.prices.channels_draft,
            )


def _find_incident(row: NotificationRow, facts: CostFacts) -> str | None:
    """Return the incident of a message, or the first one of its escalation."""
    if row.incident is not None:
        return row.incident
    escalation = facts.escalations.get(row.escalation or "")
    return next(iter(escalation.incidents), None) if escalation is not None else None


def _find_pole(row: NotificationRow, facts: CostFacts) -> str | None:
    """Return the pôle in which a person was told; None for the whole territory."""
    if row.scope in facts.poles:
        return row.scope
    site = facts.sites.get(row.scope or "")
    return None if site is None or site.pole == MULTI_POLE else site.pole


@dataclass(frozen=True, slots=True)
class CostSum:
    """Sum of the lines under one key."""

    key: str
    lines: int
    amount: Decimal
    unpriced: int
    """Lines without a price; they are in no amount."""
    draft: Decimal = Decimal(0)
    """Part of the amount with prices that nobody has confirmed."""


def sum_lines(lines: Iterable[CostLine]) -> CostSum:
    """Sum up lines."""
    all_lines = list(lines)
    amounts = [(line.amount, line.draft) for line in all_lines if line.amount is not None]
    return CostSum(
        "",
        len(all_lines),
        sum((amount for amount, _ in amounts), Decimal(0)),
        len(all_lines) - len(amounts),
        sum((amount for amount, draft in amounts if draft), Decimal(0)),
    )


def sum_groups(
    lines: Iterable[CostLine], keys: Callable[[CostLine], Iterable[str]]
) -> list[CostSum]:
    """Sum up lines by each of their keys, the largest amount first."""
    groups: dict[str, list[CostLine]] = {}
    for line in lines:
        for key in keys(line):
            groups.setdefault(key, []).append(line)
    sums = [replace(sum_lines(group_lines), key=key) for key, group_lines in groups.items()]
    return sorted(sums, key=lambda one: (-one.amount, one.key))
