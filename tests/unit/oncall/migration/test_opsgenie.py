"""An export of Opsgenie becomes rotations, steps and people, with a line for everything else."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.oncall.migration.mapping import (
    MappingInvalid,
    MigratedStep,
    Migration,
    Outcome,
    make_token,
    read_mapping,
)
from services.oncall.migration.opsgenie import convert_opsgenie, list_objects

MAPPING = read_mapping(
    {
        "roles": {"Technique": "astreinte_technique", "Direction": "astreinte_direction"},
        "ladders": {"Bâtiments": "N1"},
        "people": {"zoe.durand@example.org": "ast-technique"},
    }
)
USERS = {
    "data": [
        {
            "id": "b5b92115-bfe7-43eb-8c2a-e467f2e5ddc4",
            "username": "Zoe.Durand@example.org",
            "fullName": "Zoé Durand",
            "role": {"id": "User", "name": "User"},
            "userContacts": [
                {"contactMethod": "email", "to": "zoe.durand@example.org"},
                {"contactMethod": "sms", "to": "33-612345678"},
                {"contactMethod": "voice", "to": "33-612345678"},
                {"contactMethod": "mobile", "to": "iPhone"},
            ],
        },
        {"id": "2", "username": "ali@example.org", "fullName": "Ali Martin"},
    ]
}


def make_schedule(*rotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "d875e654-9b4e-4219-a803-0c26936d18de",
        "name": "Technique",
        "timezone": "Europe/Paris",
        "enabled": True,
        "ownerTeam": {"id": "90098alp9", "name": "TeamMoon"},
        "rotations": list(rotations),
    } | changes


def make_rotation(**changes: Any) -> dict[str, Any]:
    return {
        "id": "7608447f-6c10-4ac1-b5c6-22ed6c1e7c52",
        "name": "Semaine",
        "startDate": "2026-11-02T07:00:00Z",
        "type": "weekly",
        "length": 1,
        "participants": [
            {"type": "user", "id": "1", "username": "zoe.durand@example.org"},
            {"type": "user", "id": "2", "username": "ali@example.org"},
        ],
        "timeRestriction": None,
    } | changes


def convert(*objects: dict[str, Any]) -> Migration:
    return convert_opsgenie(objects, MAPPING)


def reasons_of(found: Migration, outcome: Outcome) -> list[str]:
    return [f"{r.subject} : {r.reason}" for r in found.remarks if r.outcome is outcome]


def test_a_weekly_rotation_keeps_its_people_its_day_and_its_local_hour() -> None:
    (rotation,) = convert(make_schedule(make_rotation())).rotations
    assert (rotation.role, rotation.scope) == ("astreinte_technique", None)
    assert rotation.persons == ("ast-technique", "ali")
    assert rotation.every_days == 7
    assert (rotation.since, rotation.hand_off_min) == (date(2026, 11, 2), 8 * 60)
    assert rotation.hours is None


def test_hours_of_the_day_become_hours_of_the_rotation() -> None:
    night = {
        "type": "time-of-day",
        "restriction": {"startHour": 18, "startMin": 30, "endHour": 8, "endMin": 0},
    }
    made = convert(make_schedule(make_rotation(type="daily", length=2, timeRestriction=night)))
    (rotation,) = made.rotations
    assert (rotation.every_days, rotation.hours) == (2, (18 * 60 + 30, 8 * 60))


def test_hours_of_another_zone_are_converted_and_marked_for_a_check() -> None:
    day = {
        "type": "time-of-day",
        "restriction": {"startHour": 9, "startMin": 0, "endHour": 18, "endMin": 0},
    }
    migration = convert(
        make_schedule(make_rotation(timeRestriction=day), timezone="Europe/Istanbul")
    )
    assert migration.rotations[0].hours == (7 * 60, 16 * 60)
    assert len(reasons_of(migration, Outcome.CHANGED)) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "hourly", "length": 5}, "relève toutes les 5 heures"),
        ({"timeRestriction": {"type": "weekday-and-time-of-day", "restrictions": []}}, "jour"),
        ({"participants": [{"type": "team", "name": "A"}]}, "pas une personne (team)"),
        ({"participants": []}, "aucune personne"),
        ({"startDate": "bientôt"}, "date illisible"),
        ({"length": 100}, "hors des limites d’une rotation : every_days"),
    ],
)
def test_a_rotation_without_a_counterpart_is_left_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    migration = convert(make_schedule(make_rotation(**changes)))
    assert migration.rotations == []
    (remark_text,) = reasons_of(migration, Outcome.LEFT)
    assert remark_text.startswith("planning Technique, rotation Semaine")
    assert reason in remark_text


def test_a_schedule_without_a_role_or_switched_off_is_left() -> None:
    migration = convert(
        make_schedule(make_rotation(), name="Sécurité"),
        make_schedule(make_rotation(), enabled=False),
        make_schedule(make_rotation(), timezone="Mars/Olympus"),
    )
    assert migration.rotations == []
    assert [r.reason for r in migration.remarks] == [
        "aucun rôle indiqué (roles)",
        "désactivé",
        "fuseau horaire inconnu : Mars/Olympus",
    ]


def test_an_escalation_becomes_steps_of_its_level_in_order() -> None:
    migration = convert(
        {
            "id": "b3a1",
            "name": "Bâtiments",
            "rules": [
                {
                    "condition": "if-not-acked",
                    "notifyType": "default",
                    "delay": {"timeAmount": 20, "timeUnit": "minutes"},
                    "recipient": {"type": "schedule", "id": "2", "name": "Direction"},
                },
                {
                    "condition": "if-not-closed",
                    "notifyType": "default",
                    "delay": {"timeAmount": 0},
                    "recipient": {"type": "schedule", "id": "1", "name": "Technique"},
                },
                {
                    "condition": "if-not-acked",
                    "notifyType": "next",
                    "delay": {"timeAmount": 1, "timeUnit": "hours"},
                    "recipient": {"type": "schedule", "id": "1", "name": "Technique"},
                },
                {
                    "condition": "if-not-acked",
                    "notifyType": "default",
                    "delay": {"timeAmount": 5, "timeUnit": "minutes"},
                    "recipient": {"type": "user", "username": "ali@example.org"},
                },
            ],
            "repeat": {"waitInterval": 10, "count": 2, "resetRecipientStates": True},
        }
    )
    assert migration.ladders == {
        "N1": [
            MigratedStep(0, ("astreinte_technique",)),
            MigratedStep(20, ("astreinte_direction",)),
        ]
    }
    assert reasons_of(migration, Outcome.CHANGED) == [
        "escalade Bâtiments, étape 2 : appelle jusqu’à l’accusé, non jusqu’à la clôture"
    ]
    assert [line.partition(" : ")[0] for line in reasons_of(migration, Outcome.LEFT)] == [
        "escalade Bâtiments, étape 3",
        "escalade Bâtiments, étape 4",
        "escalade Bâtiments, reprise",
    ]


def test_people_keep_their_numbers_and_an_unknown_channel_is_named() -> None:
    migration = convert(*list_objects(USERS))
    zoe, ali = migration.people
    assert (zoe.person, zoe.name) == ("ast-technique", "Zoé Durand")
    assert zoe.points == (
        ("email", "Zoe.Durand@example.org"),
        ("email", "zoe.durand@example.org"),
        ("sms", "+33612345678"),
        ("voice", "+33612345678"),
    )
    assert (ali.person, ali.points) == ("ali", (("email", "ali@example.org"),))
    assert reasons_of(migration, Outcome.LEFT) == [
        "personne Zoé Durand : moyen de contact sans équivalent : mobile"
    ]


def test_a_contact_that_no_directory_takes_is_left_with_its_line() -> None:
    """One such line, in the file of the people, would keep everybody out of the directory."""
    user = USERS["data"][0] | {
        "userContacts": [
            {"contactMethod": "voice", "to": "abc"},
            {"contactMethod": "sms", "to": "0612345678"},
            {"contactMethod": "email", "to": ""},
        ]
    }
    migration = convert_opsgenie([user], MAPPING)
    (person,) = migration.people
    assert person.points == (("email", "Zoe.Durand@example.org"), ("sms", "+33612345678"))
    reasons = [r.reason for r in migration.remarks if r.outcome is Outcome.LEFT]
    assert reasons == [
        "moyen de contact illisible : voice",
        "moyen de contact illisible : email",
    ]


def test_every_object_of_an_export_has_its_line() -> None:
    migration = convert(
        {"id": "t", "name": "TeamMoon", "members": []},
        {"id": "i", "name": "Prometheus", "type": "API"},
    )
    assert [r.subject for r in migration.remarks] == ["équipe TeamMoon", "objet Prometheus"]


def test_files_may_be_answers_lists_or_single_objects() -> None:
    one = make_schedule()
    for document in (one, [one], {"data": one}, {"data": [one], "paging": {}}):
        assert list(list_objects(document)) == [one]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"rôles": {}},
        {"roles": ["Technique"]},
        {"ladders": {"Bâtiments": "N9"}},
        {"people": {"a@example.org": "UN JETON"}},
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(document: Any) -> None:
    with pytest.raises(MappingInvalid):
        read_mapping(document)


def test_a_token_comes_from_the_address() -> None:
    assert make_token("Zoé.Durand@example.org") == "zoe.durand"
    assert make_token("@") == "personne"


def test_two_people_never_get_one_token() -> None:
    """The rotation of one would call the other."""
    other = {"id": "3", "username": "Ali@partner.example", "fullName": "Ali Petit"}
    turn = make_rotation(participants=[{"type": "user", "username": "ali@partner.example"}])
    for objects in ([*USERS["data"], other], [*USERS["data"], make_schedule(turn)]):
        with pytest.raises(MappingInvalid, match=r"ali@example\.org et ali@partner\.example"):
            convert_opsgenie(objects, MAPPING)
    mapping = read_mapping({"people": {"ali@partner.example": "ali-2"}})
    people = convert_opsgenie([*USERS["data"], other], mapping).people
    assert [one.person for one in people] == ["zoe.durand", "ali", "ali-2"]
