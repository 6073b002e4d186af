"""Shifts are assigned by token, name or address, never guessed.

An imported feed gives the same shifts.
"""

from __future__ import annotations

from typing import Any

import icalendar
import pytest

from schemas.oncall import DutyRow, Place, Shift
from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.oncall.assignment import (
    CalendarShifts,
    ImportOptions,
    Phonebook,
    TerritoryVocabulary,
    assign_shifts,
    list_outdated_shifts,
)
from services.oncall.feeds import export_schedule
from services.oncall.ics import CalendarRefused, read_calendar
from services.oncall.schedule import Schedule
from tests.shipped import territory
from tests.unit.oncall.corpus import event, ics
from tests.unit.oncall.rotas import ROLE, at, calendar, rota_of, spans

TERRITORY = territory()
ORGANISATION = TerritoryVocabulary.of(TERRITORY.sections)
PEOPLE = Phonebook.of(
    ["ast-technique", "ast-technique-s", "dir-education", "p-17"],
    [
        Contact(
            person="p-17",
            name="Émilie Jourdain",
            points=(ContactPoint(channel=Channel.EMAIL, address="emilie.jourdain@exemple.fr"),),
        ),
        Contact(person="p-18", name="Jean Martin"),
        Contact(person="p-19", name="Jean Martin"),
    ],
)
NOW = at("2027-02-11T09:40")
FILE = ImportOptions()
"""Options of an import that adds nothing to the file."""
TIMES = ("DTSTART;TZID=Europe/Paris:20270301T080000", "DTEND;TZID=Europe/Paris:20270308T080000")


def taken(
    *lines: str, summary: str, asked: ImportOptions = FILE, head: tuple[str, ...] = ()
) -> list[CalendarShifts]:
    return assign_shifts(
        read_calendar(ics(event(*TIMES, *lines, summary=summary), head=head), NOW),
        PEOPLE,
        ORGANISATION,
        asked,
    )


@pytest.mark.parametrize(
    "summary",
    [
        "Astreinte technique : ast-technique",
        "astreinte_technique / p-17",
        "ASTREINTE TECHNIQUE - emilie jourdain",
        "Emilie Jourdain (astreinte technique)",
    ],
)
def test_a_title_names_role_and_person_in_any_order(summary: str) -> None:
    options = ImportOptions(role=ROLE) if "technique" not in summary.casefold() else ImportOptions()
    (duty,) = taken(
        summary=summary.replace("astreinte technique", "astreinte_technique")
        .replace("Astreinte technique", ROLE)
        .replace("ASTREINTE TECHNIQUE", ROLE),
        asked=options,
    )
    assert (duty.role, duty.scope, duty.place) == (ROLE, None, Place.HOLDER)
    assert duty.shifts[0].person in ("ast-technique", "p-17")


def test_an_invitation_names_the_person_by_mail_address() -> None:
    (duty,) = taken(
        "ATTENDEE;CN=Émilie:mailto:Emilie.Jourdain@exemple.fr",
        summary="Garde",
        asked=ImportOptions(role=ROLE),
    )
    assert [s.person for s in duty.shifts] == ["p-17"]


def test_rooms_groups_and_declined_invitations_name_no_person() -> None:
    lines = (
        "ATTENDEE;CUTYPE=ROOM:mailto:salle@exemple.fr",
        "ATTENDEE;PARTSTAT=DECLINED:mailto:autre@exemple.fr",
        "ATTENDEE:mailto:emilie.jourdain@exemple.fr",
    )
    (duty,) = taken(*lines, summary="Garde", asked=ImportOptions(role=ROLE))
    assert [s.person for s in duty.shifts] == ["p-17"]


def test_the_name_of_the_calendar_may_give_the_role_and_the_title_the_deputy() -> None:
    (duty,) = taken(
        summary="ast-technique-s (suppléant)", head=("X-WR-CALNAME:astreinte_technique",)
    )
    assert (duty.role, duty.place) == (ROLE, Place.DEPUTY)


def test_a_role_of_poles_needs_its_pole() -> None:
    (duty,) = taken(summary="dir-education", asked=ImportOptions("directeur_pole", "education"))
    assert (duty.role, duty.scope) == ("directeur_pole", "education")
    (pole_duty,) = taken("CATEGORIES:education", summary="directeur_pole : dir-education")
    assert (pole_duty.role, pole_duty.scope) == ("directeur_pole", "education")
    with pytest.raises(CalendarRefused, match="périmètre"):
        taken(summary="dir-education", asked=ImportOptions("directeur_pole"))


@pytest.mark.parametrize(
    ("summary", "asked", "sentence"),
    [
        (
            "Garde de Paul",
            ImportOptions(ROLE),
            "« Garde de Paul » du 01/03/2027 08:00 ne nomme aucune personne",
        ),
        (
            "Jean Martin",
            ImportOptions(ROLE),
            "« Jean Martin » du 01/03/2027 08:00 ne nomme aucune personne",
        ),
        (
            "ast-technique",
            ImportOptions(),
            "« ast-technique » du 01/03/2027 08:00 ne dit pas de quel rôle",
        ),
        ("ast-technique", ImportOptions("plombier"), "« plombier » n’existe pas"),
    ],
)
def test_unknown_people_and_roles_are_refused_with_the_event(
    summary: str, asked: ImportOptions, sentence: str
) -> None:
    with pytest.raises(CalendarRefused, match=sentence):
        taken(summary=summary, asked=asked)


