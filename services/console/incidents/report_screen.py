"""Page `/signalements/{id}`: one report with its text."""

from collections.abc import Collection
from typing import Any, Final

import structlog

from schemas.reports import Measure
from schemas.words import EventType, MsgType, ReportState
from services.console.i18n import N_, Translator
from services.console.incidents.resources import has_receipt
from services.console.logbook.erasures import format_erasure
from services.console.resources import Report, Site, to_instant
from services.console.sites.site_screen import load_instructions
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.texts.reasons import RIVER_METRIC, RULE_SENTENCES, format_metric_value
from services.console.web.screen_context import ScreenData, ScreenPage, list_site_choices
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.secrets.erasure import TextErasure

log = structlog.get_logger(__name__)


def is_open_question(report: Report) -> bool:
    """Tell whether a person may still confirm the report."""
    return report.confirmation != "confirmed" or bool(
        {"measure_unentitled", "to_confirm"}.intersection(report.flags)
    )


STATE_LABELS: Final = {
    ReportState.RECEIVED: N_("reçu, pas encore lu"),
    ReportState.APPLIED: N_("pris en compte"),
    ReportState.DUPLICATE: N_("déjà connu : ajouté à la même cause"),
    ReportState.REFUSED: N_("refusé"),
    ReportState.FAILED: N_("en échec : gardé, à reprendre"),
}
FLAG_LABELS: Final = {
    "late": N_("appris plus de 15 minutes après les faits"),
    "future": N_("horodatage postérieur à la réception : l’heure de réception est retenue"),
    "contested": N_("contredit par une autre source"),
    "planned": N_("prévu, pas en cours"),
    "site_unknown": N_("site inconnu : à rattacher"),
    "area_unknown": N_("lieu non reconnu : à rattacher"),
    "place_missing": N_("lieu manquant : à demander"),
    "commune_unknown": N_("commune hors du territoire : lieu à confirmer"),
    "superseded": N_("remplacé par une mise à jour"),
    "cancelled": N_("annulé par sa source"),
    "withdrawn_before": N_("arrivé après son annulation par sa source"),
    "maintenance": N_("couvert par des travaux prévus"),
    "measure_unentitled": N_(
        "mesure d’une source non habilitée : à confirmer, sans effet d’ici là"
    ),
    "to_confirm": N_("valeur peu plausible : à confirmer, sans effet d’ici là"),
    "unknown_measure": N_("mesure inconnue : aucune règle ne la lit"),
    "lifts_nothing": N_("n’a rien levé : rien de tel n’était en cours sur ce site"),
    "ends_in_part": N_(
        "fin pour une partie seulement : ce qui a été déclaré pour tout le territoire, ou pour "
        "d’autres communes, reste en vigueur jusqu’à une fin de même portée"
    ),
}
PLACE_FLAGS: Final = frozenset({"site_unknown", "area_unknown", "place_missing", "commune_unknown"})
"""Flags of a report that a person may link to a site. Rule D8."""
ZONE_SHOWN: Final = 12
SIGNATURE_LABELS: Final = {
    "unsigned": N_("non signé"),
    "unchecked": N_("signé, sans certificat pour le vérifier"),
    "valid": N_("signature vérifiée"),
    "invalid": N_("signature fausse"),
}


def is_withdrawable(
    report: Report, versions: Collection[str], site: Site | None, principal: Principal
) -> bool:
    """Return whether this account may take its report back on the page. Rule D3, cancellations.

    Others may have said the same about the site before: their word would end with it, so only the
    cell takes such a report back. `versions` are the account's reports that this one replaced.
    """
    if not (
        principal.may(Permission.REPORT_POST)
        and report.source_key == principal.id
        and report.msg_type in (MsgType.ALERT, MsgType.UPDATE)
        and report.state is ReportState.APPLIED
        and report.type not in (None, EventType.REOPENING)
        and not {"cancelled", "superseded"}.intersection(report.flags)
    ):
        return False
    if report.confirmation in ("rumour", "unconfirmed"):
        return True
    causes = site.causes if site is not None else []
    own_ids = {report.id, *versions}
    return any(report.id in c.reports and own_ids.issuperset(c.reports) for c in causes)


def describe_state(report: Report, _: Translator) -> str:
    """Return the outcome as text, with the reason if the report counts for nothing."""
    sentence = _(STATE_LABELS[report.state])
    if report.state in (ReportState.REFUSED, ReportState.FAILED) and report.reason:
        return _(
            "{what} : {why}",
            what=sentence,
            why=_(RULE_SENTENCES[report.reason])
            if report.reason in RULE_SENTENCES
            else report.reason,
        )
    return sentence


