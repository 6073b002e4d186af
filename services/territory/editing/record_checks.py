"""Check the values of an edited record against the rest of the territory. Rule D86.

These are the checks of a territory folder that texts and references of one record can fail.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas import reference as ref
from schemas.oncall import Place
from schemas.plans import CardPhase, Evidence, find_card_faults
from schemas.ranks import POLE_DIRECTOR_ROLE
from schemas.reference_changes import FieldValue, RecordAction, RecordEdit, RecordKind
from schemas.words import Channel, EventType
from services.territory.checks import MAX_LIMIT_H, MAX_LIMIT_MIN
from services.territory.editing.conditions import list_references
from services.territory.editing.field_forms import YES_NO
from services.territory.editing.new_records import NEW_FIELDS, apply_record_edit, find_references
from services.territory.editing.record_places import (
    build_card_id,
    split_card_id,
    split_post_id,
    split_rotation_id,
    split_staff_id,
)
from services.territory.editing.records import RECORDS, list_records, read_record
from services.territory.plan_checks import MAX_STEP_CHARACTERS, MAX_STEPS, find_order_faults

_PHONE: Final = re.compile(r"(?<!\d)(?:\+33|0033|0)[ .-]?[1-9](?:[ .-]?\d\d){4}(?!\d)")
_MAIL: Final = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[a-z]{2,}", re.IGNORECASE)
MAX_TEXT: Final = 2000
"""Most characters of a text that nothing else limits."""
REQUIRED: Final = frozenset(
    {"title", "task", "done_when", "organisation", "function", "domain", "name"}
)
"""Texts that nobody may empty."""


_SHORTEST_H: Final = 0.25
_BOUNDS: Final = (
    ("rto_h", _SHORTEST_H, MAX_LIMIT_H),
    ("dmia_h", _SHORTEST_H, MAX_LIMIT_H),
    ("pdma_h", 0, MAX_LIMIT_H),
    ("mbco_pct", 0, 100),
    ("minimum_staff", 0, 100_000),
)


_STEP_BOUNDS: Final = {"after_min": (0, 24 * 60), "ack_min": (1, 24 * 60), "expected": (1, 100)}


_SECTIONS: Final = {
    ref.Section.ESCALATION: ("niveaux et escalades", "levels and escalations"),
    ref.Section.STAFFING: ("effectifs et métiers", "staff and job families"),
}
"""Names of sections of which some rows have no title."""
_CHECKED_CONDITIONS: Final = frozenset(
    {"site_kind", "pole", "activity", "system", "event_type", "cause"}
)
MAX_LEVEL: Final = 4
MAX_STAFF: Final = 100_000
MAX_REFERENCES: Final = 10
"""Most places that name a record, of those that a refusal lists."""


@dataclass(frozen=True, slots=True)
class RecordFault:
    """A wrong field of a record, with a sentence in both languages."""

    field: str
    """Empty: the record itself."""
    code: str
    fr: str
    en: str


def list_known_ids(
    sections: Sequence[Any], persons: Iterable[str] = ()
) -> dict[str, Mapping[str, str]]:
    """Return kind of reference → id → name, for fields that refer to others.

    `persons`: tokens that the directory has besides the reference data.
    """
    people = {person: person for person in persons}
    roles: Mapping[str, str] = {}
    callable_names: Mapping[str, str] = {}
    ladders: Mapping[str, str] = {}
    poles: Mapping[str, str] = {}
    sites: Mapping[str, str] = {}
    kinds: Mapping[str, str] = {}
    cards: Mapping[str, str] = {}
    activity_names: Mapping[str, str] = {}
    plans: Mapping[str, str] = {}
    systems: Mapping[str, str] = {}
    suppliers: dict[str, str] = {}
    metiers: Mapping[str, str] = {}
    for section in sections:
        match section:
            case ref.EscalationPolicy(policy=policy):
                roles = policy.roles
                callable_names = roles | {group: group for group in policy.groups}
                ladders = {name: name for name in policy.ladders}
            case ref.Sites(sites=rows):
                sites = {site.id: site.name for site in rows}
                kinds = {site.kind: site.kind for site in rows}
            case ref.Plans(plans=rows):
                cards = {card.id: card.task for plan in rows for card in plan.cards}
                plans = {plan.id: plan.title for plan in rows}
            case ref.Activities(activities=activities, systems=names):
                poles = {pole.id: pole.name for pole in section.poles}
                activity_names = {activity.id: activity.name for activity in activities}
                titles = {system.id: system.name for system in names}
                systems = {id: titles.get(id, id) for a in activities for id in a.systems}
                suppliers |= {id: id for a in activities for id in a.suppliers}
            case ref.RosterSection(roster=roster):
                people |= {person: person for person in roster.channels}
            case ref.Staffing():
                metiers = {metier.id: metier.name for metier in section.metiers}
            case ref.Contacts(contacts=contacts):
                suppliers |= {contact.id: contact.organisation for contact in contacts}
    return {
        "role": roles,
        "plan": plans,
        "system": systems,
        "supplier": suppliers,
        "channel": {channel.value: channel.value for channel in Channel},
        "person": people,
        "called": callable_names,
        "ladder": ladders,
        "pole": poles,
        "scope": {**poles, **sites},
        "site": sites,
        "site_kind": kinds,
        "metier": metiers,
        "card": cards,
        "activity": activity_names,
        "event_type": {one.value: one.value for one in EventType},
        "cause": {one.value: one.value for one in EventType},
        **{name: {value: value for value in values} for name, values in _WORDS.items()},
    }


_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "phase": tuple(CardPhase),
    "evidence": tuple(Evidence),
    "place": tuple(Place),
    "telework": ("non", "partiel", "oui"),
    "yes_no": YES_NO,
}
"""Words of closed lists that a field may hold."""


def find_edit_faults(
    sections: Sequence[Any], edit: RecordEdit, persons: Iterable[str] = ()
) -> list[RecordFault]:
    """List the faults of the new values of a record.

    `sections` are those in force, `persons` tokens that the directory has besides them.
    """
    if edit.action is RecordAction.WITHDRAW:
        return list(_find_withdrawal_faults(sections, edit))
    existing_ids = list_known_ids(sections, persons)
    groups = (*RECORDS[edit.kind], *filter(None, (NEW_FIELDS.get(edit.kind),)))
    refers = {f.name: f.refers for group in groups for f in group.fields}
    faults: list[RecordFault] = []
    if edit.action is RecordAction.CREATE and edit.id in list_records(sections, edit.kind):
        faults.append(_build_double_fault(edit))
    for change in edit.fields:
        texts = _list_texts(change.after)
        faults += _find_text_faults(change.field, texts)
        if (kind := refers[change.field]) and kind in existing_ids:
            before = frozenset(_list_texts(change.before))
            faults += _find_unknown_ids(change.field, texts, before, existing_ids[kind])
        if edit.kind is RecordKind.CARD and change.field == "steps":
            faults += _find_step_faults(texts)
    return faults or [*_RECORD_CHECKS[edit.kind](sections, edit)]


def _build_double_fault(edit: RecordEdit) -> RecordFault:
    field = NEW_FIELDS[edit.kind].fields[0].name if NEW_FIELDS[edit.kind].fields else ""
    return RecordFault(field, "exists", "cette fiche existe déjà", "this record exists already")


def _find_withdrawal_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield the rows that would name a withdrawn record, and roles left without anybody."""
    references = find_references(sections, edit)
    for one in references[:MAX_REFERENCES]:
        fr, en = _SECTIONS.get(one.section, ("données de référence", "reference data"))
        yield RecordFault(
            "", "referred", f"« {one.owner or fr} » y renvoie", f"“{one.owner or en}” refers to it"
        )
    if (rest := len(references) - MAX_REFERENCES) > 0:
        yield RecordFault("", "referred", f"et {rest} autres", f"and {rest} others")
    if edit.kind in (RecordKind.ON_CALL, RecordKind.ROTATION):
        yield from _find_cover_faults(sections, edit)
    if edit.kind is RecordKind.STEP:
        yield from _find_last_step_faults(sections, edit)
    if edit.kind is RecordKind.REASSIGNMENT and (count := _count_staff_rows(sections, edit.id)):
        yield RecordFault(
            "",
            "referred",
            f"des agents exercent cette activité (lignes d’effectifs : {count})",
            f"agents work for this activity (rows of staff: {count})",
        )