def test_an_invitation_to_a_stranger_refuses_the_file() -> None:
    with pytest.raises(CalendarRefused, match=r"inconnu@exemple\.fr"):
        taken("ATTENDEE:mailto:inconnu@exemple.fr", summary="Garde", asked=ImportOptions(ROLE))


def test_two_people_at_once_are_equals() -> None:
    (duty,) = taken(summary=f"{ROLE} : ast-technique, ast-technique-s")
    assert [s.person for s in duty.shifts] == ["ast-technique", "ast-technique-s"]


def test_an_imported_feed_gives_the_same_shifts() -> None:
    rota = rota_of(
        calendar(
            ("ast-technique", "2027-03-20T08:00", "2027-03-27T08:00"),
            ("p-17", "2027-03-27T08:00", "2027-04-03T08:00"),
        ),
        holders={ROLE: (None, "ast-technique-s")},
    )
    start, end = at("2027-03-20T08:00"), at("2027-04-03T08:00")
    text = export_schedule(rota, ROLE, None, "Astreinte technique", start, end, NOW)
    assert text == export_schedule(rota, ROLE, None, "Astreinte technique", start, end, NOW)
    duties = assign_shifts(read_calendar(text, NOW), PEOPLE, ORGANISATION, ImportOptions())
    again = Schedule(
        None,
        [
            calendar(
                number=n,
                start="2027-03-20T08:00",
                end="2027-04-03T08:00",
                role=d.role,
                place=d.place,
            ).model_copy(update={"shifts": d.shifts})
            for n, d in enumerate(duties)
        ],
    )
    for place in Place:
        assert spans(again, "2027-03-20T08:00", "2027-04-03T08:00", place) == spans(
            rota, "2027-03-20T08:00", "2027-04-03T08:00", place
        )


def test_a_shift_of_a_feed_keeps_its_event_id() -> None:
    """Calendar programs compare events by UID.

    A new UID per reading is a new event with a new reminder.
    """
    rota = rota_of(
        calendar(
            ("ast-technique", "2027-03-20T08:00", "2027-03-27T08:00"),
            ("p-17", "2027-03-27T08:00", "2027-04-03T08:00"),
        ),
        holders={ROLE: (None, "ast-technique-s")},
    )
    end = at("2027-04-03T08:00")
    first, later = (
        {
            (str(e["UID"]), str(e["SUMMARY"])): e["DTSTART"].dt
            for e in icalendar.Calendar.from_ical(text).walk("VEVENT")
        }
        for text in (
            export_schedule(rota, ROLE, None, "x", at(start), end, NOW)
            for start in ("2027-03-21T10:00", "2027-03-22T11:15")
        )
    )
    assert first.keys() == later.keys()
    shifts = [key for key in first if "suppléant" not in key[1]]
    assert len(shifts) == 2
    assert all(first[key] == later[key] for key in shifts)


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        (FILE, ["deputies", "other-role"]),
        (ImportOptions(role=ROLE), ["deputies"]),
        (ImportOptions(role=ROLE, place=Place.HOLDER), []),
        (ImportOptions(role=ROLE, place=Place.DEPUTY), ["deputies"]),
        (ImportOptions(role="cellule_si"), ["other-role"]),
    ],
)
def test_roles_dropped_by_a_calendar_are_known(asked: ImportOptions, gone: list[str]) -> None:
    shift = Shift(start=at("2027-03-01T08:00"), end=at("2027-03-08T08:00"), person="ast-technique")
    duty_rows = [
        duty_row("holders"),
        duty_row("deputies", place=Place.DEPUTY),
        duty_row("other-role", role="cellule_si"),
        duty_row("another-calendar", place=Place.DEPUTY, calendar="autre"),
        duty_row("withdrawn", place=Place.DEPUTY, state="withdrawn"),
        duty_row("override", place=Place.DEPUTY, kind="override", calendar=None),
    ]
    calendar_shifts = [CalendarShifts(ROLE, None, Place.HOLDER, shift.start, shift.end, (shift,))]
    assert list_outdated_shifts(duty_rows, "astreintes", asked, calendar_shifts) == gone


def duty_row(id: str, **changes: Any) -> DutyRow:
    start, end = at("2027-02-01T08:00"), at("2027-03-01T08:00")
    return DutyRow.model_validate(
        {
            "id": id,
            "kind": "calendar",
            "role": ROLE,
            "place": Place.HOLDER,
            "start": start,
            "end": end,
            "by": "coord",
            "decided_at": NOW,
            "calendar": "astreintes",
            "shifts": [{"start": start, "end": end, "person": "ast-technique"}],
            "number": 1,
            **changes,
        }
    )
