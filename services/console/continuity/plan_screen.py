"""Page `/plans/{id}`: one plan with its content and cards. Rules D83 and D84."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from schemas.reference_changes import RecordKind
from schemas.words import PlanState
from services.console.continuity.plan_page import (
    SITE_CARDS_SHOWN,
    PlanPage,
    can_open_any,
    list_site_card_lines,
)
from services.console.continuity.plan_rights import build_card_right
from services.console.incidents import page as incidents_page
from services.console.proof.api import read_plan_proof
from services.console.reference.record_names import build_form_address, build_new_form_address
from services.console.reference.record_rights import may_propose_record
from services.console.texts import words as w
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage, list_site_choices
from services.runtime.identity.permissions import Permission
from services.territory.editing.record_places import build_card_id, split_card_id
from services.territory.editing.records import list_records


async def build_plan_page(x: ScreenData, id: str) -> dict[str, Any]:
    """Build `plan.html`: content, progress and effects of one plan. Rules D83 and D84.

    `?fiche=` names the card whose sites are listed. Raises NotFound.
    """
    realm, lang = x.shell.realm.name, x.shell.lang
    detail, conflicts, triggers = await asyncio.gather(
        x.queries.plan_detail(id), x.queries.conflicts(), x.queries.triggers()
    )
    proof = await read_plan_proof(x.request, x.queries, realm, id, x._)
    principal = x.shell.reader.principal
    works = build_card_right(principal, x.reference)
    view = PlanPage(
        detail,
        x.reference,
        x.shell.now,
        lambda role, pole: x.shell.reader.may(Permission.CARD_WORK) and works(role, pole),
        x._,
    ).build()
    card_id = x.request.query_params.get("fiche")
    chosen_card = next(
        (c for g in view.groups for c in g.cards if c.id == card_id and c.where), None
    )
    site_cards = (
        await x.queries.site_cards(plan=id, card=chosen_card.id)
        if chosen_card is not None
        else None
    )
    evidence = chosen_card.evidence_kind if chosen_card is not None else ""
    lines = list_site_card_lines(site_cards.items if site_cards else (), x.names, x._, evidence)
    return {
        "plan": detail,
        "view": view,
        "proof": proof,
        "unproven": [item for item in proof.items if item.proven < item.total],
        "line": next(
            iter(incidents_page.list_plans([detail], x.shell.now, x.names, lang, x._, triggers)),
            None,
        ),
        "conflicts": incidents_page.map_conflicts(conflicts).get(id, ()),
        "decides": w.name_role(detail.decides, detail.pole, x.names, x._),
        "activable": detail.state in (PlanState.VALID, PlanState.PROPOSED)
        or detail.state in incidents_page.ACTIVABLE,
        "may_propose": may_propose_record(x.shell, detail.pole),
        "edit_plan": build_form_address(RecordKind.PLAN, id),
        "edit_triggers": [
            build_form_address(RecordKind.TRIGGER, trigger)
            for trigger in list_records(x.reference.sections, RecordKind.TRIGGER)
            if split_card_id(trigger)[0] == id
        ],
        "new_trigger": build_new_form_address(RecordKind.TRIGGER),
        "new_card": build_new_form_address(RecordKind.CARD),
        "edit_card": lambda card: build_form_address(RecordKind.CARD, build_card_id(id, card)),
        "in_an_hour": times.format_minute(x.shell.now + timedelta(hours=1)),
        "chosen": chosen_card,
        "site_cards": lines[:SITE_CARDS_SHOWN],
        "site_cards_more": max(0, len(lines) - SITE_CARDS_SHOWN),
        "places": list_site_choices(x.sites) if can_open_any(view) else [],
        "foreseen": lambda _plan, _incident: (
            " ; ".join(
                part
                for part in (view.activation.cards, view.activation.sites, view.activation.messages)
                if part
            )
            + "."
        ),
    }


PAGE: Final = ScreenPage("plan", "/plans/{id}", "plan.html", build_plan_page, under="plans")
