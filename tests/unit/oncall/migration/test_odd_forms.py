"""An export of an odd form is refused with its file and field, or converted; never half read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.oncall.migration import ExportInvalid, read_objects
from services.oncall.migration import grafana_oncall, opsgenie
from services.oncall.migration.mapping import Mapping, RoleAssignment

MAPPING = Mapping(posts={"S": RoleAssignment("coordinateur_pca", None)}, levels={"E": "N1"})
ROTATION = {
    "name": "r",
    "type": "daily",
    "length": 1,
    "startDate": "2026-01-01T08:00:00Z",
    "participants": [{"type": "user", "username": "a@b"}],
}
SHIFT = {
    "id": "1",
    "name": "g",
    "type": "rolling_users",
    "start": "2026-01-01T08:00:00",
    "duration": 86400,
    "frequency": "daily",
    "rolling_users": [["u"]],
}
SCHEDULE = {"id": "s", "name": "S", "type": "web", "shifts": ["1"]}
USER = {"id": "u", "username": "u", "email": "u@x"}
STEP = {"escalation_chain_id": "c", "position": 1, "type": "wait"}
LIMITS = {"type": "time-of-day"}


def rotate(**changes: Any) -> dict[str, Any]:
    return {"name": "S", "rotations": [ROTATION | changes]}


def shift(**changes: Any) -> list[dict[str, Any]]:
    return [SHIFT | changes, SCHEDULE, USER]


OPSGENIE: list[tuple[Any, str]] = [
    ({"name": "S", "rotations": None}, "rotations"),
    ({"name": "S", "rotations": {"a": 1}}, "rotations"),
    ({"name": "S", "rotations": [None]}, "rotations.0"),
    (rotate(participants=["a"]), "rotations.0.participants.0"),
    (rotate(length="x"), "rotations.0.length"),
    (rotate(timeRestriction=[]), "rotations.0.timeRestriction"),
    (
        rotate(timeRestriction=LIMITS | {"restriction": {"startHour": None}}),
        "rotations.0.timeRestriction.restriction.startHour",
    ),
    (
        rotate(timeRestriction=LIMITS | {"restriction": [{"startHour": 1}]}),
        "rotations.0.timeRestriction.restriction",
    ),
    ({"name": "S", "timezone": ["x"], "rotations": [ROTATION]}, "timezone"),
    ({"name": "E", "rules": None}, "rules"),
    ({"name": "E", "rules": ["x"]}, "rules.0"),
    ({"name": "E", "rules": [{"delay": "5m"}]}, "rules.0.delay"),
    ({"name": "E", "rules": [{"recipient": "x"}]}, "rules.0.recipient"),
    ({"name": "E", "rules": [], "repeat": True}, "repeat"),
    ({"username": "a@b", "fullName": "A", "userContacts": ["x"]}, "userContacts.0"),
    ({"data": "x"}, ""),
]
GRAFANA: list[tuple[Any, str]] = [
    ([SCHEDULE | {"shifts": 5}, SHIFT, USER], "shifts"),
    (shift(level="x"), "level"),
    (shift(interval="x"), "interval"),
    (shift(duration="x"), "duration"),
    (shift(by_day=3), "by_day"),
    (shift(rolling_users=[None]), "rolling_users.0"),
    (shift(rolling_users={"a": 1}), "rolling_users"),
    ({"username": None, "email": None}, "username, email"),
    ({"type": ["x"]}, ""),
    ({"type": "slack_based", "slack": "x"}, "slack"),
    (STEP | {"position": "x"}, "position"),
    (STEP | {"duration": "x"}, "duration"),
    (shift(rotation_start="x"), ""),
]


@pytest.mark.parametrize(
    ("product", "document", "field"),
    [("opsgenie", *case) for case in OPSGENIE] + [("grafana", *case) for case in GRAFANA],
)
def test_an_odd_form_is_named_with_its_file_and_field(
    tmp_path: Path, product: str, document: Any, field: str
) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(document))
    reader = (opsgenie if product == "opsgenie" else grafana_oncall).list_objects
    convert = opsgenie.convert_opsgenie if product == "opsgenie" else grafana_oncall.convert_grafana
    if not field:
        assert convert(read_objects([file], reader), MAPPING).rotations == []
        return
    with pytest.raises(ExportInvalid) as caught:
        convert(read_objects([file], reader), MAPPING)
    assert str(caught.value) == f"{file} : objet 1, {field} : forme inattendue"
