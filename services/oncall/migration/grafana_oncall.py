"""Convert an export of Grafana OnCall: answers of its HTTP API, or a state of Terraform as JSON.

An object is recognised by its fields; in Terraform by the type of its resource.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from pydantic import model_validator

from services.oncall.migration.forms import Form, Id, check_forms
from services.oncall.migration.mapping import (
    DAY_S,
    Mapping,
    MigratedPerson,
    MigratedStep,
    Migration,
    NotMigrated,
    Outcome,
    RoleAssignment,
    Turns,
    build_rotation,
    find_zone,
    keeps_paris_time,
    parse_start,
)

_SHIFTS: Final = ("rolling_users", "recurrent_event", "single_event")
_PERIODS: Final = {"daily": 1, "weekly": 7}
_WEEK: Final = frozenset(("MO", "TU", "WE", "TH", "FR", "SA", "SU"))
_AS_CALENDAR: Final = "exportez ce planning en iCalendar et importez-le (vigie oncall import)"
_PREFIX: Final = "grafana_oncall_"


class _Shift(Form):
    id: Id = None
    time_zone: str | None = None
    level: int | None = None
    interval: int | None = None
    duration: int | None = None
    start_rotation_from_user_index: int | None = None
    by_day: list[str] | None = None
    rolling_users: list[list[Id]] | None = None
    users: list[Id] | None = None


class _Schedule(Form):
    id: Id = None
    time_zone: str | None = None
    shifts: list[Id] | None = None


class _User(Form):
    id: Id = None
    name: Id = None
    username: str | None
    email: str | None

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if not (self.username or self.email):
            raise ValueError("neither username nor email")
        return self


class _Slack(Form):
    name: Id = None


class _Group(Form):
    slack: _Slack | None = None


class _Step(Form):
    escalation_chain_id: Id
    position: int | None = None
    duration: int | None = None


_FORMS: Final[dict[str, type[Form]]] = {
    "shift": _Shift,
    "schedule": _Schedule,
    "user": _User,
    "group": _Group,
    "step": _Step,
}


def list_objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file: `{"results": …}`, a list, one object, or a Terraform state.

    Raises FormInvalid.
    """
    items = list(_find_objects(document))
    check_forms(items, _FORMS, map(_get_kind, items))
    yield from items


def _find_objects(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, list):
        for item in document:
            yield from _find_objects(item)
        return
    if not isinstance(document, dict):
        return
    if "results" in document:
        yield from _find_objects(document["results"])
    elif isinstance(values := document.get("values"), dict):
        if "root_module" in values:
            yield from _find_objects(values["root_module"])
        elif str(document.get("type", "")).startswith(_PREFIX):
            yield values | {"resource": str(document["type"]).removeprefix(_PREFIX)}
    elif "resources" in document or "child_modules" in document:
        yield from _find_objects(document.get("resources") or [])
        yield from _find_objects(document.get("child_modules") or [])
    else:
        yield document


def _get_kind(item: dict[str, Any]) -> str:
    """Return the kind of an object."""
    if "escalation_chain_id" in item:
        return "step"
    if item.get("type") in _SHIFTS:
        return "shift"
    if item.get("type") in ("ical", "calendar", "web"):
        return "schedule"
    if "username" in item and "email" in item:
        return "user"
    if item.get("type") == "slack_based" or item.get("resource") == "user_group":
        return "group"
    if item.get("resource") == "escalation_chain" or set(item) <= {"id", "name", "team_id"}:
        return "chain"
    return "other"


def convert_grafana(objects: Iterable[dict[str, Any]], mapping: Mapping) -> Migration:
    """Convert the objects of an export; each gets at least one remark. Raises MappingInvalid."""
    migration = Migration()
    kinds: dict[str, list[dict[str, Any]]] = {}
    for item in objects:
        kinds.setdefault(_get_kind(item), []).append(item)
    mapping.check_tokens(_get_address(user) for user in kinds.get("user", ()))
    tokens = {str(u.get("id")): _convert_user(u, mapping, migration) for u in kinds.get("user", ())}
    shifts = {str(shift.get("id")): shift for shift in kinds.get("shift", ())}
    schedules = {str(s.get("id")): str(s.get("name")) for s in kinds.get("schedule", ())}
    for schedule in kinds.get("schedule", ()):
        _convert_schedule(schedule, shifts, tokens, mapping, migration)
    for shift in shifts.values():
        migration.note(
            f"garde {shift.get('name')}", Outcome.LEFT, "dans aucun planning de l’export"
        )
    _convert_chains(kinds, schedules, mapping, migration)
    for group in kinds.get("group", ()):
        name = (group.get("slack") or {}).get("name") or group.get("name") or group.get("id")
        migration.note(
            f"groupe {name}", Outcome.LEFT, "groupe de Slack : mettez ses rôles aux étapes"
        )
    for other in kinds.get("other", ()):
        name = other.get("name") or other.get("id") or "sans nom"
        migration.note(f"objet {name}", Outcome.LEFT, "ni planning, ni chaîne, ni personne")
    return migration


