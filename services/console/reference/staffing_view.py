"""List the agents of an activity by site and métier, with the forms that change them. Rule D86."""

from __future__ import annotations

from dataclasses import dataclass

from schemas import reference as ref
from schemas.reference_changes import RecordKind
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.record_names import build_form_address, build_new_form_address
from services.territory.editing.record_places import build_staff_id


@dataclass(frozen=True, slots=True)
class StaffLine:
    """Agents of one métier on one site."""

    site: str
    metier: str
    staff: int
    minimum: int
    form: str
    """Address of the form that changes them."""


@dataclass(frozen=True, slots=True)
class ActivityStaffing:
    """Agents of an activity, and its rule of reassignment."""

    lines: list[StaffLine]
    rule: str
    """Address of the form of the rule; empty: there is none."""
    new_rule: str
    """Address of the form of a new rule, to which the activity is added."""
    new: str
    """Address of the form of new agents, to which the activity is added."""

    @property
    def staff(self) -> int:
        return sum(line.staff for line in self.lines)

    @property
    def minimum(self) -> int:
        return sum(line.minimum for line in self.lines)

    @property
    def sites(self) -> int:
        return len({line.site for line in self.lines})


def build_activity_staffing(
    reference: IndexedReference, activity: str, lang: str
) -> ActivityStaffing:
    """Build the agents of an activity, by the name of their site."""
    sections = [s for s in reference.sections if isinstance(s, ref.Staffing)]
    names = reference.names
    lines = [
        StaffLine(
            site=names.site(cell.site),
            metier=names.metier(cell.metier, lang),
            staff=cell.staff,
            minimum=cell.minimum,
            form=build_form_address(
                RecordKind.STAFFING, build_staff_id(activity, cell.site, cell.metier)
            ),
        )
        for section in sections
        for cell in section.cells
        if cell.activity == activity
    ]
    has_rule = any(rule.activity == activity for s in sections for rule in s.rules)
    return ActivityStaffing(
        lines=sorted(lines, key=lambda line: (line.site, line.metier)),
        rule=build_form_address(RecordKind.REASSIGNMENT, activity) if has_rule else "",
        new_rule=build_new_form_address(RecordKind.REASSIGNMENT),
        new=build_new_form_address(RecordKind.STAFFING),
    )
