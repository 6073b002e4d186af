"""Page `/activites`: activities, their clocks and alarms."""

from __future__ import annotations

from typing import Any, Final

from schemas.ranks import STRATEGY_ROLE
from schemas.reference_changes import RecordKind
from services.console.continuity import activities_page
from services.console.continuity.arbitrations import list_arbitrations
from services.console.i18n import N_
from services.console.reference.record_names import build_form_address, build_new_form_address
from services.console.reference.record_rights import may_propose_new_record, may_propose_record
from services.console.risk.page import build_risk_lines, write_sentences
from services.console.texts import words as w
from services.console.web.screen_context import ScreenData, ScreenPage, find_unknown_value


async def build_activities_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    now = x.shell.now
    alarms = await x.queries.alarms()
    view = activities_page.build_activities_view(
        x.activities, x.clocks, x.shell.overview.incidents, now, x.shell.overview.poles, x._
    )
    risks = build_risk_lines(await x.queries.breach_risks(), x._)
    activity = next(
        (a for a in x.activities if a.id == x.request.query_params.get("activite")), None
    )
    missing = find_unknown_value(x.request, "activite", (a.id for a in x.activities))
    pdma_h = x.reference.activities[activity.id].pdma_h if activity else 0
    return {
        "view": view,
        "risks": risks,
        "risk_of": write_sentences(risks, x._),
        "arbitrations": list_arbitrations(alarms, x.activities, now, x._),
        "not_there": missing
        and x._("Aucune activité ne porte l’identifiant « {id} ».", id=missing),
        "decides": w.name_role(STRATEGY_ROLE, None, x.names, x._),
        "plan_of": {plan.pole: plan.id for plan in x.reference.plans.values() if plan.pole},
        "may_propose": activity is not None and may_propose_record(x.shell, activity.pole),
        "may_add": may_propose_new_record(x.shell),
        "new_activity": build_new_form_address(RecordKind.ACTIVITY),
        "edit_activity": build_form_address(RecordKind.ACTIVITY, activity.id) if activity else "",
        "states": activities_page.GRAVEST_FIRST,
        "shown": activities_page.build_selected_activity(
            activity, pdma_h, alarms, now, x.names, x._
        )
        if activity
        else None,
    }


PAGE: Final = ScreenPage(
    "activities", "/activites", "activities.html", build_activities_page, N_("Activités")
)