def _get_address(user: dict[str, Any]) -> str:
    return str(user["email"] or user["username"])


def _convert_user(item: dict[str, Any], mapping: Mapping, migration: Migration) -> str:
    """Convert a user and return the token."""
    address = _get_address(item)
    name = str(item.get("name") or item["username"] or address)
    token = mapping.find_token(address)
    points = (("email", address),) if "@" in address else ()
    migration.people.append(MigratedPerson(token, name, points))
    migration.note(
        f"personne {name}",
        Outcome.CHANGED,
        f"jeton {token} ; l’export ne contient pas de numéro de téléphone",
    )
    return token


def _convert_schedule(
    item: dict[str, Any],
    shifts: dict[str, dict[str, Any]],
    tokens: dict[str, str],
    mapping: Mapping,
    migration: Migration,
) -> None:
    """Convert a schedule; its shifts leave `shifts`."""
    name = str(item.get("name"))
    own = [shifts.pop(str(id), None) for id in item.get("shifts") or ()]
    post = mapping.posts.get(name)
    if post is None:
        migration.note(f"planning {name}", Outcome.LEFT, "aucun rôle indiqué (roles)")
        return
    if item.get("type") == "ical":
        migration.note(
            f"planning {name}", Outcome.LEFT, "iCalendar : importez-le (vigie oncall import)"
        )
        return
    if item.get("ical_url_overrides") or item.get("enable_web_overrides"):
        migration.note(
            f"planning {name}, remplacements", Outcome.LEFT, "à ressaisir (vigie oncall override)"
        )
    levels = {int(shift.get("level") or 0) for shift in own if shift is not None}
    for shift in own:
        if shift is None:
            migration.note(
                f"planning {name}", Outcome.LEFT, "une de ses gardes manque dans l’export"
            )
            continue
        _convert_shift(shift, item, len(levels) > 1, post, tokens, migration)


def _convert_shift(
    shift: dict[str, Any],
    schedule: dict[str, Any],
    has_levels: bool,
    post: RoleAssignment,
    tokens: dict[str, str],
    migration: Migration,
) -> None:
    subject = f"planning {schedule.get('name')}, garde {shift.get('name')}"
    try:
        zone = find_zone(shift.get("time_zone") or schedule.get("time_zone"))
        shift_start = parse_start(shift.get("start"), zone)
        start = _find_first_start(shift, shift_start, zone)
        rotations = [build_rotation(post, turns) for turns in _read_turns(shift, start, tokens)]
    except NotMigrated as reason:
        migration.note(subject, Outcome.LEFT, str(reason))
        return
    migration.rotations += rotations
    doubts = []
    if start != shift_start:
        doubts.append("la rotation commence après sa garde : vérifiez la première personne")
    if has_levels:
        doubts.append("priorités entre gardes : deux gardes à la même heure appellent ensemble")
    if not keeps_paris_time(zone, start):
        doubts.append(f"heures de {zone.key} converties en heures de Paris à ce jour")
    migration.note(subject, Outcome.CHANGED if doubts else Outcome.TAKEN, " ; ".join(doubts))


def _find_first_start(shift: dict[str, Any], start: datetime, zone: ZoneInfo) -> datetime:
    """Return the first handover: the hour of the shift, from the start of its rotation on.

    Raises NotMigrated.
    """
    if not shift.get("rotation_start"):
        return start
    begins = parse_start(shift["rotation_start"], zone)
    first = start.replace(year=begins.year, month=begins.month, day=begins.day)
    return max(start, first if first >= begins else first + timedelta(days=1))


