"""An incident is a chain of valid CAP messages without free text, readable by our own reader."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from schemas.alerts import FAMILIES, IncidentRow
from schemas.cap import NAMESPACE, XSD
from schemas.words import Certainty, IncidentState, Level
from services.console.incidents.cap import MAX_REFERENCES, CapWriter
from services.console.sites.geometry import load_outlines
from services.console.texts.names import TerritoryNames
from services.intake.integrations.cap.message import CapMessage, read_message
from tests.shipped import territory

TERRITORY = territory()
NAMES = TerritoryNames.of(TERRITORY.sections)
SHAPES = load_outlines(TERRITORY.folder).shapes
GRAMMAR = etree.XMLSchema(etree.parse(str(XSD)))
AT = 1_800_000_000_123
COMMUNES, SITES = [c.insee for c in TERRITORY.communes], [s.id for s in TERRITORY.sites]


def row(**changes: Any) -> IncidentRow:
    values: dict[str, Any] = {
        "id": "6f1c9f8e-0000-5000-8000-000000000001",
        "number": "92-2027-0115-01",
        "kind": "power",
        "key": "cluster:92050",
        "state": IncidentState.OPEN,
        "level": Level.N2,
        "severity": 4,
        "certainty": Certainty.CONFIRMED,
        "opened_at": AT - 60_000,
        "known_at": AT,
        "updated_at": AT,
        "version": 0,
        "members": ("cen-1",),
        "communes": ("92050", "92062"),
    }
    return IncidentRow(**values | changes)


def said(row: IncidentRow, *earlier: int, realm: str = "92") -> CapMessage:
    """Return the message as our own reader understands it, after checking the grammar."""
    body = CapWriter(realm, "vigie.92", NAMES, SHAPES).message(row, earlier)
    GRAMMAR.assertValid(etree.fromstring(body))
    return read_message(body)[0]


ROWS = st.builds(
    row,
    kind=st.sampled_from(FAMILIES),
    state=st.sampled_from(IncidentState),
    level=st.sampled_from(Level),
    severity=st.integers(0, 5),
    certainty=st.sampled_from(Certainty),
    members=st.lists(st.sampled_from([*SITES, "inconnu"]), max_size=4).map(tuple),
    communes=st.lists(st.sampled_from([*COMMUNES, "75056"]), max_size=4, unique=True).map(tuple),
    danger=st.booleans(),
    persons_concerned=st.integers(0, 9_000) | st.none(),
    merged_into=st.just("autre") | st.none(),
    updated_at=st.integers(AT, AT + 10**9),
    zone_sites=st.lists(st.sampled_from(SITES), max_size=2).map(tuple),
)


@settings(max_examples=40)
@given(
    ROWS,
    st.lists(st.integers(AT, AT + 10**9), max_size=5),
    st.sampled_from(["92", "92~ex-7", "92~what-1", "92~test-2"]),
)
def test_every_incident_is_a_valid_message(
    row: IncidentRow, earlier: list[int], realm: str
) -> None:
    message = said(row, *earlier, realm=realm)
    assert message.status == {"92": "Actual", "92~ex-7": "Exercise"}.get(realm, "Test")
    assert [i.language for i in message.infos] == ["fr-FR", "en-GB"]
    assert (message.type == "Cancel") == (row.state in (IncidentState.CLOSED, IncidentState.MERGED))
    assert [a.geocodes[0][1] for a in message.infos[0].areas] == (
        list(row.communes) or sorted(SHAPES)
    )


def test_an_incident_is_an_alert_then_updates_then_a_cancellation_with_references() -> None:
    first = said(row())
    second = said(row(updated_at=AT + 60_000, state=IncidentState.ACKNOWLEDGED), AT, AT + 60_000)
    end = said(
        row(updated_at=AT + 120_000, state=IncidentState.CLOSED, closed_at=AT + 120_000),
        AT,
        AT + 60_000,
        AT + 60_000,
    )
    assert [m.type for m in (first, second, end)] == ["Alert", "Update", "Cancel"]
    assert (first.references, second.references, end.references) == (
        (),
        (first.identity,),
        (first.identity, second.identity),
    )
    assert said(row()) == first, "the same state is the same message"


def test_an_incident_ending_at_once_references_its_own_alert() -> None:
    end = said(row(state=IncidentState.CLOSED))
    assert (end.type, len(end.references)) == ("Cancel", 1)


def test_a_long_chain_names_its_first_message_and_the_newest() -> None:
    message = said(row(updated_at=AT + 10**7), *(AT + n for n in range(2_000)))
    assert len(message.references) == MAX_REFERENCES
    assert message.references[0].identifier.endswith(str(AT))
    assert message.references[-1].identifier.endswith(str(AT + 1_999))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("Infra", "Immediate", "Severe", "Observed", "Monitor")),
        ({"severity": 2}, ("Infra", "Expected", "Minor", "Observed", "Monitor")),
        (
            {"severity": 3, "danger": True, "kind": "fire"},
            ("Fire", "Immediate", "Moderate", "Observed", "Monitor"),
        ),
        (
            {"severity": 5, "kind": "heat", "certainty": Certainty.UNCONFIRMED},
            ("Met", "Immediate", "Extreme", "Possible", "Monitor"),
        ),
        (
            {"severity": 0, "kind": "site", "state": IncidentState.MERGED},
            ("Safety", "Past", "Unknown", "Observed", "AllClear"),
        ),
    ],
)
def test_values_belong_to_the_vocabulary_of_cap(
    changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    info = said(row(**changes)).infos[0]
    assert (
        info.categories[0],
        info.urgency,
        info.severity,
        info.certainty,
        info.responses[0],
    ) == expected


def test_unknown_codes_may_hold_characters_invalid_in_xml() -> None:
    """A site or commune that is not of the territory is accepted as it was written (D8)."""
    message = said(
        row(kind="site", key="site:\x0112", members=("\x0112\ufffe",), communes=("9\x00<&",))
    )
    assert (
        message.infos[0].headline.replace("\xa0", " ") == "Incident de site : \ufffd12\ufffd (N2)"
    )
    assert [a.geocodes for a in message.infos[0].areas] == [(("INSEE", "9\ufffd<&"),)]


def test_the_message_goes_to_authorities_with_counts_without_names() -> None:
    body = CapWriter("92~ex-7", "vigie.92", NAMES, SHAPES).message(row(persons_concerned=12), ())
    root = etree.fromstring(body)
    assert root.findtext(f"{{{NAMESPACE}}}scope") == "Restricted"
    assert root.findtext(f"{{{NAMESPACE}}}note") == "EXERCICE EXERCICE EXERCICE"
    french, english = read_message(body)[0].infos
    assert (
        french.headline.replace("\xa0", " ")
        == f"Coupure électrique : {NAMES.site('cen-1')}, Nanterre (N2)"
    )
    assert english.headline.startswith("Power cut")
    assert "Personnes concernées : 12." in french.description.replace("\xa0", " ")
    assert "People concerned: 12." in english.description
