"""Convert an export of Opsgenie: answers of its REST API v2 about schedules, escalations and users.

An object is recognised by its fields, so that files may be whole answers, lists or single objects.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from schemas.people.directory import normalize_dialled_number
from services.oncall.migration.forms import Form, Id, check_forms
from services.oncall.migration.mapping import (
    Mapping,
    MigratedPerson,
    MigratedStep,
    Migration,
    NotMigrated,
    Outcome,
    Turns,
    build_rotation,
    find_zone,
    keeps_paris_time,
    parse_start,
    shift_minute,
)

_CHANNELS: Final = {"email": "email", "sms": "sms", "voice": "voice"}
_MINUTES: Final = {"minutes": 1, "hours": 60, "days": 1440}
_AS_CALENDAR: Final = "exportez ce planning en iCalendar et importez-le (vigie oncall import)"


class _Participant(Form):
    type: Id = None
    username: Id = None
    id: Id = None


class _Limits(Form):
    startHour: int = 0  # noqa: N815  as in the export
    startMin: int = 0  # noqa: N815
    endHour: int = 0  # noqa: N815
    endMin: int = 0  # noqa: N815


class _Restriction(Form):
    type: Id = None
    restriction: _Limits | None = None


class _Rotation(Form):
    name: Id = None
    type: Id = None
    length: int | None = None
    startDate: Id = None  # noqa: N815
    endDate: Id = None  # noqa: N815
    participants: list[_Participant] | None = None
    timeRestriction: _Restriction | None = None  # noqa: N815


class _Schedule(Form):
    name: Id = None
    timezone: str | None = None
    rotations: list[_Rotation]


class _Delay(Form):
    timeAmount: int | None = None  # noqa: N815
    timeUnit: Id = None  # noqa: N815


class _Recipient(Form):
    type: Id = None
    name: Id = None
    username: Id = None


class _Rule(Form):
    condition: Id = None
    notifyType: Id = None  # noqa: N815
    delay: _Delay | None = None
    recipient: _Recipient | None = None


class _Repeat(Form):
    count: Id = None
    waitInterval: Id = None  # noqa: N815


class _Escalation(Form):
    name: Id = None
    rules: list[_Rule]
    repeat: _Repeat | None = None


class _UserContact(Form):
    contactMethod: Id = None  # noqa: N815
    to: Id = None


class _User(Form):
    username: str
    fullName: str  # noqa: N815
    userContacts: list[_UserContact] | None = None  # noqa: N815


_FORMS: Final[dict[str, type[Form]]] = {
    "schedule": _Schedule,
    "escalation": _Escalation,
    "user": _User,
}


def list_objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file: `{"data": …}`, a list, or one object. Raises FormInvalid."""
    items = list(_find_objects(document))
    check_forms(items, _FORMS, map(_get_kind, items))
    yield from items


def _get_kind(item: dict[str, Any]) -> str:
    if "rotations" in item:
        return "schedule"
    if "rules" in item:
        return "escalation"
    return "user" if _is_user(item) else "other"


def _find_objects(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, list):
        for item in document:
            yield from _find_objects(item)
    elif isinstance(document, dict):
        if "data" in document:
            yield from _find_objects(document["data"])
        else:
            yield document


def convert_opsgenie(objects: Iterable[dict[str, Any]], mapping: Mapping) -> Migration:
    """Convert the objects of an export; each gets at least one remark. Raises MappingInvalid."""
    migration = Migration()
    items = list(objects)
    mapping.check_tokens(_list_addresses(items))
    people = {mapping.find_token(str(item["username"])) for item in items if _is_user(item)}
    known_people = frozenset(people | set(mapping.tokens.values()))
    for item in items:
        kind = _get_kind(item)
        if kind == "schedule":
            _convert_schedule(item, mapping, migration, known_people)
        elif kind == "escalation":
            _convert_escalation(item, mapping, migration)
        elif kind == "user":
            _convert_user(item, mapping, migration)
        elif "members" in item:
            migration.note(
                f"équipe {item.get('name')}",
                Outcome.LEFT,
                "une équipe n’appelle personne : ses rôles sont dans roster.csv",
            )
        else:
            name = item.get("name") or item.get("id") or "sans nom"
            migration.note(f"objet {name}", Outcome.LEFT, "ni planning, ni escalade, ni personne")
    return migration


def _is_user(item: dict[str, Any]) -> bool:
    return "username" in item and "fullName" in item