def _read_turns(shift: dict[str, Any], start: datetime, tokens: dict[str, str]) -> Iterator[Turns]:
    """Yield the turns of a shift: one per person of its groups. Raises NotMigrated."""
    if shift["type"] == "single_event":
        raise NotMigrated("une seule fois : à ressaisir (vigie oncall override)")
    interval = int(shift.get("interval") or 1)
    every_days = _PERIODS.get(str(shift.get("frequency")), 0) * interval
    duration = int(shift.get("duration") or 0)
    days = frozenset(shift.get("by_day") or ())
    if not every_days or shift.get("by_month") or shift.get("by_monthday"):
        raise NotMigrated(f"fréquence sans équivalent : {_AS_CALENDAR}")
    if days and days != _WEEK:
        raise NotMigrated(f"certains jours de la semaine seulement : {_AS_CALENDAR}")
    daily = every_days == 1 or days == _WEEK
    if duration == every_days * DAY_S or (daily and duration == DAY_S):
        hours = None
    elif daily and 0 < duration < DAY_S:
        begin = start.hour * 60 + start.minute
        hours = (begin, (begin + duration // 60) % 1440)
    else:
        raise NotMigrated(f"garde plus courte que son tour : {_AS_CALENDAR}")
    groups = shift.get("rolling_users") or [shift.get("users") or []]
    first = int(shift.get("start_rotation_from_user_index") or 0)
    groups = groups[first:] + groups[:first]
    if len({len(group) for group in groups}) != 1 or not groups[0]:
        raise NotMigrated("groupes de tailles différentes, ou vides")
    until = shift.get("until")
    end = parse_start(until, start.tzinfo).date() if until else None  # type: ignore[arg-type]
    for place in range(len(groups[0])):
        persons = tuple(_find_person(str(group[place]), tokens) for group in groups)
        yield Turns(persons, every_days, start, end, hours)


def _find_person(id: str, tokens: dict[str, str]) -> str:
    """Return the token of a user. Raises NotMigrated."""
    if id not in tokens:
        raise NotMigrated(f"personne {id} absente de l’export (users)")
    return tokens[id]


def _convert_chains(
    kinds: dict[str, list[dict[str, Any]]],
    schedules: dict[str, str],
    mapping: Mapping,
    migration: Migration,
) -> None:
    names = {str(c.get("id")): str(c.get("name")) for c in kinds.get("chain", ())}
    steps: dict[str, list[dict[str, Any]]] = {id: [] for id in names}
    for step in kinds.get("step", ()):
        steps.setdefault(str(step["escalation_chain_id"]), []).append(step)
    for id, own in steps.items():
        name = names.get(id, id)
        level = mapping.levels.get(name)
        if level is None:
            migration.note(f"chaîne {name}", Outcome.LEFT, "aucun niveau indiqué (ladders)")
            continue
        after, roles = 0, dict[int, list[str]]()
        for step in sorted(own, key=lambda s: int(s.get("position") or 0)):
            subject = f"chaîne {name}, étape {int(step.get('position') or 0) + 1}"
            if step.get("type") == "wait":
                after += int(step.get("duration") or 0) // 60
                migration.note(subject, Outcome.TAKEN, f"attente jusqu’à {after} min")
                continue
            try:
                roles.setdefault(after, []).append(_read_step(step, schedules, mapping))
                migration.note(subject, Outcome.TAKEN)
            except NotMigrated as reason:
                migration.note(subject, Outcome.LEFT, str(reason))
        migrated_steps = [
            MigratedStep(at, tuple(dict.fromkeys(who))) for at, who in roles.items() if who
        ]
        if migrated_steps:
            migration.ladders[level] = migrated_steps


def _read_step(step: dict[str, Any], schedules: dict[str, str], mapping: Mapping) -> str:
    """Return the role that a step calls. Raises NotMigrated."""
    if step.get("type") != "notify_on_call_from_schedule":
        raise NotMigrated(f"Vigie appelle des rôles : {step.get('type')} n’a pas d’équivalent")
    id = str(step.get("notify_on_call_from_schedule"))
    name = schedules.get(id)
    if name is None:
        raise NotMigrated(f"planning {id} absent de l’export")
    if name not in mapping.posts:
        raise NotMigrated(f"aucun rôle indiqué pour le planning {name}")
    return mapping.posts[name].role
