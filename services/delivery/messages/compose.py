"""One notification as a text: subject, sentences, how to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schemas.base import Instant
from schemas.callouts import AGENT, HEADCOUNT_KEYS
from schemas.delivery import NotificationRow
from schemas.replies import UNREAD
from services.delivery.messages.languages import Translator

PARIS: Final = ZoneInfo("Europe/Paris")
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Names:
    """Labels of the territory: role id → label, level → label. French, as the territory wrote them."""

    roles: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[int, str] = field(default_factory=dict)

    def role(self, role: str) -> str:
        """The label without what stands in brackets; the id where there is none."""
        return self.roles.get(role, role.replace("_", " ")).split("(")[0].strip()


@dataclass(frozen=True, slots=True)
class Text:
    """A message before any channel has shaped it."""

    lang: str
    subject: str
    title: str
    """The subject where messages stand in a list: with the incident that it is about, if it is about one."""
    sentences: tuple[str, ...]
    link: str | None
    link_says: str
    reply_says: str
    """How to answer by writing back; only where that arrives somewhere."""
    keys_say: str
    """How to answer in a call."""
    keys: tuple[str, ...]
    """Which to listen for there; none where nobody is asked."""
    footer: tuple[str, ...]

    @property
    def essence(self) -> tuple[str, ...]:
        """Subject and first facts: what a small screen or a voice says."""
        return (self.subject, *self.sentences[:2])

    def plain(self) -> str:
        """Plain text, one sentence a line."""
        answer = () if self.link is None else ("", f"{self.link_says} {self.link}")
        return "\n".join((*self.sentences, *answer, "", *self.footer)) + "\n"

    def html(self) -> str:
        """The same words as HTML, without images, scripts or anything fetched."""
        return _PAGES.get_template("mail.html").render(text=self)


def clock(at: Instant) -> str:
    """`10:22`, Europe/Paris."""
    return datetime.fromtimestamp(at / 1000, PARIS).strftime("%H:%M")


def compose(row: NotificationRow, names: Names, _: Translator, link: str | None, said: str | None = None) -> Text:
    """The text of a notification. A template that is not known is told as information, never dropped. `said`: what the cell wrote."""
    level = int(row.level)
    subject, sentences = _SAYINGS.get(row.template, _information)(row, names, _)
    if said is not None:
        sentences = [said]
    if row.bundle:
        subject, sentences = _bundled(row, sentences, names, _)
    sentences = [*sentences, *_called_as(row, names, _)]
    if row.answer_expected:
        if row.ack_by is not None:
            sentences.append(_("Sans réponse avant {time}, d’autres personnes sont appelées.", time=clock(row.ack_by)))
    elif row.template != UNREAD:
        sentences.append(_("Aucune réponse n’est attendue."))
    footer = [_("Vigie, message du {time}.", time=_day_and_clock(row.planned_at))]
    if link is not None and row.answer_expected:
        footer.append(_("Ouvrir ce lien ne répond pas à votre place : seul un bouton le fait. Lien personnel, à usage unique."))
    asked = row.template == "headcount"
    subject = f"[Vigie N{level}] {subject}"
    return Text(
        lang=_.lang,
        subject=subject,
        title=_titled(row, subject, _),
        sentences=tuple(sentences),
        link=link if row.answer_expected else None,
        link_says=_("Répondre :"),
        reply_says=_("Répondez 1, 2 ou 3.") if asked else _("Répondez 1 : je prends, 2 : je ne peux pas."),
        keys_say=_("Appuyez sur 1, 2 ou 3.")
        if asked
        else _("Appuyez sur 1 si vous prenez l’appel en charge, sur 2 si vous ne pouvez pas."),
        keys=() if link is None or not row.answer_expected else tuple(HEADCOUNT_KEYS) if asked else ("1", "2"),
        footer=tuple(footer),
    )


def _titled(row: NotificationRow, subject: str, _: Translator) -> str:
    number = row.values.get("number")
    return subject if number is None or row.bundle else _("{subject} (incident {number})", subject=subject, number=number)


def _bundled(row: NotificationRow, sentences: list[str], names: Names, _: Translator) -> Said:
    """A digest: what each of its messages says first (D36)."""
    told = [sentences[0]]
    for item in row.bundle:
        one = row.model_copy(update={"template": item.template, "values": item.values, "level": item.level, "previous_level": None})
        told += _SAYINGS.get(item.template, _information)(one, names, _)[1][:1]
    if row.bundle_count > len(row.bundle):
        told.append(_("Et {count} autres, à lire dans Vigie.", count=row.bundle_count - len(row.bundle)))
    return _("{count} messages en un", count=row.bundle_count + 1), told


def _day_and_clock(at: Instant) -> str:
    return datetime.fromtimestamp(at / 1000, PARIS).strftime("%d/%m/%Y %H:%M")


def _called_as(row: NotificationRow, names: Names, _: Translator) -> list[str]:
    """Nothing for whoever is told as anybody who works there: it would cost thousands a segment and say nothing."""
    role = names.role(row.role)
    if not role or row.role == AGENT:
        return []
    if row.scope:
        return [_("Vous recevez ce message au titre de : {role}, {scope}.", role=role, scope=row.scope)]
    return [_("Vous recevez ce message au titre de : {role}.", role=role)]


def _level_named(row: NotificationRow, names: Names) -> str:
    level = int(row.level)
    return f"N{level} – {names.levels[level]}" if level in names.levels else f"N{level}"


Said = tuple[str, list[str]]
"""Rest of the subject, first sentences."""


def _value(row: NotificationRow, name: str) -> Any:
    found = row.values.get(name)
    return "?" if found is None else found


def _incident(row: NotificationRow, _: Translator) -> list[str]:
    number = row.values.get("number")
    return [] if number is None else [_("Incident {number}.", number=number)]


def _incident_wave(row: NotificationRow, names: Names, _: Translator) -> Said:
    named = _level_named(row, names)
    asked = _("danger possible, votre réponse est attendue") if row.danger else _("votre réponse est attendue")
    return asked, [_("Niveau {level}.", level=named), *_incident(row, _)]


def _level_raised(row: NotificationRow, names: Names, _: Translator) -> Said:
    named = _level_named(row, names)
    if row.previous_level is None:
        return _incident_wave(row, names, _)
    before = int(row.previous_level)
    return (
        _("le niveau est passé de N{before} à N{after}", before=before, after=int(row.level)),
        [_("Niveau {level}.", level=named), *_incident(row, _), _("Le niveau est passé de N{before} à N{after} : merci de répondre à nouveau.", before=before, after=int(row.level))],
    )  # fmt: skip


def _alarm_rto(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001  one signature for all
    told = _("Activité {activity} interrompue : {pct} % du délai de reprise (RTO) consommés.", **_clock_values(row))
    return _("activité {activity}, {pct} % du RTO", **_clock_values(row)), [told, *_limit(row, _)]


def _alarm_dmia(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    told = _("Activité {activity} interrompue : {pct} % de la durée maximale admissible (DMIA) consommés.", **_clock_values(row))
    return _("activité {activity}, {pct} % de la DMIA", **_clock_values(row)), [told, *_limit(row, _)]


def _forecast_rto(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    activity = _value(row, "activity")
    told = _("Rupture prévue : l’activité {activity} ne reprendra pas avant son délai de reprise (RTO).", activity=activity)
    return _("rupture prévue, activité {activity}", activity=activity), [told, *_limit(row, _)]


def _forecast_dmia(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    activity = _value(row, "activity")
    told = _("Rupture prévue : l’activité {activity} ne reprendra pas avant sa durée maximale admissible (DMIA).", activity=activity)
    return _("rupture prévue, activité {activity}", activity=activity), [told, *_limit(row, _)]


def _reentry(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    activity = _value(row, "activity")
    told = _("Activité {activity} : les données sont plus anciennes que prévu, une ressaisie est à faire.", activity=activity)
    return _("ressaisie à faire, activité {activity}", activity=activity), [told]


def _plan_proposed(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    plan = _value(row, "plan")
    return _("plan {plan} proposé", plan=plan), [_("Le plan {plan} est proposé : une décision est attendue.", plan=plan)]


def _stand_down_proposed(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    plan = _value(row, "plan")
    return _("levée du plan {plan} proposée", plan=plan), [
        _("La levée du plan {plan} est proposée : une décision est attendue.", plan=plan)
    ]


def _card_overdue(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    plan = _value(row, "plan")
    return _("fiche réflexe en retard, plan {plan}", plan=plan), [_("Une fiche réflexe du plan {plan} est en retard.", plan=plan)]


def _reassignment_proposed(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    n = _value(row, "agents")
    return _("réaffectation proposée, {n} agents", n=n), [
        _("Une réaffectation de {n} agents est proposée : une décision est attendue, page Réaffectation.", n=n)
    ]


def _reassignment_order(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    site, leave, come = str(_value(row, "site")), row.values.get("agents"), row.values.get("come")
    told = [_("Réaffectation décidée, site {site}.", site=site)]
    if leave:
        told.append(_("Partent travailler ailleurs ou à domicile : {n}.", n=leave))
    if come:
        told.append(_("Viennent travailler chez vous : {n}.", n=come))
    told.append(_("Détail par métier et accusé : page Réaffectation."))
    return _("ordre de réaffectation, {site}", site=site), told


def _reassignment_void(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    site, n = str(_value(row, "site")), _value(row, "agents")
    told = _("Le lieu de travail de repli de {n} agents de {site} est perdu : ils n’y vont plus, attendez un nouvel ordre.", n=n, site=site)
    return _("réaffectation annulée, {site}", site=site), [told]


def _reassignment_recalled(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    site, back, leave = str(_value(row, "site")), row.values.get("agents"), row.values.get("come")
    told = [_("Réaffectation, site {site} : des agents ne sont plus nécessaires là où ils avaient été envoyés.", site=site)]
    if back:
        told.append(_("En reviennent : {n}. Un ordre suit pour ceux qui sont affectés de nouveau.", n=back))
    if leave:
        told.append(_("Repartent de chez vous : {n}.", n=leave))
    return _("agents rappelés, {site}", site=site), told


def _clock_values(row: NotificationRow) -> dict[str, Any]:
    return {"activity": _value(row, "activity"), "pct": _value(row, "pct")}


def _limit(row: NotificationRow, _: Translator) -> list[str]:
    at = row.values.get("limit_at")
    return [_("Limite : {time}.", time=_day_and_clock(at))] if isinstance(at, int) and not isinstance(at, bool) else []


def _merged(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    return _("incident rattaché à une crise en cours"), [*_incident(row, _), _("Cet incident est suivi avec la crise en cours.")]


def _callout(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    return _("message de la cellule de crise"), [_("Message de la cellule de crise.")]


def _answer_stale(row: NotificationRow, names: Names, _: Translator) -> Said:
    named = _level_named(row, names)
    return (
        _("pris en charge, puis rien : votre réponse est attendue"),
        [_("Niveau {level}.", level=named), *_incident(row, _), _("L’escalade était prise en charge, mais rien n’a été fait depuis : merci de répondre à nouveau.")],
    )  # fmt: skip


def _readiness_hole(row: NotificationRow, names: Names, _: Translator) -> Said:
    named = _HOLES.get(str(row.values.get("hole")))
    hole = named(_) if named is not None else _("trou d’astreinte")
    role, scope, at = names.role(str(_value(row, "hole_role"))), row.values.get("hole_scope"), row.values.get("hole_at")
    post = f"{role}, {scope}" if scope else role
    told = [_("Astreinte : {hole} ({post}).", hole=hole, post=post)]
    if isinstance(at, int) and not isinstance(at, bool):
        told.append(_("À partir du {time}.", time=_day_and_clock(at)))
    if (n := row.values.get("holes")) not in (None, 1):
        told.append(_("{n} trous ou réserves en tout sous 48 h : voir la page Astreintes.", n=n))
    return _("astreinte à combler : {post}", post=post), told


def _shift_ending(row: NotificationRow, names: Names, _: Translator) -> Said:
    role, at = names.role(str(_value(row, "shift_role"))), row.values.get("shift_end")
    told = [_("Relève de la cellule de crise : {role}.", role=role)]
    if isinstance(at, int) and not isinstance(at, bool):
        told.append(_("Fin de vacation à {time} : relève, ou prolongation décidée par une personne nommée.", time=clock(at)))
    return _("relève à prévoir : {role}", role=role), told


def _readiness_digest(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    told = _(
        "{n} trous ou réserves dans les 14 jours ; {pct} % des heures sont prêtes.", n=_value(row, "holes"), pct=_value(row, "ready_pct")
    )
    blind = _("D’après l’annuaire seul, fournisseurs non vérifiés : voir la page Astreintes.")
    return _("point hebdomadaire des astreintes"), [told, blind]


_HOLES: Final[Mapping[str, Callable[[Translator], str]]] = {
    "nobody": lambda _: _("personne"),
    "unreachable": lambda _: _("personne de joignable"),
    "no_holder": lambda _: _("pas de titulaire"),
    "no_deputy": lambda _: _("pas de suppléant"),
    "single_point": lambda _: _("une seule personne pour deux places"),
    "unverified": lambda _: _("canaux non vérifiés depuis 90 jours"),
    "quiet": lambda _: _("heures de silence"),
    "late": lambda _: _("joint trop tard"),
}


def _headcount(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    question = _("Êtes-vous en sécurité ? 1 : oui, 2 : j’ai besoin d’aide, 3 : je ne suis pas sur place.")
    return _("recensement, votre réponse est attendue"), [question]


def _headcount_manager(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    told = _(
        "Recensement : {found} réponses sur {expected}. Cherchez ceux qui manquent.",
        found=_value(row, "found"), expected=_value(row, "expected"),
    )  # fmt: skip
    return _("recensement, des agents manquent"), [told]


def _reply_unread(row: NotificationRow, names: Names, _: Translator) -> Said:  # noqa: ARG001
    how = (
        _("Commencez votre SMS par 1 : en sécurité, 2 : besoin d’aide, ou 3 : pas sur place.")
        if row.values.get("headcount")
        else _("Commencez votre SMS par 1 : je prends, ou 2 : je ne peux pas.")
    )
    before = [_("Votre réponse d’avant compte toujours.")] if row.values.get("answered") else []
    return _("votre SMS n’a pas été compris"), [how, *before, *_incident(row, _)]


def _information(row: NotificationRow, names: Names, _: Translator) -> Said:
    before, after = row.values.get("from"), row.values.get("lowered")
    if before is not None and after is not None:
        told = _("Le niveau est abaissé de N{before} à N{after}.", before=before, after=after)
        return _("niveau abaissé de N{before} à N{after}", before=before, after=after), [told, *_incident(row, _)]
    return _("information"), [_("Niveau {level}.", level=_level_named(row, names)), *_incident(row, _)]


_SAYINGS: Final[Mapping[str, Callable[[NotificationRow, Names, Translator], Said]]] = {
    "incident_wave": _incident_wave,
    "level_raised": _level_raised,
    "alarm_rto": _alarm_rto,
    "alarm_dmia": _alarm_dmia,
    "forecast_rto": _forecast_rto,
    "forecast_dmia": _forecast_dmia,
    "reentry": _reentry,
    "plan_proposed": _plan_proposed,
    "stand_down_proposed": _stand_down_proposed,
    "card_overdue": _card_overdue,
    "reassignment_proposed": _reassignment_proposed,
    "reassignment_order": _reassignment_order,
    "reassignment_void": _reassignment_void,
    "reassignment_recalled": _reassignment_recalled,
    "answer_stale": _answer_stale,
    "readiness_hole": _readiness_hole,
    "readiness_digest": _readiness_digest,
    "shift_ending": _shift_ending,
    "merged": _merged,
    "callout": _callout,
    "headcount": _headcount,
    "headcount_manager": _headcount_manager,
    UNREAD: _reply_unread,
    "information": _information,
}
TEMPLATES: Final = tuple(_SAYINGS)
"""Codes of `NotificationPlanned.template` that have words of their own."""
