"""Page of the reference data: differences, forecast effects, and possible decisions of a change.

Rule D63.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.reference_changes import (
    OPEN_CHANGES,
    ChangeState,
    Foreseen,
    PlanTime,
    RecordAction,
    RecordEdit,
    SectionDifference,
)
from services.console.i18n import N_, Translator
from services.console.logbook.facts.base import format_local_time
from services.console.reference.record_names import (
    build_form_address,
    build_new_form_address,
    find_list_address,
    find_record_address,
    find_title,
    label_field,
    name_action,
    name_record_with_kind,
    show_value,
)
from services.console.reference.resources import Coverage
from services.console.resources import ReferenceChange
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.territory.editing.records import has_ruled_field

PAST_SHOWN: Final = 20
NO_NAMES: Final = TerritoryNames()
_SIGN_LABELS: Final = {"-": N_("retirés"), "~": N_("modifiés"), "+": N_("ajoutés")}


@dataclass(frozen=True, slots=True)
class SectionDiff:
    """Differences in one section of a change. `named` maps a kind of change to its first rows."""

    word: str
    added: int
    changed: int
    dropped: int
    named: list[tuple[str, str]]
    more: int


@dataclass(frozen=True, slots=True)
class EditedField:
    """One field of an edited record, before and after, in lines."""

    label: str
    before: list[str]
    after: list[str]


@dataclass(frozen=True, slots=True)
class EditView:
    """The change of one record."""

    title: str
    fields: list[EditedField]
    record: tuple[str, str]
    """Address of the page that shows the record, and the place on it."""
    form: str
    """Address of the form that edits it."""
    is_replayable: bool
    """False: the fields enter no rule, so no crisis would have run otherwise."""
    action: RecordAction
    coverage: Coverage | None = None
    """People on call under an open change of a schedule."""


@dataclass(frozen=True, slots=True)
class ChangeView:
    """A change as this reader sees it."""

    change: ReferenceChange
    state: str
    sections: list[SectionDiff]
    foreseen: list[str]
    mine: bool
    may_decide: bool
    may_withdraw: bool
    edit: EditView | None = None

    @property
    def title(self) -> str:
        return self.edit.title if self.edit is not None else self.change.reference

    @property
    def is_open(self) -> bool:
        return self.change.state in OPEN_CHANGES


def build_changes(
    changes: Sequence[ReferenceChange],
    reader: str,
    names: TerritoryNames,
    _: Translator,
    *,
    may: bool,
    coverages: Mapping[str, Coverage] = MappingProxyType({}),
) -> list[ChangeView]:
    """Build the changes for the person `reader`; `may` is their right to decide.

    `coverages`: change → people on call under it.
    """
    views = []
    for change in changes:
        mine, is_proposed = change.decisions[0].by == reader, change.state is ChangeState.PROPOSED
        views.append(
            ChangeView(
                change,
                w.translate_code(w.CHANGE_STATE, change.state, _),
                [_build_section_diff(d, names, _) for d in change.sections],
                describe_forecast(change.foreseen, _, names) if change.foreseen is not None else [],
                mine,
                may_decide=may and is_proposed and not mine,
                may_withdraw=may
                and (mine if is_proposed else change.state is ChangeState.APPROVED),
                edit=_build_edit(change.edit, names, coverages.get(change.id), _)
                if change.edit
                else None,
            )
        )
    return views


def _build_edit(
    edit: RecordEdit, names: TerritoryNames, coverage: Coverage | None, _: Translator
) -> EditView:
    kind = edit.kind
    is_new = edit.action is RecordAction.CREATE
    plan = next((str(f.after) for f in edit.fields if f.field == "plan"), "")
    return EditView(
        title=name_edit(names, edit, _),
        fields=[
            EditedField(
                label_field(kind, one.field, _),
                show_value(kind, one.field, one.before, names, _),
                show_value(kind, one.field, one.after, names, _),
            )
            for one in edit.fields
            if edit.action is RecordAction.CHANGE or one.before or one.after
        ],
        record=find_list_address(kind, plan) if is_new else find_record_address(kind, edit.id),
        form=build_new_form_address(kind) if is_new else build_form_address(kind, edit.id),
        is_replayable=has_ruled_field(edit),
        action=edit.action,
        coverage=coverage,
    )


def name_edit(names: TerritoryNames, edit: RecordEdit, _: Translator) -> str:
    """Return the name of the record of an edit, and whether it comes or goes."""
    name = name_record_with_kind(names, edit.kind, edit.id, _, find_title(edit))
    return name_action(edit.action, name, _)


def _build_section_diff(d: SectionDifference, names: TerritoryNames, _: Translator) -> SectionDiff:
    groups = []
    for sign, word in _SIGN_LABELS.items():
        if rows := [
            _name_row(d.section, name[1:], names) for name in d.named if name.startswith(sign)
        ]:
            groups.append((_(word), ", ".join(rows)))
    return SectionDiff(
        w.translate_code(w.SECTION, d.section, _),
        d.added,
        d.changed,
        d.dropped,
        groups,
        d.added + d.changed + d.dropped - len(d.named),
    )


def _name_row(section: str, name: str, names: TerritoryNames) -> str:
    """Name a site; keep the names of other rows as in their files."""
    return (
        f"{shorten_site_name(names.sites[name].name)} ({name})"
        if section == "sites" and name in names.sites
        else name
    )


def _describe_plan_time(one: PlanTime, names: TerritoryNames, _: Translator) -> str:
    """Describe when a plan would have been proposed or activated in a replayed crisis."""
    plan = names.plan(one.plan)
    at, was = (
        _("jamais") if moment is None else format_local_time(moment)
        for moment in (one.after, one.before)
    )
    if one.state == "active":
        return _(
            "{realm} : plan « {plan} » activé {at}, au lieu de {was}",
            realm=one.realm,
            plan=plan,
            at=at,
            was=was,
        )
    return _(
        "{realm} : plan « {plan} » proposé {at}, au lieu de {was}",
        realm=one.realm,
        plan=plan,
        at=at,
        was=was,
    )


def describe_forecast(f: Foreseen, _: Translator, names: TerritoryNames = NO_NAMES) -> list[str]:
    """Describe in sentences the differences that a replay of recorded crises found."""
    if not f.crises:
        sentences = [_("Aucune crise enregistrée à rejouer.")]
    elif not f.moved:
        sentences = [
            _.plural(
                "{n} crise rejouée : rien ne serait arrivé à un autre moment.",
                "{n} crises rejouées : rien ne serait arrivé à un autre moment.",
                f.crises,
            )
        ]
    else:
        sentences = [
            _.plural(
                "{n} crise rejouée, {moved} autrement.",
                "{n} crises rejouées, {moved} autrement.",
                f.crises,
                moved=f.moved,
            )
        ]
        sentences += [
            sentence
            for sentence, n in (
                (
                    _.plural(
                        "{n} appel n’aurait pas été passé",
                        "{n} appels n’auraient pas été passés",
                        f.lost,
                    ),
                    f.lost,
                ),
                (
                    _.plural(
                        "{n} appel aurait été plus tardif",
                        "{n} appels auraient été plus tardifs",
                        f.later,
                    ),
                    f.later,
                ),
                (
                    _.plural(
                        "{n} appel aurait été plus précoce",
                        "{n} appels auraient été plus précoces",
                        f.earlier,
                    ),
                    f.earlier,
                ),
                (
                    _.plural(
                        "{n} appel de plus aurait été passé",
                        "{n} appels de plus auraient été passés",
                        f.added,
                    ),
                    f.added,
                ),
                (_.plural("{n} niveau changé", "{n} niveaux changés", f.levels), f.levels),
                (
                    _.plural("{n} étape de plan changée", "{n} étapes de plan changées", f.plans),
                    f.plans,
                ),
                (
                    _.plural(
                        "{n} état d’activité changé", "{n} états d’activité changés", f.activities
                    ),
                    f.activities,
                ),
            )
            if n
        ]
        if f.worse:
            sentences.append(
                _(
                    "Un poste y serait appelé plus tard, ou plus du tout : {realms}",
                    realms=", ".join(f.worse),
                )
            )
    sentences += [_describe_plan_time(one, names, _) for one in f.plan_times]
    if f.unread:
        sentences.append(
            _.plural(
                "{n} crise ne peut plus être rejouée.",
                "{n} crises ne peuvent plus être rejouées.",
                f.unread,
            )
        )
    return sentences