def _count_staff_rows(sections: Sequence[Any], activity: str) -> int:
    rows = (s.cells for s in sections if isinstance(s, ref.Staffing))
    return sum(cell.activity == activity for cells in rows for cell in cells)


def _find_last_step_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a step that others follow, or that the escalation cannot do without."""
    ladder, number = split_card_id(edit.id)
    policy = next(s.policy for s in sections if isinstance(s, ref.EscalationPolicy))
    waves = policy.ladders[ladder]
    if int(number) < max(wave.wave for wave in waves):
        yield RecordFault(
            "",
            "followed",
            "d’autres étapes la suivent : seule la dernière se retire",
            "other steps follow: only the last one can be withdrawn",
        )
    if len(waves) == 1 or int(number) == policy.repeat.from_wave:
        yield RecordFault(
            "",
            "needed",
            "l’escalade n’appellerait plus personne, ou reprendrait à cette étape",
            "the escalation would call nobody, or begins again at this step",
        )


def _find_due_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a due time before that of a card that this one waits for, or after one that waits."""
    if "t_min" not in {change.field for change in edit.fields}:
        return
    t_min = next(change.after for change in edit.fields if change.field == "t_min")
    if isinstance(t_min, int) and abs(t_min) > MAX_LIMIT_MIN:
        yield RecordFault("t_min", "range", "plus d’un an", "more than a year")
    plan_id, _ = split_card_id(edit.id)
    if _list_order_faults(apply_record_edit(sections, edit), plan_id) - _list_order_faults(
        sections, plan_id
    ):
        yield RecordFault(
            "t_min",
            "order",
            "une fiche serait due avant celle qu’elle attend",
            "a card would be due before the one that it waits for",
        )


