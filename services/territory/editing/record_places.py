"""Find, replace, add and remove the model of a record inside a section. Rule D86."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel

from schemas import reference as ref
from schemas.oncall import Place, Rotation

CARD_SEPARATOR: Final = "."
"""Separates plan and card in the id of a card, escalation and wave in that of a step."""
SCOPE_SEPARATOR: Final = ":"
"""Separates a role and its pôle or site."""


def build_card_id(plan: str, card: str) -> str:
    """Return the id of a card among all records."""
    return f"{plan}{CARD_SEPARATOR}{card}"


def split_card_id(id: str) -> tuple[str, str]:
    """Return the plan and the card that the id of a card names."""
    plan, _, card = id.rpartition(CARD_SEPARATOR)
    return plan, card


def build_post_id(role: str, scope: str | None) -> str:
    """Return the id of the holder and deputy of a role."""
    return f"{role}{SCOPE_SEPARATOR}{scope}" if scope else role


def split_post_id(id: str) -> tuple[str, str | None]:
    """Return the role, and its pôle or site."""
    role, _, scope = id.partition(SCOPE_SEPARATOR)
    return role, scope or None


def build_rotation_id(rotation: Rotation) -> str:
    """Return the id of a rotation: its role, place, first day, and hour if it has hours."""
    post = build_post_id(rotation.role, rotation.scope)
    first = rotation.since.isoformat()
    if rotation.hours is not None:
        first += f"T{rotation.hours[0] // 60:02d}{rotation.hours[0] % 60:02d}"
    return CARD_SEPARATOR.join((post, rotation.place, first))


def split_rotation_id(id: str) -> tuple[str, str | None, Place]:
    """Return role, scope and place of a rotation. Raises ValueError."""
    post, place, _ = id.rsplit(CARD_SEPARATOR, 2)
    return (*split_post_id(post), Place(place))


def build_staff_id(activity: str, site: str, metier: str) -> str:
    """Return the id of the agents of one métier for one activity on one site."""
    return CARD_SEPARATOR.join((activity, site, metier))


def split_staff_id(id: str) -> tuple[str, str, str]:
    """Return the activity, the site and the métier of such an id."""
    activity, _, rest = id.partition(CARD_SEPARATOR)
    site, _, metier = rest.rpartition(CARD_SEPARATOR)
    return activity, site, metier


class RecordPlace(Protocol):
    """Place of a kind of record in a section."""

    def list_ids(self, section: Any) -> list[str]: ...

    def find(self, section: Any, id: str) -> BaseModel | None: ...

    def put(self, section: Any, id: str, model: BaseModel | None) -> Any:
        """Return the section with another model in this place; None removes it.

        A model of an unknown id stands last. A section without a list for it stays as it is.
        """
        ...


def _put_row(rows: Iterable[tuple[str, Any]], id: str, model: Any | None) -> tuple[Any, ...]:
    """Return the rows with another row of this id."""
    before = list(rows)
    if model is not None and id not in {key for key, _ in before}:
        return (*(row for _, row in before), model)
    new_rows = ((key, model if key == id else row) for key, row in before)
    return tuple(row for key, row in new_rows if row is not None)


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Rows with an id of their own, in a list or in the lists of other rows."""

    lists: tuple[str, ...]
    inside: str = ""
    """Field of the row that holds the model; empty: the row itself."""

    def list_ids(self, section: Any) -> list[str]:
        rows = getattr(section, self.lists[0])
        if len(self.lists) == 1:
            return [row.id for row in rows]
        return [
            build_card_id(row.id, inner.id) for row in rows for inner in getattr(row, self.lists[1])
        ]

    def find(self, section: Any, id: str) -> BaseModel | None:
        model: Any = section
        for name, key in zip(self.lists, self._split(id), strict=True):
            model = next((row for row in getattr(model, name) if row.id == key), None)
            if model is None:
                return None
        return getattr(model, self.inside) if self.inside else model  # type: ignore[no-any-return]

    def put(self, section: Any, id: str, model: BaseModel | None) -> Any:
        return self._put(section, self.lists, self._split(id), model)

    def _split(self, id: str) -> tuple[str, ...]:
        return split_card_id(id) if len(self.lists) == 2 else (id,)

    def _put(
        self, parent: Any, lists: Sequence[str], ids: Sequence[str], model: BaseModel | None
    ) -> Any:
        rows = [(row.id, row) for row in getattr(parent, lists[0])]
        row = dict(rows).get(ids[0])
        if len(ids) > 1:
            new_model = None if row is None else self._put(row, lists[1:], ids[1:], model)
            if new_model is None:
                return parent
        elif self.inside:
            new_model = None if row is None else row.model_copy(update={self.inside: model})
        else:
            new_model = model
        return parent.model_copy(update={lists[0]: _put_row(rows, ids[0], new_model)})