def _list_addresses(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the addresses of users, and of participants of rotations."""
    for item in items:
        if _is_user(item):
            yield str(item["username"])
        for rotation in item.get("rotations") or ():
            for participant in rotation.get("participants") or ():
                if participant.get("type") == "user":
                    yield _get_address(participant)


def _get_address(participant: dict[str, Any]) -> str:
    return str(participant.get("username") or participant.get("id"))


def _convert_user(item: dict[str, Any], mapping: Mapping, migration: Migration) -> None:
    address = str(item["username"])
    points = [("email", address)] if "@" in address else []
    subject = f"personne {item['fullName']}"
    for contact in item.get("userContacts") or ():
        channel = _CHANNELS.get(str(contact.get("contactMethod")))
        if channel is None:
            method = contact.get("contactMethod")
            migration.note(subject, Outcome.LEFT, f"moyen de contact sans équivalent : {method}")
            continue
        target = _read_address(str(contact.get("to", "")), channel)
        if target is None:
            migration.note(subject, Outcome.LEFT, f"moyen de contact illisible : {channel}")
            continue
        points.append((channel, target))
    person = MigratedPerson(
        mapping.find_token(address), str(item["fullName"]), tuple(dict.fromkeys(points))
    )
    migration.people.append(person)
    migration.note(subject, Outcome.TAKEN, f"jeton {person.person}")


def _read_address(text: str, channel: str) -> str | None:
    """Return `33-612345678` in E.164; a mail address stays. None: a directory would refuse it."""
    if channel == "email":
        return text if "@" in text else None
    digits = "".join(c for c in text if c.isdigit())
    return normalize_dialled_number(digits if digits.startswith("0") else f"+{digits}")


def _convert_schedule(
    item: dict[str, Any], mapping: Mapping, migration: Migration, known_people: frozenset[str]
) -> None:
    name = str(item.get("name"))
    post = mapping.posts.get(name)
    if post is None:
        migration.note(f"planning {name}", Outcome.LEFT, "aucun rôle indiqué (roles)")
        return
    if item.get("enabled") is False:
        migration.note(f"planning {name}", Outcome.LEFT, "désactivé")
        return
    for rotation in item["rotations"]:
        subject = f"planning {name}, rotation {rotation.get('name') or rotation.get('id')}"
        try:
            zone = find_zone(item.get("timezone"))
            turns = _read_turns(rotation, item.get("timezone"), mapping)
            migration.rotations.append(build_rotation(post, turns))
        except NotMigrated as reason:
            migration.note(subject, Outcome.LEFT, str(reason))
            continue
        doubts = []
        if unknown := [person for person in turns.persons if person not in known_people]:
            names = ", ".join(dict.fromkeys(unknown))
            doubts.append(f"personne absente de l’export : {names} ; vérifiez son jeton")
        if not keeps_paris_time(zone, turns.start):
            doubts.append(f"heures de {zone.key} converties en heures de Paris à ce jour")
        migration.note(subject, Outcome.CHANGED if doubts else Outcome.TAKEN, " ; ".join(doubts))


def _read_turns(rotation: dict[str, Any], timezone: str | None, mapping: Mapping) -> Turns:
    """Read the turns of a rotation. Raises NotMigrated."""
    zone = find_zone(timezone)
    length = int(rotation.get("length") or 1)
    hours = {"hourly": 1, "daily": 24, "weekly": 168}.get(str(rotation.get("type")), 0) * length
    if hours <= 0 or hours % 24:
        raise NotMigrated(f"relève toutes les {hours} heures : {_AS_CALENDAR}")
    persons = []
    for participant in rotation.get("participants") or ():
        if participant.get("type") != "user":
            kind = participant.get("type")
            raise NotMigrated(f"participant qui n’est pas une personne ({kind})")
        persons.append(mapping.find_token(_get_address(participant)))
    start = parse_start(rotation.get("startDate"), zone)
    end = parse_start(rotation["endDate"], zone).date() if rotation.get("endDate") else None
    span = rotation.get("timeRestriction")
    restriction = None
    if span is not None:
        if span.get("type") != "time-of-day":
            raise NotMigrated(f"heures différentes selon le jour : {_AS_CALENDAR}")
        time_limits = span.get("restriction") or {}
        begin, finish = (
            int(time_limits.get(f"{side}Hour", 0)) * 60 + int(time_limits.get(f"{side}Min", 0))
            for side in ("start", "end")
        )
        restriction = (shift_minute(begin, zone, start), shift_minute(finish, zone, start))
    return Turns(tuple(persons), hours // 24, start, end, restriction)


def _convert_escalation(item: dict[str, Any], mapping: Mapping, migration: Migration) -> None:
    name = str(item.get("name"))
    level = mapping.levels.get(name)
    if level is None:
        migration.note(f"escalade {name}", Outcome.LEFT, "aucun niveau indiqué (ladders)")
        return
    roles: dict[int, list[str]] = {}
    for number, rule in enumerate(item["rules"], 1):
        subject = f"escalade {name}, étape {number}"
        try:
            delay = rule.get("delay") or {}
            unit = _MINUTES.get(str(delay.get("timeUnit") or "minutes"), 1)
            after = int(delay.get("timeAmount") or 0) * unit
            roles.setdefault(after, []).append(_read_recipient(rule, mapping))
        except NotMigrated as reason:
            migration.note(subject, Outcome.LEFT, str(reason))
            continue
        ends_when_closed = rule.get("condition") == "if-not-closed"
        migration.note(
            subject,
            Outcome.CHANGED if ends_when_closed else Outcome.TAKEN,
            "appelle jusqu’à l’accusé, non jusqu’à la clôture" if ends_when_closed else "",
        )
    roles = {after: names for after, names in roles.items() if names}
    if roles:
        migration.ladders[level] = [
            MigratedStep(after, tuple(dict.fromkeys(roles[after]))) for after in sorted(roles)
        ]
    if repeat := item.get("repeat"):
        migration.note(
            f"escalade {name}, reprise",
            Outcome.LEFT,
            f"apres_derniere_vague vaut pour tous les niveaux (ici : {repeat.get('count', 1)} fois"
            f" après {repeat.get('waitInterval', 0)} min)",
        )


def _read_recipient(rule: dict[str, Any], mapping: Mapping) -> str:
    """Return the role that a rule calls. Raises NotMigrated."""
    recipient = rule.get("recipient") or {}
    kind, name = recipient.get("type"), str(recipient.get("name") or recipient.get("username"))
    if kind != "schedule":
        raise NotMigrated(f"Vigie appelle des rôles : {kind} {name} n’en est pas un")
    if rule.get("notifyType") not in (None, "default", "all"):
        raise NotMigrated(f"appel « {rule['notifyType']} » sans équivalent")
    if name not in mapping.posts:
        raise NotMigrated(f"aucun rôle indiqué pour le planning {name}")
    return mapping.posts[name].role