def _list_order_faults(sections: Sequence[Any], plan_id: str) -> set[str]:
    plan_lists = (s.plans for s in sections if isinstance(s, ref.Plans))
    plan = next(plan for plans in plan_lists for plan in plans if plan.id == plan_id)
    faults = (*find_order_faults(plan), *find_card_faults(plan.id, plan.cards))
    return {fault for _, fault in faults}


def _find_review_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a next review that is not after the last one."""
    after = read_record(apply_record_edit(sections, edit), edit.kind, edit.id)
    last, due_on = after.get("reviewed_on"), after.get("review_due_on")
    if isinstance(last, str) and isinstance(due_on, str) and due_on <= last:
        yield RecordFault(
            "review_due_on",
            "order",
            "la prochaine relecture suit la dernière",
            "the next review comes after the last one",
        )


def _find_step_bounds(edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield delays and numbers of a step of an escalation that would call nobody, or never end."""
    for change in edit.fields:
        low, high = _STEP_BOUNDS.get(change.field, (0, 0))
        if isinstance(change.after, int) and not low <= change.after <= high:
            yield _build_range_fault(change.field, low, high)
        if change.field == "channels" and not change.after:
            yield RecordFault(
                "channels", "missing", "au moins un canal", "at least one channel is needed"
            )


def _build_range_fault(field: str, low: float, high: float) -> RecordFault:
    return RecordFault(
        field, "range", f"de {low:g} à {high:g}", f"must be from {low:g} to {high:g}"
    )


def _find_limit_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield limits of an activity that no clock can keep."""
    after = read_record(apply_record_edit(sections, edit), edit.kind, edit.id)
    field_names = {change.field for change in edit.fields}
    numbers = {n: v for n, v in after.items() if isinstance(v, int | float)}
    for name, low, high in _BOUNDS:
        if name in field_names and not low <= numbers[name] <= high:
            yield _build_range_fault(name, low, high)
    if field_names & {"rto_h", "dmia_h"} and numbers["rto_h"] > numbers["dmia_h"]:
        yield RecordFault(
            "rto_h",
            "order",
            "le délai de reprise ne peut pas dépasser la DMIA",
            "the RTO must not be longer than the DMIA",
        )


def _find_rotation_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield an end that is not after the first day."""
    present_fields = (
        {} if edit.action is RecordAction.CREATE else read_record(sections, edit.kind, edit.id)
    )
    after = present_fields | {change.field: change.after for change in edit.fields}
    since, until = after["since"], after["until"]
    if isinstance(since, str) and isinstance(until, str) and until <= since:
        yield RecordFault(
            "until", "order", "la fin suit le premier jour", "the end comes after the first day"
        )


