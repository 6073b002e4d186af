"""The ledger: every cost is a line with its source, and the sum is that of the facts (D93)."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from math import asin, cos, radians, sin, sqrt
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import HOUR_MS
from schemas.calling import EscalationRow
from schemas.crisis.obligations import ObligationRow, ObligationState
from schemas.crisis.resource_requests import OfferRow, OfferState, ResourceRequestRow
from schemas.delivery import AttemptRow, NotificationRow
from schemas.reassignment import LineState, ReassignmentRow
from schemas.words import Channel
from services.console.exports.tables import Column, Columns, write_ods
from services.console.i18n import get_translator
from services.console.ledger.lines import (
    CostFacts,
    CostKind,
    CostLine,
    CostUnit,
    UnitPrices,
    list_cost_lines,
    sum_groups,
    sum_lines,
)
from services.console.ledger.resources import LedgerLine, format_quantity
from services.console.ledger.screen import add_up, merge_messages
from services.console.texts.names import TerritoryNames
from tests.shipped import territory
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, incident, realm, words

NAMES = TerritoryNames.of(territory().sections)
PRICES = UnitPrices.of(territory().sections)
SITES = sorted(NAMES.sites)[:40]
ACTIVITIES = sorted(NAMES.activities)[:20]
T0 = 1_802_340_000_000
"""Thursday, 11 February 2027, 11:00 in Paris."""
DAY = 24 * HOUR_MS


def _facts(**given: Any) -> CostFacts:
    return CostFacts(
        now=given.pop("now", T0 + 2 * DAY),
        prices=PRICES,
        sites=NAMES.sites,
        activities=NAMES.activities,
        poles=NAMES.poles,
        claims=frozenset(o.id for o in NAMES.obligations.values() if o.claim),
        **given,
    )


def _move(n: int = 1, **changes: Any) -> ReassignmentRow:
    fields: dict[str, Any] = {
        "id": f"m{n}",
        "site": SITES[0],
        "activity": ACTIVITIES[0],
        "metier": "agent",
        "supply": "displaced",
        "place": SITES[1],
        "count": 4,
        "criticality": 1,
        "proposal": "p",
        "decision": "d",
        "state": LineState.ARRIVED,
        "incident": "i1",
        "needed": 4,
        "approved_by": "p-1",
        "approved_role": "directeur_pole",
        "approved_at": T0,
        "rules": (),
        "dispatched_at": T0,
        "arrived_at": T0,
        **changes,
    }
    return ReassignmentRow(**fields)


def _request(n: int = 1, **changes: Any) -> ResourceRequestRow:
    fields: dict[str, Any] = {
        "id": f"r{n}",
        "number": n,
        "kind": "generator",
        "quantity": 2,
        "site": SITES[0],
        "priority": "life",
        "state": "in_place",
        "incident": "i1",
        "requested_at": T0,
        "requested_by": "p-1",
        "requested_role": "cell",
        "committed": 2,
        "committed_at": T0,
        "arrived_at": T0 + HOUR_MS,
        "offers": (_offer(n, cost_eur=960),),
        **changes,
    }
    return ResourceRequestRow(**fields)


def _offer(n: int, **changes: Any) -> OfferRow:
    fields: dict[str, Any] = {
        "id": f"r{n}/1",
        "partner": "loueur_energie",
        "quantity": 2,
        "state": OfferState.COMMITTED,
        "eta_at": T0,
        "expires_at": T0,
        "offered_at": T0,
        "offered_by": "p-1",
        **changes,
    }
    return OfferRow(**fields)


def _message(n: int = 1, *attempts: AttemptRow, **changes: Any) -> NotificationRow:
    fields: dict[str, Any] = {
        "id": f"n{n}",
        "incident": "i1",
        "level": 2,
        "role": "directeur_pole",
        "scope": "solidarites",
        "person": "p-1",
        "state": "accepted",
        "template": "incident_wave",
        "planned_at": T0,
        "attempts": attempts or (_attempt(),),
        **changes,
    }
    return NotificationRow(**fields)


def _attempt(**changes: Any) -> AttemptRow:
    fields: dict[str, Any] = {
        "id": "a1",
        "number": 1,
        "channel": "sms",
        "state": "received",
        "planned_at": T0,
        "granted_at": T0,
        "parts": 2,
        **changes,
    }
    return AttemptRow(**fields)


def _one(kind: CostKind, **rows: Any) -> CostLine:
    (line,) = [line for line in list_cost_lines(_facts(**rows)) if line.kind is kind]
    return line


def test_a_reassignment_costs_its_agent_days_and_its_way() -> None:
    days = _one(CostKind.AGENT_DAYS, reassignments=[_move()])
    assert (days.source, days.quantity, days.amount) == ("reassignments/m1", 8, Decimal(8 * 230))
    assert (days.incident, days.pole) == ("i1", NAMES.activities[ACTIVITIES[0]].pole)
    way = _one(CostKind.TRAVEL, reassignments=[_move()])
    assert way.amount is not None
    assert way.amount > 0
    home = list_cost_lines(_facts(reassignments=[_move(place="telework")]))
    assert [line.kind for line in home] == [CostKind.AGENT_DAYS]


@pytest.mark.parametrize(
    "changes",
    [
        {"dispatched_at": None, "arrived_at": None},
        {"state": LineState.VOID, "arrived_at": None},
        {"state": LineState.REFUSED, "arrived_at": None},
    ],
)
def test_agents_never_sent_cost_nothing(changes: dict[str, Any]) -> None:
    assert list_cost_lines(_facts(reassignments=[_move(**changes)])) == []


def test_a_promise_costs_its_offers_and_a_generator_its_fuel() -> None:
    rent = _one(CostKind.RESOURCE, requests=[_request()])
    assert (rent.source, rent.amount) == ("resource-requests/r1/1", Decimal(960))
    fuel = _one(CostKind.FUEL, now=T0 + 3 * HOUR_MS, requests=[_request()])
    assert PRICES.fuel_litre is not None
    assert fuel.amount == 2 * 2 * PRICES.fuel_per_hour["generator"] * PRICES.fuel_litre
    ended = _request(ended_at=T0 + 2 * HOUR_MS, state="released")
    assert _one(CostKind.FUEL, requests=[ended]).quantity == 2 * PRICES.fuel_per_hour["generator"]
    open_offer = _request(offers=(_offer(1, state=OfferState.OPEN),), committed_at=None)
    assert list_cost_lines(_facts(requests=[open_offer])) == []


def test_a_cost_without_a_price_is_a_line_outside_the_sum() -> None:
    lines = list_cost_lines(_facts(requests=[_request(offers=(_offer(1),), arrived_at=None)]))
    assert [line.amount for line in lines] == [None]
    assert (sum_lines(lines).amount, sum_lines(lines).unpriced) == (0, 1)


def test_a_message_costs_the_parts_that_its_provider_may_bill() -> None:
    attempts = (
        _attempt(),
        _attempt(id="a2", number=2, state="failed"),
        _attempt(id="a3", number=3, state="ambiguous", parts=1),
        _attempt(id="a4", number=4, state="planned", granted_at=None),
        _attempt(id="a5", number=5, channel="app"),
    )
    line = _one(CostKind.MESSAGE, messages=[_message(1, *attempts)])
    assert (line.quantity, line.amount, line.pole) == (3, Decimal("0.165"), "solidarites")


def test_a_message_of_an_escalation_belongs_to_its_incident() -> None:
    escalation = EscalationRow(
        id="e1",
        ladder="N2",
        scope="territory",
        incidents=("i7",),
        state="running",
        policy="p",
        started_at=T0,
        wave=1,
        cycle=1,
    )
    message = _message(1, incident=None, escalation="e1")
    assert (
        _one(CostKind.MESSAGE, messages=[message], escalations={"e1": escalation}).incident == "i7"
    )


def _clock(
    obligation: str, state: ObligationState = ObligationState.RUNNING, incident: str = "i1"
) -> ObligationRow:
    return ObligationRow.model_construct(
        id=f"{obligation}/{incident}", obligation=obligation, incident=incident, state=state
    )


def test_costs_belong_to_the_declarations_to_an_insurer_of_their_incident() -> None:
    clocks = [
        _clock("assureur-sinistre"),
        _clock("catnat-assure"),
        _clock("assureur-vol", ObligationState.DISMISSED),
        _clock("cnil-notification"),
    ]
    line = _one(CostKind.MESSAGE, messages=[_message()], clocks=clocks)
    assert line.claims == ("assureur-sinistre", "catnat-assure")
    other = _one(CostKind.MESSAGE, messages=[_message(1, incident="i2")], clocks=clocks)
    assert other.claims == ()


def test_costs_of_a_merged_incident_belong_to_the_one_that_stands() -> None:
    """The clock of either incident counts for both, and so does its declaration."""
    clocks = [_clock("assureur-sinistre"), _clock("catnat-assure", incident="i2")]
    for id in ("i1", "i2"):
        line = _one(
            CostKind.MESSAGE,
            messages=[_message(1, incident=id)],
            clocks=clocks,
            merged={"i2": "i1"},
        )
        assert line.incident == "i1"
        assert line.claims == ("assureur-sinistre", "catnat-assure")


TIMES = st.integers(0, 10 * 24).map(lambda hours: T0 + hours * HOUR_MS)


@st.composite
def _moves(draw: st.DrawFn) -> ReassignmentRow:
    arrived = draw(TIMES | st.none())
    is_dispatched = draw(st.booleans())
    return _move(
        draw(st.integers(0, 10_000)),
        site=draw(st.sampled_from(SITES)),
        place=draw(st.sampled_from((*SITES, "telework"))),
        activity=draw(st.sampled_from(ACTIVITIES)),
        count=draw(st.integers(1, 80)),
        state=draw(st.sampled_from(list(LineState))),
        incident=draw(st.sampled_from(("i1", "i2", None))),
        dispatched_at=T0 if is_dispatched else None,
        arrived_at=arrived if is_dispatched else None,
        ended_at=draw(TIMES | st.none()),
    )


@st.composite
def _requests(draw: st.DrawFn) -> ResourceRequestRow:
    n = draw(st.integers(0, 10_000))
    quantity = draw(st.integers(1, 50))
    offers = tuple(
        _offer(
            n,
            id=f"r{n}/{k}",
            quantity=draw(st.integers(1, 50)),
            state=draw(st.sampled_from(list(OfferState))),
            cost_eur=draw(st.integers(0, 100_000) | st.none()),
        )
        for k in range(draw(st.integers(0, 3)))
    )
    arrived = draw(TIMES | st.none())
    return _request(
        n,
        kind=draw(st.sampled_from(("generator", "pump", "water", "beds"))),
        quantity=quantity,
        offers=offers,
        committed=sum(o.quantity for o in offers if o.state is OfferState.COMMITTED),
        committed_at=T0 if any(o.state is OfferState.COMMITTED for o in offers) else None,
        arrived_at=arrived,
        ended_at=None if arrived is None else draw(st.none() | st.just(arrived + 5 * HOUR_MS)),
    )


@st.composite
def _messages(draw: st.DrawFn) -> NotificationRow:
    attempts = tuple(
        _attempt(
            id=f"a{k}",
            number=k,
            channel=draw(st.sampled_from(list(Channel))).value,
            state=draw(
                st.sampled_from(
                    ("planned", "granted", "accepted", "received", "failed", "ambiguous")
                )
            ),
            granted_at=draw(st.sampled_from((T0, None))),
            parts=draw(st.integers(1, 4)),
        )
        for k in range(draw(st.integers(0, 4)))
    )
    return _message(draw(st.integers(0, 10_000)), *attempts)


def _recount(facts: CostFacts) -> Decimal:
    """Count all costs again from the rows, by rows and not by lines, with code of its own."""
    paris, total = ZoneInfo("Europe/Paris"), Decimal(0)
    now = datetime.fromtimestamp(facts.now / 1000, UTC)
    for row in facts.reassignments:
        if row.dispatched_at is None or (
            row.state in ("void", "refused") and row.arrived_at is None
        ):
            continue
        begun = datetime.fromtimestamp((row.arrived_at or row.dispatched_at) / 1000, UTC)
        over = now if row.ended_at is None else datetime.fromtimestamp(row.ended_at / 1000, UTC)
        first, last = begun.astimezone(paris).toordinal(), over.astimezone(paris).toordinal()
        weekdays = sum((day - 1) % 7 < 5 for day in range(first, last + 1))
        days = row.count * (weekdays or 1)
        total += days * Decimal(230)
        if row.place != "telework" and row.place != row.site:
            total += _price_way(facts, row.site, row.place) * days
    for request in facts.requests:
        promised = [o for o in request.offers if o.state == "committed"]
        total += sum((Decimal(o.cost_eur) for o in promised if o.cost_eur is not None), Decimal(0))
        litres = {"generator": Decimal(9), "pump": Decimal(2)}.get(request.kind)
        if promised and litres is not None and request.arrived_at is not None:
            hours = Decimal((request.ended_at or facts.now) - request.arrived_at) / 3_600_000
            used = (litres * sum(o.quantity for o in promised) * hours).quantize(Decimal("0.0001"))
            total += used * Decimal("1.85")
    prices = {"sms": Decimal("0.055"), "voice": Decimal("0.12")}
    for message in facts.messages:
        for attempt in message.attempts:
            billed = attempt.state in ("accepted", "received", "ambiguous")
            if billed and attempt.granted_at is not None:
                total += prices.get(attempt.channel.value, Decimal(0)) * attempt.parts
    return total


def _price_way(facts: CostFacts, home: str, host: str) -> Decimal:
    a, b = facts.sites[home], facts.sites[host]
    half = sin(radians(b.lat - a.lat) / 2) ** 2
    half += cos(radians(a.lat)) * cos(radians(b.lat)) * sin(radians(b.lon - a.lon) / 2) ** 2
    return Decimal(str(round(1.3 * 2 * 6371 * asin(sqrt(half)), 1))) * 2 * Decimal("0.32")


@given(
    moved=st.lists(_moves(), max_size=8, unique_by=lambda row: row.id),
    requests=st.lists(_requests(), max_size=8, unique_by=lambda row: row.id),
    messages=st.lists(_messages(), max_size=8, unique_by=lambda row: row.id),
    now=st.integers(10 * 24, 20 * 24).map(lambda hours: T0 + hours * HOUR_MS),
)
@settings(max_examples=200)
def test_the_sum_of_the_lines_is_the_independent_recount(
    moved: list[ReassignmentRow],
    requests: list[ResourceRequestRow],
    messages: list[NotificationRow],
    now: int,
) -> None:
    facts = _facts(now=now, reassignments=moved, requests=requests, messages=messages)
    lines = list_cost_lines(facts)
    assert abs(sum_lines(lines).amount - _recount(facts)) < Decimal("0.01")
    assert len({line.id for line in lines}) == len(lines), "a cost is one line"
    sources = {
        *(f"reassignments/{row.id}" for row in moved),
        *(f"resource-requests/{row.id}" for row in requests),
        *(f"resource-requests/{offer.id}" for row in requests for offer in row.offers),
    }
    assert all(
        line.source in sources or line.source.startswith("notifications/n") for line in lines
    )
    for keys in (lambda line: (line.kind.value,), lambda line: (line.pole or "",)):
        _check_groups(lines, sum_groups(lines, keys))


@pytest.mark.parametrize(
    ("quantity", "unit", "french", "english"),
    [
        (0, "litre", "0 litre", "0 litres"),
        (1, "piece", "1 unité", "1 unit"),
        (1.5, "litre", "1,5 litre", "1.5 litres"),
        (2, "part", "2 messages facturés", "2 billed messages"),
        (1, "agent_day", "1 agent-jour", "1 agent-day"),
        (12.4, "km", "12,4 km", "12.4 km"),
    ],
)
def test_a_quantity_agrees_with_its_unit(
    quantity: float, unit: str, french: str, english: str
) -> None:
    assert format_quantity(quantity, unit, get_translator("fr")) == french
    assert format_quantity(quantity, unit, get_translator("en")) == english


def test_unconfirmed_prices_are_provisional() -> None:
    """Prices of agents, resources and channels are confirmed apart."""
    moves, requests, messages = [_move()], [_request(arrived_at=T0)], [_message(1, _attempt())]
    shipped = list_cost_lines(_facts(reassignments=moves, requests=requests, messages=messages))
    assert {line.kind for line in shipped} == set(CostKind)
    assert all(line.draft for line in shipped), "prices of the territory are work in progress"
    assert sum_lines(shipped).draft == sum_lines(shipped).amount
    prices = replace(PRICES, resources_draft=False)
    facts = replace(
        _facts(reassignments=moves, requests=requests, messages=messages), prices=prices
    )
    lines = list_cost_lines(facts)
    assert {line.kind for line in lines if line.draft} == {CostKind.AGENT_DAYS, CostKind.MESSAGE}
    confirmed = sum((line.amount or 0 for line in lines if not line.draft), Decimal(0))
    assert 0 < confirmed == sum_lines(lines).amount - sum_lines(lines).draft


def _check_groups(lines: list[CostLine], groups: Iterable[Any]) -> None:
    group_list = list(groups)
    assert sum((one.amount for one in group_list), Decimal(0)) == sum_lines(lines).amount
    assert sum(one.lines for one in group_list) == len(lines)


def test_a_spreadsheet_leaves_out_characters_that_xml_forbids() -> None:
    columns: Columns[Any] = (Column("Objet", lambda row: row),)
    body = write_ods(
        columns, ["a\ufffeb\uffffc\x0bd\ud800e\U0001f6a8"], "t\ufffe", get_translator("fr")
    )
    with zipfile.ZipFile(BytesIO(body)) as file:
        root = ET.fromstring(file.read("content.xml"))
    assert "".join(root.itertext()) == "Objetabcde\U0001f6a8"


def test_a_spreadsheet_holds_numbers_times_and_texts_as_they_are() -> None:
    columns: Columns[Any] = (
        Column("Objet", lambda row: row[0]),
        Column("Montant (€)", lambda row: row[1]),
        Column("Date (Paris)", lambda row: row[2]),
    )
    at = datetime(2027, 2, 11, 9, tzinfo=UTC)
    body = write_ods(columns, [("=1+1 <b>&", 12.5, at), (None, 3, None)], "d", get_translator("fr"))
    with zipfile.ZipFile(BytesIO(body)) as file:
        assert file.namelist()[0] == "mimetype"
        assert file.infolist()[0].compress_type == zipfile.ZIP_STORED
        root = ET.fromstring(file.read("content.xml"))
        ET.fromstring(file.read("META-INF/manifest.xml"))
    office = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
    cells = [cell for cell in root.iter() if cell.tag.endswith("table-cell")]
    assert "".join(cells[3].itertext()) == "=1+1 <b>&"
    assert cells[4].attrib == {f"{office}value-type": "float", f"{office}value": "12.5"}
    assert cells[5].attrib[f"{office}date-value"] == "2027-02-11T10:00:00"


def _held() -> Any:
    realm_state = realm()
    realm_state.clock = T0 + 2 * DAY
    realm_state.put("reassignments", _move().model_dump())
    realm_state.put("resource_requests", _request().model_dump())
    return realm_state


async def test_the_page_shows_the_total_and_every_line_with_its_source() -> None:
    browser, _ = browsing(_held())
    page = (await browser.get(f"/depenses?realm={REALM}", role="coordinator")).text
    text = words(page)
    assert "× 1,85 €" in text.replace("\u00a0", " ")
    for part in (
        "Dépenses",
        "Agents réaffectés",
        "Carburant",
        "prix provisoire",
        "à prix provisoires",
        "Par pôle",
    ):
        assert part in text
    english = words((await browser.get(f"/depenses?realm={REALM}", role="cell", lang="en")).text)
    assert "Costs" in english
    refused = await browser.get(f"/depenses?realm={REALM}", role="kiosk")
    assert refused.status_code == 403


def test_messages_of_one_minute_are_one_line_of_the_page() -> None:
    """After a call-out every line of the page was «1 message facturé × 0,055 €»."""

    def line(n: int, at: datetime, **changes: Any) -> LedgerLine:
        fields: dict[str, Any] = {
            "id": f"message:notifications/{n}",
            "realm": REALM,
            "kind": CostKind.MESSAGE,
            "source": f"notifications/{n}",
            "at": at,
            "what": "SMS",
            "quantity": 2,
            "unit": CostUnit.PART,
            "unit_price_eur": 0.055,
            "amount_eur": 0.11,
            "draft": False,
            "incident": None,
            "pole": None,
            "site": None,
            "claims": [],
        }
        return LedgerLine(**fields | changes)

    at = datetime(2027, 2, 11, 10, 40, 50, tzinfo=UTC)
    fuel = {"kind": CostKind.FUEL, "unit": CostUnit.LITRE, "amount_eur": None}
    listed = [
        line(1, at),
        line(2, at.replace(second=5)),
        line(3, at.replace(minute=39)),
        line(4, at.replace(minute=39), what="voix"),
        line(5, at.replace(minute=39), **fuel),
        line(6, at.replace(minute=39), **fuel),
    ]
    merged = merge_messages(listed)
    assert [[one.source[-1] for one in lines] for lines in merged] == [
        ["1", "2"],
        *[["3"], ["4"], ["5"], ["6"]],
    ]
    sums = [add_up(lines) for lines in merged]
    assert [(one.quantity, one.amount_eur) for one in sums[:2]] == [(4, 0.22), (2, 0.11)]
    assert sums[4].amount_eur is None


async def test_list_totals_and_table_have_the_same_sum() -> None:
    browser, _ = browsing(_held())
    query = f"?realm={REALM}"
    lines = (await browser.get(f"/api/v1/ledger{query}", role="cell")).json()["items"]
    totals = (await browser.get(f"/api/v1/ledger-totals{query}", role="cell")).json()
    table = (await browser.get(f"/api/v1/ledger{query}&format=csv", role="cell")).text
    whole = sum(line["amount_eur"] or 0 for line in lines)
    assert totals["amount_eur"] == pytest.approx(whole, abs=0.01)
    assert table.count("\r\n") == len(lines) + 1
    only = (await browser.get(f"/api/v1/ledger-totals{query}&kind=fuel", role="cell")).json()
    assert [one["key"] for one in only["kinds"]] == ["fuel"]
    ods = await browser.get(f"/api/v1/ledger{query}&format=ods", role="cell")
    assert ods.content[:2] == b"PK"
    document = (await browser.get(f"/api/v1/ledger-document{query}", role="cell")).json()
    sections = {section["id"]: section for section in document["sheets"]["fr"]["sections"]}
    assert sections.keys() >= {"kinds", "lines"}
    cells = [cell for row in sections["lines"]["table"]["rows"] for cell in row["cells"]]
    assert not [cell for cell in cells if "/" in cell and not re.match(r"\w+\. \d\d/\d\d", cell)], (
        "no id of a row squeezes the words of a line"
    )
    assert (
        "Some unit prices are provisional."
        in document["sheets"]["en"]["sections"][-1]["table"]["note"]
    )
    assert "à prix provisoires" in document["sheets"]["fr"]["subtitle"]
    assert totals["draft_eur"] == pytest.approx(totals["amount_eur"], abs=0.01)


async def test_the_costs_of_an_incident_hold_those_of_the_ones_merged_into_it() -> None:
    realm_state = _held()
    realm_state.put("incidents", incident("i1"))
    realm_state.put("incidents", incident("i2", state="merged", merged_into="i1"))
    realm_state.put("resource_requests", _request(2, incident="i2").model_dump())
    browser, _ = browsing(realm_state)
    for id in ("i1", "i2"):
        path = f"/api/v1/ledger?realm={REALM}&incident={id}"
        lines = (await browser.get(path, role="cell")).json()["items"]
        kinds = sorted(line["kind"] for line in lines)
        assert kinds == ["agent_days", "fuel", "fuel", "resource", "resource", "travel"]
        assert {line["incident"] for line in lines} == {"i1"}