def describe_flags(report: Report, _: Translator) -> list[str]:
    """Return the flags of a report as text."""
    return [_(FLAG_LABELS[f]) if f in FLAG_LABELS else f for f in report.flags]


def list_details(report: Report, names: TerritoryNames, _: Translator) -> list[tuple[str, str]]:
    """Return (label, text) for the details of a report besides its place and times.

    They are figures, colours, lifted types, and advice that triggers nothing (rule D13).
    """
    details = [
        (_("Commune"), names.commune(report.commune) if report.commune and not report.site else ""),
        (
            _("Secteur"),
            ", ".join(names.commune(c) for c in report.zone[:ZONE_SHOWN])
            + (" …" if len(report.zone) > ZONE_SHOWN else ""),
        ),
        (_("Mesure"), _format_measure(report.measure, _)),
        (_("Phénomène"), w.translate_code(world.PHENOMENON, report.phenomenon, _)),
        (_("Couleur"), w.translate_code(world.COLOUR, report.colour, _)),
        (_("Lève"), ", ".join(w.translate_code(w.EVENT, t, _) for t in report.lifts)),
        (
            _("Activités signalées comme touchées"),
            ", ".join(
                f"{a} {names.activity(a, _.lang)}" if a in names.activities else a
                for a in report.affected_activities
            ),
        ),
        (_("Plan conseillé"), report.plan_hint or ""),
    ]
    return [(label, words) for label, words in details if words]


def _format_measure(measure: Measure | None, _: Translator) -> str:
    """Format a measure as its source names it: `niveau 6,2 m (paris-austerlitz)`."""
    if measure is None:
        return ""
    value = measure.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        value_text = format_metric_value(None, value, _)
    elif measure.name == RIVER_METRIC:
        value_text = w.format_metres(value, _.lang)
    else:
        value_text = w.format_number(value, _.lang)
    of = f"/ {w.format_number(measure.value_of, _.lang)}" if measure.value_of is not None else ""
    about = ", ".join(filter(None, (measure.object, measure.scope)))
    return " ".join(
        filter(None, (measure.name, value_text, of, measure.unit, f"({about})" if about else ""))
    )


def describe_erasure(report: Report, lang: str) -> str:
    """Return when and why its text was erased; empty while it exists."""
    if report.erased_at is None:
        return ""
    return format_erasure(
        TextErasure(to_instant(report.erased_at), report.erased_reason or ""), lang
    )


def describe_signature(report: Report, _: Translator) -> str | None:
    """Return the verdict on its signature as text."""
    return _(SIGNATURE_LABELS.get(report.signature, report.signature)) if report.signature else None


async def build_report_page(x: ScreenData, id: str) -> dict[str, Any]:
    """Build `signal.html`: one report, with text and photos for readers with the right.

    The reading is recorded (rule D59). Raises NotFound.
    """
    realm, lang, reader = x.shell.realm.name, x.shell.lang, x.shell.reader
    report = await x.queries.report(id, texts=reader.may(Permission.REPORT_RAW))
    if report.headline or report.description or report.attachments:
        log.info("report.text_read", report=id, realm=realm, reader=reader.principal.id)
    site = next((s for s in x.sites if s.id == report.site), None)
    is_own = report.source_key == reader.principal.id
    versions = await x.queries.own_versions(report) if is_own else ()
    withdrawable = x.shell.moment is None and is_withdrawable(
        report, versions, site, reader.principal
    )
    incident = next((i for i in x.shell.overview.incidents if i.id == report.incident), None)
    return {
        **await load_instructions(x, site, id),
        "has_receipt": has_receipt(report),
        "plan_names": {p.id: x.names.plan(p.id) for p in x.reference.plans.values()}
        if is_open_question(report)
        else {},
        "report": report,
        "site": site,
        "incident": incident,
        "flags": describe_flags(report, x._),
        "facts": list_details(report, x.names, x._),
        "signature": describe_signature(report, x._),
        "state": describe_state(report, x._),
        "verifies": reader.may(Permission.REPORT_VERIFY) and reader.covers(site),
        "sites": list_site_choices([one for one in x.sites if reader.covers(one)]),
        "withdrawable": withdrawable,
        "newest": await x.queries.newest_version(report),
        "repeats": await x.queries.own_repeats(report) if withdrawable else [],
        "links_site": not PLACE_FLAGS.isdisjoint(report.flags),
        "erased": describe_erasure(report, lang),
        "verifier": w.name_person(report.verified_by, x.names, x._) if report.verified_by else "",
        "corrector": w.name_person(report.corrected_by, x.names, x._)
        if report.corrected_by
        else "",
    }


PAGE: Final = ScreenPage(
    "signal",
    "/signalements/{id}",
    "signal.html",
    build_report_page,
    personal=True,  # reading the text of a report is recorded (rule D59)
)
