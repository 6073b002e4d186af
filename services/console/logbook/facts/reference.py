"""Lines about versions of the reference data. Rule D63."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.reference_changes import RecordAction, RecordEdit, RecordKind
from services.console.i18n import Translator
from services.console.logbook.facts.base import (
    Fields,
    LineType,
    SentenceSource,
    format_local_time,
    get_text_id,
    pick_fields,
)
from services.console.reference.record_names import find_title, name_action, name_record_with_kind
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

_CHANGE_KINDS = {
    "proposed": "decision",
    "approved": "decision",
    "declined": "decision",
    "withdrawn": "decision",
    "failed": "alarm",
}


def make_reference_line(fact: FactRecord) -> Fields | None:
    return (
        {"kind": "decision", "change": "reference", "values": {"reference": fact.data["reference"]}}
        if fact.data["last"]
        else None
    )


def render_reference(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _(
        "Données de référence : version {version} en vigueur", version=record.values["reference"]
    )


def make_reference_change_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    edit = r.get("edit")
    kind = _CHANGE_KINDS.get(change)
    if kind is None:  # sections arrive one by one; the last makes a line for the version
        return None
    return {
        "kind": kind,
        "change": change,
        "text_id": get_text_id(r["decisions"][-1].get("reason")) if kind == "decision" else None,
        "values": pick_fields(
            r,
            "id",
            "reference",
            "effective_at",
            "cause",
            sections=[d["section"] for d in r["sections"]],
            due_at=r.get("next_at"),
            edit=edit and _pick_edit(edit),
        ),
    }


def _pick_edit(edit: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of an edit that its line needs."""
    fields = {"kind": edit["kind"], "id": edit["id"]}
    if "action" in edit:
        fields |= {"action": edit["action"], "title": find_title(RecordEdit.model_validate(edit))}
    return fields


def render_reference_change(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    if "edit" in v:
        return render_record_edit(record, names, _)
    version = v["reference"]
    match record.change:
        case "proposed":
            what = w.join_words(
                [w.translate_code(w.SECTION, section, _) for section in v["sections"]], _
            )
            sentence = _(
                "Données de référence : version {version} proposée ({what})",
                version=version,
                what=what or _("ordre des lignes"),
            )
            at = v.get("effective_at")
            return (
                _("{what}, effet le {at}", what=sentence, at=format_local_time(at))
                if at
                else _("{what}, effet dès l’approbation", what=sentence)
            )
        case "approved":
            return _(
                "Données de référence : version {version} approuvée, en vigueur le {at}",
                version=version,
                at=format_local_time(v["due_at"]),
            )
        case "declined":
            return _("Données de référence : version {version} refusée", version=version)
        case "withdrawn":
            return _("Données de référence : version {version} retirée", version=version)
        case _:
            cause = w.translate_code(w.CHANGE_CAUSE, v.get("cause"), _)
            return _(
                "Données de référence : la version {version} n’entre pas en vigueur, {cause}",
                version=version,
                cause=cause,
            )


def render_record_edit(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    kind = RecordKind(v["edit"]["kind"])
    edit = v["edit"]
    name = name_record_with_kind(names, kind, edit["id"], _, edit.get("title", ""))
    what = name_action(RecordAction(edit.get("action", RecordAction.CHANGE)), name, _)
    match record.change:
        case "proposed":
            return _("Données de référence : changement proposé, {what}", what=what)
        case "approved":
            return _("Données de référence : changement approuvé, {what}", what=what)
        case "declined":
            return _("Données de référence : changement refusé, {what}", what=what)
        case "withdrawn":
            return _("Données de référence : changement retiré, {what}", what=what)
        case _:
            return _(
                "Données de référence : changement sans effet, {what}, {cause}",
                what=what,
                cause=w.translate_code(w.CHANGE_CAUSE, v.get("cause"), _),
            )


LINES: Final = {
    "ReferencePublished": LineType(make_reference_line, render_reference),
    "ReferenceChangeRecorded": LineType(make_reference_change_line, render_reference_change),
}