def _find_cover_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a role that an escalation calls and that nobody would hold any more. Rule D34."""
    if edit.kind is RecordKind.ON_CALL:
        role, scope = split_post_id(edit.id)
    else:
        role, scope, _ = split_rotation_id(edit.id)
    if role not in list_called_roles(sections):
        return
    after = apply_record_edit(sections, edit)
    is_covered = _is_held(after, role, scope) or (
        edit.action is RecordAction.WITHDRAW and scope is not None and _is_held(after, role, None)
    )
    if not is_covered:
        yield RecordFault(
            "holder" if edit.kind is RecordKind.ON_CALL else "persons",
            "uncovered",
            "une escalade appelle ce rôle : il lui faut un titulaire ou un tour d’astreinte",
            "an escalation calls this role: it needs a holder or a rotation",
        )


def list_called_roles(sections: Iterable[Any]) -> set[str]:
    """Return the roles that a step of an escalation calls, by name or in a group."""
    policies = [s.policy for s in sections if isinstance(s, ref.EscalationPolicy)]
    roles: set[str] = set()
    for policy in policies:
        names = {who for waves in policy.ladders.values() for wave in waves for who in wave.who}
        roles |= {role for who in names for role in policy.groups.get(who, (who,))}
        if ref.EVERY_POLE in names:
            roles.add(POLE_DIRECTOR_ROLE)
    return roles


def _is_held(sections: Iterable[Any], role: str, scope: str | None) -> bool:
    rosters = [s.roster for s in sections if isinstance(s, ref.RosterSection)]
    return any(
        (holder.role, holder.scope) == (role, scope) and holder.holder
        for roster in rosters
        for holder in roster.holders
    ) or any(
        (rotation.role, rotation.scope) == (role, scope) and rotation.place is Place.HOLDER
        for roster in rosters
        for rotation in roster.rotations
    )


def _find_called_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a step that calls nobody, or a role that nobody holds."""
    yield from _find_step_bounds(edit)
    change = next((change for change in edit.fields if change.field == "who"), None)
    if change is None:
        return
    names = _list_texts(change.after)
    if not names:
        yield RecordFault("who", "missing", "au moins un rôle", "at least one role is needed")
    after = apply_record_edit(sections, edit)
    for role in sorted(list_called_roles(after) - list_called_roles(sections)):
        if not _is_held_anywhere(after, role):
            yield RecordFault(
                "who",
                "uncovered",
                f"personne ne tient le rôle « {role} »",
                f"nobody holds the role “{role}”",
            )


def _is_held_anywhere(sections: Iterable[Any], role: str) -> bool:
    rosters = [s.roster for s in sections if isinstance(s, ref.RosterSection)]
    return any(h.role == role and h.holder for roster in rosters for h in roster.holders) or any(
        r.role == role for roster in rosters for r in roster.rotations
    )


def _find_post_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    if edit.kind is RecordKind.ROTATION:
        yield from _find_rotation_faults(sections, edit)
    yield from _find_cover_faults(sections, edit)


