"""An export of Grafana OnCall becomes rotations, steps and people, with a line for everything else."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.oncall.migration.grafana_oncall import convert_grafana, list_objects
from services.oncall.migration.mapping import (
    MappingInvalid,
    MigratedStep,
    Migration,
    Outcome,
    read_mapping,
)

MAPPING = read_mapping(
    {"roles": {"Technique": "astreinte_technique"}, "ladders": {"default": "N2"}}
)
USERS = [
    {"id": "U4DNY931HHJS5", "email": "zoe@example.org", "username": "zoe", "role": "admin"},
    {"id": "U6RV9WPSL6DFW", "email": "ali@example.org", "username": "ali", "role": "editor"},
]
SCHEDULE = {
    "id": "SBM7DV7BKFUYU",
    "name": "Technique",
    "type": "web",
    "team_id": None,
    "time_zone": "Europe/Paris",
    "shifts": ["OH3V5FYQEYJ6M"],
}


def make_shift(**changes: Any) -> dict[str, Any]:
    return {
        "id": "OH3V5FYQEYJ6M",
        "name": "Semaine",
        "type": "rolling_users",
        "team_id": None,
        "time_zone": None,
        "level": 0,
        "start": "2026-11-02T08:00:00",
        "duration": 7 * 86_400,
        "frequency": "weekly",
        "interval": 1,
        "by_day": None,
        "rolling_users": [["U4DNY931HHJS5"], ["U6RV9WPSL6DFW"]],
    } | changes


def convert(*objects: dict[str, Any]) -> Migration:
    return convert_grafana([*USERS, *objects], MAPPING)


def left_of(found: Migration) -> list[str]:
    return [r.reason for r in found.remarks if r.outcome is Outcome.LEFT]


def test_a_rolling_shift_becomes_a_rotation_in_local_time() -> None:
    (rotation,) = convert(SCHEDULE, make_shift()).rotations
    assert rotation.role == "astreinte_technique"
    assert (rotation.persons, rotation.every_days) == (("zoe", "ali"), 7)
    assert (rotation.since, rotation.hand_off_min) == (date(2026, 11, 2), 480)
    assert rotation.hours is None


def test_the_first_person_is_the_one_of_the_given_index() -> None:
    (rotation,) = convert(SCHEDULE, make_shift(start_rotation_from_user_index=1)).rotations
    assert rotation.persons == ("ali", "zoe")


@pytest.mark.parametrize(
    ("rotation_start", "since", "doubts"),
    [
        ("2026-11-02T08:00:00", date(2026, 11, 2), 0),
        ("2026-11-16T00:00:00", date(2026, 11, 16), 1),
        ("2026-11-15T12:00:00", date(2026, 11, 16), 1),
        ("2026-10-01T00:00:00", date(2026, 11, 2), 0),
    ],
)
def test_a_rotation_that_starts_later_keeps_the_hour_of_its_shift(
    rotation_start: str, since: date, doubts: int
) -> None:
    migration = convert(SCHEDULE, make_shift(rotation_start=rotation_start))
    (rotation,) = migration.rotations
    assert (rotation.since, rotation.hand_off_min) == (since, 480)
    changed = [
        r for r in migration.remarks if r.outcome is Outcome.CHANGED and "garde" in r.subject
    ]
    assert len(changed) == doubts


def test_a_shift_over_night_keeps_its_hours() -> None:
    night = make_shift(frequency="daily", start="2026-11-02T20:00:00", duration=12 * 3600)
    (rotation,) = convert(SCHEDULE, night).rotations
    assert (rotation.every_days, rotation.hours) == (1, (20 * 60, 8 * 60))


def test_two_people_at_once_become_two_rotations() -> None:
    pairs = [["U4DNY931HHJS5", "U6RV9WPSL6DFW"], ["U6RV9WPSL6DFW", "U4DNY931HHJS5"]]
    migration = convert(SCHEDULE, make_shift(rolling_users=pairs))
    assert [r.persons for r in migration.rotations] == [("zoe", "ali"), ("ali", "zoe")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "single_event", "users": ["U4DNY931HHJS5"]}, "une seule fois"),
        ({"by_day": ["MO", "TU"]}, "certains jours de la semaine"),
        ({"frequency": "monthly"}, "fréquence sans équivalent"),
        ({"duration": 86_400}, "plus courte que son tour"),
        ({"rolling_users": [["U0000000"]]}, "absente de l’export"),
        ({"rolling_users": [[], []]}, "vides"),
        ({"start": "9999-12-31T23:59:59"}, "hors du calendrier"),
        ({"time_zone": "Europe"}, "fuseau horaire inconnu"),
        ({"time_zone": "x" * 300}, "fuseau horaire inconnu"),
        ({"time_zone": 2}, "fuseau horaire inconnu"),
    ],
)
def test_a_shift_without_a_counterpart_is_left_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    migration = convert(SCHEDULE, make_shift(**changes))
    assert migration.rotations == []
    (remark_text,) = left_of(migration)
    assert reason in remark_text


def test_shifts_of_different_priority_are_marked_for_a_check() -> None:
    migration = convert(
        SCHEDULE | {"shifts": ["OH3V5FYQEYJ6M", "B"]},
        make_shift(),
        make_shift(id="B", name="Renfort", level=2),
    )
    assert len(migration.rotations) == 2
    changed = [r.subject for r in migration.remarks if r.outcome is Outcome.CHANGED]
    assert "planning Technique, garde Renfort" in changed


def test_a_calendar_goes_to_the_import_of_calendars() -> None:
    migration = convert(SCHEDULE | {"type": "ical", "shifts": []})
    assert left_of(migration) == ["iCalendar : importez-le (vigie oncall import)"]


def test_a_chain_adds_up_its_waits() -> None:
    def step(position: int, type: str, **fields: Any) -> dict[str, Any]:
        return {
            "id": f"E{position}",
            "escalation_chain_id": "F5JU6KJET33FE",
            "position": position,
            "type": type,
        } | fields

    migration = convert(
        SCHEDULE,
        make_shift(),
        {"id": "F5JU6KJET33FE", "name": "default", "team_id": None},
        step(3, "notify_persons", persons_to_notify=["U4DNY931HHJS5"]),
        step(2, "notify_on_call_from_schedule", notify_on_call_from_schedule="SBM7DV7BKFUYU"),
        step(1, "wait", duration=300),
        step(0, "notify_on_call_from_schedule", notify_on_call_from_schedule="SBM7DV7BKFUYU"),
    )
    called = ("astreinte_technique",)
    assert migration.ladders == {"N2": [MigratedStep(0, called), MigratedStep(5, called)]}
    assert left_of(migration) == ["Vigie appelle des rôles : notify_persons n’a pas d’équivalent"]


def test_groups_and_lone_shifts_have_their_lines() -> None:
    migration = convert(
        make_shift(name="Seule"),
        {"id": "GPFAPH7J7BKJB", "type": "slack_based", "slack": {"name": "Direction"}},
    )
    assert left_of(migration) == [
        "dans aucun planning de l’export",
        "groupe de Slack : mettez ses rôles aux étapes",
    ]


def test_a_state_of_terraform_is_read_like_the_answers_of_the_api() -> None:
    state = {
        "format_version": "1.0",
        "values": {
            "root_module": {
                "resources": [
                    {"type": "grafana_oncall_schedule", "values": SCHEDULE},
                    {"type": "aws_instance", "values": {"id": "i"}},
                ],
                "child_modules": [
                    {
                        "resources": [
                            {"type": "grafana_oncall_on_call_shift", "values": make_shift()}
                        ]
                    }
                ],
            }
        },
    }
    migration = convert(*list_objects(state))
    assert len(migration.rotations) == 1
    assert list(list_objects({"count": 1, "results": [SCHEDULE]})) == [SCHEDULE]


def test_two_people_never_get_one_token() -> None:
    other = {"id": "U3", "email": "ali@partner.example", "username": "ali2"}
    with pytest.raises(MappingInvalid, match=r"ali@example\.org et ali@partner\.example"):
        convert(other)
