"""Page `/exercices-courts`: drills that Vigie writes, and first actions over exercises. D95."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from services.console.drills.composition import MAX_SEED
from services.console.drills.queries import DrillProposal, ExerciseProgress, RoleFirstActions
from services.console.i18n import N_, Translator
from services.console.proof.api import read_partners
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.texts.world import KIND_MANY
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission

PLANS_SHOWN: Final = 12
CONTACTS_NAMED: Final = 3
RUNS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class DrillLine:
    """One plan to exercise as displayed."""

    plan: str
    title: str
    reasons: list[str]
    file: str
    """Address of the exercise file."""
    name: str
    """Name of the downloaded file."""


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """First useful actions of a role as displayed."""

    role: str
    name: str
    times: str
    trend: str
    tone: str


def build_drill_line(
    one: DrillProposal, seed: int, names: TerritoryNames, _: Translator
) -> DrillLine:
    """Build the line of a plan with the reasons to exercise it."""
    reasons = [
        _.plural(
            "{n} fiche jamais faite à temps en exercice depuis 12 mois",
            "{n} fiches jamais faites à temps en exercice depuis 12 mois",
            one.cards,
        )
    ]
    if one.contacts:
        contact_names = dict.fromkeys(name_contact(key, names, _) for key in one.contacts)
        listed_names = ", ".join(list(contact_names)[:CONTACTS_NAMED])
        reasons.append(_("à joindre : {names}", names=listed_names))
    if one.resource is not None and one.stopped:
        reasons.append(
            _.plural(
                "{n} activité s’arrête si la ressource fait défaut : {name}",
                "{n} activités s’arrêtent si la ressource fait défaut : {name}",
                one.stopped,
                name=one.resource_name,
            )
        )
    if one.full_hosts:
        kinds = ", ".join(w.translate_code(KIND_MANY, kind, _) for kind in one.full_hosts)
        reasons.append(_("sites de repli complets : {kinds}", kinds=kinds))
    path = f"/api/v1/exercise-proposals/{one.plan}/file"
    return DrillLine(one.plan, one.title, reasons, path, f"court{seed}-{one.plan}.yaml")


def name_contact(key: str, names: TerritoryNames, _: Translator) -> str:
    """Name a contact of the proof: a role, a role in its scope, or a partner."""
    role, sign, scope = key.partition(":")
    if role == "contact":
        return names.suppliers.get(scope) or _("un partenaire")
    return w.name_role(role, scope if sign else None, names, _)


def build_progress_lines(progress: ExerciseProgress, _: Translator) -> list[ProgressLine]:
    """Build the lines of the roles."""
    return [_build_progress_line(one, _) for one in progress.items]


def _build_progress_line(one: RoleFirstActions, _: Translator) -> ProgressLine:
    times = [_("{n} min", n=round(run.minutes)) for run in one.runs[-RUNS_SHOWN:]]
    trend, tone = "", ""
    if one.trend_min is not None:
        size = round(abs(one.trend_min))
        if not size:
            trend = _("inchangé")
        elif one.trend_min < 0:
            trend, tone = _("{n} min de moins", n=size), "ok"
        else:
            trend, tone = _("{n} min de plus", n=size), "soon"
    return ProgressLine(one.role, one.name, ", ".join(times), trend, tone)


def _parse_seed(text: str) -> int:
    """Parse the number of a variant; anything else gives 1."""
    return min(int(text), MAX_SEED) if text.isascii() and text.isdecimal() and text != "0" else 1


async def build_drills_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page; `?variante=` chooses other drills."""
    partners = await read_partners(x.request, x.queries)
    seed = _parse_seed(x.request.query_params.get("variante", "")[:5])
    proposals, progress = await asyncio.gather(
        x.queries.drill_proposals(partners=partners), x.queries.exercise_progress()
    )
    return {
        "seed": seed,
        "lines": [
            build_drill_line(one, seed, x.names, x._) for one in proposals.items[:PLANS_SHOWN]
        ],
        "progress": build_progress_lines(progress, x._),
        "exercises": progress.exercises,
    }


PAGE: Final = ScreenPage(
    "drills",
    "/exercices-courts",
    "drills/screen.html",
    build_drills_page,
    N_("Exercices courts"),
    after="realms",
    needs=Permission.LOG_READ,
)