def _find_trigger_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield a level that is none or stands twice, and ids that a condition names in vain."""
    for change in edit.fields:
        if change.field == "level":
            if not isinstance(change.after, int) or not 0 <= change.after <= MAX_LEVEL:
                yield _build_range_fault("level", 0, MAX_LEVEL)
            elif _has_level(sections, edit, change.after):
                yield RecordFault(
                    "level",
                    "exists",
                    "le plan a déjà un déclencheur de ce niveau",
                    "the plan has a trigger of this level",
                )
        if change.field == "conditions":
            yield from _find_condition_faults(sections, _list_texts(change.after))


def _has_level(sections: Sequence[Any], edit: RecordEdit, level: int) -> bool:
    id = build_card_id(split_card_id(edit.id)[0], f"N{level}")
    return id != edit.id and id in list_records(sections, RecordKind.TRIGGER)


def _find_condition_faults(sections: Sequence[Any], lines: Sequence[str]) -> Iterator[RecordFault]:
    ids_by_kind = list_known_ids(sections)
    for refers, id in list_references(lines):
        if refers in _CHECKED_CONDITIONS and id not in ids_by_kind[refers]:
            yield from _find_unknown_ids("conditions", [id], (), ids_by_kind[refers])


def _find_staff_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:
    """Yield more agents on the first day than there are, and staff without a rule."""
    after = read_record(apply_record_edit(sections, edit), edit.kind, edit.id)
    staff, minimum = after["staff"], after["minimum"]
    assert isinstance(staff, int)
    assert isinstance(minimum, int)
    if staff > MAX_STAFF:
        yield _build_range_fault("staff", 0, MAX_STAFF)
    if minimum > staff:
        yield RecordFault(
            "minimum", "order", "le minimum dépasse l’effectif", "the minimum exceeds the staff"
        )
    activity, _site, _metier = split_staff_id(edit.id)
    if activity not in list_records(sections, RecordKind.REASSIGNMENT):
        yield RecordFault(
            "activity",
            "missing",
            "cette activité n’a pas encore de règle de réaffectation",
            "this activity has no rule of reassignment yet",
        )


def _find_no_faults(sections: Sequence[Any], edit: RecordEdit) -> Iterator[RecordFault]:  # noqa: ARG001
    yield from ()


_RECORD_CHECKS: Final[
    Mapping[RecordKind, Callable[[Sequence[Any], RecordEdit], Iterator[RecordFault]]]
] = {
    RecordKind.CONTACT: _find_no_faults,
    RecordKind.PLAN: _find_review_faults,
    RecordKind.CARD: _find_due_faults,
    RecordKind.ACTIVITY: _find_limit_faults,
    RecordKind.STEP: _find_called_faults,
    RecordKind.ON_CALL: _find_post_faults,
    RecordKind.ROTATION: _find_post_faults,
    RecordKind.TRIGGER: _find_trigger_faults,
    RecordKind.STAFFING: _find_staff_faults,
    RecordKind.REASSIGNMENT: _find_no_faults,
}
"""Checks of the values of each kind together, once each of them is right by itself."""


def _list_texts(value: FieldValue) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def _find_text_faults(field: str, texts: Sequence[str]) -> Iterator[RecordFault]:
    if field in REQUIRED and not any(texts):
        yield RecordFault(field, "missing", "champ obligatoire", "required field")
    if any(len(text) > MAX_TEXT for text in texts):
        yield RecordFault(
            field, "length", f"{MAX_TEXT} caractères au plus", f"at most {MAX_TEXT} characters"
        )
    if any(_PHONE.search(text) or _MAIL.search(text) for text in texts):
        yield RecordFault(
            field,
            "personal",
            "un numéro ou un courriel n’a pas sa place ici : il s’inscrit à l’annuaire",
            "a number or mail address does not belong here: the directory keeps it",
        )


def _find_unknown_ids(
    field: str, ids: Sequence[str], before: Collection[str], existing_ids: Collection[str]
) -> Iterator[RecordFault]:
    for id in ids:
        if id not in existing_ids and id not in before:
            yield RecordFault(
                field,
                "unknown",
                f"« {id[:40]} » n’existe pas dans les données de référence",
                f"“{id[:40]}” is not in the reference data",
            )


def _find_step_faults(steps: Sequence[str]) -> Iterator[RecordFault]:
    if len(steps) > MAX_STEPS:
        yield RecordFault(
            "steps",
            "length",
            f"{len(steps)} étapes, {MAX_STEPS} au plus",
            f"{len(steps)} steps, at most {MAX_STEPS}",
        )
    long = [n for n, step in enumerate(steps, 1) if len(step) > MAX_STEP_CHARACTERS]
    for n in long:
        yield RecordFault(
            "steps",
            "length",
            f"étape {n} : {MAX_STEP_CHARACTERS} caractères au plus",
            f"step {n}: at most {MAX_STEP_CHARACTERS} characters",
        )