class StepPlace:
    """Steps of escalations."""

    def list_ids(self, section: ref.EscalationPolicy) -> list[str]:
        ladders = section.policy.ladders.items()
        return [
            build_card_id(ladder, str(wave.wave)) for ladder, waves in ladders for wave in waves
        ]

    def find(self, section: ref.EscalationPolicy, id: str) -> BaseModel | None:
        ladder, number = split_card_id(id)
        waves = section.policy.ladders.get(ladder, ())
        return next((wave for wave in waves if str(wave.wave) == number), None)

    def put(self, section: ref.EscalationPolicy, id: str, model: BaseModel | None) -> Any:
        ladder, number = split_card_id(id)
        ladders = section.policy.ladders
        if ladder not in ladders:
            return section
        waves = _put_row(((str(wave.wave), wave) for wave in ladders[ladder]), number, model)
        policy = section.policy.model_copy(update={"ladders": {**ladders, ladder: waves}})
        return section.model_copy(update={"policy": policy})


class TriggerPlace:
    """Triggers of plans, by plan and level."""

    def list_ids(self, section: ref.Plans) -> list[str]:
        return [build_card_id(plan.id, key) for plan in section.plans for key, _ in _levels(plan)]

    def find(self, section: ref.Plans, id: str) -> BaseModel | None:
        plan_id, key = split_card_id(id)
        plan = next((plan for plan in section.plans if plan.id == plan_id), None)
        return None if plan is None else dict(_levels(plan)).get(key)

    def put(self, section: ref.Plans, id: str, model: BaseModel | None) -> Any:
        plan_id, key = split_card_id(id)
        plans = tuple(
            _put_trigger(plan, key, model) if plan.id == plan_id else plan for plan in section.plans
        )
        return section.model_copy(update={"plans": plans})


def _levels(plan: ref.Plan) -> list[tuple[str, Any]]:
    return list(_number(plan.triggers, lambda trigger: f"N{trigger.level}"))


def _put_trigger(plan: ref.Plan, key: str, model: BaseModel | None) -> ref.Plan:
    triggers = sorted(_put_row(_levels(plan), key, model), key=lambda trigger: trigger.level)
    return plan.model_copy(update={"triggers": tuple(triggers)})


@dataclass(frozen=True, slots=True)
class RosterPlace:
    """Holders of roles, or rotations."""

    name: str

    def list_ids(self, section: ref.RosterSection) -> list[str]:
        return [key for key, _ in self._rows(section)]

    def find(self, section: ref.RosterSection, id: str) -> BaseModel | None:
        return dict(self._rows(section)).get(id)

    def put(self, section: ref.RosterSection, id: str, model: BaseModel | None) -> Any:
        rows = _put_row(self._rows(section), id, model)
        roster = section.roster.model_copy(update={self.name: rows})
        return section.model_copy(update={"roster": roster})

    def _rows(self, section: ref.RosterSection) -> list[tuple[str, Any]]:
        if self.name == "holders":
            return [(build_post_id(h.role, h.scope), h) for h in section.roster.holders]
        return list(_number(section.roster.rotations, build_rotation_id))


@dataclass(frozen=True, slots=True)
class StaffPlace:
    """Agents on sites, or rules of reassignment, in the order of their files."""

    name: str

    def list_ids(self, section: ref.Staffing) -> list[str]:
        return [key for key, _ in self._rows(section)]

    def find(self, section: ref.Staffing, id: str) -> BaseModel | None:
        return dict(self._rows(section)).get(id)

    def put(self, section: ref.Staffing, id: str, model: BaseModel | None) -> Any:
        rows = _put_row(self._rows(section), id, model)
        return section.model_copy(update={self.name: tuple(sorted(rows, key=_get_staff_order))})

    def _rows(self, section: ref.Staffing) -> list[tuple[str, Any]]:
        if self.name == "rules":
            return [(rule.activity, rule) for rule in section.rules]
        return [(build_staff_id(c.activity, c.site, c.metier), c) for c in section.cells]


def _get_staff_order(row: ref.StaffCell | ref.ReassignmentRule) -> tuple[str, ...]:
    if isinstance(row, ref.StaffCell):
        return row.site, row.activity, row.metier
    return (row.activity,)


def _number(rows: Iterable[Any], build_key: Any) -> Iterator[tuple[str, Any]]:
    """Yield rows with their keys; a second row of a key has `-2` behind it."""
    key_counts: dict[str, int] = {}
    for row in rows:
        key = build_key(row)
        key_counts[key] = key_counts.get(key, 0) + 1
        yield (key if key_counts[key] == 1 else f"{key}-{key_counts[key]}"), row
